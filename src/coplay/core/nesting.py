"""Tensors by two names, as one level that a file can hold, and back."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def nest(tensors: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Flatten one level: ``{"a": {"x": t}}`` to ``{"a/x": t}``."""
    flat: dict[str, Tensor] = {}
    for outer, group in tensors.items():
        for inner, tensor in group.items():
            flat[f"{outer}/{inner}"] = tensor
    return flat


def unnest(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Undo :func:`nest`."""
    nested: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        outer, _, inner = name.partition("/")
        nested.setdefault(outer, {})[inner] = tensor
    return nested
