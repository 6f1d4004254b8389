"""Table and chart of ``benchmarks/images.py``: what models draw after minutes of one core."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .charts import Panel, draw
from .experiment import HERE
from .markdown import format_spread, listing, table
from .spreads import spread

FILE = HERE.parent / "benchmarks" / "results" / "images.json"
COLUMNS = ("fid", "trained_on_synthetic_accuracy", "copies_share", "nearest_training_ratio")

Cells = Mapping[tuple[Any, ...], Sequence[Mapping[str, Any]]]
"""Cells of all seeds, by data, classes, model and minutes."""


def _cells() -> Cells:
    cells: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for cell in json.loads(FILE.read_text())["cells"]:
        key = (cell["data"], cell["classes"], cell["model"], cell["minutes"])
        cells.setdefault(key, []).append(cell)
    return dict(sorted(cells.items(), key=lambda item: (*item[0][:2], item[0][3], item[0][2])))


def images() -> str:
    """Return the table: a row for each model after each number of minutes."""
    rows = []
    for (data, classes, model, minutes), cells in _cells().items():
        row = [data, "given" if classes else "not", f"{minutes:g}", model]
        row.append(listing(cell["seed"] for cell in cells))
        for name in COLUMNS:
            values = [cell["values"][name] for cell in cells if name in cell["values"]]
            digits = 0 if name == "fid" else 3
            row.append(format_spread(spread(values), digits) if values else "–")
        row.append(f"{sum(cell['draw_ms'] for cell in cells) / len(cells):.1f}")
        rows.append(row)
    columns = [
        "data",
        "classes",
        "minutes",
        "model",
        "seeds",
        "Fréchet distance",
        "accuracy trained on drawn",
        "nearer to learned images than 95 % of unseen ones",
        "median distance to learned images over that of unseen ones",
        "ms to draw one",
    ]
    content = json.loads(FILE.read_text())
    about = content["about"]
    return (
        f"{table(columns, rows)}\n\n{about['drawn']:,} images drawn; minutes of learning, in "
        f"processor time of one thread. `{content['command']} --mnist FOLDER --fashion FOLDER`."
    )


def draw_images() -> None:
    """Draw Fréchet distance over minutes, a panel for each data set with classes and without."""
    panels: dict[str, dict[str, list[tuple[float, Mapping[str, Any]]]]] = {}
    for (data, classes, model, minutes), cells in _cells().items():
        title = f"{data}, {'with' if classes else 'without'} classes"
        value = spread([cell["values"]["fid"] for cell in cells])
        panels.setdefault(title, {}).setdefault(model, []).append((minutes, value))
    drawn = []
    for title, curves in panels.items():
        drawn.append(Panel(title, "minutes of one core", "Fréchet distance", curves, log=True))
    draw(FILE.with_suffix(".png"), drawn)
