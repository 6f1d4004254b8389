"""Looks for copies of training rows among the samples that a game's parties draw."""

from __future__ import annotations

from dataclasses import replace

from coplay.core.space import Samples, join
from coplay.metrics.copies import Copies, TrainingRows
from coplay.run.caution import Caution
from coplay.run.sites import Seats


class CopyWatch:
    """Compares the samples of each party with the rows that it learned from.

    A seat without data of its own, such as a server, is compared with the rows of all players.

    Args:
        seats: Everybody in the game.
        real: Real test samples, which no player holds.
    """

    def __init__(self, seats: Seats, real: Samples) -> None:
        self._seats = seats
        self._real = real
        self._rows: dict[str, TrainingRows] = {}

    def noted(self, caution: Caution, samples: Samples, name: str) -> Caution:
        """Return the caution with the copies among a party's samples, if there are any.

        A fault on the way is noted instead; it never ends a run.
        """
        try:
            copies = self.copies_among(samples, name)
        except Exception as error:  # the samples are those of a foreign model
            reason = f"{type(error).__name__}: {error}"
            return replace(caution, unmeasured={**caution.unmeasured, "copies": reason})
        return replace(caution, copies=copies if copies is not None and copies.any else None)

    def copies_among(self, samples: Samples, name: str) -> Copies | None:
        """Count copies among a party's samples; None where it learned from no rows."""
        if name not in self._rows:
            held = self._held(name)
            if held is None or not len(held):
                return None
            space = self._seats.facts[name].variables
            self._rows[name] = TrainingRows(held, self._real, space)
        return self._rows[name].copies_among(samples)

    def _held(self, name: str) -> Samples | None:
        learned_from = self._seats.learned_from
        if name in learned_from:
            return learned_from[name]
        if name not in self._seats.seats:
            return None  # its rows lie with it
        everybody = [samples for samples in learned_from.values() if len(samples)]
        if not everybody:
            return None
        common = set.intersection(*(set(map(str, samples.keys())) for samples in everybody))
        if not common:
            return None
        return join([samples.select(*sorted(common)) for samples in everybody])
