"""The tables that the command line prints, as wide as the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import rich.table
from rich.console import Console
from rich.text import Text

from coplay.cli import run_table
from coplay.comparison.arms import Comparison
from coplay.comparison.caveats import caveats
from coplay.comparison.tables import cost_tables, score_table
from coplay.core.components import find, names
from coplay.core.plugins import plugins
from coplay.core.text import visible
from coplay.report import formulas
from coplay.report.parts import Table
from coplay.run.result import Result


def terminal() -> Console:
    """Return the terminal; it has 120 columns if the output goes elsewhere."""
    return Console(width=None if sys.stdout.isatty() else 120)


def plain(value: object) -> Text:
    """Return a text that rich prints as it is, without markup, emoji, colours or controls.

    Example:
        >>> plain("MNIST [/data/mnist] :smile:").plain
        'MNIST [/data/mnist] :smile:'
    """
    return Text(visible(str(value), lines=False))


def print_run(result: Result) -> None:
    """Print a run's table of scores, and what a reader of it must know."""
    console = terminal()
    scores, left_out = run_table.fitted(run_table.table(result), console.width)
    console.print(plain(result.record.title), style="italic bold", soft_wrap=True)
    shown = rich.table.Table()
    for title, width in zip(scores.header, _widths(scores, console.width), strict=True):
        shown.add_column(
            plain(title),
            justify="left" if title in ("player", "model", "game") else "right",
            overflow="fold",
            width=width,
        )
    for row in scores.rows:
        shown.add_row(*(plain(cell) for cell in row))
    console.print(shown)
    notes = []
    if left_out:
        notes.append(f"measured too, and in the report: {', '.join(left_out)}")
    for note in [*notes, *run_table.notes(result), *formulas.sentences(result)]:
        console.print(plain(note))


def _widths(scores: Table, width: int) -> list[int] | list[None]:
    """Widths of columns, so that headings are folded before numbers; None leaves it to rich."""
    needs = run_table.widths(scores)
    whole = [max(len(title), need) for title, need in zip(scores.header, needs, strict=True)]
    if run_table.printed_width(whole) > width >= run_table.printed_width(needs):
        return needs
    return [None] * len(needs)


def print_comparison(comparison: Comparison, by_player: bool) -> None:
    """Print the scores and the costs of arms, and what cannot be compared.

    Args:
        comparison: The arms.
        by_player: Whether scores of every player are printed too.
    """
    console = terminal()
    notes = caveats(comparison)
    tables = []
    if comparison.quantities:
        tables.append(score_table(comparison, notes))
        if by_player:
            tables.append(score_table(comparison, notes, by_player=True))
    else:
        console.print(plain("nothing was measured"))
    for table in [*tables, *cost_tables(comparison)]:
        for part in folded(table, console.width):
            console.print(part)
        console.print(plain(table.caption), style="dim")
    for note in notes:
        star = "* " if note.quantities else ""
        console.print(plain(f"{star}{note.text}"))


def print_components(kind: str) -> None:
    """Print all components of a kind with their settings."""
    components = names(kind)
    declared = plugins(kind)
    shown = [*components, *(plugin.name for plugin in declared)]
    table = rich.table.Table(
        title=f"{kind}s",
        title_justify="left",
        title_style="bold",
        expand=True,
    )
    table.add_column("name", no_wrap=True, width=max(map(len, shown)))
    table.add_column("what it is", ratio=1, overflow="fold")
    table.add_column("settings", ratio=1, overflow="fold")
    for name in components:
        cls = find(kind, name)
        summary, *_ = (cls.__doc__ or "").split("\n")
        settings = ", ".join(_settings(cls))
        table.add_row(plain(name), plain(summary.replace("``", "")), plain(settings))
    for plugin in declared:
        table.add_row(plain(plugin.name), plain(plugin.title), "")
    Console().print(table)


def _settings(cls: Any) -> list[str]:
    """Write the settings of a component, each with its default if it has one."""
    settings = []
    for key, field in getattr(cls, "model_fields", {}).items():
        if field.is_required():
            settings.append(key)
        else:
            settings.append(f"{key}={field.get_default(call_default_factory=True)!r}")
    return settings


def folded(table: Table, width: int) -> list[rich.table.Table]:
    """Split a table into several that fit a line, without cutting a number.

    Each has the first column and as many others as fit.

    Args:
        table: Any table.
        width: Characters of a line.
    """
    columns = []
    for place in range(len(table.header)):
        columns.append([visible(str(row[place]), lines=False) for row in table.rows])
    longest = max(map(len, [table.header[0], *columns[0]]))
    first = min(longest, max(16, width // 3))
    widths = []
    for title, column in zip(table.header, columns, strict=True):
        widths.append(max(map(len, [*title.split(), *column])))
    tables = []
    for places in _groups(widths, width - first - 4):
        part = rich.table.Table()
        part.add_column(plain(table.header[0]), overflow="fold", width=first)
        for place in places:
            part.add_column(plain(table.header[place]), justify="right", width=widths[place])
        for row in range(len(table.rows)):
            part.add_row(*(plain(columns[place][row]) for place in [0, *places]))
        tables.append(part)
    return tables


def _groups(widths: Sequence[int], room: int) -> list[list[int]]:
    """Group the columns after the first so that each group fits, at least one column in each."""
    groups: list[list[int]] = []
    for place in range(1, len(widths)):
        if groups and sum(widths[p] + 3 for p in [*groups[-1], place]) <= room:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups
