"""What a site tells others of its real rows: its own choice, and nothing unless it says so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from coplay.core.components import Section

_COARSE = 0.05  # of scores of 0 to 1


class Telling(Section):
    """What leaves a site of what was computed from its real rows.

    Samples of its model leave in any case, since they are what is played with.

    Args:
        count: Whether it tells how many rows it has: as they are, rounded to tens, or not at all.
        shares: Whether it tells which share of its rows each category of the target has; it takes
            that ``count`` is told.
        small_cell: A category with fewer rows than this is not told, and others are withheld with
            it, so that it does not follow by subtraction.
        numbers: Names of the numbers that leave: scores by the name of their metric, and what
            learning reports, such as ``loss``; ``("all",)`` for all of them.

    Example:
        >>> Telling().tells("loss"), Telling(numbers=("loss",)).tells("loss")
        (False, True)
    """

    count: Literal["exact", "tens", "no"] = "no"
    shares: bool = False
    small_cell: int = Field(default=10, ge=1)
    numbers: tuple[str, ...] = ()

    def tells(self, name: str) -> bool:
        """Whether a number of this name leaves the site."""
        return name in self.numbers or "all" in self.numbers

    def count_of(self, rows: int) -> int | None:
        """Return the number of rows as it is told; None where it is not.

        Example:
            >>> Telling(count="tens").count_of(284), Telling().count_of(284)
            (280, None)
        """
        if self.count == "no":
            return None
        return rows if self.count == "exact" else round(rows / 10) * 10

    def step_of(self, rows: int) -> float:
        """Return to which step scores are rounded that were counted on so many rows; 0 for none.

        A share of n rows is k/n, and a fraction such as 7/12 names its n. So it is rounded to a
        step that is wider than 1/n for every n that the count, as it is told, leaves open: all of
        these then give the same values, round after round. Where no count is told the step cannot
        depend on it; there it hides all n from 20 on.

        Example:
            >>> [Telling(count="tens").step_of(n) for n in (57, 284, 2841)]
            [0.05, 0.01, 0.001]
            >>> Telling().step_of(2841), Telling(count="exact").step_of(57)
            (0.05, 0.0)
        """
        if self.count == "exact":
            return 0.0
        count = self.count_of(rows) or 0
        for step, most in ((0.001, 1000), (0.01, 100)):
            if count > most:
                return step
        return _COARSE

    def seconds_of(self, seconds: float) -> float:
        """Return seconds as they are told: with one digit unless the number of rows is told too.

        What a model's learning takes may grow with its rows. Operations need no such thing: they
        are counted for one batch and multiplied by the steps, whatever the number of rows.

        Example:
            >>> Telling().seconds_of(2.47), Telling(count="exact").seconds_of(2.47)
            (2.0, 2.47)
        """
        return seconds if self.count == "exact" else float(f"{seconds:.0e}")

    def shares_of(self, counts: Sequence[int]) -> tuple[float, ...]:
        """Return the shares of categories as they are told.

        Where the count is rounded to tens, so is each category's before shares are formed: with
        more digits, they would give away what the count leaves open.

        Args:
            counts: Number of rows of each category.

        Returns:
            One share a category; NaN for those of :func:`withheld_cells`, and empty where nothing
            is told or nothing would be left.

        Example:
            >>> Telling(count="tens", shares=True).shares_of([50, 3, 30, 17])
            (0.5, nan, 0.3, nan)
            >>> Telling(count="tens", shares=True).shares_of([50, 3])
            ()
        """
        if not self.shares or self.count == "no":
            return ()
        withheld = withheld_cells(counts, self.small_cell)
        rounded: dict[int, int] = {}
        for place, count in enumerate(counts):
            if place not in withheld:
                rounded[place] = self.count_of(count) or 0
        hidden = sum(counts[place] for place in withheld)
        # of the rounded numbers, not of the rounded total: so shares add up to 1
        total = sum(rounded.values()) + (self.count_of(hidden) or 0)
        if not rounded or not total:
            return ()
        shares = []
        for place in range(len(counts)):
            shares.append(rounded[place] / total if place in rounded else math.nan)
        return tuple(shares)


def withheld_cells(counts: Sequence[int], small_cell: int) -> frozenset[int]:
    """Return the places of the cells of a table that are not told.

    These are the k cells with fewer than ``small_cell`` rows and, so that none of them follows by
    subtraction from the total, m larger ones: from the last place on, until all that are withheld
    hold more than k (small_cell - 1) + m small_cell rows. Whoever knows the total, every cell that
    is told, this rule, and even which cells are small, then has to reckon with every number from 0
    to ``small_cell`` - 1 in each small one, whatever the others hold. Taking the smallest of the
    larger ones instead would not do: that it is no larger than those that are told is a clue.

    Args:
        counts: Number of rows of each cell, which add up to a total that may be told.
        small_cell: The fewest rows that a cell that is told may have; 1 withholds nothing.

    Returns:
        Places in ``counts``; all of them where the larger ones do not suffice.

    Example:
        >>> sorted(withheld_cells([50, 3, 30, 17], 10)), sorted(withheld_cells([50, 30, 17], 10))
        ([1, 3], [])
    """
    small = [place for place, count in enumerate(counts) if count < small_cell]
    if not small or small_cell == 1:
        return frozenset()
    withheld = set(small)
    rows = sum(counts[place] for place in small)
    needed = len(small) * (small_cell - 1)
    for place in reversed(range(len(counts))):
        if place in withheld:
            continue
        withheld.add(place)
        rows += counts[place]
        needed += small_cell
        if rows > needed:
            return frozenset(withheld)
    return frozenset(range(len(counts)))


EVERYTHING = Telling(count="exact", shares=True, small_cell=1, numbers=("all",))
"""What players of a simulation from one source tell, whose data lie at the coordinator anyway."""
