"""What is measured of drawn samples, and against what; it knows no rounds and changes nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import scipy.sparse as sp
import torch
from torch import Tensor

from coplay.core import remedies, storage
from coplay.core.components import name_of
from coplay.core.facts import Facts
from coplay.core.message import COORDINATOR, Message
from coplay.core.requests import CLASSIFIED, SCORED, Evaluate, Gain
from coplay.core.rules import RATES, ROWS_DRAWN
from coplay.core.space import LABEL, Samples, tensors
from coplay.core.streams import derive
from coplay.data.sources.base import Dataset
from coplay.metrics.base import (
    NO_CLASSIFIER,
    Metric,
    Observed,
    Reference,
    Value,
    measured,
    share_value,
)
from coplay.metrics.features import DomainClassifier
from coplay.run.progress import Progress
from coplay.run.result import CLASSIFIER
from coplay.run.sections import MeasureSection
from coplay.theory.weights import by_edges

_RATE_UNITS = (
    "share of the rows drawn that keep all rules between columns as they are",
    "share of the rows drawn that keep all rules once sums are put right; the others are not used",
)

MEANINGS: Mapping[str, str] = {
    "log_p": "how probable real rows are to the model, by the mean log probability of a row",
    "nash_gap": (
        "how much the player could still gain by learning on while the others stay as they are; 0 "
        "at the equilibrium"
    ),
    "rules_kept": "the share of rows drawn that keep all rules between columns as they are",
    "rules_accepted": (
        "the share of rows drawn that keep all rules between columns once sums are put right"
    ),
}
"""What values are that no metric measures, as :attr:`Metric.meanings`."""

_SHOWN = 40  # samples that are stored for pictures
_SHOWN_ROWS = 500  # of each player where they are rows of a table
_SHOWN_BY_ALL = 10_000  # of all players together, in that case


@dataclass(frozen=True)
class Measuring:
    """What a run measures, and against what.

    Args:
        settings: What to measure, on how many samples.
        reference: What samples are measured against; None where nothing is scored.
        real: Real test samples with all variables, for log p.
        metrics: The metrics; None for those that the settings name.
        at_players: Whether some players have rows of their own to measure on.
    """

    settings: MeasureSection
    reference: Reference | None
    real: Samples
    metrics: Sequence[Metric] | None = None
    at_players: bool = False

    @property
    def chosen(self) -> Sequence[Metric]:
        """The metrics."""
        return self.settings.metrics or () if self.metrics is None else self.metrics

    @property
    def anything(self) -> bool:
        """Whether any quantity is measured at all."""
        settings = self.settings
        somewhere = self.reference is not None or (self.at_players and bool(self.chosen))
        return bool(somewhere or settings.nash_gap_steps or settings.log_prob)

    def count_shown(self, drawn: Mapping[str, Samples]) -> int:
        """Return how many samples of each player are stored: more of tables, which are drawn.

        Args:
            drawn: The samples by player.
        """
        chosen = self.settings.shown
        if chosen is not None:
            return chosen
        values = [value for samples in drawn.values() for value in tensors(samples).values()]
        if any(value.dim() > 1 for value in values):
            return _SHOWN
        return max(_SHOWN, min(_SHOWN_ROWS, _SHOWN_BY_ALL // max(1, len(drawn))))

    def evaluations(
        self, facts: Mapping[str, Facts], names: Sequence[str], round: int
    ) -> list[Message]:
        """Ask for fresh samples, and for what only the player itself can compute of real ones.

        Args:
            facts: What everybody in the game says of itself.
            names: Whose samples are measured.
            round: Current round.
        """
        request = Evaluate(self.settings.samples, self.settings.log_prob_draws)
        asks = []
        for name in names:
            real = self._real_for(facts.get(name))
            asks.append(Message(request, COORDINATOR, name, round, payload=real))
        return asks

    def _real_for(self, player: Facts | None) -> dict[str, Samples]:
        """Return real test samples for a player that is to classify them or report their log p."""
        real = {}
        wanted = any(metric.wants_classified for metric in self.chosen)
        if self.reference and wanted and player is not None and player.classifies:
            real[CLASSIFIED] = self.reference.test
        if self.settings.log_prob and len(self.real):
            real[SCORED] = self.real
        return real

    def values(
        self,
        drawn: Mapping[str, Samples],
        predicted: Sequence[float] | None,
        private: Samples | None,
    ) -> dict[str, Value]:
        """Compute every metric that can be measured of one player's samples.

        Args:
            drawn: What the player sent: its samples, and the classes it gives to real ones.
            predicted: Class shares that theory predicts for it; None without a theory.
            private: The data it learned from; None for a seat, such as a server.
        """
        return self.scores(drawn, predicted, private)[0]

    def scores(
        self,
        drawn: Mapping[str, Samples],
        predicted: Sequence[float] | None,
        private: Samples | None,
    ) -> tuple[dict[str, Value], dict[str, str]]:
        """Compute the same, and say why a metric was not measured, by its name.

        A metric that fails, or whose value is not finite, is not measured; it never ends a run.
        """
        if self.reference is None:
            return {}, {}
        observed = Observed(
            drawn[COORDINATOR],
            self.reference,
            None if predicted is None else torch.tensor(predicted),
            drawn[CLASSIFIED][LABEL] if CLASSIFIED in drawn else None,
            private,
        )
        values: dict[str, Value] = {}
        unmeasured: dict[str, str] = {}
        for metric in self.chosen:
            name = name_of("metric", metric).rpartition(":")[2]
            values_of_metric, reason = measured(metric, observed)
            values |= values_of_metric
            if reason:
                unmeasured[name] = reason
        return values, unmeasured

    def of_rules(self, numbers: Mapping[str, float]) -> dict[str, Value]:
        """Return which shares of what a player drew keep the rules, from what it reported.

        Args:
            numbers: Its numbers; without rules there are none of these.
        """
        values = {}
        for name, unit in zip(RATES, _RATE_UNITS, strict=True):
            if name in numbers and numbers.get(ROWS_DRAWN, 0) >= 1:
                n = round(numbers[ROWS_DRAWN])
                hits = min(n, round(numbers[name] * n))
                values[name] = share_value(hits, n, unit, "higher", n, 0)
        return values

    def log_prob(self, numbers: Mapping[str, float]) -> Value:
        """Return log p of the real test samples, from the numbers that a player reported."""
        unit = "nats per real test sample"
        high: float | None = numbers["high"]
        if high is not None and not math.isfinite(high):
            high = None
            draws = self.settings.log_prob_draws
            unit += f", a lower bound: {draws} draws are too few for an interval"
        return Value(numbers["log_p"], unit, "higher", 0, len(self.real), numbers["low"], high)

    def gains(
        self,
        alpha: Tensor | sp.csr_matrix,
        names: Sequence[str],
        drawn: Mapping[str, Samples],
        round: int,
    ) -> list[Message]:
        """Ask everybody what playing on alone would gain (A3).

        Each plays on against a frozen batch of everybody's samples.

        Args:
            alpha: Weights, shape (N, N), dense or by their edges.
            names: The N players.
            drawn: Samples by player.
            round: Current round.
        """
        asks = []
        edges = by_edges(alpha) if isinstance(alpha, Tensor) else alpha
        own_weights = edges.diagonal().tolist()
        for i, name in enumerate(names):
            row = slice(edges.indptr[i], edges.indptr[i + 1])
            sources = [names[j] for j in edges.indices[row].tolist()]
            weights = {}
            for other, weight in zip(sources, edges.data[row].tolist(), strict=True):
                if other != name and weight:
                    weights[other] = weight
            request = Gain(
                self.settings.nash_gap_steps,
                self.settings.log_prob_draws,
                own_weights[i],
                weights,
            )
            received = {other: drawn[other] for other in weights if other in drawn}
            asks.append(Message(request, COORDINATOR, name, round, payload=received))
        return asks

    def gain(self, numbers: Mapping[str, float]) -> Value:
        """Return a player's part of the Nash gap, from the numbers that it reported."""
        unit = f"nats per sample in {self.settings.nash_gap_steps} steps, 0 at the equilibrium"
        value = numbers["value"]
        half = 1.96 * numbers["error"]
        n = int(numbers["n"])
        return Value(value, unit, "lower", n, low=value - half, high=value + half)


