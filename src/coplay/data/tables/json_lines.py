"""Tables with one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coplay.core.errors import DataError
from coplay.data.tables.encodings import read_bytes
from coplay.data.tables.grid import ROWS_AT_ONCE, Grid
from coplay.data.words import counted, quoted


def read_json_lines(path: Path) -> Grid:
    """Read a table of JSON objects; numbers keep the digits that they are written with.

    Args:
        path: The file, gzipped if it ends in ``.gz``.

    Raises:
        DataError: A line is no object, or holds another one; the message names it.
    """
    rows: list[dict[str, str]] = []
    lines: list[int] = []
    names: dict[str, None] = {}
    blank = 0
    nested: dict[str, str] = {}
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            blank += 1
            continue
        row = {}
        for name, value in _object(path, number, line).items():
            row[name.strip()] = _text(name.strip(), value, nested)
        names |= dict.fromkeys(row)
        rows.append(row)
        lines.append(number)
    if not rows:
        raise DataError(f"{path}: expected one JSON object a line, got an empty file")
    grid = Grid(path, list(names))
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        columns = {name: [row.get(name, "") for row in part] for name in names}
        grid.add(columns, lines[start : start + ROWS_AT_ONCE])
    grid.refused |= nested
    if blank:
        grid.notes.append(f"{counted(blank, 'blank line')} left out")
    return grid


def _lines(path: Path) -> Sequence[str]:
    """Return the lines of a text in UTF-8."""
    content = read_bytes(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeError as error:
        line = content.count(b"\n", 0, getattr(error, "start", 0)) + 1
        raise DataError(f"{path}, line {line}: JSON is written in UTF-8, this is not") from error
    if text.lstrip().startswith("["):
        raise DataError(
            f"{path}: expected one JSON object a line, got a list; write it with "
            "pandas.DataFrame.to_json(orient='records', lines=True), or as CSV"
        )
    # the end of the last line is no blank line
    return text.removesuffix("\n").split("\n")


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    """Parse a line, numbers as the texts that they are."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len({key.strip() for key in values}) < len(pairs):
            raise ValueError("a key stands in it twice, but for spaces around it")
        return values

    try:
        value = json.loads(
            line,
            parse_int=str,
            parse_float=str,
            parse_constant=str,
            object_pairs_hook=unique,
        )
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}, line {number}: no JSON object ({error}); mend it") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}, line {number}: expected a JSON object, got {quoted(value)}")
    return value


def _text(name: str, value: Any, nested: dict[str, str]) -> str:
    """Return a value as text; lists and objects are remembered as what cannot be read."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    nested[name] = f"column {quoted(name)} holds lists or objects"
    return ""
