"""A private stand-in: made once from a site's rows, it takes their place in everything after."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from pydantic import Field
from torch import Tensor

from coplay.core.components import Component
from coplay.core.space import Samples, Space
from coplay.site.accounting import Accountant, Charge
from coplay.site.private_rows import PrivateRows

Draw = Callable[[int, torch.Generator], Samples]
"""Draws so many samples."""


@dataclass(frozen=True)
class Made:
    """A stand-in that was made; whatever is done with it spends nothing more.

    Args:
        draw: Draws samples of it.
        state: What was released of the rows, as tensors by name.
        notes: Sentences for the site's own people.
    """

    draw: Draw
    state: Mapping[str, Tensor] = field(default_factory=dict)
    notes: Sequence[str] = ()


class StandIn(Component):
    """A differentially private stand-in of a site's rows.

    It is (ε, δ) private for adding or removing one unit: a patient if the site's ``[data]`` says
    what a ``unit`` is, else a row. What it makes of rows may depend on them only through noise that
    its charges name, and on nothing else: not on their number, range or categories. Its randomness
    comes from :mod:`coplay.site.secret`.

    Args:
        epsilon: ε, above 0.
        delta: δ, between 0 and 1, below one over the number of units.
        draws: How many samples of it take the place of the rows; a number that is public.
    """

    epsilon: float = Field(gt=0, allow_inf_nan=False)
    delta: float = Field(gt=0, lt=1)
    draws: int = Field(default=1000, ge=10)

    @abstractmethod
    def check(self, space: Space) -> None:
        """Refuse variables that it cannot stand in for, before any row is read.

        Raises:
            ModelError: With the variable and the reason.
        """

    @abstractmethod
    def charges(self, most: int, accountant: Accountant) -> Sequence[Charge]:
        """Return what it spends, which follows from settings alone.

        Args:
            most: The most rows of one unit.
            accountant: How steps on random batches are added up.

        Raises:
            PrivacyError: No noise is large enough.
        """

    @abstractmethod
    def make(self, rows: PrivateRows, charges: Sequence[Charge]) -> Made:
        """Make it of rows, with the noise of :meth:`charges`, which have been spent."""
