"""Who holds what, and what was measured: class shares, influence, curves over the rounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import stdev
from typing import Any

from coplay.core.space import LABEL
from coplay.metrics.base import Value
from coplay.report import chance, charts, figures
from coplay.report.charts import Band, Line
from coplay.report.parts import PageSection, Picture, first_players
from coplay.report.share_bars import SharesPanel, share_bars
from coplay.report.words import (
    are_numbers,
    direction,
    in_order,
    sentence_case,
    shortened,
    span,
    words,
)
from coplay.run.certificate import certificate
from coplay.run.play import Play
from coplay.run.result import Result

_PANELS = 12
_BESIDE = 6  # with more players, curves show the games carried along by their means


def holdings(result: Result) -> PageSection:
    """Counts per class and player."""
    title = "Who holds what"
    counts = result.record.data.counts
    if not counts:
        text = ["The data have no classes, so there are no counts per class."]
        if not result.record.data.extent:
            text = ["Players have data of their own, and do not tell counts per class."]
        return PageSection("holdings", title, text)
    players, notes = first_players(list(counts))
    total = sum(map(sum, counts.values()))
    png = figures.heat_map(
        [counts[name] for name in players],
        players,
        shortened(result.record.data.class_names),
        row_label="player",
        column_label="class",
        write=lambda v: f"{v:,.0f}",
    )
    train = result.record.data.train
    caption = "Private training samples per class."
    if train is not None:
        caption = f"Private training samples per class; {total:,} of {train:,} were dealt out."
    alt = "Heat map of private samples per player and class"
    picture = Picture("holdings", png, alt, caption)
    data = {"counts": dict(counts), "classes": list(result.record.data.class_names)}
    return PageSection("holdings", title, notes, pictures=[picture], data=data)


@dataclass(frozen=True)
class MeasuredShares:
    """Class shares of one player's samples, each a number per class.

    Args:
        measured: Corrected for the domain classifier's confusions.
        raw: As the domain classifier counts them; None where they were not measured.
        predicted: By theory; None without one.
        distance_to_prediction: Total variation between measured and predicted shares, 0 to 1;
            None without a prediction.
        n: Number of generated samples.
        n_real: Number of real samples behind the correction.
    """

    measured: list[float]
    raw: list[float] | None
    predicted: list[float] | None
    distance_to_prediction: float | None
    n: int
    n_real: int


def _measured_shares(
    values: Mapping[str, Value], predicted: list[float] | None
) -> MeasuredShares | None:
    corrected = values.get("class_shares")
    if corrected is None:
        return None
    raw = values.get("class_shares_raw")
    distance = values.get("distance_to_prediction")
    return MeasuredShares(
        _per_class(corrected),
        None if raw is None else _per_class(raw),
        predicted,
        None if distance is None else float(distance.value),  # type: ignore[arg-type]
        corrected.n,
        corrected.n_real,
    )


def _per_class(value: Value) -> list[float]:
    assert isinstance(value.value, list)
    return value.value


def shares(result: Result) -> PageSection:
    """Class shares of the last measurement against those that theory predicts."""
    play = result.main
    predicted = result.predicted(play.name)
    title = "Class shares, measured against predicted"
    if play.last and not predicted:
        title = "Class shares"
    by_player: dict[str, MeasuredShares] = {}
    for name, values in play.last.items():
        measured = _measured_shares(values, predicted.get(name))
        if measured is not None:
            by_player[name] = measured
    if not by_player:
        why = "" if LABEL in result.record.data.space else f": no variable is called '{LABEL}'"
        return PageSection("shares", title, [f"Class shares were not measured{why}."])
    counts = dict(result.record.data.counts)
    seats = [name for name in result.seats if name in by_player]
    if seats and counts:  # what is shared learns from everybody
        everybody = [sum(column) for column in zip(*counts.values(), strict=True)]
        counts |= dict.fromkeys(seats, everybody)
    players, notes = first_players([name for name in result.parties if name in by_player])
    chosen = [by_player[name] for name in players]
    proof = certificate(result)
    widths = {} if isinstance(proof, str) else proof.widths
    panels = []
    for name in players:
        panels.append(_panel(name, by_player[name], counts.get(name), widths.get(name)))
    each = "each" if seats else "per player"
    caption = (
        f"{sentence_case(words(play.name))} after round {play.last_round}: "
        f"n = {span(shares.n for shares in chosen)} generated samples {each}. Bars are corrected "
        "for the domain classifier's confusions on "
        f"n_real = {span(shares.n_real for shares in chosen)} test samples."
    )
    if predicted:
        caption += " d is the total variation between bars and prediction, from 0 to 1."
        notes = [*notes, *chance.sentences(proof)]
    else:
        notes = [
            *notes,
            f"There is no theory that predicts class shares for {words(play.name)}.",
        ]
    held = "in all players' data" if seats else "in the player's own data"
    alt = "Class shares per player, measured and predicted"
    picture = Picture("shares", share_bars(panels, held, _bar_names(result)), alt, caption)
    data = {
        "round": play.last_round,
        "players": {name: asdict(shares) for name, shares in by_player.items()},
        "certificate": None if isinstance(proof, str) else asdict(proof),
    }
    tables = chance.tables(result, proof, players)
    return PageSection("shares", title, notes, tables, pictures=[picture], data=data)


def _bar_names(result: Result) -> Sequence[str] | None:
    """What the classes are called beneath the bars; None where they have only numbers."""
    names = result.record.data.class_names
    return None if are_numbers(names) else shortened(names)


def _panel(
    name: str, shares: MeasuredShares, counts: list[int] | None, width: list[float] | None
) -> SharesPanel:
    title = f"{name}   n = {shares.n:,}"
    if shares.distance_to_prediction is not None:
        title += f", d = {shares.distance_to_prediction:.3f}"
    held = None
    if counts and sum(counts):
        held = [count / sum(counts) for count in counts]
    return SharesPanel(title, shares.measured, shares.raw, shares.predicted, held, width)


def influence(result: Result) -> PageSection:
    """The influence matrix of the main game."""
    title = "Influence"
    play = result.main
    record = result.record.games[play.name]
    names = result.players
    players, notes = first_players(names)
    corner = record.influence_corner(len(players))
    if corner is None:
        text = [f"There is no theory of influence for {words(play.name)}."]
        return PageSection("influence", title, text)
    png = figures.heat_map(
        corner,
        players,
        players,
        row_label="model of",
        column_label="data of",
        write=lambda v: f"{v:.3f}" if v else "0",
        most=1.0,
    )
    caption = (
        "M: row i, column j hold the share of site j's data in player i's model at the "
        "equilibrium. It follows from the weights alone; rows sum to 1."
    )
    picture = Picture("influence", png, "Heat map of the influence matrix", caption)
    data: dict[str, Any] = {"players": names}
    if record.influence is not None:
        data["influence"] = record.influence.json()
    else:
        data["reason"] = (
            "influence has too many entries to be kept; it follows from the weights in run.json"
        )
    return PageSection("influence", title, notes, pictures=[picture], data=data)


def curves(result: Result) -> PageSection:
    """Scores of all games over the rounds, and the numbers that the models report."""
    players, notes = first_players(result.parties)
    measured = _measured_lines(result)
    learning = _learning_lines(result)
    pictures = []
    text = list(notes)
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
    return PageSection("curves", "Over the rounds", text, pictures=pictures, data=data)


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


def _learning(result: Result, lines: dict[str, list[Line]], players: list[str]) -> Picture:
    drawn = dict(list(_of_players(lines, players).items())[:_PANELS])
    titles = {number: words(number) for number in lines}
    png = charts.curves(drawn, titles, players, list(result.plays))
    caption = (
        "What the models themselves report after each turn in "
        f"{words(result.main.name)}, in their own units."
    )
    if len(lines) > _PANELS:
        caption += f" The first {_PANELS} of {len(lines)} are shown."
    return Picture("learning", png, "Numbers that the models report over the rounds", caption)


def _scores(result: Result, lines: dict[str, list[Line]], players: list[str]) -> Picture:
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
        png = _bands(result, lines, titles)
        if any(len(members) > 1 for members in result.sampled_from.values()):
            counted += ". Bands are one standard deviation over players"
    else:
        drawn = _of_players(lines, players)
        if len(players) > _BESIDE:
            drawn = _with_means(result, drawn)
            counted += ". The games carried along are drawn as means over their players"
        png = charts.curves(drawn, titles, players, list(result.plays))
    caption = f"Scores at the measured rounds. {counted}."
    return Picture("scores", png, "Scores over the rounds", caption)


def _example(result: Result, quantity: str) -> Value:
    """One value of a quantity, for its unit, direction and counts."""
    examples = [play.example(quantity) for play in result.plays.values()]
    return next(value for value in examples if value is not None)


def _bands(result: Result, lines: Mapping[str, list[Line]], titles: dict[str, str]) -> bytes:
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
            styles[label] = (place, min(place, 2))
    return charts.bands(panels, titles, styles, "round", rounds=True)


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
