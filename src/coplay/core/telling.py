"""What a site tells others of its real rows: its own choice, and nothing unless it says so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from coplay.core.components import Section


class Telling(Section):
    """What leaves a site of what was computed from its real rows.

    Samples of its model leave in any case, since they are what is played with.

    Args:
        count: Whether it tells how many rows it has: as they are, rounded to tens, or not at all.
        shares: Whether it tells which share of its rows each category of the target has; it takes
            that ``count`` is told.
        small_cell: A category with fewer rows than this is not told, and another one is withheld
            with it where it would follow by subtraction.
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

    def shares_of(self, counts: Sequence[int]) -> tuple[float, ...]:
        """Return the shares of categories as they are told; NaN for those that are withheld.

        A category with fewer than ``small_cell`` rows is withheld. Others are withheld with it, the
        smallest first, until at least two are and they hold ``small_cell`` rows together: what is
        left of one then says little of any of them.

        Args:
            counts: Number of rows of each category.

        Returns:
            One share a category; empty where nothing is told.

        Example:
            >>> Telling(count="tens", shares=True).shares_of([50, 3, 30, 17])
            (0.5, nan, 0.3, nan)
            >>> Telling(count="tens", shares=True).shares_of([50, 3])
            ()
        """
        total = sum(counts)
        if not self.shares or self.count == "no" or not total:
            return ()
        withheld = {place for place, count in enumerate(counts) if count < self.small_cell}
        if self.small_cell <= 1:
            withheld = set()
        by_size = sorted(range(len(counts)), key=lambda place: (counts[place], place))
        for place in by_size:
            hidden = sum(counts[i] for i in withheld)
            if withheld and (len(withheld) < 2 or hidden < self.small_cell):
                withheld.add(place)
        if len(withheld) >= len(counts):
            return ()
        shares = [count / total for count in counts]
        if self.count == "tens":  # more digits would give the number of rows away
            shares = [round(share, 2) for share in shares]
        for place in withheld:
            shares[place] = math.nan
        return tuple(shares)


EVERYTHING = Telling(count="exact", shares=True, small_cell=1, numbers=("all",))
"""What players of a simulation from one source tell, whose data lie at the coordinator anyway."""
