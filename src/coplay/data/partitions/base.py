"""The contract of a partition: deal a source's training samples to the players of a simulation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from coplay.core.components import Component, nearest
from coplay.core.errors import DataError

Deal = dict[str, Tensor]
"""Indices into the training split, by player; no sample goes to two players."""


class Partition(Component):
    """A way to deal samples out."""

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


def check_classes(wanted: Iterable[int], labels: Tensor, where: str) -> None:
    """Check that every wanted class exists.

    Args:
        wanted: Numbers of classes.
        labels: Class of each sample, shape (n,).
        where: The setting, for the error.

    Raises:
        DataError: The source has no samples of one of them.
    """
    existing = set(labels.unique().tolist())
    unknown = sorted(set(wanted) - existing)
    if unknown:
        listed = ", ".join(map(str, sorted(existing)))
        raise DataError(f"{where}: the source has no class {unknown[0]}; it has {listed}")


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
