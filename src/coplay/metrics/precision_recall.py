"""Shares of generated samples that lie where real ones do, and of real ones where generated do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from coplay.metrics.base import Metric, Observed, Stat, Value, share_value
from coplay.metrics.rows import even_order, row_keys

_CHUNK = 1000
# Squared distances below this part of the squared length are rounding: features vary a little with
# the batch.
_ROUNDING = 1e-11


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return the squared distance of every pair of rows, shape (m, n)."""
    return (x.square().sum(1, keepdim=True) + y.square().sum(1) - 2 * x @ y.T).clamp_(min=0)


def inside(points: Tensor, others: Tensor, neighbours: int) -> int:
    """Count the points that lie in the ball around at least one of the others.

    The ball around one of the others reaches to its ``neighbours``-th nearest of its own kind.

    Args:
        points: Shape (m, F).
        others: Shape (n, F), more than ``neighbours``.
        neighbours: How many neighbours a ball reaches, at least one.

    Example:
        >>> others = torch.tensor([[0.0], [1.0], [2.0]])
        >>> inside(torch.tensor([[-0.9], [2.9], [3.1], [0.5]]), others, neighbours=1)
        3
    """
    rounding = _ROUNDING * others.double().square().sum(1).mean()
    # less is lost to rounding where the middle is the origin
    middle = others.double().mean(0)
    points = points.double() - middle
    others = others.double() - middle
    radii = []
    for start in range(0, len(others), _CHUNK):
        distances = _squared_distances(others[start : start + _CHUNK], others)
        rows = torch.arange(len(distances))
        distances[rows, start + rows] = torch.inf  # no sample is its own neighbour
        radii.append(distances.kthvalue(neighbours, 1).values)
    reach = torch.cat(radii) + rounding
    count = 0
    for chunk in points.split(_CHUNK):
        is_inside = (_squared_distances(chunk, others) <= reach).any(1)
        count += int(is_inside.sum())
    return count


@dataclass(frozen=True)
class _Features(Stat):
    fake: Tensor
    keys: Tensor
    real: Tensor
    neighbours: int

    def merge(self, other: _Features) -> _Features:
        fake = torch.cat([self.fake, other.fake])
        keys = torch.cat([self.keys, other.keys])
        return _Features(fake, keys, self.real, self.neighbours)

    def result(self) -> dict[str, Value]:
        n = min(len(self.fake), len(self.real))
        fake = self.fake[even_order(self.keys)[:n]]
        real = self.real[:n]
        precise = inside(fake, real, self.neighbours)
        recalled = inside(real, fake, self.neighbours)
        unit = "share of generated samples among real ones"
        recall_unit = "share of real samples among generated ones"
        return {
            "precision": share_value(precise, n, unit, "higher", n, n),
            "recall": share_value(recalled, n, recall_unit, "higher", n, n),
        }


class PrecisionRecall(Metric):
    """Shares of generated samples that lie where real ones do (precision), and vice versa (recall).

    A sample lies where others do if it is in the ball around one of them that reaches to that one's
    k-th nearest of its own kind, in the domain classifier's features. As both shares depend on the
    number of samples, equally many generated and real ones are compared. The 95 % intervals are
    Wilson's for given balls.

    Args:
        neighbours: k, how many neighbours of its own kind the ball around a sample reaches.

    References:
        Improved Precision and Recall Metric for Assessing Generative Models (T. Kynkäänniemi et
        al., NeurIPS 2019), arXiv:1904.06991.
    """

    meanings: ClassVar[Mapping[str, str]] = {
        "precision": "the share of samples that lie where real rows do; 1 is best",
        "recall": "the share of real rows that lie where samples do; 1 is best",
    }

    citation: ClassVar[tuple[str, ...]] = ("kynkaanniemi2019precision",)

    neighbours: int = Field(default=3, ge=1)

    @property
    def fewest(self) -> int:
        """One more than neighbours, for no sample is its own."""
        return self.neighbours + 1

    def observe(self, observed: Observed) -> Stat:
        """Keep the features of generated and of real samples."""
        reference = observed.reference
        space = reference.classifier.space
        real = reference.test_features[even_order(row_keys(reference.test, space))]
        keys = row_keys(observed.samples, space)
        return _Features(observed.features, keys, real, self.neighbours)
