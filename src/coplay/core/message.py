"""The only thing that leaves a player, hence the place where traffic is counted.

A payload is a mapping from a party's name to a sample set: *from whom* in a request (player i receives the samples that
j drew for it), *for whom* in a reply. A part may also be a :class:`Handle`, which a game routes without reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from coplay.core.space import Samples, payload_bytes

COORDINATOR = "coordinator"
"""Name of the party that runs :meth:`Game.play`; no player may have it."""


@runtime_checkable
class Handle(Protocol):
    """A payload part by reference: it lives elsewhere, as an object of a cluster, say."""

    size_bytes: int
    """Size of the payload it stands for."""
    count: int
    """Number of samples it stands for."""

    def fetch(self) -> Samples:
        """Bring the samples here.

        Raises:
            PartLostError: They went down with the machine that held them.
        """
        ...


Part = Samples | Handle


@dataclass(frozen=True)
class Message:
    """One request to a player, or its answer.

    Args:
        action: What is asked, in the game's own words.
        sender: Who sends it.
        receiver: Whom it is for.
        round: The round it belongs to; an answer carries the round of its request.
        numbers: Small named numbers (counts, weights, losses).
        payload: Sample sets by the name of the party they come from or go to.

    Example:
        >>> ask = Message("draw", COORDINATOR, "north", 3, numbers={"n/south": 10})
        >>> ask.reply(numbers={"seconds": 0.1}).receiver
        'coordinator'
    """

    action: str
    sender: str
    receiver: str
    round: int
    numbers: Mapping[str, float] = field(default_factory=dict)
    payload: Mapping[str, Part] = field(default_factory=dict)

    def reply(self, numbers: Mapping[str, float] | None = None, payload: Mapping[str, Part] | None = None) -> Message:
        """The answer to this message: same action and round, sender and receiver exchanged."""
        return Message(self.action, self.receiver, self.sender, self.round, numbers or {}, payload or {})

    def samples(self) -> dict[str, Samples]:
        """The payload by value: references are fetched."""
        return {name: part if isinstance(part, Samples) else part.fetch() for name, part in self.payload.items()}

    def group(self, prefix: str) -> dict[str, float]:
        """The numbers named ``prefix/key``, by key."""
        start = prefix + "/"
        return {key[len(start) :]: value for key, value in self.numbers.items() if key.startswith(start)}


@dataclass(frozen=True)
class PlayerLost:
    """What an engine returns in place of a reply that will not come.

    Args:
        player: Who was lost.
        action: What it had been asked.
        round: In which round.
        reason: Why, in words.
    """

    player: str
    action: str
    round: int
    reason: str


@dataclass(frozen=True)
class PlayerLate(PlayerLost):
    """In place of a reply that did not come in time: the player is left out of this round and stays in the game."""


@dataclass(frozen=True)
class PlayerDied(PlayerLost):
    """In place of a reply of a player whose process is gone: it cannot be asked anything any more."""


def part_bytes(part: Part) -> int:
    """Bytes of the numbers in a payload part."""
    return payload_bytes(part) if isinstance(part, Samples) else part.size_bytes


def part_count(part: Part) -> int:
    """Number of samples in a payload part."""
    return len(part) if isinstance(part, Samples) else part.count


@dataclass(frozen=True)
class LinkTraffic:
    """What travelled on one link for one purpose.

    Args:
        purpose: Heading, such as ``"exchange"``, or a part of one, such as ``"exchange/feedback"``.
        sender: Name of the logical sender.
        receiver: Name of the logical receiver.
        bytes: Payload without any framing.
        samples: Number of samples, or of other rows such as a model's parameters.
    """

    purpose: str
    sender: str
    receiver: str
    bytes: int
    samples: int

    @property
    def heading(self) -> str:
        """``exchange`` of ``exchange/feedback``."""
        return self.purpose.partition("/")[0]


class Ledger:
    """Payload bytes and sample counts per link and purpose, from logical sender to logical receiver.

    Example:
        >>> ledger = Ledger()
        >>> ledger.add("exchange", "south", "north", bytes=640, samples=10)
        >>> ledger.rows()
        [{'purpose': 'exchange', 'sender': 'south', 'receiver': 'north', 'bytes': 640, 'samples': 10}]
    """

    def __init__(self, entries: Mapping[tuple[str, str, str], tuple[int, int]] | None = None) -> None:
        self._entries = dict(entries or {})

    def add(self, purpose: str, sender: str, receiver: str, *, bytes: int, samples: int) -> None:
        """Add one payload part that went from ``sender`` to ``receiver``."""
        key = (purpose, sender, receiver)
        old_bytes, old_samples = self._entries.get(key, (0, 0))
        self._entries[key] = (old_bytes + bytes, old_samples + samples)

    def total(self, purpose: str) -> int:
        """Bytes of one purpose over all links; parts of it, named ``purpose/part``, count too."""
        return sum(b for (p, _, _), (b, _) in self._entries.items() if p.partition("/")[0] == purpose)

    def rows(self) -> list[dict[str, str | int]]:
        """One row per purpose and link, in order of first use."""
        return [
            {"purpose": p, "sender": s, "receiver": r, "bytes": b, "samples": n}
            for (p, s, r), (b, n) in self._entries.items()
        ]

    @classmethod
    def from_rows(cls, rows: list[dict[str, str | int]]) -> Ledger:
        """The inverse of :meth:`rows`."""
        return cls(
            {
                (str(r["purpose"]), str(r["sender"]), str(r["receiver"])): (int(r["bytes"]), int(r["samples"]))
                for r in rows
            }
        )
