"""Images in the range of their variable, and in the [-1, 1] that networks of a GAN work in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from coplay.core.space import Space, Variable


@dataclass(frozen=True)
class PixelRange:
    """A finite range of pixels.

    Args:
        low: The smallest value.
        high: The largest value.

    Example:
        >>> pixels = PixelRange(0, 4)
        >>> pixels.centred(torch.tensor([0.0, 4.0]))
        tensor([-1.,  1.])
        >>> pixels.restored(torch.tensor([-1.0, 0.0, 1.0]))
        tensor([0., 2., 4.])
    """

    low: float
    high: float

    def centred(self, images: Tensor) -> Tensor:
        """Map images from this range to [-1, 1]."""
        scale = 2 / (self.high - self.low)
        shift = _number(-1 - self.low * scale, images)
        return torch.add(shift, images, alpha=scale)

    def restored(self, images: Tensor) -> Tensor:
        """Map images from [-1, 1] to this range."""
        low = _number(self.low, images)
        high = _number(self.high, images)
        return torch.lerp(low, high, (images + 1) * 0.5)  # ends at the limits to the last bit


def _number(value: float, like: Tensor) -> Tensor:
    return torch.full((), value, dtype=like.dtype, device=like.device)


def with_real_pixels(space: Space, image: str) -> Space:
    """Return the space with an image of real numbers in the range that it has there."""
    low, high = space[image].range
    variables = {name: space[name] for name in space}
    variables[image] = Variable(kind="real", shape=space[image].shape, low=low, high=high)
    return Space(variables)
