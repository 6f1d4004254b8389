"""Folders of checkpoints, of which the last two that counted are kept.

A checkpoint is complete once ``checkpoint.json`` names its round; that file is replaced after
everything it names is on disk, and the one that it replaces stays as ``previous.json``. A run that
dies between two checkpoints, or runs out of disk while writing one, keeps the last.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from coplay.core import remedies, storage

LAST = "checkpoint.json"
"""The file that names the checkpoint that counts."""

PREVIOUS = "previous.json"
"""The file that names the one before."""


def folder_of(home: Path, round: int) -> Path:
    """Return the folder of one round's checkpoint: ``state.safetensors`` and ``players/``."""
    return home / "checkpoints" / f"round-{round:06d}"


def player_file(home: Path, round: int, player: str) -> Path:
    """Return the file with what a player learned up to a round."""
    return folder_of(home, round) / "players" / f"{player}.safetensors"


def sync(home: Path, round: int) -> None:
    """Wait until all names of a checkpoint, whose files are synced, are safe on disk."""
    folder = folder_of(home, round)
    for path in (folder / "players", folder, folder.parent, home):
        if path.is_dir():
            storage.sync_folder(path)


def commit(home: Path, round: int, record: Mapping[str, Any]) -> None:
    """Make the checkpoint of ``round`` the one that counts.

    The one before stays as the previous one; older ones are deleted.
    """
    kept = [round]
    before = last(home)
    if before is not None and before["round"] != round:
        storage.write_atomically(home / PREVIOUS, (home / LAST).read_bytes())
        kept.append(before["round"])
    storage.write_sealed(home / LAST, {"round": round, **record})
    drop_others(home, kept)


def drop_others(home: Path, rounds: Collection[int]) -> None:
    """Delete the checkpoints of other rounds, and what was never completed."""
    kept = [folder_of(home, round) for round in rounds]
    for folder in (home / "checkpoints").glob("round-*"):
        if folder not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def last(home: Path) -> dict[str, Any] | None:
    """Return the record of the checkpoint that counts, or None if there is none.

    Raises:
        CheckpointError: It is damaged.
    """
    return _record(home / LAST, remedies.use_previous(home.parent))


def previous(home: Path) -> dict[str, Any] | None:
    """Return the record of the checkpoint before the one that counts, or None.

    Raises:
        CheckpointError: It is damaged.
    """
    return _record(home / PREVIOUS, "a resume without --previous does not need it")


def _record(path: Path, remedy: str) -> dict[str, Any] | None:
    if not path.exists():
        return None
    values = storage.read_sealed(path, remedy)
    if not isinstance(values.get("round"), int):
        raise storage.damaged(path, "it names no round", remedy)
    return values
