"""Drawing the columns that rows lack, one by one, each given those that are there by then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from coplay.nets import devices
from coplay.nets.any_order import AnyOrder
from coplay.nets.intervals import by_columns
from coplay.nets.together import Together


@dataclass(frozen=True)
class ColumnDraws:
    """A network of any order, and what it has learned together.

    Args:
        net: The network.
        known_columns: Which columns anything is known of, bool, shape (D,).
        together: Which pairs of columns were learned together.
        place: Where the network computes.
    """

    net: AnyOrder
    known_columns: Tensor
    together: Together
    place: torch.device

    def fill(self, levels: Tensor, generator: torch.Generator) -> None:
        """Draw the levels that rows lack, in place; levels of shape (n, D), -1 for missing.

        The order is random where every two columns were learned together.
        """
        order = torch.randperm(levels.shape[1], generator=generator)
        if self.together.all_of(self.known_columns):
            self._fill(levels, self.in_order(order), generator)
            return
        for rows, present in by_columns(levels >= 0):
            alike = levels[rows]
            self._fill_apart(alike, self.in_order(order, present), generator)
            levels[rows] = alike

    def in_order(self, order: Tensor, given: Sequence[int] | None = None) -> list[int]:
        """Return the columns in an order to be drawn in; what nothing is known of comes last.

        Args:
            order: All columns in the order where nothing else decides.
            given: Which are given, where not all were learned together.
        """
        known = self.known_columns
        columns: list[int] = order[known[order]].tolist()
        if given is not None:
            columns = self.together.order([c for c in columns if c not in given], given)
        return [*columns, *order[~known[order]].tolist()]

    def _fill(self, levels: Tensor, order: Sequence[int], generator: torch.Generator) -> None:
        """Draw the levels that rows lack, column by column, in place."""
        state = self.net.begin(self.known(levels).to(self.place))
        for column in order:
            lacking = levels[:, column] < 0
            if not lacking.any():
                continue
            drawn = self._drawn(state, column, generator)
            drawn = torch.where(lacking, drawn, -1)
            levels[lacking, column] = drawn[lacking]
            if self.known_columns[column]:
                state = self.net.given_too(state, column, drawn.to(self.place))

    def _fill_apart(self, levels: Tensor, order: Sequence[int], generator: torch.Generator) -> None:
        """Draw them given only what was learned beside them, of rows that lack the same columns."""
        for column in order:
            if (levels[:, column] < 0).all():
                levels[:, column] = self._drawn(self.state(levels, column), column, generator)

    def _drawn(self, state: Tensor, column: int, generator: torch.Generator) -> Tensor:
        probabilities = self.net.logits(state, column).float().softmax(1)
        return devices.classes(probabilities, 1, generator)[:, 0].cpu()

    def state(self, levels: Tensor, column: int) -> Tensor:
        """Return what rows amount to for one column, by what was learned beside it."""
        beside = self.together.only_beside(self.known(levels), column)
        return self.net.begin(beside.to(self.place))

    def known(self, levels: Tensor) -> Tensor:
        """Return levels without those of columns that nothing is known of."""
        return torch.where(self.known_columns, levels, -1)


def one_hot_levels(levels: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return which level each column has, as 0 and 1, shape (n, Σ sizes); zeros where it has none.

    Args:
        levels: Shape (n, D), -1 for missing.
        sizes: Levels of each column.

    Example:
        >>> one_hot_levels(torch.tensor([[1, -1]]), [2, 1]).tolist()
        [[0.0, 1.0, 0.0]]
    """
    parts = []
    for column, size in enumerate(sizes):
        own = torch.where(levels[:, column] < 0, size, levels[:, column])
        parts.append(F.one_hot(own, size + 1)[:, :size])
    return torch.cat(parts, 1).double()