def wanting(metrics: Sequence[Metric], samples: int, data: Dataset) -> list[str]:
    """Name the metrics that cannot be measured for want of samples, before anything is played.

    Args:
        metrics: The metrics.
        samples: Number of generated samples.
        data: What is measured against.
    """
    if unmeasured(metrics, data, at_players=False):
        return []
    sentences = []
    for metric in metrics:
        want = metric.want_of_samples(samples, len(data.test))
        if metric.needs_classifier and not data.can_be_judged:
            want = NO_CLASSIFIER
        if want:
            name = name_of("metric", metric).rpartition(":")[2]
            sentences.append(f"{name} is not measured: {want}")
    return sentences


def unmeasured(metrics: Sequence[Metric], data: Dataset | None, *, at_players: bool) -> str:
    """Say why nothing is scored; empty if something is.

    Args:
        metrics: The metrics.
        data: What the coordinator measures against; None where it has nothing.
        at_players: Whether some players have rows of their own to measure on.
    """
    if not metrics:
        return "measure.metrics is empty"
    needs_classes = all(metric.needs_classifier for metric in metrics)
    if data is None:
        if at_players and not needs_classes:
            return ""
        if at_players:
            return (
                "scores of images need a domain classifier, and the coordinator has no real "
                "samples to train one on; [reference] gives it some"
            )
        return "players have data of their own, and there are no others to measure against"
    if not data.classes and needs_classes:
        return f"scores need classes for the domain classifier, and {data.name} has none"
    if not data.can_be_judged and needs_classes:
        return f"the domain classifier takes no missing values, and {data.name} has some"
    return "" if len(data.test) else f"{data.name} has no test samples"


