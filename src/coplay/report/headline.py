"""The top of the page: what was played by whom on which data, how it ended, and how well each player does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from coplay.report.parts import Cell, PageSection, Table, first_players
from coplay.report.words import aligned, listed, number, ranges, span, words
from coplay.run.result import Play, Result

_FIRST = ("fid", "domain_score", "distance_to_prediction")
_ARROWS = {"higher": " ↑", "lower": " ↓"}


def parties(result: Result) -> list[str]:
    """Seats, then players: everybody who may have been measured."""
    return [*result.seats, *result.players]


def model_name(result: Result, player: str) -> str:
    """The name of a player's model, or of a seat's, as the config gives it."""
    config = result.record["config"]
    own = config["players"].get(player, {}).get("model") if isinstance(config["players"], dict) else None
    section = own or config.get("model")
    return str(section["name"]).rpartition(":")[2] if section else result.model_name(player)


def held(result: Result, player: str) -> int | None:
    """Number of a player's private samples; None where the run did not record it."""
    size = result.record["data"]["sizes"].get(player)
    return None if size is None else int(size)


def lost(play: Play) -> dict[str, dict[str, Any]]:
    """Players that a game lost: round, action and reason by name."""
    return {name: {"round": row["round"], **why} for row in play.rows for name, why in row.get("lost", {}).items()}


def late(play: Play) -> list[tuple[int, str, str]]:
    """Who was too late in which round, and at what: round, name and reason."""
    return [(row["round"], who, why["reason"]) for row in play.rows for who, why in row.get("late", {}).items()]


def scalars(play: Play) -> list[str]:
    """Names of the measured quantities that are one number, the usual ones first."""
    found = {q for values in play.last.values() for q, v in values.items() if not isinstance(v["value"], list)}
    return [q for q in _FIRST if q in found] + sorted(found - set(_FIRST))


def planned(result: Result, game: str | None = None) -> int:
    """How many rounds a game of the run was to have; the main game by default."""
    return int(result.section(game or result.main.name)["rounds"])


def sentence(result: Result) -> str:
    """What was played by whom on which data."""
    names, data = result.players, result.record["data"]
    models = Counter(model_name(result, name) for name in names)
    kinds = [f"{count} × {model}" if len(models) > 1 else model for model, count in models.items()]
    main, *others = result.plays
    beside = f" and a {listed(result.measured[main])}" if set(result.measured[main]) <= set(result.seats) else ""
    carried = (
        f"; {listed(words(o) for o in others)} {'were' if len(others) > 1 else 'was'} carried along" if others else ""
    )
    return (
        f"{len(names):,} player{'s' if len(names) > 1 else ''} ({listed(kinds)}){beside} played {words(main)} for "
        f"{len(result.main.rows):,} of {planned(result):,} rounds on {data['name']} "
        f"({data['train']:,} training samples, {data['test']:,} test samples that no player holds){carried}."
    )


def status(result: Result) -> dict[str, str]:
    """How the run ended, in a word and in a sentence."""
    word, reason = result.record["status"], result.record.get("reason", "")
    said = {
        "finished": "All rounds of all games were played.",
        "stopped": "The run was stopped by hand; 'coplay resume' goes on from its last checkpoint.",
        "running": "The run has not ended, or was killed; this page shows what was on disk.",
        "failed": reason or "No reason was recorded.",
    }
    return {"word": word, "text": said.get(word, reason)}


def headline(result: Result) -> PageSection:
    """A table per player: what it is, what it holds, and the last scores beside those of the games carried along."""
    names, gone = result.players, lost(result.main)
    games = {name: play for name, play in result.plays.items() if play.last}
    quantities = list(dict.fromkeys(q for play in games.values() for q in scalars(play)))
    columns = [(q, g) for q in quantities for g, play in games.items() if any(q in v for v in play.last.values())]
    write = {(q, g): aligned(_values(games[g], q).values()) for q, g in columns}
    best = len(result.seats) > 0  # where models are alike, so that the best of them says something
    scored = [name for name in names if not best or name in gone or any(name in play.last for play in games.values())]
    shown, notes = first_players(scored)
    rows = [
        [_who(result, name, gone), _holds(result, name), *(_score(games[g], name, q, write[q, g]) for q, g in columns)]
        for name in [*result.seats, *shown]
    ]
    rest = [name for name in names if name not in scored]
    if rest:
        rows.append([_others(result, rest, len(scored)), _span_held(result, rest), *("–" for _ in columns)])
    means = len(names) > 1 and any(len(result.measured[g]) > 1 for _, g in columns)
    if means:
        who: Cell = ("mean over players", "and their best") if best else f"mean over {len(names):,} players"
        rows.append([who, "", *(_mean(result, g, q, write[q, g], best) for q, g in columns)])
    units = {q: _value_of(result, q) for q in quantities}
    groups = [
        ("", 2),
        *((words(q) + _ARROWS.get(units[q]["better"], ""), sum(c[0] == q for c in columns)) for q in quantities),
    ]
    header = [
        "player and model",
        "private samples",
        *(words(g) for _, g in columns),
    ]
    table = Table(header, rows, _caption(result, games, units), groups if columns else (), total=means)
    return PageSection(
        "headline",
        "Players and scores",
        text=[*_classifier(result), *notes],
        tables=[table],
        points=result.record["notes"],
        data={
            "players": {
                name: {
                    "model": model_name(result, name),
                    "private_samples": held(result, name),
                    "classes": _classes(result, name),
                }
                for name in names
            },
            "seats": result.seats,
            "classifier": result.record.get("classifier"),
            "measured": {game: play.last for game, play in games.items()},
            "measured_after_round": {game: max(play.measurements) for game, play in games.items()},
            "notes": result.record["notes"],
        },
    )


