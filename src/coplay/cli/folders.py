"""Folders that the command line chooses where the user names none."""

from __future__ import annotations

import argparse
import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from coplay.core import storage
from coplay.core.errors import CheckpointError
from coplay.core.inside import file_name

if TYPE_CHECKING:  # a run does without comparisons
    from coplay.comparison.arms import Comparison


def free_folder(wanted: Path) -> Path:
    """Return the first of ``wanted``, wanted-2, … that does not exist."""
    return next(folder for folder in _numbered(wanted) if not folder.exists())


def comparison_folder(name: str, comparison: Comparison) -> Path:
    """Return a folder that is free, or one that holds the comparison of just these runs."""
    for folder in _numbered(Path("comparisons") / file_name(name)):
        if not folder.exists() or _compared_runs(folder) == set(comparison.runs):
            return folder
    raise AssertionError("there is no last number")


def _compared_runs(folder: Path) -> set[str]:
    """Return the runs that the comparison in a folder is of; empty if it holds none."""
    file = folder / "comparison.json"
    # what cannot be read is no comparison of these runs, and is left alone
    with contextlib.suppress(CheckpointError, TypeError, KeyError):
        return {run["folder"] for run in storage.read_json(file)["runs"]}
    return set()


def _numbered(wanted: Path) -> Iterator[Path]:
    """Yield ``wanted``, then wanted-2, wanted-3 and so on."""
    yield wanted
    for number in itertools.count(2):
        yield wanted.with_name(f"{wanted.name}-{number}")


def path_given(text: str) -> Path:
    """Return a path that was given on the command line.

    Raises:
        ArgumentTypeError: It is empty, as where a variable of the shell is not set, or no path.
    """
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"expected a path, got {text!r}")
    return Path(text)
