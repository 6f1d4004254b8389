"""The contract of a partition: deal a source's training samples to the players of a simulation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self

import torch
from pydantic import PrivateAttr
from torch import Tensor

from coplay.core.components import Component, nearest
from coplay.core.errors import DataError
from coplay.data.words import quoted, some

Deal = dict[str, Tensor]
"""Indices into the training split, by player; no sample goes to two players."""


class Partition(Component):
    """A way to deal samples out.

    Example:
        >>> class InTurn(Partition):
        ...     def deal(self, labels, n, players, generator):
        ...         each = torch.arange(n)
        ...         return {name: each[i :: len(players)] for i, name in enumerate(players)}
        >>> InTurn().deal(None, 5, ["north", "south"], torch.Generator())
        {'north': tensor([0, 2, 4]), 'south': tensor([1, 3])}
    """

    _class_names: tuple[str, ...] = PrivateAttr(default=())

    def numbered(self, names: Sequence[str]) -> Self:
        """Return this partition with the names of classes in its settings replaced by numbers.

        Args:
            names: What the classes are called, in the order of their numbers; empty without any.

        Raises:
            DataError: A setting names a class that there is not.
        """
        partition = self.model_copy()
        partition._class_names = tuple(names)
        return partition

    def class_name(self, number: int) -> str:
        """Return what errors call a class."""
        names = self._class_names
        return names[number] if 0 <= number < len(names) else str(number)

    @abstractmethod
    def deal(
        self, labels: Tensor | None, n: int, players: Sequence[str], generator: torch.Generator
    ) -> Deal:
        """Choose each player's samples.

        Args:
            labels: Class of each sample, shape (n,), or None if the source has none.
            n: Number of samples.
            players: Names, in config order.
            generator: Source of all randomness.

        Raises:
            DataError: The source cannot be dealt out this way.
        """


def need_labels(labels: Tensor | None, partition: str) -> Tensor:
    """Return the labels, or raise an error that names the partition that needs them.

    Raises:
        DataError: The source has no labels.
    """
    if labels is None:
        raise DataError(
            f"the partition '{partition}' needs classes, and this source has none; name its label "
            "column, sort its pictures into one sub-folder per class, or use 'iid'"
        )
    return labels


def check_names(given: Mapping[str, object], players: Sequence[str], where: str) -> None:
    """Check that there is an entry for every player, and for nobody else.

    Args:
        given: What is dealt, by player.
        players: Names of all players.
        where: The setting, for the error.

    Raises:
        DataError: Entries are missing or name unknown players; the message lists all of them.
    """
    problems = [f"{where}: no entry for player '{name}'" for name in players if name not in given]
    for name in given:
        if name not in players:
            known = nearest(name, players)
            problems.append(f"{where}: unknown player '{name}'; known, nearest first: {known}")
    if problems:
        raise DataError("; ".join(problems))


def class_number(wanted: int | str, names: Sequence[str], where: str) -> int:
    """Return the number of a class that a setting names.

    A text is a name. A number is the class that is called so; only where no class is called by a
    number, it is the class's place among all.

    Args:
        wanted: What the setting says.
        names: What the classes are called, in the order of their numbers.
        where: The setting, for the error.

    Raises:
        DataError: There is no such class.

    Example:
        >>> class_number(2019, ["2019", "2022"], "x"), class_number("dog", ["cat", "dog"], "x")
        (0, 1)
        >>> class_number(1, ["cat", "dog"], "x"), class_number("10", ["9", "10", "11"], "x")
        (1, 1)
    """
    if str(wanted) in names:
        return list(names).index(str(wanted))
    has_numbers = any(name.lstrip("-").isdecimal() for name in names)
    if isinstance(wanted, int) and not has_numbers and 0 <= wanted < len(names):
        return wanted
    listed = some(names, 20)
    raise DataError(f"{where}: the source has no class {quoted(wanted)}; it has {listed}")


def check_classes(
    wanted: Iterable[int], labels: Tensor, where: str, named: Callable[[int], str] = str
) -> None:
    """Check that every wanted class exists.

    Args:
        wanted: Numbers of classes.
        labels: Class of each sample, shape (n,).
        where: The setting, for the error.
        named: What the error calls a class.

    Raises:
        DataError: The source has no samples of one of them.
    """
    existing = set(labels.unique().tolist())
    unknown = sorted(set(wanted) - existing)
    if unknown:
        listed = some(map(named, sorted(existing)), 20)
        raise DataError(
            f"{where}: the source has no training samples of class {named(unknown[0])}; it has "
            f"some of {listed}"
        )


def joined(hand: Sequence[Tensor]) -> Tensor:
    """Return one player's indices in ascending order, shape (m,), int64; a hand may be empty.

    Args:
        hand: Indices of the samples that were dealt, in pieces.
    """
    if not hand:
        return torch.empty(0, dtype=torch.int64)
    return torch.cat(list(hand)).sort().values


def shuffled(indices: Tensor, generator: torch.Generator) -> Tensor:
    """Return the indices in random order."""
    return indices[torch.randperm(len(indices), generator=generator)]
