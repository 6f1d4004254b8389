"""A comparison as plain values and as a table: ``comparison.json`` and ``comparison.csv``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from coplay.comparison import tidy_values
from coplay.comparison.arms import Arm, Comparison
from coplay.comparison.caveats import Caveat
from coplay.comparison.measurements import Measurement, measurements
from coplay.run.result import Result

_COLUMNS = (
    "arm",
    "run",
    "seed",
    "status",
    "game",
    "player",
    "metric",
    "round",
    "value",
    "low",
    "high",
    "unit",
    "better",
    "n",
    "n_real",
)


def plain_values(comparison: Comparison, caveats: Sequence[Caveat]) -> dict[str, Any]:
    """Return the contents of ``comparison.json``.

    Args:
        comparison: The arms.
        caveats: What to know before comparing.
    """
    quantities = {}
    for quantity, value in comparison.quantities.items():
        quantities[quantity] = {"unit": value.unit, "better": value.better}
    return {
        "differences": {key: dict(values) for key, values in comparison.differences.items()},
        "notes": [{"text": each.text, "metrics": list(each.quantities)} for each in caveats],
        "missing": tidy_values.missing(comparison),
        "metrics": quantities,
        "runs": [_run(folder, run) for folder, run in comparison.runs.items()],
        "arms": [_arm(arm, list(quantities)) for arm in comparison.arms],
        "values": [_measurement(each) for each in measurements(comparison)],
    }


def table_of_values(comparison: Comparison) -> str:
    """Return the contents of ``comparison.csv``.

    It has a line per run, game, player and last measured quantity.

    Args:
        comparison: The arms.
    """
    return tidy_values.table([_measurement(each) for each in measurements(comparison)], _COLUMNS)


def _run(folder: str, run: Result) -> dict[str, Any]:
    record = run.record
    return {
        "folder": folder,
        "title": record.title,
        "seed": record.seed,
        "status": record.status,
        "rounds": {game: len(play.rows) for game, play in run.plays.items()},
        "data": record.data.name,
        "classifier": None if record.classifier is None else asdict(record.classifier),
        "versions": dict(record.versions),
    }


def _arm(arm: Arm, quantities: Sequence[str]) -> dict[str, Any]:
    """Return an arm with its numbers by seed, in the order of ``quantities``."""
    scores = {}
    curves = {}
    for quantity in quantities:
        if quantity in arm.quantities:
            scores[quantity] = _score(arm, quantity)
        if quantity in arm.curves:
            curves[quantity] = arm.curves[quantity].json()
    costs = {}
    for name, spread in arm.costs.items():
        costs[name] = None if spread is None else spread.json()
    return {
        "label": arm.label,
        "settings": arm.settings,
        "game": arm.game,
        "seeds": list(arm.runs),
        "folders": [str(run.folder) for run in arm.runs.values()],
        "scores": scores,
        "costs": costs,
        "curves": curves,
    }


def _score(arm: Arm, quantity: str) -> dict[str, Any]:
    """Return a score over seeds and each player's; the first is empty if no run has a mean."""
    players = {}
    for player in arm.players:
        spread = arm.player_score(player, quantity)
        if spread is not None:
            players[player] = spread.json()
    score: dict[str, Any] = {"mean": None, "std": None, "seeds": 0, "values": {}}
    mean = arm.score(quantity)
    if mean is not None:
        score = mean.json()
    return {**score, "players": players}


def _measurement(measurement: Measurement) -> dict[str, Any]:
    value = measurement.value
    return {
        "arm": measurement.arm,
        "run": str(measurement.run.folder),
        "seed": measurement.seed,
        "status": measurement.run.record.status,
        "game": measurement.game,
        "player": measurement.player,
        "metric": measurement.quantity,
        "round": measurement.round,
        "value": value.value,
        "low": value.low,
        "high": value.high,
        "unit": value.unit,
        "better": value.better,
        "n": value.n,
        "n_real": value.n_real,
    }
