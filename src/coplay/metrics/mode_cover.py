"""How many classes of the real data are generated at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from coplay.metrics.base import Metric, Observed, Stat, Value
from coplay.metrics.class_shares import corrected


@dataclass(frozen=True)
class _Counts(Stat):
    counts: Tensor
    real: Tensor
    confusion: Tensor
    least: float

    def merge(self, other: _Counts) -> _Counts:
        return _Counts(self.counts + other.counts, self.real, self.confusion, self.least)

    def result(self) -> dict[str, Value]:
        n, n_real = int(self.counts.sum()), int(self.real.sum())
        shares = corrected(self.counts.double() / n, self.confusion)
        enough = self.least * self.real.double() / n_real
        there = self.real > 0
        # a share of exactly the least counts, whatever the correction's rounding
        covered = int((shares >= enough - 1e-9)[there].sum())
        return {
            "mode_cover": Value(
                float(covered), f"classes out of {int(there.sum())}", "higher", n, n_real
            )
        }


class ModeCover(Metric):
    """How many classes of the real test split are generated with at least a part of their real share.

    Generated shares are corrected for the domain classifier's confusions, as in ``class_shares``. Classes that the real
    test split lacks do not count.

    Args:
        least: The part of its real share from which a class counts as generated.

    References:
        Unrolled Generative Adversarial Networks (L. Metz et al., ICLR 2017), arXiv:1611.02163, for counting the modes
        that a classifier recognises; the threshold and the correction are ours.
    """

    citation: ClassVar[tuple[str, ...]] = ("metz2017unrolled",)

    least: float = Field(default=0.2, gt=0, le=1)

    def applies(self, observed: Observed) -> bool:
        """Whether the domain classifier sees the samples and the classes of the real ones are known."""
        return super().applies(observed) and observed.reference.labels is not None

    def observe(self, observed: Observed) -> Stat:
        """Count recognised and real classes."""
        classifier, labels = observed.reference.classifier, observed.reference.labels
        assert labels is not None
        counts = torch.bincount(observed.probabilities.argmax(1), minlength=classifier.classes)
        real = torch.bincount(labels, minlength=classifier.classes)
        return _Counts(counts, real, classifier.confusion, self.least)
