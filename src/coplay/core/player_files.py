"""A player's file at a checkpoint: its model's state, and to whom and what it belongs.

The file names player, game and round, so that it is not taken for another's. A note beside it holds
the digests of the file and of the player's data. The coordinator's record has the first of them
only: a digest of private rows invites guessing at them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coplay.core import checkpoints, remedies, storage
from coplay.core.errors import CheckpointError
from coplay.core.nesting import nest, unnest

_LEARNED_VARIABLE = "heard/"
"""Prefix of variables that the model learned from others' samples."""


@dataclass(frozen=True)
class PlayerState:
    """What a player needs to go on.

    Args:
        model: The state of its model.
        learned: Whether it has learned from anything.
        variables: Variables that it learned from others' samples.
        kept: What the player's side of the game keeps.
    """

    model: Mapping[str, Tensor]
    learned: bool
    variables: Collection[str] = ()
    kept: dict[str, Tensor] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """Return the state as tensors by name."""
        player = {"learned": torch.tensor(self.learned)}
        for name in self.variables:
            player[_LEARNED_VARIABLE + name] = torch.tensor(True)
        state: dict[str, Mapping[str, Tensor]] = {"model": self.model, "player": player}
        if self.kept:
            state["game"] = self.kept
        return nest(state)

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> PlayerState:
        """The inverse of :meth:`tensors`.

        Raises:
            KeyError: The tensors are not those of a player.
        """
        state = unnest(tensors)
        player = state["player"]
        keys = [key for key in player if key.startswith(_LEARNED_VARIABLE)]
        variables = {key.removeprefix(_LEARNED_VARIABLE) for key in keys}
        # a model without a state, such as one that repeats its data, stores nothing
        model = state.get("model", {})
        return cls(model, bool(player["learned"]), variables, state.get("game", {}))


@dataclass(frozen=True)
class PlayerFile:
    """A file of a player.

    Args:
        path: Where it lies.
        home: The folder of its game, which has the game's name.
        player: The player's name.
        round: The round after which it was written.
    """

    path: Path
    home: Path
    player: str
    round: int

    @classmethod
    def at(cls, home: Path, round: int, player: str) -> PlayerFile:
        """Return a player's file at a checkpoint.

        Args:
            home: The game's folder.
            round: The round of the checkpoint.
            player: The player's name.
        """
        path = checkpoints.player_file(home, round, player)
        return cls(path, home, player, round)

    @property
    def note_path(self) -> Path:
        """The note beside the file."""
        return self.path.with_suffix(".json")

    @property
    def _owner(self) -> dict[str, str | int]:
        return {"player": self.player, "game": self.home.name, "round": self.round}

    @property
    def _remedy(self) -> str:
        return remedies.use_previous(self.home.parent)

    def write(self, state: PlayerState, data: str, mark: str = "") -> None:
        """Write the file and its note; their names are synced by whoever counts the checkpoint.

        Args:
            state: The player's state.
            data: Digest of its private data.
            mark: What the coordinator knows the checkpoint by; empty where it reads the note.
        """
        digest = storage.save_tensors(
            self.path, state.tensors(), self._owner, private=True, sync_name=False
        )
        note = {**self._owner, "model": digest, "data": data}
        if mark:
            note["mark"] = mark
        storage.write_sealed(self.note_path, note, private=True, sync_name=False)

    def note(self) -> dict[str, Any]:
        """Return the note: digests of the file (``model``) and of the player's data (``data``).

        Raises:
            CheckpointError: It is missing, damaged or of another player, game or round.
        """
        note = storage.read_sealed(self.note_path, self._remedy)
        self._check_owner(self.note_path, note, self._remedy)
        if not isinstance(note.get("model"), str) or not isinstance(note.get("data"), str):
            raise storage.damaged(self.note_path, "digests are missing", self._remedy)
        return note

    def read(self, digest: str, remedy: str | None = None) -> PlayerState:
        """Return what the file holds.

        Args:
            digest: The file's digest on record.
            remedy: What to do about damage, for the error; by default to take the checkpoint
                before.

        Raises:
            CheckpointError: It is missing, damaged or of another player, game or round.
        """
        remedy = remedy or self._remedy
        with contextlib.suppress(OSError):  # a missing file has its error below
            self._check_owner(self.path, storage.about(self.path), remedy)
        tensors = storage.load_tensors(self.path, digest, remedy)
        try:
            return PlayerState.of(tensors)
        except KeyError as error:
            raise storage.damaged(self.path, f"{error} is missing", remedy) from error

    def restored(self, data: str, mark: str = "") -> PlayerState:
        """Return what the file holds, to a player whose data are those of the checkpoint.

        Args:
            data: Digest of the player's data now.
            mark: What the coordinator knows the checkpoint by; empty for any.

        Raises:
            CheckpointError: A file is missing, damaged or not this player's, or the data changed.
        """
        note = self.note()
        if mark and note.get("mark") != mark:
            fault = "it is not the file that the coordinator's checkpoint counts"
            raise storage.damaged(self.path, fault, self._remedy)
        if note["data"] != data:
            raise CheckpointError(
                f"the data of player '{self.player}' changed since the checkpoint of round "
                f"{self.round}; restore them, or see 'coplay run --start-from'"
            )
        return self.read(note["model"])

    def _check_owner(self, path: Path, about: Mapping[str, Any], remedy: str) -> None:
        """Refuse a file of another player, game or round.

        One that says nothing passes: its digest decides about it.
        """
        for kind, expected in self._owner.items():
            actual = about.get(kind, expected)
            if actual != expected:
                fault = f"it is of {kind} {actual!r}, expected {expected!r}"
                raise storage.damaged(path, fault, remedy)
