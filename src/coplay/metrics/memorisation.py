"""Whether a player generates what it learned from, or something new."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from coplay.core.scaling import Scaling
from coplay.core.space import Samples, Space, pick
from coplay.metrics.base import Metric, Observed, Stat, Value, complete, share_value
from coplay.metrics.rows import even_order, row_keys

# Distances are computed for so many rows at a time: 2,000 × 5,000 are 40 MB.
_QUERIES = 2000
_HELD = 5000
_QUANTILE = 0.05


def nearest_distances(
    space: Space, samples: Samples, held: Samples, scaling: Scaling | None = None
) -> Tensor:
    """Return the Euclidean distance of each sample to the nearest held one, shape (n,), float64.

    Args:
        space: The variables to compare, side by side.
        samples: Any samples, n of them.
        held: The samples among which the nearest is looked for, at least one.
        scaling: The scales in which they are compared; None compares numbers as they are.

    Example:
        >>> from coplay import Variable
        >>> space = Space({"x": Variable(kind="real", shape=(2,))})
        >>> held = space.samples(x=torch.tensor([[0.0, 0.0], [9.0, 9.0]]))
        >>> samples = space.samples(x=torch.tensor([[3.0, 4.0], [9.0, 9.0]]))
        >>> nearest_distances(space, samples, held)
        tensor([5., 0.], dtype=torch.float64)
    """
    scaling = scaling or Scaling(space, plain=True)
    nearest = _nearest(scaling, samples, held)
    # the distance itself comes from the difference, so that a copy has exactly 0
    distances = []
    for start in range(0, len(samples), _QUERIES):
        rows = slice(start, start + _QUERIES)
        difference = scaling.vectors(pick(samples, rows), torch.float64)
        difference.sub_(scaling.vectors(pick(held, nearest[rows]), torch.float64))
        distances.append(difference.square_().sum(1).sqrt())
    return torch.cat(distances)


def _nearest(scaling: Scaling, samples: Samples, held: Samples) -> Tensor:
    """Return the position of the held sample that is nearest to each sample, shape (n,)."""
    # far from the origin, products would lose the digits
    middle = scaling.vectors(pick(held, slice(_HELD))).mean(0)
    queries = scaling.vectors(samples).sub_(middle)
    best = torch.full((len(samples),), torch.inf)
    nearest = torch.zeros(len(samples), dtype=torch.long)
    for first in range(0, len(held), _HELD):
        candidates = scaling.vectors(pick(held, slice(first, first + _HELD))).sub_(middle)
        norms = candidates.square().sum(1)
        for start in range(0, len(queries), _QUERIES):
            rows = slice(start, start + _QUERIES)
            # ‖q − p‖² less ‖q‖², which does not change which p is nearest
            least, which = torch.addmm(norms, queries[rows], candidates.T, alpha=-2).min(1)
            is_nearer = least < best[rows]
            best[rows] = torch.where(is_nearer, least, best[rows])
            nearest[rows] = torch.where(is_nearer, first + which, nearest[rows])
    return nearest


@dataclass(frozen=True)
class _Distances(Stat):
    fake: Tensor
    real: Tensor

    def merge(self, other: _Distances) -> _Distances:
        return _Distances(torch.cat([self.fake, other.fake]), self.real)

    def result(self) -> dict[str, Value]:
        n = len(self.fake)
        n_real = len(self.real)
        copies = int((self.fake < self.real.quantile(_QUANTILE)).sum())
        unit = "share of samples nearer to the training data than 95 % of real test samples"
        values = {"copies_share": share_value(copies, n, unit, "lower", n, n_real)}
        usual = self.real.median().item()
        # half of the real samples may be copies of held ones; there is no ratio to 0
        if usual > 0:
            ratio = self.fake.quantile(0.5).item() / usual
            unit = "median distance to the training data over that of real test samples"
            values["nearest_training_ratio"] = Value(ratio, unit, None, n, n_real)
        return values


class Memorisation(Metric):
    """Distances of generated samples to what the player learned from.

    They are compared with those of real test samples, from which no player learns.

    Distances are Euclidean, over all variables that the domain classifier sees, or all where there
    is none, and in standard units, so that no variable rules by its unit, to the nearest sample
    that the player held.
    ``nearest_training_ratio`` is the median of the generated samples over that of the real ones: 1
    where they are as far as unseen samples are, 0 for copies, above 1 for samples unlike the data.
    ``copies_share`` is the share of generated samples that are strictly nearer than the 5 %
    quantile of the real ones: about 0.05 where nothing is remembered.

    Where many real test samples are themselves copies of held ones, as among a few binary
    variables, nothing can be nearer: ``copies_share`` is 0, and the ratio is left out where the
    real median is 0. A player that holds and generates some of the classes only is naturally nearer
    to its data than the test samples of all classes.

    Args:
        most: At most so many real test samples are compared; the generated ones are all compared.

    References:
        A Non-Parametric Test to Detect Data-Copying in Generative Models (C. Meehan et al., AISTATS
        2020), arXiv:2004.05675, for comparing with the distances of unseen samples; our two
        summaries are simpler than its test.
    """

    citation: ClassVar[tuple[str, ...]] = ("meehan2020copying",)
    needs_classifier: ClassVar[bool] = False

    most: int = Field(default=2000, ge=1)

    def obstacle(self, observed: Observed) -> str:
        """Say that what the player learned from is not known, or lacks what is compared."""
        held = observed.held
        if held is None or not len(held):
            return "there are no private samples to compare with"
        if not complete(held, observed.reference.space):
            return "the private samples lack variables by which samples are compared"
        space = observed.reference.space
        incomplete = [name for name in space if space[name].optional]
        if incomplete:
            return f"distances cannot be taken to rows with missing values of {incomplete[0]!r}"
        return super().obstacle(observed)

    def observe(self, observed: Observed) -> Stat:
        """Measure the distances."""
        space = observed.reference.space
        scaling = observed.reference.scaling
        test = observed.reference.test
        held = observed.held
        assert held is not None
        chosen = pick(test, even_order(row_keys(test, space))[: self.most])
        fake = nearest_distances(space, observed.samples, held, scaling)
        return _Distances(fake, nearest_distances(space, chosen, held, scaling))
