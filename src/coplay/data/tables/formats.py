"""Which files are tables, and how one that is text is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ENDINGS = (".csv", ".tsv", ".parquet", ".feather", ".arrow", ".jsonl", ".ndjson", ".json")
"""Endings of tables; those of text may have ``.gz`` behind them."""


@dataclass(frozen=True)
class TextFormat:
    """How a table of lines is written.

    Args:
        separator: Between cells; None to find it.
        encoding: Of the characters; None to find it.
        quote: Around cells; empty where quotes are ordinary characters; None to find it.
        names: Names of the columns of a file without a line of names; None where there is one, or
            to find out whether there is.
    """

    separator: str | None = None
    encoding: str | None = None
    quote: str | None = None
    names: tuple[str, ...] | None = None


def ending(path: Path) -> str:
    """Return a file's ending in lower case, without ``.gz``.

    Example:
        >>> ending(Path("a.b/wards.CSV.gz")), ending(Path("wards"))
        ('.csv', '')
    """
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def stem(path: Path) -> str:
    """Return a file's name without its ending.

    Example:
        >>> stem(Path("data/wards.csv.gz"))
        'wards'
    """
    name = path.name
    if name.lower().endswith(".gz"):
        name = name[:-3]
    return Path(name).stem
