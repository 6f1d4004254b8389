"""Many small sample sets as one large one: a set for each link costs more than what it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from coplay.core.errors import SpaceError
from coplay.core.space import Samples, Space

MANY = 32
"""Sample sets from which on they are checked and kept as one."""


class Slice:
    """Consecutive samples of a larger set: a :class:`coplay.core.message.Handle`.

    Args:
        whole: The tensors of the larger set, by variable.
        start: Position of the first of them.
        count: Number of them.

    Example:
        >>> part = Slice({"x": torch.arange(5)}, 1, 2)
        >>> part.fetch()["x"].tolist(), part.size_bytes
        ([1, 2], 16)
    """

    __slots__ = ("count", "start", "whole")

    def __init__(self, whole: Mapping[str, Tensor], start: int, count: int) -> None:
        self.whole = whole
        self.start = start
        self.count = count

    @property
    def size_bytes(self) -> int:
        """Size of these samples."""
        return sum(x[:1].nbytes for x in self.whole.values()) * self.count

    @property
    def fits(self) -> bool:
        """Whether the larger set has these samples: tensors of equal length, and long enough."""
        if type(self.start) is not int or type(self.count) is not int or not self.whole:
            return False
        lengths = {len(x) if x.dim() else -1 for x in self.whole.values()}
        return len(lengths) == 1 and 0 <= self.start <= self.start + self.count <= lengths.pop()

    def fetch(self) -> Samples:
        """Return the samples, which share their memory with the larger set."""
        end = self.start + self.count
        values = {name: x[self.start : end] for name, x in self.whole.items()}
        return Samples(values, batch_size=[self.count])


def slices_of(whole: Mapping[str, Tensor], counts: Sequence[int]) -> list[Slice]:
    """Return consecutive slices of so many samples each."""
    slices = []
    start = 0
    for count in counts:
        slices.append(Slice(whole, start, count))
        start += count
    return slices


def joined_if_alike(sets: Sequence[object], counts: Sequence[int]) -> Samples | None:
    """Concatenate sample sets of the same variables, types and shapes.

    Args:
        sets: What should be sample sets.
        counts: Number of samples that each should have.

    Returns:
        One set; None unless all are sample sets, alike and of these numbers.
    """
    names: list[object] = []
    columns: list[list[Any]] = []  # of tensors, if all is well
    for samples, count in zip(sets, counts, strict=True):
        if not isinstance(samples, Samples) or samples.batch_size != (count,):
            return None
        if not columns:
            names = list(samples.keys())
            columns = [[] for _ in names]
        elif list(samples.keys()) != names:
            return None
        for column, values in zip(columns, samples.values(), strict=True):
            column.append(values)
    whole = {}
    for name, column in zip(names, columns, strict=True):
        kinds = {(x.dtype, x.shape[1:]) for x in column if isinstance(x, Tensor)}
        if len(kinds) != 1 or not all(isinstance(x, Tensor) for x in column):
            return None
        try:
            whole[str(name)] = torch.cat(column)
        except RuntimeError:  # of two devices, or sparse
            return None
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


def joined_or_whole(sets: Sequence[object]) -> Samples | None:
    """Return sample sets as one; slices of one larger set as that set.

    Args:
        sets: What should be sample sets or slices.

    Returns:
        One set; None unless all are ordinary and alike.
    """
    slices = [samples for samples in sets if type(samples) is Slice]
    if not all(each.fits for each in slices):
        return None
    if len(slices) == len(sets) and len({id(each.whole) for each in slices}) == 1:
        whole = slices[0].whole
        rows = len(next(iter(whole.values())))
        return Samples(dict(whole), batch_size=[rows])
    single: list[Samples] = []
    for samples in sets:
        each = samples.fetch() if type(samples) is Slice else samples
        if type(each) is not Samples or any(type(x) is not Tensor for x in each.values()):
            return None
        single.append(each)
    return joined_if_alike(single, [len(each) for each in single])


def to_check(space: Space, sets: Mapping[str, Samples]) -> Mapping[str, Samples]:
    """Return the sample sets that are to be checked one by one.

    Where many are alike and right together, the first stands for all.
    """
    if len(sets) < MANY:
        return sets
    values = list(sets.values())
    if checked_as_one(space, values, [len(samples) for samples in values]) is None:
        return sets
    return dict(islice(sets.items(), 1))
