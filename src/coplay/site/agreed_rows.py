"""The rows of one source as agreed variables; what is wrong is named by file, line and column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from coplay.core.errors import DataError
from coplay.core.space import Space
from coplay.data.classes import natural_key
from coplay.data.sources.base import Dataset
from coplay.data.sources.memory import Memory
from coplay.data.words import counted, quoted
from coplay.site.agreement import DataOfSite
from coplay.site.conforming import Conformed, conformed

_NAMED = 3  # rows with one fault that a message names
_SORTED = 1000  # rows of which the first are looked for


@dataclass(frozen=True)
class AgreedRows:
    """The rows of one source as agreed variables.

    Args:
        n: How many rows are left.
        values: By variable, shape (n, …).
        tests: Which rows the data came with to test on, shape (n,); None where they did not.
        units: What each row belongs to, shape (n,); empty without units.
        notes: What was converted, clipped or dropped.
    """

    n: int
    values: Mapping[str, Tensor]
    tests: np.ndarray | None
    units: np.ndarray
    notes: Sequence[str]

    @classmethod
    def of(
        cls,
        read: Dataset,
        data: DataOfSite,
        columns: Mapping[str, str],
        space: Space,
        site: str,
        is_own: bool = False,
    ) -> AgreedRows:
        """Make the rows of a source those of the agreed variables.

        Args:
            read: The rows.
            data: What the site says of them.
            columns: Column by variable.
            space: The variables.
            site: What errors call the site.
            is_own: Whether nobody else has these rows, so that their columns can go as soon as they
                are variables; of a large table both do not fit.

        Raises:
            DataError: Values are not what was agreed; the message has a line for each column.
        """
        both = [read.train, read.test]
        n_train = len(read.train)
        n = n_train + len(read.test)
        made: dict[str, Conformed] = {}
        faults = []
        notes = []
        for name in space:
            column = columns[name]
            values = torch.cat([split[column] for split in both])
            if is_own and list(columns.values()).count(column) == 1:
                for split in both:
                    del split[column]
            try:
                made[name] = conformed(space[name], read.space[column], values).settled
            except DataError as error:
                faults.append(f"{read.name}, {_named(name, column)}: {error}")
                continue
            del values
            notes += [f"{quoted(name)}: {note}" for note in made[name].notes]
        if faults:
            raise DataError(f"{site}: {_lines(faults)}")
        wrong = torch.zeros(n, dtype=torch.bool)
        for name, result in made.items():
            if data.outside == "clip" and result.nearest is not None:
                continue
            if result.wrong.any():
                faults.append(_fault(read, _named(name, columns[name]), result))
            wrong |= result.wrong
        if faults and data.outside != "drop":
            raise DataError(f"{site}: {_lines(faults)}\n{_advice(data)}")
        if wrong.all():
            raise DataError(f"{site}: no row is left: {_lines(faults)}")
        tensors, clipped = _values(made, data.outside, ~wrong)
        notes += clipped
        if wrong.any():
            counts = {name: int(result.wrong.sum()) for name, result in made.items()}
            listed = ", ".join(
                f"{quoted(name)} {count:,}" for name, count in counts.items() if count
            )
            notes.append(
                f"{counted(int(wrong.sum()), 'row')} of {n:,} dropped, with values that were not "
                f"agreed: {listed}"
            )
        keep = (~wrong).numpy()
        tests = None if read.shares_rows else (np.arange(n) >= n_train)[keep]
        units = _units(read, data, n, site)[keep]
        return cls(int(keep.sum()), tensors, tests, units, notes)


def _values(
    made: Mapping[str, Conformed], outside: str, keep: Tensor
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the values of the rows that are kept, and what was moved to the ends of ranges."""
    tensors = {}
    notes = []
    are_all = bool(keep.all())
    for name, result in made.items():
        values = result.values
        if outside == "clip" and result.nearest is not None:
            count = int(result.wrong.sum())
            values = result.nearest
            if count:
                notes.append(f"{quoted(name)}: {counted(count, 'row')} clipped to the agreed range")
        tensors[name] = values if are_all else values[keep]
    return tensors, notes


def _units(read: Dataset, data: DataOfSite, n: int, site: str) -> np.ndarray:
    """Return what each row belongs to, as texts."""
    if data.unit is None:
        return np.zeros(n, np.int64)
    if read.rows is None or read.rows[0].units is None or read.rows[1].units is None:
        raise DataError(f"{site}: unit = {data.unit!r}: {read.name} has nothing that names units")
    return np.concatenate([read.rows[0].units, read.rows[1].units])


def _named(name: str, column: str) -> str:
    """Write a variable with its column, if that is called otherwise."""
    return f"column {quoted(column)}" + ("" if name == column else f" (variable {quoted(name)})")


def _fault(read: Dataset, column: str, result: Conformed) -> str:
    """Write the first row with a fault, and where the others are."""
    rows = result.wrong.nonzero().flatten().tolist()
    # the splits are mixed, and people read their files from the top
    place_of = {row: _place(read, row) for row in rows[:_SORTED]}
    first = sorted(place_of, key=lambda row: natural_key(place_of[row]))[:_NAMED]
    more = ""
    if len(rows) > 1:
        others = "; ".join(place_of[row] for row in first[1:])
        left = f" and {len(rows) - len(first):,} more" if len(rows) > len(first) else ""
        more = f" (and {counted(len(rows) - 1, 'row')} more: {others}{left})"
    return f"{place_of[first[0]]}, {column}: {result.fault(first[0])}{more}"


def _place(read: Dataset, row: int) -> str:
    """Write where a row stands; rows of the test split follow those of the training split."""
    in_test = row >= len(read.train)
    place = row - len(read.train) if in_test else row
    if read.rows is not None:
        return read.rows[in_test].place(place)
    return f"{read.name}, {'test' if in_test else 'training'} row {place} (from 0)"


def _lines(faults: Sequence[str]) -> str:
    """Write all faults, one a line if there are several."""
    if len(faults) == 1:
        return faults[0]
    return "\n".join(
        [f"{len(faults)} columns are not what was agreed:"] + [f"  - {f}" for f in faults]
    )


def _advice(data: DataOfSite) -> str:
    """Say what can be done about values that were not agreed."""
    if isinstance(data.source, Memory):
        return (
            "mend the rows or leave them out of the data, move numbers to the end of the range, "
            "such as with frame.clip, or agree on a wider one: play(…, variables=…)"
        )
    advice = 'mend the rows, or set outside = "drop" to leave them out'
    if data.outside == "clip":
        return f"{advice}; there is no nearest value to clip to"
    return f'{advice}, or "clip" to move numbers to the nearest end of the range'
