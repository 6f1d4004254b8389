"""Table of ``benchmarks/table_peers.py``: models of tables of other libraries beside ours."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from .experiment import HERE
from .markdown import difference, format_spread, listing, table
from .spreads import paired, spread

FILE = HERE.parent / "benchmarks" / "results" / "table_peers.json"
OURS = "autoregressive"
SCORES = ("column_fidelity", "pair_fidelity", "utility")

BySeed = Mapping[int, Mapping[str, Any]]
"""Cells of one model on one table, by seed."""


def _cells() -> Mapping[str, Mapping[str, BySeed]]:
    """Return the cells by table and model, ours first, both in the order of the results."""
    cells: dict[str, dict[str, dict[int, Mapping[str, Any]]]] = {}
    for cell in json.loads(FILE.read_text())["cells"]:
        of_table = cells.setdefault(cell["case"], {OURS: {}})
        of_table.setdefault(cell["model"], {})[cell["seed"]] = cell
    return cells


def table_peers() -> str:
    """Return the table: a row for each model of each table."""
    rows = []
    for case, by_model in _cells().items():
        ours = by_model[OURS]
        for model, by_seed in by_model.items():
            seeds = sorted(by_seed)
            row = [case, model, listing(seeds)]
            row += [_score(by_seed, score) for score in SCORES]
            against = [] if model == OURS else [_against(by_seed, ours, each) for each in SCORES]
            rows.append([*row, ", ".join(against), _learned(by_seed), _seconds(by_seed)])
    columns = ["table", "model", "seeds", "columns", "pairs", "TSTR"]
    columns += ["the same against ours, points", "learned", "seconds"]
    content = json.loads(FILE.read_text())
    command = f"{content['command']} --folder FOLDER --argn PYTHON --fenris PYTHON"
    return (
        f"{table(columns, rows)}\n\n{content['drawn']:,} rows drawn; means ± standard deviation "
        "over seeds, paired differences ± standard error; seconds of processor time of one thread "
        f"for learning and drawing. `{command}`."
    )


def _score(by_seed: BySeed, score: str) -> str:
    values = [cell["values"][score] for cell in by_seed.values() if score in cell["values"]]
    return format_spread(spread(values)) if values else "–"


def _against(by_seed: BySeed, ours: BySeed, score: str) -> str:
    """Return the difference of one score to ours, in points, over the seeds that both have."""
    sides: tuple[list[float], list[float]] = ([], [])
    for seed in sorted(by_seed.keys() & ours.keys()):
        values = [cells[seed]["values"] for cells in (by_seed, ours)]
        if all(score in each for each in values):
            for side, each in zip(sides, values, strict=True):
                side.append(100 * each[score])
    return difference(paired(*sides)) if sides[0] else "–"


def _learned(by_seed: BySeed) -> str:
    """Return for how long a model learned, in its own words."""
    parts = []
    names: Sequence[str] = list(next(iter(by_seed.values()))["learned"])
    for name in names:
        values = [cell["learned"][name] for cell in by_seed.values()]
        parts.append(f"{name} {statistics.fmean(values):.0f}")
    return ", ".join(parts)


def _seconds(by_seed: BySeed) -> str:
    seconds = [cell["seconds_learning"] + cell["seconds_drawing"] for cell in by_seed.values()]
    mean = statistics.fmean(seconds)
    return f"{mean:.1f}" if mean else ""
