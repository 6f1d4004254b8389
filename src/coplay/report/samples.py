"""What the players' models draw: images in grids over the rounds, anything else as a small table."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from torch import Tensor

from coplay.report import figures
from coplay.report.head import players as player_names
from coplay.report.parts import Cell, Figure, Section, Table, first_players, number, words
from coplay.result import Play, Result, space_from_json
from coplay.space import Variable

_ROUNDS = 4  # columns of the main game
_LISTED = 3  # samples per player in a table
_NUMBERS = 6  # numbers of one value in a table

Shown = Mapping[tuple[str, int], Mapping[str, Mapping[str, Tensor]]]
"""Samples by game and round, then by player and variable."""


def section(result: Result) -> Section:
    """Samples of every player: some rounds of the main game, and the last of each game carried along."""
    title = "What the players generate"
    shown = _shown(result)
    if not shown:
        return Section("samples", title, ["No samples are on disk: no round was measured."])
    space = space_from_json(result.record["data"]["space"])
    drawn = {name for there in shown.values() for values in there.values() for name in values}
    names = [name for name in space if name in drawn]
    images = [name for name in names if is_image(space[name])]
    others = [name for name in names if name not in images]
    players, notes = first_players(player_names(result))
    real = result.real_samples()
    pictures = [_grid(shown, name, space[name], players, result.main.name, real.get(name)) for name in images]
    data = {
        "variables": {name: str(space[name]) for name in names},
        "columns": [
            {
                "game": game,
                "round": round,
                "file": f"{game}/samples/round-{round:06d}.safetensors",
                "players": [name for name in player_names(result) if name in there],
            }
            for (game, round), there in shown.items()
        ],
    }
    tables = [_table(shown, others, players)] if others else []
    return Section("samples", title, notes, tables, pictures, data=data)


def is_image(variable: Variable) -> bool:
    """Whether one sample can be drawn: (H, W), or (3, H, W) and (1, H, W)."""
    shape = variable.shape
    return variable.kind != "categorical" and (len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3)))


def _shown(result: Result) -> dict[tuple[str, int], dict[str, dict[str, Tensor]]]:
    """First to last round of the main game, evenly chosen, and the last of the others."""
    picked = [(result.main.name, round) for round in _evenly(_rounds(result.main), _ROUNDS)]
    for name, play in list(result.plays.items())[1:]:
        picked += [(name, round) for round in _rounds(play)[-1:]]
    return {(game, round): result.plays[game].samples(round) for game, round in picked}


def _rounds(play: Play) -> list[int]:
    return sorted(
        int(path.stem.removeprefix("round-")) for path in (play.folder / "samples").glob("round-*.safetensors")
    )


def _evenly(items: list[int], count: int) -> list[int]:
    if len(items) <= count:
        return items
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]


def _grid(shown: Shown, name: str, variable: Variable, players: list[str], main: str, real: Tensor | None) -> Figure:
    headings = {
        column: f"round {column[1]}" if column[0] == main else f"{words(column[0])},\nround {column[1]}"
        for column in shown
    }
    present = {
        (player, headings[column]): there[player][name].float().numpy()
        for column, there in shown.items()
        for player in players
        if name in there.get(player, {})
    }
    side = max(1, min(5, 200 // max(variable.shape[-2:]), math.isqrt(min(len(values) for values in present.values()))))
    first = sum(game == main for game, _ in shown)
    columns, note = list(headings.values()), ""
    if real is not None and len(real) >= side * side:
        columns, note = [*columns, "real,\ntest split"], " Last: real samples that nobody learned from."
        for k, player in enumerate(players):  # other ones in every row, as far as they last
            start = k * side * side % (len(real) - side * side + 1)
            present[player, columns[-1]] = real[start : start + side * side].float().numpy()
    low, high, said = _range(variable, list(present.values()))
    cells = {
        key: figures.mosaic(values[: side * side], side, low, high, dark_ink=variable.kind == "binary")
        for key, values in present.items()
    }
    png = figures.mosaics(cells, players, columns, first)
    beside = " Beside: the same player's models in the games carried along." if first < len(headings) else ""
    caption = (
        f"{words(name)} ({variable}): the first {side * side} samples drawn after a round of {words(main)}, one row "
        f"per player.{beside}{note} {said}"
    )
    return Figure(f"samples-{name}", png, f"Grids of generated samples of {name} per player and round", caption)


def _range(variable: Variable, values: list[np.ndarray]) -> tuple[float, float, str]:
    """What is drawn as the darkest and the lightest; one scale for all, so that nobody's faulty range is hidden."""
    low, high = variable.range
    if math.isfinite(low) and math.isfinite(high):
        return low, high, "Black is 1." if variable.kind == "binary" else f"Black is {low:g}, white {high:g}."
    low, high = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
    return low, high, f"The range is unbounded; over all pictures here black is {low:.3g} and white {high:.3g}."


def _table(shown: Shown, names: list[str], players: list[str]) -> Table:
    game, round = next(reversed([column for column in shown if column[0] == next(iter(shown))[0]]))
    there = shown[game, round]
    rows: list[list[Cell]] = [
        [f"{player} {k + 1}", *(_write(there[player][name][k]) if name in there[player] else "–" for name in names)]
        for player in players
        if player in there
        for k in range(min(_LISTED, *(len(values) for values in there[player].values())))
    ]
    caption = f"The first {_LISTED} samples of each player drawn after round {round} of {words(game)}."
    return Table(["player, sample", *map(words, names)], rows, caption)


def _write(value: Tensor) -> str:
    numbers = value.flatten().tolist()
    rest = f", … ({len(numbers)} numbers)" if len(numbers) > _NUMBERS else ""
    return ", ".join(number(float(v)) for v in numbers[:_NUMBERS]) + rest
