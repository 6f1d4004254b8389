"""The only thing that leaves a player, hence the place where traffic is counted.

A message carries a *request*, which says what is asked in a type of its own; *numbers*, which
models report; and a *payload*, a mapping from a party's name to a sample set: *from whom* in a
request (player i receives the samples that j drew for it), *for whom* in a reply. A payload may
also be a :class:`Handle`, which a game routes without reading.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

from coplay.core.errors import MessageError
from coplay.core.plain import Plain, flatten, restored, shortened
from coplay.core.space import Samples, payload_bytes

COORDINATOR = "coordinator"
"""Name of the party that runs :meth:`Game.play`; no player may have it."""


@runtime_checkable
class Handle(Protocol):
    """A payload by reference: it lives elsewhere, as an object of a cluster, say."""

    @property
    def size_bytes(self) -> int:
        """Size of the payload it stands for."""
        ...

    @property
    def count(self) -> int:
        """Number of samples it stands for."""
        ...

    def fetch(self) -> Samples:
        """Bring the samples here.

        Raises:
            PartLostError: They were lost with the machine that stored them.
        """
        ...


Payload = Samples | Handle
"""One sample set in a message, by value or by reference."""


@dataclass(frozen=True)
class Request:
    """What a message asks; a subclass is a frozen dataclass whose fields are plain values.

    Plain values are a bool, an int, a float, a text, and sequences and mappings of these, so that
    any engine can carry them (:func:`request_to_plain`). Settings are never sent: the game is at
    both ends.

    Example:
        >>> @dataclass(frozen=True)
        ... class TakeTurn(Request):
        ...     steps: int
        >>> TakeTurn(3).action
        'take turn'
    """

    tells_of_rows: ClassVar[bool] = True
    """Whether numbers of the reply may be computed from the player's real rows.

    Of these a player tells those that its site file names, and no others.
    """

    repeats: ClassVar[bool] = False
    """Whether requests of this kind that differ may have the same place in a round."""

    @property
    def order(self) -> int:
        """Where in its round the request stands, for a game that asks the same more than once.

        It grows from request to request of one kind; by it a player recognises one that comes
        twice.
        """
        return 0

    @property
    def until(self) -> int:
        """The last place in its round that the request takes, where it takes more than one."""
        return self.order

    @property
    def passed_on_by(self) -> Mapping[str, str]:
        """By whom parts of the payload are passed on, by the name of their first sender.

        Parts of others come from those themselves. Traffic is counted on the link that was taken.
        """
        return {}

    @property
    def action(self) -> str:
        """What is asked, in words, for errors and logs."""
        return action_of(type(self))


def action_of(request: type[Request]) -> str:
    """Return what a kind of request asks, in words: the class's name, split at its capitals."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", request.__name__).lower()


_ACTION = "action"


def request_to_plain(request: Request) -> dict[str, Plain]:
    """Flatten a request to plain values, for an engine that must not pickle.

    Args:
        request: Any request; none may have a field called ``action``.

    Example:
        >>> @dataclass(frozen=True)
        ... class Turn(Request):
        ...     own: float
        ...     draw: Mapping[str, int]
        >>> request_to_plain(Turn(0.5, {"south": 3}))
        {'action': 'turn', 'own': 0.5, 'draw.keys': ['south'], 'draw.values': [3]}
        >>> request_from_plain({"action": "turn", "own": "much"}, [Turn], "a message of 'north'")
        Traceback (most recent call last):
        coplay.core.errors.MessageError: a message of 'north' is no valid Turn: own: ...
    """
    return {_ACTION: request.action, **flatten(request)}


def request_from_plain(
    values: Mapping[str, object], known: Iterable[type[Request]], origin: str
) -> Request:
    """Build the request that :func:`request_to_plain` flattened, trusting nothing about the values.

    Args:
        values: Plain values by name.
        known: The kinds of request that are allowed: a game's and a player's.
        origin: Where the values come from, for the error.

    Raises:
        MessageError: The action is unknown, or its values do not fit its kind; the message lists
            all faults.
    """
    kinds = {action_of(kind): kind for kind in known}
    action = values.get(_ACTION)
    if not isinstance(action, str) or action not in kinds:
        listed = ", ".join(sorted(kinds)) or "nothing"
        raise MessageError(f"{origin} asks {action!r}, which nobody knows here; known: {listed}")
    rest = {name: value for name, value in values.items() if name != _ACTION}
    return restored(kinds[action], rest, origin)


@dataclass(frozen=True)
class Head:
    """The end of a site's record of all that left it, as every answer of the site names it.

    Args:
        lines: How many lines the record has, with that of the answer.
        digest: The digest of the last of them, which holds that of the one before.

    Example:
        >>> Head(3, "0" * 64).fault, Head(0, "0" * 64).fault
        ('', 'expected a number of lines from 1, got 0')
    """

    lines: int
    digest: str

    @property
    def fault(self) -> str:
        """What is wrong with a head that came from elsewhere; empty if nothing is."""
        if type(self.lines) is not int or self.lines < 1:
            return f"expected a number of lines from 1, got {shortened(self.lines)}"
        if type(self.digest) is not str or not _DIGEST.fullmatch(self.digest):
            return f"expected the digest of a line, got {shortened(self.digest)}"
        return ""


