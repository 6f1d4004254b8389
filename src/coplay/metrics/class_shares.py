"""Which classes a player generates, compared with the prediction (A3).

The shares are reported as counted, and corrected for the classifier's confusions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from coplay.metrics.base import LABEL, Metric, Observed, Stat, Value, missing_inputs


def total_variation(p: Tensor, q: Tensor) -> float:
    """Return the total variation ½ Σ |p − q|, between 0 and 1.

    Args:
        p: Shares, shape (C,), sum 1.
        q: Shares, shape (C,), sum 1.

    Example:
        >>> total_variation(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5]))
        0.5
    """
    return 0.5 * (p.double() - q.double()).abs().sum().item()


def corrected(raw: Tensor, confusion: Tensor) -> Tensor:
    """Return the shares s ≥ 0, Σ s = 1, for which confusionᵀ s is nearest to the raw shares.

    Args:
        raw: How often each class was recognised, shape (C,), sum 1.
        confusion: Row c: how real samples of class c are recognised, shape (C, C).

    Example:
        >>> confusion = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
        >>> corrected(torch.tensor([0.55, 0.45]), confusion)
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    heavy = 1e3  # weight of the equation Σ s = 1 among the least squares
    system = np.vstack([confusion.double().numpy().T, np.full((1, len(raw)), heavy)])
    shares, _ = nnls(system, np.append(raw.double().numpy(), heavy))
    return torch.from_numpy(shares / shares.sum())


@dataclass(frozen=True)
class _Counts(Stat):
    counts: Tensor
    confusion: Tensor
    predicted: Tensor | None
    n_real: int

    def merge(self, other: _Counts) -> _Counts:
        return _Counts(self.counts + other.counts, self.confusion, self.predicted, self.n_real)

    def result(self) -> dict[str, Value]:
        n = int(self.counts.sum())
        raw = self.counts.double() / n
        shares = corrected(raw, self.confusion)
        n_real = self.n_real
        unit = "share per class, confusion-corrected"
        values = {
            "class_shares_raw": Value(raw.tolist(), "share per class", None, n, n_real),
            "class_shares": Value(shares.tolist(), unit, None, n, n_real),
        }
        if self.predicted is not None:
            distance = total_variation(shares, self.predicted)
            value = Value(distance, "total variation", "lower", n, n_real)
            values["distance_to_prediction"] = value
        return values


class ClassShares(Metric):
    """Shares of the classes among generated samples.

    The domain classifier recognises the classes. A player that learns classes only has nothing to
    classify; the classes that it draws are counted as they are.

    ``class_shares`` are corrected for the classifier's confusions on real test samples; on samples
    unlike anything real no such correction can be right, so the raw shares stand beside them.
    """

    meanings: ClassVar[Mapping[str, str]] = {
        "class_shares": (
            "the share of each class among samples, corrected for what the domain classifier "
            "confuses"
        ),
        "class_shares_raw": (
            "the share of each class among samples, as the domain classifier counts them"
        ),
        "distance_to_prediction": (
            "the share of samples that would have to be of another class for all class shares to "
            "be as theory predicts; 0 where they are"
        ),
    }

    def obstacle(self, observed: Observed) -> str:
        """Say that the samples can neither be classified nor have a class."""
        return "" if LABEL in observed.samples.keys() else super().obstacle(observed)

    def observe(self, observed: Observed) -> Stat:
        """Count recognised classes."""
        classifier = observed.reference.classifier
        if missing_inputs(observed):
            counts = torch.bincount(observed.samples[LABEL], minlength=classifier.classes)
            return _Counts(counts, torch.eye(classifier.classes), observed.predicted, 0)
        counts = torch.bincount(observed.probabilities.argmax(1), minlength=classifier.classes)
        return _Counts(counts, classifier.confusion, observed.predicted, classifier.n_test)
