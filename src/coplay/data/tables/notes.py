"""Sentences on what a table's column was read as."""

from __future__ import annotations

from coplay.data.tables.types import USUAL_MARKS, Typed
from coplay.data.words import quoted


def zeros_note(name: str) -> str:
    """Say that zeros before numbers are lost."""
    return (
        f"{quoted(name)}: zeros before its numbers are left out; categories = [{quoted(name)}] "
        "reads them as texts"
    )


def marks_as_categories(name: str, column: Typed) -> list[str]:
    """Say if a category looks like a mark for a missing value."""
    marks = [text for text in column.texts if text.lower() in USUAL_MARKS]
    if not marks:
        return []
    listed = ", ".join(map(quoted, marks))
    return [
        f"{quoted(name)}: {listed} counts as a category; missing_marks = [{listed}] changes that"
    ]
