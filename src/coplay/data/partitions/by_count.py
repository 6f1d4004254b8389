"""Sites that hold a given number of samples of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from pydantic import Field
from torch import Tensor

from coplay.core.errors import DataError
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


class ByCount(Partition):
    """Each player holds a number of samples per class, disjoint from those of the others.

    Args:
        counts: By player, either one number for every class, one number per class in the order of
            their numbers, or numbers by the class's name (``{ cat = 5, dog = 3 }``).

    Example:
        >>> labels = torch.arange(30) % 3
        >>> partition = ByCount(counts={"a": 2, "b": (5, 0, 1)})
        >>> deal = partition.deal(labels, 30, ["a", "b"], torch.Generator())
        >>> torch.bincount(labels[deal["a"]]).tolist(), torch.bincount(labels[deal["b"]]).tolist()
        ([2, 2, 2], [5, 0, 1])
    """

    counts: dict[str, int | tuple[int, ...] | dict[str, int]] = Field(default_factory=dict)

    def numbered(self, names: Sequence[str]) -> Self:
        """Return this partition with counts in the order of the classes' numbers."""
        if not names:
            return self
        counts: dict[str, int | tuple[int, ...] | dict[str, int]] = {}
        for player, setting in self.counts.items():
            counts[player] = setting
            if isinstance(setting, dict):
                each = [0] * len(names)
                for name, count in setting.items():
                    each[class_number(name, names, "data.partition.counts")] = count
                counts[player] = tuple(each)
        numbered = self.model_copy(update={"counts": counts})
        numbered._class_names = tuple(names)
        return numbered

    def deal(
        self, labels: Tensor | None, n: int, players: Sequence[str], generator: torch.Generator
    ) -> Deal:
        """Deal from the top of each class's shuffled deck."""
        labels = need_labels(labels, "by_count")
        check_names(self.counts, players, "data.partition.counts")
        classes = labels.unique().tolist()
        decks = {c: shuffled((labels == c).nonzero().flatten(), generator) for c in classes}
        deal = {}
        for name in players:
            wanted = self._wanted(name, classes)
            if min(wanted.values(), default=0) < 0:
                raise DataError(
                    f"data.partition.counts: player '{name}' asks for a negative number of samples"
                )
            needed = [c for c, count in wanted.items() if count]
            check_classes(needed, labels, "data.partition.counts", self.class_name)
            hand = []
            for c, count in wanted.items():
                if not count:
                    continue
                if count > len(decks[c]):
                    raise DataError(
                        f"data.partition.counts: player '{name}' asks for {count} samples of class "
                        f"{self.class_name(c)}, but {len(decks[c])} are left"
                    )
                hand.append(decks[c][:count])
                decks[c] = decks[c][count:]
            deal[name] = joined(hand)
        return deal

    def _wanted(self, player: str, classes: Sequence[int]) -> dict[int, int]:
        """Return how many samples of each class a player asks for."""
        setting = self.counts[player]
        if isinstance(setting, int):
            return dict.fromkeys(classes, setting)
        if isinstance(setting, dict):
            return {int(name): count for name, count in setting.items()}
        return dict(enumerate(setting))

    @classmethod
    def tiny(cls) -> Self:
        """Return a partition for two players with two samples of every class each."""
        return cls(counts={"a": 2, "b": 2})
