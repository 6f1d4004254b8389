"""What people leave in the sheets that they export: titles, totals, other forms of file."""

from __future__ import annotations

from pathlib import Path

from coplay.core.errors import DataError
from coplay.data.tables.encodings import opened
from coplay.data.tables.grid import Grid
from coplay.data.words import counted, quoted

_TOTALS = frozenset(
    ("total", "totals", "grand total", "subtotal", "sum", "summe", "gesamt", "average", "mean")
)
"""Cells of a last row that sums up the others."""

_FORMS = (
    (b"PK\x03\x04", "a workbook or another archive (zip); export the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; export the sheet as CSV"),
    (b"%PDF", "a PDF; export the table as CSV"),
    (b"PAR1", "Parquet; let its name end in .parquet"),
    (b"<!doctype", "a web page; export the table as CSV"),
    (b"<html", "a web page; export the table as CSV"),
    (b"<?xml", "XML; export the table as CSV"),
    (b"[{", "JSON; write a row a line, and let its name end in .jsonl"),
    (b'{"', "JSON; let its name end in .jsonl"),
)


def check_is_text(path: Path) -> None:
    """Refuse a file that is no text of lines, whatever its name says.

    Raises:
        DataError: It begins as another form of file does.
    """
    with opened(path) as stream:
        head = stream.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    for start, form in _FORMS:
        if head.lower().startswith(start.lower()):
            raise DataError(f"{path}: expected lines of cells, as in CSV, got {form}")


def totals_fault(grid: Grid) -> list[str]:
    """Name a last row that sums up the others."""
    for name, cells in grid.cells.items():
        last = cells.last()
        if last.rstrip(":").casefold() not in _TOTALS:
            continue
        if sum(part.count(last) for part in cells.parts()) == 1:
            return [
                f"{grid.place(len(grid) - 1)}, column {quoted(name)}: {quoted(last)} in the last "
                "row alone, which seems to sum up the others; remove the line"
            ]
    return []


def title_fault(grid: Grid, line: int, widths: list[int]) -> list[str]:
    """Name a first line that has fewer cells than all others, which are alike.

    Args:
        grid: The table, without any row where the widths are all unlike the first line's.
        line: Where the names of columns stand.
        widths: Cells of lines that have another number of them than the first.
    """
    if len(grid) or len(set(widths)) != 1 or widths[0] <= len(grid.names):
        return []
    return [
        f"{grid.path}, line {line}: {counted(len(grid.names), 'cell')} ({quoted(grid.names[0])} "
        f"first), and {widths[0]} in each line beneath, so that it seems to be a title; remove the "
        "lines above the names of the columns"
    ]


def alike_names(names: list[str]) -> list[str]:
    """Say which names of columns differ in capitals alone."""
    first: dict[str, str] = {}
    notes = []
    for name in names:
        other = first.setdefault(name.casefold(), name)
        if other != name:
            notes.append(
                f"columns {quoted(other)} and {quoted(name)} differ in capitals alone, and are two"
            )
    return notes
