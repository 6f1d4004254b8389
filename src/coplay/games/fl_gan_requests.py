"""What server and workers of FL-GAN are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coplay.core.message import Request


class AfterSteps(Request):
    """A request that is made anew after some steps; its subclasses say after how many."""

    after: int

    @property
    def order(self) -> int:
        """The steps before it."""
        return self.after


@dataclass(frozen=True)
class Send(AfterSteps):
    """Send your pair of networks.

    Args:
        receivers: Names of the parties that it goes to.
        after: Number of steps before it, over all rounds.
    """

    receivers: Sequence[str]
    after: int


@dataclass(frozen=True)
class Load(AfterSteps):
    """Go on from the attached pair of networks.

    Args:
        after: Number of steps before it, over all rounds.
    """

    after: int


@dataclass(frozen=True)
class Learn(Request):
    """Take steps of the whole GAN on your own data.

    Args:
        steps: Number of steps.
        first: Number of the first one, counted from 1 over all rounds; it names the random stream.
    """

    steps: int
    first: int

    @property
    def order(self) -> int:
        """The number of the first step."""
        return self.first

    @property
    def until(self) -> int:
        """The number of the last step."""
        return self.first + self.steps - 1


@dataclass(frozen=True)
class Average(AfterSteps):
    """Average the attached pairs of networks.

    Args:
        weights: Of each pair, by sender; their sum is 1.
        after: Number of steps before it, over all rounds.
    """

    weights: Mapping[str, float]
    after: int
