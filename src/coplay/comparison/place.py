"""Where a comparison is written: a new folder, or one that is there for it."""

from __future__ import annotations

from pathlib import Path

from coplay.core.errors import RunFolderError
from coplay.core.text import visible
from coplay.run.record import RUN

FILES = (
    "comparison.html",
    "comparison.json",
    "comparison.csv",
    "scores.csv",
    "curves.csv",
    "figures",
)
"""What a comparison consists of."""

SEED = "seed="
"""What the name of every folder of a run has in it that a comparison played."""


def refuse_other_contents(folder: Path) -> None:
    """Refuse a folder in which there is something else than runs and an earlier comparison.

    Args:
        folder: Where a comparison is to be written; it need not exist.

    Raises:
        RunFolderError: It is a run, or holds other things; the message names the first of them.
    """
    remedy = "name another folder for the comparison with --out"
    if (folder / RUN).exists():
        raise RunFolderError(f"{folder} is a run; {remedy}")
    if not folder.is_dir() or (folder / "comparison.json").exists():
        return
    others = []
    for path in sorted(folder.iterdir()):
        is_part = path.name.removesuffix(".partial") in FILES
        if not is_part and not (path / RUN).exists() and SEED not in path.name:
            others.append(path.name)
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise RunFolderError(
            f"{folder} holds {visible(others[0])}{more}, and is no earlier comparison; {remedy}"
        )
