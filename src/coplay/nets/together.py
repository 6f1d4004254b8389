"""Which columns of a table were learned together, and in which order to draw them for that.

A network learns p(column | given) from rows that have the column and what is given. Given a column
that no row had beside it, its answer is arbitrary. So a column is drawn given only those that were
there beside it, and the order decides whether pairs that were learned come out as learned: next
comes the column that was there beside most of those drawn so far. Where parts of a table overlap
like the leaves of a tree (a, b; b, c; b, d), every pair that some part has is drawn from a law that
was learned, and the others are independent given what connects them.

References:
    Simple linear-time algorithms to test chordality of graphs (R. E. Tarjan, M. Yannakakis, SIAM
    Journal on Computing 1984), for the order, a maximum cardinality search.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import torch
from torch import Tensor

_ROWS = 10_000  # at a time, for memory


class Together:
    """Which pairs of D columns rows had together.

    Args:
        columns: D.

    Example:
        >>> together = Together(3)
        >>> together.follow(torch.tensor([[0, 1, -1], [-1, 1, 0]]))
        >>> together.order([0, 2, 1], given=[])
        [0, 1, 2]
    """

    def __init__(self, columns: int) -> None:
        self.pairs = torch.zeros(columns, columns, dtype=torch.bool)

    def follow(self, levels: Tensor) -> None:
        """Take note of rows by their levels, shape (n, D); -1 where one is missing."""
        for rows in levels.split(_ROWS):
            if self.pairs.all():
                return
            there = (rows >= 0).float()
            self.pairs |= there.T @ there > 0

    def follow_all(self, blocks: Iterable[Tensor]) -> None:
        """Take note of rows, some at a time, as long as there is anything to learn from them."""
        for levels in blocks:
            if self.pairs.all():
                return
            self.follow(levels)

    def all_of(self, columns: Tensor) -> bool:
        """Whether rows had every two of some columns, bool, shape (D,)."""
        return bool(self.pairs[columns][:, columns].all())

    def order(self, columns: Sequence[int], given: Collection[int]) -> list[int]:
        """Return in which order columns are drawn.

        Args:
            columns: The columns, in an order that decides where nothing else does.
            given: Those of all that are given.
        """
        beside = self.pairs[:, list(given)].sum(1)
        left = list(columns)
        ordered = []
        while left:
            following = max(left, key=lambda column: int(beside[column]))  # the first of several
            left.remove(following)
            ordered.append(following)
            beside = beside + self.pairs[:, following]
        return ordered

    def only_beside(self, levels: Tensor, column: int) -> Tensor:
        """Return levels, shape (n, D), without those of columns that were never beside one."""
        return torch.where(self.pairs[column], levels, -1)
