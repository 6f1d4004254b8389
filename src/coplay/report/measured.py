"""Who holds what, and what was measured: class shares and influence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from coplay.core.space import LABEL
from coplay.metrics.base import Value
from coplay.report import chance, figures
from coplay.report.parts import ChartPicture, PageSection, Picture, first_players
from coplay.report.share_bars import SharesPanel, share_bars
from coplay.report.words import (
    sentence_case,
    shortened,
    span,
    words,
)
from coplay.run.certificate import certificate
from coplay.run.result import Result


def holdings(result: Result) -> PageSection:
    """Counts per class and player."""
    title = "Who holds what"
    counts = result.record.data.counts
    if not counts:
        text = ["The data have no classes, so there are no counts per class."]
        if not result.record.data.extent:
            text = ["Players have data of their own, and do not tell counts per class."]
        return PageSection("holdings", title, text, is_empty=True)
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
        text = [f"Class shares were not measured{why}."]
        return PageSection("shares", title, text, is_empty=True)
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
    names = shortened(result.record.data.class_names)
    picture = ChartPicture("shares", share_bars(panels, held, names), caption)
    data = {
        "round": play.last_round,
        "players": {name: asdict(shares) for name, shares in by_player.items()},
        "certificate": None if isinstance(proof, str) else asdict(proof),
    }
    tables = chance.tables(result, proof, players)
    return PageSection("shares", title, notes, tables, pictures=[picture], data=data)


def _panel(
    name: str, shares: MeasuredShares, counts: list[int] | None, width: list[float] | None
) -> SharesPanel:
    (called,) = shortened([name], 24)
    title = f"{called}: n = {shares.n:,}"
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
        return PageSection("influence", title, text, is_empty=True)
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
