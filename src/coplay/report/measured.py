"""Who holds what, and what was measured: class shares against the prediction, influence, curves over the rounds."""

from __future__ import annotations

import math
from statistics import stdev
from typing import Any

from coplay.report import charts, figures
from coplay.report.charts import Band, Line, SharesPanel
from coplay.report.headline import parties, scalars
from coplay.report.parts import PageSection, Picture, first_players
from coplay.report.words import sentence_case, span, words
from coplay.run.record import SparseMatrix
from coplay.run.result import Play, Result

_PANELS = 12
_BESIDE = 6  # with more players, curves show the games carried along by their means
_ARROWS = {"higher": "higher is better", "lower": "lower is better"}


def holdings(result: Result) -> PageSection:
    """Counts per class and player."""
    title, counts = "Who holds what", result.record["data"]["counts"]
    if not counts:
        return PageSection("holdings", title, ["The data have no classes, so there are no counts per class."])
    players, notes = first_players(list(counts))
    classes = len(counts[players[0]])
    total = sum(map(sum, counts.values()))
    png = figures.heat_map(
        [counts[name] for name in players],
        players,
        [str(c) for c in range(classes)],
        row_label="player",
        column_label="class",
        write=lambda v: f"{v:,.0f}",
    )
    caption = f"Private training samples per class; {total:,} of {result.record['data']['train']:,} were dealt out."
    figure = Picture("holdings", png, "Heat map of private samples per player and class", caption)
    return PageSection("holdings", title, notes, pictures=[figure], data={"counts": counts})


def shares(result: Result) -> PageSection:
    """Class shares of the last measurement against those that theory predicts."""
    play = result.main
    predicted, counts = result.predicted(play.name), dict(result.record["data"]["counts"])
    title = "Class shares" if play.last and not predicted else "Class shares, measured against predicted"
    found = {name: values for name, values in play.last.items() if "class_shares" in values}
    if not found:
        return PageSection("shares", title, ["Class shares were not measured."])
    beside = [name for name in result.seats if name in found]
    if beside and counts:  # what is shared learns from everybody
        everybody = [sum(column) for column in zip(*counts.values(), strict=True)]
        counts |= {name: everybody for name in beside}
    players, notes = first_players([name for name in parties(result) if name in found])
    data = {
        name: {
            "measured": values["class_shares"]["value"],
            "raw": values.get("class_shares_raw", {}).get("value"),
            "predicted": predicted.get(name),
            "distance_to_prediction": values.get("distance_to_prediction", {}).get("value"),
            "n": values["class_shares"]["n"],
            "n_real": values["class_shares"]["n_real"],
        }
        for name, values in found.items()
    }
    panels = [_panel(name, data[name], counts.get(name)) for name in players]
    caption = (
        f"{sentence_case(words(play.name))} after round {max(play.measurements)}: "
        f"n = {span(data[name]['n'] for name in players)} generated samples {'each' if beside else 'per player'}. Bars are "
        f"corrected for the domain classifier's confusions on n_real = {span(data[name]['n_real'] for name in players)} test "
        "samples."
    )
    if predicted:
        caption += " d is the total variation between bars and prediction, from 0 to 1."
    else:
        notes = [*notes, f"There is no theory that predicts class shares for {words(play.name)}."]
    held = "in all players' data" if beside else "in the player's own data"
    figure = Picture("shares", charts.shares(panels, held), "Class shares per player, measured and predicted", caption)
    return PageSection(
        "shares", title, notes, pictures=[figure], data={"round": max(play.measurements), "players": data}
    )


def _panel(name: str, values: dict[str, Any], counts: list[int] | None) -> SharesPanel:
    distance = values["distance_to_prediction"]
    said = f"{name}   n = {values['n']:,}" + (f", d = {distance:.3f}" if distance is not None else "")
    held = [c / sum(counts) for c in counts] if counts and sum(counts) else None
    return SharesPanel(said, values["measured"], values["raw"], values["predicted"], held)


def influence(result: Result) -> PageSection:
    """The influence matrix of the main game."""
    title, play = "Influence", result.main
    matrix = result.record["games"][play.name].get("influence")
    if matrix is None:
        return PageSection("influence", title, [f"There is no theory of influence for {words(play.name)}."])
    names = result.players
    players, notes = first_players(names)
    png = figures.heat_map(
        SparseMatrix.from_json(matrix).corner(len(players)),
        players,
        players,
        row_label="model of",
        column_label="data of",
        write=lambda v: f"{v:.3f}" if v else "0",
        most=1.0,
    )
    caption = (
        "M: row i, column j hold the share of site j's data in player i's model at the equilibrium. It follows from "
        "the weights alone; rows sum to 1."
    )
    figure = Picture("influence", png, "Heat map of the influence matrix", caption)
    return PageSection("influence", title, notes, pictures=[figure], data={"players": names, "influence": matrix})


