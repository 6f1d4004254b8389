"""What catches the eye in a site's table: codes for missing values, a column that names units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from coplay.data.sources.base import Source
from coplay.data.sources.table import Table, paths_of
from coplay.data.tables.reading import read_tables
from coplay.data.tables.types import Fault, typed
from coplay.data.words import quoted
from coplay.site.codes import notes_on_codes, notes_on_codes_among_texts
from coplay.site.units import unit_of


def looked_over(source: Source, columns: Collection[str], unit: str | None) -> list[str]:
    """Say what a person should look at in a site's table; nothing of other sources.

    Args:
        source: Where the rows come from.
        columns: The columns that are learned from; none for all.
        unit: The column that names what a row belongs to, as the site file says.

    Raises:
        DataError: The table cannot be read.
    """
    if not isinstance(source, Table):
        return []
    files = paths_of(source.file)
    if not all(file.is_file() for file in files):
        return []  # whoever loads the rows says so
    rows = read_tables(files, [], source.form, source.limit)
    rows.check()
    settings, _ = source.reading_of(rows, rows.names)
    numbers = {}
    texts = {}
    for name in rows.names:
        if name in rows.refused or name == unit or (columns and name not in columns):
            continue
        column = typed(name, rows.cells[name], settings)
        if isinstance(column, Fault):
            continue
        present = column.values[~column.missing]
        if column.kind == "real":
            numbers[name] = present
        elif column.kind == "texts":
            texts[name] = Counter(column.texts[int(place)] for place in present)
    notes = [*notes_on_codes(numbers), *notes_on_codes_among_texts(texts)]
    seeming, _ = unit_of(rows)
    if unit is None and seeming is not None:
        notes.append(
            f"{quoted(seeming)} seems to name what a row belongs to, and repeats: unit = "
            f"{quoted(seeming)} under [data] of the site file keeps the rows of one on one side; "
            "without it, samples are scored on rows of those that the model learned from"
        )
    return notes
