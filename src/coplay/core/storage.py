"""Files that survive a crash: atomic writes, tensors as safetensors, folders of checkpoints.

A checkpoint is complete once ``checkpoint.json`` names its round; that file is replaced in one step
after everything it names is on disk. A run that dies between two checkpoints, or runs out of disk
while writing one, keeps the last.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from coplay.core.errors import CheckpointError
from coplay.core.text import json_text

try:
    import fcntl
except ImportError:  # Windows has no such lock, so two processes are not kept apart there
    fcntl = None  # type: ignore[assignment]


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader gets either the old content or the new.

    That holds even if this process is killed while it writes.

    Raises:
        CheckpointError: The system refused (disk full, no permission); no half-written file is
            left.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise CheckpointError(
            f"cannot write {path}: {error.strerror or error}; what was written before is intact: "
            "make room or give permission, then go on with 'coplay resume'"
        ) from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second process from playing in the same folder.

    The operating system frees the lock when this process ends, however it ends.

    Raises:
        CheckpointError: Another process holds the lock, or the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("w")
    except OSError as error:
        raise CheckpointError(f"cannot write into {folder}: {error.strerror}") from error
    with file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise CheckpointError(
                    f"{folder} is being played by another process; wait for it, or stop it"
                ) from None
        yield


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, indented so that people can read it."""
    text = json_text(json.dumps(value, indent=1, ensure_ascii=False)) + "\n"
    write_atomically(path, text.encode())


def read_json(path: Path) -> Any:
    """Read a JSON file of a run.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a flat mapping of tensors as safetensors, atomically.

    Equal tensors give equal bytes.
    """
    contiguous = {name: tensor.detach().contiguous() for name, tensor in sorted(tensors.items())}
    write_atomically(path, save(contiguous))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    try:
        tensors = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    # sorted, because the file's own order is not stable
    return dict(sorted(tensors.items()))


def checkpoint_folder(home: Path, round: int) -> Path:
    """Return the folder of one round's checkpoint: ``state.safetensors`` and ``players/``."""
    return home / "checkpoints" / f"round-{round:06d}"


def commit_checkpoint(home: Path, round: int, record: Mapping[str, Any]) -> None:
    """Make the checkpoint of ``round`` the one that counts, then delete the older ones."""
    write_json(home / "checkpoint.json", {"round": round, **record})
    drop_other_checkpoints(home, round)


def drop_other_checkpoints(home: Path, round: int) -> None:
    """Delete older checkpoints, and newer ones that were never completed."""
    for folder in (home / "checkpoints").glob("round-*"):
        if folder != checkpoint_folder(home, round):
            shutil.rmtree(folder, ignore_errors=True)


def last_checkpoint(home: Path) -> dict[str, Any] | None:
    """Return the record of the checkpoint that counts, or None if there is none."""
    path = home / "checkpoint.json"
    if not path.exists():
        return None
    return dict(read_json(path))


def nest(tensors: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Flatten one level: ``{"a": {"x": t}}`` to ``{"a/x": t}``."""
    flat: dict[str, Tensor] = {}
    for outer, group in tensors.items():
        for inner, tensor in group.items():
            flat[f"{outer}/{inner}"] = tensor
    return flat


def unnest(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Undo :func:`nest`."""
    nested: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        outer, _, inner = name.partition("/")
        nested.setdefault(outer, {})[inner] = tensor
    return nested
