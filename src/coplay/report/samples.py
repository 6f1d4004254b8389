"""What the players' models draw: images in grids over the rounds, anything else as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from coplay.core.space import LABEL, Space, Variable
from coplay.report import figures
from coplay.report.parts import Cell, PageSection, Picture, Table, first_players
from coplay.report.words import number, shortened, words
from coplay.run.play import Play
from coplay.run.result import Result

_ROUNDS = 4  # columns of the main game
_SIDE = 5  # samples in a row of a cell, at most
_PIXELS = 200  # width of a cell, at most
_LISTED = 3  # samples per player in a table
_NUMBERS = 6  # numbers of one value in a table

Drawn = Mapping[str, Tensor]
"""What one model drew, by variable."""


@dataclass(frozen=True)
class _Snapshot:
    """What everybody drew after a round of a game.

    Args:
        game: The game's name.
        round: The round.
        drawn: By player, or seat.
    """

    game: str
    round: int
    drawn: Mapping[str, Drawn]


def section(result: Result) -> PageSection:
    """Samples of some rounds of the main game, and the last of each game carried along."""
    title = "What the players generate"
    snapshots = _snapshots(result)
    if not snapshots:
        text = "No samples are on disk: no round was measured."
        return PageSection("samples", title, [text], is_empty=True)
    space = result.record.data.space
    names = _drawn_variables(snapshots, space)
    images = [name for name in names if space[name].is_image]
    others = [name for name in names if name not in images]
    if images and LABEL in others:
        others.remove(LABEL)  # the images stand in the order of their classes
    layout = _strip_layout(result, snapshots)
    notes: list[str] = []
    if layout is None:
        rows, notes = first_players(result.parties)
        layout = _player_layout(result, snapshots, rows)
    pictures = [_picture(layout, name, space[name], result) for name in images]
    tables = []
    if others:
        last = [snapshot for snapshot in snapshots if snapshot.game == snapshots[0].game][-1]
        tables.append(_table(last, others, layout.rows, space))
    columns = [_column_data(snapshot, result.parties) for snapshot in snapshots]
    data = {"variables": {name: str(space[name]) for name in names}, "columns": columns}
    return PageSection("samples", title, notes, tables, pictures, data=data)


def _snapshots(result: Result) -> list[_Snapshot]:
    """From first to last round of the main game, evenly chosen, and the last of the others."""
    main, *others = result.plays.values()
    snapshots = [_snapshot(main, round) for round in _evenly(_rounds(main), _ROUNDS)]
    for play in others:
        snapshots += [_snapshot(play, round) for round in _rounds(play)[-1:]]
    return snapshots


def _snapshot(play: Play, round: int) -> _Snapshot:
    return _Snapshot(play.name, round, play.samples(round))


def _rounds(play: Play) -> list[int]:
    """The rounds after which samples were kept, in order."""
    return play.shown_rounds


def _evenly(items: list[int], count: int) -> list[int]:
    if len(items) <= count:
        return items
    last = len(items) - 1
    return [items[round(place * last / (count - 1))] for place in range(count)]


def _drawn_variables(snapshots: Sequence[_Snapshot], order: Iterable[str]) -> list[str]:
    """The variables that were drawn by anybody, in an order given."""
    drawn: set[str] = set()
    for snapshot in snapshots:
        for values in snapshot.drawn.values():
            drawn |= set(values)
    return [name for name in order if name in drawn]


def _column_data(snapshot: _Snapshot, parties: Sequence[str]) -> dict[str, object]:
    """A column as plain values, with the file that has its samples."""
    return {
        "game": snapshot.game,
        "round": snapshot.round,
        "file": f"{snapshot.game}/samples/round-{snapshot.round:06d}.safetensors",
        "players": [name for name in parties if name in snapshot.drawn],
    }


# ------------------------------------------------------------------------------------ layouts


@dataclass(frozen=True)
class _Layout:
    """Where the samples of each model stand in a picture.

    Args:
        rows: Names of the rows.
        columns: Headings of the columns, the main game's first.
        first: How many columns are the main game's.
        cells: Samples by row and heading.
        description: What the rows and columns are, for the caption.
        is_strip: Whether the single row is a strip, broken where the main game's columns end.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    first: int
    cells: Mapping[tuple[str, str], Drawn]
    description: str
    is_strip: bool = False


def _player_layout(
    result: Result,
    snapshots: Sequence[_Snapshot],
    rows: Sequence[str],
) -> _Layout:
    """One row per player."""
    main = result.main.name
    columns = []
    cells = {}
    for snapshot in snapshots:
        heading = f"round {snapshot.round}"
        if snapshot.game != main:
            heading = f"{words(snapshot.game)},\n{heading}"
        columns.append(heading)
        for row in rows:
            if row in snapshot.drawn:
                cells[row, heading] = snapshot.drawn[row]
    first = _count_of(main, snapshots)
    description = "one row per player."
    if first < len(columns):
        description += " Beside: the same player's models in the games carried along."
    return _Layout(rows, columns, first, cells, description)


def _strip_layout(result: Result, snapshots: Sequence[_Snapshot]) -> _Layout | None:
    """The samples of a seat, with a model of every other game; None unless it alone is measured."""
    main = result.main.name
    measured = result.sampled_from[main]
    if len(measured) != 1 or measured[0] not in result.seats:
        return None
    seat = measured[0]
    columns = []
    cells = {}
    for snapshot in snapshots:
        candidates = [seat, *result.sampled_from[snapshot.game]]
        owner = next((name for name in candidates if name in snapshot.drawn), "")
        heading = f"{words(snapshot.game)}: {owner}, round {snapshot.round}"
        columns.append(heading)
        if owner:
            cells[seat, heading] = snapshot.drawn[owner]
    first = _count_of(main, snapshots)
    description = f"of the {seat}."
    if first < len(columns):
        description += " Beneath: a model of each game carried along."
    return _Layout([seat], columns, first, cells, description, is_strip=True)


