"""Digests by which damage, mix-ups and changed data are noticed: SHA-256, in hexadecimal."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from coplay.core.space import Samples, Space, tensors


def of_bytes(content: bytes) -> str:
    """Return the digest of a file's content.

    Example:
        >>> of_bytes(b"")[:8]
        'e3b0c442'
    """
    return hashlib.sha256(content).hexdigest()


def of_values(values: Any) -> str:
    """Return the digest of plain values, whatever the order of their names.

    Example:
        >>> of_values({"a": 1, "b": 2}) == of_values({"b": 2, "a": 1})
        True
    """
    return of_bytes(json.dumps(values, sort_keys=True).encode())


def of_samples(space: Space, samples: Samples) -> str:
    """Return the digest of samples: of their variables, types, values and order.

    Args:
        space: What the variables are.
        samples: The samples; they may lack variables.

    Example:
        >>> import torch
        >>> from coplay.core.space import Variable
        >>> space = Space({"bit": Variable(kind="binary")})
        >>> bits = space.samples(bit=torch.tensor([0, 1], dtype=torch.uint8))
        >>> of_samples(space, bits) == of_samples(space, bits.flip(0))
        False
    """
    digest = hashlib.sha256()
    values = tensors(samples)
    for name in sorted(values):
        tensor = values[name].detach().cpu()
        variable = space[name].model_dump(mode="json") if name in space else {}
        heading = [name, str(tensor.dtype), list(tensor.shape), variable]
        digest.update(json.dumps(heading, sort_keys=True).encode())
        if tensor.numel():  # an array without elements may have strides that fit no buffer
            digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()
