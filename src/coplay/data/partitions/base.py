"""The contract of a partition: deal the training samples of one source to the players of a simulation."""

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
    """The labels, or an error that says who needs them."""
    if labels is None:
        raise DataError(
            f"the partition '{partition}' needs classes, and this source has none; name its label column, "
            "sort its pictures into one sub-folder per class, or use 'iid'"
        )
    return labels


def check_names(given: Mapping[str, object], players: Sequence[str], where: str) -> None:
    """Every player must be dealt something by name, and nobody else."""
    problems = [f"{where}: no entry for player '{name}'" for name in players if name not in given]
    problems += [
        f"{where}: unknown player '{name}'; known, nearest first: {nearest(name, players)}"
        for name in given
        if name not in players
    ]
    if problems:
        raise DataError("; ".join(problems))


def check_classes(wanted: Iterable[int], labels: Tensor, where: str) -> None:
    """Every class that is asked for must exist."""
    there = set(labels.unique().tolist())
    unknown = sorted(set(wanted) - there)
    if unknown:
        raise DataError(
            f"{where}: the source has no class {unknown[0]}; it has {', '.join(map(str, sorted(there)))}"
        )


def shuffled(indices: Tensor, generator: torch.Generator) -> Tensor:
    """The indices in random order."""
    return indices[torch.randperm(len(indices), generator=generator)]
