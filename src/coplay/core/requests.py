"""What every player is asked, whatever the game."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from coplay.core.message import Request


@dataclass(frozen=True)
class Evaluate(Request):
    """Draw samples to be measured; classify the attached real samples, or report their log p.

    Args:
        n: Number of samples to draw.
        draws: Encoder's draws per real sample, for log p by importance weighting.
    """

    n: int
    draws: int


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
