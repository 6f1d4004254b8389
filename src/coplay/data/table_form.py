"""Samples written as the table was that they were learned from: names, order, marks, dates."""

from __future__ import annotations

import csv
import importlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from coplay.core.space import LABEL, Samples, Space, tensors
from coplay.core.text import cell
from coplay.core.variable import Variable
from coplay.data.sources.table import Table, paths_of
from coplay.data.tables.arrow_files import PACKED, as_bytes, schema_of
from coplay.data.tables.booleans import BITS
from coplay.data.tables.dates import DAYS, HOURS, DateForm
from coplay.data.tables.formats import ending
from coplay.data.tables.grid import Cells
from coplay.data.tables.numbers import Marks
from coplay.data.tables.reading import read_first
from coplay.data.tables.types import Settings, Typed, missing_among, typed

_MOST_DECIMALS = 17


@dataclass(frozen=True)
class ColumnForm:
    """How a column writes its values.

    Args:
        decimals: Digits behind the decimal mark that its numbers have at most; None where they
            have no form of their own, as those with exponents have none.
        dates: How it writes dates; None for no dates.
        words: What 0 and 1 are called; None for numbers.
        absent: What stands for a missing value.
    """

    decimals: int | None = None
    dates: DateForm | None = None
    words: tuple[str, str] | None = None
    absent: str = ""


@dataclass(frozen=True)
class TableForm:
    """How a table is written.

    Args:
        names: Its columns, in their order.
        columns: How each writes its values.
        variables: The variable that a column is, where their names differ.
        separator: Between cells.
        marks: Inside numbers.
        encoding: Of the characters.
        schema: Types of a Parquet or Arrow file's columns by pyarrow; None for a text.
    """

    names: Sequence[str]
    columns: Mapping[str, ColumnForm] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    separator: str = ","
    marks: Marks = field(default_factory=Marks)
    encoding: str = "utf-8"
    schema: Any = None

    def column_of(self, variable: str) -> str:
        """Return the column that a variable was."""
        names = {own: column for column, own in self.variables.items()}
        return names.get(variable, variable)

    def in_full(self) -> TableForm:
        """Return the form with all digits of numbers."""
        columns = {name: replace(form, decimals=None) for name, form in self.columns.items()}
        return replace(self, columns=columns)

    def order(self, variables: Sequence[str]) -> list[str]:
        """Return variables in the order of the table's columns, those that it lacks last."""
        place = {name: number for number, name in enumerate(self.names)}
        return sorted(variables, key=lambda name: place.get(self.column_of(name), len(place)))


def form_of_table(source: Table, columns: Mapping[str, str] | None = None) -> TableForm | None:
    """Read the first rows of a table for the form in which it is written.

    Args:
        source: The table.
        columns: Column by variable, where their names differ.

    Returns:
        The form; None where the file is not here.
    """
    path = paths_of(source.file)[0]
    if not path.is_file():
        return None
    rows = read_first(path, source.form)
    settings, _ = source.reading_of(rows, rows.names)
    variables = {column: variable for variable, column in (columns or {}).items()}
    if source.label_column is not None:
        variables.setdefault(source.label_column, LABEL)
    forms = {}
    for name in rows.names:
        if name not in rows.refused:
            forms[name] = _form(name, rows.cells[name], settings)
    return TableForm(
        rows.names,
        forms,
        variables,
        source.separator or rows.unusual.get("separator", ","),
        settings.marks,
        source.encoding or rows.unusual.get("encoding", "utf-8"),
        _schema(path),
    )


def _form(name: str, cells: Cells, settings: Settings) -> ColumnForm:
    """Return how a column writes its values."""
    counts = Counter(cells)
    marks = missing_among(counts, settings)
    absent = max(marks, key=lambda mark: counts[mark], default="")
    texts = Counter({text: count for text, count in counts.items() if text not in marks})
    column = typed(name, cells, settings)
    dates = column.dates if isinstance(column, Typed) else None
    return ColumnForm(_decimals(texts, settings.marks), dates, _words(texts), absent)


def _decimals(texts: Counter[str], marks: Marks) -> int | None:
    """Return the most digits behind a decimal mark; None where cells are no such numbers."""
    most = 0
    for text in texts:
        plain = marks.plain(text)
        if plain is None or "e" in plain.lower():
            return None
        most = max(most, len(plain.partition(".")[2]))
    return min(most, _MOST_DECIMALS) if texts else None


def _words(texts: Counter[str]) -> tuple[str, str] | None:
    """Return the commonest spelling of 0 and of 1; None where cells are other texts."""
    words = []
    for bit in BITS:
        mine = [text for text in texts if text.lower() in bit]
        if not mine:
            return None
        words.append(max(mine, key=lambda text: texts[text]))
    if any(text.lower() not in BITS[0] | BITS[1] for text in texts):
        return None
    return words[0], words[1]


def _schema(path: Path) -> Any:
    """Return the types of a Parquet or Arrow file; None for other files."""
    return schema_of(path) if ending(path) in PACKED else None


def cells_of(values: np.ndarray, variable: Variable, form: ColumnForm, marks: Marks) -> list[str]:
    """Write the values of a variable as the cells of its column.

    Args:
        values: Shape (n,).
        variable: What they are.
        form: How the column writes them.
        marks: The marks inside numbers.

    Example:
        >>> dose = Variable(kind="real")
        >>> cells_of(np.array([1.25, 1000.0]), dose, ColumnForm(decimals=1), Marks(",", "."))
        ['1,2', '1.000,0']
    """
    cells = []
    for value in values.tolist():
        is_absent = value != value or (variable.optional and value == variable.missing)
        cells.append(form.absent if is_absent else _cell(value, variable, form, marks))
    return cells


