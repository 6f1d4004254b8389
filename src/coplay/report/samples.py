"""What the players' models draw: images in grids over the rounds, anything else as a small table."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
    """Samples of every player: some rounds of the main game, and the last of each game carried along."""
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
    """What a picture shows.

    Args:
        rows: Names of the rows.
        columns: Headings of the columns, the main game's first.
        first: How many headings are the main game's.
        values: Samples by row and heading, then by variable.
        said: What the rows and columns are, for the caption.
        strip: Whether the single row is a strip, broken where the main game's columns end.
    """

    rows: list[str]
    columns: list[str]
    first: int
    values: Mapping[tuple[str, str], Mapping[str, Tensor]]
    said: str
    strip: bool


def _picture(result: Result, shown: Shown) -> tuple[_Picture, list[str]]:
    """One row per player; where the main game measures but a seat, this one's, with a model of every other game."""
    main = result.main.name
    lone = result.sampled_from[main]
    strip = len(lone) == 1 and lone[0] in result.seats
    rows: list[str] = lone
    notes: list[str] = []
    if not strip:
        rows, notes = first_players(result.parties)
    columns: dict[tuple[str, int], str] = {}
    values: dict[tuple[str, str], Mapping[str, Tensor]] = {}
    for (game, round), there in shown.items():
        who = {row: row for row in rows if row in there}
        columns[game, round] = (
            f"round {round}" if game == main else f"{words(game)},\nround {round}"
        )
        if strip:
            stand_in = next(
                (name for name in [*rows, *result.sampled_from[game]] if name in there), ""
            )
            who = {rows[0]: stand_in} if stand_in else {}
            columns[game, round] = f"{words(game)}: {stand_in}, round {round}"
        values |= {(row, columns[game, round]): there[name] for row, name in who.items()}
    first = sum(game == main for game, _ in shown)
    said = "one row per player." if not strip else f"of the {lone[0]}."
    if first < len(shown):
        what = "a model of each game" if strip else "the same player's models in the games"
        said += f" {'Beneath' if strip else 'Beside'}: {what} carried along."
    return _Picture(rows, list(columns.values()), first, values, said, strip), notes


def _shown(result: Result) -> dict[tuple[str, int], dict[str, dict[str, Tensor]]]:
    """First to last round of the main game, evenly chosen, and the last of the others."""
    picked = [(result.main.name, round) for round in _evenly(_rounds(result.main), _ROUNDS)]
    for name, play in list(result.plays.items())[1:]:
        picked += [(name, round) for round in _rounds(play)[-1:]]
    return {(game, round): result.plays[game].samples(round) for game, round in picked}


def _rounds(play: Play) -> list[int]:
    return sorted(
        int(path.stem.removeprefix("round-"))
        for path in (play.folder / "samples").glob("round-*.safetensors")
    )


def _evenly(items: list[int], count: int) -> list[int]:
    if len(items) <= count:
        return items
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]


def _grid(shown: _Picture, name: str, variable: Variable, result: Result) -> Picture:
    found = {key: values for key, values in shown.values.items() if name in values}
    few = min(len(values[name]) for values in found.values())
    side = max(1, min(5, 200 // max(variable.shape[-2:]), math.isqrt(few)))
    present = {key: by_class(values, name, side * side) for key, values in found.items()}
    sorted_by = any(LABEL in values for values in found.values())
    columns, note, real = list(shown.columns), "", result.real_samples()
    if name in real and len(real[name]) >= side * side:
        columns.append("real, test split" if shown.strip else "real,\ntest split")
        note = " Last: real samples that nobody learned from."
        for k, row in enumerate(shown.rows):  # other ones in every row, as far as they last
            start = k * side * side % (len(real[name]) - side * side + 1)
            part = {key: values[start:] for key, values in real.items() if key == name or sorted_by}
            present[row, columns[-1]] = by_class(part, name, side * side)
    low, high, said = _range(variable, list(present.values()))
    cells = {
        key: figures.mosaic(values, side, low, high, dark_ink=variable.kind == "binary")
        for key, values in present.items()
    }
    if shown.strip:
        there = {
            column: cells[shown.rows[0], column]
            for column in columns
            if (shown.rows[0], column) in cells
        }
        png = figures.strip(there, sum(column in there for column in columns[: shown.first]))
    else:
        png = figures.mosaics(cells, shown.rows, columns, shown.first)
    order = ", in the order of their classes" if sorted_by else ""
    caption = (
        f"{words(name)} ({variable}): the first {side * side} samples drawn after a round of {words(result.main.name)}"
        f"{order}, {shown.said}{note} {said}"
    )
    return Picture(
        f"samples-{name}",
        png,
        f"Grids of generated samples of {name} per player and round",
        caption,
    )


def by_class(values: Mapping[str, Tensor], name: str, n: int) -> np.ndarray:
    """The first n samples of a variable, in the order of their classes where these were drawn too."""
    images = values[name][:n].float().numpy()
    if LABEL not in values:
        return images
    return images[np.argsort(values[LABEL][:n].numpy(), kind="stable")]


def _range(variable: Variable, values: list[np.ndarray]) -> tuple[float, float, str]:
    """What is drawn as the darkest and the lightest; one scale for all, so that nobody's faulty range is hidden."""
    low, high = variable.range
    if math.isfinite(low) and math.isfinite(high):
        return (
            low,
            high,
            "Black is 1." if variable.kind == "binary" else f"Black is {low:g}, white {high:g}.",
        )
    low, high = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
    return (
        low,
        high,
        f"The range is unbounded; over all pictures here black is {low:.3g} and white {high:.3g}.",
    )


def _table(shown: Shown, names: list[str], players: list[str]) -> Table:
    game, round = next(reversed([column for column in shown if column[0] == next(iter(shown))[0]]))
    there = shown[game, round]
    rows: list[list[Cell]] = []
    for player in players:
        values = there.get(player, {})
        count = min([_LISTED, *map(len, values.values())]) if values else 0
        for k in range(count):
            cells = [_write(values[name][k]) if name in values else "–" for name in names]
            rows.append([f"{player} {k + 1}", *cells])
    caption = (
        f"The first {_LISTED} samples of each player drawn after round {round} of {words(game)}."
    )
    return Table(["player, sample", *map(words, names)], rows, caption)


def _write(value: Tensor) -> str:
    numbers = value.flatten().tolist()
    rest = f", … ({len(numbers)} numbers)" if len(numbers) > _NUMBERS else ""
    return ", ".join(number(float(v)) for v in numbers[:_NUMBERS]) + rest
