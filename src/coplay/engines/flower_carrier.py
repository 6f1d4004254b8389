"""What moves bytes between the coordinator and the nodes of sites, as Flower's Grid does.

A carrier pushes parcels to nodes and pulls answers; nothing here knows Flower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Parcel:
    """What travels to a node, or back from it.

    Args:
        node: The node that it goes to, or comes from.
        values: The envelope as plain values, not checked yet.
        body: The bytes inside.
    """

    node: int
    values: Mapping[str, object]
    body: bytes


@dataclass(frozen=True)
class Fault:
    """What comes back in the place of an answer.

    Args:
        reason: Why there is none, in words.
        is_away: Whether the node is out of reach, and may come back.
    """

    reason: str
    is_away: bool = False


class Carrier(Protocol):
    """What moves parcels; it needs no answer by a certain time, and never raises for a node."""

    def nodes(self) -> Sequence[int]:
        """Return the nodes that are there now."""
        ...

    def push(self, parcels: Sequence[Parcel], ttl: float) -> Sequence[str | Fault]:
        """Send parcels; return for each what its answer is called by, or why it did not leave."""
        ...

    def pull(self, ids: Sequence[str]) -> Mapping[str, Parcel | Fault]:
        """Return the answers that are there, by what they are called by."""
        ...
