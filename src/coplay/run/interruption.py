"""Where a run was interrupted, and from where it went on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

_ENDS = {
    "stopped": "It was stopped by hand",
    "failed": "It failed",
    "running": "It ended without a word, as when its process is killed or the power fails",
}


@dataclass(frozen=True)
class Interruption:
    """An end before the last round, after which a run was resumed.

    Args:
        status: What the record said when the run was resumed: ``"stopped"``, ``"failed"``, or
            ``"running"`` where its process could say nothing any more.
        reason: Why it ended, as far as it is known.
        rounds: By game, the round from whose checkpoint it went on; 0 for the beginning.
        back: Whether that was the checkpoint before the last one.
    """

    status: str
    reason: str
    rounds: Mapping[str, int]
    back: bool = False

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Undo ``asdict``."""
        return cls(**values)

    def sentence(self, game_words: Mapping[str, str]) -> str:
        """Say how the run ended and from where it went on.

        Args:
            game_words: What the games are called, by name.

        Example:
            >>> Interruption("failed", "disk full", {"pooled": 4}).sentence({"pooled": "pooled"})
            'It failed: disk full. It went on after round 4 of pooled.'
        """
        end = _ENDS.get(self.status, f"It ended as {self.status}")
        if self.reason and self.status == "failed":
            end += f": {self.reason.rstrip('.')}"
        begun = []
        for game, round in self.rounds.items():
            if round:
                begun.append(f"round {round:,} of {game_words.get(game, game)}")
        if not begun:
            return f"{end}. It began anew, since there was no checkpoint."
        which = " by the checkpoint before the last one" if self.back else ""
        return f"{end}. It went on after {' and '.join(begun)}{which}."
