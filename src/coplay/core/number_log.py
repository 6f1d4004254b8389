"""What a player's model reported, written down at the player whether it told it or not."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coplay.core import storage
from coplay.core.measures import FLOPS
from coplay.core.telling import Telling


class NumberLog:
    """The numbers that a player computed from its rows, a line a round, for its owner alone.

    Where a game asks for a number several times in a round, the line has the mean.

    Args:
        path: The file; None where nothing is written.
        tell: What the player tells.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "north.jsonl"
        >>> log = NumberLog(path, Telling(numbers=("loss",)))
        >>> log.add(1, {"loss": 0.5, "accuracy": 0.25})
        >>> log.add(1, {"loss": 1.5})
        >>> log.write()
        >>> print(path.read_text().strip())
        {"round": 1, "numbers": {"loss": 1.0, "accuracy": 0.25}, "told": ["loss"]}
    """

    def __init__(self, path: Path | None, tell: Telling) -> None:
        self.path = path
        self.tell = tell
        self._round = 0
        self._values: dict[str, list[float]] = {}
        self._is_written = True

    def add(self, round: int, numbers: Mapping[str, float]) -> None:
        """Take up what was reported in a round, before anything of it is withheld."""
        if self.path is None:
            return
        if round != self._round:
            self.write()
            self._round = round
            self._values = {}
        for name, number in numbers.items():
            # a game of the user's own may return anything; the coordinator's gate says so
            is_number = isinstance(number, int | float) and math.isfinite(number)
            if name != FLOPS and is_number:
                self._values.setdefault(name, []).append(float(number))
                self._is_written = False

    def write(self) -> None:
        """Write the line of this round, in the place of one that may be there already."""
        if self.path is None or self._is_written:
            return
        means = {}
        for name, values in self._values.items():
            means[name] = sum(values) / len(values)
        line = {
            "round": self._round,
            "numbers": means,
            "told": [name for name in means if self.tell.tells(name)],
        }
        drop_from(self.path, self._round)
        storage.append_privately(self.path, json.dumps(line, ensure_ascii=False) + "\n")
        self._is_written = True

    def plain(self) -> dict[str, Any]:
        """Return what is not written yet, for a player that is made anew for each message."""
        return {"round": self._round, "values": self._values, "written": self._is_written}

    def take(self, values: Mapping[str, Any]) -> None:
        """Take up what :meth:`plain` returned."""
        self._round = values["round"]
        self._values = {name: list(each) for name, each in values["values"].items()}
        self._is_written = values["written"]

    def forget_after(self, round: int) -> None:
        """Drop what was reported after a round, since the player goes on from there."""
        self._values = {}
        self._is_written = True
        if self.path is not None:
            drop_from(self.path, round + 1)


def drop_from(path: Path, round: int) -> None:
    """Drop the lines of a round and of later ones from a file with a line a round."""
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if _round_of(line) < round]
    if len(kept) < len(lines):
        # in one step, so that a kill in between loses no earlier round
        storage.write_atomically(path, "".join(kept).encode(), private=True)


def _round_of(line: str) -> float:
    """Return the round of a line; one that was cut off while it was written counts as the last."""
    try:
        return int(json.loads(line)["round"])
    except (ValueError, KeyError, TypeError):
        return math.inf
