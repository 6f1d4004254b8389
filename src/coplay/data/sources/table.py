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
from coplay.core.temporary import temporary_folder
from coplay.core.variable import Variable
from coplay.data.classes import coded_column
from coplay.data.column import Column, array_column, real_column
from coplay.data.sources.base import (
    LABEL,
    Dataset,
    Source,
    assemble,
    held_out,
    missing,
)
from coplay.data.tables.agreed import (
    column_as,
    none_of,
    split_rows,
    typed_as,
    wanted_of,
    with_missing,
)
from coplay.data.tables.formats import ENDINGS, TextFormat, stem
from coplay.data.tables.notes import marks_as_categories, number_notes, summary
from coplay.data.tables.numbers import Marks
from coplay.data.tables.reading import Rows, read_tables
from coplay.data.tables.types import Fault, Settings, Typed, typed, unmet_marks
from coplay.data.words import all_of, counted, quoted, some


class Table(Source):
    """One table, or several with the same columns: CSV, TSV, JSON lines or Parquet.

    A column of numbers becomes a real variable, one of yes and no (or true and false) a binary one,
    and one of few different texts a categorical one that keeps their names. Columns of dates, of
    many different texts, or without content are not read; a note names each with its reason. A cell
    that is no number in a column of numbers is an error with its line. Rows are never dropped and
    missing cells never filled unless a setting says so. Nothing is copied: the file is read from
    where it lies. Parquet needs ``pip install 'coplay[tables]'``.

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
        separator: Between cells; without it a comma, or a tab in ``.tsv``.
        encoding: Of the characters of a text, such as ``latin-1``.
        decimal: Before the fraction of a number.
        thousands: Between thousands, such as ``,`` in 1,000; empty for none.
        quote: Around cells that hold separators; empty where quotes are ordinary characters.
        missing_marks: Cells that stand for a missing value, beside empty ones, such as ``NA``.
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
    encoding: str = "utf-8"
    decimal: str = Field(default=".", min_length=1, max_length=1)
    thousands: str = Field(default="", max_length=1)
    quote: str = Field(default='"', max_length=1)
    missing_marks: tuple[str, ...] = ()
    missing: Literal["refuse", "drop rows", "keep"] = "refuse"
    test_share: float = Field(default=0.2, gt=0, lt=1)
    limit: PositiveInt | None = None

    paths: ClassVar[tuple[str, ...]] = ("file", "test_file")

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str) -> str:
        try:
            "".encode(codecs.lookup(name).name)
        except LookupError as error:
            raise ValueError(
                f"unknown encoding {name!r}; expected one such as utf-8, latin-1, cp1252 or utf-16"
            ) from error
        return name

    @model_validator(mode="after")
    def _marks_differ(self) -> Self:
        if self.decimal == self.thousands:
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
        return self.of_rows(rows, stem(paths[0]), agreed, unit)

    def of_rows(
        self, rows: Rows, name: str, agreed: Mapping[str, Variable], unit: str | None
    ) -> Dataset:
        """Make a data set, called ``name``, of rows; they are as agreed, or else as cells say."""
        chosen = self._chosen(rows, unit, bool(agreed))
        if agreed:
            return self._loaded_as(rows, name, chosen, agreed, unit)
        columns, notes = self._typed(rows, chosen)
        kept, dropped = self._kept(rows, columns, self._keeping(columns, {}))
        train, test = self._split(rows, kept)
        made, left_out = self._columns(rows, columns, train, test)
        own_names = {name: name for name in made if name in columns}  # classes have another
        made |= with_missing(made, columns, own_names, train, test)
        if not set(made) - {LABEL}:
            reasons = "; ".join([*notes, *left_out]) or "there is no other column than the classes"
            raise DataError(f"{rows.title}: no column can be read as a variable: {reasons}")
        notes = [summary(rows, made), *rows.notes(chosen), *notes, *left_out, *dropped]
        return self._noted(assemble(name, made, notes), rows, train, test, unit)

    def _loaded_as(
        self,
        rows: Rows,
        title: str,
        chosen: Sequence[str],
        agreed: Mapping[str, Variable],
        unit: str | None,
    ) -> Dataset:
        """Convert the columns that were agreed, as what they were agreed to be."""
        wanted = wanted_of(chosen, agreed, self.label_column)
        if not wanted:
            raise DataError(f"{rows.title}: {none_of(agreed, rows.names)}")
        columns = typed_as(wanted, rows, self.reading, agreed)
        kept, dropped = self._kept(rows, columns, self._keeping(columns, agreed))
        train, test = self._split(rows, kept)
        made = {}
        for name, key in wanted.items():
            made[key] = column_as(name, columns[name], agreed[key], train, test, rows.title)
        made |= with_missing(
            made, columns, {key: name for name, key in wanted.items()}, train, test
        )
        notes = [summary(rows, made), *rows.notes(list(wanted)), *dropped]
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

    @property
    def reading(self) -> Settings:
        """How cells become values."""
        return Settings(Marks(self.decimal, self.thousands), self.missing_marks, self.categories)

    def _chosen(self, rows: Rows, unit: str | None, has_agreed: bool) -> list[str]:
        """Return the columns to read, the classes included and the units left out.

        Raises:
            DataError: A setting names a column that there is not.
        """
        settings = {
            "columns": self.columns or (),
            "without": self.without,
            "categories": self.categories,
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

    def _typed(self, rows: Rows, chosen: Sequence[str]) -> tuple[dict[str, Typed], list[str]]:
        """Return the columns that can be read, and sentences on those that cannot.

        Raises:
            DataError: Cells are not what their column is; the message has a line for each column.
        """
        settings = self.reading
        columns: dict[str, Typed] = {}
        notes: list[str] = []
        faults: list[str] = []
        left = [name for name in rows.names if name not in chosen]
        if left:
            listed = some([quoted(name) for name in left], 12)
            notes.append(f"left out by the settings columns and without: {listed}")
        for name in chosen:
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
            else:
                columns[name] = column
        if self.label_column is not None and self.label_column not in rows.refused:
            faults += self._label_faults(rows, columns.get(self.label_column))
        if faults:
            raise DataError(all_of(faults))
        unmet = unmet_marks((rows.cells[name] for name in chosen), settings)
        if unmet:
            notes.append(f"missing_marks: {', '.join(map(quoted, unmet))} stands in no cell")
        return columns, notes

    def _label_faults(self, rows: Rows, column: Typed | None) -> list[str]:
        """Refuse a column that holds no classes."""
        if column is None or column.kind == "unread":
            return [f"{rows.title}: label_column {quoted(self.label_column)} holds nothing"]
        numbers = [Marks().number(text) for text in column.texts]  # labels have plain marks
        fractions = [text for text, n in zip(column.texts, numbers, strict=True) if n and n % 1]
        if fractions and None not in numbers:
            return [
                f"{rows.title}: expected whole numbers or texts in label_column "
                f"{quoted(self.label_column)}, got numbers such as {quoted(fractions[0])}"
            ]
        return []

    def _keeping(
        self, columns: Mapping[str, Typed], agreed: Mapping[str, Variable]
    ) -> Collection[str]:
        """Return the columns whose missing cells are kept; never that of the classes."""
        kept = {name for name in columns if name in agreed and agreed[name].optional}
        if self.missing == "keep":
            kept |= {name for name in columns if name not in agreed or agreed[name].optional}
        return kept - {self.label_column, LABEL}

    def _kept(
        self, rows: Rows, columns: Mapping[str, Typed], keeping: Collection[str]
    ) -> tuple[np.ndarray, list[str]]:
        """Return which rows are kept, shape (n,), and a sentence on the others.

        Raises:
            DataError: Cells are missing and rows are not to be dropped, or none is left.
        """
        incomplete = np.zeros(len(rows), np.bool_)
        faults = []
        counts = []
        for name, column in columns.items():
            count = int(column.missing.sum())
            if not count or name in keeping:
                continue
            incomplete |= column.missing
            first = rows.place(int(np.flatnonzero(column.missing)[0]))
            counts.append(f"{quoted(name)} {count:,}")
            faults.append(
                f"{first}, column {quoted(name)}: the cell is missing; {count:,} of {len(rows):,} "
                "are"
            )
        if not faults:
            return ~incomplete, []
        if self.missing != "drop rows":
            gone = f"{counted(int(incomplete.sum()), 'row')} of {len(rows):,}"
            raise DataError(f"{all_of(faults)}\n{self.reading.remedies.missing(gone)}")
        if incomplete.all():
            raise DataError(
                f"{rows.title}: every row has a missing cell ({', '.join(counts)}); "
                f"{self.reading.remedies.none_complete()}"
            )
        dropped = f"{counted(int(incomplete.sum()), 'row')} of {len(rows):,} dropped"
        return ~incomplete, [f"{dropped}, since cells are missing: {', '.join(counts)}"]

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

    def _columns(
        self, rows: Rows, columns: Mapping[str, Typed], train: np.ndarray, test: np.ndarray
    ) -> tuple[dict[str, Column], list[str]]:
        """Convert the columns, the classes last, and say which of them hold nothing any more."""
        made: dict[str, Column] = {}
        notes = []
        label = self.label_column
        for name, column in columns.items():
            if name == label:
                continue
            texts = np.unique(column.values[np.concatenate([train, test])])
            if column.kind == "texts" and len(texts) < 2:
                notes.append(
                    f"not read: column {quoted(name)} has one text in the rows that are left"
                )
            else:
                made[name] = _column(name, column, train, test, rows.title, self.reading)
            if column.kind == "real" and name in made:
                cells = rows.cells[name]
                made[name] = made[name].noted(*number_notes(name, cells, self.reading))
        if label is not None:
            values = columns[label]
            origin = f"{rows.title}, label_column {quoted(label)}"
            classes = coded_column(values.values[train], values.values[test], values.texts, origin)
            made[LABEL] = classes.noted(*marks_as_categories(label, values, self.reading))
        return made, notes

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


def _column(
    name: str, column: Typed, train: np.ndarray, test: np.ndarray, title: str, reading: Settings
) -> Column:
    """Convert a column of a known type."""
    origin = f"{title}, column {quoted(name)}"
    values = column.values
    if column.kind == "texts":
        return coded_column(values[train], values[test], column.texts, origin, name).noted(
            *marks_as_categories(name, column, reading)
        )
    if column.kind == "binary":
        bits = array_column(Variable(kind="binary"), values[train], values[test])
        return bits.noted(f"{quoted(name)}: {column.texts[1]} is 1, {column.texts[0]} is 0")
    numbers = real_column(values[train], values[test], name, origin)
    if len(np.unique(values[np.concatenate([train, test])])) == 1:
        return numbers.noted(f"{quoted(name)} is {values[train[0]]:g} in every row")
    return numbers
