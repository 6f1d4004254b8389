"""Everything that was measured in a run as tidy tables: a row per value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from coplay.core.measures import OF_METRIC
from coplay.metrics.base import Value
from coplay.run.caution import Caution

if TYPE_CHECKING:
    from coplay.run.play import Play
    from coplay.run.result import Result

COLUMNS = (
    "arm",
    "seed",
    "game",
    "player",
    "round",
    "metric",
    "value",
    "low",
    "high",
    "n",
    "reason",
)
"""The columns of every tidy table, in order."""


def scores(result: Result, arm: str | None = None) -> list[dict[str, Any]]:
    """Return the last measurement of all games of a run, a row per game, player and metric.

    What one player has and another one lacks has a row for both, with the reason.

    Args:
        result: The run.
        arm: What its rows are called; without it, the run's name.
    """
    rows = []
    quantities: dict[str, None] = {}
    for play in result.plays.values():
        for values in play.last.values():
            quantities |= {name: None for name, value in values.items() if value.is_scalar}
    for play in result.plays.values():
        for player in _measured(result, play):
            rows += _of_player(result, arm, play, player, list(quantities))
    return rows


def _of_player(
    result: Result, arm: str | None, play: Play, player: str, quantities: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the rows of one player in one game."""
    values = play.last.get(player, {})
    round = len(play.rows) if play.last_round is None else play.last_round
    caution = play.last_cautions.get(player, Caution())
    rows = []
    for quantity in quantities:
        value = values.get(quantity)
        reason = "" if value is not None else _reason(play, player, quantity, caution)
        place = _place(result, arm, play.name, player, round, quantity)
        rows.append(place | _of_value(value) | {"reason": reason})
    for metric, reason in caution.unmeasured.items():
        if not set(OF_METRIC.get(metric, (metric,))) & set(quantities):
            place = _place(result, arm, play.name, player, round, metric)
            rows.append(place | _of_value(None) | {"reason": reason})
    if not rows:
        reason = result.record.unmeasured or "nothing was measured"
        place = _place(result, arm, play.name, player, round, "")
        rows.append(place | _of_value(None) | {"reason": reason})
    return rows


def curves(result: Result, arm: str | None = None) -> list[dict[str, Any]]:
    """Return every measurement of all games of a run, with the columns of :func:`scores`."""
    rows = []
    for play in result.plays.values():
        for round, measured in play.measurements.items():
            for player, values in measured.items():
                for quantity, value in values.items():
                    if value.is_scalar:
                        place = _place(result, arm, play.name, player, round, quantity)
                        rows.append(place | _of_value(value) | {"reason": ""})
    return rows


def frame(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return rows as a frame of pandas, else of polars, else of pyarrow, else as they are."""
    import narwhals as nw

    columns: dict[str, list[Any]] = {}
    for name in COLUMNS:
        columns[name] = [row[name] for row in rows]
    for library in ("pandas", "polars", "pyarrow"):
        try:
            return nw.from_dict(columns, _schema(nw), backend=library).to_native()
        except ImportError:
            continue
    return [dict(row) for row in rows]


def _schema(nw: Any) -> dict[str, Any]:
    """Return the types of the columns, which are the same where a column is empty."""
    numbers = dict.fromkeys(("value", "low", "high"), nw.Float64)
    counts = dict.fromkeys(("seed", "round", "n"), nw.Int64)
    return {name: (numbers | counts).get(name, nw.String) for name in COLUMNS}


def _place(
    result: Result, arm: str | None, game: str, player: str, round: int, quantity: str
) -> dict[str, Any]:
    return {
        "arm": arm or result.config.name,
        "seed": result.record.seed,
        "game": game,
        "player": player,
        "round": round,
        "metric": quantity,
    }


def _of_value(value: Value | None) -> dict[str, Any]:
    if value is None:
        return {"value": None, "low": None, "high": None, "n": 0}
    return {"value": value.value, "low": value.low, "high": value.high, "n": value.n}


def _measured(result: Result, play: Play) -> list[str]:
    """Return the parties whose samples a game measures, and any others that it measured."""
    names = dict.fromkeys(result.sampled_from.get(play.name, ()))
    return list(names | dict.fromkeys(play.last))


def _reason(play: Play, player: str, quantity: str, caution: Caution) -> str:
    """Say why a player has no value of a quantity that others have."""
    loss = play.lost.get(player)
    if loss is not None:
        return f"lost in round {loss.round}: {loss.reason}"
    for metric, reason in caution.unmeasured.items():
        if quantity in OF_METRIC.get(metric, (metric,)):
            return reason
    return "it was not measured for this player, or the player does not tell it"
