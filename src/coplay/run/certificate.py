"""What can be certified of a run: how near play is to rest, and what shares differ by chance.

A share that a player draws is compared with the prediction (A3). What chance allows in between
(:mod:`coplay.theory.bands`) has four parts: that the others' samples are drawn anew in every round
(B), that the share is counted on so many samples, that it is corrected for the domain classifier's
confusions, which are known from so many test samples, and that play is not at rest yet (U). A share
outside is a bias of some model. Of all shares of models without a bias, one in twenty is outside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from coplay.core.errors import CoplayError
from coplay.games.base import MOST_IN_M
from coplay.games.sample_exchange import SampleExchange
from coplay.metrics.base import Value
from coplay.run.play import Play
from coplay.run.result import CLASSIFIER, Result
from coplay.run.shares_played import weights_played
from coplay.theory import bands
from coplay.theory.equilibrium import influence_matrix
from coplay.theory.unlearning import followed_shares
from coplay.theory.weights import dense

_SAME = 1e-6  # of predicted shares


@dataclass(frozen=True)
class Certificate:
    """What is certain of a run's main game, and what lies within chance.

    Args:
        rounds: Rounds with everybody's samples that are behind the last measurement.
        left: Largest total variation between what a model is made of after these rounds and at the
            equilibrium, for models that learn all of a round's mixture.
        widths: Half of the width in which 95 % of a player's measured shares lie by chance, one per
            class, by player; empty where no shares were predicted and measured.
        not_known: Why there are no widths although shares were predicted and measured; empty where
            there are, or nothing was to be had.
        gap: Sum of what players gained by learning on alone (A3), with its interval; None where
            that was not measured.
        gap_players: Of how many players.
    """

    rounds: int
    left: float
    widths: Mapping[str, list[float]]
    gap: Value | None
    gap_players: int
    not_known: str = ""

    def inside(
        self, player: str, measured: Sequence[float], predicted: Sequence[float]
    ) -> list[bool]:
        """Say of each class whether a player's share is as near as chance allows."""
        pairs = zip(measured, predicted, self.widths[player], strict=True)
        return [abs(one - other) <= width + 1e-12 for one, other, width in pairs]

    def sentence(self) -> str:
        """Return all of it in a line; what is a bound is called one."""
        most = max(math.ceil(self.left * 1e4), 1) / 1e4  # a bound is rounded up
        parts = [
            f"after {self.rounds:,} rounds with everybody's samples, at most {most:.2%} of "
            "what a model is made of differs from the equilibrium (a bound, for models that learn "
            "all of a round)"
        ]
        if self.widths:
            widest = max(max(width) for width in self.widths.values())
            parts.append(f"chance moves measured shares by up to ±{widest:.3f} (95 %)")
        elif self.not_known:
            parts.append(f"how far chance moves measured shares is not known: {self.not_known}")
        if self.gap is None:
            parts.append("the Nash gap was not measured (measure.nash_gap_steps = 0)")
        else:
            assert isinstance(self.gap.value, float)
            parts.append(
                f"the Nash gap of {self.gap_players:,} players is at least {self.gap.value:.3g} "
                f"nats (95 %: {self.gap.low:.3g} to {self.gap.high:.3g}), a lower bound: what some "
                "steps of learning alone gained"
            )
        return f"Certificate: {'; '.join(parts)}."


def certificate(result: Result) -> Certificate | str:
    """Return the certificate of a run's main game, or why there is none."""
    play = result.main
    record = result.record.games[play.name]
    try:
        game = result.game(play.name)
    except CoplayError as error:
        return str(error)
    if not isinstance(game, SampleExchange) or record.weights is None:
        return "its theory is of rounds of sample_exchange"
    if game.originals:
        return "the band is not worked out for play with originals"
    if any(row.lost or row.late or row.left for row in play.rows):
        return "players were lost or late, so that the weights changed on the way"
    if len(result.players) > MOST_IN_M:
        return f"it takes dense matrices, which are made for up to {MOST_IN_M} players"
    last = play.last_round or (play.rows[-1].round if play.rows else 0)
    alpha = record.weights.scipy()
    alphas = weights_played(game, alpha, last)
    shares = torch.from_numpy(followed_shares(alphas, len(result.players)))
    influence = influence_matrix(dense(alpha))
    left = 0.5 * (shares - influence).abs().sum(1).max().item()
    not_known = ""
    try:
        widths = _widths(result, dense(alpha), shares - influence, game.samples_per_round)
    except CoplayError:  # its words are among the damaged files of the page
        widths = {}
        not_known = f"it takes the domain classifier, and {CLASSIFIER} is damaged"
    gap, count = _gap(play)
    return Certificate(len(alphas), left, widths, gap, count, not_known)


