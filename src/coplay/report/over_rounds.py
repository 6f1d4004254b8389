"""Curves over the rounds: the scores of all games, and the numbers that the models report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import stdev
from typing import Any

from coplay.metrics.base import Value
from coplay.report import charts
from coplay.report.chart import Chart
from coplay.report.charts import Band, Line
from coplay.report.meanings import meaning
from coplay.report.parts import ChartPicture, PageSection, first_players
from coplay.report.words import direction, in_order, sentence_case, words
from coplay.run.play import Play
from coplay.run.result import Result

_PANELS = 12
_BESIDE = 6  # with more players, curves show the games carried along by their means


def section(result: Result) -> PageSection:
    """Scores of all games over the rounds, and the numbers that the models report."""
    players, notes = first_players(result.parties)
    measured = _measured_lines(result)
    learning = _learning_lines(result)
    pictures = []
    text = list(notes)
    title = "Over the rounds"
    if measured:
        pictures.append(_scores(result, measured, players))
    else:
        text.append("No score was measured.")
    if learning:
        pictures.append(_learning(result, learning, players))
    else:
        text.append(
            "The models reported no numbers."
            if result.record.data.extent
            else "Players tell no numbers that their models reported."
        )
    data = {"measured": _json(measured), "learning": _json(learning)}
    is_empty = not pictures
    return PageSection("curves", title, text, pictures=pictures, data=data, is_empty=is_empty)


def _measured_lines(result: Result) -> dict[str, list[Line]]:
    """By quantity, a line for everybody it was measured of in any game."""
    quantities: dict[str, None] = {}
    for play in result.plays.values():
        quantities |= dict.fromkeys(in_order(play.quantities))
    lines: dict[str, list[Line]] = {quantity: [] for quantity in quantities}
    for quantity in quantities:
        for play in result.plays.values():
            lines[quantity] += _lines(play, result.parties, quantity)
    return lines


def _lines(play: Play, names: Sequence[str], quantity: str) -> list[Line]:
    by_round = {round: play.scalars(quantity, round) for round in play.measurements}
    lines = []
    for name in names:
        rounds = [round for round, values in by_round.items() if name in values]
        if rounds:
            values = [by_round[round][name] for round in rounds]
            lines.append(Line(name, play.name, rounds, values))
    return lines


def _learning_lines(result: Result) -> dict[str, list[Line]]:
    """By number that models report in the main game, a line for everybody that reports it."""
    numbers: dict[str, None] = {}
    for row in result.main.rows:
        for reported in row.players.values():
            numbers |= dict.fromkeys(reported)
    numbers.pop("flops", None)
    lines: dict[str, list[Line]] = {number: [] for number in numbers}
    for number in numbers:
        for name in result.parties:
            rounds = []
            values = []
            for row in result.main.rows:
                reported = row.players.get(name, {})
                if number in reported:
                    rounds.append(row.round)
                    values.append(float(reported[number]))
            if rounds:
                lines[number].append(Line(name, result.main.name, rounds, values))
    return lines


def _learning(result: Result, lines: dict[str, list[Line]], players: list[str]) -> ChartPicture:
    drawn = dict(list(_of_players(lines, players).items())[:_PANELS])
    titles = {number: words(number) for number in lines}
    chart = charts.curves(drawn, titles, players, list(result.plays))
    caption = (
        "What the models themselves report after each turn in "
        f"{words(result.main.name)}, in their own units."
    )
    if len(lines) > _PANELS:
        caption += f" The first {_PANELS} of {len(lines)} are shown."
    return ChartPicture("learning", chart, caption)


def _scores(result: Result, lines: dict[str, list[Line]], players: list[str]) -> ChartPicture:
    """A line per player; where a game measures a seat, a line per game."""
    titles = {}
    counts = []
    for quantity in lines:
        value = _example(result, quantity)
        better = f" ({direction(value.better)})" if value.better else ""
        titles[quantity] = words(quantity) + better
        real = f", n_real = {value.n_real:,}" if value.n_real else ""
        generated = f", n = {value.n:,}" if value.n else ""
        counts.append(f"{words(quantity)}: {value.unit}{generated}{real}")
    counted = "; ".join(counts)
    if result.seats:
        chart = _bands(result, lines, titles)
        if any(len(members) > 1 for members in result.sampled_from.values()):
            counted += ". Bands are one standard deviation over players"
    else:
        drawn = _of_players(lines, players)
        if len(players) > _BESIDE:
            drawn = _with_means(result, drawn)
            counted += ". The games carried along are drawn as means over their players"
        chart = charts.curves(drawn, titles, players, list(result.plays), _meanings(lines))
    caption = f"Scores at the measured rounds. {counted}."
    return ChartPicture("scores", chart, caption)


def _example(result: Result, quantity: str) -> Value:
    """One value of a quantity, for its unit, direction and counts."""
    examples = [play.example(quantity) for play in result.plays.values()]
    return next(value for value in examples if value is not None)


def _bands(result: Result, lines: Mapping[str, list[Line]], titles: dict[str, str]) -> Chart:
    panels: dict[str, list[Band]] = {}
    for quantity in lines:
        bands = [_band(result, game, quantity) for game in result.plays]
        panels[quantity] = [band for band in bands if band is not None]
    labels = set()
    for drawn in panels.values():
        labels |= {band.arm for band in drawn}
    styles = {}
    for place, game in enumerate(result.plays):
        label = _label(result, game)
        if label in labels:
            styles[label] = (place, place)
    meanings = _meanings(lines)
    return charts.bands(panels, titles, styles, "round", rounds=True, meanings=meanings)


def _meanings(quantities: Iterable[str]) -> dict[str, str]:
    return {quantity: sentence_case(meaning(quantity)) for quantity in quantities}


def _label(result: Result, game: str) -> str:
    members = result.sampled_from[game]
    whose = members[0] if len(members) == 1 else f"mean of {len(members):,} players"
    return f"{words(game)}: {whose}"


def _band(result: Result, game: str, quantity: str) -> Band | None:
    """Mean and spread over the parties that a game measures; None if no round has a mean."""
    play = result.plays[game]
    rounds = []
    means = []
    deviations = []
    for round in play.measurements:
        mean = result.mean(game, quantity, round)
        if mean is not None:
            by_player = play.scalars(quantity, round)
            rounds.append(round)
            means.append(mean.value)
            deviations.append(_deviation([by_player[name] for name in mean.players]))
    if not rounds:
        return None
    return Band(_label(result, game), rounds, means, deviations)


def _deviation(values: list[float]) -> float | None:
    several = len(values) > 1 and all(map(math.isfinite, values))
    return stdev(values) if several else None


def _of_players(panels: dict[str, list[Line]], players: list[str]) -> dict[str, list[Line]]:
    """The lines of some players; panels left without any are dropped."""
    kept = {}
    for key, lines in panels.items():
        own = [line for line in lines if line.player in players]
        if own:
            kept[key] = own
    return kept


def _with_means(result: Result, panels: dict[str, list[Line]]) -> dict[str, list[Line]]:
    """The main game's lines, and for each game carried along the mean over its players."""
    main, *others = result.plays
    drawn = {}
    for quantity, lines in panels.items():
        drawn[quantity] = [line for line in lines if line.game == main]
        for game in others:
            band = _band(result, game, quantity)
            if band is not None:
                drawn[quantity].append(Line("", game, [int(x) for x in band.x], band.mean))
    return drawn


def _json(panels: dict[str, list[Line]]) -> dict[str, list[dict[str, Any]]]:
    plain = {}
    for key, lines in panels.items():
        plain[key] = [asdict(line) for line in lines]
    return plain
