"""How many generated samples lie where real ones do, and how many real ones lie where generated ones do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from coplay.metrics.base import Metric, Observed, Stat, Value, share_value
from coplay.metrics.rows import even_order, row_keys

_CHUNK = 1000
# Squared distances below this part of the squared length are rounding: features vary a little with the batch.
_ROUNDING = 1e-11


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    return (x.square().sum(1, keepdim=True) + y.square().sum(1) - 2 * x @ y.T).clamp_(min=0)


def inside(points: Tensor, others: Tensor, neighbours: int) -> int:
    """How many points are as near to one of the others as that one's ``neighbours``-th nearest of its own kind.

    Args:
        points: Shape (m, F).
        others: Shape (n, F), more than ``neighbours``.
        neighbours: At least one.

    Example:
        >>> others = torch.tensor([[0.0], [1.0], [2.0]])
        >>> inside(torch.tensor([[-0.9], [2.9], [3.1], [0.5]]), others, neighbours=1)
        3
    """
    rounding = _ROUNDING * others.double().square().sum(1).mean()
    middle = others.double().mean(0)  # less is lost to rounding where the middle is the origin
    points, others = points.double() - middle, others.double() - middle
    radii = []
    for start in range(0, len(others), _CHUNK):
        distances = _squared_distances(others[start : start + _CHUNK], others)
        rows = torch.arange(len(distances))
        distances[rows, start + rows] = torch.inf  # nobody is its own neighbour
        radii.append(distances.kthvalue(neighbours, 1).values)
    reach = torch.cat(radii) + rounding
    return sum(
        int((_squared_distances(part, others) <= reach).any(1).sum())
        for part in points.split(_CHUNK)
    )


@dataclass(frozen=True)
class _Features(Stat):
    fake: Tensor
    keys: Tensor
    real: Tensor
    neighbours: int

    def merge(self, other: _Features) -> _Features:
        fake, keys = torch.cat([self.fake, other.fake]), torch.cat([self.keys, other.keys])
        return _Features(fake, keys, self.real, self.neighbours)

    def result(self) -> dict[str, Value]:
        n = min(len(self.fake), len(self.real))
        fake, real = self.fake[even_order(self.keys)[:n]], self.real[:n]
        precise, recalled = inside(fake, real, self.neighbours), inside(real, fake, self.neighbours)
        return {
            "precision": share_value(
                precise, n, "share of generated samples among real ones", "higher", n, n
            ),
            "recall": share_value(
                recalled, n, "share of real samples among generated ones", "higher", n, n
            ),
        }


class PrecisionRecall(Metric):
    """Precision: share of generated samples that lie where real test samples do; recall: the other way round.

    A sample lies where others do if it is in the ball around one of them that reaches to that one's k-th nearest of its
    own kind, in the domain classifier's features. As both shares depend on the number of samples, equally many
    generated and real ones are compared. The 95 % intervals are Wilson's for given balls.

    Args:
        neighbours: k, how many neighbours of its own kind the ball around a sample reaches.

    References:
        Improved Precision and Recall Metric for Assessing Generative Models (T. Kynkäänniemi et al., NeurIPS 2019),
        arXiv:1904.06991.
    """

    citation: ClassVar[tuple[str, ...]] = ("kynkaanniemi2019precision",)

    neighbours: int = Field(default=3, ge=1)

    def applies(self, observed: Observed) -> bool:
        """Whether the domain classifier sees the samples, and there are enough to have so many neighbours."""
        return (
            super().applies(observed)
            and min(len(observed.samples), len(observed.reference.test)) > self.neighbours
        )

    def observe(self, observed: Observed) -> Stat:
        """Keep features."""
        space, reference = observed.reference.classifier.space, observed.reference
        real = reference.test_features[even_order(row_keys(reference.test, space))]
        return _Features(
            observed.features, row_keys(observed.samples, space), real, self.neighbours
        )
