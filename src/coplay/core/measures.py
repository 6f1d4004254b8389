"""Values that players measure on their own rows, and how they travel as numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from coplay.core import requests
from coplay.core.space import Samples, Space

FLOPS = "flops"
"""Name of the number that a turn reports for its floating-point operations.

It counts matrix products and convolutions, forward and backward, as torch's counter does, and says
nothing of rows.
"""


@dataclass(frozen=True)
class Measure:
    """A quantity that a player measures on its own held-out rows.

    Args:
        unit: Its unit, in words that say where it was measured.
        better: The direction that is better; None where neither is.
        low: Smallest value that it can have.
        high: Largest value that it can have.
    """

    unit: str
    better: Literal["higher", "lower"] | None
    low: float = -math.inf
    high: float = math.inf


HELD_OUT = "on the player's own held-out rows"

MEASURES: Mapping[str, Measure] = {
    "column_fidelity": Measure(
        f"mean of KSComplement and TVComplement over columns {HELD_OUT}, 1 is best",
        "higher",
        0,
        1,
    ),
    "pair_fidelity": Measure(
        "mean of CorrelationSimilarity and ContingencySimilarity over pairs of columns "
        f"{HELD_OUT}, 1 is best",
        "higher",
        0,
        1,
    ),
    "utility": Measure(
        f"accuracy (R² for a number) of the target {HELD_OUT}, learned from samples",
        "higher",
        high=1,
    ),
    "utility_of_real": Measure(
        f"accuracy (R² for a number) of the target {HELD_OUT}, learned from its own real rows",
        "higher",
        high=1,
    ),
    "utility_boosted": Measure(
        f"accuracy (R² for a number) of the target {HELD_OUT}, learned by boosted trees from "
        "samples",
        "higher",
        high=1,
    ),
    "utility_of_real_boosted": Measure(
        f"accuracy (R² for a number) of the target {HELD_OUT}, learned by boosted trees from its "
        "own real rows",
        "higher",
        high=1,
    ),
    "copies_share": Measure(
        "share of samples nearer to the player's training rows than 95 % of its held-out rows",
        "lower",
        0,
        1,
    ),
    "partial_copies_share": Measure(
        "share of samples nearer to the player's training rows, in the columns that agree best, "
        "than 95 % of its held-out rows",
        "lower",
        0,
        1,
    ),
    "nearest_training_ratio": Measure(
        "median distance to the player's training rows over that of its held-out rows",
        None,
        0,
    ),
    "log_p": Measure(f"nats per row {HELD_OUT}", "higher"),
}
"""What may travel, by its name."""

OF_METRIC: Mapping[str, Sequence[str]] = {
    "fidelity": ("column_fidelity", "pair_fidelity"),
    "utility": (
        "utility",
        "utility_of_real",
        "utility_boosted",
        "utility_of_real_boosted",
    ),
    "memorisation": ("copies_share", "partial_copies_share", "nearest_training_ratio"),
}
"""The quantities of each metric that a player measures itself."""

OF_REAL_ROWS = ("utility_of_real", "utility_of_real_boosted")
"""Quantities of real rows and not of samples, whose n is a number of rows too."""

COUNTED = (
    "column_fidelity",
    "pair_fidelity",
    "utility",
    "utility_of_real",
    "utility_boosted",
    "utility_of_real_boosted",
    "copies_share",
    "partial_copies_share",
)
"""Quantities whose digits may show on how many real rows they were counted."""

PARTS = ("low", "high", "n", "n_real")
"""What may come along with a value, beside its name and a space."""


def part_name(name: str, part: str) -> str:
    """Return under which name a part of a value travels.

    Example:
        >>> part_name("utility", "low")
        'utility low'
    """
    return f"{name} {part}"


class Held(Protocol):
    """The rows of a player that it does not learn from."""

    @property
    def scored(self) -> Samples:
        """Those that samples are scored on."""
        ...


class Judged(Protocol):
    """A player whose model is judged, as its measurer sees it."""

    name: str
    seed: int
    learned: bool
    model: Any

    @property
    def variables(self) -> Space:
        """The variables that it learns."""
        ...

    def draw(self, n: int, round: int, receiver: str) -> Samples:
        """Draw samples of its model."""
        ...


class Measurer(Protocol):
    """What a player measures with, on rows of its own that it does not learn from."""

    @property
    def holdings(self) -> Held:
        """The rows."""
        ...

    def measure(
        self,
        samples: Samples,
        request: requests.Measure,
        log_p: Mapping[str, float],
        round: int,
    ) -> dict[str, float]:
        """Measure samples, and return the numbers that may leave the player."""
        ...

    def judge(self, player: Judged, request: requests.Judge, served: Samples | None) -> None:
        """Decide at the player which model is best for it; nothing leaves.

        Args:
            player: Whose model is judged.
            request: What was asked.
            served: Samples of a generator that serves everybody; None for the player's own model.
        """
        ...
