"""What a player was asked before, and with whom it plays.

By it a request is recognised that comes twice, or out of its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from coplay.core.message import (
    Request,
    action_of,
    request_from_plain,
    request_to_plain,
)
from coplay.core.requests import Restore, Save

T = TypeVar("T")


class Roster:
    """The players of a game, as each of them knows them; all players of a process share one.

    Args:
        names: Of all players in order, without the game's seats.
        take_incomplete: Those of them whose models learn from samples that lack variables.

    Example:
        >>> roster = Roster(["north", "south"])
        >>> roster.once("sorted", lambda: sorted(roster.names)), roster.places["south"]
        (['north', 'south'], 1)
    """

    def __init__(self, names: Sequence[str], take_incomplete: Collection[str] = ()) -> None:
        self.names = tuple(names)
        self.take_incomplete = frozenset(take_incomplete)
        self.is_acquainted = False
        """Whether a message said who takes incomplete samples; it is said once."""
        self.places = {name: place for place, name in enumerate(self.names)}
        self._derived: dict[Any, Any] = {}

    def once(self, key: Any, compute: Callable[[], T]) -> T:
        """Return what follows from the names; it is computed once."""
        if key not in self._derived:
            self._derived[key] = compute()
        value: T = self._derived[key]
        return value


class History:
    """Which requests a player has accepted.

    A round of play is not gone back to: only a checkpoint is, by ``Restore``. Rounds may be left
    out, since a player can be late, come back from a checkpoint, or join.

    Args:
        done: The round of the checkpoint that the player came back to; 0 at the start.

    Example:
        >>> history = History()
        >>> history.fault(Request(), 3, last=9, plays=True)
        ''
        >>> history.note(Request(), 3, plays=True)
        >>> history.fault(Request(), 3, last=9, plays=True)
        'this request of round 3 was accepted before'
        >>> history.fault(Request(), 2, last=9, plays=True)
        'expected round 3 to 9, got round 2'
    """

    def __init__(self, done: int = 0) -> None:
        self._saved = done
        self._place = (done + 1, 0)
        self._has_played = False
        self._last: dict[type, tuple[int, int]] = {}
        self._at_last: dict[type, list[Request]] = {}
        self._answered: set[tuple[type, int]] = set()

    def fault(self, request: Request, round: int, last: int, plays: bool) -> str:
        """Say why a player cannot be asked this now; empty if it can.

        Args:
            request: What is asked.
            round: The round that the message names.
            last: The game's number of rounds. The round after the one played last is accepted
                too: the coordinator may go on.
            plays: Whether it is a move of the game, and not a measurement or a checkpoint.
        """
        first = self._place[0]
        if not plays:
            first = max(1, first if self._has_played else first - 1)
        most = max(last, self._place[0] + self._has_played)
        if isinstance(request, Restore):
            return self._restore_fault(round, most)
        if not first <= round <= most:
            return f"expected round {first} to {most}, got round {round}"
        kind = type(request)
        if not plays:
            is_known = (kind, round) in self._answered
        else:
            place = (round, request.order)
            before = self._last.get(kind, (0, 0))
            if place < self._place or place < before:
                return f"this request comes after later ones of round {round}"
            is_known = place == before
            if is_known and request.repeats:
                is_known = request in self._at_last[kind]
        return f"this request of round {round} was accepted before" if is_known else ""

    def _restore_fault(self, round: int, most: int) -> str:
        if self._has_played and round != self._saved:
            return f"expected round {self._saved}, that of the last checkpoint, got round {round}"
        # round 0 is what a run begins with that begins with the models of another
        if not 0 <= round <= most:
            return f"expected round 0 to {most}, got round {round}"
        return ""

    def note(self, request: Request, round: int, plays: bool) -> None:
        """Remember a request that was accepted."""
        kind = type(request)
        if isinstance(request, Save):
            self._saved = round
        if not plays:
            self._answered.add((kind, round))
            return
        place = (round, request.until)
        if self._last.get(kind) != place:
            self._at_last[kind] = []
        if request.repeats:
            self._at_last[kind].append(request)
        self._last[kind] = place
        self._place = max(self._place, place)
        self._has_played = True

    def plain(self) -> dict[str, Any]:
        """Return it as plain values, for a player that is made anew for each message."""
        repeated = []
        for requests in self._at_last.values():
            repeated += [request_to_plain(request) for request in requests]
        return {
            "saved": self._saved,
            "place": list(self._place),
            "has_played": self._has_played,
            "last": [[action_of(kind), *place] for kind, place in self._last.items()],
            "at_last": repeated,
            "answered": sorted([action_of(kind), round] for kind, round in self._answered),
        }

    @classmethod
    def from_plain(cls, values: Mapping[str, Any], known: Iterable[type[Request]]) -> History:
        """The inverse of :meth:`plain`.

        Args:
            values: Plain values.
            known: The kinds of request that the player may be asked.

        Raises:
            KeyError: A value is missing, or there is no such kind.
        """
        kinds = {action_of(kind): kind for kind in known}
        history = cls(values["saved"])
        first, order = values["place"]
        history._place = (first, order)
        history._has_played = values["has_played"]
        for action, round, order in values["last"]:
            history._last[kinds[action]] = (round, order)
            history._at_last[kinds[action]] = []
        for each in values["at_last"]:
            request = request_from_plain(each, kinds.values(), "what a player was asked")
            history._at_last[type(request)].append(request)
        history._answered = {(kinds[action], round) for action, round in values["answered"]}
        return history
