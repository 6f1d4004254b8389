"""The number of classes of the real data that are generated at all."""

from __future__ import annotations

from collections.abc import Mapping
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
        n = int(self.counts.sum())
        n_real = int(self.real.sum())
        shares = corrected(self.counts.double() / n, self.confusion)
        enough = self.least * self.real.double() / n_real
        is_real = self.real > 0
        # a share of exactly the least counts, whatever the correction's rounding
        covered = int((shares >= enough - 1e-9)[is_real].sum())
        unit = f"classes out of {int(is_real.sum())}"
        return {"mode_cover": Value(float(covered), unit, "higher", n, n_real)}


class ModeCover(Metric):
    """Number of classes that are generated with at least a part of their share in real data.

    The classes are those of the real test split. Generated shares are corrected for the domain
    classifier's confusions, as in ``class_shares``. Classes that the real test split lacks do not
    count.

    Args:
        least: The part of its real share, from 0 to 1, from which a class counts as generated.

    References:
        Unrolled Generative Adversarial Networks (L. Metz et al., ICLR 2017), arXiv:1611.02163, for
        counting the modes that a classifier recognises; the threshold and the correction are ours.
    """

    meanings: ClassVar[Mapping[str, str]] = {
        "mode_cover": (
            "the number of classes of which samples have at least a part of what real rows have"
        ),
    }

    citation: ClassVar[tuple[str, ...]] = ("metz2017unrolled",)

    least: float = Field(default=0.2, gt=0, le=1)

    def obstacle(self, observed: Observed) -> str:
        """Say that an input, a sample or the classes of the real samples are missing."""
        if observed.reference.labels is None:
            return "the classes of the real test samples are not known"
        return super().obstacle(observed)

    def observe(self, observed: Observed) -> Stat:
        """Count recognised and real classes."""
        classifier = observed.reference.classifier
        labels = observed.reference.labels
        assert labels is not None
        counts = torch.bincount(observed.probabilities.argmax(1), minlength=classifier.classes)
        real = torch.bincount(labels, minlength=classifier.classes)
        return _Counts(counts, real, classifier.confusion, self.least)
