"""One round of a game as it is written to disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from coplay.core.message import PlayerLost
from coplay.metrics.base import Value
from coplay.run.caution import Caution, cautions_from_json, cautions_to_json
from coplay.run.moments import ByPlayer, moments_from_json, moments_to_json
from coplay.run.sparse_matrix import SparseMatrix, matrix_of

Measured = Mapping[str, Mapping[str, Value]]
"""Measured values, by player (or seat) and quantity."""


@dataclass(frozen=True)
class RoundRecord:
    """What happened in one round of one game: a line of ``rows.jsonl``.

    Args:
        round: From 1.
        players: Numbers that models reported, by player (or seat) and name.
        own: What only this game reports, such as its number of swaps; plain JSON values.
        measured: What was measured after the round; None where nothing was.
        shown: Digest of the file with the samples shown after the round; None where none were.
        predicted: Class shares that the measurement was compared with; None where they did not
            change.
        bytes: Payload exchanged in the round; None in runs that did not count it by round.
        seconds: Time by kind: learning, sampling, exchange, evaluation, bookkeeping.
        lost: Players lost in the round.
        late: Players that were too late in the round.
        frozen: Players without data or living sources after a loss; None where nobody was lost.
        joined: Players that joined.
        left: Players that left as configured, with the iteration before which they did.
        influence: M among the living after a loss; None where nobody was lost, or where it takes
            too much space: it then follows from the weights.
        cautions: What a reader of the measurement must know, by player; those without are left out.
        moments: Moments of the samples that were drawn, where a game ends when they are steady.
        elapsed: Seconds of play since the first round, where a game ends after some minutes.
        stopped: Why it was the last round though more were planned; empty if it was not.
    """

    round: int
    players: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)
    measured: Measured | None = None
    shown: str | None = None
    predicted: Mapping[str, list[float]] | None = None
    bytes: int | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    lost: Mapping[str, PlayerLost] = field(default_factory=dict)
    late: Mapping[str, PlayerLost] = field(default_factory=dict)
    frozen: Sequence[str] | None = None
    joined: Sequence[str] = ()
    left: Mapping[str, int] = field(default_factory=dict)
    influence: SparseMatrix | None = None
    cautions: Mapping[str, Caution] = field(default_factory=dict)
    moments: ByPlayer = field(default_factory=dict)
    elapsed: float | None = None
    stopped: str = ""

    def json(self) -> dict[str, Any]:
        """The record as plain values, without what is empty.

        The game's own numbers stand beside the others.
        """
        values: dict[str, Any] = {"round": self.round, "players": dict(self.players), **self.own}
        if self.measured is not None:
            values["measured"] = measured_to_json(self.measured)
        if self.shown is not None:
            values["shown"] = self.shown
        if self.predicted is not None:
            values["predicted"] = dict(self.predicted)
        if self.bytes is not None:
            values["bytes"] = self.bytes
        for name, losses in (("lost", self.lost), ("late", self.late)):
            if losses:
                values[name] = _losses_to_json(losses)
        if self.frozen is not None:
            values["frozen"] = list(self.frozen)
        if self.joined:
            values["joined"] = list(self.joined)
        if self.left:
            values["left"] = dict(self.left)
        if self.influence is not None:
            values["influence"] = self.influence.json()
        if self.cautions:
            values["cautions"] = cautions_to_json(self.cautions)
        if self.moments:
            values["moments"] = moments_to_json(self.moments)
        if self.elapsed is not None:
            values["elapsed"] = self.elapsed
        if self.stopped:
            values["stopped"] = self.stopped
        values["seconds"] = dict(self.seconds)
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`json`."""
        fields = cls.__dataclass_fields__
        round = int(values["round"])
        measured = None
        if "measured" in values:
            measured = measured_from_json(values["measured"])
        return cls(
            round=round,
            players=values.get("players", {}),
            own={key: value for key, value in values.items() if key not in fields},
            measured=measured,
            shown=values.get("shown"),
            predicted=values.get("predicted"),
            bytes=values.get("bytes"),
            seconds=values.get("seconds", {}),
            lost=_losses_from_json(values.get("lost", {}), round),
            late=_losses_from_json(values.get("late", {}), round),
            frozen=values.get("frozen"),
            joined=tuple(values.get("joined", ())),
            left=values.get("left", {}),
            influence=matrix_of(values, "influence"),
            cautions=cautions_from_json(values.get("cautions", {})),
            moments=moments_from_json(values.get("moments", {})),
            elapsed=values.get("elapsed"),
            stopped=values.get("stopped", ""),
        )


def _losses_to_json(losses: Mapping[str, PlayerLost]) -> dict[str, dict[str, str]]:
    values = {}
    for player, loss in losses.items():
        values[player] = {"action": loss.action, "reason": loss.reason}
    return values


def _losses_from_json(values: Mapping[str, Mapping[str, str]], round: int) -> dict[str, PlayerLost]:
    losses = {}
    for player, loss in values.items():
        losses[player] = PlayerLost(player, loss["action"], round, loss["reason"])
    return losses


def measured_to_json(measured: Measured) -> dict[str, dict[str, Any]]:
    """Values by player and quantity as plain values."""
    plain = {}
    for player, values in measured.items():
        plain[player] = {quantity: value.json() for quantity, value in values.items()}
    return plain


def measured_from_json(
    values: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> dict[str, dict[str, Value]]:
    """The inverse of :func:`measured_to_json`."""
    measured = {}
    for player, quantities in values.items():
        measured[player] = {name: Value.from_json(value) for name, value in quantities.items()}
    return measured
