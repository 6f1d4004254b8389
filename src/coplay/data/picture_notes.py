"""What a reader should know of how bright pictures are."""

from __future__ import annotations

import numpy as np

_DARK = 1 / 8
"""Share of white below which a pixel is dark to the eye."""

FEW = 0.001
"""Share of pixels; what fewer pixels show is as good as nothing."""


def black_masks(arrays: list[np.ndarray], name: str) -> tuple[str, ...]:
    """Say if pictures of 0 and 1 only stand beside others of bytes, where they come out black."""
    count = sum(len(pictures) for pictures in arrays)
    black = 0
    for pictures in arrays:
        largest = pictures.reshape(len(pictures), -1).max(1, initial=0)
        black += int(np.count_nonzero(largest == 1))
    if not black:
        return ()
    return (
        f"{name}: {black:,} of {count:,} pictures hold only 0 and 1 beside others up to 255, so "
        "they come out black; save all in one form",
    )


def described(splits: list[np.ndarray], whites: list[float], name: str) -> tuple[str, ...]:
    """Say if pictures are constant, nearly black or nearly white."""
    least, most = np.inf, -np.inf
    count = bright = dark = 0
    for values, white in zip(splits, whites, strict=True):
        least = min(least, float(values.min()))
        most = max(most, float(values.max()))
        count += values.size
        bright += int(np.count_nonzero(values >= white * _DARK))
        dark += int(np.count_nonzero(values <= white * (1 - _DARK)))
    if least == most:
        return (f"{name}: every pixel of every picture is {most:g}; there is nothing to learn",)
    if bright < FEW * count:
        return (
            f"{name}: nearly black, since {whites[0]:g} is white and the largest value is {most:g} "
            f"({bright:,} of {count:,} pixels reach an eighth of white); set white to the value of "
            "a white pixel",
        )
    if dark < FEW * count:
        return (f"{name}: nearly white; the smallest value is {least:g}, {whites[0]:g} is white",)
    if most < whites[0] / 2:
        return (
            f"{name}: dark, since {whites[0]:g} is white and the largest value is {most:g}; set "
            "white if it is another value",
        )
    return ()
