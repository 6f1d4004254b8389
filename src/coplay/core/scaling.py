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
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from coplay.core.scales import Scale, plain_scale, real_type, scale_of, scale_of_range
from coplay.core.space import Samples, Space, Variable
from coplay.core.streams import stream

_ROWS = 4096
_FAR = 5.0  # widths beyond which networks see distances by their logarithm
_MOST = 1e15  # widths from the centre: the square of more is too large for 32 bits
_ONE_HOT = 64  # classes; with more, a class has a random code instead
_CODE = 32  # numbers of such a code


class Scaling:
    """The scales of all variables of a space, fitted on data as they come.

    Args:
        space: The variables.
        keep: Names of variables that stay as they are, whatever they are.
        plain: Whether all stay as they are; only the type of numbers, 32 or 64 bits, is that of the
            data.

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

    def __init__(self, space: Space, keep: Collection[str] = (), *, plain: bool = False) -> None:
        self.space = space
        self._plain = plain
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
                self._scales[name] = self._unfitted(name)
            elif name not in keep and _is_mapped(v) and not plain:
                standard[name] = Variable(kind="real", shape=v.shape, low=-1, high=1)
                self._scales[name] = scale_of_range(v)
        self.standard_space = Space(standard)
        """The variables in standard units; those that are scaled by data have no limits."""

    def _unfitted(self, name: str) -> Scale:
        """Return the scale of a variable before it is fitted."""
        return plain_scale(0.0, 1.0) if self._plain else scale_of_range(self.space[name])

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
            if self._plain:
                scale = replace(self._unfitted(name), dtype=real_type(values, self.space[name]))
            else:
                scale = scale_of(values, self.space[name])
            present = self._fitted.get(name)
            if present is None or present.outgrown_by(scale):
                self._scales[name] = scale
                self._fitted[name] = scale
                changed = changed or present is not None
        return changed

    def standard(self, samples: Samples, dtype: torch.dtype = torch.float32) -> Samples:
        """Return samples in standard units; what has no scale stays as it is."""
        own = [name for name in self._scales if name in samples.keys()]
        if not own:
            return samples
        scaled = samples.clone(recurse=False)
        for name in own:
            values = self._scales[name].standard(samples[name])
            if dtype == torch.float32:
                values = values.clamp(-_MOST, _MOST)
            scaled[name] = values.to(dtype)
        return scaled

    def original(self, samples: Samples) -> Samples:
        """Return samples in own units: of the type of the data, in the variable's range."""
        own = [name for name in self._scales if name in samples.keys()]
        if not own:
            return samples
        restored = samples.clone(recurse=False)
        for name in own:
            scale = self._scales[name]
            restored[name] = allowed(scale.original(samples[name]), self.space[name], scale.dtype)
        return restored

    def completed(self, standard: Samples, given: Samples) -> Samples:
        """Return completed samples in own units; what was given of them stays to the last bit."""
        completed = self.original(standard)
        for name in self._scales:
            if name in given.keys():
                completed[name] = given[name]
        return completed

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

    def side_by_side(self, names: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return centre and width of every component of some variables, each of shape (D,)."""
        centres = []
        widths = []
        for name in names:
            v = self.space[name]
            scale = self._scales.get(name) or plain_scale(0.0, 1.0)
            centres.append(scale.centre.broadcast_to(v.shape).flatten())
            widths.append(scale.divisor.broadcast_to(v.shape).flatten())
        return torch.cat(centres), torch.cat(widths)

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
        is_unfitted = name in self.by_data and name not in self._fitted
        if scale is None or is_unfitted:
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
            self._scales[name] = self._unfitted(name)
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


def allowed(values: Tensor, v: Variable, dtype: torch.dtype) -> Tensor:
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
