"""Tables: CSV and its relatives, JSON lines and Parquet, read from where they lie."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PositiveInt, field_validator, model_validator

from coplay.core.errors import DataError
from coplay.core.pace import Pace
from coplay.core.temporary import temporary_folder
from coplay.core.variable import Variable
from coplay.data.sources.base import LABEL, Dataset, Source, assemble, held_out, missing
from coplay.data.tables.agreed import (
    column_as,
    none_of,
    split_rows,
    typed_as,
    wanted_of,
    with_missing,
)
from coplay.data.tables.dates import Order
from coplay.data.tables.formats import ENDINGS, TextFormat, stem
from coplay.data.tables.found_marks import found_marks
from coplay.data.tables.making import kept_rows, label_faults, made_columns
from coplay.data.tables.notes import met_marks, spelled_two_ways, summary
from coplay.data.tables.reading import Rows, read_tables
from coplay.data.tables.remedies import Remedies
from coplay.data.tables.types import MISSING, Fault, Settings, Typed, typed, unmet_marks
from coplay.data.words import all_of, quoted, some


class Table(Source):
    """One table, or several with the same columns: CSV, TSV, JSON lines or Parquet.

    A column of numbers becomes a real variable, one of yes and no (or true and false) a binary one,
    one of few different texts a categorical one that keeps their names, and one of dates a real one
    in days. Columns of many different texts, or without content, are not read; a note names each
    with its reason. A cell that is no number in a column of numbers is an error with its line. Rows
    are never dropped and missing cells never filled unless a setting says so. Nothing is copied:
    the file is read from where it lies. Parquet needs ``pip install 'coplay[tables]'``.

    Args:
        file: Path of the table, or paths of several that follow each other. A path is a path:
            brackets and stars in it are ordinary characters. Text may be gzipped (``.csv.gz``).
        test_file: Path or paths of the rows to test on; without it some rows of ``file`` are held
            out.
        label_column: Column of the classes, of texts or whole numbers; None for data without.
        columns: Columns to read; None for all.
        without: Columns that are left out.
        categories: Columns that are categories even where they hold numbers or many texts.
        names: Names of the columns of a file without a line of names.
        separator: Between cells. It, the encoding, the marks in numbers and quotes are found where
            they are not set, and what was found is noted where it is not the usual.
        encoding: Of the characters of a text, such as ``latin-1``.
        decimal: Before the fraction of a number.
        thousands: Between thousands, such as ``,`` in 1,000; empty for none.
        quote: Around cells that hold separators; empty where quotes are ordinary characters.
        numbers: Columns whose whole numbers are amounts, where few or unlike ones would be taken
            for categories or names of rows.
        identifiers: Columns that name rows, and are left out.
        dates: Which comes first in dates such as 02/03/2024; found where a date shows it.
        missing_marks: Cells that stand for a missing value, beside empty ones, such as ``-999``.
            Where none are set they are NA, N/A, NaN, null, None and ?.
        missing: What becomes of rows with a missing cell: they are refused, or dropped and counted,
            or kept, where the variable may then be missing; classes may not. A variable that was
            agreed to be ``optional`` is kept in any case.
        test_share: Share of the rows that is held out for testing where there is no ``test_file``.
        limit: Read only the first so many rows of ``file`` and of ``test_file``.

    Example:
        >>> Table.tiny().load().space
        Space(dose: real scalar, ok: binary scalar, town: categorical of 2 scalar,
              class: categorical of 2 scalar)
    """

    file: str | tuple[str, ...] = Field(min_length=1)
    test_file: str | tuple[str, ...] | None = Field(default=None, min_length=1)
    label_column: str | None = None
    columns: tuple[str, ...] | None = Field(default=None, min_length=1)
    without: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    names: tuple[str, ...] | None = Field(default=None, min_length=1)
    separator: str | None = Field(default=None, min_length=1, max_length=1)
    encoding: str | None = None
    decimal: str | None = Field(default=None, min_length=1, max_length=1)
    thousands: str | None = Field(default=None, max_length=1)
    quote: str | None = Field(default=None, max_length=1)
    numbers: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    dates: Order | None = None
    missing_marks: tuple[str, ...] | None = None
    missing: Literal["refuse", "drop rows", "keep"] = "refuse"
    test_share: float = Field(default=0.2, gt=0, lt=1)
    limit: PositiveInt | None = None

    paths: ClassVar[tuple[str, ...]] = ("file", "test_file")

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str | None) -> str | None:
        if name is None:
            return None
        try:
            "".encode(codecs.lookup(name).name)
        except LookupError as error:
            raise ValueError(
                f"unknown encoding {name!r}; expected one such as utf-8, latin-1, cp1252 or utf-16"
            ) from error
        return name

    @model_validator(mode="after")
    def _marks_differ(self) -> Self:
        if self.decimal is not None and self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}; expected two marks")
        return self

    def load(self) -> Dataset:
        """Read the files, decide the types of all columns and convert them."""
        return self._load({}, None)

    def loaded_as(self, agreed: Mapping[str, Variable], unit: str | None = None) -> Dataset:
        """Read the columns that were agreed, as what they were agreed to be, and no others."""
        return self._load(agreed, unit)

    def _load(self, agreed: Mapping[str, Variable], unit: str | None) -> Dataset:
        paths, test_paths = paths_of(self.file), paths_of(self.test_file or ())
        for path in (*paths, *test_paths):
            if not path.is_file():
                raise _no_file(path)
        rows = read_tables(paths, test_paths, self.form, self.limit)
        data = self.of_rows(rows, stem(paths[0]), agreed, unit)
        rows.forget_cells(rows.names)
        return data

    def of_rows(
        self, rows: Rows, name: str, agreed: Mapping[str, Variable], unit: str | None
    ) -> Dataset:
        """Make a data set, called ``name``, of rows; they are as agreed, or else as cells say."""
        chosen = self._chosen(rows, unit, bool(agreed))
        settings, of_marks = self.reading_of(rows, chosen)
        if agreed:
            return self._loaded_as(rows, name, chosen, agreed, unit, settings, of_marks)
        columns, notes = self._typed(rows, chosen, settings)
        keeping = self._keeping(columns, {})
        kept, dropped = kept_rows(rows, columns, keeping, self.missing, settings)
        train, test = self._split(rows, kept)
        made, left_out = made_columns(rows, columns, train, test, settings, self.label_column)
        own_names = {name: name for name in made if name in columns}  # classes have another
        made |= with_missing(made, columns, own_names, train, test)
        if not set(made) - {LABEL}:
            reasons = "; ".join([*notes, *left_out]) or "there is no other column than the classes"
            raise DataError(f"{rows.title}: no column can be read as a variable: {reasons}")
        notes = [summary(rows, made, columns), *rows.notes(chosen), *of_marks, *notes]
        notes += [*left_out, *dropped]
        return self._noted(assemble(name, made, notes), rows, train, test, unit)

    def _loaded_as(
        self,
        rows: Rows,
        title: str,
        chosen: Sequence[str],
        agreed: Mapping[str, Variable],
        unit: str | None,
        settings: Settings,
        of_marks: Sequence[str],
    ) -> Dataset:
        """Convert the columns that were agreed, as what they were agreed to be."""
        wanted = wanted_of(chosen, agreed, self.label_column)
        if not wanted:
            raise DataError(f"{rows.title}: {none_of(agreed, rows.names)}")
        columns = typed_as(wanted, rows, settings, agreed)
        keeping = self._keeping(columns, agreed)
        kept, dropped = kept_rows(rows, columns, keeping, self.missing, settings)
        train, test = self._split(rows, kept)
        made = {}
        for name, key in wanted.items():
            made[key] = column_as(name, columns[name], agreed[key], train, test, rows.title)
            columns[name] = replace(columns[name], values=np.zeros(0))  # they are in the variable
        made |= with_missing(
            made, columns, {key: name for name, key in wanted.items()}, train, test
        )
        notes = [summary(rows, made, columns), *rows.notes(list(wanted)), *of_marks, *dropped]
        data = assemble(title, made, notes)
        unread = [name for name in rows.names if name not in wanted]
        return self._noted(replace(data, unread=unread), rows, train, test, unit)

    def _noted(
        self, data: Dataset, rows: Rows, train: np.ndarray, test: np.ndarray, unit: str | None
    ) -> Dataset:
        """Return the data with the lines and the units of their rows."""
        splits = split_rows(rows, train, test, unit)
        return replace(data, rows=splits, shares_rows=self.test_file is None)

    @property
    def form(self) -> TextFormat:
        """How the files are written."""
        return TextFormat(self.separator, self.encoding, self.quote, self.names)

    def reading_of(self, rows: Rows, columns: Sequence[str]) -> tuple[Settings, list[str]]:
        """Return how cells become values, and what was found of their marks.

        Args:
            rows: The table.
            columns: The columns that are read.
        """
        cells = {name: rows.cells[name] for name in columns if name not in rows.refused}
        marks, of_marks = found_marks(cells, self.decimal, self.thousands)
        settings = Settings(
            marks,
            MISSING if self.missing_marks is None else self.missing_marks,
            self.categories,
            self.numbers,
            self.identifiers,
            self.dates,
            remedies=self.remedies,
        )
        return settings, of_marks

    @property
    def remedies(self) -> Remedies:
        """What one can do about cells that cannot be read."""
        return Remedies()

    def _chosen(self, rows: Rows, unit: str | None, has_agreed: bool) -> list[str]:
        """Return the columns to read, the classes included and the units left out.

        Raises:
            DataError: A setting names a column that there is not.
        """
        settings = {
            "columns": self.columns or (),
            "without": self.without,
            "categories": self.categories,
            "numbers": self.numbers,
            "identifiers": self.identifiers,
            "label_column": (self.label_column,) if self.label_column is not None else (),
            "unit": (unit,) if unit is not None else (),
        }
        rows.check_names(settings)
        chosen = []
        for name in rows.names:
            is_chosen = self.columns is None or name in self.columns
            if name == unit:
                continue
            if name == self.label_column or (is_chosen and name not in self.without):
                chosen.append(name)
        if LABEL in chosen and self.label_column != LABEL and not has_agreed:
            raise DataError(
                f"{rows.title}: a column called {LABEL!r} must be the classes; set label_column = "
                f"{LABEL!r}, rename it, or leave it out with without = [{LABEL!r}]"
            )
        return chosen

    def _typed(
        self, rows: Rows, chosen: Sequence[str], settings: Settings
    ) -> tuple[dict[str, Typed], list[str]]:
        """Return the columns that can be read, and sentences on those that cannot.

        Raises:
            DataError: Cells are not what their column is; the message has a line for each column.
        """
        columns: dict[str, Typed] = {}
        notes: list[str] = []
        faults = list(rows.faults)
        left = [name for name in rows.names if name not in chosen]
        if left:
            listed = some([quoted(name) for name in left], 12)
            notes.append(f"left out by the settings columns and without: {listed}")
        pace = Pace(f"columns of {rows.title}", len(chosen))
        for place, name in enumerate(chosen):
            pace.at(place)
            refused = rows.refused.get(name)
            if refused is not None and name == self.label_column:
                faults.append(f"{rows.title}: label_column cannot be read: {refused}")
                continue
            if refused is not None:
                notes.append(f"not read: {refused}")
                continue
            column = typed(name, rows.cells[name], settings, name == self.label_column)
            if isinstance(column, Fault):
                faults.append(f"{rows.place(column.row)}, {column.text}")
            elif column.kind == "unread" and name != self.label_column:
                notes.append(f"not read: {column.reason}")
                rows.forget_cells([name])
            else:
                columns[name] = column
        label = self.label_column
        if label is not None and label not in rows.refused:
            faults += label_faults(rows, label, columns.get(label))
        if faults:
            raise DataError(all_of(faults, "faults") if rows.faults else all_of(faults))
        cells = {name: rows.cells[name] for name in columns}
        if self.missing_marks is None:
            notes += met_marks(cells, settings)
        elif unmet := unmet_marks(cells.values(), settings):
            notes.append(f"missing_marks: {', '.join(map(quoted, unmet))} stands in no cell")
        for name in columns:
            notes += spelled_two_ways(name, rows, columns[name])
        return columns, notes

    def _keeping(
        self, columns: Mapping[str, Typed], agreed: Mapping[str, Variable]
    ) -> Collection[str]:
        """Return the columns whose missing cells are kept; never that of the classes."""
        kept = {name for name in columns if name in agreed and agreed[name].optional}
        if self.missing == "keep":
            kept |= {name for name in columns if name not in agreed or agreed[name].optional}
        return kept - {self.label_column, LABEL}

    def _split(self, rows: Rows, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the places of the training and of the test rows."""
        places = np.flatnonzero(kept)
        if self.test_file is None:
            train, test = held_out(len(places), self.test_share, rows.title)
            return places[train.numpy()], places[test.numpy()]
        train_rows = places[places < rows.train_count]
        test_rows = places[places >= rows.train_count]
        for split, left in (("training", train_rows), ("test", test_rows)):
            if not len(left):
                raise DataError(f"{rows.title}: no complete row is left in the {split} split")
        return train_rows, test_rows

    @classmethod
    def tiny(cls) -> Self:
        """Write a few rows into a temporary file."""
        path = temporary_folder("table") / "wards.csv"
        lines = ["dose,ok,town,ward"]
        for i in range(24):
            lines.append(
                f"{i / 4},{('no', 'yes')[i % 3 > 0]},{('Ulm', 'Bonn')[i % 2]},{'ab'[i > 11]}"
            )
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return cls(file=str(path), label_column="ward")


def paths_of(files: str | tuple[str, ...]) -> list[Path]:
    """Return the paths of one file or of several."""
    listed = [files] if isinstance(files, str) else files
    return [Path(file).expanduser() for file in listed]


def _no_file(path: Path) -> DataError:
    """Return the error for a path that is no file."""
    if path.is_dir():
        return DataError(f"{path} is a folder; set file to a table in it ({', '.join(ENDINGS)})")
    return missing("file", path)
