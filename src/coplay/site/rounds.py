"""What a site measured round after round, read back from its own file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from coplay.core import storage
from coplay.metrics.base import Value
from coplay.metrics.table_view import TableView

L = TypeVar("L")


@dataclass(frozen=True)
class SiteRound:
    """What a site measured after one round of one game.

    Args:
        game: The game.
        round: The round.
        values: Every value by its name.
        unmeasured: Why a metric was not measured, by its name.
        left: Names of the values that left the site.
    """

    game: str
    round: int
    values: dict[str, Value]
    unmeasured: dict[str, str]
    left: tuple[str, ...]


def read_rounds(game: str, path: Path) -> list[SiteRound]:
    """Read a site's own file of a game, one line a measured round.

    Args:
        game: The game's name.
        path: The file.

    Raises:
        CheckpointError: It is damaged.
    """
    return read_lines(path, lambda line: _round(game, line))


def read_view(path: Path) -> TableView:
    """Read what a site wrote down of its columns.

    Args:
        path: The file.

    Raises:
        CheckpointError: It is damaged.
    """
    views = read_lines(path, lambda line: TableView.from_json(json.dumps(line)))
    if not views:
        raise storage.damaged(path, "it is empty", "play again to have it anew")
    return views[-1]


@dataclass(frozen=True)
class Reported:
    """What a site's model reported of learning in one round of one game.

    Args:
        game: The game.
        round: The round.
        numbers: Every number by its name.
        left: Names of the numbers that left the site.
    """

    game: str
    round: int
    numbers: Mapping[str, float]
    left: tuple[str, ...]


def read_reported(game: str, path: Path) -> list[Reported]:
    """Read what a site wrote down of its model's numbers, one line a round.

    Args:
        game: The game's name.
        path: The file, which need not be there.

    Raises:
        CheckpointError: It is damaged.
    """
    if not path.exists():
        return []
    return read_lines(path, lambda line: _reported(game, line))


def read_lines(path: Path, made: Callable[[dict[str, Any]], L]) -> list[L]:
    """Read a file of a site's own, and make something of each line.

    Args:
        path: The file.
        made: Makes it of a line's values.

    Raises:
        CheckpointError: The file is damaged.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [made(json.loads(line)) for line in lines]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise storage.damaged(path, error, "play again to have it anew") from error


def _round(game: str, line: dict[str, Any]) -> SiteRound:
    values = {name: Value.from_json(value) for name, value in line["values"].items()}
    return SiteRound(game, line["round"], values, line["unmeasured"], tuple(line["told"]))


def _reported(game: str, line: dict[str, Any]) -> Reported:
    numbers = {name: float(number) for name, number in line["numbers"].items()}
    return Reported(game, int(line["round"]), numbers, tuple(line["told"]))
