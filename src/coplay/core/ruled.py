"""The part of a player that keeps rules between columns in what it draws."""

from __future__ import annotations

from collections.abc import Callable

from coplay.core.rules import NO_RULES, Kept
from coplay.core.space import Samples
from coplay.core.surroundings import own_settings
from coplay.core.timed import Timed


class Ruled(Timed):
    """Draws until the rules are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.rules = NO_RULES
        """Rules between columns, which its samples keep."""
        self.kept_by_rules = Kept(0, 0, 0, 0, 0)
        """How the last draw kept them."""

    def draw_by_rules(self, draw: Callable[[int], Samples], n: int) -> Samples:
        """Return n rows that keep the rules, and book the time.

        Args:
            draw: Returns so many rows.
            n: How many are wanted.
        """
        with self.timed("sampling"), own_settings():
            samples, self.kept_by_rules = self.rules.kept(draw, n)
        return samples
