"""The accuracy on real samples of a classifier that was trained on generated samples only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from coplay.core.space import Samples, join, pick
from coplay.metrics.base import LABEL, Metric, Observed, Reference, Stat, Value, share_value
from coplay.metrics.features import DomainClassifier
from coplay.metrics.rows import even_order, row_keys

# one seed for every player and run, so that accuracies can be compared
_SEED = 0


def balanced(labels: Tensor, total: int) -> Tensor:
    """Choose equally many samples of each class that occurs.

    Of a class with more samples the first are taken; those of a class with fewer are repeated in
    turn.

    Args:
        labels: Class of each sample, shape (n,).
        total: How many positions are wanted; if the classes do not divide it, there are fewer.

    Returns:
        Positions, shape (m,), m ≤ total, or one position per class if total is smaller than that.

    Example:
        >>> balanced(torch.tensor([0, 0, 0, 0, 1]), total=6)
        tensor([0, 1, 2, 4, 4, 4])
    """
    classes = labels.unique()
    each = torch.arange(max(1, total // len(classes)))
    chosen = []
    for c in classes:
        positions = (labels == c).nonzero().squeeze(1)
        chosen.append(positions[each % len(positions)])
    return torch.cat(chosen)


@dataclass(frozen=True)
class _Labelled(Stat):
    samples: Samples  # inputs and classes
    keys: Tensor
    own: bool  # whether the classes were generated, too
    reference: Reference
    metric: TrainOnSynthetic

    def merge(self, other: _Labelled) -> _Labelled:
        samples = join([self.samples, other.samples])
        keys = torch.cat([self.keys, other.keys])
        return _Labelled(samples, keys, self.own and other.own, self.reference, self.metric)

    def result(self) -> dict[str, Value]:
        # training depends on the order of samples, so they get an order that depends on nothing but
        # the samples
        samples = pick(self.samples, even_order(self.keys))
        total = min(len(samples), self.metric.samples)
        chosen = pick(samples, balanced(samples[LABEL], total))
        labels = self.reference.labels
        assert labels is not None
        classifier = self.reference.classifier
        space = classifier.space
        # it sees what the domain classifier sees, whatever the generated samples' own scales are
        student = DomainClassifier(space, classifier.classes, _SEED, classifier.scaling)
        inputs = space.restrict(chosen)
        test = self.reference.test
        student.fit(inputs, chosen[LABEL], test, labels, steps=self.metric.steps)
        unit = "share of real test samples classified rightly after training on samples generated "
        unit += "with their class" if self.own else "and classed by the domain classifier"
        n_real = len(labels)
        hits = round(student.accuracy * n_real)
        value = share_value(hits, n_real, unit, "higher", len(samples), n_real)
        return {"trained_on_synthetic_accuracy": value}


class TrainOnSynthetic(Metric):
    """Accuracy on real test samples of a classifier that was trained on generated samples.

    The classifier is of the domain classifier's kind, always with the same seed. It is trained on
    equally many samples of each class that was generated: those of a frequent class are cut, those
    of a rare one repeated. A class that was not generated is never recognised, which the accuracy
    shows. Samples without a class get the one that the domain classifier sees in them; the unit
    says which. The 95 % interval is Wilson's, over the real test samples; it does not hold what
    another draw of generated samples or another seed would change.

    Args:
        samples: Size of the balanced training set, or the number of samples generated, if that is
            less.
        steps: Training steps, 128 samples each; None chooses as for the domain classifier, at least
            1,200.

    References:
        Real-valued (Medical) Time Series Generation with Recurrent Conditional GANs (C. Esteban et
        al., 2017), arXiv:1706.02633.
        Classification Accuracy Score for Conditional Generative Models (S. Ravuri, O. Vinyals,
        NeurIPS 2019), arXiv:1905.10887.
    """

    meanings: ClassVar[Mapping[str, str]] = {
        "trained_on_synthetic_accuracy": (
            "the share of real rows whose class a classifier gets right that learned from samples "
            "alone; 1 is best"
        ),
    }

    citation: ClassVar[tuple[str, ...]] = ("esteban2017rcgan", "ravuri2019classification")

    samples: int = Field(default=60_000, ge=1)
    steps: int | None = Field(default=None, ge=1)

    @classmethod
    def tiny(cls) -> TrainOnSynthetic:
        """Return a metric with few training steps."""
        return cls(steps=40)

    def obstacle(self, observed: Observed) -> str:
        """Say that an input, a sample or the classes of the real samples are missing."""
        if observed.reference.labels is None:
            return "the classes of the real test samples are not known"
        return super().obstacle(observed)

    def observe(self, observed: Observed) -> Stat:
        """Keep the samples and their classes."""
        space = observed.reference.classifier.space
        own = LABEL in observed.samples.keys()
        values = {name: observed.samples[name] for name in space}
        # the domain classifier's rounding varies with the batch, but a class would change only at
        # an exact draw
        values[LABEL] = observed.samples[LABEL] if own else observed.probabilities.argmax(1)
        samples = space.samples(**values)
        return _Labelled(samples, row_keys(samples, [*space, LABEL]), own, observed.reference, self)
