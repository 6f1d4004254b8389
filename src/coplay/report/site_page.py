"""A site's own page: its verdict, its scores by round, what it told, and what was read.

It is written into the site's own folder, for its owner alone (mode 600), where the site's own
files of the run are. The coordinator has none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from coplay.core.errors import CheckpointError, RunFolderError
from coplay.core.inside import file_name
from coplay.metrics.base import Value
from coplay.metrics.memorisation import leak
from coplay.metrics.table_view import REAL, TableView
from coplay.report import charts
from coplay.report.audit_tables import audit_section
from coplay.report.brought import paragraph_of_site
from coplay.report.charts import Band
from coplay.report.egress_words import summary
from coplay.report.headline import Status
from coplay.report.meanings import meaning, term
from coplay.report.page import arranged, template
from coplay.report.parts import Cell, ChartPicture, PageSection, Table, value_cell
from coplay.report.table_charts import pictures
from coplay.report.words import (
    aligned,
    heading,
    in_order,
    scalar,
    sentence_case,
    whole,
    words,
)
from coplay.run.auditing import read_audits_of
from coplay.run.egress_records import records_of
from coplay.run.judging import best
from coplay.run.result import Result
from coplay.run.site_folders import site_folder, site_home
from coplay.site.audits.in_play import RoundAudit, audits_path, read_audits
from coplay.site.judging import write_privately
from coplay.site.measuring import COLUMNS, FOLDER, REPORTED, SAMPLES
from coplay.site.rounds import Reported, SiteRound, read_reported, read_rounds, read_view

_PANELS = 30
"""Columns that are drawn at most."""

_SHOWN = 40
"""Rounds of a game whose losses stand on the page, about."""


def write_pages(result: Result) -> list[Path]:
    """Write the page of each site whose own files are here, and return their paths.

    Args:
        result: The run.
    """
    pages = []
    for name in result.players:
        rounds = rounds_of(result, name)
        reported = reported_of(result, name)
        if rounds or reported or audits_of(result, name):
            page = site_folder(result.folder, name) / "page.html"
            write_privately(page, _html(result, name, rounds, reported))
            pages.append(page)
    return pages


def rounds_of(result: Result, name: str) -> list[SiteRound]:
    """Return what a site measured itself, game after game; empty where its files are not here.

    Raises:
        CheckpointError: A file of the site is damaged.
    """
    rounds = []
    for game in result.plays:
        path = site_home(result.folder, name, game) / FOLDER / f"{file_name(name)}.jsonl"
        if path.exists():
            rounds += read_rounds(game, path)
    return rounds


def reported_of(result: Result, name: str) -> list[Reported]:
    """Return what a site's model reported, game after game; empty where its files are not here.

    Raises:
        CheckpointError: A file of the site is damaged.
    """
    reported = []
    for game in result.plays:
        folder = site_home(result.folder, name, game) / FOLDER
        reported += read_reported(game, folder / f"{file_name(name)}{REPORTED}")
    return reported


def audits_of(result: Result, name: str) -> list[RoundAudit]:
    """Return the audits that a site made in play, game after game.

    Raises:
        CheckpointError: A file of the site is damaged.
    """
    audits = []
    for game in result.plays:
        audits += read_audits(
            game, audits_path(site_home(result.folder, name, game) / FOLDER, name)
        )
    return audits


def _html(result: Result, name: str, rounds: list[SiteRound], reported: list[Reported]) -> str:
    sections = [
        _scores(rounds),
        _columns(rounds, views_of(result, name)),
        audit_section(audits_of(result, name), read_audits_of(result, name)),
        _learning(reported),
        _leaving(result, name, rounds, reported),
        _reading(result, name),
    ]
    return template().render(
        title=f"{name} in {result.record.title}",
        sentence=f"This page is for {name} alone; nobody else has it.",
        in_short=paragraph_of_site({each.game: each.values for each in rounds}),
        status=_verdict(result, name),
        sections=arranged(sections),
        config="",
        version=result.record.versions.get("coplay", ""),
        data_file=(
            f"GAME/{FOLDER}/{file_name(name)}.jsonl and {file_name(name)}{REPORTED} beside it, and "
            "in verdict.json"
        ),
    )


def _verdict(result: Result, name: str) -> Status:
    """Return which model is best for the site, in a sentence."""
    try:
        return Status("verdict", str(best(result, name)))
    except (RunFolderError, CheckpointError) as error:
        return Status("no verdict yet", str(error))


def _scores(rounds: list[SiteRound]) -> PageSection:
    """Return every score by game and round."""
    title = "Scores by round"
    if not rounds:
        text = ["No round was measured yet."]
        return PageSection("scores", title, text, is_empty=True)
    quantities: dict[str, Value] = {}
    for each in rounds:
        for quantity, value in each.values.items():
            if value.is_scalar:
                quantities.setdefault(quantity, value)
    names = in_order(quantities)
    writers = {}
    for quantity in names:
        present = [each.values[quantity] for each in rounds if quantity in each.values]
        writers[quantity] = aligned([scalar(value) for value in present])
    rows = []
    for each in rounds:
        cells: list[Cell] = [words(each.game), str(each.round)]
        for quantity in names:
            cells.append(value_cell(each.values.get(quantity), writers[quantity]))
        rows.append(cells)
    header = ["game", "round", *(heading(q, quantities[q].better) for q in names)]
    terms = [term(quantity, [replace(quantities[quantity], n=0, n_real=0)]) for quantity in names]
    has_interval = any(value.low is not None for each in rounds for value in each.values.values())
    caption = "In brackets: 95 % intervals." if has_interval else ""
    table = Table(header, rows, caption, terms=terms)
    reasons = dict.fromkeys(
        f"{words(metric)} is not measured: {reason}"
        for each in rounds
        for metric, reason in each.unmeasured.items()
    )
    text = ["Samples of your model, compared with rows of yours that it never learned from."]
    for each in {each.game: each for each in rounds}.values():
        repeated = leak(each.values)
        if repeated:
            text.append(f"{sentence_case(words(each.game))}: {repeated}.")
    return PageSection(
        "scores", title, text, [table], _curves(rounds, names), points=[*map(whole, reasons)]
    )


def _curves(rounds: Sequence[SiteRound], names: Sequence[str]) -> list[ChartPicture]:
    """Return the scores over the rounds, a curve per game; empty where one round was measured."""
    games = list(dict.fromkeys(each.game for each in rounds))
    if len({each.round for each in rounds}) < 2:
        return []
    panels = {}
    for quantity in names:
        bands = []
        for game in games:
            measured = [each for each in rounds if each.game == game and quantity in each.values]
            if measured:
                values = [scalar(each.values[quantity]) for each in measured]
                numbers = [each.round for each in measured]
                bands.append(Band(words(game), numbers, values, [None] * len(values)))
        panels[quantity] = bands
    titles = {name: words(name) for name in names}
    styles = {words(game): (place, place) for place, game in enumerate(games)}
    meanings = {name: sentence_case(meaning(name)) for name in names}
    chart = charts.bands(panels, titles, styles, "round", rounds=True, meanings=meanings)
    return [ChartPicture("scores", chart, "The same over the rounds.")]


def views_of(result: Result, name: str) -> dict[str, TableView]:
    """Return what a site's columns and those of samples looked like at the end, by game."""
    views = {}
    for game in result.plays:
        path = site_home(result.folder, name, game) / FOLDER / f"{file_name(name)}{COLUMNS}"
        if path.exists():
            views[game] = read_view(path)
    return views


