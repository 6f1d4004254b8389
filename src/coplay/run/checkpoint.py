"""The record of a game's checkpoint: what counts, and by which digests it is known again."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from coplay.core import checkpoints, remedies, storage
from coplay.core.digests import of_values
from coplay.core.errors import CheckpointError
from coplay.core.inside import file_name
from coplay.core.message import LinkTraffic, Payload
from coplay.core.player_files import PlayerFile
from coplay.core.player_folder import MODELS
from coplay.core.requests import Save
from coplay.games.base import Link
from coplay.run.links_on_disk import TRAFFIC, load_traffic, payload_from_tensors, payload_to_tensors
from coplay.run.record import links_from_json
from coplay.run.rows import Counted

PAYLOAD = "state.safetensors"
"""File of a checkpoint with the samples in flight."""

_CHANGES_NO_RESULT = ("engine", "checkpoint", "title", "name")


def run_id(config: Mapping[str, Any]) -> str:
    """Return what tells a run from others: a digest of all of its config that decides results.

    Args:
        config: The config as plain values.

    Example:
        >>> run_id({"seed": 1, "title": "a"}) == run_id({"seed": 1, "title": "b"})
        True
        >>> run_id({"seed": 1}) == run_id({"seed": 2})
        False
    """
    deciding = {key: value for key, value in config.items() if key not in _CHANGES_NO_RESULT}
    return of_values(deciding)[:16]


def mark_of(run: str, game: str, round: int, rows: str) -> str:
    """Return what players that keep their files themselves know a checkpoint by.

    Args:
        run: What tells the run from others.
        game: The game's name.
        round: The checkpoint's round.
        rows: Digest of the rows before that round.
    """
    return of_values([run, game, round, rows])[:32]


@dataclass(frozen=True)
class Checkpoint:
    """The contents of ``checkpoint.json``.

    Args:
        round: The round after which it was made; 0 for the models that a run began with.
        run: What tells the run from others (:func:`run_id`); empty in a game by itself.
        game: The game's name.
        rows: Digest of the rows up to this round, without times.
        payload: Digest of the file with the samples in flight.
        models: Digest of every player's file, by name.
        state: What else the coordinator knows, as plain values.
        traffic: The ledger by link, where the links are not too many to list.
        traffic_file: Digest of the file with the ledger, where they are.
        finished: Whether the game is over. The players' files are then in the folder ``models``
            of the game, and nowhere else.
        at_sites: Names of the players that keep their files themselves; of these nothing is known.
        mark: What they know this checkpoint by.
    """

    round: int
    game: str
    rows: str
    models: Mapping[str, str]
    state: Mapping[str, Any]
    traffic: list[LinkTraffic] = field(default_factory=list)
    traffic_file: str = ""
    payload: str = ""
    run: str = ""
    finished: bool = False
    at_sites: Sequence[str] = ()
    mark: str = ""

    @property
    def names(self) -> list[str]:
        """Names of all that have a model."""
        return [*self.models, *self.at_sites]

    @property
    def counted(self) -> Counted:
        """What it says of the rows."""
        return Counted(self.round, self.rows)

    def json(self) -> dict[str, Any]:
        """The record as plain values."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return values | {"traffic": [asdict(link) for link in self.traffic]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`json`.

        Raises:
            TypeError: An entry is missing, unknown or of another kind.
        """
        links = links_from_json(values.get("traffic", ()))
        return cls(**{**values, "traffic": links})

    @classmethod
    def last(cls, home: Path) -> Self | None:
        """Return the checkpoint of a game that counts; None if there is none.

        Raises:
            CheckpointError: Its record is damaged, or is that of another game.
        """
        return cls._of(home, checkpoints.LAST, checkpoints.last(home))

    @classmethod
    def previous(cls, home: Path) -> Self | None:
        """Return the checkpoint before the one that counts; None if there is none.

        Raises:
            CheckpointError: Its record is damaged, or is that of another game.
        """
        return cls._of(home, checkpoints.PREVIOUS, checkpoints.previous(home))

    @classmethod
    def _of(cls, home: Path, file: str, values: Mapping[str, Any] | None) -> Self | None:
        if values is None:
            return None
        path = home / file
        try:
            checkpoint = cls.from_json(values)
        except (TypeError, AttributeError) as error:
            raise storage.damaged(path, error, remedies.use_previous(home.parent)) from error
        if checkpoint.game != home.name:
            fault = f"it is of the game '{checkpoint.game}', expected '{home.name}'"
            raise storage.damaged(path, fault, remedies.use_previous(home.parent))
        return checkpoint

    def commit(self, home: Path) -> None:
        """Make this the checkpoint that counts; all its files are there."""
        checkpoints.sync(home, self.round)
        checkpoints.commit(home, self.round, self.json())

    def export(self, home: Path) -> None:
        """Copy what players learned, whose files lie here, to where a reader looks for it."""
        for name, digest in self.models.items():
            content = storage.read_bytes(self.player_file(home, name), digest)
            path = home / MODELS / f"{file_name(name)}.safetensors"
            # a model learned from private rows, wherever it lies
            storage.write_atomically(path, content, private=True, sync_name=False)
        if self.models:
            storage.sync_folder(home / MODELS)

    def finish(self, home: Path) -> None:
        """Say that the players' files are in ``models``, and delete all checkpoints."""
        done = replace(self, finished=True)
        if self.traffic_file:
            path = checkpoints.folder_of(home, self.round) / TRAFFIC
            content = storage.read_bytes(path, self.traffic_file)
            storage.write_atomically(home / TRAFFIC, content, private=True)
        storage.write_sealed(home / checkpoints.LAST, done.json())
        done.clear(home)

    def clear(self, home: Path) -> None:
        """Delete the checkpoints of a finished game; its end may have been cut off before."""
        checkpoints.drop_others(home, ())
        with contextlib.suppress(OSError):  # what is left over is in nobody's way
            (home / checkpoints.PREVIOUS).unlink(missing_ok=True)
            (home / "checkpoints").rmdir()

    def check_run(self, home: Path, run: str) -> None:
        """Refuse a checkpoint of another run.

        Raises:
            CheckpointError: It is of another one.
        """
        if self.run != run:
            fault = "it is of a run with another config"
            raise storage.damaged(
                home / checkpoints.LAST, fault, remedies.use_previous(home.parent)
            )

    def check_notes(self, home: Path, players: Sequence[str]) -> None:
        """Refuse players' files that are not those that this checkpoint counts.

        The files themselves are checked where the players read them.

        Raises:
            CheckpointError: With all faults.
        """
        faults = []
        for name in players:
            file = PlayerFile.at(home, self.round, name)
            try:
                if file.note()["model"] != self.models.get(name):
                    faults.append(f"{file.path} is not the file that this checkpoint counts")
            except CheckpointError as error:
                faults.append(str(error))
        if faults:
            raise CheckpointError("; ".join(faults))

    def in_flight(self, home: Path) -> dict[Link, Payload]:
        """Return the samples in flight, by sender and receiver.

        Raises:
            CheckpointError: Their file is missing, or is not what was written.
        """
        if not self.payload:
            return {}
        path = checkpoints.folder_of(home, self.round) / PAYLOAD
        remedy = remedies.use_previous(home.parent)
        stored = storage.load_tensors(path, self.payload, remedy)
        return payload_from_tensors(stored)

    def links(self, home: Path) -> list[LinkTraffic]:
        """Return the ledger up to this round, by link.

        Raises:
            CheckpointError: Its file is missing, or is not what was written.
        """
        if not self.traffic_file:
            return self.traffic
        folder = home if self.finished else checkpoints.folder_of(home, self.round)
        advise = remedies.play_again if self.finished else remedies.use_previous
        return load_traffic(folder / TRAFFIC, self.traffic_file, advise(home.parent))

    def player_file(self, home: Path, player: str) -> Path:
        """Return the file of a player, without looking whether it is there."""
        return self.file(home, player).path

    def file(self, home: Path, player: str) -> PlayerFile:
        """Return the file of a player whose files lie here, with what it belongs to."""
        file = PlayerFile.at(home, self.round, player)
        if self.finished:
            return replace(file, path=home / MODELS / f"{file_name(player)}.safetensors")
        return file

    def check_models(self, home: Path) -> None:
        """Compare the players' files with their digests.

        Raises:
            CheckpointError: One is missing, or is not what was written.
        """
        advise = remedies.play_again if self.finished else remedies.use_previous
        remedy = advise(home.parent)
        for name, digest in self.models.items():
            storage.read_bytes(self.player_file(home, name), digest, remedy)


def save_at_site(home: Path, run: str, round: int, rows: str) -> Save:
    """Return what players are asked that keep their files themselves.

    Args:
        home: The game's folder.
        run: What tells the run from others.
        round: The round of the checkpoint.
        rows: Digest of the rows before that round.
    """
    counting = (Checkpoint.last(home), Checkpoint.previous(home))
    kept = {each.round for each in counting if each is not None}
    return Save(mark_of(run, home.name, round, rows), sorted(kept - {round}))


def save_in_flight(home: Path, round: int, payload: Mapping[Link, Payload]) -> str:
    """Write the samples in flight, and return the digest of their file.

    Args:
        home: The game's folder.
        round: The round of the checkpoint.
        payload: The samples by sender and receiver, which may be references.
    """
    path = checkpoints.folder_of(home, round) / PAYLOAD
    stored = payload_to_tensors(payload)
    return storage.save_tensors(path, stored, private=True, sync_name=False)
