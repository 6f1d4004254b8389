"""The time that a player spends on its own work."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from coplay.core.surroundings import settings_restored


class Timed:
    """Books seconds by what they were spent on."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(self, kind: str) -> Iterator[None]:
        """Book the time inside as the player's own, and restore torch's settings afterwards.

        Args:
            kind: ``"learning"`` or ``"sampling"``.
        """
        began = time.perf_counter()
        try:
            with settings_restored():
                yield
        finally:
            self.book_seconds(kind, time.perf_counter() - began)

    def book_seconds(self, kind: str, seconds: float) -> None:
        """Add to the time that the player spent on something."""
        self._seconds[kind] = self._seconds.get(kind, 0.0) + seconds

    def take_seconds(self) -> dict[str, float]:
        """Return the seconds booked since the last call, by ``seconds_`` and their kind."""
        booked = self._seconds
        self._seconds = {}
        return {f"seconds_{kind}": seconds for kind, seconds in booked.items()}