def _together(views: dict[str, TableView]) -> TableView | None:
    """Return the real rows beside the samples of every game; None without any."""
    if not views:
        return None
    first = next(iter(views.values()))
    rows = {REAL: first.rows[REAL]}
    associations = {REAL: first.associations[REAL]}
    shares: dict[str, dict[str, tuple[float, ...]]] = {}
    missing: dict[str, dict[str, float]] = {}
    for game, view in views.items():
        rows[words(game)] = view.rows[SAMPLES]
        associations[words(game)] = view.associations[SAMPLES]
        for column in view.columns:
            own = shares.setdefault(column.name, {})
            lacking = missing.setdefault(column.name, {})
            for title, key in ((REAL, REAL), (words(game), SAMPLES)):
                if key in column.shares:
                    own[title] = column.shares[key]
                    lacking[title] = column.missing[key]
    columns = []
    for column in first.columns:
        of = replace(column, shares=shares[column.name], missing=missing[column.name])
        columns.append(of)
    return TableView(tuple(columns), rows, associations)


def _columns(rounds: list[SiteRound], views: dict[str, TableView]) -> PageSection:
    """Return the last value of each column and of the pairs that were met worst, by game."""
    last = {each.game: each for each in rounds}
    keys: dict[str, None] = {}
    for each in last.values():
        keys |= dict.fromkeys(key for key, value in each.values.items() if value.of)
    rows = []
    for key in keys:
        cells = [key]
        for each in last.values():
            value = each.values.get(key)
            cells.append("–" if value is None else f"{scalar(value):.3f}")
        rows.append(cells)
    header = ["statistic", *(words(game) for game in last)]
    text = ["Each column, and the pairs of columns that are met worst; 1 is best."]
    drawn = _together(views)
    figures = [] if drawn is None else pictures(drawn, "columns", "Your columns", _PANELS)
    if not rows:
        is_empty = not figures
        text = ["No columns were compared."] if is_empty else []
        return PageSection("columns", "Columns", text, pictures=figures, is_empty=is_empty)
    return PageSection("columns", "Columns", text, [Table(header, rows)], figures)


