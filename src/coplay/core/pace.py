"""How far something long has come, said on standard error while it lasts."""

from __future__ import annotations

import sys
import time

_QUIET_SECONDS = 5.0


class Pace:
    """Says every five seconds how far something has come and how long the rest will take.

    What takes less than five seconds says nothing.

    Args:
        what: What is done, such as ``reading wards.csv``.
        of: How much there is to do; 0 where nobody knows.

    Example:
        >>> pace = Pace("reading wards.csv", 1000)
        >>> pace.line(250, 10.0)
        'reading wards.csv: 25 %, about 30 s left'
    """

    def __init__(self, what: str, of: int) -> None:
        self._what, self._of = what, of
        self._began = self._spoke = time.monotonic()

    def at(self, done: int) -> None:
        """Say how far it is, if nothing was said for five seconds."""
        now = time.monotonic()
        if now - self._spoke < _QUIET_SECONDS:
            return
        self._spoke = now
        print(self.line(done, now - self._began), file=sys.stderr, flush=True)

    def line(self, done: int, seconds: float) -> str:
        """Return what is said after so many seconds."""
        if not 0 < done <= self._of:
            return f"{self._what}: {seconds:.0f} s so far"
        left = seconds * (self._of - done) / done
        return f"{self._what}: {100 * done // self._of} %, about {left:.0f} s left"