def _count_of(game: str, snapshots: Sequence[_Snapshot]) -> int:
    return sum(snapshot.game == game for snapshot in snapshots)


# ----------------------------------------------------------------------------------- pictures


def _picture(layout: _Layout, name: str, variable: Variable, result: Result) -> Picture:
    """The samples of one variable, real ones beside them."""
    drawn = {place: values for place, values in layout.cells.items() if name in values}
    side = _samples_in_a_row(variable, [values[name] for values in drawn.values()])
    count = side * side
    images = {place: by_class(values, name, count) for place, values in drawn.items()}
    has_classes = any(LABEL in values for values in drawn.values())
    columns = list(layout.columns)
    note = ""
    real = result.real_samples()
    if name in real and len(real[name]) >= count:
        if not has_classes:
            real = {name: real[name]}  # as they come, like the generated ones
        heading = "real, test split" if layout.is_strip else "real,\ntest split"
        columns.append(heading)
        note = " Last: real samples that nobody learned from."
        for number_of_row, row in enumerate(layout.rows):
            images[row, heading] = _real_images(real, name, count, number_of_row)
    low, high, scale = _scale(variable, images.values())
    is_binary = variable.kind == "binary"
    mosaics = {}
    for place, values in images.items():
        mosaics[place] = figures.mosaic(values, side, low, high, dark_ink=is_binary)
    png = _draw(mosaics, layout, columns)
    order = ", in the order of their classes" if has_classes else ""
    caption = (
        f"{words(name)} ({variable}): the first {count} samples drawn after a round of "
        f"{words(result.main.name)}{order}, {layout.description}{note} {scale}"
    )
    alt = f"Grids of generated samples of {name} per player and round"
    return Picture(f"samples-{name}", png, alt, caption)


def _samples_in_a_row(variable: Variable, drawn: Sequence[Tensor]) -> int:
    """How many samples stand in each row of a cell, and how many rows it has."""
    fewest = min(map(len, drawn))
    return max(1, min(_SIDE, _PIXELS // max(variable.shape[-2:]), math.isqrt(fewest)))


def _real_images(real: Drawn, name: str, count: int, number_of_row: int) -> np.ndarray:
    """Real samples for a row: other ones in every row, as far as they last."""
    start = number_of_row * count % (len(real[name]) - count + 1)
    part = {key: values[start:] for key, values in real.items()}
    return by_class(part, name, count)


def by_class(values: Drawn, name: str, n: int) -> np.ndarray:
    """The first n samples of a variable, in the order of their classes where these are known."""
    images = values[name][:n].float().numpy()
    if LABEL not in values:
        return images
    return images[np.argsort(values[LABEL][:n].numpy(), kind="stable")]


def _scale(variable: Variable, images: Iterable[np.ndarray]) -> tuple[float, float, str]:
    """What is drawn as the ends of the scale, and a sentence on it.

    All pictures have one scale, so that no model's faulty range is hidden.
    """
    low, high = variable.range
    if math.isfinite(low) and math.isfinite(high):
        if variable.kind == "binary":
            return low, high, "Black is 1."
        return low, high, f"Black is {low:g}, white {high:g}."
    images = list(images)
    low = min(float(values.min()) for values in images)
    high = max(float(values.max()) for values in images)
    ends = f"black is {low:.3g} and white {high:.3g}"
    return low, high, f"The range is unbounded; over all pictures here {ends}."


def _draw(
    mosaics: Mapping[tuple[str, str], np.ndarray],
    layout: _Layout,
    columns: Sequence[str],
) -> bytes:
    """The mosaics as they are laid out; a strip leaves columns out that have none."""
    if not layout.is_strip:
        return figures.mosaics(mosaics, layout.rows, columns, layout.first)
    (row,) = layout.rows
    drawn = {column: mosaics[row, column] for column in columns if (row, column) in mosaics}
    first = sum(column in drawn for column in columns[: layout.first])
    return figures.strip(drawn, first)


# -------------------------------------------------------------------------------------- table


def _table(
    snapshot: _Snapshot, names: Sequence[str], players: Sequence[str], space: Space
) -> Table:
    """Some samples of every player as numbers."""
    rows: list[list[Cell]] = []
    for player in players:
        values = snapshot.drawn.get(player)
        if not values:
            continue
        for place in range(min([_LISTED, *map(len, values.values())])):
            cells = []
            for name in names:
                cells.append(_cell(values, name, place, space))
            rows.append([f"{player} {place + 1}", *cells])
    caption = (
        f"The first {_LISTED} samples of each player drawn after round {snapshot.round} of "
        f"{words(snapshot.game)}."
    )
    return Table(["player, sample", *map(words, names)], rows, caption)


def _cell(values: Drawn, name: str, place: int, space: Space) -> str:
    """One value of a sample; a dash where the player did not draw the variable."""
    if name not in values:
        return "–"
    value = values[name][place]
    texts = space[name].names
    if texts is not None and not space[name].shape:
        return shortened([texts[int(value)]], 40)[0]
    return _write(value)


def _write(value: Tensor) -> str:
    numbers = value.flatten().tolist()
    rest = ""
    if len(numbers) > _NUMBERS:
        rest = f", … ({len(numbers)} numbers)"
    return ", ".join(number(float(v)) for v in numbers[:_NUMBERS]) + rest
