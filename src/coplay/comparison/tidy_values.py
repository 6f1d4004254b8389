"""The values of all runs of a comparison as tidy tables, and why some are missing."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from coplay.comparison.arms import Comparison
from coplay.core.measures import OF_METRIC
from coplay.core.text import cell
from coplay.report.words import listed, words
from coplay.run import tidy
from coplay.run.result import Result

_NAMED = 6  # players that a sentence names
_GAME = itemgetter("game")
_PARTS = itemgetter("arm", "player", "metric", "value", "reason")


def scores(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the last values of all arms and runs, with the columns of :meth:`Result.scores`.

    Args:
        comparison: The arms; ``arm`` is their label.
    """
    return _of_all(comparison, tidy.scores)


def curves(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the values of all measured rounds, with the columns of :meth:`Result.scores`."""
    return _of_all(comparison, tidy.curves)


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str] = tidy.COLUMNS) -> str:
    """Write rows as CSV; what a row lacks is empty.

    Args:
        rows: Values by column.
        columns: The columns, in order.

    Example:
        >>> row = dict.fromkeys(tidy.COLUMNS) | {"arm": "a", "value": 0.5, "reason": ""}
        >>> table([row]).splitlines()[1]
        'a,,,,,,0.5,,,,'
    """
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        written = {}
        for column, value in row.items():
            written[column] = cell(value) if isinstance(value, str) else value
        writer.writerow(written)
    return file.getvalue()


def missing(comparison: Comparison) -> list[str]:
    """Say, for each arm and metric without a value, why it has none.

    Args:
        comparison: The arms.

    Returns:
        Sentences without a full stop, in the order of the arms.
    """
    rows = scores(comparison)
    players: dict[tuple[str, str, str], dict[str, None]] = {}
    for arm, player, quantity, value, reason in map(_PARTS, rows):
        if value is None:
            players.setdefault((arm, _metric_of(quantity), reason), {})[player] = None
    sentences = []
    for (arm, metric, reason), names in players.items():
        what = f"{words(metric)} of {_some(list(names))}" if metric else "nothing"
        sentences.append(f"{arm}: {what} is not measured: {reason}")
    return sentences + _not_asked(comparison, rows)


def _not_asked(comparison: Comparison, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Say which arms have no value at all of what others have, without a reason on record."""
    known: dict[str, set[str]] = {}
    for label, _, quantity, _, _ in map(_PARTS, rows):
        known.setdefault(label, set()).add(_metric_of(quantity))
    sentences = []
    for arm in comparison.arms:
        metrics = known.get(arm.label, set())
        lacking = dict.fromkeys(_metric_of(quantity) for quantity in comparison.quantities)
        names = [words(metric) for metric in lacking if metric not in metrics]
        if names and "" not in metrics:
            noun = "is" if len(names) == 1 else "are"
            sentences.append(
                f"{arm.label}: {listed(names)} {noun} not measured: no run of this arm asked for "
                "it, or none has got to a round that is measured"
            )
    return sentences


def _metric_of(quantity: str) -> str:
    """Return the metric that a quantity is of, so that a reason is given once for all of them."""
    for metric, quantities in OF_METRIC.items():
        if quantity in quantities:
            return metric
    return quantity


def _some(names: Sequence[str]) -> str:
    if len(names) <= _NAMED:
        return listed(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"


def _of_all(
    comparison: Comparison, of_run: Callable[[Result, str], list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Return the rows of all arms, each of its own game alone."""
    rows = []
    for arm in comparison.arms:
        for run in arm.runs.values():
            rows += [row for row in of_run(run, arm.label) if _GAME(row) == arm.game]
    return rows
