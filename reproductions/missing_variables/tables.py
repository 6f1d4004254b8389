"""What the page shows of sites that lack columns or cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..experiment import Summary
from ..markdown import listing, table

GAMES = {"sample_exchange": "play", "direct_exchange": "direct play"}


def gaussian_table(summary: Summary) -> str:
    """Errors of what is determined, whether they are chance, and what models made of the rest."""
    head = ["model", "game", "mean error", "in standard errors", "limit", "RMS error", "of rows"]
    rows = []
    notes = []
    open_pairs: list[str] = []
    for arm, cell in summary["gaussian"].items():
        model = arm.partition("/")[2]
        notes.append(f"{model} {listing(cell['seeds'])}")
        open_pairs = list(cell["bounds"])
        for game, errors in cell["games"].items():
            numbers = [errors[key] for key in ("largest_mean", "largest_ratio", "limit")]
            numbers += [errors["root_mean_square"], errors["of_rows"]]
            digits = (3, 1, 1, 3, 3)
            texts = [f"{n:.{d}f}" for n, d in zip(numbers, digits, strict=True)]
            rest = [_open(errors["open"], cell["bounds"], pair) for pair in open_pairs]
            rows.append([model, GAMES[game], *texts, *rest])
    return (
        f"{table([*head, *open_pairs], rows)}\n\nMeans, variances and covariances that some site "
        "sees, in true standard deviations, of three players; the largest mean error over seeds, "
        "the largest in its standard errors, and below what it stays in 95 of 100 experiments "
        "without a bias. RMS error beside that of the rows themselves. Pairs that nobody sees: the "
        f"correlation of the models, in brackets what is possible. Seeds: {'; '.join(notes)}."
    )


def _open(means: Mapping[str, float], bounds: Mapping[str, list[float]], pair: str) -> str:
    low, high = bounds[pair]
    return f"{means[pair]:.2f} [{low:.2f}, {high:.2f}]"


def joint_table(summary: Summary) -> str:
    """Total variation of what models draw and the true joint."""
    rows = []
    seeds: list[int] = []
    complete = 0.0
    for arm, cell in summary["joint"].items():
        seeds = cell["seeds"]
        complete = cell["complete_rows"]
        for game, values in cell["games"].items():
            numbers = [f"{values['mean']:.3f}", f"{values['largest']:.3f}"]
            rows.append([arm.partition("/")[2], GAMES[game], *numbers])
    return (
        f"{table(['model', 'game', 'total variation', 'largest'], rows)}\n\nMean and largest over "
        f"three players and seeds {listing(seeds)}; the complete rows of all sites alone are "
        f"{complete:.3f} away."
    )


TABLES: Mapping[str, Callable[[Summary], str]] = {
    "missing_variables": gaussian_table,
    "missing_cells": joint_table,
}
