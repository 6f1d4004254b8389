"""Numbers of rows that lie in a ball, and the law that has given means of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from coplay.core.scaling import allowed
from coplay.core.simplex import on_simplex
from coplay.core.space import Samples, Space

_CHUNK = 4096  # rows at a time
_FEWEST = 1.0  # rows that means are formed over, where noise says that there are fewer


class Features:
    """What is summed up over rows: ψ(x) of :mod:`coplay.site.stand_ins.noisy_moments`.

    Args:
        space: The variables; every number has a finite range.
        by: A category whose values have sums of their own; None for none.
        n: The number of rows where it is public, so that it is not summed up; else None.
    """

    def __init__(self, space: Space, by: str | None = None, n: int | None = None) -> None:
        self.space = space
        self.by = by
        self.n = n
        self.blocks = 1 if by is None else space[by].classes or 1
        rest = [name for name in space if name != by]
        self.bits = [name for name in rest if space[name].kind == "binary"]
        self.categories = [name for name in rest if space[name].kind == "categorical"]
        self.reals = [name for name in rest if space[name].kind == "real"]
        self.dimensions = sum(space[name].size for name in self.reals)
        self.counts = n is None or by is not None
        """Whether the number of rows is one of the sums."""

    @property
    def sizes(self) -> list[int]:
        """How many numbers there are of each part, in order; see :meth:`_parts`."""
        d = self.dimensions
        bits = sum(self.space[name].size for name in self.bits)
        classes = 0
        for name in self.categories:
            classes += self.space[name].size * (self.space[name].classes or 0)
        optional = [name for name in (*self.bits, *self.reals) if self.space[name].optional]
        there = sum(self.space[name].size for name in optional)
        return [int(self.counts), bits, classes, d, d * (d - 1) // 2, d, there]

    @property
    def size(self) -> int:
        """How many numbers are released."""
        return self.blocks * sum(self.sizes)

    @property
    def radius(self) -> float:
        """The greatest length of ψ(x), whatever x is."""
        count, bits, _, d, _, _, there = self.sizes
        labels = sum(self.space[name].size for name in self.categories)
        return math.sqrt(count + bits + labels + d + d**2 + there)

    def sums(self, samples: Samples) -> Tensor:
        """Return Σ ψ(x) of each block, float64, shape (blocks, numbers)."""
        total = torch.zeros(self.blocks, sum(self.sizes), dtype=torch.float64)
        for start in range(0, len(samples), _CHUNK):
            part = samples[start : start + _CHUNK]
            block = torch.zeros(len(part), dtype=torch.int64)
            if self.by is not None:
                block = part[self.by]
            total.index_add_(0, block, self.of(part))
        return total

    def of(self, samples: Samples) -> Tensor:
        """Return ψ(x) without its block, float64, shape (n, numbers)."""
        n = len(samples)
        parts = [torch.ones(n, int(self.counts), dtype=torch.float64)]
        there = []
        for name in self.bits:
            present, values = self._values(samples, name)
            parts.append(values)
            there.append(present if self.space[name].optional else present[:, :0])
        for name in self.categories:
            classes = self.space[name].classes or 0
            values = samples[name].reshape(n, -1)
            # one level more for what is missing, which is left out
            shifted = F.one_hot(torch.where(values < 0, classes, values), classes + 1)
            parts.append(shifted[:, :, :classes].flatten(1).double())
        numbers = [torch.zeros(n, 0, dtype=torch.float64)]
        for name in self.reals:
            present, values = self._values(samples, name)
            low, high = self.space[name].range
            # outside by rounding at most, and then moved inside
            scaled = (2 * (values - low) / (high - low) - 1).clamp(-1, 1)
            numbers.append(torch.where(present > 0, scaled, 0.0))
            there.append(present if self.space[name].optional else present[:, :0])
        z = torch.cat(numbers, 1)
        row, column = self._above()
        parts += [z, math.sqrt(2) * z[:, row] * z[:, column], z.square(), *there]
        return torch.cat(parts, 1)

    def family(self, sums: Tensor) -> Family:
        """Return the law that has the moments of released sums, or the nearest possible ones.

        Args:
            sums: Shape (blocks, numbers).
        """
        counts = torch.full((1,), float(self.n or 0), dtype=torch.float64)
        if self.counts:
            counts = sums[:, 0]
        shares = on_simplex(counts / counts.sum().clamp_min(_FEWEST))
        moved = 0
        laws = []
        for block in range(self.blocks):
            law, fits = self._law(sums[block], max(float(counts[block]), _FEWEST))
            laws.append(law)
            moved += not (fits and counts[block] >= _FEWEST)
        return Family(self, shares, laws, moved)

    def _law(self, sums: Tensor, n: float) -> tuple[_Law, bool]:
        _, bits, classes, mean, above, squares, there = sums.split(self.sizes)
        present = self._present(there / n)
        offset = sum(self.space[name].size for name in self.bits)
        chances = bits / n / present[:offset]
        fits = bool(((chances >= 0) & (chances <= 1)).all())
        shares = []
        start = 0
        for name in self.categories:
            v = self.space[name]
            stop = start + v.size * (v.classes or 0)
            counted = classes[start:stop].reshape(v.size, -1)
            of_all = counted / (counted.sum(1, keepdim=True).clamp_min(1) if v.optional else n)
            shares.append(torch.stack([on_simplex(row) for row in of_all]))
            fits = fits and bool((of_all >= 0).all())
            start = stop
        d = self.dimensions
        p = present[offset:]
        centre = mean / n / p
        second = torch.zeros(d, d, dtype=torch.float64)
        row, column = self._above()
        second[row, column] = above / math.sqrt(2) / n / (p[row] * p[column])
        second = second + second.T + torch.diag(squares / n / p)
        inside = centre.clamp(-1, 1)
        covariance, is_possible = _possible(second - centre[:, None] * centre, inside)
        fits = fits and is_possible and bool((centre == inside).all())
        return _Law(chances.clamp(0, 1), shares, inside, covariance, present), fits

    def _present(self, shares: Tensor) -> Tensor:
        """Return how often each bit and number is there, shape (bits + D,)."""
        parts = []
        start = 0
        for name in (*self.bits, *self.reals):
            v = self.space[name]
            if not v.optional:
                parts.append(torch.ones(v.size, dtype=torch.float64))
                continue
            # noise may say that hardly any is there; means are formed over a hundredth at least
            parts.append(shares[start : start + v.size].clamp(0.01, 1))
            start += v.size
        return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)

    def _above(self) -> tuple[Tensor, Tensor]:
        row, column = torch.triu_indices(self.dimensions, self.dimensions, 1)
        return row, column

    def _values(self, samples: Samples, name: str) -> tuple[Tensor, Tensor]:
        """Return which numbers of a variable are there, as 0 and 1, and the values, 0 elsewhere."""
        v = self.space[name]
        values = samples[name].reshape(len(samples), v.size).double()
        missing = values.isnan() if v.kind == "real" else values == v.missing
        return (~missing).double(), torch.where(missing, 0.0, values)


@dataclass(frozen=True)
class _Law:
    """One block: bits and categories independent, numbers jointly normal.

    Args:
        bits: Chances of the bits, shape (B,).
        categories: Shares of each category's values, shape (its numbers, classes) each.
        mean: Of the numbers in [-1, 1], shape (D,).
        covariance: Shape (D, D).
        present: How often each bit and number is there, shape (B + D,).
    """

    bits: Tensor
    categories: Sequence[Tensor]
    mean: Tensor
    covariance: Tensor
    present: Tensor


@dataclass(frozen=True)
class Family:
    """A mixture of blocks.

    Args:
        of: The numbers that it has the means of.
        shares: Of the blocks.
        laws: Of the blocks.
        moved: In how many blocks noise left the set of possible moments.
    """

    of: Features
    shares: Tensor
    laws: Sequence[_Law]
    moved: int

    def draw(self, n: int, generator: torch.Generator) -> Samples:
        """Draw n samples, within all ranges."""
        blocks = torch.multinomial(self.shares, n, replacement=True, generator=generator)
        values = {}
        for name in self.of.space:
            v = self.of.space[name]
            values[name] = torch.zeros((n, *v.shape), dtype=v.dtypes[0])
        if self.of.by is not None:
            values[self.of.by] = blocks
        for block, law in enumerate(self.laws):
            rows = (blocks == block).nonzero()[:, 0]
            if len(rows):
                self._fill(values, rows, law, generator)
        return self.of.space.samples(**values)

    def _fill(
        self, values: dict[str, Tensor], rows: Tensor, law: _Law, generator: torch.Generator
    ) -> None:
        space = self.of.space
        n = len(rows)
        uniform = torch.rand(n, len(law.bits), generator=generator, dtype=torch.float64)
        lacking = torch.rand(n, len(law.present), generator=generator, dtype=torch.float64)
        lacks = lacking >= law.present
        start = 0
        for name in self.of.bits:
            v = space[name]
            own = slice(start, start + v.size)
            drawn = (uniform[:, own] < law.bits[own]).to(v.dtypes[0])
            drawn[lacks[:, own]] = int(v.missing)
            values[name][rows] = drawn.reshape(n, *v.shape)
            start += v.size
        for name, shares in zip(self.of.categories, law.categories, strict=True):
            drawn = torch.multinomial(shares, n, replacement=True, generator=generator).T
            values[name][rows] = drawn.reshape(n, *space[name].shape)
        size, vectors = torch.linalg.eigh(law.covariance)
        noise = torch.randn(n, len(size), generator=generator, dtype=torch.float64)
        z = law.mean + noise * size.clamp_min(0).sqrt() @ vectors.T
        first = 0
        for name in self.of.reals:
            v = space[name]
            low, high = v.range
            scaled = low + (z[:, first : first + v.size].clamp(-1, 1) + 1) / 2 * (high - low)
            drawn = allowed(scaled, v, v.dtypes[0])
            drawn[lacks[:, start : start + v.size]] = math.nan
            values[name][rows] = drawn.reshape(n, *v.shape)
            first += v.size
            start += v.size


def _possible(covariance: Tensor, mean: Tensor) -> tuple[Tensor, bool]:
    """Return the nearest covariance of numbers in [-1, 1], and whether it was one already.

    No variance is negative, and none exceeds 1 − mean², that of a coin at the two ends.
    """
    if not len(mean):
        return covariance, True
    values, vectors = torch.linalg.eigh(covariance)
    positive = vectors * values.clamp_min(0) @ vectors.T
    most = 1 - mean.square()
    diagonal = positive.diag()
    shrunk = torch.where(diagonal > most, (most / diagonal.clamp_min(1e-300)).sqrt(), 1.0)
    fits = bool((values >= -1e-12).all() and (diagonal <= most + 1e-12).all())
    return positive * shrunk[:, None] * shrunk, fits
