"""The types of what a run writes down: ``run.json`` and one record per round.

A :class:`~coplay.metrics.base.Value` lives from the metric to the page, its interval included. The
files are plain JSON. ``json`` and ``from_json`` of each class are inverse to one another; files of
older runs may lack entries that were introduced later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from coplay.core.message import LinkTraffic, PlayerLost
from coplay.core.space import Space, Variable
from coplay.metrics.base import Value
from coplay.nets.sizes import NetworkSize
from coplay.run.sparse_matrix import SparseMatrix
from coplay.theory.sparse import influence_by_edges

Measured = Mapping[str, Mapping[str, Value]]
"""Measured values, by player (or seat) and quantity."""


@dataclass(frozen=True)
class DataRecord:
    """The data of a run.

    Args:
        name: What the source calls them.
        train: Number of training samples that can be dealt out.
        test: Number of test samples, which no player holds.
        space: All variables.
        learned: Names of the variables that each player learns.
        sizes: Number of private samples by player.
        counts: Number of private samples per class, by player; empty without classes.
    """

    name: str
    train: int
    test: int
    space: Space
    learned: Mapping[str, Sequence[str]]
    sizes: Mapping[str, int]
    counts: Mapping[str, list[int]]

    def json(self) -> dict[str, Any]:
        """The record as plain values."""
        return {
            "name": self.name,
            "train": self.train,
            "test": self.test,
            "space": space_to_json(self.space),
            "learned": {name: list(variables) for name, variables in self.learned.items()},
            "sizes": dict(self.sizes),
            "counts": dict(self.counts),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`json`."""
        return cls(
            values["name"],
            values["train"],
            values["test"],
            space_from_json(values["space"]),
            values.get("learned", {}),
            values.get("sizes", {}),
            values["counts"],
        )


@dataclass(frozen=True)
class ClassifierRecord:
    """How good the domain classifier is behind all scores.

    Args:
        accuracy: Share of real test samples that it classifies correctly, from 0 to 1.
        n_test: Number of these samples.
    """

    accuracy: float
    n_test: int


