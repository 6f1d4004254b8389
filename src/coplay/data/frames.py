"""Data in memory: frames of pandas, polars and pyarrow, arrays and tensors, and samples as those.

Columns are read as the columns of a table file are: numbers become real, bools binary, a few texts
categories, and dates days; identifiers and free text are left out, with a note.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coplay.core.errors import DataError
from coplay.core.space import LABEL
from coplay.core.variable import Variable
from coplay.data.column import Column
from coplay.data.sources.base import Dataset, assemble, held_out
from coplay.data.sources.memory import Memory, Missing
from coplay.data.sources.npz import Npz
from coplay.data.sources.table import Table
from coplay.data.tables.grid import Grid
from coplay.data.tables.reading import Rows
from coplay.data.tables.remedies import InMemory, Remedies
from coplay.data.tables.types import Settings
from coplay.data.words import quoted

_ONE = ("yes", "true", "y", "t")  # texts that stand for 1 in a column of two
_SHARE = 0.2  # a site splits its rows anew; this one is never used

_EXPECTED = (
    "expected a frame of pandas, polars or pyarrow, a dictionary of arrays, a pair (X, y) of "
    "arrays, or a coplay Dataset"
)


@dataclass(frozen=True)
class Given:
    """Data in memory as coplay reads them.

    Args:
        data: The rows.
        source: What they were.
    """

    data: Dataset
    source: Memory


@dataclass(frozen=True)
class _Reading:
    """How columns are read; the words are those of :func:`given_by`."""

    agreed: Mapping[str, Variable]
    unit: str | None
    categories: tuple[str, ...]
    missing: Missing


def given_by(
    site: str,
    data: Any,
    agreed: Mapping[str, Variable] | None = None,
    unit: str | None = None,
    categories: Sequence[str] = (),
    missing: Missing = "refuse",
) -> Given:
    """Read the data of a site that are in memory.

    Args:
        site: The site's name.
        data: A frame, arrays by name, a pair (X, y), or a data set.
        agreed: What columns were agreed to be; None where their cells decide.
        unit: Column that names what a row belongs to; it is no variable.
        categories: Columns that are categories even where they hold numbers.
        missing: What becomes of rows with a missing value, as of those of a table file.

    Raises:
        DataError: They are something else, or cannot be read; the message names site, column and
            row.

    Example:
        >>> given = given_by("north", {"dose": [0.5, 1.0, 1.5], "ok": [True, False, True]})
        >>> given.data.space
        Space(dose: real scalar, ok: binary scalar)
    """
    title = f"data of '{site}'"
    if isinstance(data, Dataset):
        return Given(data, Memory(form="dataset").holding(data))
    reading = _Reading(agreed or {}, unit, tuple(categories), missing)
    if isinstance(data, Mapping):
        _check_names(title, list(data))
        columns = {name: _array(values) for name, values in data.items()}
        return _of_arrays(title, "arrays", columns, reading)
    if isinstance(data, tuple) and len(data) == 2:
        return _of_arrays(title, "pair", _of_pair(title, *data), reading)
    return _of_frame(title, data, reading)


def _of_frame(title: str, data: Any, reading: _Reading) -> Given:
    """Read a frame."""
    import narwhals as nw
    from narwhals.exceptions import DuplicateError

    try:
        frame = nw.from_native(data, eager_only=True)
    except DuplicateError as error:
        listed = " ".join(str(error).split())
        raise DataError(f"{title}: give every column a name of its own: {listed}") from error
    except TypeError as error:
        hint = "; read the file first, such as with pandas.read_csv" if _is_path(data) else ""
        raise DataError(f"{title}: {_EXPECTED}; got {type(data).__name__}{hint}") from error
    form = str(frame.implementation)
    if form not in ("pandas", "polars", "pyarrow"):
        raise DataError(f"{title}: {_EXPECTED}; got a frame of {form}")
    names = list(frame.columns)
    _check_names(title, names)
    grid = Grid(Path(title), [name.strip() for name in names], "row")
    dtypes = {}
    cells = {}
    for name in names:
        column = frame[name]
        native = column.to_native()
        dtypes[name.strip()] = _dtype_of(native) if form == "pandas" else str(column.dtype)
        values = column.to_list()
        reason = _unreadable(name, column.dtype, values)
        if reason:
            grid.refused[name.strip()] = reason
        cells[name.strip()] = [""] * len(values) if reason else _texts(values)
    rows = _rows(title, grid, cells)
    return _of_rows(title, form, rows, cells, dtypes, {}, reading)


def _is_path(data: Any) -> bool:
    return isinstance(data, str | Path)


def _check_names(title: str, names: Sequence[Any]) -> None:
    """Refuse names such as 1, which could be meant as another one than the text."""
    odd = [name for name in names if not isinstance(name, str)]
    if odd:
        raise DataError(f"{title}: expected names of columns that are texts, got {odd[0]!r}")


def _dtype_of(column: Any) -> str:
    """Write the type of a column of pandas, and of its categories where these are numbers."""
    categories = getattr(column.dtype, "categories", None)
    if categories is None or categories.dtype.kind not in "iuf":
        return str(column.dtype)
    return f"category of {categories.dtype}"


def _of_arrays(title: str, form: str, arrays: Mapping[str, np.ndarray], reading: _Reading) -> Given:
    """Read arrays: those of one axis as the columns of a table, others as an ``.npz`` file's."""
    if not arrays:
        raise DataError(f"{title}: {_EXPECTED}; got no array")
    lengths = {name: len(values) if values.ndim else 0 for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{length:,} of {quoted(name)}" for name, length in lengths.items())
        raise DataError(f"{title}: expected as many rows in every array, got {listed}")
    dtypes = {name: str(values.dtype) for name, values in arrays.items()}
    flat = {name: values for name, values in arrays.items() if values.ndim == 1}
    if list(flat) == [LABEL]:  # classes beside images are no table
        flat = {}
    deep = {name: values for name, values in arrays.items() if name not in flat}
    n = next(iter(lengths.values()))
    made: dict[str, Column] = {}
    for name, values in deep.items():
        _check_finite(title, name, values)
        train, test = (places.numpy() for places in held_out(n, _SHARE, title))
        origin = f"{title}, array {quoted(name)}"
        reader = Npz(file=title, grey=values.dtype.kind == "f")
        made[name] = reader._column(name, values[train], values[test], origin, ())
    if not flat:
        data = replace(assemble(title, made), shares_rows=True)
        return Given(data, Memory.model_validate({"form": form, "dtypes": dtypes}).holding(data))
    grid = Grid(Path(title), list(flat), "row")
    cells = {name: _texts(values.tolist()) for name, values in flat.items()}
    rows = _rows(title, grid, cells)
    return _of_rows(title, form, rows, cells, dtypes, made, reading)


def _check_finite(title: str, name: str, values: np.ndarray) -> None:
    """Refuse missing values in arrays with more than one axis, whose rows are not looked at."""
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    bad = ~np.isfinite(values)
    first = int(np.flatnonzero(bad.reshape(len(values), -1).any(1))[0])
    raise DataError(
        f"{title}, row {first}, array {quoted(name)}: expected finite values, got "
        f"{int(bad.sum()):,} NaN or infinite ones; leave these rows out of every array, or give "
        "columns as arrays of one axis each, whose rows play(…, missing=…) drops or keeps"
    )


def _of_pair(title: str, x: Any, y: Any) -> dict[str, np.ndarray]:
    """Return the arrays of a pair (X, y) by name."""
    values, labels = _array(x), _array(y)
    if labels.ndim != 1 or values.ndim < 2:
        raise DataError(
            f"{title}: expected a pair of X, with a row a sample, and y, with one axis; got the "
            f"shapes {values.shape} and {labels.shape}"
        )
    arrays = {}
    if values.ndim == 2:
        for place in range(values.shape[1]):
            arrays[f"x{place}"] = values[:, place]
    else:
        arrays["image"] = values
    is_number = labels.dtype.kind == "f" and bool((labels != np.trunc(labels)).any())
    arrays["y" if is_number else LABEL] = labels
    return arrays


def _rows(title: str, grid: Grid, cells: Mapping[str, Sequence[str]]) -> Rows:
    """Return the rows of a table as text."""
    n = len(next(iter(cells.values()), ()))
    if not n:
        raise DataError(f"{title}: expected rows, got none")
    grid.add(cells, range(n))
    return Rows([grid], n)


def _of_rows(
    title: str,
    form: str,
    rows: Rows,
    cells: Mapping[str, Sequence[str]],
    dtypes: Mapping[str, str],
    others: Mapping[str, Column],
    reading: _Reading,
) -> Given:
    """Make a data set of the rows of a table, and of arrays with more axes beside it."""
    chosen = tuple(name for name in reading.categories if name in rows.names)
    label = LABEL if LABEL in rows.names else None
    reader = _TableInMemory(
        file=title, label_column=label, categories=chosen, missing=reading.missing
    )
    wanted = {name: each for name, each in reading.agreed.items() if name in rows.names}
    data = reader.of_rows(rows, title, wanted, reading.unit)
    if others:
        _check_whole(data, len(rows), others, title)
        data = _with_others(data, others)
    words = {}
    for name in data.space:
        texts = sorted({cell for cell in cells.get(name, ()) if cell})
        if data.space[name].kind == "binary" and len(texts) == 2:
            first, second = texts
            words[name] = (second, first) if first.lower() in _ONE else (first, second)
    source = Memory.model_validate(
        {"form": form, "dtypes": dict(dtypes), "words": words, "missing": reading.missing}
    )
    return Given(data, source.holding(data))


class _TableInMemory(Table):
    """Reads rows that are in memory, about which one can do other things than about a file's."""

    def reading_of(self, rows: Rows, columns: Sequence[str]) -> tuple[Settings, list[str]]:
        """Return how cells become values: a frame has a type for categories, and says so."""
        settings, of_marks = super().reading_of(rows, columns)
        return replace(settings, finds_categories=False), of_marks

    @property
    def remedies(self) -> Remedies:
        """What one can do about cells that cannot be read, in Python."""
        return InMemory()


def _check_whole(data: Dataset, n: int, others: Mapping[str, Column], title: str) -> None:
    """Refuse rows that were left out beside arrays that still have them."""
    left_out = n - len(data.train) - len(data.test)
    if left_out:
        raise DataError(
            f"{title}: {left_out:,} of {n:,} rows have missing values and are left out, but "
            f"{', '.join(map(quoted, others))} would keep them; leave them out of every array"
        )


def _with_others(data: Dataset, others: Mapping[str, Column]) -> Dataset:
    """Return a data set with further columns, whose rows were split in the same way."""
    columns = dict(others)
    for name in data.space:
        columns[name] = Column(data.space[name], data.train[name], data.test[name])
    whole = assemble(data.name, columns, data.notes)
    return replace(whole, rows=data.rows, shares_rows=True, unread=data.unread)


def with_common_words(sites: Mapping[str, Given]) -> dict[str, Given]:
    """Let sites whose rows hold one of two texts, such as yes, take both from another site."""
    words: dict[str, tuple[str, str]] = {}
    for given in sites.values():
        words = given.source.words | words
    result = {}
    for site, given in sites.items():
        known = dict(given.source.words)
        for name, pair in words.items():
            if _holds_words(given, name):
                known.setdefault(name, pair)
        source = given.source.model_copy(update={"words": known})
        result[site] = Given(given.data, source.holding(given.data))
    return result


def _holds_words(given: Given, name: str) -> bool:
    """Whether a column of no and yes holds them as texts."""
    space = given.data.space
    if name not in space or space[name].kind != "binary":
        return False
    dtype = given.source.dtypes.get(name, "bool").lower()
    return not dtype.startswith(("bool", "int", "uint", "float"))


def _array(values: Any) -> np.ndarray:
    """Return an array, tensor or list as an array."""
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy()
    return np.asarray(values)


def _unreadable(name: str, dtype: Any, values: Sequence[Any]) -> str:
    """Say why a column of a frame cannot be read; empty if it can."""
    if str(dtype).startswith("Duration"):
        return f"column {quoted(name)} holds durations"
    if dtype.is_nested() or any(isinstance(value, (list, dict, bytes)) for value in values[:100]):
        return f"column {quoted(name)} has the type {dtype}"
    return ""


def _texts(values: Sequence[Any]) -> list[str]:
    """Write values as the cells of a table; missing ones are empty."""
    return [_text(value) for value in values]


def _text(value: Any) -> str:
    # pandas' NA is neither equal to itself nor unequal
    if value is None or type(value).__name__ in ("NAType", "NaTType") or value != value:
        return ""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return repr(value)
    return str(value).replace("\0", " ")
