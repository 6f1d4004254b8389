"""The ends of the sites' records, as the coordinator knows them: an older one is refused.

A chain of lines shows that none of them was changed or taken out, and cannot show that its end is
missing. So each answer of a site names the end of its record, and whoever has that notices a record
that was rolled back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from coplay.core.message import Head, Message, PlayerLost

T = TypeVar("T", Message, PlayerLost, Message | PlayerLost)


class Heads:
    """The last end of the record that each site named.

    Args:
        known: The ends that are known from before, by player.

    Example:
        >>> from coplay.core.requests import Finish
        >>> ask = Message(Finish(), "coordinator", "north", 3)
        >>> heads = Heads({"north": Head(7, "a" * 64)})
        >>> lost = heads.checked(ask, Message(Finish(), "north", "coordinator", 3))
        >>> print(lost.reason)
        its answer names no end of its egress record, of which line 7 is known here
    """

    def __init__(self, known: Mapping[str, Head] | None = None) -> None:
        self._known = dict(known or {})

    @property
    def known(self) -> Mapping[str, Head]:
        """The last end that each site named, by player; those that keep no record are not there."""
        return self._known

    def checked(self, ask: Message, answer: Message | PlayerLost) -> Message | PlayerLost:
        """Return an answer, or a loss where its record ends before what was known of it.

        Args:
            ask: What was asked.
            answer: What the gate let through.
        """
        known = self._known.get(ask.receiver)
        end = answer.head
        fault = ""
        if end is None:
            if known is not None and isinstance(answer, Message):
                fault = (
                    "its answer names no end of its egress record, of which line "
                    f"{known.lines} is known here"
                )
        elif known is not None and end.lines <= known.lines:
            fault = (
                f"its egress record ends with line {end.lines}, and line {known.lines} is known "
                "here: it was rolled back, or begun anew. Restore it at the site; without it "
                "nobody knows what left"
            )
        else:
            self._known[ask.receiver] = end
        if fault:
            return PlayerLost(ask.receiver, ask.action, ask.round, fault)
        return answer