def _widths(result: Result, alpha: Tensor, missing: Tensor, samples: int) -> dict[str, list[float]]:
    """Return the half widths by player; empty where no shares were predicted or measured.

    Args:
        result: The run.
        alpha: Weights, shape (N, N).
        missing: What models are made of, less what they are made of at the equilibrium.
        samples: Samples a round.

    Raises:
        CheckpointError: The domain classifier is damaged.
    """
    counts = result.record.data.counts
    predicted = result.predicted(result.main.name)
    names = result.players
    if not all(name in counts and name in predicted and sum(counts[name]) for name in names):
        return {}
    data = torch.tensor([counts[name] for name in names], dtype=torch.float64)
    data = data / data.sum(1, keepdim=True)
    shares = torch.tensor([predicted[name] for name in names], dtype=torch.float64)
    if (influence_matrix(alpha) @ data - shares).abs().max() > _SAME:
        return {}
    drawn = bands.share_deviations(alpha, data, samples).square()
    resting = (missing @ data).abs()
    confusion: Tensor | None = None
    per_class = 0.0
    widths = {}
    for place, name in enumerate(names):
        value = result.main.last.get(name, {}).get("class_shares")
        if value is None:
            continue
        share = shares[place]
        counted = share * (1 - share) / value.n
        if value.n_real:
            if confusion is None:
                confusion, per_class = _confusion(result)
            if confusion is None:
                return {}
            counted = corrected_variance(share, confusion, value.n, per_class)
        width = bands.NORMAL * (drawn[place] + counted).sqrt() + resting[place]
        widths[name] = width.tolist()
    return widths


def _confusion(result: Result) -> tuple[Tensor | None, float]:
    """Return the domain classifier's confusion, and on how many samples of a class it rests."""
    classifier = result.classifier()
    if classifier is None:
        return None, 0.0
    return classifier.confusion, max(classifier.n_test / classifier.classes, 1.0)


def corrected_variance(share: Tensor, confusion: Tensor, n: int, per_class: float) -> Tensor:
    """Return the variance of shares that are counted on samples and corrected for confusions.

    With r = Cᵀ s the shares as a classifier counts them, s = C⁻ᵀ r. The error of r is that of n
    draws, and the error of every row of C that of the test samples of its class.

    Args:
        share: s, shape (C,), sum 1.
        confusion: C, shape (C, C), rows sum to 1.
        n: Samples that the shares were counted on.
        per_class: Real test samples of a class behind the confusions.

    Returns:
        Shape (C,); that of the counts alone where C has no inverse.

    Example:
        >>> corrected_variance(torch.tensor([0.5, 0.5]), torch.eye(2), 100, 50).tolist()
        [0.0025, 0.0025]
    """
    s = share.double()
    matrix = confusion.double()
    inverse, info = torch.linalg.inv_ex(matrix.T)
    raw = matrix.T @ s
    if info.item() or not inverse.isfinite().all():
        return s * (1 - s) / n
    covariance = (torch.diag(raw) - torch.outer(raw, raw)) / n
    for weight, row in zip(s.tolist(), matrix, strict=True):
        covariance = covariance + weight**2 * (torch.diag(row) - torch.outer(row, row)) / per_class
    return (inverse @ covariance @ inverse.T).diagonal().clamp(min=0)


def _gap(play: Play) -> tuple[Value | None, int]:
    """Return the sum of the players' parts of the Nash gap, and over how many players it is."""
    parts = [values["nash_gap"] for values in play.last.values() if "nash_gap" in values]
    if not parts:
        return None, 0
    total = sum(float(part.value) for part in parts if not isinstance(part.value, list))
    squares = [((part.high or 0.0) - (part.low or 0.0)) ** 2 for part in parts]
    half = float(np.sqrt(sum(squares))) / 2
    first = parts[0]
    value = Value(total, first.unit, first.better, first.n, low=total - half, high=total + half)
    return value, len(parts)
