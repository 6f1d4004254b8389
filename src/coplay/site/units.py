"""Columns that seem to name what a row belongs to, such as a patient."""

from __future__ import annotations

import re

import numpy as np

from coplay.data.tables.grid import Cells
from coplay.data.tables.reading import Rows
from coplay.data.words import counted, quoted

_PEOPLE = {"patient", "person", "subject", "customer", "participant", "client", "pat", "case"}
_NUMBERED = {"id", "no", "nr", "num", "number", "key", "code"}
_ALONE = {"pid", "mrn", "patid", "ptid", "patno", "patientid", "subjectid", "personid", "caseid"}
_UNIT_WORDS = _PEOPLE | _ALONE | {"id", "unit"}

_FEW = 10
"""So many different texts, or fewer, may be categories."""

_FEWEST = 6  # units, of which some are to be held out


def words_of(name: str) -> set[str]:
    """Return the words of a column's name.

    Example:
        >>> sorted(words_of("PatientID")), sorted(words_of("case-id.2"))
        (['id', 'patient'], ['2', 'case', 'id'])
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return set(re.split(r"[\W_]+", spaced.lower())) - {""}


def names_somebody(name: str) -> bool:
    """Whether a column is called like one that names people, whatever it holds.

    Example:
        >>> [name for name in ("mrn", "patient_id", "case no", "case", "ward_id")
        ...  if names_somebody(name)]
        ['mrn', 'patient_id', 'case no']
    """
    words = words_of(name)
    return bool(words & _ALONE) or bool(words & _PEOPLE and words & _NUMBERED)


def may_name_somebody(name: str) -> bool:
    """Whether a column with many different texts is called like one that names people."""
    return bool(words_of(name) & (_UNIT_WORDS - {"case", "unit", "pat"}))


def unit_of(rows: Rows) -> tuple[str | None, list[str]]:
    """Return the first column that seems to name units, and what is said of others like it.

    It is called so, its texts repeat, and they are many.

    Args:
        rows: A table.
    """
    unit = None
    notes = []
    for name in rows.names:
        if not words_of(name) & _UNIT_WORDS or name in rows.refused:
            continue
        distinct, count, empty = _counted(rows.cells[name])
        are_many = 3 * distinct > count
        if may_name_somebody(name):
            are_many = are_many or distinct > _FEW
        if names_somebody(name):
            are_many = are_many or distinct >= _FEWEST
        repeats = distinct < count
        if unit is None and repeats and are_many and not empty:
            unit = name
        elif names_somebody(name) and repeats:
            notes.append(_not_taken(name, distinct, empty, unit))
    return unit, notes


def _counted(cells: Cells) -> tuple[int, int, int]:
    """Return the number of different cells that are not empty, of all cells, and of empty ones.

    Texts are told apart by numbers of 64 bits, since ten million texts do not fit into memory.
    """
    empty = 0
    keys = [np.zeros(0, np.int64)]
    for part in cells.parts():
        empty += part.count("")
        keys.append(np.unique(np.fromiter(map(hash, filter(None, part)), np.int64)))
    return len(np.unique(np.concatenate(keys))), len(cells), empty


def _not_taken(name: str, distinct: int, empty: int, unit: str | None) -> str:
    """Say why a column that names somebody is not the unit."""
    start = f"{quoted(name)} is called like what a row belongs to"
    if unit is not None:
        return f"{start}, but so is {quoted(unit)}, which comes first; --unit names another"
    if empty:
        rows = counted(empty, "row")
        return f"{start}, but its cell is empty in {rows}: fill them, and name it with --unit"
    return (
        f"{start}, but has only {counted(distinct, 'different text')}; if rows of one are to stay "
        "together, name it with --unit"
    )
