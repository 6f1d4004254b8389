"""The rows that a site holds, in the agreed variables: to learn from, to score on, to choose by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from coplay.core import digests
from coplay.core.space import Samples, Space


@dataclass(frozen=True)
class Holdings:
    """The rows of one site, all of which stay there.

    Args:
        space: The agreed variables that the site's model learns, in the agreed order.
        train: Rows that its model learns from; they lack the variables that the site does not
            have.
        scored: Rows held out, on which samples are scored at the site.
        chosen_on: Rows held out for one purpose: to choose the best model for this site.
        units: Number of the unit of each row of ``train``, such as a patient, shape (n,); None
            where each row is one of its own. All rows of a unit are in the same of the three sets.
        notes: What was read, left out, converted, clipped or dropped, in sentences.
        chosen_units: The same as ``units``, of each row of ``chosen_on``.
        scored_units: The same of each row of ``scored``.
        left_out: Rows that coins left out of learning, for audits; None where none was thrown.
        left_units: The same as ``units``, of each row of ``left_out``.
        by_coin: Which rows of ``train`` a coin could have left out, shape (n,); None for none.
        is_random: Whether what is held out was drawn at random, and did not come as a test split.
    """

    space: Space
    train: Samples
    scored: Samples
    chosen_on: Samples
    units: Tensor | None = None
    notes: Sequence[str] = ()
    chosen_units: Tensor | None = None
    scored_units: Tensor | None = None
    left_out: Samples | None = None
    left_units: Tensor | None = None
    by_coin: Tensor | None = None
    is_random: bool = True

    @property
    def digest(self) -> str:
        """Digest of all rows, which may help to guess at them: for the site alone."""
        parts = [self.train, self.scored, self.chosen_on]
        if self.left_out is not None:
            parts.append(self.left_out)
        each = [digests.of_samples(self.space, part) for part in parts]
        return digests.of_bytes("".join(each).encode())

    @property
    def unobserved(self) -> tuple[str, ...]:
        """The variables that the site lacks."""
        return tuple(name for name in self.space if name not in self.train.keys())
