"""What a site tells others of its real rows: its own choice, and nothing unless it says so."""

from __future__ import annotations

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


EVERYTHING = Telling(count="exact", shares=True, small_cell=1, numbers=("all",))
"""What players of a simulation from one source tell, whose data lie at the coordinator anyway."""
