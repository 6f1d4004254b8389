"""Which column of a site's data is which agreed variable, and what is said of the others."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from coplay.core.errors import DataError
from coplay.data.sources.base import Dataset
from coplay.data.words import quoted, some
from coplay.site.agreement import Agreement, DataOfSite


def columns_of(data: DataOfSite, agreement: Agreement, site: str) -> dict[str, str]:
    """Return the column of each agreed variable that the site is to have.

    Raises:
        DataError: A setting names a variable that was not agreed, or one column twice.
    """
    agreed = agreement.space
    settings: dict[str, Sequence[str]] = {
        "columns": list(data.columns),
        "lacks": data.lacks,
        "learns": agreement.learns or (),
    }
    faults = []
    for setting, names in settings.items():
        for name in names:
            if name not in agreed:
                faults.append(
                    f"{setting}: {quoted(name)} is no agreed variable; known, nearest first: "
                    f"{_nearest(name, agreed)}"
                )
    both = [name for name in data.columns if name in data.lacks]
    faults += [f"lacks: {quoted(name)} has a column in columns too" for name in both]
    columns = {}
    for name in agreed:
        if name not in data.lacks:
            columns[name] = data.columns.get(name, name)
    users: dict[str, list[str]] = {}
    for name, column in columns.items():
        users.setdefault(column, []).append(name)
    for column, names in users.items():
        named = [name for name in names if name in data.columns]
        if len(named) > 1:
            faults.append(f"columns: {quoted(column)} is the column of {' and of '.join(named)}")
        elif len(names) > 1:  # a column with another name for it is no longer its namesake's
            columns = {n: c for n, c in columns.items() if c != column or n in named}
        if column == data.unit:
            faults.append(
                f"unit: {quoted(column)} names what rows belong to, so it can be no variable; "
                f"set lacks = [{quoted(names[0])}]"
            )
    if faults:
        raise DataError(f"{site}: {'; '.join(faults)}")
    return columns


def present_in(
    data: DataOfSite,
    agreement: Agreement,
    columns: Mapping[str, str],
    parts: Sequence[Dataset],
    site: str,
) -> list[str]:
    """Return the variables that the site learns and has.

    Raises:
        DataError: A variable has no column, though the site does not say that it lacks it.
    """
    present = []
    faults = []
    missing = []
    for name in agreement.learned:
        column = columns.get(name)
        if column is None:
            continue
        lacking = [part.name for part in parts if column not in part.space]
        if not lacking:
            present.append(name)
        elif name in data.columns or (len(parts) == 2 and len(lacking) == 1):
            faults.append(
                f"columns: no column {quoted(column)} for {quoted(name)} in {lacking[0]}; known, "
                f"nearest first: {_nearest(column, columns_in(parts[0]))}"
            )
        else:
            missing.append(name)
    if missing and agreement.is_given:
        taken = {columns[name] for name in present}
        free = [name for name in columns_in(parts[0]) if name not in taken and name != data.unit]
        faults.append(_without_column(missing, free))
    if not present and not faults:
        faults.append(
            f"it has none of the variables that it learns: {some(map(quoted, agreement.learned))}; "
            "expected at least one: let it learn others, or leave the site out"
        )
    if faults:
        raise DataError(f"{site}: {'; '.join(faults)}")
    return present


def left_out(
    part: Dataset,
    columns: Mapping[str, str],
    agreement: Agreement,
    present: Sequence[str],
    unit: str | None,
) -> list[str]:
    """Say which columns are not learned from, and which variables are lacking."""
    notes = []
    used = set(columns.values())
    others = [name for name in columns_in(part) if name not in used and name != unit]
    if others:
        notes.append(f"left out, since they are no agreed variables: {some(map(quoted, others))}")
    lacking = [name for name in agreement.learned if name not in present]
    if lacking:
        notes.append(f"it lacks {some(map(quoted, lacking))}")
    return notes


def columns_in(part: Dataset) -> list[str]:
    """Return the names of all that the source has, read or not."""
    return [*part.space, *part.unread]


def _without_column(missing: Sequence[str], free: Sequence[str]) -> str:
    """Say what to do about variables for which there is no column.

    Args:
        missing: The variables.
        free: Columns that are no variable's.
    """
    listed = ", ".join(map(quoted, missing))
    them = "it" if len(missing) == 1 else "them"
    advice = f"if the site does not have {them}, set lacks = [{listed}]"
    if free:
        first = missing[0]
        close = _nearest(first, free, 1)
        advice += (
            f"; if a column is called otherwise, such as {close}, name it: columns = "
            f"{{{quoted(first)} = {close}}}"
        )
    return f"no column for {some(map(quoted, missing))}; {advice}"


def _nearest(name: str, known: Iterable[str], most: int = 6) -> str:
    """List the nearest names, in quotes."""

    def distance(other: str) -> float:
        return -difflib.SequenceMatcher(None, name, other).ratio()

    return some(map(quoted, sorted(known, key=distance)[:most]), most) or "none"