def _cell(value: float, variable: Variable, form: ColumnForm, marks: Marks) -> str:
    """Write one value that is not missing."""
    if variable.kind == "categorical":
        name = variable.class_names[int(value)]
        whole = name.removeprefix("-").isdecimal()
        if whole and form.decimals:
            return _number(float(name), form.decimals, marks)
        return name if whole else cell(name)
    if variable.kind == "binary":
        return form.words[int(value)] if form.words else str(int(value))
    if variable.unit in (DAYS, HOURS):
        usual = DateForm() if variable.unit == DAYS else DateForm("", has_seconds=True)
        return (form.dates or usual).write(value)
    if variable.kind == "count" or form.decimals is not None:
        return _number(value, form.decimals or 0, marks)
    return repr(value).replace(".", marks.decimal)


def _number(value: float, decimals: int, marks: Marks) -> str:
    text = f"{value:,.{decimals}f}" if marks.thousands else f"{value:.{decimals}f}"
    if text.strip("-0.,") == "":
        text = text.lstrip("-")
    swapped = text.replace(",", "\0").replace(".", marks.decimal)
    return swapped.replace("\0", marks.thousands)


def as_text(samples: Samples, space: Space, form: TableForm, separator: str | None = None) -> bytes:
    """Write samples as lines of cells, in the form of a table.

    Args:
        samples: The samples; all variables are numbers of one axis.
        space: Their variables.
        form: The form of the table.
        separator: Between cells; None for that of the table.
    """
    values = tensors(samples)
    names = form.order(list(values))
    columns = []
    for name in names:
        column = form.columns.get(form.column_of(name), ColumnForm())
        columns.append(cells_of(values[name].numpy(), space[name], column, form.marks))
    file = io.StringIO()
    writer = csv.writer(file, delimiter=separator or form.separator, lineterminator="\n")
    writer.writerow([cell(form.column_of(name)) for name in names])
    writer.writerows(zip(*columns, strict=True))
    try:
        return file.getvalue().encode(form.encoding.replace("utf-8-sig", "utf-8"))
    except UnicodeEncodeError:  # a category of another site's
        return file.getvalue().encode()


def as_packed(samples: Samples, space: Space, form: TableForm, kind: str) -> bytes:
    """Write samples as a file of Parquet or Arrow, with the types of the table if that has some.

    Args:
        samples: The samples; all variables are numbers of one axis.
        space: Their variables.
        form: The form of the table.
        kind: The ending of the file.
    """
    arrow: Any = importlib.import_module("pyarrow")
    values = tensors(samples)
    columns = {}
    for name in form.order(list(values)):
        column = form.column_of(name)
        own = form.columns.get(column, ColumnForm())
        column_type = None
        if form.schema is not None and column in form.schema.names:
            column_type = form.schema.field(column).type
        columns[column] = _arrow(arrow, values[name].numpy(), space[name], own, column_type)
    return as_bytes(arrow.table(columns), kind)


def _arrow(arrow: Any, values: np.ndarray, v: Variable, form: ColumnForm, kind: Any) -> Any:
    """Return a column of pyarrow, of the type that it had or else of the nearest that there is."""
    types = arrow.types
    absent = np.array([x != x or (v.optional and x == v.missing) for x in values.tolist()], bool)
    is_text = kind is not None and (types.is_string(kind) or types.is_large_string(kind))
    if is_text:  # a date that is written as a text stays one
        return arrow.array(cells_of(values, v, form, Marks()), kind, mask=absent)
    if v.unit == DAYS or v.unit == HOURS:
        ticks = values * (86_400_000_000 if v.unit == DAYS else 3_600_000_000)
        whole = np.where(absent, 0, np.rint(np.nan_to_num(ticks))).astype(np.int64)
        usual = arrow.timestamp("us") if v.unit == DAYS else arrow.time64("us")
        if form.dates is not None and form.dates.order and not form.dates.gap:
            whole = np.rint(whole / 86_400_000_000).astype(np.int64) * 86_400_000_000
            usual = arrow.timestamp("us") if kind is not None else arrow.date32()
            made = arrow.array(whole, arrow.timestamp("us"), mask=absent)
            return made.cast(kind if kind is not None else usual, safe=False)
        made = arrow.array(whole, usual, mask=absent)
        return made if kind is None else made.cast(kind, safe=False)
    if v.kind == "categorical" or (v.kind == "binary" and form.words and not _is_bool(form)):
        cells = cells_of(values, v, form, Marks())
        texts = arrow.array(cells, arrow.string(), mask=absent)
        if kind is not None and types.is_dictionary(kind):
            return texts.dictionary_encode()
        if kind is not None and not types.is_string(kind):
            return texts.cast(kind, safe=False)
        return texts
    if v.kind == "binary":
        bits = arrow.array(values == 1, arrow.bool_(), mask=absent)
        is_number = form.words == ("0", "1")
        return bits.cast(kind or (arrow.int64() if is_number else arrow.bool_()))
    is_whole = v.kind == "count" or form.decimals == 0
    is_whole = is_whole if kind is None else types.is_integer(kind)
    numbers = np.nan_to_num(values.astype(np.float64))
    if is_whole:
        numbers = np.rint(numbers)
    elif form.decimals is not None and kind is None:
        numbers = numbers.round(form.decimals)
    made = arrow.array(numbers, arrow.float64(), mask=absent)
    return made.cast(kind or (arrow.int64() if is_whole else arrow.float64()), safe=False)


def _is_bool(form: ColumnForm) -> bool:
    """Whether 0 and 1 are numbers, or the words of bools."""
    return form.words is None or tuple(map(str.lower, form.words)) in (
        ("false", "true"),
        ("0", "1"),
    )
