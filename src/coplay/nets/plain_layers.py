"""Layers that do what their class says and nothing else, and the chains of them.

Whoever takes a shortcut around a network's own ``forward`` must know that it is one of these: a
subclass, a hook, a parametrization or a frozen parameter would be passed over without a word.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable

from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from coplay.nets.products import Linear

ELEMENTWISE = (nn.LeakyReLU, nn.ReLU, nn.Tanh, nn.SiLU, nn.GELU, nn.ELU, nn.Sigmoid)
"""Layers that map every number by itself."""

_PLAIN = nn.Parameter.__torch_function__
_LINEAR = (Linear, nn.Linear)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_CALLS = ("forward", "_call_impl", "_wrapped_call_impl", "_compiled_call_impl")


def is_plain(layer: nn.Module, classes: Collection[type[nn.Module]]) -> bool:
    """Whether a layer is exactly of one of these classes, without hooks or a forward of its own.

    Example:
        >>> class Twice(nn.Linear):
        ...     def forward(self, x): return 2 * super().forward(x)
        >>> is_plain(nn.Linear(1, 1), [nn.Linear]), is_plain(Twice(1, 1), [nn.Linear])
        (True, False)
    """
    if type(layer) not in classes:  # a parametrization changes the class, too
        return False
    own = vars(layer)
    return not any(own.get(name) for name in (*_HOOKS, *_CALLS))


def stackable(net: nn.Module) -> bool:
    """Whether a network is a chain that a stack supports, see :func:`chain_layout`.

    Example:
        >>> chain = nn.Sequential(nn.Flatten(-2), nn.Linear(4, 2), nn.ReLU())
        >>> stackable(chain), stackable(nn.Conv2d(1, 1, 3))
        (True, False)
    """
    return chain_layout(net) is not None


def chain_layout(net: nn.Module) -> Hashable | None:
    """Return what chains have in common that can be stacked; None for any other network.

    Such a chain is an ``nn.Sequential`` of plain, distinct layers that treat each sample by itself,
    and all its parameters are trainable, contiguous and share no memory. Layouts are equal where
    layers have the same names, classes and settings and parameters the same shapes and types.

    Example:
        >>> tanh = nn.Tanh()
        >>> chain_layout(nn.Sequential(nn.Linear(4, 2), tanh, nn.Linear(2, 2), tanh)) is None
        True
    """
    if _has_any_global_hook() or not is_plain(net, [nn.Sequential]):
        return None
    layers = net._modules
    if net._parameters or net._buffers or len(set(map(id, layers.values()))) < len(layers):
        return None
    parts: list[Hashable] = []
    memory: list[int] = []
    for name, layer in layers.items():
        part = _layer_layout(layer)
        if layer is None or part is None:
            return None
        memory += [p.untyped_storage()._cdata for p in layer.parameters()]
        parts.append((name, type(layer), part))
    return tuple(parts) if len(set(memory)) == len(memory) else None


def _layer_layout(layer: nn.Module | None) -> Hashable | None:
    """Return a layer's settings and the shapes of its parameters; None if it cannot be stacked."""
    if layer is None or not is_plain(layer, (nn.Flatten, *_LINEAR, *ELEMENTWISE)):
        return None
    if layer._buffers or layer._modules:
        return None
    settings = tuple(getattr(layer, name) for name in getattr(layer, "__constants__", ()))
    if not all(isinstance(value, str | int | float) for value in settings):
        return None
    if isinstance(layer, nn.Flatten) and not (layer.start_dim < 0 and layer.end_dim == -1):
        return None
    if not isinstance(layer, nn.Linear):
        return None if layer._parameters else settings
    weight = layer._parameters.get("weight")
    bias = layer._parameters.get("bias")
    if weight is None or bias is None or len(layer._parameters) > 2:
        return None
    if not _trains_plainly(weight, 2) or not _trains_plainly(bias, 1):
        return None
    shapes = (tuple(weight.shape), tuple(bias.shape))
    return settings, shapes, weight.dtype, bias.dtype, weight.device


def _trains_plainly(p: Tensor, dimensions: int) -> bool:
    """Whether a parameter is an ordinary one that is trained, without hooks on its gradient."""
    hooked = p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None)
    # on a device of Python's own a parameter is of a class of torch's, which derives from Tensor
    own_class = nn.Parameter in type(p).__mro__[1:]
    plain = isinstance(p, nn.Parameter) and not own_class and type(p).__torch_function__ is _PLAIN
    ordinary = plain and p.dim() == dimensions and p.is_contiguous()
    return ordinary and p.requires_grad and not hooked
