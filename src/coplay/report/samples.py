"""Samples of the players' models: images in grids over the rounds, the rest in a small table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from coplay.core.space import LABEL, Variable
from coplay.report import figures
from coplay.report.parts import Cell, PageSection, Picture, Table, first_players
from coplay.report.words import number, words
from coplay.run.play import Play
from coplay.run.result import Result

_ROUNDS = 4  # columns of the main game
_LISTED = 3  # samples per player in a table
_NUMBERS = 6  # numbers of one value in a table

Shown = Mapping[tuple[str, int], Mapping[str, Mapping[str, Tensor]]]
"""Samples by game and round, then by player and variable."""


def section(result: Result) -> PageSection:
    """Show samples of every player.

    They are from some rounds of the main game, and from the last of each game carried along.
    """
    title = "What the players generate"
    shown = _shown(result)
    if not shown:
        return PageSection("samples", title, ["No samples are on disk: no round was measured."])
    space = result.record.data.space
    drawn: set[str] = set()
    for by_player in shown.values():
        for values in by_player.values():
            drawn |= set(values)
    names = [name for name in space if name in drawn]
    images = [name for name in names if space[name].is_image]
    others = [name for name in names if name not in images and not (images and name == LABEL)]
    picture, notes = _picture(result, shown)
    pictures = [_grid(picture, name, space[name], result) for name in images]
    columns = []
    for (game, round), by_player in shown.items():
        columns.append(
            {
                "game": game,
                "round": round,
                "file": f"{game}/samples/round-{round:06d}.safetensors",
                "players": [name for name in result.parties if name in by_player],
            }
        )
    data = {"variables": {name: str(space[name]) for name in names}, "columns": columns}
    tables = [_table(shown, others, picture.rows)] if others else []
    return PageSection("samples", title, notes, tables, pictures, data=data)


@dataclass(frozen=True)
class _Picture:
    """The contents of a picture.

    Args:
        rows: Names of the rows.
        columns: Headings of the columns, the main game's first.
        first: How many headings are the main game's.
        values: Samples by row and heading, then by variable.
        layout: What the rows and columns are, for the caption.
        strip: Whether the single row is a strip, broken where the main game's columns end.
    """

    rows: list[str]
    columns: list[str]
    first: int
    values: Mapping[tuple[str, str], Mapping[str, Tensor]]
    layout: str
    strip: bool


def _picture(result: Result, shown: Shown) -> tuple[_Picture, list[str]]:
    """Arrange samples with one row per player, and say if not all players are shown.

    Where the main game measures a single seat, the only row is that seat's, with a model of every
    other game.
    """
    main = result.main.name
    lone = result.sampled_from[main]
    strip = len(lone) == 1 and lone[0] in result.seats
    rows: list[str] = lone
    notes: list[str] = []
    if not strip:
        rows, notes = first_players(result.parties)
    columns: dict[tuple[str, int], str] = {}
    values: dict[tuple[str, str], Mapping[str, Tensor]] = {}
    for (game, round), by_player in shown.items():
        owners = {row: row for row in rows if row in by_player}
        heading = f"round {round}" if game == main else f"{words(game)},\nround {round}"
        if strip:
            candidates = [*rows, *result.sampled_from[game]]
            stand_in = next((name for name in candidates if name in by_player), "")
            owners = {rows[0]: stand_in} if stand_in else {}
            heading = f"{words(game)}: {stand_in}, round {round}"
        columns[game, round] = heading
        for row, name in owners.items():
            values[row, heading] = by_player[name]
    first = sum(game == main for game, _ in shown)
    carried = first < len(shown)
    if strip:
        layout = f"of the {lone[0]}."
        if carried:
            layout += " Beneath: a model of each game carried along."
    else:
        layout = "one row per player."
        if carried:
            layout += " Beside: the same player's models in the games carried along."
    return _Picture(rows, list(columns.values()), first, values, layout, strip), notes


def _shown(result: Result) -> dict[tuple[str, int], dict[str, dict[str, Tensor]]]:
    """Load samples of evenly chosen rounds of the main game, and of the others' last round."""
    picked = [(result.main.name, round) for round in _evenly(_rounds(result.main), _ROUNDS)]
    for name, play in list(result.plays.items())[1:]:
        picked += [(name, round) for round in _rounds(play)[-1:]]
    return {(game, round): result.plays[game].samples(round) for game, round in picked}


def _rounds(play: Play) -> list[int]:
    """Return the rounds whose samples are on disk, in order."""
    files = (play.folder / "samples").glob("round-*.safetensors")
    return sorted(int(path.stem.removeprefix("round-")) for path in files)