def _learning(reported: list[Reported]) -> PageSection:
    """Return what the model reported of learning, by game and round, told or not."""
    title = "What your model reported of learning"
    names = list(dict.fromkeys(name for each in reported for name in each.numbers))
    if not names:
        return PageSection("learning", title, ["It reported no number."], is_empty=True)
    writers = {}
    for name in names:
        writers[name] = aligned([each.numbers[name] for each in reported if name in each.numbers])
    rows = []
    for each in _shown(reported):
        cells = [words(each.game), str(each.round)]
        for name in names:
            cells.append(writers[name](each.numbers[name]) if name in each.numbers else "–")
        rows.append(cells)
    text = [
        "Losses and the like; the site's file has all rounds. Which of them left is said below."
    ]
    return PageSection(
        "learning", title, text, [Table(["game", "round", *map(words, names)], rows)]
    )


def _shown(reported: list[Reported]) -> list[Reported]:
    """Return the rounds that the page has: of long games every so many, and the last."""
    shown = []
    for game in dict.fromkeys(each.game for each in reported):
        rounds = [each for each in reported if each.game == game]
        step = max(1, len(rounds) // _SHOWN)
        shown += rounds[::-1][::step][::-1]
    return shown


def _leaving(
    result: Result, name: str, rounds: list[SiteRound], reported: list[Reported]
) -> PageSection:
    """Say which numbers left the site and which stayed."""
    measured = {key for each in rounds for key in each.left}
    left = sorted(measured.union(*(each.left for each in reported)))
    every = {key for each in rounds for key, value in each.values.items() if value.is_scalar}
    every |= {key for each in reported for key in each.numbers}
    kept = sorted(every - set(left))
    text = [
        f"Of what was computed from your rows these numbers left: "
        f"{', '.join(map(words, left)) or 'none'}.",
        f"These stayed here: {', '.join(map(words, kept)) or 'none'}.",
        "Samples of your model left as well: they are what is played with.",
    ]
    sizes = result.record.data.sizes.get(name)
    count = "was not told" if sizes is None else f"was told as {sizes:,}"
    text.append(f"The number of your rows {count}.")
    points = []
    for record in records_of(result.folder, name):
        points += [line.strip() for line in summary(record)]
    if points:
        text.append(
            "The record of all that left, on your own disk before it left, sums up to this; "
            f"'coplay egress show {result.folder} --player {name} --page' has it in plain words."
        )
    return PageSection("leaving", "What left this site", text, points=points)


def _reading(result: Result, name: str) -> PageSection:
    """Say what was read, left out and held out."""
    lines: list[str] = []
    for game in result.plays:
        path = site_home(result.folder, name, game) / FOLDER / f"{file_name(name)}.txt"
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()
            break
    text = lines or ["Nothing was written down of the reading."]
    return PageSection("reading", "What was read", text)
