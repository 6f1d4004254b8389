"""The state of a torch module and its optimizer as a flat mapping of tensors, for own models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from coplay.core.errors import ModelError

_MODULE = "module/"
_OPTIMIZER = "optimizer/"
_OPTIONS = "options/"
_NUMBER = "number:"  # before the name of a Python number in an optimizer's state


def flat_state(
    module: nn.Module, optimizer: torch.optim.Optimizer | None = None, prefix: str = ""
) -> dict[str, Tensor]:
    """Return what a module and its optimizer have learned, as ``state_dict`` of a model needs it.

    The tensors are copies on the CPU. A tensor that a module uses under several names is in it
    once, and so are the numbers that a schedule may have changed, such as learning rates.

    Args:
        module: With its parameters and persistent buffers.
        optimizer: Of parameters of the module; None for none.
        prefix: Before every name, for a model with several modules.

    Raises:
        ModelError: The optimizer moves parameters that are not the module's, or a state is
            something else than tensors and numbers.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        >>> net[1].weight = net[0].weight  # tied
        >>> sorted(flat_state(net))
        ['module/0.bias', 'module/0.weight', 'module/1.bias']
        >>> twin = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        >>> twin[1].weight = twin[0].weight
        >>> load_flat_state(flat_state(net), twin)
        >>> bool(torch.equal(twin(torch.ones(1, 2)), net(torch.ones(1, 2))))
        True
    """
    state = {}
    for name, tensor in _once(module).items():
        state[f"{prefix}{_MODULE}{name}"] = tensor.detach().cpu().clone()
    if optimizer is None:
        return state
    for name, p in _moved(module, optimizer):
        for moment, value in optimizer.state.get(p, {}).items():
            place = f"{prefix}{_OPTIMIZER}{name}/"
            if isinstance(value, Tensor):
                state[place + moment] = value.detach().cpu().clone()
            elif isinstance(value, int | float):
                state[f"{place}{_NUMBER}{moment}"] = _exact(value)
            elif value is not None:
                raise ModelError(
                    f"the optimizer's {moment} of '{name}' is a {type(value).__name__}, and a "
                    "state is made of tensors and numbers; choose another optimizer"
                )
    for i, group in enumerate(optimizer.param_groups):
        for option, value in group.items():
            values = value if isinstance(value, tuple) else (value,)
            if all(isinstance(each, int | float) for each in values):
                state[f"{prefix}{_OPTIONS}{i}/{option}"] = _exact(value)
            elif isinstance(value, Tensor):
                state[f"{prefix}{_OPTIONS}{i}/{option}"] = value.detach().cpu().clone()
    return state


def load_flat_state(
    state: Mapping[str, Tensor],
    module: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    prefix: str = "",
) -> None:
    """Put back what :func:`flat_state` returned, into a module and optimizer made the same way.

    Args:
        state: It may hold more, under other names.
        module: With the same parameters and buffers.
        optimizer: With the same groups of parameters; None for none.
        prefix: As it was given.

    Raises:
        ModelError: The state lacks a tensor of the module, or one has another shape.

    Example:
        >>> net = nn.Linear(1, 1)
        >>> load_flat_state({}, net)
        Traceback (most recent call last):
        coplay.core.errors.ModelError: the state has no 'module/weight'; expected what flat_state
        returns for the same module and prefix
    """
    with torch.no_grad():
        for name, tensor in _once(module).items():
            value = _value(state, f"{prefix}{_MODULE}{name}")
            if value.shape != tensor.shape:
                shapes = f"{tuple(value.shape)}, expected {tuple(tensor.shape)}"
                raise ModelError(f"'{prefix}{_MODULE}{name}' of the state has shape {shapes}")
            tensor.copy_(value)
    if optimizer is None:
        return
    optimizer.state.clear()
    for name, p in _moved(module, optimizer):
        place = f"{prefix}{_OPTIMIZER}{name}/"
        moments: dict[str, object] = {}
        for key, value in state.items():
            moment = key.removeprefix(place)
            if key == moment or "/" in moment:
                continue
            if moment.startswith(_NUMBER):
                moments[moment.removeprefix(_NUMBER)] = value.item()
            elif value.shape == p.shape:  # fused optimizers need the parameter's own layout
                moments[moment] = torch.empty_like(p, dtype=value.dtype).copy_(value).detach()
            else:
                moments[moment] = value.clone()
        if moments:
            optimizer.state[p] = moments
    for i, group in enumerate(optimizer.param_groups):
        for option, value in group.items():
            key = f"{prefix}{_OPTIONS}{i}/{option}"
            if key in state:
                group[option] = _like(state[key], value)


def _once(module: nn.Module) -> dict[str, Tensor]:
    """Return parameters and persistent buffers by name; one that has several names by its first."""
    tensors: dict[str, Tensor] = {}
    known: set[tuple[object, ...]] = set()
    for name, tensor in module.state_dict().items():
        if not isinstance(tensor, Tensor):
            raise ModelError(
                f"'{name}' of {type(module).__name__} is a {type(tensor).__name__}, expected a "
                "tensor; make a buffer of what is learned, and leave out other extra state"
            )
        place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and place in known:
            continue
        known.add(place)
        tensors[name] = tensor
    return tensors


def _moved(
    module: nn.Module, optimizer: torch.optim.Optimizer
) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the parameters that an optimizer moves, with their names in the module."""
    names = {p: name for name, p in module.named_parameters()}
    for group in optimizer.param_groups:
        for p in group["params"]:
            if p not in names:
                raise ModelError(
                    f"the optimizer moves a parameter of shape {tuple(p.shape)} that is not in "
                    f"{type(module).__name__}; give a module that holds all it moves"
                )
            yield names[p], p


def _value(state: Mapping[str, Tensor], key: str) -> Tensor:
    if key not in state:
        raise ModelError(
            f"the state has no '{key}'; expected what flat_state returns for the same module "
            "and prefix"
        )
    return state[key]


def _exact(value: object) -> Tensor:
    """Return a number, or several, as a tensor that keeps all their digits."""
    numbers = torch.tensor(value)
    return torch.tensor(value, dtype=torch.float64) if numbers.is_floating_point() else numbers


def _like(stored: Tensor, present: object) -> object:
    """Return a stored option as the kind of value that the present one is."""
    if isinstance(present, Tensor):
        return stored.to(present.device, present.dtype, copy=True)
    values = stored.tolist()
    return tuple(values) if isinstance(values, list) else values
