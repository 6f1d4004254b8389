"""What the coordinator knows of a player: what the player says of itself when it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from coplay.core.space import Space
from coplay.core.variable import Variable

PROTOCOL = 1
"""Number of the form of messages; parties with different ones cannot play together."""


@dataclass(frozen=True)
class Facts:
    """What a player says of itself before the first round.

    A game is checked, predicted, reported and measured by facts alone, wherever players are.

    Args:
        name: The player.
        coplay: The version of its coplay.
        protocol: The form of its messages.
        schema: Digest of the variables that it takes as agreed.
        space: The variables that it learns, as it knows them.
        latents: Variables that travel with its samples.
        unobserved: Those of its variables that its own data lack.
        model: What its model is called in texts.
        learns_incomplete: Whether it learns from samples that lack variables.
        has_log_prob: Whether it reports log p.
        classifies: Whether it gives classes to samples.
        network: What has to be equal where networks travel, by name; empty where none can.
        count: Number of its rows, as it tells it; None where it does not.
        shares: Shares of the categories of its target among its rows; NaN for one that it
            withholds, and empty where it tells none.
    """

    name: str
    coplay: str
    protocol: int
    schema: str
    space: Space
    latents: Mapping[str, Variable] = field(default_factory=dict)
    unobserved: Sequence[str] = ()
    model: str = ""
    learns_incomplete: bool = False
    has_log_prob: bool = False
    classifies: bool = False
    network: Mapping[str, str] = field(default_factory=dict)
    count: int | None = None
    shares: Sequence[float] = ()
