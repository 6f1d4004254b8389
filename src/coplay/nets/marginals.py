"""Marginal distributions as Gaussians see them: every value of a column as an interval of N(0, 1).

A column has a distribution function F, by its bins and their frequencies (:mod:`coplay.nets.bins`).
A real value x is the point z = Φ⁻¹(F(x)). A bit, a class, a count, or a real value that occurs
again and again, is the interval between the thresholds Φ⁻¹(F(x−)) and Φ⁻¹(F(x)): whatever falls in
it is that value. Classes are in the order of their numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coplay.core.scaling import allowed
from coplay.core.space import Samples
from coplay.nets.bins import Bins

TERMS = 100  # of the expansion in Hermite polynomials
_NEAR_ZERO = 1e-14  # probabilities are at least so far from 0 and 1


@dataclass(frozen=True)
class Intervals:
    """Where the values of samples lie, each of shape (n, D), float64.

    Args:
        low: Lower end as a probability, NaN where a value is missing.
        high: Upper end; equal to ``low`` for a point.
        log_density: log f(x) of a point; of an interval, what is left of its density once its
            probability is known, 0 but for repeated real values.
    """

    low: Tensor
    high: Tensor
    log_density: Tensor

    @property
    def exact(self) -> Tensor:
        """Which values are points, bool."""
        return self.low == self.high

    def rows(self, which: Tensor, columns: Sequence[int]) -> Intervals:
        """Return some rows and columns."""
        parts = (self.low, self.high, self.log_density)
        low, high, log_density = (part[which][:, list(columns)] for part in parts)
        return Intervals(low, high, log_density)


class Marginals(Bins):
    """The distribution of every column, fitted anew on each mixture.

    Example:
        >>> from coplay.core.space import Space, Variable
        >>> space = Space({"sex": Variable(kind="binary")})
        >>> marginals = Marginals(space, 4)
        >>> people = space.samples(sex=torch.tensor([0, 0, 0, 1], dtype=torch.uint8))
        >>> marginals.refit([people], [1.0])
        >>> marginals.frequencies[0].tolist()  # as if one more row were half of each
        [0.7, 0.3]
        >>> marginals.values_at(torch.tensor([[0.6], [0.8]]).double())["sex"].tolist()
        [0, 1]
    """

    def refit(self, sources: Sequence[Samples], weights: Sequence[float]) -> None:
        """Fit all variables that a source has; others stay as they are.

        Args:
            sources: Sample sets; each may lack variables.
            weights: Their masses.
        """
        for name in self.space:
            if any(name in samples.keys() and len(samples) for samples in sources):
                self.known[name] = False
        self.follow(sources, weights)

    def _ends(self, name: str) -> tuple[Tensor, Tensor]:
        """Return F at the lower and the upper end of all levels, shape (levels, columns) each."""
        columns = self.columns[name]
        frequencies = torch.stack(self.frequencies[columns], 1)
        upper = frequencies.cumsum(0)
        upper = upper / upper[-1:]
        return torch.cat([torch.zeros_like(upper[:1]), upper[:-1]]), upper

    def _is_flat(self, name: str) -> Tensor:
        """Return which levels stand for a single value, shape (levels, columns)."""
        if name not in self._rows:
            frequencies = torch.stack(self.frequencies[self.columns[name]], 1)
            return torch.ones_like(frequencies, dtype=torch.bool)
        if self.space[name].kind == "real":
            return self.points[self._rows[name]].T
        starts, ends = self._intervals(name)
        return (ends - starts).T <= 1

    def intervals(self, samples: Samples) -> Intervals:
        """Return where the values of samples lie; absent variables are missing."""
        levels = self.levels(samples)
        low = torch.full(levels.shape, math.nan, dtype=torch.float64)
        high = low.clone()
        density = self.log_inside(samples, levels)
        for name, columns in self.columns.items():
            if name not in samples.keys():
                continue
            level = levels[:, columns]
            there = level >= 0
            level = level.clamp_min(0)
            least, most = (end.gather(0, level) for end in self._ends(name))
            below, above = self._places(name, samples, level)
            low[:, columns] = torch.where(there, torch.lerp(least, most, below), math.nan)
            high[:, columns] = torch.where(there, torch.lerp(least, most, above), math.nan)
            if self.space[name].kind == "real":
                share = (most - least).clamp_min(1e-300).log()
                density[:, columns] += torch.where(below == above, share, 0.0)
            else:
                density[:, columns] = 0.0
        low = low.clamp(0.0, 1 - _NEAR_ZERO)
        return Intervals(low, high.maximum(low), density)

    def _places(self, name: str, samples: Samples, level: Tensor) -> tuple[Tensor, Tensor]:
        """Return the share of a level below each value, and up to its end, of level's shape."""
        zero = torch.zeros(level.shape, dtype=torch.float64)
        if name not in self._rows:
            return zero, zero + 1
        start, end, tail = self._at(name, level)
        values = samples[name].cpu().reshape(level.shape).double()
        if self.space[name].kind == "count":
            share = (tail / (1 + tail)).log()
            places = []
            for value in (values, values + 1):
                beyond = -(((value - start) * share).expm1())
                inside = (value - start) / (end - start)
                places.append(torch.where(end.isinf(), beyond, inside).clamp(0, 1))
            return places[0], places[1]
        place = ((values - start) / (end - start)).clamp(0, 1)
        place = torch.where(start.isinf(), ((values - end) / tail).exp(), place)
        place = torch.where(end.isinf(), -((start - values) / tail).expm1(), place).nan_to_num()
        point = self.points[self._rows[name]].T.gather(0, level)
        return torch.where(point, zero, place), torch.where(point, zero + 1, place)

    def values_at(self, u: Tensor) -> Samples:
        """Return the values with F(x) = u, all variables of the space.

        Args:
            u: Shape (n, D), float64, in (0, 1).
        """
        values = {}
        for name, columns in self.columns.items():
            v = self.space[name]
            lower, upper = self._ends(name)
            place = u[:, columns].clamp(_NEAR_ZERO, 1 - _NEAR_ZERO).contiguous()
            drawn = torch.searchsorted(upper.T.contiguous(), place.T.contiguous(), right=True).T
            drawn = drawn.clamp_max(len(upper) - 1)
            if name in self._rows:
                least, most = lower.gather(0, drawn), upper.gather(0, drawn)
                inside = ((place - least) / (most - least)).clamp(0, 1 - _NEAR_ZERO)
                start, _, _ = self._at(name, drawn)
                outwards = torch.where(start.isinf(), 1 - inside, inside)
                drawn = self._inside(name, drawn, outwards.clamp(0, 1 - _NEAR_ZERO))
            values[name] = allowed(drawn.double(), v, self._dtypes[name]).reshape(-1, *v.shape)
        return self.space.samples(**values)

    def thresholds(self, name: str) -> Tensor:
        """Return between which z the levels of a number lie, from −∞ to ∞, (levels + 1,)."""
        lower, upper = self._ends(name)
        return torch.special.ndtri(torch.cat([lower[:, 0], upper[-1:, 0]]).clamp(0, 1))

    def expansion(self) -> Tensor:
        """Return each column's score s(z) in Hermite polynomials, shape (D, TERMS), float64.

        The score is z itself where values are points, and the mean of z over the level where a
        level is a single value. Scores are divided by their standard deviation.
        """
        rows = []
        for name in self.columns:
            lower, upper = self._ends(name)
            flat = self._is_flat(name)
            for i in range(upper.shape[1]):
                usable = upper[:, i] > lower[:, i]
                rows.append(_expanded(lower[usable, i], upper[usable, i], flat[usable, i]))
        return torch.stack(rows)


