"""Where the bins of one column begin and end: quantiles, and values with bins of their own."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_ROWS_A_BIN = 5  # at least; with fewer, a bin would stand for single rows


def point_width(low: float, high: float) -> float:
    """Return the width of a bin for one value among others from low to high."""
    size = max(abs(low), abs(high))
    spread = high - low if high > low else size or 1.0
    return max(1e-6 * spread, 1e-14 * size)


def parts_of(n: int, count: int) -> int:
    """Return into how many bins n values are cut."""
    return min(count, max(1, n // _ROWS_A_BIN))


def edges_of(values: Tensor, masses: Tensor, count: int, whole: bool) -> tuple[Tensor, Tensor]:
    """Return at most count + 1 edges of one column, and which bins between them are single values.

    Every bin has at least five rows, if there are as many.

    Args:
        values: Float64, shape (n,).
        masses: Of the values, shape (n,).
        count: The most bins.
        whole: Whether the values are counts, and edges are whole numbers then.

    Example:
        >>> values = torch.tensor([0.0] * 50 + [1.0, 2, 3, 4, 5])  # five beside a heap
        >>> edges, points = edges_of(values.double(), torch.ones(55).double() / 55, 8, whole=False)
        >>> [round(edge, 2) for edge in edges.tolist()], points.tolist()
        ([0.0, 0.0, 1.0, 5.0], [True, False, False])
    """
    unique, which = values.unique(return_inverse=True)
    if whole and unique[-1] < count:  # every count is a level
        edges = torch.arange(int(unique[-1]) + 2, dtype=torch.float64)
        return edges, torch.ones(len(edges) - 1, dtype=torch.bool)
    mass = torch.zeros(len(unique), dtype=torch.float64).index_add(0, which, masses)
    mass = mass / mass.sum()
    width = 1.0 if whole else point_width(unique[0].item(), unique[-1].item())
    below = (mass.cumsum(0) - mass / 2).clamp(0, 1)
    place = below.sqrt().asin() * (2 / math.pi)
    copies = which.bincount()
    for parts in range(parts_of(len(values), count), 0, -1):
        own = (mass >= 1 / parts) & (copies >= _ROWS_A_BIN)
        edges = _cut(unique, _merged((place * parts).long(), copies), own, width, whole)
        if len(edges) <= count + 1:
            break
    points = torch.isin(edges[:-1], unique[own]) & (edges.diff() <= 1.5 * width)
    return edges, points


def _merged(place: Tensor, copies: Tensor) -> Tensor:
    """Return the bins of sorted values, those with too few rows joined with the next.

    Args:
        place: The bin of each value, ascending.
        copies: How many rows have it.
    """
    number = 0
    rows = 0.0
    numbers = []
    counts = torch.zeros(int(place[-1]) + 1, dtype=torch.float64)
    for count in counts.index_add(0, place, copies.double()).tolist():
        numbers.append(number)
        rows += count
        if rows >= _ROWS_A_BIN:
            number += 1
            rows = 0.0
    # what is left over belongs to the last that is full
    return torch.tensor(numbers)[place].clamp_max(max(0, number - 1))


def _cut(unique: Tensor, place: Tensor, own: Tensor, width: float, whole: bool) -> Tensor:
    """Return the edges between neighbours in different places, and around values with own bins."""
    left = unique[:-1]
    right = unique[1:]
    middle = right if whole else (left + right) / 2
    beside = own[:-1] | own[1:]
    apart = (place.diff() > 0) & ~beside
    ends = torch.stack([unique[0], unique[-1] + width])
    return torch.cat([ends, middle[apart], right[beside], left[beside] + width]).unique()
