"""The page of a comparison and its files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from coplay.comparison import curves, samples, tidy_values
from coplay.comparison.arms import Comparison
from coplay.comparison.caveats import Caveat, caveats
from coplay.comparison.export import plain_values, table_of_values
from coplay.comparison.in_short import paragraph
from coplay.comparison.place import FILES, refuse_other_contents
from coplay.comparison.tables import cost_tables, score_table
from coplay.core.inside import refuse_links, write_output
from coplay.report.page import arranged, json_bytes, template, write_pictures
from coplay.report.parts import Cell, PageSection, Table
from coplay.report.words import listed, whole, words

_NAMED_KEYS = 3  # keys that the first sentence names
_LONGEST_SETTING = 60  # characters of a setting in a table


def write(
    comparison: Comparison,
    folder: Path,
    title: str,
    *,
    by_player: bool = False,
) -> Path:
    """Write the page, ``comparison.html``, which needs no other file.

    Beside it come ``comparison.json``, ``comparison.csv``, pictures in ``figures``, and the tables
    of :meth:`Result.scores` and :meth:`Result.curves` for all runs as ``scores.csv`` and
    ``curves.csv``.

    Args:
        comparison: The arms.
        folder: Where to write.
        title: Heading of the page.
        by_player: Whether the page has a table of scores per player, too.

    Returns:
        Path of the HTML page.

    Raises:
        CheckpointError: A file of a run is damaged.
        OutputError: The folder cannot be written.
        RunFolderError: The folder holds links, through which something outside would be written.

    Example:
        ``write(Comparison.load(["runs/a", "runs/b"]), Path("comparisons/ab"), "a and b")``
    """
    refuse_other_contents(folder)
    refuse_links(folder, FILES)
    notes = caveats(comparison)
    sections = [
        _arms(comparison, notes),
        _scores(comparison, notes, by_player),
        PageSection("costs", "What it costs", tables=cost_tables(comparison)),
        curves.section(comparison),
        samples.section(comparison),
        _runs(comparison),
    ]
    remedy = "give permission, make room or name another folder with --out; the runs are as before"
    write_pictures(sections, folder, remedy)
    data = {"title": title, **plain_values(comparison, notes)}
    write_output(folder / "comparison.json", json_bytes(data), remedy)
    table = table_of_values(comparison)
    write_output(folder / "comparison.csv", table.encode(), remedy)
    for name, rows in (("scores.csv", tidy_values.scores), ("curves.csv", tidy_values.curves)):
        text = tidy_values.table(rows(comparison))
        write_output(folder / name, text.encode(), remedy)
    html = template().render(
        title=title,
        sentence=_sentence(comparison),
        in_short=paragraph(comparison, notes),
        status=_status(comparison),
        sections=arranged(sections),
        data_file="comparison.json",
        version=metadata.version("coplay"),
    )
    page = folder / "comparison.html"
    write_output(page, html.encode(), remedy)
    return page


def _status(comparison: Comparison) -> dict[str, str]:
    """Say in a word and in a sentence whether all runs are finished."""
    count = len(comparison.runs)
    done = sum(run.record.status == "finished" for run in comparison.runs.values())
    return {
        "word": "finished" if done == count else "unfinished",
        "text": f"{done} of {count} runs are finished.",
    }


def _sentence(comparison: Comparison) -> str:
    """Say how many runs with which seeds form how many arms."""
    seeds = sorted({run.record.seed for run in comparison.runs.values()})
    runs = _counted(len(comparison.runs), "run")
    arms = _counted(len(comparison.arms), "arm")
    noun = "seed" if len(seeds) == 1 else "seeds"
    keys = list(comparison.differences)
    apart = ""
    if len(keys) > _NAMED_KEYS:
        apart = f" that differ in {len(keys)} settings"
    elif keys:
        apart = f" that differ in {listed(keys)}"
    return f"{runs} with {noun} {listed(map(str, seeds))}, in {arms}{apart}."


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


# --------------------------------------------------------------------------------- sections


def _arms(comparison: Comparison, notes: Sequence[Caveat]) -> PageSection:
    """Show the settings that differ, and the caveats that concern all quantities."""
    rule = "Runs that differ only in their seed belong to one arm"
    text = [f"{rule}; every game of a run is an arm of its own."]
    tables = []
    if comparison.differences:
        tables.append(_differences(comparison))
    else:
        text.append("No value of the config differs but the seed.")
    names = _names(comparison)
    points = [whole(note.text, names) for note in notes if not note.quantities]
    return PageSection("arms", "What differs", text, tables, points=points)


def _differences(comparison: Comparison) -> Table:
    """Return the settings that differ, one column per arm of the config."""
    settings = list(dict.fromkeys(arm.settings for arm in comparison.arms))
    rows: list[list[Cell]] = []
    for key, values in comparison.differences.items():
        rows.append([key, *(_setting(values.get(label)) for label in settings)])
    caption = "Every value of the config that differs; what is not listed is the same in all runs."
    return Table(["key", *settings], rows, caption, numeric=False)


def _setting(value: Any) -> str:
    """Write a setting, cut where it is long."""
    if value is None:
        return "unset"
    text = str(value)
    return text if len(text) <= _LONGEST_SETTING else text[: _LONGEST_SETTING - 3] + "…"


def _names(comparison: Comparison) -> list[str]:
    """Return what notes may begin with that keeps its first letter."""
    return [*(arm.label for arm in comparison.arms), *map(str, comparison.runs)]


def _scores(comparison: Comparison, notes: Sequence[Caveat], by_player: bool) -> PageSection:
    title = "Scores"
    names = _names(comparison)
    missing = [whole(text, names) for text in tidy_values.missing(comparison)]
    if not comparison.quantities:
        text = ["Nothing was measured."]
        return PageSection("scores", title, text, points=missing, is_empty=not missing)
    tables = [score_table(comparison, notes)]
    if by_player:
        tables.append(score_table(comparison, notes, by_player=True))
    points = [f"* {whole(note.text, names)}" for note in notes if note.quantities]
    return PageSection("scores", title, tables=tables, points=[*points, *missing])


def _runs(comparison: Comparison) -> PageSection:
    """List every run that counts, and the versions it was made with."""
    rows: list[list[Cell]] = []
    for folder, run in comparison.runs.items():
        classifier = run.record.classifier
        accuracy = "none" if classifier is None else f"{classifier.accuracy:.1%}"
        rounds = listed(f"{len(play.rows)} ({words(game)})" for game, play in run.plays.items())
        record = run.record
        rows.append([folder, str(record.seed), record.status, rounds, record.data.name, accuracy])
    header = ["run", "seed", "status", "rounds", "data", "domain classifier right on"]
    tables = [Table(header, rows, numeric=False), _versions(comparison)]
    return PageSection("runs", "Runs", tables=tables)


def _versions(comparison: Comparison) -> Table:
    """List the versions that the runs were made with."""
    versions: dict[str, dict[str, None]] = {}
    for run in comparison.runs.values():
        for package, version in run.record.versions.items():
            versions.setdefault(package, {})[str(version)] = None
    rows: list[list[Cell]] = [[package, listed(texts)] for package, texts in versions.items()]
    return Table(["made with", "version"], rows, numeric=False)