def joined(parts: Sequence[Intervals]) -> Intervals:
    """Return the intervals of several sets of rows as those of one."""
    low = torch.cat([part.low for part in parts])
    high = torch.cat([part.high for part in parts])
    return Intervals(low, high, torch.cat([part.log_density for part in parts]))


def scores(intervals: Intervals) -> Tensor:
    """Return the mean of z over each interval, shape (n, D); NaN where a value is missing."""
    low, high = torch.special.ndtri(intervals.low), torch.special.ndtri(intervals.high)
    mass = (intervals.high - intervals.low).clamp_min(1e-300)
    mean = (_density(low) - _density(high)) / mass
    # an interval too narrow for the difference
    mean = torch.minimum(torch.maximum(mean, low), high)
    point = torch.special.ndtri(intervals.low.clamp(_NEAR_ZERO, 1 - _NEAR_ZERO))
    return torch.where(intervals.exact, point, mean)


def _density(z: Tensor) -> Tensor:
    return (-z.square() / 2).exp() / math.sqrt(2 * math.pi)


def _expanded(lower: Tensor, upper: Tensor, flat: Tensor) -> Tensor:
    """Return E[s(z) h_k(z)] / √Var s for k = 1 … TERMS, h_k of variance 1.

    By parts, it is E[s′(z) h_{k−1}(z)] / √k; s′ is 1 between thresholds where values are points,
    and has a peak at each threshold where s jumps.
    """
    ends = torch.special.ndtri(torch.cat([lower, upper[-1:]]).clamp(0, 1))
    density = _density(ends)
    ends = torch.where(ends.isinf(), 0.0, ends)  # where the density is 0
    mass = upper - lower
    middle = (density[:-1] - density[1:]) / mass
    left = torch.where(flat, middle, ends[:-1])
    right = torch.where(flat, middle, ends[1:])
    jump = left[1:] - right[:-1]
    smooth = mass - (ends * density).diff()  # ∫ z² over a level
    variance = torch.where(flat, mass * middle.square(), smooth).sum()
    terms = torch.zeros(TERMS, dtype=torch.float64)
    older, old = torch.zeros_like(density), density  # φ·h_{k−2}, φ·h_{k−1}
    for k in range(1, TERMS + 1):
        between = mass if k == 1 else -older.diff() / math.sqrt(k - 1)
        total = (jump * old[1:-1]).sum() + torch.where(flat, 0.0, between).sum()
        terms[k - 1] = total / math.sqrt(k)
        older, old = old, (ends * old - math.sqrt(k - 1) * older) / math.sqrt(k)
    return terms / variance.clamp_min(1e-300).sqrt()
