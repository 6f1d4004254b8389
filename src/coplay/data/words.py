"""Values of strangers' files in sentences: short, and never more than a few."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

LONGEST = 60
"""Characters of a value in a message, at most."""


def quoted(value: object) -> str:
    """Write a name or a value in quotes, cut to 60 characters.

    Example:
        >>> quoted("n/k"), len(quoted("x" * 1000))
        ("'n/k'", 60)
    """
    text = repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 4] + "...'"


def some(items: Iterable[object], most: int = 5) -> str:
    """List the first few items, and how many more there are.

    Args:
        items: What is listed, as it is written.
        most: How many are written at most.

    Example:
        >>> some(range(8), 3)
        '0, 1, 2 and 5 more'
    """
    texts = [str(item) for item in items]
    listed = ", ".join(texts[:most])
    return f"{listed} and {len(texts) - most:,} more" if len(texts) > most else listed


def counted(count: int, noun: str) -> str:
    """Write a count with its noun.

    Example:
        >>> counted(1, "row"), counted(1200, "row")
        ('1 row', '1,200 rows')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def all_of(faults: Sequence[str], what: str = "columns cannot be read") -> str:
    """Return one message for the faults of all columns, or of what is named.

    Example:
        >>> print(all_of(["column 'a' is empty", "column 'b' is empty"]))
        2 columns cannot be read:
          - column 'a' is empty
          - column 'b' is empty
    """
    if len(faults) == 1:
        return faults[0]
    return "\n".join([f"{len(faults)} {what}:", *(f"  - {fault}" for fault in faults)])
