"""Tables in Parquet and Arrow files, by pyarrow: every column as text, for one reader of all."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from coplay.core.errors import DataError
from coplay.data.tables.grid import ROWS_AT_ONCE, Grid
from coplay.data.words import quoted

_UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


def read_parquet(path: Path) -> Grid:
    """Read a local Parquet file.

    Empty cells and NaN, which pandas writes for them, are missing.

    Args:
        path: The file.

    Raises:
        DataError: It is none, or pyarrow is not installed.
    """
    parquet = _package("pyarrow.parquet")
    try:
        with path.open("rb") as stream:  # a path given as a text could be taken for a pattern
            file = parquet.ParquetFile(stream)
            return _read(path, file.schema_arrow, file.iter_batches(ROWS_AT_ONCE))
    except DataError:
        raise
    except Exception as error:  # pyarrow has many errors of its own
        reason = _first_line(error)
        raise DataError(f"{path} is no Parquet file, or is damaged ({reason})") from error


def read_arrow(path: Path) -> Grid:
    """Read a local file of Arrow, as Feather's second version is: of the form for files or streams.

    Args:
        path: The file.

    Raises:
        DataError: It is none, or pyarrow is not installed.
    """
    ipc = _package("pyarrow.ipc")
    try:
        with path.open("rb") as stream:
            is_file = stream.read(len(_MAGIC)) == _MAGIC
            stream.seek(0)
            reader = ipc.open_file(stream) if is_file else ipc.open_stream(stream)
            return _read(path, reader.schema, _batches(reader, is_file))
    except DataError:
        raise
    except Exception as error:  # pyarrow has many errors of its own
        reason = _first_line(error)
        raise DataError(f"{path} is no file of Arrow, or is damaged ({reason})") from error


_MAGIC = b"ARROW1"


def _batches(reader: Any, is_file: bool) -> Iterator[Any]:
    """The rows of a file of Arrow, some thousand at a time."""
    whole = map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader
    for batch in whole:
        for start in range(0, batch.num_rows, ROWS_AT_ONCE):
            yield batch.slice(start, ROWS_AT_ONCE)


def _package(name: str) -> Any:
    """Import a part of pyarrow.

    Raises:
        DataError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DataError(
            f"files of Parquet and Arrow need the package pyarrow ({error}); "
            "pip install 'coplay[tables]'"
        ) from error


def _read(path: Path, schema: Any, batches: Iterable[Any]) -> Grid:
    """Read a file that is open."""
    grid = Grid(path, [name.strip() for name in schema.names], "row")
    readable = []
    for name, kind in zip(schema.names, schema.types, strict=True):
        reason = _unreadable(name, kind)
        if reason:
            grid.refused[name.strip()] = reason
            continue
        readable.append(name)
        if _package("pyarrow").types.is_duration(kind):
            grid.notes.append(
                f"column {quoted(name)} holds durations, read as numbers of {_UNITS[kind.unit]}"
            )
    first = 1
    for batch in batches:
        if not batch.num_rows:
            continue
        columns = {}
        for name in schema.names:
            cells = [""] * batch.num_rows
            if name in readable:
                cells = _texts(batch.column(schema.names.index(name)))
            columns[name.strip()] = cells
        grid.add(columns, range(first, first + batch.num_rows))
        first += batch.num_rows
    if not len(grid):
        raise DataError(f"{path}: expected rows, got none")
    return grid


def _unreadable(name: str, kind: Any) -> str:
    """Say why a column cannot be read; empty if it can."""
    types = _package("pyarrow").types
    if name.startswith("__index_level_"):
        return f"column {quoted(name)} is the index that pandas wrote"
    if types.is_dictionary(kind):
        kind = kind.value_type
    known = (
        types.is_boolean,
        types.is_integer,
        types.is_floating,
        types.is_decimal,
        types.is_string,
        types.is_large_string,
        types.is_temporal,
        types.is_null,
    )
    if any(fits(kind) for fits in known):
        return ""
    return f"column {quoted(name)} has the type {kind}"


def _texts(values: Any) -> list[str]:
    """Write the values of a column as texts; missing ones are empty."""
    arrow = _package("pyarrow")
    types = arrow.types
    if types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if types.is_null(values.type):
        return [""] * len(values)
    may_be_nan = types.is_floating(values.type)
    if types.is_float16(values.type):
        values = values.cast(arrow.float32())
    texts = values.cast(arrow.string()).to_pylist()
    empty = (None, "nan") if may_be_nan else (None,)
    return ["" if text in empty else text for text in texts]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
