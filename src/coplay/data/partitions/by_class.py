"""Sites that hold whole classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from pydantic import Field
from torch import Tensor

from coplay.data.partitions.base import (
    Deal,
    Partition,
    check_classes,
    check_names,
    class_number,
    joined,
    need_labels,
    shuffled,
)


class ByClass(Partition):
    """Each player holds the classes it names; a class that several name is split evenly.

    Args:
        classes: Classes by player, by name (``["cat"]``) or number.

    Example:
        >>> labels = torch.tensor([0, 0, 1, 1, 2, 2])
        >>> partition = ByClass(classes={"north": (0, 1), "south": (1, 2)})
        >>> deal = partition.deal(labels, 6, ["north", "south"], torch.Generator())
        >>> labels[deal["north"]].tolist(), labels[deal["south"]].tolist()
        ([0, 0, 1], [1, 2, 2])
    """

    classes: dict[str, tuple[int | str, ...]] = Field(default_factory=dict)

    def numbered(self, names: Sequence[str]) -> Self:
        """Return this partition with numbers of classes only."""
        if not names:
            return self
        where = "data.partition.classes"
        classes: dict[str, tuple[int | str, ...]] = {}
        for player, wanted in self.classes.items():
            classes[player] = tuple(class_number(c, names, where) for c in wanted)
        numbered = self.model_copy(update={"classes": classes})
        numbered._class_names = tuple(names)
        return numbered

    def deal(
        self, labels: Tensor | None, n: int, players: Sequence[str], generator: torch.Generator
    ) -> Deal:
        """Deal class after class."""
        labels = need_labels(labels, "by_class")
        check_names(self.classes, players, "data.partition.classes")
        classes = {name: set(map(int, each)) for name, each in self.classes.items()}
        wanted: set[int] = set().union(*classes.values())
        check_classes(wanted, labels, "data.partition.classes", self.class_name)
        hands: dict[str, list[Tensor]] = {name: [] for name in players}
        for c in sorted(wanted):
            holders = [name for name in players if c in classes[name]]
            cards = shuffled((labels == c).nonzero().flatten(), generator)
            for name, hand in zip(holders, cards.tensor_split(len(holders)), strict=True):
                hands[name].append(hand)
        return {name: joined(hand) for name, hand in hands.items()}

    @classmethod
    def tiny(cls) -> Self:
        """Return a partition for two players, one of which holds a single class."""
        return cls(classes={"a": (0, 1), "b": (2,)})
