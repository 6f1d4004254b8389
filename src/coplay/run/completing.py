"""Missing cells of a table drawn by the model of a player, given the other cells of their row."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from coplay.core.errors import DataError, ModelError
from coplay.core.space import Samples, Space, pick
from coplay.core.streams import stream
from coplay.core.surroundings import own_settings
from coplay.core.variable import Variable
from coplay.data.tables.dates import DAYS, HOURS, Dates, NoDate, dates_of
from coplay.data.tables.filling import Spelling, different
from coplay.data.tables.grid import Grid
from coplay.data.tables.numbers import is_date
from coplay.data.tables.types import Settings, missing_among
from coplay.data.words import quoted, some
from coplay.models.abilities import Completes
from coplay.player import Player
from coplay.run.given import value_of

_MOST_FAULTS = 20


@dataclass
class Filling:
    """What a table lacks, and what was drawn for it.

    Args:
        grid: The table.
        variable_of: By column that is a variable of the player's, its name there.
        new: By the line of a row, by the place of a column, the new cell.
        rows: Rows with new cells.
        drawn_along: Variables that are no columns; they were drawn and are not written.
        unfilled: Missing cells that stay, by column.
    """

    grid: Grid
    variable_of: Mapping[str, str]
    new: dict[int, dict[int, str]] = field(default_factory=dict)
    rows: int = 0
    drawn_along: tuple[str, ...] = ()
    unfilled: dict[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return what a person should know of it, a sentence a line."""
        cells = sum(map(len, self.new.values()))
        lines = [f"{cells:,} missing cells filled, in {self.rows:,} of {len(self.grid):,} rows"]
        others = [quoted(name) for name in self.grid.names if name not in self.variable_of]
        if others:
            lines.append(f"no variables of this player, left as they are: {some(others, 12)}")
        if self.unfilled:
            counts = [f"{count:,} in {quoted(name)}" for name, count in self.unfilled.items()]
            lines.append(f"missing cells that stay: {some(counts, 12)}")
        if self.drawn_along:
            names = some(map(quoted, self.drawn_along), 12)
            lines.append(f"variables that the table has no column of: {names}")
        return lines


def fill(
    player: Player, grid: Grid, settings: Settings, aliases: Mapping[str, str], seed: int
) -> Filling:
    """Draw the missing cells of a table.

    Rows that lack the same variables are drawn together, each given all that it has.

    Args:
        player: It was loaded from a run.
        grid: The table as text.
        settings: How cells become values.
        aliases: By column, a variable of another name.
        seed: Seed of the draw.

    Raises:
        ModelError: The model does not complete.
        DataError: The table has no column of the player's, or cells are not what was agreed; the
            message has a line for each.
    """
    model = player.model
    if not isinstance(model, Completes):
        raise ModelError(
            f"{model.title} of player '{player.name}' cannot draw some variables given others; "
            "autoregressive and conditionals can, of tables, in games that show the player's own "
            "model"
        )
    unlearned = set(player.unlearned)
    variable_of = {}
    for name in grid.names:
        key = aliases.get(name, name)
        if key in player.variables and not player.variables[key].shape and key not in unlearned:
            variable_of[name] = key
    if not variable_of:
        raise DataError(
            f"{grid.path}: expected columns of player '{player.name}', which are "
            f"{some(map(quoted, player.variables), 12)}; got {some(map(quoted, grid.names), 12)}"
        )
    filling = Filling(grid, variable_of)
    reached = variable_of.values()
    filling.drawn_along = tuple(
        name for name in player.variables if name not in reached and name not in unlearned
    )
    for name in grid.names:
        if name not in variable_of:
            count = sum(text in missing_among([text], settings) for text in grid.cells[name])
            if count:
                filling.unfilled[name] = count
    read = _Read.of(grid, variable_of, player.variables, settings)
    with own_settings():
        _draw(player, filling, read, seed)
    return filling


