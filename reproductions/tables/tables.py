"""What the page shows of sites with tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..experiment import Summary
from ..markdown import listing, table
from .scoring import SCORES

GAMES = {
    "sample_exchange": "play",
    "direct_exchange": "direct play",
    "isolated": "alone",
    "pooled": "one model of all rows",
    "real rows": "the real rows themselves",
}


def scores_table(summary: Summary) -> str:
    """Scores by table, model and game, and of what use rows are against being alone."""
    columns = ["table", "model", "game", "columns", "pairs", "TSTR", "TSTR against alone"]
    rows = []
    seeds: list[int] = []
    for arm, cell in summary["cells"].items():
        case, _, model = arm.partition("/")
        seeds = cell["seeds"]
        for game, title in GAMES.items():
            scores = cell["games"][game]
            each = [_plus_minus(scores[score]) for score in SCORES]
            rows.append([case, model, title, *each, _points(cell, game)])
    return (
        f"{table(columns, rows)}\n\nMeans over sites, ± standard deviation over seeds "
        f"{listing(seeds)}; in the last column paired differences in points, ± standard error."
    )


def _plus_minus(spread: Mapping[str, Any]) -> str:
    return f"{spread['mean']:.3f} ± {spread['std']:.3f}"


def _points(cell: Mapping[str, Any], game: str) -> str:
    if game == "isolated":
        return ""
    difference = cell["utility_against_isolated"][game]
    return f"{100 * difference['mean']:+.1f} ± {100 * difference['error']:.1f}"


TABLES: Mapping[str, Callable[[Summary], str]] = {"tables": scores_table}