def _classes(result: Result, player: str) -> list[int] | None:
    counts = result.record["data"]["counts"].get(player)
    return None if counts is None else [c for c, count in enumerate(counts) if count]


def _who(result: Result, player: str, gone: dict[str, dict[str, Any]]) -> Cell:
    model = model_name(result, player)
    return (player, f"{model}, lost in round {gone[player]['round']}" if player in gone else model)


def _others(result: Result, names: list[str], beside: int) -> Cell:
    """Players whom no game measures, in one line."""
    models = ", ".join(dict.fromkeys(model_name(result, name) for name in names))
    return (
        f"{len(names):,}{' more' if beside else ''} player{'s' if len(names) > 1 else ''}",
        f"{models}, not measured",
    )


def _span_held(result: Result, names: list[str]) -> Cell:
    sizes = [size for name in names if (size := held(result, name)) is not None]
    return (span(sizes), "each") if sizes else "not recorded"


def _holds(result: Result, player: str) -> Cell:
    if player not in result.players:
        return "–"
    n, classes = held(result, player), _classes(result, player)
    if n is None:
        return "not recorded"
    if classes is None:
        return (number(n), "without classes")
    if not classes:
        return ("0", "none")
    return (number(n), ranges(classes))


def _values(play: Play, quantity: str) -> dict[str, float]:
    """The last values of a quantity, by who was measured."""
    return {name: float(found[quantity]["value"]) for name, found in play.last.items() if quantity in found}


def _score(play: Play, player: str, quantity: str, write: Callable[[float | None], str]) -> Cell:
    return write(_values(play, quantity).get(player))


def _mean(result: Result, game: str, quantity: str, write: Callable[[float | None], str], best: bool) -> Cell:
    """The mean over the players whom a game measures, and the best of them; nothing for a single one, or for survivors."""
    play = result.plays[game]
    wanted, values = result.measured[game], _values(play, quantity)
    if len(wanted) < 2 or any(name not in values for name in wanted):
        return "–"  # a mean over survivors would compare unlike things
    mean, top = mean_and_best([values[name] for name in wanted], better(play, quantity))
    return (write(mean), write(top)) if best and top is not None else write(mean)


def mean_and_best(values: Sequence[float], direction: str | None) -> tuple[float, float | None]:
    """The mean, and the best value in the direction that is better; None where neither is.

    Example:
        >>> mean_and_best([1.0, 3.0], "lower")
        (2.0, 1.0)
    """
    best = {"lower": min, "higher": max}.get(direction or "")
    return sum(values) / len(values), best(values) if best else None


def better(play: Play, quantity: str) -> str | None:
    """Which direction of a quantity is better; None where neither is."""
    return next(found[quantity]["better"] for found in play.last.values() if quantity in found)


def _value_of(result: Result, quantity: str) -> dict[str, Any]:
    """Unit, direction and all counts of a quantity."""
    found = [v[quantity] for play in result.plays.values() for v in play.last.values() if quantity in v]
    return {**found[0], "n": [v["n"] for v in found], "n_real": [v["n_real"] for v in found]}


def _caption(result: Result, games: dict[str, Play], units: dict[str, dict[str, Any]]) -> str:
    beneath = "Beneath a number of private samples: their classes. " if result.record["data"]["counts"] else ""
    if not games:
        return f"{beneath}No player was measured: there is no score to show."
    said = []
    for q, unit in units.items():
        better = f", {unit['better']} is better" if unit["better"] else ""
        real = f" against n_real = {span(unit['n_real'])}" if any(unit["n_real"]) else ""
        said.append(f"{words(q)}: {unit['unit']}{better}, n = {span(unit['n'])} generated samples{real}")
    against = ""
    if "distance_to_prediction" in units:
        against = f" The prediction is the equilibrium of {words(result.main.name)}, also for the games beside it."
    rounds = listed(
        f"{max(play.measurements)} of {planned(result, name)} ({words(name)})" for name, play in games.items()
    )
    return f"{beneath}{'; '.join(said)}.{against} Last measured after round {rounds}."


def _classifier(result: Result) -> list[str]:
    found = result.record.get("classifier")
    if not found:
        why = result.record.get("unmeasured") or "the run has not come that far"
        return [f"No domain classifier was trained, so nothing was scored: {why}."]
    return [
        f"The domain classifier behind all scores recognises {found['accuracy']:.1%} of n = {found['n_test']:,} real "
        "test samples; it is trained on real training data and never enters learning."
    ]
