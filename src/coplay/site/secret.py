"""Randomness that nobody else can repeat: what noise that protects rows is drawn from.

All other random numbers of a run follow from its seed, which the coordinator knows; noise that
follows from a seed could be subtracted. So it comes from the operating system, is kept nowhere, and
a step that is repeated has other noise.

A sum of floats plus a float of noise shows by its last bits which sum it was (Mironov, CCS 2012).
So sums are whole numbers of steps of a grid, and the noise that is added is a normal number rounded
to the grid. Rounding a whole number plus a normal number is post-processing of the Gaussian
mechanism; what is left is how well 53 bits stand for a uniform number, at most about 2⁻³⁰ of a
probability a number with the grid that is used here.

References:
    On significance of the least significant bits for differential privacy (I. Mironov, CCS 2012).
    The Discrete Gaussian for Differential Privacy (C. Canonne, G. Kamath, T. Steinke, NeurIPS
    2020), arXiv:2004.00010.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

GRID = 2.0**-20
"""Step of the grid, in standard deviations of the noise."""

_BITS = 53


def generator() -> torch.Generator:
    """Return a generator with a seed of its own, for what need not hide anything by itself.

    Torch's generators know 2³² seeds, so noise is drawn by :func:`normal` and not from them.
    """
    return torch.Generator().manual_seed(int.from_bytes(os.urandom(4), "little"))


def uniform(count: int) -> np.ndarray:
    """Return numbers in (0, 1], multiples of 2⁻⁵³, float64, shape (count,)."""
    words = np.frombuffer(os.urandom(8 * count), dtype=np.uint64)
    return ((words >> np.uint64(64 - _BITS)) + np.uint64(1)) * 2.0**-_BITS


def normal(shape: Sequence[int]) -> Tensor:
    """Return standard normal numbers, float64.

    Example:
        >>> normal([3, 2]).shape
        torch.Size([3, 2])
    """
    count = math.prod(shape)
    half = (count + 1) // 2
    radius = np.sqrt(-2 * np.log(uniform(half)))
    angle = 2 * np.pi * uniform(half)
    drawn = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
    return torch.from_numpy(drawn).reshape(*shape)


def noisy(sums: Tensor, deviation: float) -> Tensor:
    """Return sums on the grid with normal noise on it.

    Args:
        sums: Float64, any shape; each becomes the nearest whole number of steps.
        deviation: Standard deviation of the noise, above 0; 0 leaves all as it is.
    """
    if not deviation:
        return sums.double()
    step = deviation * GRID
    noise = (normal(sums.shape) / GRID).round()
    return ((sums.double() / step).round() + noise) * step


def chosen(count: int, rate: float) -> Tensor:
    """Return which of so many units are in a batch, each by itself with a chance of ``rate``."""
    return torch.from_numpy(uniform(count) <= rate)
