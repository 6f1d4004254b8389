"""What lies in one part of a payload: samples of a space, or tensors of known shapes.

The checks take nothing for granted: neither that a sample set is one, nor that a tensor is an
ordinary one. Values cost one pass, and no reason quotes more of them than one that is out of range.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from tensordict import TensorDict
from torch import Tensor

from coplay.core.plain import shortened
from coplay.core.space import Samples, Space, tensors

LARGEST = 1e150
"""Largest absolute value of an unbounded number of 64 bits; sums of its square are finite."""

LARGEST_COUNT = 1e15
"""Largest number of steps or samples."""

_LARGEST_OF_32_BITS = 1e18
"""The same for 32 bits."""

LARGEST_IN_NETWORK = 1e6
"""Largest absolute value of a parameter or a slope: beyond it, a network has diverged."""


class Content(Protocol):
    """What lies in one part of a payload."""

    def faults(self, samples: Samples) -> list[str]:
        """List what is wrong; the tensors are known to be ordinary ones of equal length."""
        ...


@dataclass(frozen=True)
class InSpace:
    """Samples of a space.

    Args:
        space: Its variables, with type, shape and range.
        needed: Names of the variables that must be there.
        others: Whether variables that the space does not have are left alone.
        loose: Names of variables that are left alone where they have another shape, such as latents
            of another model.

    Example:
        >>> from coplay import Variable
        >>> space = Space({"x": Variable(kind="binary")})
        >>> InSpace(space).faults(space.samples(x=torch.ones(2, dtype=torch.uint8)))
        []
        >>> InSpace(space).faults(space.samples(x=torch.ones(2)))
        ["variable 'x' (binary scalar): expected type uint8, got torch.float32"]
    """

    space: Space
    needed: Collection[str] = ()
    others: bool = False
    loose: Collection[str] = ()

    def faults(self, samples: Samples) -> list[str]:
        """List what is wrong with the samples."""
        faults = []
        for name, values in tensors(samples).items():
            if name not in self.space:
                if not self.others:
                    faults.append(
                        f"expected variables among {', '.join(self.space)}, got {shortened(name)}"
                    )
                continue
            variable = self.space[name]
            if name in self.loose and values.shape[1:] != variable.shape:
                continue
            fault = variable.fault(values)
            if not fault and math.inf in (-variable.range[0], variable.range[1]):
                present = values[variable.present(values)] if variable.optional else values
                fault = _range_fault(present, -_largest(values), _largest(values))
            if fault:
                faults.append(f"variable '{name}' ({variable}): expected {fault}")
        missing = [name for name in self.needed if name not in samples.keys()]
        if missing:
            faults.append(f"variable '{missing[0]}' ({self.space[missing[0]]}) is missing")
        return faults


@dataclass(frozen=True)
class Form:
    """What one tensor of a network must be.

    Args:
        shape: Of one sample, or of the parameter.
        dtype: Its type.
        low: Smallest value.
        high: Largest value.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    low: float = -LARGEST_IN_NETWORK
    high: float = LARGEST_IN_NETWORK

    def fault(self, values: Tensor) -> str:
        """Describe what was expected and what came; empty if the values of shape (n, …) fit."""
        if values.dtype != self.dtype or tuple(values.shape[1:]) != self.shape:
            got = f"{tuple(values.shape[1:])} of {values.dtype}"
            return f"{self.shape} of {self.dtype}, got {got}"
        return _range_fault(values, self.low, self.high)


