"""The Inception Score with a classifier of the domain: samples should be clear and varied."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from coplay.metrics.base import Metric, Observed, Stat, Value


@dataclass(frozen=True)
class _Sums(Stat):
    probabilities: Tensor  # Σ p(c|x), shape (C,)
    negative_entropy: float  # Σ Σ_c p(c|x) log p(c|x)
    n: int

    def merge(self, other: _Sums) -> _Sums:
        return _Sums(
            self.probabilities + other.probabilities,
            self.negative_entropy + other.negative_entropy,
            self.n + other.n,
        )

    def result(self) -> dict[str, Value]:
        marginal = self.probabilities / self.n
        information = self.negative_entropy / self.n - torch.xlogy(marginal, marginal).sum().item()
        return {"domain_score": Value(math.exp(information), "classes", "higher", self.n)}


class DomainScore(Metric):
    """The score exp E_x KL(p(c|x) ‖ p(c)) under the domain classifier.

    It lies between 1 (all samples are alike) and the number of classes.

    References:
        Improved Techniques for Training GANs (T. Salimans et al., NeurIPS 2016), arXiv:1606.03498,
        for the idea; the classifier is ours, so values compare only within one run's classifier.
    """

    meanings: ClassVar[Mapping[str, str]] = {
        "domain_score": (
            "how surely the domain classifier sees a class in each sample, and how evenly it sees "
            "all; from 1 to the number of classes"
        ),
    }

    citation: ClassVar[tuple[str, ...]] = ("salimans2016improved",)

    def observe(self, observed: Observed) -> Stat:
        """Sum the classifier's probabilities and entropies."""
        return score_sums(observed.probabilities)


def score_sums(probabilities: Tensor) -> Stat:
    """Return the statistic of class probabilities of shape (n, C).

    Example:
        >>> round(score_sums(torch.eye(4).repeat(3, 1)).result()["domain_score"].value, 6)
        4.0
    """
    p = probabilities.double()
    return _Sums(p.sum(0), torch.xlogy(p, p).sum().item(), len(p))
