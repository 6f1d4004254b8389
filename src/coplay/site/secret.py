"""Randomness that nobody else can repeat: what noise that protects rows is drawn from.

All other random numbers of a run follow from its seed, which the coordinator knows; noise that
follows from a seed could be subtracted. So it comes from the operating system, is kept nowhere, and
a step that is repeated has other noise.

A sum of floats plus a float of noise shows by its last bits which sum it was (Mironov, CCS 2012).
So a sum becomes a whole number of steps of a grid, and the noise that is added is a normal number
rounded to whole steps. Rounding a whole number plus a normal number is post-processing of the
Gaussian mechanism. Rounding the sum adds a step a number to the sensitivity, and the sum itself has
rounding errors; both stay below the :data:`MARGIN` by which rows are kept inside their bound. What
is left is how well 53 bits stand for a uniform number, which changes no probability by more than
about 2⁻³⁰ of it.

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

GRID = 2.0**-30
"""The greatest step of the grid, in units of the sensitivity."""

MARGIN = 1e-5
"""Share of the sensitivity that is left for rounding."""

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


def noisy(sums: Tensor, sensitivity: float, noise: float) -> Tensor:
    """Return sums on a grid, with normal noise on the grid.

    Args:
        sums: Float64, any shape, of vectors no longer than ``sensitivity`` less the margin.
        sensitivity: How far one unit moves them, above 0.
        noise: Standard deviation of the noise in units of the sensitivity; 0 for none.
    """
    # a power of two, so that results are exactly on the grid
    step = 2.0 ** math.floor(math.log2(sensitivity * GRID))
    whole = (sums.double() / step).round()
    if noise:
        whole = whole + (normal(sums.shape) * (noise * sensitivity / step)).round()
    return whole * step


def chosen(count: int, rate: float) -> Tensor:
    """Return which of so many units are in a batch, each by itself with a chance of ``rate``."""
    return torch.from_numpy(uniform(count) <= rate)
