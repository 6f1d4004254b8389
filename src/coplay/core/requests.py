"""What every player is asked, whatever the game."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from coplay.core.message import Request

CLASSIFIED = "classified"
"""Name of the payload of an evaluation that a player classifies."""

SCORED = "scored"
"""Name of the payload of an evaluation whose log p is asked for."""

SERVED = "served"
"""Name of the payload of samples that are to be judged: those of a generator for everybody."""


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
        settings: Settings of metrics other than their targets, by name, as JSON.
    """

    # the player itself picks what it tells, by the names of the quantities
    tells_of_rows: ClassVar[bool] = False

    n: int
    metrics: Sequence[str]
    target: str = ""
    draws: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Judge(Request):
    """Compare this game's model with those of the games before, on rows that are kept for that.

    What comes of it stays at the player. Where a generator serves everybody, its samples are
    attached; they are judged in the place of the player's own.

    Args:
        n: Number of samples to draw.
        game: The game's name in the run.
        games: Names of all games of the run, in order.
        target: The variable to be predicted; empty for none.
        changes_draws: Whether the game can change what the player's model draws.
    """

    tells_of_rows: ClassVar[bool] = False

    n: int
    game: str
    games: Sequence[str]
    target: str = ""
    changes_draws: bool = True


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
    """Write a checkpoint of the model.

    Args:
        mark: What the coordinator will know this checkpoint by, at a player that keeps its files
            itself; empty for one whose files the coordinator keeps.
        kept: Rounds of the checkpoints that such a player keeps beside this one.
    """

    mark: str = ""
    kept: Sequence[int] = ()


@dataclass(frozen=True)
class Restore(Request):
    """Go back to the checkpoint of the message's round.

    Args:
        mark: What that checkpoint was marked with; empty for any.
    """

    mark: str = ""


@dataclass(frozen=True)
class Finish(Request):
    """Keep the model of the message's round, which is the game's last, and no checkpoint."""
