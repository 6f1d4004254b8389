"""The top of the page: what was played by whom on which data, how it ended, and the scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from coplay.metrics.base import Value
from coplay.report.meanings import term
from coplay.report.parts import Cell, PageSection, Table, Term, first_players, value_cell
from coplay.report.words import (
    Writer,
    aligned,
    class_list,
    heading,
    in_order,
    interval,
    listed,
    number,
    scalar,
    sentence_case,
    span,
    whole,
    words,
)
from coplay.run.play import Play
from coplay.run.result import Result
from coplay.run.round_record import measured_to_json
from coplay.run.together import ALL_ROWS, together
from coplay.run.warnings import warnings_of


@dataclass(frozen=True)
class Status:
    """How a run ended.

    Args:
        word: ``"finished"``, ``"stopped"``, ``"running"`` or ``"failed"``.
        text: The same in a sentence.
    """

    word: str
    text: str


def sentence(result: Result) -> str:
    """What was played by whom on which data."""
    names = result.players
    data = result.record.data
    models = Counter(result.model_name(name) for name in names)
    kinds = list(models)
    if len(models) > 1:
        kinds = [f"{count} × {model}" for model, count in models.items()]
    main, *others = result.plays
    sampled = result.sampled_from[main]
    seats = f" and a {listed(sampled)}" if set(sampled) <= set(result.seats) else ""
    carried = ""
    if others:
        were = "were" if len(others) > 1 else "was"
        carried = f"; {listed(words(other) for other in others)} {were} carried along"
    return (
        f"{len(names):,} player{plural(names)} ({listed(kinds)}){seats} played {words(main)} for "
        f"{len(result.main.rows):,} of {result.planned_rounds(main):,} rounds on "
        f"{' '.join(filter(None, [data.name, data.extent]))}{carried}."
    )


def plural(items: Sequence[object]) -> str:
    """The ending of a noun that counts some items."""
    return "s" if len(items) > 1 else ""


def status(result: Result) -> Status:
    """How the run ended, in a word and in a sentence."""
    word = result.record.status
    reason = result.record.reason
    sentences = {
        "finished": _finished(result),
        "stopped": "The run was stopped by hand; 'coplay resume' goes on from its last checkpoint.",
        "running": "The run has not ended, or was killed; this page shows what was on disk.",
        "failed": reason or "No reason was recorded.",
    }
    return Status(word, sentences.get(word, reason))


def _finished(result: Result) -> str:
    """Say that games ended, and which of them before their last round."""
    ends = [play.early_end for play in result.plays.values() if play.early_end]
    if not ends:
        return "All rounds of all games were played."
    return f"All games ended; {'; '.join(ends)}."


@dataclass(frozen=True)
class Column:
    """One column of scores: a quantity in a game.

    Args:
        quantity: Its name.
        play: The game's record.
        write: How numbers of the column are written.
    """

    quantity: str
    play: Play
    write: Writer

    def value(self, player: str) -> Value | None:
        """The last value of a player; None if it was not measured."""
        return self.play.last.get(player, {}).get(self.quantity)


def headline(result: Result) -> PageSection:
    """A table per player: what it is, what it holds, and its last scores in every game."""
    games = {name: play for name, play in result.plays.items() if play.last}
    columns = _columns(games)
    scored = _scored(result, games)
    shown, notes = first_players(scored)
    rows = []
    for name in [*result.seats, *shown]:
        scores = [value_cell(column.value(name), column.write) for column in columns]
        rows.append([_player_cell(result, name), _data_cell(result, name), *scores])
    rest = [name for name in result.players if name not in scored]
    if rest:
        dashes = ["–"] * len(columns)
        rows.append([_rest_cell(result, rest, scored), _rest_data_cell(result, rest), *dashes])
    several = any(len(result.sampled_from[column.play.name]) > 1 for column in columns)
    has_means = len(result.players) > 1 and several
    if has_means:
        rows.append(_means(result, columns))
    all_rows = _all_rows(result, columns)
    if all_rows:
        rows.append(all_rows)
        notes = [*notes, f"{sentence_case(ALL_ROWS)}."]
    header = ["player and model", "private samples", *(words(c.play.name) for c in columns)]
    quantities = list(dict.fromkeys(column.quantity for column in columns))
    caption = _caption(result, games, quantities)
    terms = [_term(games, quantity) for quantity in quantities]
    table = Table(header, rows, caption, _groups(columns), total=has_means, terms=terms)
    return PageSection(
        "headline",
        "Players and scores",
        text=[*_classifier(result), *notes, *_missing_means(result, games)],
        tables=[table],
        points=[
            *map(whole, warnings_of(result, words)),
            *(whole(note, [note[:1]]) for note in result.record.data.notes),  # often of files
            *(whole(note, result.parties) for note in result.record.notes),
        ],
        data=_data(result, games),
    )


def _columns(games: Mapping[str, Play]) -> list[Column]:
    """A column for every quantity and game that measured it, quantity after quantity."""
    quantities: dict[str, None] = {}
    for play in games.values():
        quantities |= dict.fromkeys(in_order(play.quantities))
    columns = []
    for quantity in quantities:
        for play in games.values():
            if quantity in play.quantities:
                write = aligned(play.scalars(quantity).values())
                columns.append(Column(quantity, play, write))
    return columns


def _groups(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """The row above the header: each quantity over its columns."""
    if not columns:
        return []
    groups = [("", 2)]
    for quantity, count in Counter(column.quantity for column in columns).items():
        example = next(column for column in columns if column.quantity == quantity)
        value = example.play.example(quantity)
        groups.append((heading(quantity, value.better if value else None), count))
    return groups


def _scored(result: Result, games: Mapping[str, Play]) -> list[str]:
    """Players with a line of their own: all, or, beside a server, those with a score or a loss."""
    if not result.seats:
        return result.players
    known = set(result.main.lost)
    for play in games.values():
        known |= set(play.last)
    return [name for name in result.players if name in known]


def _data(result: Result, games: Mapping[str, Play]) -> dict[str, Any]:
    players = {}
    for name in result.players:
        players[name] = {
            "model": result.model_name(name),
            "private_samples": result.sample_count(name),
            "classes": result.classes_of(name),
        }
    classifier = result.record.classifier
    return {
        "players": players,
        "seats": result.seats,
        "classifier": asdict(classifier) if classifier else None,
        "measured": {game: measured_to_json(play.last) for game, play in games.items()},
        "measured_after_round": {game: play.last_round for game, play in games.items()},
        "all_rows": _all_rows_data(result, games),
        "notes": list(result.record.notes),
        "warnings": warnings_of(result),
        "data_notes": list(result.record.data.notes),
    }


def _player_cell(result: Result, player: str) -> Cell:
    model = result.model_name(player)
    loss = result.main.lost.get(player)
    return (player, f"{model}, lost in round {loss.round}" if loss else model)


def _rest_cell(result: Result, names: Sequence[str], scored: Sequence[str]) -> Cell:
    """Players whom no game measures, in one line."""
    models = ", ".join(dict.fromkeys(result.model_name(name) for name in names))
    more = " more" if scored else ""
    return (f"{len(names):,}{more} player{plural(names)}", f"{models}, not measured")


def _rest_data_cell(result: Result, names: Sequence[str]) -> Cell:
    counts = [result.sample_count(name) for name in names]
    known = [count for count in counts if count is not None]
    return (span(known), "each") if known else "not recorded"


def _data_cell(result: Result, player: str) -> Cell:
    if player not in result.players:
        return "–"
    count = result.sample_count(player)
    classes = result.classes_of(player)
    if count is None:
        return "not recorded" if result.record.data.extent else "not told"
    if classes is None:
        return (number(count), "without classes")
    if not classes:
        return ("0", "none")
    return (number(count), class_list(classes, result.record.data.class_names))


def _means(result: Result, columns: Sequence[Column]) -> list[Cell]:
    """The last line: means over players, and the best of them where models are alike."""
    alike = bool(result.seats)  # the games of a server have one model for all
    first: Cell = f"mean over {len(result.players):,} players"
    if alike:
        first = ("mean over players", "and their best")
    return [first, "", *(_mean_cell(result, column, alike) for column in columns)]


def _mean_cell(result: Result, column: Column, best: bool) -> Cell:
    members = result.sampled_from[column.play.name]
    mean = result.mean(column.play.name, column.quantity)
    if len(members) < 2 or mean is None:
        return "–"
    beneath = []
    if best and mean.best is not None:
        beneath.append(column.write(mean.best))
    if len(mean.players) < len(members):
        beneath.append(f"of {len(mean.players):,}")
    text = column.write(mean.value)
    return (text, ", ".join(beneath)) if beneath else text


def _all_rows(result: Result, columns: Sequence[Column]) -> list[Cell]:
    """The line of figures for the rows of all sites that told them; empty without any."""
    cells: list[Cell] = []
    for column in columns:
        figure = together(result, column.play.name, column.quantity)
        if figure is None:
            cells.append("–")
            continue
        count = len(figure.players)
        of = "" if count == len(result.sampled_from[column.play.name]) else f"of {count:,}"
        beneath = ", ".join(filter(None, [interval(figure.value, column.write).strip(), of]))
        text = column.write(scalar(figure.value))
        cells.append((text, beneath) if beneath else text)
    return ["all rows together", "", *cells] if set(cells) - {"–"} else []


def _all_rows_data(result: Result, games: Mapping[str, Play]) -> dict[str, Any]:
    """Return the same figures as they lie beneath the page, by game and quantity."""
    data: dict[str, Any] = {}
    for game, play in games.items():
        for quantity in play.quantities:
            figure = together(result, game, quantity)
            if figure is not None:
                entry = {**figure.value.json(), "players": list(figure.players)}
                data.setdefault(game, {}).setdefault(quantity, entry)
    return data


def _missing_means(result: Result, games: Mapping[str, Play]) -> list[str]:
    """A sentence per game that has no means, since a player that it measures was lost."""
    sentences = []
    for name, play in games.items():
        members = result.sampled_from[name]
        lost = play.lost_among(members)
        if lost and len(members) > 1:
            players = listed(f"{loss.player} (round {loss.round})" for loss in lost)
            sentences.append(
                f"There are no means of {words(name)}, which lost {players}: a mean over the "
                "survivors would compare unlike things."
            )
    return sentences


def _caption(result: Result, games: Mapping[str, Play], quantities: Sequence[str]) -> str:
    """Say what the table shows beside scores, and when these were measured."""
    sentences = []
    if result.record.data.counts:
        sentences.append("Beneath a number of private samples: their classes.")
    if not games:
        return " ".join([*sentences, "No player was measured: there is no score to show."])
    if any(_has_interval(play) for play in games.values()):
        sentences.append("In brackets: 95 % intervals.")
    if "distance_to_prediction" in quantities:
        main = words(result.main.name)
        sentences.append(
            f"The prediction is the equilibrium of {main}, also for the games beside it."
        )
    rounds = []
    for name, play in games.items():
        rounds.append(f"{play.last_round} of {result.planned_rounds(name)} ({words(name)})")
    return " ".join([*sentences, f"Last measured after round {listed(rounds)}."])


def _has_interval(play: Play) -> bool:
    values: list[Value] = []
    for measured in play.last.values():
        values += measured.values()
    return any(value.low is not None for value in values)


def _term(games: Mapping[str, Play], quantity: str) -> Term:
    """Return what a score means, with its unit and all its counts."""
    values = []
    for play in games.values():
        for measured in play.last.values():
            if quantity in measured:
                values.append(measured[quantity])
    return term(quantity, values)


def _classifier(result: Result) -> list[str]:
    classifier = result.record.classifier
    if classifier is None:
        if any(result.main.last.values()):
            return []  # each score says itself what it was measured on
        why = result.record.unmeasured or "the run has not come that far"
        return [f"No domain classifier was trained, so nothing was scored: {why}."]
    return [
        f"The domain classifier behind all scores recognises {classifier.accuracy:.1%} of "
        f"n = {classifier.n_test:,} real test samples; it is trained on real training data and "
        "never enters learning."
    ]
