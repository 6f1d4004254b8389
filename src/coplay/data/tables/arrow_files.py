"""Tables of Parquet and Arrow written whole, or again with some of their cells filled."""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coplay.core.errors import DataError
from coplay.data.tables.formats import ending
from coplay.data.words import quoted

PACKED = (".parquet", ".feather", ".arrow")
"""Endings of tables that know the types of their columns."""

_MAGIC = b"ARROW1"
"""What an Arrow file begins with, and a stream of Arrow does not."""


def is_stream(path: Path) -> bool:
    """Whether an Arrow file has the form of a stream."""
    with path.open("rb") as file:
        return ending(path) != ".parquet" and file.read(len(_MAGIC)) != _MAGIC


def schema_of(path: Path) -> Any:
    """Return the types of a table's columns, by pyarrow."""
    with path.open("rb") as file:
        if ending(path) == ".parquet":
            return importlib.import_module("pyarrow.parquet").ParquetFile(file).schema_arrow
        ipc = importlib.import_module("pyarrow.ipc")
        return (ipc.open_stream(file) if is_stream(path) else ipc.open_file(file)).schema


def whole(path: Path) -> Any:
    """Return a table with all of its rows, by pyarrow."""
    with path.open("rb") as file:
        if ending(path) == ".parquet":
            return importlib.import_module("pyarrow.parquet").read_table(file)
        ipc = importlib.import_module("pyarrow.ipc")
        return (ipc.open_stream(file) if is_stream(path) else ipc.open_file(file)).read_all()


def as_bytes(table: Any, kind: str, stream: bool = False) -> bytes:
    """Write a table of pyarrow.

    Args:
        table: The table.
        kind: The ending of its file.
        stream: Whether an Arrow file has the form of a stream.
    """
    file = io.BytesIO()
    if kind == ".parquet":
        importlib.import_module("pyarrow.parquet").write_table(table, file)
        return file.getvalue()
    ipc: Any = importlib.import_module("pyarrow.ipc")
    new = ipc.new_stream if stream else ipc.new_file
    with new(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


def with_cells(table: Any, new: Mapping[int, Mapping[int, str]], path: Path) -> tuple[Any, int]:
    """Fill cells of a table; all others, and the types of its columns, stay.

    Args:
        table: The table, by pyarrow.
        new: By the number of a row, from 1, by the place of a column, the new cell.
        path: What errors call it.

    Returns:
        The table, and how many cells were filled.

    Raises:
        DataError: A new cell cannot be one of its column's type.
    """
    by_column: dict[int, dict[int, str]] = {}
    for row, cells in new.items():
        for place, text in cells.items():
            by_column.setdefault(place, {})[row - 1] = text
    for place, texts in by_column.items():
        field = table.schema.field(place)
        try:
            column = _filled(table.column(place), texts)
        except Exception as error:  # pyarrow has many errors of its own
            row = min(texts) + 1
            raise DataError(
                f"{path}, row {row}, column {quoted(field.name)}: {quoted(texts[row - 1])} cannot "
                f"be stored as {field.type}, which the column is ({error})"
            ) from error
        table = table.set_column(place, field.with_type(column.type), column)
    return table, sum(map(len, by_column.values()))


def _filled(column: Any, texts: Mapping[int, str]) -> Any:
    """Return a column with new cells in some rows."""
    arrow: Any = importlib.import_module("pyarrow")
    compute: Any = importlib.import_module("pyarrow.compute")
    types = arrow.types
    kind = column.type
    if types.is_dictionary(kind):
        plain = compute.cast(column, kind.value_type)
        return _filled(plain, texts).dictionary_encode()
    rows = sorted(texts)
    cells = arrow.array([texts[row] for row in rows], arrow.string())
    if types.is_null(kind):  # a column without any value has no type of its own
        kind = _type_of(cells)
        column = column.cast(kind)
    if types.is_integer(kind):  # a level or a number that is whole
        cells = compute.round(cells.cast(arrow.float64()))
    elif types.is_timestamp(kind) and kind.tz is not None:  # dates are read in UTC
        cells = cells.cast(arrow.timestamp(kind.unit))
    is_new = [False] * len(column)
    for row in rows:
        is_new[row] = True
    mask = arrow.array(is_new, arrow.bool_())
    flat = column.combine_chunks()
    flat = arrow.concat_arrays(flat.chunks) if isinstance(flat, arrow.ChunkedArray) else flat
    return compute.replace_with_mask(flat, mask, cells.cast(kind))


def _type_of(cells: Any) -> Any:
    """Return the type of new cells: numbers, or else texts."""
    arrow: Any = importlib.import_module("pyarrow")
    try:
        cells.cast(arrow.float64())
    except arrow.ArrowInvalid:
        return arrow.string()
    return arrow.float64()
