"""Pictures of samples of the players of every arm, side by side."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from coplay.comparison.arms import Arm, Comparison
from coplay.core.space import Space, Variable
from coplay.report import figures
from coplay.report.parts import PageSection, Picture, first_players
from coplay.report.words import listed, words
from coplay.run.result import Result

_COLUMNS = 6  # arms whose samples stand side by side
_SIDE = 5  # samples in a row of a cell, at most
_PIXELS = 200  # width of a cell, at most
_HEADING = 22  # characters in a line of a heading


@dataclass(frozen=True)
class _Column:
    """The samples of one arm.

    Args:
        arm: The arm.
        heading: The text above the column; no two are alike.
        round: The round after which they were drawn.
        samples: Samples by row (a player, or "" for a column of one model) and variable.
        space: The variables of the run.
    """

    arm: Arm
    heading: str
    round: int
    samples: Mapping[str, Mapping[str, Tensor]]
    space: Space


@dataclass(frozen=True)
class _Grid:
    """Everything that is shown, before it is drawn variable by variable.

    Args:
        columns: One per arm that has samples.
        rows: Names of the players shown; "" alone where each column shows one model.
        shows_one_model: Whether columns show one model each, since some arm has but one.
        when: The round after which they were drawn, and the seed, in words.
        remark: A sentence that says if not all arms are shown.
    """

    columns: Sequence[_Column]
    rows: Sequence[str]
    shows_one_model: bool
    when: str
    remark: str


def section(comparison: Comparison) -> PageSection:
    """Show samples after the last measured round, one column per arm and one row per player.

    Where the model of an arm belongs to a seat, such as a server, each arm shows one model.

    Args:
        comparison: The arms; the first six are shown.
    """
    title = "What the players generate"
    arms = comparison.arms[:_COLUMNS]
    common_seeds = set.intersection(*(set(arm.runs) for arm in arms))
    seed = min(common_seeds, default=None)
    runs = [_run_shown(arm, seed) for arm in arms]
    shows_one_model = False
    for arm, run in zip(arms, runs, strict=True):
        if not set(run.sampled_from[arm.game]).isdisjoint(run.seats):
            shows_one_model = True
    columns: list[_Column] = []
    for arm, run in zip(arms, runs, strict=True):
        column = _column(arm, run, shows_one_model, [column.heading for column in columns])
        if column is not None:
            columns.append(column)
    names = _drawable(columns)
    if not names:
        text = "No images are on disk: no round was measured, or the data are none."
        return PageSection("samples", title, [text], is_empty=True)
    all_rows = list(dict.fromkeys(row for column in columns for row in column.samples))
    rows, notes = first_players(all_rows)
    remark = ""
    if len(comparison.arms) > _COLUMNS:
        remark = f" The first {_COLUMNS} of {len(comparison.arms)} arms are shown."
    seed_text = "each arm's lowest seed" if seed is None else f"seed {seed}"
    when = f"after round {_rounds(columns)}, with {seed_text}"
    grid = _Grid(columns, rows, shows_one_model, when, remark)
    pictures = [_picture(grid, name) for name in names]
    return PageSection("samples", title, notes, pictures=pictures)


def _run_shown(arm: Arm, seed: int | None) -> Result:
    """Return the arm's run with a seed, or with its lowest one."""
    if seed is None:
        return arm.runs[min(arm.runs)]
    return arm.runs[seed]


def _column(
    arm: Arm,
    run: Result,
    shows_one_model: bool,
    headings: Sequence[str],
) -> _Column | None:
    """Return the samples of one arm after its last round; None if there are none.

    Args:
        arm: The arm.
        run: The run of it that is shown.
        shows_one_model: Whether samples of a single model are shown.
        headings: The headings of the columns before it.
    """
    play = run.plays[arm.game]
    rounds = play.shown_rounds
    if not rounds:
        return None
    round = rounds[-1]
    samples: Mapping[str, Mapping[str, Tensor]] = play.samples(round)
    heading = textwrap.fill(arm.label, _HEADING, max_lines=2, placeholder="…")
    owners = [name for name in run.sampled_from[arm.game] if name in samples]
    if shows_one_model and owners:
        heading = f"{heading}:\n{owners[0]}"
        samples = {"": samples[owners[0]]}
    if heading in headings:
        heading = f"{len(headings) + 1}: {heading}"
    return _Column(arm, heading, round, samples, run.record.data.space)


def _drawable(columns: Sequence[_Column]) -> list[str]:
    """Return the variables that were drawn in some arm and are images in all."""
    names = dict.fromkeys(name for column in columns for name in column.space)
    return [name for name in names if _was_drawn(name, columns) and _is_image(name, columns)]


def _was_drawn(name: str, columns: Sequence[_Column]) -> bool:
    return any(name in drawn for column in columns for drawn in column.samples.values())


def _is_image(name: str, columns: Sequence[_Column]) -> bool:
    return all(column.space[name].is_image for column in columns if name in column.space)


def _rounds(columns: Sequence[_Column]) -> str:
    """Write the round of all columns, or each one's."""
    rounds = {column.round for column in columns}
    if len(rounds) == 1:
        return str(rounds.pop())
    return listed(f"{column.round} ({column.arm.label})" for column in columns)


# ---------------------------------------------------------------------------------- pictures


def _picture(grid: _Grid, name: str) -> Picture:
    """Draw one variable."""
    cells = {}
    for column in grid.columns:
        for row in grid.rows:
            drawn = column.samples.get(row, {})
            if name in drawn:
                cells[row, column.heading] = drawn[name].float().numpy()
    variable = next(column.space[name] for column in grid.columns if name in column.space)
    side = _samples_in_a_row(cells)
    low, high, scale = _range(variable, cells)
    is_binary = variable.kind == "binary"
    images = {}
    for place, values in cells.items():
        shown = values[: side * side]
        images[place] = figures.mosaic(shown, side, low, high, dark_ink=is_binary)
    headings = [column.heading for column in grid.columns]
    png = figures.mosaics(images, grid.rows, headings, len(headings))
    owner = "of each player"
    layout = "one row per player, one column per arm"
    if grid.shows_one_model:
        owner = "of one model of each arm, named above"
        layout = "one column per arm"
    caption = (
        f"{words(name)} ({variable}): the first {side * side} samples {owner} {grid.when}; "
        f"{layout}.{grid.remark} {scale}"
    )
    alt = f"Grids of generated samples of {name} per player and arm"
    return Picture(f"samples-{name}", png, alt, caption)


def _samples_in_a_row(cells: Mapping[tuple[str, str], np.ndarray]) -> int:
    """Return the number of samples in each row of a cell, which is also that of its rows."""
    widest = max(max(values.shape[-2:]) for values in cells.values())
    fewest = min(len(values) for values in cells.values())
    return max(1, min(_SIDE, _PIXELS // widest, math.isqrt(fewest)))


def _range(
    variable: Variable,
    cells: Mapping[tuple[str, str], np.ndarray],
) -> tuple[float, float, str]:
    """Return the ends of the scale, which is one for all cells, and a sentence on it."""
    low, high = variable.range
    if math.isfinite(low) and math.isfinite(high):
        if variable.kind == "binary":
            return low, high, "Black is 1."
        return low, high, f"Black is {low:g}, white {high:g}."
    low = min(float(values.min()) for values in cells.values())
    high = max(float(values.max()) for values in cells.values())
    ends = f"black is {low:.3g} and white {high:.3g}"
    return low, high, f"The range is unbounded; over all pictures here {ends}."
