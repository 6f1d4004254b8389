"""Folders for tiny examples, which go when the process ends."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path


def temporary_folder(kind: str) -> Path:
    """Make a new folder of this process, which is removed when the process ends.

    Args:
        kind: What it is for, a part of its name.

    Example:
        >>> folder = temporary_folder("example")
        >>> folder.name.startswith("coplay-example-"), list(folder.iterdir())
        (True, [])
    """
    folder = Path(tempfile.mkdtemp(prefix=f"coplay-{kind}-"))
    atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: Path, owner: int) -> None:
    """Remove a folder, unless a forked process ends that did not make it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
