"""What is looked at when a model is tried: its state, its samples, and whether they repeat."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path

import torch
from tensordict import TensorDict
from torch import Tensor

from coplay.core.errors import ModelError, SpaceError
from coplay.core.space import Samples, Space, tensors

FLAT = "coplay.flat_state(module, optimizer) returns such a mapping"
"""What a fault of a state advises."""


def faults_of_draw(drawn: object, space: Space, n: int) -> list[str]:
    """Return what is wrong with what ``sample(n)`` of a model returned.

    Args:
        drawn: It.
        space: The variables of the model, with latents that travel.
        n: How many samples it was asked for.
    """
    origin = f"sample({n})"
    faults = []
    if isinstance(drawn, TensorDict):
        for name, value in drawn.items():
            if not isinstance(value, Tensor):
                faults.append(
                    f"{origin} returned {kind_of(value)} as '{name}', expected a tensor of "
                    f"{_expected(space, str(name), n)}"
                )
            elif value.requires_grad:
                faults.append(
                    f"{origin} returned '{name}' with a graph for gradients; draw inside "
                    "torch.no_grad(), or return it detached"
                )
            elif value.device.type != "cpu":
                faults.append(f"{origin} returned '{name}' on {value.device}, expected cpu")
    if faults:
        return faults
    try:
        space.check(drawn, origin, complete=True, rows=n)
    except SpaceError as error:
        return [str(error)]
    return []


def fault_of_entry(entry: tuple[object, object]) -> str | None:
    """Say what is wrong with one entry of a state."""
    name, value = entry
    if not isinstance(name, str):
        return f"state_dict has the name {name!r}, expected a text"
    place = f"state_dict: '{name}' is {kind_of(value)}, expected a tensor"
    if isinstance(value, Mapping):
        return f"{place}: a state is flat; {FLAT}"
    if not isinstance(value, Tensor):
        return f"{place}; make one with torch.as_tensor({name.rpartition('.')[2] or 'value'})"
    if value.layout != torch.strided or value.is_quantized:
        return f"{place} that is dense; call to_dense() or dequantize()"
    if value.device.type != "cpu":
        return f"state_dict: '{name}' is on {value.device}, expected cpu; call cpu()"
    return None


def faults_of_memory(state: Mapping[str, Tensor]) -> list[str]:
    """Return a fault for each tensor of a state that overlaps with another in memory."""
    places = []
    for name, tensor in state.items():
        if tensor.numel() and tensor.is_contiguous():  # others are copied when they are stored
            begin = tensor.data_ptr()
            places.append((begin, begin + tensor.numel() * tensor.element_size(), name))
    faults = []
    furthest = (0, "")
    for begin, end, name in sorted(places):
        if begin < furthest[0]:
            faults.append(
                f"state_dict: '{furthest[1]}' and '{name}' share memory, as tied weights do, and a "
                f"file has every tensor once; return a clone() of one, or leave it out; {FLAT}"
            )
        furthest = max(furthest, (end, name))
    return faults


def checked_state(state: object, *, had_some: bool) -> Mapping[str, Tensor]:
    """Return a model's state if it can be stored and tells what was learned.

    Args:
        state: What ``state_dict`` returned.
        had_some: Whether it returned tensors before.

    Raises:
        ModelError: It is no flat mapping of tensors, two of them share memory, one has NaN, or
            there are none any more.
    """
    if not isinstance(state, Mapping):
        raise ModelError(f"state_dict returned {kind_of(state)}, expected tensors by name; {FLAT}")
    faults = [fault for fault in map(fault_of_entry, state.items()) if fault]
    faults = faults or faults_of_memory(state)
    if had_some and not state:
        faults.append("state_dict returned no tensors, and some before; all it learned would go")
    for name, tensor in state.items():
        if not faults and tensor.is_floating_point() and tensor.isnan().any():
            faults.append(
                f"state_dict: '{name}' has NaN: the model has diverged; try smaller steps"
            )
    if faults:
        raise ModelError("; ".join(faults))
    return state


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two states are the same, bit for bit."""
    return one.keys() == other.keys() and all(equal(t, other[name]) for name, t in one.items())


def same_samples(one: Samples | None, other: Samples | None) -> bool:
    """Whether two sample sets are the same, bit for bit; nothing is the same as nothing."""
    if one is None or other is None:
        return one is other
    return same(tensors(one), tensors(other))


def equal(one: Tensor, other: Tensor) -> bool:
    """Whether tensors have the same type, shape and values; NaN is the same as NaN."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())


def _expected(space: Space, name: str, n: int) -> str:
    if name not in space:
        return "a variable of the space"
    v = space[name]
    return f"type {str(v.dtypes[0]).removeprefix('torch.')} and shape {(n, *v.shape)}"


def kind_of(value: object) -> str:
    """Name the type of a value with its article."""
    if value is None:
        return "None"
    name = type(value).__name__
    article = "an" if name[0].lower() in "aeiou" else "a"
    return f"{article} {name}"


def place_of(error: BaseException) -> str:
    """Return the line of a traceback that raised, in words."""
    frames = traceback.extract_tb(error.__traceback__)
    foreign = [frame for frame in frames if not _is_of_a_library(Path(frame.filename))]
    frame = (foreign or list(frames))[-1]
    return f"{Path(frame.filename).name}, line {frame.lineno}: {frame.line}"


def _is_of_a_library(file: Path) -> bool:
    return "site-packages" in file.parts or "coplay" in file.parts


def alike(one: Samples, other: Samples, name: str) -> bool:
    """Whether a variable has the same values in two sample sets; one may lack it."""
    return name not in one.keys() or equal(one[name], other[name])
