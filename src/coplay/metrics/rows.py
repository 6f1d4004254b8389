"""An order of samples that depends on nothing but the samples, for metrics that use some of them or train on them.

Samples that were observed together or apart, in whatever order, come out in the same order. It looks random, so the
first samples in it are a fair choice.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

from coplay.core.space import Samples

# 2⁶⁴ over the golden ratio: its multiples, modulo 2⁶⁴, are spread evenly
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def row_keys(samples: Samples, names: Iterable[str]) -> Tensor:
    """One number per sample that depends on its values only, shape (n,), int64.

    Args:
        samples: The samples.
        names: The variables that count.

    Example:
        >>> samples = Samples({"x": torch.tensor([1.0, 2.0, 1.0])}, batch_size=[3])
        >>> a, b, c = row_keys(samples, ["x"]).tolist()
        >>> a == c, a == b
        (True, False)
    """
    n = len(samples)
    parts = [
        samples[name].detach().cpu().reshape(n, -1).contiguous().numpy().view(np.uint8)
        for name in names
    ]
    digests = b"".join(
        blake2b(b"".join(part[i].tobytes() for part in parts), digest_size=8).digest()
        for i in range(n)
    )
    return torch.from_numpy(np.frombuffer(digests, dtype=np.int64).copy())


def even_order(keys: Tensor) -> Tensor:
    """The positions of the samples in an order that depends on their keys only, shape (n,).

    Copies of a sample are spread evenly over the order, so that its beginning has its share of them.

    Args:
        keys: By :func:`row_keys`, shape (n,).

    Example:
        >>> keys = row_keys(Samples({"x": torch.tensor([0, 1]).repeat(500)}, batch_size=[1000]), ["x"])
        >>> 98 <= (even_order(keys)[:200] % 2).sum() <= 102
        tensor(True)
    """
    found = keys.numpy().view(np.uint64)
    order = np.argsort(found, kind="stable")
    ordered = found[order]
    position = np.arange(len(order))
    starts = np.append(True, ordered[1:] != ordered[:-1])[: len(order)]
    copy = position - np.maximum.accumulate(
        np.where(starts, position, 0)
    )  # 0 for the first of each kind, then 1, 2, …
    spread = ordered + copy.astype(np.uint64) * _GOLDEN  # modulo 2⁶⁴
    return torch.from_numpy(order[np.argsort(spread, kind="stable")])
