"""The one place that scales: what networks, the domain classifier and distances see of variables.

A column of ages and one of incomes must weigh alike. So numbers are measured from a centre in
widths of their own,

    z = (x − centre) / width,

fitted on data. Centre and width are mean and standard deviation once the lowest and the highest
twentieth of the values have moved to the rest's ends, so that a few outliers, or a code such as
999999, do not decide them. Where that leaves nothing to vary, as in a column that is mostly 0, all
values count; where nothing varies at all, the width is 1. Each component of a vector has its own
scale; a picture or a signal has one, unless its rows, or its columns, have different units.

Bits and classes stay as they are. A picture with an agreed range is scaled by that: one whose
numbers are of order one already, such as [0, 1], stays as it is to the last bit, any other is
mapped to [-1, 1].
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from coplay.core.space import Samples, Space, Variable
from coplay.core.streams import stream

_TRIMMED = 20  # one value in so many, at either end, does not decide a scale
_VALUES = 1_000_000  # that a scale is fitted on, at most
_ROWS = 4096
_EQUAL = 1e-13  # spread, relative to the values, that is rounding
_UNLIKE = 30.0  # ratio of widths from which rows of an array have different units
_GROWN = 4.0  # ratio of widths, or distance of centres in widths, from which a scale is outgrown
_FAR = 5.0  # widths beyond which networks see distances by their logarithm
_MOST = 1e15  # widths from the centre: the square of more is too large for 32 bits
_ONE_HOT = 64  # classes; with more, a class has a random code instead
_CODE = 32  # numbers of such a code


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
    dtype = values.dtype if values.is_floating_point() else variable.dtypes[0]
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


class Scaling:
    """The scales of all variables of a space, fitted on data as they come.

    Args:
        space: The variables.
        keep: Names of variables that stay as they are, whatever they are.

    Example:
        >>> space = Space({"income": Variable(kind="real"), "sex": Variable(kind="binary")})
        >>> scaling = Scaling(space)
        >>> people = space.samples(
        ...     income=torch.tensor([30e3, 50e3]).repeat(50),
        ...     sex=torch.tensor([0, 1], dtype=torch.uint8).repeat(50))
        >>> _ = scaling.follow([people], [1.0])
        >>> scaled = scaling.standard(people)
        >>> scaled["income"][:2].tolist(), scaling.original(scaled)["income"][:2].tolist()
        ([-1.0, 1.0], [30000.0, 50000.0])
    """

    def __init__(self, space: Space, keep: Collection[str] = ()) -> None:
        self.space = space
        self.by_data = [name for name in space if name not in keep and _is_fitted(space[name])]
        """Names of the variables that are scaled by data."""
        self._scales: dict[str, Scale] = {}
        self._fitted: dict[str, Scale] = {}
        standard: dict[str, Variable] = {}
        for name in space:
            v = space[name]
            standard[name] = v
            if name in self.by_data:
                standard[name] = Variable(kind="real", shape=v.shape)
                self._scales[name] = _scale_of_range(v)
            elif name not in keep and _is_mapped(v):
                standard[name] = Variable(kind="real", shape=v.shape, low=-1, high=1)
                self._scales[name] = _scale_of_range(v)
        self.standard_space = Space(standard)
        """The variables in standard units; those that are scaled by data have no limits."""

    def follow(self, sources: Sequence[Samples], weights: Sequence[float]) -> bool:
        """Fit the scales of variables that are seen for the first time, or have been outgrown.

        Args:
            sources: Sample sets; each may lack variables.
            weights: Their masses.

        Returns:
            Whether a scale that was in use has changed.
        """
        changed = False
        for name in self.by_data:
            values = _pooled(name, sources, weights)
            if values is None:
                continue
            scale = scale_of(values, self.space[name])
            present = self._fitted.get(name)
            if present is None or present.outgrown_by(scale):
                self._scales[name] = scale
                self._fitted[name] = scale
                changed = changed or present is not None
        return changed

    def standard(self, samples: Samples) -> Samples:
        """Return samples in standard units, float32; what has no scale stays as it is."""
        own = [name for name in self._scales if name in samples.keys()]
        if not own:
            return samples
        scaled = samples.clone(recurse=False)
        for name in own:
            values = self._scales[name].standard(samples[name])
            scaled[name] = values.clamp(-_MOST, _MOST).to(torch.float32)
        return scaled

    def original(self, samples: Samples) -> Samples:
        """Return samples in own units: of the type of the data, in the variable's range."""
        own = [name for name in self._scales if name in samples.keys()]
        if not own:
            return samples
        restored = samples.clone(recurse=False)
        for name in own:
            scale = self._scales[name]
            restored[name] = _allowed(scale.original(samples[name]), self.space[name], scale.dtype)
        return restored

    def limits(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Return smallest and largest values in standard units, of variables scaled by data.

        Those without limits are left out.
        """
        limits = {}
        for name in self.by_data:
            low, high = self.space[name].range
            if math.isfinite(low) or math.isfinite(high):
                ends = torch.tensor([low, high], dtype=torch.float64)
                least, most = (self._scales[name].standard(end).float() for end in ends)
                limits[name] = (least, most)
        return limits

    def log_volume(self, names: Collection[str] | None = None) -> float:
        """Return Σ log width over all components of some variables, by default of all.

        It is what a log-likelihood in own units is less than one in standard units.
        """
        total = 0.0
        for name, scale in self._scales.items():
            if names is None or name in names:
                shape = self.space[name].shape
                total += scale.divisor.log().broadcast_to(shape).sum().item()
        return total

    def vectors(self, samples: Samples, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return what distances and perceptrons see: all variables side by side, shape (n, D).

        Beyond five widths from the centre, values grow by their logarithm only. Two different
        classes are at distance 1, as two different bits are.
        """
        n = len(samples)
        parts = [self.numbers(name, samples).reshape(n, -1).to(dtype) for name in self.space]
        return torch.cat(parts, 1)

    def numbers(self, name: str, samples: Samples) -> Tensor:
        """Return one variable as :meth:`vectors` has it; all but classes keep their shape."""
        values = samples[name]
        v = self.space[name]
        if v.kind == "categorical":
            return _codes(v.classes or 0, values)
        scale = self._scales.get(name)
        if scale is None:
            return values
        standard = scale.standard(values)
        return squashed(standard) if name in self.by_data else standard

    def state_dict(self) -> dict[str, Tensor]:
        """Return the fitted scales by variable; empty where none is fitted."""
        state = {}
        for name, scale in self._fitted.items():
            state[f"centre/{name}"] = scale.centre
            state[f"width/{name}"] = scale.width
            state[f"type/{name}"] = torch.zeros((), dtype=scale.dtype)
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        self._fitted = {}
        for name in self.by_data:
            self._scales[name] = _scale_of_range(self.space[name])
            if f"centre/{name}" in state:
                dtype = state[f"type/{name}"].dtype
                scale = Scale(state[f"centre/{name}"], state[f"width/{name}"], dtype)
                self._scales[name] = scale
                self._fitted[name] = scale


def code_size(v: Variable) -> int:
    """Return how many numbers stand for one value of a variable among vectors."""
    if v.kind != "categorical":
        return 1
    classes = v.classes or 0
    return classes if classes <= _ONE_HOT else _CODE


def _plain_scale(centre: float, width: float) -> Scale:
    """Return a scale that is one pair of numbers."""
    numbers = torch.tensor([centre, width], dtype=torch.float64)
    return Scale(numbers[0], numbers[1])


def _scale_of_range(v: Variable) -> Scale:
    """Return the scale of a variable before it is fitted: of its range, else of numbers as is."""
    low, high = v.range
    if math.isfinite(high - low) and high > low:
        return _plain_scale((low + high) / 2, (high - low) / 2)
    return _plain_scale(0.0, 1.0)


def _is_fitted(v: Variable) -> bool:
    """Whether a variable is scaled by data: numbers, and pictures without an agreed range."""
    if v.kind in ("binary", "categorical"):
        return False
    return not (v.is_image and all(map(math.isfinite, v.range)))


def _is_mapped(v: Variable) -> bool:
    """Whether a picture's agreed range is mapped to [-1, 1], since it is not of order one."""
    low, high = v.range
    if v.kind != "real" or not v.is_image or not math.isfinite(high - low) or high <= low:
        return False
    return not (max(-low, high) <= 1 and high - low >= 1)


def _pooled(name: str, sources: Sequence[Samples], weights: Sequence[float]) -> Tensor | None:
    """Return rows of all sources that have a variable, each as often as its mass says.

    None where no source has it.
    """
    having = []
    for samples, weight in zip(sources, weights, strict=True):
        if name in samples.keys() and len(samples) and weight > 0:
            having.append((samples[name], weight))
    if not having:
        return None
    if len(having) == 1:
        return having[0][0]
    total = sum(weight for _, weight in having)
    parts = []
    for values, weight in having:
        count = max(1, round(_ROWS * weight / total))
        parts.append(values[torch.arange(count) * len(values) // count])
    return torch.cat(parts)


def _allowed(values: Tensor, v: Variable, dtype: torch.dtype) -> Tensor:
    """Move values to the nearest allowed ones of the variable's type."""
    low, high = v.range
    if v.kind != "real":
        values = values.round()
        dtype = v.dtypes[0]
    moved = values.clamp(low, high).to(dtype)
    if not dtype.is_floating_point:
        return moved
    # the limits may be no numbers of 32 bits; their neighbours inside the range are
    ends = torch.tensor([low, high], dtype=torch.float64).to(dtype)
    least = ends[0] if ends[0].item() >= low else torch.nextafter(ends[0], ends[1])
    most = ends[1] if ends[1].item() <= high else torch.nextafter(ends[1], ends[0])
    return moved.clamp(least, most)


def squashed(z: Tensor) -> Tensor:
    """Return values in standard units whose distance beyond five widths grows by its logarithm.

    Their order stays, and a network can bear them.

    Example:
        >>> squashed(torch.tensor([-5.0, 2.0, 1e6])).round(decimals=1)
        tensor([-5.0000,  2.0000, 18.8000])
    """
    beyond = (z.abs() - _FAR).clamp_min(0)
    return torch.where(beyond > 0, z.sign() * (_FAR + beyond.log1p()), z)


def _codes(classes: int, values: Tensor) -> Tensor:
    """Return numbers for classes, shape (*values.shape, code size); different ones differ by 1."""
    if classes <= _ONE_HOT:
        return F.one_hot(values, classes) * math.sqrt(0.5)
    generator = stream(classes, "codes of classes")
    table = torch.randn(classes, _CODE, generator=generator) / math.sqrt(2 * _CODE)
    return table[values]
