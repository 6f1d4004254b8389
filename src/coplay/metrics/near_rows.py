"""How near rows of a table are to others: in all columns, and in those that agree best.

A number counts in standard units, a category by agreement: 0 where two are equal, 1 where not. Two
missing values are equal, and one is unlike any value that is there.

A row that repeats a real one in most columns, and has something new in the others, is as far from
it as the others say, and looks like nobody's. So the columns in which two rows differ most are left
out of a second distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from coplay.core.scales import scale_of
from coplay.core.scaling import squashed
from coplay.core.space import Samples, Space
from coplay.core.variable import Variable

_CELLS = 2**18  # pairs of rows that are compared at a time: as much as lies near a processor
_LEFT_OUT = 4  # one column in so many is left out of the second distance


@dataclass(frozen=True)
class Column:
    """One number of each row of two tables.

    Args:
        values: Shape (n,), float64, in standard units; NaN where one is missing.
        others: The same of the other table, shape (m,).
        is_category: Whether values agree or not, and are no numbers.
    """

    values: Tensor
    others: Tensor
    is_category: bool

    def squares(self, rows: slice) -> Tensor:
        """Return the squared distance of some rows to all others, shape (rows, m), float32."""
        values, others = self.values[rows, None], self.others[None]
        if self.is_category:
            return ((values != others) & ~(values.isnan() & others.isnan())).float()
        squares = values.float().sub(others.float()).square_()
        if not (values.isnan().any() or others.isnan().any()):
            return squares
        return torch.where(values.isnan() & others.isnan(), 0.0, squares.nan_to_num_(1.0))


@dataclass(frozen=True)
class Nearness:
    """How near each of n rows is to the nearest of others.

    Args:
        whole: Distance over all columns, shape (n,), float64.
        partial: Distance over all but the columns that differ most, shape (n,), float64.
    """

    whole: Tensor
    partial: Tensor


class NearRows:
    """Rows of a table, among which the nearest one to each other row is looked for.

    Args:
        space: The variables that are compared; none is an image.
        among: The rows among which the nearest is looked for, at least one.
        units: The rows that say what standard units are.

    Example:
        >>> space = Space({"x": Variable(kind="real"), "ill": Variable(kind="binary")})
        >>> ill = torch.tensor([0, 1], dtype=torch.uint8)
        >>> among = space.samples(x=torch.tensor([-1.0, 1.0]), ill=ill)
        >>> near = NearRows(space, among, units=among)
        >>> near.left_out, near.nearness(space.samples(x=torch.tensor([1.0, -1.0]), ill=ill))
        (1, Nearness(whole=tensor([1., 1.], dtype=torch.float64),
                     partial=tensor([0., 0.], dtype=torch.float64)))
    """

    def __init__(self, space: Space, among: Samples, units: Samples) -> None:
        self._space = space
        self._among = among
        self._units = units
        self.columns = sum(space[name].size for name in space)
        """Number of columns."""
        self.left_out = max(1, self.columns // _LEFT_OUT)
        """Number of columns that are left out of the second distance."""

    def affordable(self, work: float) -> int:
        """Return how many rows can be compared within so many operations on numbers."""
        each = len(self._among) * self.columns * (1 + self.left_out)
        return int(work / each)

    def nearness(self, rows: Samples) -> Nearness:
        """Return how near rows are to the nearest of the others."""
        columns: list[Column] = []
        for name in self._space:
            variable = self._space[name]
            sides = (rows[name], self._among[name], self._units[name])
            columns += columns_of(variable, *sides)
        whole, partial = [], []
        step = max(1, _CELLS // len(self._among))
        for start in range(0, len(rows), step):
            nearest = self._of(columns, slice(start, start + step))
            whole.append(nearest.whole)
            partial.append(nearest.partial)
        if not whole:
            return Nearness(torch.zeros(0).double(), torch.zeros(0).double())
        return Nearness(torch.cat(whole), torch.cat(partial))

    def _of(self, columns: list[Column], rows: slice) -> Nearness:
        total = None
        largest: list[Tensor] = []  # of each pair of rows, the largest squares, in order
        for column in columns:
            squares = column.squares(rows)
            total = squares.clone() if total is None else total.add_(squares)
            for place, held in enumerate(largest):
                largest[place] = torch.maximum(held, squares)
                squares = torch.minimum(held, squares)
            if len(largest) < self.left_out:
                largest.append(squares)
        assert total is not None, "a table has columns"
        whole = total.amin(1)
        for squares in largest:
            total.sub_(squares)
        # what is left of equal numbers is rounding of the sum
        rounding = 1e-6 * sum(squares for squares in largest)
        partial = torch.where(total > rounding, total, 0.0).amin(1)
        return Nearness(whole.double().sqrt(), partial.double().sqrt())


def columns_of(variable: Variable, rows: Tensor, among: Tensor, units: Tensor) -> list[Column]:
    """Return the numbers of one variable in standard units, side by side."""
    sides = []
    for values in (rows, among, units):
        numbers = values.detach().double().reshape(len(values), -1).clone()
        numbers[~variable.present(values)] = torch.nan
        sides.append(numbers)
    is_category = variable.kind in ("binary", "categorical")
    columns = []
    for place in range(variable.size):
        ours, others, measure = (numbers[:, place] for numbers in sides)
        if not is_category:
            ours, others = _standard(measure, [ours, others])
        columns.append(Column(ours, others, is_category))
    return columns


def _standard(measure: Tensor, sides: list[Tensor]) -> list[Tensor]:
    """Return numbers from the centre of some in their width; a constant is its own width."""
    known = measure[~measure.isnan()]
    if not len(known):
        return sides
    scale = scale_of(known, Variable(kind="real"))
    width = scale.width
    if width == 0:
        width = torch.where(scale.centre != 0, scale.centre.abs(), 1.0)
    return [squashed((values - scale.centre) / width) for values in sides]
