"""What a player keeps in its own folder: checkpoints, its model, and the words of its errors."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from coplay.core import storage
from coplay.core.border import Border
from coplay.core.errors import ModelError
from coplay.core.facts import Promise
from coplay.core.number_log import NumberLog
from coplay.core.player_files import PlayerFile, PlayerState
from coplay.core.player_folder import PlayerFolder
from coplay.core.requests import Finish, Restore, Save
from coplay.core.ruled import Ruled
from coplay.core.watching import Watching

ERRORS = "errors.txt"
"""File, in a player's folder, of the words of its errors, which may quote its rows."""


class Keeping(Ruled):
    """The part of a player that keeps files."""

    name: str
    home: Path | None
    log: NumberLog
    border: Border | None = None
    """What stands between it and everybody else; None for a player without a site file."""

    promise: Promise = ""
    """How it keeps a promise of privacy; empty where it makes none."""

    watching: Watching | None = None
    """What looks at its answers, at its own side; None for nothing."""

    @property
    def is_private(self) -> bool:
        """Whether nothing that is computed from real rows may leave, not even what went wrong."""
        return bool(self.promise)

    @property
    @abstractmethod
    def state(self) -> PlayerState:
        """What it needs to go on."""

    @property
    @abstractmethod
    def data_digest(self) -> str:
        """Digest of the private data, for this player's own folder only."""

    @abstractmethod
    def load(self, path: Path, state: PlayerState) -> None:
        """Take over what was read from a file."""

    @property
    def folder(self) -> PlayerFolder:
        """Where it keeps its checkpoints and its model.

        Raises:
            ModelError: It has no folder.
        """
        if self.home is None:
            raise ModelError(f"player '{self.name}' has no folder for checkpoints")
        return PlayerFolder(self.home, self.name)

    def checkpoint(self, round: int) -> PlayerFile:
        """Return this player's file at a checkpoint, without looking whether it is there."""
        return self.folder.at(round)

    def keep(self, request: Save | Restore | Finish, round: int) -> None:
        """Write a checkpoint, go back to one, or keep the model of a finished game.

        Raises:
            CheckpointError: A file is missing or damaged, or cannot be written.
        """
        match request:
            case Save():
                self.folder.save(round, self.state, self.data_digest, request)
                self.log.write()
            case Restore():
                path, state = self.folder.restored(round, self.data_digest, request.mark)
                self.load(path, state)
                self.log.forget_after(round)
                if self.border is not None:
                    self.border.restored(round)
            case Finish():
                self.folder.finish(round)

    def note_error(self, where: str, traceback: str) -> None:
        """Write a traceback, which may show private values, to this player's own folder only."""
        if self.home is not None:
            text = f"{self.name}, {where}\n{traceback}\n"
            storage.append_privately(self.home / ERRORS, text)
