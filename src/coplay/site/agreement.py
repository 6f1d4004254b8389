"""What a site is asked for, and what it says of its data: the two sides of its loading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from coplay.core.rules import Rules
from coplay.core.space import Space
from coplay.data.sources.base import Source


class DataOfSite(Protocol):
    """Where a site's data are and what they are, as a site file or a config says it."""

    @property
    def source(self) -> Source:
        """Where its rows come from."""

    @property
    def test(self) -> Source | None:
        """Where rows come from that are held out; None where they are some of ``source``."""

    @property
    def held_out(self) -> float:
        """Share of the rows that is held out where there is no test split."""

    @property
    def unit(self) -> str | None:
        """Column of what the rows belong to, such as a patient."""

    @property
    def columns(self) -> Mapping[str, str]:
        """Column by agreed variable, where it is not called like the variable."""

    @property
    def lacks(self) -> tuple[str, ...]:
        """Agreed variables that the site does not have."""

    @property
    def outside(self) -> Literal["refuse", "clip", "drop"]:
        """What becomes of rows with values that were not agreed."""


@dataclass(frozen=True)
class Agreement:
    """What a site has to keep to.

    Args:
        space: The agreed variables, in the agreed order.
        learns: Those that the site's model learns; None for all.
        is_given: Whether somebody wrote the variables down, and not coplay read them off the data.
            Then a variable that a site does not have must be named in ``lacks``, so that a column
            with a slip in its name is not left out without a word.
        rules: Rules between columns: those of the federation, and the site's own.
    """

    space: Space
    learns: Sequence[str] | None = None
    is_given: bool = True
    rules: Rules | None = None

    @property
    def learned(self) -> Space:
        """The variables that the site learns, in the agreed order."""
        if self.learns is None:
            return self.space
        return self.space.only([name for name in self.space if name in self.learns])
