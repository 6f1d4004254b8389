"""Where a model computes: only networks and batches move to a device.

What a model is given, what it returns and what it draws is on the CPU. Random numbers are drawn
there, by the generator that the model is given, and moved: a seed means the same everywhere. Sums
of floats differ between devices, and a GPU may round a sum differently from run to run, so exact
bits are promised on the CPU alone.
"""

from __future__ import annotations

import torch
from tensordict import TensorDict
from torch import Tensor

from coplay.core.errors import ModelError
from coplay.core.space import Samples, tensors

_CPU = torch.device("cpu")


def resolve(device: str) -> torch.device:
    """Return the device of that name; ``"auto"`` is the accelerator, or the CPU without one.

    Raises:
        ModelError: There is no such device here.

    Example:
        >>> resolve("cpu")
        device(type='cpu')
        >>> resolve("gpu")
        Traceback (most recent call last):
        coplay.core.errors.ModelError: device "gpu" is not there: expected "auto", "cpu" or ...
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if device == "auto":
        return torch.empty(0, device=accelerator or _CPU).device
    try:
        place = torch.empty(0, device=device).device
        if place.type not in {known.type for known in (_CPU, accelerator) if known}:
            raise ValueError(place)  # such as "meta", where nothing is computed
    except Exception as error:  # torch raises many types
        has = f"torch finds {accelerator or 'no accelerator'} here"
        raise ModelError(
            f'device "{device}" is not there: expected "auto", "cpu" or what torch calls one, '
            f'such as "cuda" or "cuda:1"; {has}'
        ) from error
    return place


def moved(samples: Samples, device: torch.device = _CPU) -> Samples:
    """Return the samples on a device; the same object if they are there already."""
    values = tensors(samples)
    if all(tensor.device == device for tensor in values.values()):
        return samples
    copies = {name: tensor.to(device) for name, tensor in values.items()}
    return TensorDict(copies, samples.batch_size)


def uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw numbers from [0, 1), float32, of the shape and on the device of ``like``."""
    return torch.rand(like.shape, generator=generator).to(like.device)


def normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw standard normal numbers, float32, of the shape and on the device of ``like``."""
    return torch.randn(like.shape, generator=generator).to(like.device)


def classes(probabilities: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Draw n classes, with replacement, from each row: shape (..., C) to (..., n)."""
    drawn = torch.multinomial(probabilities.cpu(), n, replacement=True, generator=generator)
    return drawn.to(probabilities.device)
