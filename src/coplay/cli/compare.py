"""The command ``compare``: runs side by side, or a config over settings and seeds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coplay.cli.folders import free_folder, holds_comparison
from coplay.cli.progress import ProgressReport
from coplay.cli.tables import print_comparison
from coplay.comparison.arms import Comparison
from coplay.comparison.page import write
from coplay.comparison.sweep import Sweep
from coplay.core.errors import ConfigError, RunFolderError


def compare(given: argparse.Namespace) -> None:
    """Compare run folders, or play a config over settings and seeds and compare that.

    Args:
        given: The arguments of ``coplay compare``.

    Raises:
        ConfigError: The arguments do not go together.
        RunFolderError: A folder is no run, or a run of the sweep did not finish.
    """
    if any(path.suffix == ".toml" for path in given.what):
        runs = _sweep(given)
    elif given.vary or given.seeds or given.games is not None:
        options = "--vary, --seeds and --games go with a TOML file"
        raise ConfigError([f"{options}; run folders are compared as they are"])
    else:
        runs = _Runs(given.what, given.out)
    comparison = Comparison.load(runs.folders)
    configs = [run.record.config for run in comparison.runs.values()]
    out = runs.out
    if out is None:
        wanted = Path("comparisons") / _common(configs, "name", "runs")
        out = free_folder(wanted, lambda folder: holds_comparison(folder, comparison.runs))
    title = _common(configs, "title", "Runs side by side")
    page = write(comparison, out, title, by_player=given.by_player)
    print_comparison(comparison, given.by_player)
    print(f"comparison: {page}")
    if runs.unfinished:
        names = ", ".join(runs.unfinished)
        raise RunFolderError(f"not finished: {names}; the same command goes on with them")


def _common(configs: Iterable[Mapping[str, Any]], key: str, otherwise: str) -> str:
    """A setting on which all configs agree, or another text if they do not."""
    values = {str(config[key]) for config in configs}
    return values.pop() if len(values) == 1 else otherwise


@dataclass(frozen=True)
class _Runs:
    """Runs to compare.

    Args:
        folders: Where they lie.
        out: Where the comparison belongs; None for a free folder.
        unfinished: Names of the runs of a sweep that did not finish.
    """

    folders: Sequence[Path]
    out: Path | None
    unfinished: Sequence[str] = ()


def _sweep(given: argparse.Namespace) -> _Runs:
    """Play what a config and --vary ask for."""
    if len(given.what) > 1:
        one = "compare one TOML file over --vary and --seeds"
        raise ConfigError([f"{one}, or any number of run folders, not both"])
    path = given.what[0]
    sys.path.insert(1, str(path.resolve().parent))  # a model may lie beside the config
    sweep = Sweep.of(path, given.vary, given.seeds, given.games)
    first = next(iter(sweep.configs.values()))
    out: Path = given.out or Path("comparisons") / first.name
    try:
        results = sweep.play(out, ProgressReport, _say)
    except KeyboardInterrupt:
        _say(f"what was played is kept in {out}; the same command goes on from there")
        raise
    finished = {run.folder.name for run in results if run.record.status == "finished"}
    unfinished = [name for name in sweep.configs if name not in finished]
    return _Runs([run.folder for run in results], out, unfinished)


def _say(text: str) -> None:
    """Tell the user at once, beside the output proper."""
    print(text, file=sys.stderr, flush=True)
