"""Writing weights into the text of a config, so that comments and order stay as they are."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from torch import Tensor

_REPLACED = ("alpha", "own_weight", "topology", "neighbours")
_DIGITS = 12  # of a weight; rows still sum to 1 within the tolerance of a config


def alpha_lines(alpha: Tensor, names: Sequence[str]) -> list[str]:
    """Return weights as lines of a section ``[game]``, one row a line with the player's name.

    Example:
        >>> import torch
        >>> alpha_lines(torch.tensor([[0.5, 0.5], [0.25, 0.75]]), ["north", "south"])
        ['alpha = [', '  [0.5, 0.5], # north', '  [0.25, 0.75], # south', ']']
    """
    lines = ["alpha = ["]
    for name, row in zip(names, alpha.tolist(), strict=True):
        numbers = ", ".join(_written(value) for value in row)
        lines.append(f"  [{numbers}], # {name}")
    return [*lines, "]"]


def _written(value: float) -> str:
    """Write a weight so that TOML reads a float."""
    text = f"{value:.{_DIGITS}g}"
    return text if set(text) & set(".e") else f"{text}.0"


def with_alpha(text: str, alpha: Tensor, names: Sequence[str]) -> str | None:
    """Return the text of a config with other weights; comments and ends of lines stay as they are.

    Args:
        text: The config's TOML, its lines ended by line feeds or as in Windows.
        alpha: The weights, shape (N, N).
        names: The players, in order.

    Returns:
        The new text; None where its game is not written as a section ``[game]``, so that no line
        can be put into its place.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    if not text.endswith("\n"):
        text += end
    lines = text.split("\n")  # in a file of Windows, each keeps its \r
    heads = [
        number
        for number, line in enumerate(lines)
        if line.split("#")[0].replace(" ", "").strip() == "[game]"
    ]
    if len(heads) != 1:
        return None
    start = heads[0] + 1
    kept, place, after = _without_weights(lines, start)
    rows = [f"{line}{end[:-1]}" for line in alpha_lines(alpha, names)]
    changed = [*lines[:start], *kept[:place], *rows, *kept[place:]]
    result = "\n".join([*changed, *lines[after:]])
    try:
        return result if _says_the_same(text, result) else None
    except tomllib.TOMLDecodeError:
        return None


def _without_weights(lines: Sequence[str], start: int) -> tuple[list[str], int, int]:
    """Return the section's lines without weights, where these stood, and where it ends."""
    kept: list[str] = []
    place = None
    number = start
    while number < len(lines) and not lines[number].lstrip().startswith("["):
        end = number + 1
        key = lines[number].partition("=")[0].strip().strip("\"'")  # keys may be quoted
        if "=" in lines[number] and not key.startswith("#"):
            end = _end_of_value(lines, number)
        if key in _REPLACED:
            place = len(kept) if place is None else place
        else:
            kept += lines[number:end]
        number = end
    if place is None:  # before the empty lines that end the section
        place = len(kept)
        while place and not kept[place - 1].strip():
            place -= 1
    return kept, place, number


def _end_of_value(lines: Sequence[str], start: int) -> int:
    """Return the line after a value, which may take several lines."""
    for end in range(start + 1, len(lines) + 1):
        try:
            tomllib.loads("\n".join(lines[start:end]) + "\n")
        except tomllib.TOMLDecodeError:
            continue
        return end
    return start + 1


def _says_the_same(before: str, after: str) -> bool:
    """Whether two texts differ in the weights only."""
    values = [_without(tomllib.loads(text)) for text in (before, after)]
    weights = [key for key in tomllib.loads(after).get("game", {}) if key in _REPLACED]
    return values[0] == values[1] and weights == ["alpha"]


def _without(values: dict[str, Any]) -> dict[str, Any]:
    game = dict(values.get("game", {}))
    for key in _REPLACED:
        game.pop(key, None)
    return {**values, "game": game}
