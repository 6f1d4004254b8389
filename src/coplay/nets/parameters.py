"""Parameters that travel between players: sending, loading and averaging, with Adam's state.

A network travels as one part of a message, a ``TensorDict`` of batch size [1], since all that
travels is a sample set. Names are the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from coplay.core.contents import LARGEST_COUNT, LARGEST_IN_NETWORK, Form
from coplay.core.errors import ModelError
from coplay.core.space import Samples, finite, tensors
from coplay.nets.training import adam_state_like

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # Adam's state of one parameter


def named_tensors(net: nn.Module, prefix: str = "", *, buffers: bool = True) -> dict[str, Tensor]:
    """Return a network's parameters, and its buffers behind them, by prefix and name; no copies."""
    named: dict[str, Tensor] = {prefix + name: p for name, p in net.named_parameters()}
    if buffers:
        named |= {prefix + name: buffer for name, buffer in net.named_buffers()}
    return named


def copied(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous copies on the CPU, whatever the layout, as they are after a checkpoint."""
    return {name: _copy(tensor) for name, tensor in named.items()}


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def export(named: Mapping[str, Tensor], label: str = "") -> Samples:
    """Return copies of tensors as one part of a message, each with a first axis of length 1.

    Args:
        named: Parameters, buffers and whatever else goes along, by name.
        label: What an error puts before a name.

    Raises:
        ModelError: A number is not finite. This is checked at the sender, so that the error names
            the player that diverged and not one that it sends to.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> part = export(named_tensors(net))
        >>> sorted(part.keys()), part["weight"].shape
        (['bias', 'weight'], torch.Size([1, 1, 2]))
    """
    values = copied(named)
    for name, tensor in values.items():
        if not finite(tensor):
            fault = f"{label}{name} has values that are not finite"
            raise ModelError(f"{fault}; the network has diverged, try smaller steps")
    return TensorDict({name: tensor[None] for name, tensor in values.items()}, batch_size=[1])


def unpack(part: Samples) -> dict[str, Tensor]:
    """Return the tensors of one part of a message by name, without its first axis."""
    return {name: tensor[0] for name, tensor in tensors(part).items()}


def load(values: Mapping[str, Tensor], own: Mapping[str, Tensor], origin: str) -> None:
    """Load tensors in place; nothing changes if one of them does not fit.

    Args:
        values: New values by name.
        own: Parameters and buffers of this player by name; those without a new value stay.
        origin: The sender of the values, for the error.

    Raises:
        ModelError: A name, shape or type differs from this player's, or a number is not finite.
    """
    for name, tensor in values.items():
        if name not in own:
            expected = "no such parameter"
        elif own[name].shape != tensor.shape or own[name].dtype != tensor.dtype:
            expected = f"{tuple(own[name].shape)} of {own[name].dtype}"
        else:
            expected = ""
        if expected:
            got = f"{tuple(tensor.shape)} of {tensor.dtype}"
            raise ModelError(f"{name} from {origin} is {got}, expected {expected}")
        if not finite(tensor):
            fault = f"{name} from {origin} has values that are not finite"
            raise ModelError(f"{fault}; that model has diverged")
    with torch.no_grad():
        for name, tensor in values.items():
            own[name].copy_(tensor)


def average_of(parts: Sequence[Samples], weights: Tensor) -> Samples:
    """Return the weighted mean of exported parts; the operands do not change.

    Args:
        parts: N parts of equal names and shapes.
        weights: Shape (N,), float64, sum 1.

    Example:
        >>> parts = [export({"w": torch.full((2,), x)}) for x in (0.0, 4.0)]
        >>> average_of(parts, torch.tensor([0.75, 0.25], dtype=torch.float64))["w"]
        tensor([[1., 1.]])
    """
    mean = {}
    for key in parts[0].keys():
        name = str(key)
        stacked = torch.stack([part[name][0] for part in parts])
        mixed = torch.tensordot(weights, stacked.double(), 1)
        if not stacked.is_floating_point():  # such as a layer's count of batches
            mixed = mixed.round()
        mean[name] = mixed.to(stacked.dtype)[None]
    return TensorDict(mean, batch_size=[1])


def adam_state(
    optimizer: torch.optim.Optimizer, named: Mapping[str, nn.Parameter], separator: str = "|"
) -> dict[str, Tensor]:
    """Return Adam's state, no copies; empty before the first step.

    Args:
        optimizer: Adam.
        named: The parameters that it moves, by name.
        separator: What stands between a parameter's name and that of its moment.
    """
    state: dict[str, Tensor] = {}
    for name, p in named.items():
        if p in optimizer.state:
            values = optimizer.state[p]
            state |= {f"{name}{separator}{moment}": values[moment] for moment in _MOMENTS}
    return state


def adam_forms(
    parameter: str, shape: tuple[int, ...], dtype: torch.dtype, separator: str = "|"
) -> dict[str, Form]:
    """Return what the tensors of Adam's state of one parameter are, by name.

    Args:
        parameter: Its name.
        shape: Its shape.
        dtype: Its type.
        separator: See :func:`adam_state`.
    """
    first, second, step = _MOMENTS
    prefix = parameter + separator
    return {
        prefix + first: Form(shape, dtype),
        prefix + second: Form(shape, dtype, 0, LARGEST_IN_NETWORK**2),
        prefix + step: Form((), torch.float32, 0, LARGEST_COUNT),
    }


def load_adam_state(
    optimizer: torch.optim.Optimizer,
    named: Mapping[str, nn.Parameter],
    state: Mapping[str, Tensor],
    separator: str = "|",
) -> None:
    """Restore what :func:`adam_state` returned; a parameter without a state starts anew.

    Args:
        optimizer: Adam.
        named: The parameters that it moves, by name.
        state: Moments by name; whatever else it holds is ignored.
        separator: See :func:`adam_state`.
    """
    optimizer.state.clear()
    for name, p in named.items():
        prefix = name + separator
        if f"{prefix}step" in state:
            values = {moment: state[prefix + moment] for moment in _MOMENTS}
            optimizer.state[p] = adam_state_like(p, values)


def under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a state whose names begin with a prefix, by what follows it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def prefixed(prefix: str, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors on the CPU, by prefix and name; the inverse of :func:`under`."""
    return {prefix + name: tensor.cpu() for name, tensor in named.items()}


def in_order(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return tensors by ``000``, ``001``, …; with a prefix, :func:`numbered` reads them."""
    return {f"{i:03d}": tensor for i, tensor in enumerate(tensors)}


def numbered(prefix: str, state: Mapping[str, Tensor], device: torch.device) -> list[Tensor]:
    """Return the tensors of a state called ``prefix000``, ``prefix001``, …, copied to a device."""
    count = sum(name.startswith(prefix) for name in state)
    return [state[f"{prefix}{i:03d}"].to(device, copy=True) for i in range(count)]
