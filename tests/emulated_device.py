"""A device that is not the CPU, on any machine.

Its tensors have their numbers in main memory, but mixing them with the CPU's gives the error that a
GPU would give. Arithmetic is the CPU's, so code on this device must give the CPU's numbers to
rounding.

torch lets Python register such a device. Its tensors are of a subclass, and every operation on them
goes through ``_run``.
"""

from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

NAME = "emulated"
_COPIES = ("aten::_to_copy", "aten::copy_")
_WITH_NUMBERS = (
    "add",
    "add_",
    "sub",
    "sub_",
    "rsub",
    "mul",
    "mul_",
    "div",
    "div_",
    "pow",
    "lt",
    "gt",
    "le",
    "ge",
    "eq",
    "ne",
)
"""Operations of two operands: one may be a single number of the CPU's, as on a GPU."""


class There(torch.Tensor):
    """A tensor of the device; ``numbers`` is the CPU's tensor with its values."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, numbers):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            numbers.shape,
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device=NAME + ":0",
        )

    def __init__(self, numbers):
        self.numbers = numbers

    @property
    def data(self):
        return self.detach()

    @data.setter
    def data(self, other):
        # a parameter becomes a view of something else, and its numbers are now the other's
        self.numbers = other.numbers

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class _Machine(TorchDispatchMode):
    """Sees what makes tensors out of nothing, or out of the CPU's."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


def _run(func, args, kwargs):
    name = func._schema.name
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    asked = kwargs.get("device")
    there = any(isinstance(tensor, There) for tensor in tensors)
    if there and name not in _COPIES:
        _refuse_mixed(name, args, tensors)
    if (there or str(asked).startswith(NAME)) and kwargs.get("generator") is not None:
        raise RuntimeError(f"{name}: expected a generator of {NAME}, got the CPU's")
    if asked is not None:
        there = str(asked).startswith(NAME)
    elif name == "aten::copy_":
        there = isinstance(args[0], There)
    here = dict(kwargs)
    if here.get("device") is not None:
        here["device"] = torch.device("cpu")
    result = func(*_numbers_of(args), **_numbers_of(here))
    if not there:
        return result
    return return_and_correct_aliasing(
        func, args, kwargs, tree_map_only(torch.Tensor, There, result)
    )


def _numbers_of(values):
    return tree_map_only(There, lambda tensor: tensor.numbers, values)


def _refuse_mixed(name, args, tensors):
    if name in ("aten::index", "aten::index_put_", "aten::_index_put_impl_", "aten::_unsafe_index"):
        # indices may be the CPU's if the tensor that they index is not
        indexed = [args[0], *args[2:3]]
        tensors = [tensor for tensor in indexed if isinstance(tensor, torch.Tensor)]
        if not isinstance(args[0], There):
            raise RuntimeError(f"{name}: the CPU's tensor by indices of {NAME}")
    short = name.removeprefix("aten::")
    foreign = [
        t for t in tensors if not isinstance(t, There) and (t.dim() or short not in _WITH_NUMBERS)
    ]
    if foreign:
        shape = tuple(foreign[0].shape)
        raise RuntimeError(
            f"{name}: expected all tensors on one device, got {NAME} and the CPU's of {shape}"
        )


class _Module(_DummyBackendModule):
    """The module ``torch.emulated`` that torch needs."""

    def get_amp_supported_dtype(self):
        return [torch.bfloat16]


@contextmanager
def emulated_device():
    """Add one device, called :data:`NAME`, inside the block.

    Enter it before any backward pass of the process.
    """
    if torch._C._get_privateuse1_backend_name() != NAME:
        _setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
    with _Machine():
        yield
