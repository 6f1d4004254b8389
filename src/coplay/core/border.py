"""What stands between a player and everybody else: a record of what leaves, a limit on what enters.

A player of a simulation from one pool has no border; one with a site file has
(:mod:`coplay.site.border`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from coplay.core.message import Message, PlayerLost


class Border(Protocol):
    """Where messages enter and leave a site."""

    def enters(self, message: Message) -> tuple[Message, Mapping[str, str]]:
        """Return a request without the portions that the site does not accept.

        Args:
            message: A request that the gate has accepted.

        Returns:
            The request, and why each portion was dropped, by the name that it had in it.
        """
        ...

    def leaves(
        self, answer: Message | PlayerLost, receiver: str, plays: bool
    ) -> Message | PlayerLost:
        """Write down an answer before it leaves, and return it with the end of the record.

        Args:
            answer: What the player is about to give.
            receiver: To whom.
            plays: Whether it answers a move of the game, and not what every player is asked.

        Raises:
            EgressError: It cannot be written down, so it must not leave.
        """
        ...

    def restored(self, round: int) -> None:
        """Go back, with the player, to the end of a round."""
        ...