def reference(
    metrics: Sequence[Metric],
    seed: int,
    folder: Path,
    data: Dataset,
    progress: Progress,
    digest: str | None = None,
) -> tuple[Reference, str] | None:
    """Return what samples are measured against, with the domain classifier, trained once per run.

    Args:
        metrics: The metrics; there is a domain classifier if one of them needs it.
        seed: The run's seed.
        folder: The run's folder.
        data: The data set.
        progress: Called with the progress of training.
        digest: Digest of the classifier's file on record; None where it has to be trained.

    Returns:
        The reference, and the digest of the classifier's file, empty without one; None where there
        is nothing to measure.

    Raises:
        CheckpointError: The classifier's file is damaged.
    """
    if unmeasured(metrics, data, at_players=False):
        return None
    space = data.space.only(data.inputs)
    test = space.restrict(data.test)
    if not data.can_be_judged or not any(metric.needs_classifier for metric in metrics):
        labels = data.test[LABEL] if data.classes else None
        return Reference(test, None, labels, data.test, data.space), ""
    classifier = DomainClassifier(space, data.classes, derive(seed, "classifier"))
    path = folder / CLASSIFIER
    if digest is not None and path.exists():
        classifier.load_state_dict(storage.load_tensors(path, digest, remedies.classifier(folder)))
    else:
        classifier.fit(
            space.restrict(data.train),
            data.train[LABEL],
            test,
            data.test[LABEL],
            lambda done, of: progress("domain classifier", done, of),
        )
        digest = storage.save_tensors(path, classifier.state_dict())
    return Reference(test, classifier, data.test[LABEL], data.test, data.space), digest
