"""The ends of the sites' records on the coordinator's disk, so that a resumed run knows them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from coplay.core import storage
from coplay.core.message import Head

HEADS = "heads.json"
"""File, in the folder of a game, with the last line that each site named of what left it."""


def keep_heads(home: Path, heads: Mapping[str, Head]) -> None:
    """Write the ends of the sites' records, unless there are none or they stand there already.

    They are no part of a checkpoint: a run that goes back to one has seen the later lines all the
    same.

    Args:
        home: The game's folder.
        heads: The ends by player.

    Raises:
        WriteError: The system refuses.
    """
    if not heads or dict(heads) == read_heads(home):
        return
    values = {}
    for name, head in heads.items():
        values[name] = [head.lines, head.digest]
    storage.write_sealed(home / HEADS, {"heads": values})


def read_heads(home: Path) -> dict[str, Head]:
    """Return the ends of the sites' records by player; empty where none were written.

    Args:
        home: The game's folder.

    Raises:
        CheckpointError: The file is damaged.
    """
    path = home / HEADS
    if not path.exists():
        return {}
    remedy = "restore it from a copy: it says up to where the sites' records went"
    values = storage.read_sealed(path, remedy).get("heads")
    heads = {}
    try:
        for name, (lines, digest) in dict(values or {}).items():
            heads[name] = Head(lines, digest)
    except (TypeError, ValueError) as error:
        raise storage.damaged(path, error, remedy) from error
    faults = [head.fault for head in heads.values() if head.fault]
    if faults:
        raise storage.damaged(path, faults[0], remedy)
    return heads
