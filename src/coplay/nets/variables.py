"""Variables as inputs of networks: as vectors or as images, with the sizes of the networks.

Classes are one-hot. A real variable with a finite range is mapped to [-1, 1]; one without is in
standard units (:mod:`coplay.core.scaling`), of which outliers are seen by their logarithm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coplay.core.scaling import squashed
from coplay.core.space import Variable
from coplay.nets.convolutions import Convolutions

LEAST_SIDE = 4
"""Pixels; to a network, an image that is smaller on one side is just numbers."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large networks of conditionals are.

    Args:
        channels: Of convolutions at full resolution; each halving of the image doubles them.
        hidden: Width of fully connected layers.
        image_latents: Size of u, the latents that a VAE has for itself.
    """

    channels: int
    hidden: int
    image_latents: int


def goes_through_convolutions(v: Variable) -> bool:
    """Whether a variable is a binary or real image of at least 4×4 pixels.

    Example:
        >>> image, row = Variable(kind="binary", shape=(8, 8)), Variable(kind="binary", shape=(64,))
        >>> goes_through_convolutions(image), goes_through_convolutions(row)
        (True, False)
    """
    return v.is_image and v.kind in ("binary", "real") and min(v.shape[-2:]) >= LEAST_SIDE


def centre_and_half_width(v: Variable) -> tuple[float, float]:
    """Return the middle and half the width of a real variable's finite range; (0, 1) otherwise."""
    low, high = v.range
    if v.kind == "real" and math.isfinite(high - low):
        return (low + high) / 2, (high - low) / 2
    return 0.0, 1.0


def as_vectors(v: Variable, values: Tensor) -> Tensor:
    """Return values as float32 of shape (n, D)."""
    if v.kind == "categorical":
        return F.one_hot(values, v.classes or 0).flatten(1).float()
    centre, half_width = centre_and_half_width(v)
    numbers = (values.float().reshape(len(values), -1) - centre) / half_width
    is_unlimited = v.kind == "real" and not math.isfinite(v.high - v.low)
    return squashed(numbers) if is_unlimited else numbers


def as_channels(images: Mapping[str, Variable], values: Mapping[str, Tensor]) -> Tensor:
    """Return images of one height and width as channels of one, shape (n, channels, H, W).

    Args:
        images: The variables by name.
        values: Their values by name, and perhaps others.
    """
    parts = []
    for name, v in images.items():
        pixels = as_vectors(v, values[name])
        parts.append(pixels.reshape(len(pixels), -1, *v.shape[-2:]))
    return torch.cat(parts, 1)


def count_channels(images: Mapping[str, Variable]) -> int:
    """Return the number of channels that :func:`as_channels` makes of these images."""
    return sum(v.channels for v in images.values())


class InputEncoder(nn.Module):
    """Encodes variables as one vector of ``size`` numbers.

    Images of one height and width go through convolutions together; other variables are taken as
    numbers.

    Args:
        variables: By name.
        sizes: See :class:`Sizes`.

    Example:
        >>> image = Variable(kind="binary", shape=(8, 8))
        >>> three = Variable(kind="categorical", classes=3)
        >>> sizes = Sizes(channels=2, hidden=5, image_latents=1)
        >>> encoder = InputEncoder({"x": image, "c": three}, sizes)
        >>> x, c = torch.zeros(4, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 2, 0])
        >>> encoder.size, encoder({"x": x, "c": c}).shape
        (8, torch.Size([4, 8]))
    """

    def __init__(self, variables: Mapping[str, Variable], sizes: Sizes) -> None:
        super().__init__()
        self.plain: dict[str, Variable] = {}
        self.images: dict[tuple[int, ...], dict[str, Variable]] = {}
        for name, v in variables.items():
            if goes_through_convolutions(v):
                self.images.setdefault(v.shape[-2:], {})[name] = v
            else:
                self.plain[name] = v
        self.convolutions = nn.ModuleList()
        for side, group in self.images.items():
            shape = (count_channels(group), *side)
            self.convolutions.append(
                Convolutions(shape, channels=sizes.channels, hidden=sizes.hidden, kind="strided")
            )
        numbers = sum(v.size * (v.classes or 1) for v in self.plain.values())
        self.size = numbers + sizes.hidden * len(self.images)

    def forward(self, values: Mapping[str, Tensor]) -> Tensor:
        """Map values by name to a vector of shape (n, size)."""
        parts = [as_vectors(v, values[name]) for name, v in self.plain.items()]
        for group, convolutions in zip(self.images.values(), self.convolutions, strict=True):
            parts.append(convolutions(as_channels(group, values)))
        return torch.cat(parts, 1)
