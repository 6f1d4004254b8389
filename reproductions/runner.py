"""Which runs of an experiment are played, what is kept of them, and what is made of all."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coplay.core.memory import keep_freed_memory

from .experiment import Cell, ConfigExperiment, Experiment, Figures, matches
from .kept import Kept


def select(
    experiment: Experiment,
    patterns: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    folder: str = "",
    changes: Sequence[str] = (),
) -> list[Cell]:
    """Return the chosen runs of an experiment, seed by seed.

    Args:
        experiment: The experiment.
        patterns: Names, groups or patterns of arms; None for the usual ones.
        seeds: Seeds; None for the experiment's own.
        folder: Where the data lie.
        changes: Further settings, ``key=value`` each.

    Raises:
        SystemExit: A pattern means no arm, the arms need different data, or something is missing
            or has no use.
    """
    chosen = experiment.usual if patterns is None else patterns
    for pattern in chosen:
        if not any(matches(arm, pattern) for arm in experiment.arms):
            known = "; ".join(experiment.arms)
            raise SystemExit(f"--arms {pattern!r}: there is no such arm; there are: {known}")
    arms = [arm for arm in experiment.arms if any(matches(arm, p) for p in chosen)]
    if changes and not isinstance(experiment, ConfigExperiment):
        raise SystemExit(f"--set: the runs of {experiment.name} have no config to change")
    needed = {_data(experiment, arm): arm for arm in arms}
    if experiment.data and len(needed) > 1:
        which = "; ".join(f"{arm!r} needs {data}" for data, arm in needed.items())
        raise SystemExit(f"--arms: arms on other data are played by themselves: {which}")
    if experiment.data and not folder:
        raise SystemExit(f"--folder: expected a folder with {next(iter(needed))}")
    if folder:
        folder = str(Path(folder).resolve())
    cells = []
    for place, seed in enumerate(experiment.seeds if seeds is None else seeds):
        for arm in arms:
            has_one_seed = any(matches(arm, pattern) for pattern in experiment.one_seed)
            if place == 0 or not has_one_seed:
                cells.append(Cell(arm, seed, folder, tuple(changes)))
    return cells


def _data(experiment: Experiment, arm: str) -> str:
    """What ``--folder`` has to hold for an arm."""
    for pattern, data in experiment.data.items():
        if matches(arm, pattern):
            return data
    return ""


def run(experiment: Experiment, cells: Sequence[Cell], play: bool) -> None:
    """Play what is not kept yet, keep its figures, and write the summary and the charts.

    Args:
        experiment: The experiment.
        cells: The chosen runs.
        play: False to collect only what is finished.
    """
    keep_freed_memory()
    kept = Kept(experiment.results)
    for cell, figures in experiment.measure(not_kept(experiment, cells, kept), play):
        kept.add(cell.arm, cell.seed, figures)
        _copy_pictures(experiment, cell)
    collect(experiment)


def not_kept(experiment: Experiment, cells: Sequence[Cell], kept: Kept) -> list[Cell]:
    """Return the runs of which nothing is kept; those that are kept must have the same settings.

    Raises:
        SystemExit: A kept run was played with other settings.
    """
    runs = kept.runs()
    left = []
    for cell in cells:
        figures = runs.get(cell.arm, {}).get(cell.seed)
        if figures is None:
            left.append(cell)
        else:
            check(experiment, cell, figures)
    return left


def check(experiment: Experiment, cell: Cell, figures: Figures) -> None:
    """Refuse a kept run that was played with other settings.

    Raises:
        SystemExit: It was.
    """
    settings = experiment.settings(cell)
    # The first runs were kept without their configs.
    if settings is not None and not same_settings(figures.get("config", settings), settings):
        which = f"{cell.arm}, seed {cell.seed}"
        remedy = f"remove it from {experiment.results}, or play that config again"
        raise SystemExit(f"the kept run {which} is of another config; {remedy}")


def same_settings(before: Any, now: Any) -> bool:
    """Whether two configs say the same, apart from settings that came later and change nothing.

    A setting that a kept run did not have yet must be off now: nothing, false, zero or empty.

    Example:
        >>> same_settings({"seed": 1}, {"seed": 1, "variables": {}})
        True
        >>> same_settings({"seed": 1}, {"seed": 1, "limit": 9})
        False
    """
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return bool(before == now)
    if any(key not in now for key in before):
        return False
    later = [value for key, value in now.items() if key not in before]
    return not any(later) and all(same_settings(before[key], now[key]) for key in before)


def collect(experiment: Experiment) -> None:
    """Write the summary of all kept runs, and the charts."""
    kept = Kept(experiment.results)
    runs = kept.runs()
    if not runs:
        print(f"{experiment.name}: no run is finished yet")
        return
    summary = experiment.collect(runs)
    kept.save(experiment.command, summary)
    for name, chart in experiment.charts.items():
        chart(experiment.results.parent / name, summary)
    print(experiment.results)
    print("python -m reproductions page    # writes docs/results.md anew")


def _copy_pictures(experiment: Experiment, cell: Cell) -> None:
    """Copy the pictures of a run that a page shows."""
    for name, source in experiment.pictures.items():
        path = Path(source)
        if path.parts[0] == cell.place:
            shutil.copyfile(experiment.runs / path, experiment.results.parent / name)
