"""How near rows are to samples, as membership attacks see it.

In a table a number counts in standard units and a category by agreement, as in
:mod:`coplay.metrics.near_rows`. Where an image is among the variables, all of them are one vector
in standard units; large images are made small before. Units are those of reference rows, so that
neither members nor controls have a say in them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from coplay.core.scaling import Scaling
from coplay.core.space import Samples, Space
from coplay.metrics.near_rows import Column, columns_of

_PAIRS = 2**18  # pairs that are compared at a time: as much as lies near a processor
_LEFT_OUT = 4  # one column in so many is left out of the partial distance
_PARTIAL_FROM = 3  # columns; of two, one that agrees says nothing
_SIDE = 32  # pixels of the longer side of an image that is compared


@dataclass(frozen=True)
class Pairs:
    """Squared distances of some rows to all samples.

    Args:
        rows: Which rows these are.
        total: Over all columns, shape (rows, samples), float32.
        columns: The same of each column; empty where rows are compared as vectors.
    """

    rows: slice
    total: Tensor
    columns: list[Tensor]


@dataclass(frozen=True)
class Profile:
    """What an attacker with samples sees of rows.

    Args:
        whole: Distance of each row to the nearest sample, shape (n,), float64.
        partial: The same without the columns that differ most; None for fewer than three columns.
        kernel: Log of the mean of Gaussian kernels around all samples, up to a constant; None
            without a width.
    """

    whole: Tensor
    partial: Tensor | None
    kernel: Tensor | None


class Distances:
    """Compares rows with samples in the units of reference rows.

    Args:
        space: The variables that are compared.
        reference: The rows that say what standard units are.

    Example:
        >>> from coplay.core.variable import Variable
        >>> space = Space({"x": Variable(kind="real"), "ill": Variable(kind="binary")})
        >>> ill = torch.tensor([0, 1], dtype=torch.uint8)
        >>> rows = space.samples(x=torch.tensor([-1.0, 1.0]), ill=ill)
        >>> Distances(space, rows).profile(rows, rows).whole
        tensor([0., 0.], dtype=torch.float64)
    """

    def __init__(self, space: Space, reference: Samples) -> None:
        self.space = space
        self._reference = reference
        self.is_table = not any(space[name].is_image for name in space)
        """Whether rows are compared column by column."""
        self._scaling = Scaling(space)
        if not self.is_table:
            self._scaling.follow([reference], [1.0])

    @property
    def columns(self) -> int:
        """Numbers in a row."""
        return sum(self.space[name].size for name in self.space)

    @property
    def names(self) -> list[str]:
        """What the numbers in a row are called; those of a vector by their place from 0."""
        names = []
        for name in self.space:
            size = self.space[name].size
            places = range(size) if self.space[name].shape else ()
            names += [f"{name}[{place}]" for place in places] or [name]
        return names

    @property
    def left_out(self) -> int:
        """Columns that are left out of the partial distance; 0 where there is none."""
        if not self.is_table or self.columns < _PARTIAL_FROM:
            return 0
        return max(1, self.columns // _LEFT_OUT)

    def pairs(self, rows: Samples, samples: Samples) -> Iterator[Pairs]:
        """Return the squared distances of rows to samples, some rows at a time."""
        step = max(1, _PAIRS // max(1, len(samples)))
        if self.is_table:
            columns = self.side_by_side(rows, samples)
            for start in range(0, len(rows), step):
                part = slice(start, start + step)
                squares = [column.squares(part) for column in columns]
                yield Pairs(part, _sum(squares), squares)
            return
        others = self._vectors(samples)
        middle = others.mean(0)
        others = others - middle
        ours = self._vectors(rows) - middle
        norms = others.square().sum(1)
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            own = ours[part].square().sum(1, keepdim=True)
            yield Pairs(part, torch.addmm(norms + own, ours[part], others.T, alpha=-2).relu_(), [])

    def side_by_side(self, rows: Samples, samples: Samples) -> list[Column]:
        """Return the columns of rows and samples in standard units, in the order of the space."""
        columns: list[Column] = []
        for name in self.space:
            sides = (rows[name], samples[name], self._reference[name])
            columns += columns_of(self.space[name], *sides)
        return columns

    def profile(self, rows: Samples, samples: Samples, width: float | None = None) -> Profile:
        """Return what an attacker sees of rows.

        Args:
            rows: The rows, n of them.
            samples: The samples, at least one.
            width: Of the kernels, in standard units; None for no kernels.
        """
        whole, partial, kernel = [], [], []
        for pairs in self.pairs(rows, samples):
            whole.append(pairs.total.amin(1))
            if width is not None:
                logs = (-0.5 / width**2 * pairs.total.double()).logsumexp(1)
                kernel.append(logs - math.log(len(samples)))
            if self.left_out:
                partial.append(_partial(pairs, self.left_out))
        return Profile(
            _joined(whole).sqrt(),
            _joined(partial).sqrt() if self.left_out else None,
            None if width is None else _joined(kernel),
        )

    def _vectors(self, samples: Samples) -> Tensor:
        """Return rows as vectors in standard units; large images are made small."""
        parts = []
        for name in self.space:
            numbers = self._scaling.numbers(name, samples).float()
            v = self.space[name]
            if v.is_image and max(v.shape[-2:]) > _SIDE:
                height, breadth = (min(side, _SIDE) for side in v.shape[-2:])
                planes = numbers.reshape(len(samples), -1, *v.shape[-2:])
                numbers = F.adaptive_avg_pool2d(planes, (height, breadth))
            parts.append(numbers.reshape(len(samples), -1))
        return torch.cat(parts, 1)


def _sum(squares: list[Tensor]) -> Tensor:
    total = squares[0].clone()
    for each in squares[1:]:
        total.add_(each)
    return total


def _partial(pairs: Pairs, left_out: int) -> Tensor:
    """Return the least squared distance without the columns that differ most."""
    largest: list[Tensor] = []
    for column in pairs.columns:
        squares = column
        for place, held in enumerate(largest):
            largest[place] = torch.maximum(held, squares)
            squares = torch.minimum(held, squares)
        if len(largest) < left_out:
            largest.append(squares)
    rest = pairs.total.clone()
    for squares in largest:
        rest.sub_(squares)
    # what is left of equal numbers is rounding of the sum
    return torch.where(rest > 1e-6 * pairs.total, rest, 0.0).amin(1)


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts).double() if parts else torch.zeros(0).double()
