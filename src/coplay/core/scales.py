"""Centre and width of one variable: how they are fitted, and what they do."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from coplay.core.space import Variable

_TRIMMED = 20  # one value in so many, at either end, does not decide a scale
_VALUES = 1_000_000  # that a scale is fitted on, at most
_EQUAL = 1e-13  # spread, relative to the values, that is rounding
_UNLIKE = 30.0  # ratio of widths from which rows of an array have different units
_GROWN = 4.0  # ratio of widths, or distance of centres in widths, from which a scale is outgrown


@dataclass(frozen=True)
class Scale:
    """Centre and width of one variable, in its own units.

    Args:
        centre: One number, or one per component; float64, of a shape that broadcasts to the
            variable's.
        width: The same; 0 where nothing varied, which is scaled by 1.
        dtype: Type of the values that it was fitted on, which values in own units get.
    """

    centre: Tensor
    width: Tensor
    dtype: torch.dtype = torch.float32

    @property
    def divisor(self) -> Tensor:
        """The width, or 1 where it is 0."""
        return torch.where(self.width > 0, self.width, torch.ones_like(self.width))

    def standard(self, values: Tensor) -> Tensor:
        """Return values in standard units, float64."""
        return (values.double() - self.centre) / self.divisor

    def original(self, values: Tensor) -> Tensor:
        """Return values in own units, float64."""
        return self.centre + self.divisor * values.double()

    def outgrown_by(self, other: Scale) -> bool:
        """Whether other values are too far, or too far apart, to be seen in these units."""
        width = torch.maximum(self.width, other.width / _GROWN)
        is_far = (other.centre - self.centre).abs() > _GROWN * torch.where(width > 0, width, 0)
        is_wide = other.width > _GROWN * self.width
        return bool((is_far | is_wide).any())


def scale_of(values: Tensor, variable: Variable) -> Scale:
    """Fit a scale on values of shape (n, *shape).

    Example:
        >>> incomes = torch.tensor([35e3, 40e3, 45e3]).repeat(100)
        >>> scale = scale_of(incomes, Variable(kind="real"))
        >>> round(scale.centre.item()), round(scale.width.item())
        (40000, 4082)
        >>> with_code = torch.cat([incomes, torch.tensor([999999.0])])
        >>> abs(scale_of(with_code, Variable(kind="real")).centre - 40000) < 100
        tensor(True)
    """
    dtype = real_type(values, variable)
    shape = variable.shape
    rows = _some_rows(values).double()
    n = len(rows)
    if len(shape) < 2:
        centre, width = _moments(rows.reshape(n, -1))
        return Scale(centre.reshape(shape), width.reshape(shape), dtype)
    *leading, height, breadth = shape
    arrays = rows.reshape(n, -1, height, breadth)
    by_row = _moments_over(arrays, (0, 3))
    by_column = _moments_over(arrays, (0, 2))
    if _are_unlike(by_row[1]):
        centre, width = (m.reshape(*leading, height, 1) for m in by_row)
    elif _are_unlike(by_column[1]):
        centre, width = (m.reshape(*leading, 1, breadth) for m in by_column)
    else:
        centre, width = (m.reshape(*leading, 1, 1) for m in _moments_over(arrays, (0, 2, 3)))
    return Scale(centre, width, dtype)


def real_type(values: Tensor, variable: Variable) -> torch.dtype:
    """Return the type that values in own units get."""
    return values.dtype if values.is_floating_point() else variable.dtypes[0]


def _some_rows(values: Tensor) -> Tensor:
    """Return all rows, or as many, evenly spaced, as are enough for a scale."""
    each = max(1, math.prod(values.shape[1:]))
    most = max(1, _VALUES // each)
    if len(values) <= most:
        return values
    return values[torch.arange(most) * len(values) // most]


def _moments_over(arrays: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return centres and widths of an array's parts, each over all values along some axes."""
    others = [axis for axis in range(arrays.dim()) if axis not in axes]
    ordered = arrays.permute(*axes, *others)
    count = math.prod(arrays.shape[axis] for axis in axes)
    return _moments(ordered.reshape(count, -1))


def _moments(columns: Tensor) -> tuple[Tensor, Tensor]:
    """Return centre and width of each column, shape (K,), of values of shape (n, K)."""
    n = len(columns)
    ordered = columns.sort(0).values
    cut = min(math.ceil(n / _TRIMMED), (n - 1) // 2)
    centre, width = _mean_and_deviation(ordered.clamp(ordered[cut], ordered[n - 1 - cut]))
    _, everything = _mean_and_deviation(ordered)
    width = torch.where(width > 0, width, everything)
    # a constant is its own centre, without the rounding of a mean
    return torch.where(width > 0, centre, ordered[n // 2]), width


def _mean_and_deviation(columns: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of each column; a deviation of 0 for one that is mere rounding."""
    largest = columns.abs().amax(0)
    unit = torch.where(largest > 0, largest, 1.0)  # squares of large numbers are too large
    relative = columns / unit
    deviation = relative.std(0, correction=0)
    return relative.mean(0) * unit, torch.where(deviation > _EQUAL, deviation, 0.0) * unit


def _are_unlike(widths: Tensor) -> bool:
    """Whether the widths of rows are so different that they must have different units."""
    varying = widths[widths > 0]
    return len(varying) > 1 and bool(varying.max() > _UNLIKE * varying.min())


def plain_scale(centre: float, width: float) -> Scale:
    """Return a scale that is one pair of numbers."""
    numbers = torch.tensor([centre, width], dtype=torch.float64)
    return Scale(numbers[0], numbers[1])


def scale_of_range(v: Variable) -> Scale:
    """Return the scale of a variable before it is fitted: of its range, else of numbers as is."""
    low, high = v.range
    if math.isfinite(high - low) and high > low:
        return plain_scale((low + high) / 2, (high - low) / 2)
    return plain_scale(0.0, 1.0)
