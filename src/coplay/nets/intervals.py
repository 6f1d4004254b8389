"""A Gaussian whose components are known to lie in intervals, drawn one component after the other.

With z = L ε, each ε_d is drawn from a standard normal inside what the interval of z_d leaves for it
given those before; the product of the probabilities of these is the draw's weight (the simulator of
Geweke, Hajivassiliou & Keane). A point has a density in place of a probability.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from coplay.nets.marginals import Intervals

DRAWS = 100
"""Draws inside intervals, one of which is picked."""

_ROWS = 1000  # of the same columns that correlations are calibrated on, at most
_SURE = 0.9  # share of a column's variance that the rest explains


def by_columns(there: Tensor) -> Iterator[tuple[Tensor, list[int]]]:
    """Yield the rows that have the same columns, with these."""
    patterns, which = there.unique(dim=0, return_inverse=True)
    for place, pattern in enumerate(patterns):
        yield (which == place).nonzero()[:, 0], pattern.nonzero()[:, 0].tolist()


def drawn_inside(
    given: Intervals, factor: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw ε, with z = L ε, so that z lies in all intervals; shape (n, given columns).

    Args:
        given: The intervals, n rows.
        factor: L of the given columns, or of more behind them.
        generator: Source of randomness.

    Returns:
        ε, and log of p(x, z) / q(z | x), shape (n,).
    """
    noise = torch.zeros_like(given.low)
    log_weight = torch.zeros(len(noise), dtype=torch.float64)
    exact = given.exact
    place = torch.special.ndtri(torch.stack([given.low, given.high]))
    place = torch.where(exact, place.clamp(-8, 8), place)
    for d in range(noise.shape[1]):
        width = factor[d, d]
        low, high = (place[:, :, d] - noise[:, :d] @ factor[d, :d]) / width
        u = torch.rand(len(noise), generator=generator, dtype=torch.float64)
        inside, log_mass = _between(low, high, u)
        log_point = (place[0, :, d].square() - low.square()) / 2 - width.log()
        noise[:, d] = torch.where(exact[:, d], low, inside)
        log_weight += torch.where(exact[:, d], log_point, log_mass)
    return noise, log_weight + given.log_density.sum(1)


def picked_inside(given: Intervals, factor: Tensor, generator: torch.Generator) -> Tensor:
    """Draw ε in all intervals; where there are several, one draw of many by its weight."""
    n = len(given.low)
    if not (given.exact.sum(1) < given.low.shape[1] - 1).any():
        return drawn_inside(given, factor, generator)[0]
    every = torch.arange(n).repeat_interleave(DRAWS)
    many = given.rows(every, range(given.low.shape[1]))
    noise, log_weight = drawn_inside(many, factor, generator)
    chances = log_weight.reshape(n, DRAWS).softmax(1)
    picked = torch.multinomial(chances, 1, generator=generator)
    return noise.reshape(n, DRAWS, -1)[torch.arange(n), picked[:, 0]]


def calibrated(correlation: Tensor, known: Intervals, scores: Tensor, weights: Tensor) -> Tensor:
    """Return correlations in which columns of intervals are not predicted too surely, (D, D).

    Correlations of pairs may together leave a class almost no freedom given the rest, and then few
    rows that differ decide its log p. Where the rest explains more than nine tenths of a column,
    all its correlations shrink by the factor with the most probable values given the rest.

    Args:
        correlation: Shape (D, D), with positive eigenvalues.
        known: Intervals of n rows.
        scores: Of these, shape (n, D), NaN where a value is missing.
        weights: Mass of each row, shape (n,).
    """
    factors = torch.linspace(1.0, 0.5, 51, dtype=torch.float64)
    total = torch.zeros(len(factors), len(correlation), dtype=torch.float64)
    explained = 1 - 1 / torch.linalg.inv(correlation).diagonal()
    sure = ((explained > _SURE) & (known.low < known.high).any(0)).nonzero()[:, 0].tolist()
    for rows, columns in by_columns(~scores.isnan()) if sure else ():
        stride = -(-len(rows) // _ROWS)
        rows = rows[::stride]
        given = scores[rows][:, columns]
        precision = torch.linalg.inv(correlation[columns][:, columns])
        for d in sorted(set(sure) & set(columns)):
            line = precision[columns.index(d)]
            own = line[columns.index(d)]
            mean = scores[rows, d] - given @ line / own
            ends = torch.special.ndtri(torch.stack([known.low[rows, d], known.high[rows, d]]))
            width = (1 - factors.square() * (1 - 1 / own)).sqrt()[:, None]
            low, high = (ends[:, None] - factors[:, None] * mean) / width
            _, log_mass = _between(low, high, torch.full_like(low, 0.5))
            log_point = -low.square() / 2 - width.log()
            log_p = torch.where(known.exact[rows, d], log_point, log_mass)
            total[:, d] += log_p @ weights[rows] * stride
    factor = torch.ones(len(correlation), dtype=torch.float64)
    factor[sure] = factors[total.argmax(0)][sure]
    return (factor[:, None] * correlation * factor).fill_diagonal_(1.0)


def _between(low: Tensor, high: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Return the point at u of a standard normal inside [low, high], and log of its mass there."""
    # in the lower tail, where probabilities have all their digits
    upper = low > 0
    least, most = torch.where(upper, -high, low), torch.where(upper, -low, high)
    start, end = torch.special.ndtr(least), torch.special.ndtr(most)
    point = torch.special.ndtri(start + u * (end - start))
    point = torch.minimum(torch.maximum(point, least), most).clamp(-38, 38)
    return torch.where(upper, -point, point), (end - start).clamp_min(1e-300).log()