def curves(result: Result) -> PageSection:
    """Scores over the rounds, the games carried along beside; and the numbers that the models report."""
    title, names = "Over the rounds", parties(result)
    players, notes = first_players(names)
    measured = {
        q: [line for play in result.plays.values() for line in _measured(play, names, q)] for q in _quantities(result)
    }
    learning = {n: _learning(result.main, names, n) for n in _learning_numbers(result.main)}
    pictures, text = [], list(notes)
    if measured:
        pictures.append(_scores(result, measured, players))
    else:
        text.append("No score was measured.")
    if learning:
        drawn = dict(list(_first(learning, players).items())[:_PANELS])
        png = charts.curves(drawn, {n: words(n) for n in learning}, players, list(result.plays))
        more = f" The first {_PANELS} of {len(learning)} are shown." if len(learning) > _PANELS else ""
        said = (
            f"What the models themselves report after each turn in {words(result.main.name)}, in their own units.{more}"
        )
        pictures.append(Picture("learning", png, "Numbers that the models report over the rounds", said))
    else:
        text.append("The models reported no numbers.")
    return PageSection(
        "curves", title, text, pictures=pictures, data={"measured": _json(measured), "learning": _json(learning)}
    )


def _scores(result: Result, measured: dict[str, list[Line]], players: list[str]) -> Picture:
    """A line per player; where a game measures a seat, a line per game."""
    games, values = list(result.plays), {q: _any_value(result, q) for q in measured}
    titles = {q: f"{words(q)}" + (f" ({_ARROWS[v['better']]})" if v["better"] else "") for q, v in values.items()}
    counted = "; ".join(
        f"{words(q)}: {v['unit']}, n = {v['n']:,}" + (f", n_real = {v['n_real']:,}" if v["n_real"] else "")
        for q, v in values.items()
    )
    if result.seats:
        panels = {q: [band for game in games if (band := _band(result, game, lines))] for q, lines in measured.items()}
        styles = {_label(result, game): (place, min(place, 2)) for place, game in enumerate(games)}
        drawn = {band.arm for bands in panels.values() for band in bands}
        png = charts.bands(panels, titles, {k: v for k, v in styles.items() if k in drawn}, "round", rounds=True)
        several = any(len(result.measured[game]) > 1 for game in games)
        counted += ". Bands are one standard deviation over players" if several else ""
    else:
        lines = _first(measured, players)
        if len(players) > _BESIDE:
            lines = {q: [*(x for x in lines[q] if x.game == games[0]), *_means(measured[q], games[1:])] for q in lines}
            counted += ". The games carried along are drawn as means over their players"
        png = charts.curves(lines, titles, players, games)
    return Picture("scores", png, "Scores over the rounds", f"Scores at the measured rounds. {counted}.")


def _label(result: Result, game: str) -> str:
    who = result.measured[game]
    return f"{words(game)}: {who[0] if len(who) == 1 else f'mean of {len(who):,} players'}"


def _band(result: Result, game: str, lines: list[Line]) -> Band | None:
    """Mean and spread over those whom a game measures, at the rounds where all of them were; None if nobody was."""
    own = [dict(zip(line.rounds, line.values, strict=True)) for line in lines if line.game == game]
    rounds = sorted(set.intersection(*(set(values) for values in own))) if own else []
    if not rounds:
        return None
    each = [[values[r] for values in own] for r in rounds]
    means = [sum(values) / len(values) for values in each]
    return Band(_label(result, game), rounds, means, [_std(v) for v in each])


def _std(values: list[float]) -> float | None:
    return stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else None


def _quantities(result: Result) -> list[str]:
    return list(dict.fromkeys(q for play in result.plays.values() for q in scalars(play)))


def _learning_numbers(play: Play) -> list[str]:
    rows = (numbers for row in play.rows for numbers in row.get("players", {}).values())
    return [name for name in dict.fromkeys(name for numbers in rows for name in numbers) if name != "flops"]


def _measured(play: Play, names: list[str], quantity: str) -> list[Line]:
    lines = []
    for name in names:
        values = {r: m[name][quantity]["value"] for r, m in play.measurements.items() if quantity in m.get(name, {})}
        if values:
            lines.append(Line(name, play.name, list(values), list(values.values())))
    return lines


def _learning(play: Play, names: list[str], number: str) -> list[Line]:
    lines = []
    for name in names:
        told = {row["round"]: row.get("players", {}).get(name, {}) for row in play.rows}
        values = {round: float(numbers[number]) for round, numbers in told.items() if number in numbers}
        if values:
            lines.append(Line(name, play.name, list(values), list(values.values())))
    return lines


def _first(panels: dict[str, list[Line]], players: list[str]) -> dict[str, list[Line]]:
    """The lines of some players; panels left without any are dropped."""
    kept = {key: [line for line in lines if line.player in players] for key, lines in panels.items()}
    return {key: lines for key, lines in kept.items() if lines}


def _means(lines: list[Line], games: list[str]) -> list[Line]:
    """One line per game: the mean over its players at the rounds where all were measured."""
    found = []
    for game in games:
        own = [dict(zip(line.rounds, line.values, strict=True)) for line in lines if line.game == game]
        rounds = sorted(set.intersection(*(set(values) for values in own))) if own else []
        if rounds:
            found.append(Line("", game, rounds, [sum(values[r] for values in own) / len(own) for r in rounds]))
    return found


def _any_value(result: Result, quantity: str) -> dict[str, Any]:
    return next(v[quantity] for play in result.plays.values() for v in play.last.values() if quantity in v)


def _json(panels: dict[str, list[Line]]) -> dict[str, list[dict[str, Any]]]:
    return {key: [vars(line) for line in lines] for key, lines in panels.items()}
