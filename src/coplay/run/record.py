"""The types of what a run writes down: ``run.json`` and one record per round.

A :class:`~coplay.metrics.base.Value` lives from the metric to the page, its interval included. The
files are plain JSON. ``json`` and ``from_json`` of each class are inverse to one another; files of
older runs may lack entries that were introduced later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from coplay.core import storage
from coplay.core.errors import CheckpointError
from coplay.core.message import LinkTraffic
from coplay.core.space import LABEL, Space, Variable
from coplay.nets.sizes import NetworkSize
from coplay.run.interruption import Interruption
from coplay.run.open_pairs import OpenPair
from coplay.run.sparse_matrix import SparseMatrix, matrix_of
from coplay.theory.sparse import influence_by_edges

RUN = "run.json"
"""File of a run's record."""

FORMAT = 1
"""Number of the form in which a run is written down. Another form has another number."""


@dataclass(frozen=True)
class DataRecord:
    """The data of a run.

    Args:
        name: What the source calls them.
        train: Number of training samples that can be dealt out; None where players have data of
            their own.
        test: Number of test samples, which no player holds; None likewise.
        space: All variables.
        learned: Names of the variables that each player learns.
        sizes: Number of private samples by player, of those that tell it.
        counts: Number of private samples per class, by player; empty without classes, or where a
            player does not tell them.
        notes: What was read, left out, converted or counted, in sentences.
        unobserved: Variables that the data of each player lack, where players have their own.
        open: The pairs of variables that nobody observes together, the first of very many.
    """

    name: str
    train: int | None
    test: int | None
    space: Space
    learned: Mapping[str, Sequence[str]]
    sizes: Mapping[str, int]
    counts: Mapping[str, list[int]]
    notes: Sequence[str] = ()
    unobserved: Mapping[str, Sequence[str]] = field(default_factory=dict)
    open: Sequence[OpenPair] = ()

    @property
    def extent(self) -> str:
        """How many samples there are, in words; empty where players have data of their own."""
        if self.train is None or self.test is None:
            return ""
        return f"({self.train:,} training samples, {self.test:,} test samples that no player holds)"

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the classes are called, in the order of their numbers; empty without classes."""
        if LABEL in self.space:
            return self.space[LABEL].class_names
        return tuple(map(str, range(max(map(len, self.counts.values()), default=0))))

    def json(self) -> dict[str, Any]:
        """The record as plain values, without notes where there are none."""
        values: dict[str, Any] = {
            "name": self.name,
            "train": self.train,
            "test": self.test,
            "space": space_to_json(self.space),
            "learned": {name: list(variables) for name, variables in self.learned.items()},
            "sizes": dict(self.sizes),
            "counts": dict(self.counts),
        }
        if self.notes:
            values["notes"] = list(self.notes)
        if self.unobserved:
            values["unobserved"] = {name: list(v) for name, v in self.unobserved.items()}
        if self.open:
            values["open"] = [asdict(pair) for pair in self.open]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`json`."""
        pairs = [OpenPair.from_json(pair) for pair in values.get("open", ())]
        return cls(
            values["name"],
            values["train"],
            values["test"],
            space_from_json(values["space"]),
            values.get("learned", {}),
            values.get("sizes", {}),
            values["counts"],
            tuple(values.get("notes", ())),
            values.get("unobserved", {}),
            tuple(pairs),
        )


@dataclass(frozen=True)
class ClassifierRecord:
    """How good the domain classifier is behind all scores.

    Args:
        accuracy: Share of real test samples that it classifies correctly, from 0 to 1.
        n_test: Number of these samples.
        warning: Why scores that rest on it mean little; empty if they do not.
    """

    accuracy: float
    n_test: int
    warning: str = ""


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
            matrix_of(values, "weights"),
            matrix_of(values, "influence"),
            values.get("predicted", {}),
            {name: NetworkSize(**size) for name, size in sizes.items()},
        )


@dataclass(frozen=True)
class Origin:
    """The run whose models another one began with.

    Args:
        folder: Its folder, as it was named.
        title: Its title.
        rounds: The rounds that its players had played, by game.
        checkpoints: Digests of its checkpoints, by game.
        data: Whether the new run began with the ``"same"`` data, or they ``"changed"``.
    """

    folder: str
    title: str
    rounds: Mapping[str, int]
    checkpoints: Mapping[str, str]
    data: Literal["same", "changed"]


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
        files: Digests of the files in the run's own folder, by name.
        data_digest: Whether the data were the ``"same"`` when the run last began or went on as at
            its start, or had ``"changed"``, so that it began anew. The digests themselves are no
            part of the record.
        started_from: The run whose models this one began with; None for a start from nothing.
        models: What the models of players with site files are called, by player.
        interruptions: Each end before the last round after which the run was resumed.
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
    files: Mapping[str, str] = field(default_factory=dict)
    data_digest: Literal["same", "changed"] = "same"
    started_from: Origin | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    interruptions: Sequence[Interruption] = ()

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
            "format": FORMAT,
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
        values["files"] = dict(self.files)
        values["data_digest"] = self.data_digest
        if self.started_from is not None:
            values["started_from"] = asdict(self.started_from)
        if self.models:
            values["models"] = dict(self.models)
        if self.interruptions:
            values["interruptions"] = [asdict(each) for each in self.interruptions]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`json`."""
        classifier = values.get("classifier")
        origin = values.get("started_from")
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
            files=values.get("files", {}),
            data_digest=values.get("data_digest", "same"),
            started_from=Origin(**origin) if origin else None,
            models=values.get("models", {}),
            interruptions=tuple(
                Interruption.from_json(each) for each in values.get("interruptions", ())
            ),
        )


def links_from_json(values: Sequence[Mapping[str, Any]]) -> list[LinkTraffic]:
    """The ledger of a checkpoint."""
    return [LinkTraffic(**link) for link in values]


def space_to_json(space: Space) -> dict[str, Any]:
    """A space as plain values."""
    return {name: space[name].model_dump(mode="json", exclude_defaults=True) for name in space}


def space_from_json(values: Mapping[str, Any]) -> Space:
    """The inverse of :func:`space_to_json`."""
    return Space({name: Variable.model_validate(value) for name, value in values.items()})


def read_record(folder: Path) -> RunRecord:
    """Read ``run.json``.

    Raises:
        CheckpointError: It is damaged, or of another format.
    """
    path = folder / RUN
    values = storage.read_json(path)
    if not isinstance(values, dict) or "format" not in values:
        fault = "it has no format number"
        raise storage.damaged(path, fault, "restore it from a copy; older runs cannot be read")
    number = values.get("format")
    if number != FORMAT or isinstance(number, bool):
        raise CheckpointError(
            f"{path} is of format {number!r}, this coplay reads format {FORMAT}; "
            "read it with the version of coplay that wrote it"
        )
    content = storage.check_seal(path, values)
    try:
        return RunRecord.from_json(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise storage.damaged(path, f"{type(error).__name__}: {error}") from error
