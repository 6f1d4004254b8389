"""Table of ``benchmarks/privacy_utility.py``: what ε leaves of the use of a private stand-in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .experiment import HERE
from .markdown import format_spread, listing, table
from .spreads import spread

FILE = HERE.parent / "benchmarks" / "results" / "privacy_utility.json"
REAL = "real rows"
SCORES: Mapping[str, int] = {
    "accuracy": 3,
    "auc": 3,
    "fid": 0,
    "trained_on_synthetic_accuracy": 3,
}
"""Scores, and with how many digits they are written."""

TITLES = ("TSTR", "TSTR, area under the curve", "Fréchet distance", "accuracy trained on drawn")

Cells = Mapping[tuple[str, str, str], Sequence[Mapping[str, Any]]]
"""Cells of all seeds, by data, stand-in and ε."""


def _cells() -> Cells:
    cells: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for cell in json.loads(FILE.read_text())["cells"]:
        cells.setdefault((cell["data"], cell["stand_in"], cell["epsilon"]), []).append(cell)
    return cells


def privacy_utility() -> str:
    """Return the table: a row for each data set, stand-in and ε."""
    content = json.loads(FILE.read_text())
    by_case = _cells()
    rows = []
    for data in dict.fromkeys(data for data, _, _ in by_case):
        known = [key for key in by_case if key[0] == data]
        for key in sorted(known, key=_order):
            rows.append(_row(key, by_case[key]))
    columns = ["data", "rows", "stand-in", "ε", "seeds", *TITLES, "impossible moments"]
    return (
        f"{table(columns, rows)}\n\nδ = {content['about']['delta']:g}; means ± standard deviation "
        "over seeds. ∞: the same stand-in without noise. Impossible moments: at how many seeds "
        "noise left the set of possible moments, so that the nearest possible ones took their "
        f"place. `{content['command']} --folder FOLDER`."
    )


def _order(key: tuple[str, str, str]) -> tuple[bool, str, float]:
    """Sort stand-ins by name and falling noise, real rows last."""
    _, stand_in, epsilon = key
    return stand_in == REAL, stand_in, float(epsilon)


def _row(key: tuple[str, str, str], cells: Sequence[Mapping[str, Any]]) -> list[str]:
    data, stand_in, epsilon = key
    if stand_in == REAL:
        epsilon = "–"
    seeds = sorted(cell["seed"] for cell in cells)
    row = [data, f"{cells[0]['rows']:,}", stand_in, epsilon.replace("inf", "∞"), listing(seeds)]
    for score, digits in SCORES.items():
        values = [cell["values"][score] for cell in cells if score in cell["values"]]
        row.append(format_spread(spread(values), digits) if values else "–")
    if stand_in == "noisy_moments" and epsilon != "inf":
        return [*row, f"{sum(bool(cell['notes']) for cell in cells)} of {len(cells)}"]
    return [*row, "–"]