@dataclass(frozen=True)
class _Read:
    """The values of a table's columns, and how new ones are written."""

    values: dict[str, Tensor]  # by variable
    missing: np.ndarray  # (rows, columns)
    spelling: list[Spelling]

    @classmethod
    def of(
        cls, grid: Grid, variable_of: Mapping[str, str], space: Space, settings: Settings
    ) -> _Read:
        """Read all columns, or name all cells that are wrong."""
        faults: list[str] = []
        values = {}
        missing = []
        spelling = []
        for name, key in variable_of.items():
            v = space[key]
            cells = list(grid.cells[name])
            left_out = missing_among(set(cells), settings)
            texts = different(cells, left_out)
            known = {text: 0.0 for text in left_out}
            dates = _dates(name, v, texts, settings)
            for text in texts:
                try:
                    known[text] = _value(v, text, settings, dates)
                except ValueError as error:
                    row = cells.index(text)
                    faults.append(
                        f"{grid.place(row)}, column {quoted(name)}: {error}; mend it, or add it to "
                        "--missing-marks if it stands for a missing value"
                    )
                    known[text] = 0.0
            numbers = np.array([known[text] for text in cells], dtype=np.float64)
            values[key] = _tensor(numbers, v.kind)
            missing.append(np.array([text in left_out for text in cells]))
            form = dates.form if isinstance(dates, Dates) else None
            spelling.append(Spelling(v, texts, settings.marks, form))
        if faults:
            more = len(faults) - _MOST_FAULTS
            shown = faults[:_MOST_FAULTS] + ([f"and {more:,} more"] if more > 0 else [])
            raise DataError("\n".join(shown))
        return cls(values, np.stack(missing, 1), spelling)


def _dates(
    name: str, v: Variable, texts: Sequence[str], settings: Settings
) -> Dates | NoDate | None:
    """Return the dates of a column; the cell that is none, or None for a column of others."""
    are_dates = v.unit in (DAYS, HOURS) or (v.kind == "real" and is_date(next(iter(texts), "")))
    if not are_dates or not texts:
        return None
    return dates_of(name, Counter(texts), settings.dates)


def _value(v: Variable, text: str, settings: Settings, dates: Dates | NoDate | None) -> float:
    """Return the value of a cell.

    Raises:
        ValueError: It has none; the message says what was expected.
    """
    if isinstance(dates, NoDate) and text == dates.text:
        raise ValueError(f"{dates.reason}, got {quoted(text)}")
    if isinstance(dates, NoDate):
        return 0.0
    if dates is None:
        return value_of(v, _plain(text, v.kind, settings))
    number = dates.values[text]
    low, high = v.range
    if not low <= number <= high:
        ends = [dates.form.write(end) for end in (low, high) if math.isfinite(end)]
        raise ValueError(f"expected a date in the agreed range {ends}, got {quoted(text)}")
    return number


def _plain(text: str, kind: str, settings: Settings) -> str:
    """Return a cell with Python's marks where it is a number."""
    if settings.marks.are_plain or kind == "binary":
        return text
    return settings.marks.plain(text) or text


def _tensor(numbers: np.ndarray, kind: str) -> Tensor:
    """Return values of a variable in a type that loses nothing."""
    if kind == "real":
        single = torch.from_numpy(numbers).float()
        shortest = [float(f"{value:.7g}") for value in single.tolist()]
        return single if np.array_equal(shortest, numbers) else torch.from_numpy(numbers)
    whole = torch.from_numpy(numbers).long()
    return whole.to(torch.uint8) if kind == "binary" else whole


def _draw(player: Player, filling: Filling, read: _Read, seed: int) -> None:
    """Draw pattern by pattern and write the new cells down."""
    grid = filling.grid
    keys = list(filling.variable_of.values())
    places = [grid.names.index(name) for name in filling.variable_of]
    samples = Samples(read.values, batch_size=[len(grid)])
    generator = stream(player.seed, "draw", 0, player.name, f"complete {seed}")
    patterns, which = np.unique(read.missing, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        if not pattern.any():
            continue
        rows = np.flatnonzero(which.reshape(-1) == number)
        lacking = [key for key, is_missing in zip(keys, pattern, strict=True) if is_missing]
        partial = pick(samples, torch.from_numpy(rows)).exclude(*lacking)
        drawn = _completed(player, partial, len(rows), generator)
        for column in np.flatnonzero(pattern):
            values = drawn[keys[column]].tolist()
            for row, value in zip(rows, values, strict=True):
                cells = filling.new.setdefault(grid.lines[row], {})
                cells[places[column]] = read.spelling[column].text(value)
        filling.rows += len(rows)


def _completed(player: Player, partial: Samples, n: int, generator: torch.Generator) -> Samples:
    model = player.model
    assert isinstance(model, Completes)
    drawn = (
        model.complete(partial, generator) if len(partial.keys()) else model.sample(n, generator)
    )
    origin = f"rows completed by {model.title}"
    space = player.variables
    return space.check(space.restrict(drawn), origin, complete=True, rows=n, quote=False)
