"""How a run reports its progress."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many steps of it are done, and of how many."""


def silent(what: str, done: int, of: int) -> None:
    """Report nothing."""
