"""A player's files in its folder of a game: checkpoints while it is played, then its model.

A player that keeps its files itself tells nobody what they hold. The coordinator's checkpoint and
the player's know each other by a mark that the coordinator gave, so that no digest has to leave.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from coplay.core import checkpoints, storage
from coplay.core.inside import file_name
from coplay.core.player_files import PlayerFile, PlayerState
from coplay.core.requests import Save

MODELS = "models"
"""Folder, in a game's, of what players learned, once the game is finished."""


@dataclass(frozen=True)
class PlayerFolder:
    """Where a player keeps its files.

    Args:
        home: The folder of its game, which has the game's name.
        player: The player's name.
    """

    home: Path
    player: str

    def at(self, round: int) -> PlayerFile:
        """Return the file of a checkpoint, without looking whether it is there."""
        return PlayerFile.at(self.home, round, self.player)

    def model(self, round: int) -> PlayerFile:
        """Return the file of a finished game's model, without looking whether it is there.

        Args:
            round: The last round of the game.
        """
        path = self.home / MODELS / f"{file_name(self.player)}.safetensors"
        return PlayerFile(path, self.home, self.player, round)

    def last(self, round: int) -> PlayerFile:
        """Return the file of a round: of its checkpoint, or the model if the game is finished."""
        file = self.at(round)
        model = self.model(round)
        return model if model.note_path.exists() and not file.note_path.exists() else file

    @property
    def is_begun(self) -> bool:
        """Whether anything was saved here."""
        return any((self.home / "checkpoints").glob("*")) or (self.home / MODELS).exists()

    def save(self, round: int, state: PlayerState, data: str, request: Save) -> None:
        """Write a checkpoint; one that the player keeps itself is safe on disk at the end.

        Args:
            round: Its round.
            state: The player's state.
            data: Digest of its private data.
            request: What was asked.
        """
        self.at(round).write(state, data, request.mark)
        if request.mark:
            checkpoints.sync(self.home, round)
            checkpoints.drop_others(self.home, [round, *request.kept])

    def restored(self, round: int, data: str, mark: str) -> tuple[Path, PlayerState]:
        """Return the file of a round, and what it holds.

        Raises:
            CheckpointError: See :meth:`PlayerFile.restored`.
        """
        file = self.last(round)
        return file.path, file.restored(data, mark)

    def finish(self, round: int) -> None:
        """Keep what was learned up to a round as the model, and delete all checkpoints.

        Raises:
            CheckpointError: The checkpoint is missing or damaged.
        """
        file = self.last(round)
        note = file.note()
        model = self.model(round)
        if file != model:
            content = storage.read_bytes(file.path, note["model"])
            # learned from private rows, wherever it lies
            storage.write_atomically(model.path, content, private=True)
            storage.write_sealed(model.note_path, note, private=True)
        checkpoints.drop_others(self.home, ())
        with contextlib.suppress(OSError):  # what is left over is in nobody's way
            (self.home / "checkpoints").rmdir()
