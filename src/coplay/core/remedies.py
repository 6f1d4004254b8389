"""What a user can do about a damaged or deleted file of a run, for errors."""

from __future__ import annotations

import re
from pathlib import Path

_CLASS = re.compile(r"""["'](?!coplay\b)[A-Za-z_][\w.]*:[A-Za-z_]\w*["']""")


def use_previous(run: Path) -> str:
    """Advise to go on from the older of the two checkpoints that are kept."""
    return f"'coplay resume {run} --previous' goes on from the checkpoint before, if there is one"


def play_again(run: Path) -> str:
    """Advise to play a run again: the same config and seed give the same bits."""
    config = run / "config.toml"
    code = ""
    if _names_code(config):
        code = " and runs the code that its config names, so look at it first if you received it"
    return (
        f"restore it from a copy, or play the run again, which gives the same{code}: "
        f"'coplay run {config} --out NEW'"
    )


def _names_code(config: Path) -> bool:
    """Whether a config names a class, function or estimator outside coplay."""
    try:
        text = config.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return bool(_CLASS.search(text))


def rows(run: Path) -> str:
    """Advise what to do about rows that a checkpoint counts."""
    return (
        f"'coplay resume {run} --previous' goes on from the checkpoint before, if that counts "
        f"fewer rows; else {play_again(run)}"
    )


def rows_after_checkpoint(run: Path) -> str:
    """Advise what to do about rows that no checkpoint counts."""
    return f"'coplay resume {run}' plays the rounds after the checkpoint again"


def classifier(run: Path) -> str:
    """Advise what to do about a domain classifier."""
    return (
        f"restore it from a copy; if the run is not finished, remove it, and 'coplay resume {run}' "
        "trains it again"
    )
