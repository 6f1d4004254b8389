"""Many small sample sets as one large one: a set for each link costs more than what it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from coplay.core.errors import SpaceError
from coplay.core.space import Samples, Space, payload_bytes

MANY = 32
"""Sample sets from which on they are checked and kept as one."""


class Part:
    """Consecutive samples of a larger set: a :class:`coplay.core.message.Handle`.

    Args:
        whole: The larger set.
        start: Position of the first of them.
        count: Number of them.

    Example:
        >>> whole = Samples({"x": torch.arange(5)}, batch_size=[5])
        >>> part = Part(whole, 1, 2)
        >>> part.fetch()["x"].tolist(), part.size_bytes
        ([1, 2], 16)
    """

    __slots__ = ("count", "start", "whole")

    def __init__(self, whole: Samples, start: int, count: int) -> None:
        self.whole = whole
        self.start = start
        self.count = count

    @property
    def size_bytes(self) -> int:
        """Size of these samples."""
        return payload_bytes(self.whole) * self.count // max(1, len(self.whole))

    def fetch(self) -> Samples:
        """Return the samples, which share their memory with the larger set."""
        end = self.start + self.count
        values = {name: tensor[self.start : end] for name, tensor in self.whole.items()}
        return Samples(values, batch_size=[self.count])


def parts_of(whole: Samples, counts: Sequence[int]) -> list[Part]:
    """Return consecutive parts of so many samples each."""
    parts = []
    start = 0
    for count in counts:
        parts.append(Part(whole, start, count))
        start += count
    return parts


def joined_if_alike(sets: Sequence[object], counts: Sequence[int]) -> Samples | None:
    """Concatenate sample sets of the same variables, types and shapes.

    Args:
        sets: What should be sample sets.
        counts: Number of samples that each should have.

    Returns:
        One set; None unless all are sample sets, alike and of these numbers.
    """
    names: list[str] | None = None
    columns: dict[str, list[Tensor]] = {}
    for samples, count in zip(sets, counts, strict=True):
        if not isinstance(samples, Samples) or list(samples.batch_size) != [count]:
            return None
        present = [str(name) for name in samples.keys()]
        if names is None:
            names = present
            columns = {name: [] for name in names}
        elif present != names:
            return None
        for name, column in columns.items():
            column.append(samples[name])
    for column in columns.values():
        if len({_kind(values) for values in column}) > 1 or not isinstance(column[0], Tensor):
            return None
    whole = {name: torch.cat(column) for name, column in columns.items()}
    return Samples(whole, batch_size=[sum(counts)]) if whole else None


def checked_as_one(
    space: Space, sets: Sequence[object], counts: Sequence[int], *, complete: bool = False
) -> Samples | None:
    """Return sample sets as one, if they are alike and lie in a space.

    Args:
        space: The space.
        sets: What should be sample sets.
        counts: Number of samples that each should have.
        complete: Whether every variable must be present.

    Returns:
        One set; None if each is to be looked at by itself, for the error or because they differ.
    """
    whole = joined_if_alike(sets, counts)
    if whole is None:
        return None
    try:
        return space.check(whole, "many sample sets", complete=complete)
    except SpaceError:
        return None


def are_right(space: Space, sets: Mapping[str, Samples]) -> bool:
    """Whether these are so many sample sets that they were checked as one, and are right."""
    if len(sets) < MANY:
        return False
    values = list(sets.values())
    return checked_as_one(space, values, [len(samples) for samples in values]) is not None


def _kind(values: object) -> object:
    """Return what tensors must have in common to be one."""
    if not isinstance(values, Tensor):
        return type(values)
    return values.dtype, values.shape[1:], values.layout, values.device