@dataclass(frozen=True)
class GameRecord:
    """What is known of a game before it is played.

    Args:
        weights: α of (A1), in the order of the players; None for a game without such weights.
        influence: M of (A2), in the order of the players; None without theory, or where it takes
            too much space: it then follows from the weights (:meth:`influence_corner`).
        predicted: Class shares by player that follow from it; empty without theory or classes.
        network_sizes: Sizes of the networks that travel, by the game's own names for them.
    """

    weights: SparseMatrix | None = None
    influence: SparseMatrix | None = None
    predicted: Mapping[str, list[float]] = field(default_factory=dict)
    network_sizes: Mapping[str, NetworkSize] = field(default_factory=dict)

    def influence_corner(self, size: int) -> list[list[float]] | None:
        """The upper left corner of M, at most ``size`` rows and columns; None without theory."""
        if self.influence is not None:
            return self.influence.corner(size)
        if self.weights is None:
            return None
        side = min(size, self.weights.size)
        rows = influence_by_edges(self.weights.scipy(), list(range(side)))
        return [row[:side] for row in rows.tolist()]

    def json(self) -> dict[str, Any]:
        """The record as plain values, without what is empty."""
        values: dict[str, Any] = {}
        if self.weights is not None:
            values["weights"] = self.weights.json()
        if self.influence is not None:
            values["influence"] = self.influence.json()
        if self.predicted:
            values["predicted"] = dict(self.predicted)
        if self.network_sizes:
            values["network_sizes"] = {
                name: asdict(size) for name, size in self.network_sizes.items()
            }
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`json`."""
        sizes = values.get("network_sizes", {})
        return cls(
            _matrix(values, "weights"),
            _matrix(values, "influence"),
            values.get("predicted", {}),
            {name: NetworkSize(**size) for name, size in sizes.items()},
        )


@dataclass(frozen=True)
class RunRecord:
    """The contents of ``run.json``.

    Args:
        status: ``"running"``, ``"finished"``, ``"stopped"`` or ``"failed"``.
        config: The config as plain values, defaults included.
        versions: Of Python and of the packages that decide a result.
        data: What the data are and who holds them.
        notes: What a reader of the report should know, in sentences.
        unmeasured: Why nothing is scored; empty if it is.
        games: By name, the main game first.
        classifier: The domain classifier; None before it is trained, or without one.
        reason: Why the run is not finished, in words; empty where there is nothing to say.
    """

    status: str
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    data: DataRecord
    notes: Sequence[str]
    unmeasured: str
    games: Mapping[str, GameRecord]
    classifier: ClassifierRecord | None = None
    reason: str = ""

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.config["seed"])

    @property
    def name(self) -> str:
        """The run's name, after which its folder is called."""
        return str(self.config["name"])

    @property
    def title(self) -> str:
        """The run's title."""
        return str(self.config["title"])

    def json(self) -> dict[str, Any]:
        """The record as plain values."""
        values: dict[str, Any] = {
            "status": self.status,
            "config": dict(self.config),
            "versions": dict(self.versions),
            "data": self.data.json(),
            "notes": list(self.notes),
            "unmeasured": self.unmeasured,
            "games": {name: game.json() for name, game in self.games.items()},
        }
        if self.classifier is not None:
            values["classifier"] = asdict(self.classifier)
        if self.reason:
            values["reason"] = self.reason
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`json`."""
        classifier = values.get("classifier")
        return cls(
            status=values["status"],
            config=values["config"],
            versions=values["versions"],
            data=DataRecord.from_json(values["data"]),
            notes=values["notes"],
            unmeasured=values.get("unmeasured", ""),
            games={name: GameRecord.from_json(game) for name, game in values["games"].items()},
            classifier=ClassifierRecord(**classifier) if classifier else None,
            reason=values.get("reason", ""),
        )


@dataclass(frozen=True)
class RoundRecord:
    """What happened in one round of one game: a line of ``rows.jsonl``.

    Args:
        round: From 1.
        players: Numbers that models reported, by player (or seat) and name.
        own: What only this game reports, such as its number of swaps; plain JSON values.
        measured: What was measured after the round; None where nothing was.
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
    """

    round: int
    players: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)
    measured: Measured | None = None
    predicted: Mapping[str, list[float]] | None = None
    bytes: int | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    lost: Mapping[str, PlayerLost] = field(default_factory=dict)
    late: Mapping[str, PlayerLost] = field(default_factory=dict)
    frozen: Sequence[str] | None = None
    joined: Sequence[str] = ()
    left: Mapping[str, int] = field(default_factory=dict)
    influence: SparseMatrix | None = None

    def json(self) -> dict[str, Any]:
        """The record as plain values, without what is empty.

        The game's own numbers stand beside the others.
        """
        values: dict[str, Any] = {"round": self.round, "players": dict(self.players), **self.own}
        if self.measured is not None:
            values["measured"] = measured_to_json(self.measured)
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
            predicted=values.get("predicted"),
            bytes=values.get("bytes"),
            seconds=values.get("seconds", {}),
            lost=_losses_from_json(values.get("lost", {}), round),
            late=_losses_from_json(values.get("late", {}), round),
            frozen=values.get("frozen"),
            joined=tuple(values.get("joined", ())),
            left=values.get("left", {}),
            influence=_matrix(values, "influence"),
        )


def _matrix(values: Mapping[str, Any], name: str) -> SparseMatrix | None:
    return SparseMatrix.from_json(values[name]) if name in values else None


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
        measured[player] = {quantity: Value(**value) for quantity, value in quantities.items()}
    return measured


def links_from_json(values: Sequence[Mapping[str, Any]]) -> list[LinkTraffic]:
    """The ledger of a checkpoint."""
    return [LinkTraffic(**link) for link in values]


def space_to_json(space: Space) -> dict[str, Any]:
    """A space as plain values."""
    return {name: space[name].model_dump(mode="json", exclude_defaults=True) for name in space}


def space_from_json(values: Mapping[str, Any]) -> Space:
    """The inverse of :func:`space_to_json`."""
    return Space({name: Variable.model_validate(value) for name, value in values.items()})
