"""Convolutions from an image to a vector and back, in the two forms that the models offer."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from coplay.core.errors import ModelError

ConvolutionKind = Literal["strided", "reference"]
"""``"strided"``: two of 5×5 that halve the image; ``"reference"``: the authors' five."""

# width in multiples of the first, kernel, stride of the authors' five convolutions
_REFERENCE = ((1, 2, 1), (2, 3, 2), (2, 3, 1), (2, 3, 1), (4, 3, 2))


class Convolutions(nn.Sequential):
    """Convolutions and a layer: (n, channels, H, W) to (n, hidden)."""

    def __init__(
        self, shape: tuple[int, ...], *, channels: int, hidden: int, kind: ConvolutionKind
    ) -> None:
        shape = shape if len(shape) == 3 else (1, *shape)
        if kind == "reference":
            sizes = _reference_sizes(shape)
            widths = [shape[0], *(channels * width for width, _, _ in _REFERENCE)]
            layers: list[nn.Module] = []
            for i, (_, kernel, stride) in enumerate(_REFERENCE):
                layers += [nn.Conv2d(widths[i], widths[i + 1], kernel, stride), nn.Tanh()]
            numbers = widths[-1] * math.prod(sizes[-1])
            super().__init__(*layers, nn.Flatten(), nn.Linear(numbers, hidden), nn.Tanh())
            return
        side = [math.ceil(s / 4) for s in shape[-2:]]
        super().__init__(
            nn.Conv2d(shape[0], channels, 5, stride=2, padding=2),
            nn.SiLU(),
            nn.Conv2d(channels, 2 * channels, 5, stride=2, padding=2),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(2 * channels * side[0] * side[1], hidden),
            nn.SiLU(),
        )


def _reference_sizes(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return height and width before, between and after the reference convolutions."""
    sizes = [(shape[-2], shape[-1])]
    for _, kernel, stride in _REFERENCE:
        high, wide = sizes[-1]
        sizes.append(((high - kernel) // stride + 1, (wide - kernel) // stride + 1))
    if min(sizes[-1]) < 1:
        size = "×".join(map(str, shape[-2:]))
        raise ModelError(
            f'convolutions = "reference" needs images of 16×16 or more, got {size}; use "strided"'
        )
    return sizes


def towards_image(
    shape: tuple[int, ...], *, given: int, channels: int, hidden: int, kind: ConvolutionKind
) -> nn.Sequential:
    """Build the mirror image of :class:`Convolutions`: (n, given) to (n, channels, ≥H, ≥W)."""
    if kind == "reference":
        sizes = _reference_sizes(shape)
        widths = [shape[0], *(channels * width for width, _, _ in _REFERENCE)]
        layers: list[nn.Module] = [
            nn.Linear(given, widths[-1] * math.prod(sizes[-1])),
            nn.Tanh(),
            nn.Unflatten(1, (widths[-1], *sizes[-1])),
        ]
        for i in reversed(range(len(_REFERENCE))):
            _, kernel, stride = _REFERENCE[i]
            padding = []  # restores the rows and columns that a stride leaves out
            for large, small in zip(sizes[i], sizes[i + 1], strict=True):
                padding.append(large - (small - 1) * stride - kernel)
            before = widths[i + 1]
            after = widths[i]
            upwards = nn.ConvTranspose2d(
                before, after, kernel, stride, output_padding=(padding[0], padding[1])
            )
            layers += [upwards, nn.Tanh()]
        return nn.Sequential(*layers[:-1])
    side = [math.ceil(s / 4) for s in shape[-2:]]
    return nn.Sequential(
        nn.Linear(given, hidden),
        nn.SiLU(),
        nn.Linear(hidden, 2 * channels * side[0] * side[1]),
        nn.SiLU(),
        nn.Unflatten(1, (2 * channels, *side)),
        nn.ConvTranspose2d(2 * channels, channels, 4, stride=2, padding=1),
        nn.SiLU(),
        nn.ConvTranspose2d(channels, shape[0], 4, stride=2, padding=1),
    )


def concatenate(*parts: Tensor | None) -> Tensor:
    """Join the given tensors along their columns; None stands for a part that is absent."""
    return torch.cat([part for part in parts if part is not None], 1)
