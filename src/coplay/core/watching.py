"""Who looks at what a player answers, at the player's own side, after it was made."""

from __future__ import annotations

from typing import Protocol

from coplay.core.message import Message


class Watching(Protocol):
    """Looks at answers as they leave; it changes none, and nothing random of play."""

    def noted(self, reply: Message) -> None:
        """Take note of an answer that is about to leave.

        Args:
            reply: The answer, with the request that it answers.
        """
        ...