_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Message:
    """One request to a player, or its answer.

    Args:
        request: What is asked.
        sender: Name of the party that sends it.
        receiver: Name of the party that it is for.
        round: The round it belongs to; an answer carries the round of its request.
        numbers: Small named numbers that are reported, such as losses and counts.
        payload: Sample sets by the name of the party they come from or go to.
        head: The end of the sender's record of what left it; None where it keeps none.

    Example:
        >>> ask = Message(Request(), COORDINATOR, "north", 3)
        >>> ask.reply(numbers={"loss": 0.1}).receiver
        'coordinator'
    """

    request: Request
    sender: str
    receiver: str
    round: int
    numbers: Mapping[str, float] = field(default_factory=dict)
    payload: Mapping[str, Payload] = field(default_factory=dict)
    head: Head | None = None

    @property
    def action(self) -> str:
        """What is asked, in words."""
        return self.request.action

    def reply(
        self,
        numbers: Mapping[str, float] | None = None,
        payload: Mapping[str, Payload] | None = None,
    ) -> Message:
        """Answer this message: same request and round, sender and receiver exchanged."""
        return Message(
            self.request, self.receiver, self.sender, self.round, numbers or {}, payload or {}
        )

    def samples(self) -> dict[str, Samples]:
        """Return the payload by value: references are fetched."""
        return {name: _by_value(payload) for name, payload in self.payload.items()}


def _by_value(payload: Payload) -> Samples:
    return payload if isinstance(payload, Samples) else payload.fetch()


@dataclass(frozen=True)
class PlayerLost:
    """What an engine returns in place of a reply that will not come.

    Args:
        player: Name of the player that was lost.
        action: What it had been asked to do.
        round: The round in which it was asked.
        reason: Why it was lost, in words.
        head: The end of its record of what left it; None where it keeps none.

    Example:
        >>> PlayerLost("north", "take turn", 3, "its disk is full").player
        'north'
    """

    player: str
    action: str
    round: int
    reason: str
    head: Head | None = None


@dataclass(frozen=True)
class PlayerLate(PlayerLost):
    """A reply did not arrive in time: the player misses this round and stays in the game."""


@dataclass(frozen=True)
class PlayerDied(PlayerLost):
    """The player's process is gone, so it cannot be asked anything any more."""


@dataclass(frozen=True)
class PlayerUnsaved(PlayerLost):
    """The player's model has no state that can be saved, so a run cannot go on with it."""


def bytes_of(payload: Payload) -> int:
    """Return the number of bytes of the tensors in a payload, without any framing."""
    if isinstance(payload, Samples):
        return payload_bytes(payload)
    return payload.size_bytes


def count_of(payload: Payload) -> int:
    """Return the number of samples in a payload."""
    if isinstance(payload, Samples):
        return len(payload)
    return payload.count


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
        """The purpose without its part: ``exchange`` for ``exchange/feedback``."""
        return self.purpose.partition("/")[0]


class Ledger:
    """Payload bytes and sample counts per purpose and link.

    A link leads from the logical sender to the logical receiver.

    Args:
        links: Traffic that was counted before, for instance until a checkpoint.

    Example:
        >>> ledger = Ledger()
        >>> ledger.add("exchange", "south", "north", bytes=640, samples=10)
        >>> ledger.links()
        [LinkTraffic(purpose='exchange', sender='south', receiver='north', bytes=640, samples=10)]
    """

    def __init__(self, links: Iterable[LinkTraffic] = ()) -> None:
        self._places: dict[tuple[str, str, str], int] = {}
        # by place; two objects for each of a million links would take 100 MB
        self._bytes = array("q")
        self._samples = array("q")
        self._totals: dict[str, int] = {}  # bytes by purpose
        for link in links:
            self.add(
                link.purpose, link.sender, link.receiver, bytes=link.bytes, samples=link.samples
            )

    def add(self, purpose: str, sender: str, receiver: str, *, bytes: int, samples: int) -> None:
        """Add one payload that went from ``sender`` to ``receiver``."""
        key = (purpose, sender, receiver)
        place = self._places.setdefault(key, len(self._bytes))
        if place == len(self._bytes):
            self._bytes.append(0)
            self._samples.append(0)
        self._bytes[place] += bytes
        self._samples[place] += samples
        self._totals[purpose] = self._totals.get(purpose, 0) + bytes

    def total(self, heading: str) -> int:
        """Return the bytes of one heading over all links, including its parts."""
        total = 0
        for purpose, sent in self._totals.items():
            if purpose.partition("/")[0] == heading:
                total += sent
        return total

    def __len__(self) -> int:
        """Return the number of links with traffic, for each purpose."""
        return len(self._places)

    def __iter__(self) -> Iterator[LinkTraffic]:
        """Go through the traffic per purpose and link, in order of first use."""
        for key, sent, samples in zip(self._places, self._bytes, self._samples, strict=True):
            yield LinkTraffic(*key, sent, samples)

    def links(self) -> list[LinkTraffic]:
        """Return the traffic per purpose and link, in order of first use."""
        return list(self)
