"""Settings of table files and site files that :func:`play` does not take: what to do instead."""

from __future__ import annotations

from collections.abc import Iterable

_ON_READING = "how a file is read is the affair of what reads it, such as pandas.read_csv"
_SPLIT = "which rows are held out is decided by the seed; a site file can name a source of them"
_COLUMN = "leave columns out of the data, such as with frame.drop(columns=[…])"

_INSTEAD = {
    "missing_marks": "put None where they stand, such as with frame.mask(frame == -9) of pandas",
    "without": _COLUMN,
    "columns": f"{_COLUMN}; rename others, such as with frame.rename(columns={{…}})",
    "categories": "give the column the type category, or name it as target",
    "label_column": "name it as target",
    "lacks": "leave the column out of the data of that site",
    "learns": "name the variables that are learned: variables=[…]",
    "outside": "clip the columns, leave rows out of the data, or agree on wider ranges: variables",
    "tell": "all data are in this session; what a site tells is said in a site file",
    "hold": "all data are in this session; what a site holds back is said in a site file",
    "limit": "give fewer rows, such as with frame.head(1000)",
    "test": _SPLIT,
    "test_file": _SPLIT,
    "test_share": _SPLIT,
    "held_out": _SPLIT,
    "white": "give pixels as floats from 0 to 1",
    "file": "read the file first, such as with pandas.read_csv",
    "source": "give the data themselves, by the name of each site",
    "names": _ON_READING,
    "separator": _ON_READING,
    "encoding": _ON_READING,
    "decimal": _ON_READING,
    "thousands": _ON_READING,
    "quote": _ON_READING,
}


def instead_of(settings: Iterable[str]) -> list[str]:
    """Say of each setting of table and site files what can be done in Python.

    Args:
        settings: Names that somebody gave.

    Example:
        >>> instead_of(["limit", "engine"])
        ['limit: play does not take it; give fewer rows, such as with frame.head(1000)']
    """
    known = [name for name in settings if name in _INSTEAD]
    return [f"{name}: play does not take it; {_INSTEAD[name]}" for name in known]
