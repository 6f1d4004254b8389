"""Where the command line writes when it isn't told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from coplay.core import storage


def free_folder(wanted: Path, fits: Callable[[Path], bool] = lambda folder: False) -> Path:
    """The first of ``wanted``, wanted-2, wanted-3, … that does not exist or that fits.

    Args:
        wanted: The folder's preferred path.
        fits: Whether an existing folder may be used.
    """
    folder = wanted
    number = 1
    while folder.exists() and not fits(folder):
        number += 1
        folder = wanted.with_name(f"{wanted.name}-{number}")
    return folder


def holds_comparison(folder: Path, runs: Iterable[str]) -> bool:
    """Whether a folder holds the comparison of just these runs."""
    file = folder / "comparison.json"
    if not file.exists():
        return False
    compared = storage.read_json(file)["runs"]
    return {run["folder"] for run in compared} == set(runs)
