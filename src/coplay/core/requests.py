"""What every player is asked, whatever the game."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from coplay.core.message import Request

CLASSIFIED = "classified"
"""Name of the payload of an evaluation that a player classifies."""

SCORED = "scored"
"""Name of the payload of an evaluation whose log p is asked for."""


@dataclass(frozen=True)
class Evaluate(Request):
    """Draw samples to be measured; classify the attached real samples, or report their log p.

    Args:
        n: Number of samples to draw.
        draws: Encoder's draws per real sample, for log p by importance weighting.
    """

    # log p is that of the rows that came along
    tells_of_rows: ClassVar[bool] = False

    n: int
    draws: int


@dataclass(frozen=True)
class Measure(Request):
    """Draw samples, and measure them on the own held-out rows.

    Args:
        n: Number of samples to draw.
        metrics: Names of coplay's own metrics.
        target: The variable to be predicted; empty for the class.
        draws: Encoder's draws per row, for log p by importance weighting; 0 for no log p.
    """

    # the player itself picks what it tells, by the names of the quantities
    tells_of_rows: ClassVar[bool] = False

    n: int
    metrics: Sequence[str]
    target: str = ""
    draws: int = 0


@dataclass(frozen=True)
class Gain(Request):
    """Estimate what playing on alone would gain, against the attached samples (A3).

    Args:
        steps: Learning steps.
        draws: Encoder's draws per sample, for log p by importance weighting.
        own: Weight of the player's own data, α_ii.
        weights: Weights of the others' samples, α_ij, by name.
    """

    steps: int
    draws: int
    own: float
    weights: Mapping[str, float]


@dataclass(frozen=True)
class Save(Request):
    """Write a checkpoint of the model."""


@dataclass(frozen=True)
class Restore(Request):
    """Go back to the checkpoint of the message's round."""


SHOWING = (Evaluate, Measure, Gain)
"""What is asked of the samples that a player shows; the others are of its model's state."""