def _evenly(items: list[int], count: int) -> list[int]:
    """Return so many items at equal steps, the first and the last among them."""
    if len(items) <= count:
        return items
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]


def _grid(shown: _Picture, name: str, variable: Variable, result: Result) -> Picture:
    drawn = {key: values for key, values in shown.values.items() if name in values}
    fewest = min(len(values[name]) for values in drawn.values())
    side = max(1, min(5, 200 // max(variable.shape[-2:]), math.isqrt(fewest)))
    images = {key: by_class(values, name, side * side) for key, values in drawn.items()}
    is_sorted = any(LABEL in values for values in drawn.values())
    columns = list(shown.columns)
    note = ""
    real = result.real_samples()
    if name in real and len(real[name]) >= side * side:
        heading = "real, test split" if shown.strip else "real,\ntest split"
        columns.append(heading)
        note = " Last: real samples that nobody learned from."
        if not is_sorted:
            real = {name: real[name]}
        for row, values in _real_images(real, name, shown.rows, side * side).items():
            images[row, heading] = values
    low, high, scale = _range(variable, list(images.values()))
    is_binary = variable.kind == "binary"
    cells = {}
    for key, values in images.items():
        cells[key] = figures.mosaic(values, side, low, high, dark_ink=is_binary)
    order = ", in the order of their classes" if is_sorted else ""
    caption = (
        f"{words(name)} ({variable}): the first {side * side} samples drawn after a round of "
        f"{words(result.main.name)}{order}, {shown.layout}{note} {scale}"
    )
    alt = f"Grids of generated samples of {name} per player and round"
    return Picture(f"samples-{name}", _png(shown, cells, columns), alt, caption)


def _real_images(
    real: Mapping[str, Tensor], name: str, rows: Sequence[str], n: int
) -> dict[str, np.ndarray]:
    """Return n real images for each row, other ones in every row as far as they last."""
    images = {}
    for k, row in enumerate(rows):
        start = k * n % (len(real[name]) - n + 1)
        part = {key: values[start:] for key, values in real.items()}
        images[row] = by_class(part, name, n)
    return images


def _png(
    shown: _Picture, cells: Mapping[tuple[str, str], np.ndarray], columns: Sequence[str]
) -> bytes:
    """Draw the grids as a strip, or as a table of rows and columns."""
    if not shown.strip:
        return figures.mosaics(cells, shown.rows, columns, shown.first)
    row = shown.rows[0]
    present = {column: cells[row, column] for column in columns if (row, column) in cells}
    first = sum(column in present for column in columns[: shown.first])
    return figures.strip(present, first)


def by_class(values: Mapping[str, Tensor], name: str, n: int) -> np.ndarray:
    """Return the first n samples of a variable.

    They are in the order of their classes where these were drawn too.
    """
    images = values[name][:n].float().numpy()
    if LABEL not in values:
        return images
    return images[np.argsort(values[LABEL][:n].numpy(), kind="stable")]


def _range(variable: Variable, values: list[np.ndarray]) -> tuple[float, float, str]:
    """Return the values drawn darkest and lightest, and a sentence on them.

    There is one scale for all, so that no player's faulty range is hidden.
    """
    low, high = variable.range
    if math.isfinite(low) and math.isfinite(high):
        if variable.kind == "binary":
            return low, high, "Black is 1."
        return low, high, f"Black is {low:g}, white {high:g}."
    low = min(float(images.min()) for images in values)
    high = max(float(images.max()) for images in values)
    ends = f"black is {low:.3g} and white {high:.3g}"
    return low, high, f"The range is unbounded; over all pictures here {ends}."


def _table(shown: Shown, names: list[str], players: list[str]) -> Table:
    main, _ = next(iter(shown))
    game, round = [column for column in shown if column[0] == main][-1]
    by_player = shown[game, round]
    rows: list[list[Cell]] = []
    for player in players:
        values = by_player.get(player, {})
        count = min([_LISTED, *map(len, values.values())]) if values else 0
        for k in range(count):
            cells = [_cell(values, name, k) for name in names]
            rows.append([f"{player} {k + 1}", *cells])
    caption = (
        f"The first {_LISTED} samples of each player drawn after round {round} of {words(game)}."
    )
    return Table(["player, sample", *map(words, names)], rows, caption)


def _cell(values: Mapping[str, Tensor], name: str, k: int) -> str:
    """Write the k-th value of a variable; a dash where it was not drawn."""
    if name not in values:
        return "–"
    numbers = values[name][k].flatten().tolist()
    rest = f", … ({len(numbers)} numbers)" if len(numbers) > _NUMBERS else ""
    return ", ".join(number(float(v)) for v in numbers[:_NUMBERS]) + rest