@dataclass(frozen=True)
class Tensors:
    """Tensors of known names, shapes and types, such as a network's parameters.

    Args:
        forms: What each of them must be, by name.
        together: Sets of names of which all or none are there, such as Adam's state of a parameter;
            all other names must be there.

    Example:
        >>> part = TensorDict({"w": torch.full((1, 2), math.nan)}, [1])
        >>> Tensors({"w": Form((2,), torch.float32)}).faults(part)
        ["'w': expected finite values, got NaN or infinite ones"]
    """

    forms: Mapping[str, Form]
    together: Sequence[Collection[str]] = ()

    def faults(self, samples: Samples) -> list[str]:
        """List what is wrong with the tensors."""
        faults = []
        values = tensors(samples)
        for name, tensor in values.items():
            form = self.forms.get(name)
            if form is None:
                faults.append(f"{expected_names(self.forms, 'tensor')}, got {shortened(name)}")
                continue
            fault = form.fault(tensor)
            if fault:
                faults.append(f"{name!r}: expected {fault}")
        missing = [name for name in self._needed(values) if name not in values]
        if missing:
            faults.append(f"{len(missing)} tensors are missing, first {missing[0]!r}")
        return faults

    def _needed(self, present: Collection[str]) -> list[str]:
        """Return the names that must be there, given those that are."""
        free = {name for names in self.together for name in names}
        needed = [name for name in self.forms if name not in free]
        for names in self.together:
            if any(name in present for name in names):
                needed += names
        return needed


@dataclass(frozen=True)
class AnyTensors:
    """Ordinary tensors, whatever they hold: for a game that declares no more."""

    def faults(self, samples: Samples) -> list[str]:
        """Every sample set of finite numbers will do."""
        faults = []
        for name, values in tensors(samples).items():
            most = _largest(values)
            if values.is_floating_point() and _range_fault(values, -most, most):
                faults.append(f"{shortened(name)}: expected finite values of at most {most:g}")
        return faults


def _largest(values: Tensor) -> float:
    return LARGEST if values.dtype.itemsize >= 8 else _LARGEST_OF_32_BITS


_METHODS = frozenset(name for name in dir(TensorDict) if callable(getattr(TensorDict, name, None)))


def sample_set_fault(samples: object) -> str:
    """Describe why this is no sample set of ordinary tensors; empty if it is one."""
    if type(samples) is not TensorDict or samples.batch_dims != 1:
        return f"expected a TensorDict with one batch axis, got {type(samples).__name__}"
    # an instance may hide what its class does
    if not _METHODS.isdisjoint(vars(samples)):
        return "expected a plain TensorDict, got one with methods of its own"
    if type(samples.batch_size) is not torch.Size:
        return "expected a TensorDict with one batch axis"
    rows = len(samples)
    entries = dict(samples.items())
    if not entries:
        return "expected at least one tensor, got none"
    for name, tensor in entries.items():
        if type(name) is not str:
            return f"expected names of variables, got {type(name).__name__}"
        fault = _tensor_fault(tensor, rows)
        if fault:
            return f"{shortened(name)}: expected {fault}"
    return ""


def _tensor_fault(tensor: object, rows: int) -> str:
    """Describe why this is no ordinary tensor of so many rows; empty if it is one."""
    if type(tensor) is not Tensor:
        return f"a tensor, got {type(tensor).__name__}"
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_complex():
        return f"a dense tensor of real numbers, got {tensor.layout} of {tensor.dtype}"
    if tensor.device.type != "cpu":
        return f"a tensor in memory, got one on {tensor.device.type}"
    if tensor.requires_grad:
        return "a tensor without a graph, got one that requires a gradient"
    if not tensor.dim() or tensor.shape[0] != rows:
        return f"{rows} rows as its sample set has, got shape {tuple(tensor.shape)}"
    return ""


def _range_fault(values: Tensor, low: float, high: float) -> str:
    """Describe what was expected of values and what came, without quoting any; empty if right."""
    if not values.numel():
        return ""
    least, most = (end.item() for end in values.aminmax())
    if low <= least and most <= high:
        return ""
    if not (math.isfinite(least) and math.isfinite(most)):
        return "finite values, got NaN or infinite ones"
    return f"values from {low:g} to {high:g}, got others"


def expected_names(known: Collection[str], kind: str, preposition: str = "called") -> str:
    """Say which names were expected."""
    if not known:
        return f"expected no {kind}"
    names = [shortened(name) for name in list(known)[:5]]
    more = f" and {len(known) - 5} more" if len(known) > 5 else ""
    return f"expected each {kind} {preposition} one of {', '.join(names)}{more}"
