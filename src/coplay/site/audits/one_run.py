"""A lower bound on ε from one run, whose members were chosen by coins.

A mechanism that is (ε, δ)-differentially private hides each coin: whoever sees its output and knows
all other coins guesses one of them right with a probability of at most e^ε / (1 + e^ε), but for δ.
So of r guesses the number of right ones is at most about Binomial(r, e^ε / (1 + e^ε)), and an ε
under which so many right guesses are improbable is refuted. A guesser may abstain; how often is
fixed beforehand. The bound is no estimate: a model may leak more than guessers notice.

References:
    Privacy Auditing with One (1) Training Run (T. Steinke, M. Nasr, M. Jagielski, NeurIPS 2023),
    arXiv:2305.08846, theorem 5.2; the code is our own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import binom
from torch import Tensor

from coplay.core.streams import stream
from coplay.site.audits.base import Figure
from coplay.site.audits.intervals import LEVEL

GUESSES: Sequence[tuple[float, float]] = ((0.5, 0.5), (0.125, 0.0), (0.03125, 0.0))
"""Which shares of the coins are guessed to be in, and out; the guesser abstains of the others."""

DELTA = 1e-5
"""The δ with which a bound is stated where no promise names one."""

_MOST = 64.0  # beyond, an ε promises nothing


@dataclass(frozen=True)
class Promise:
    """What a site promises for one unit that is added or removed.

    Args:
        epsilon: ε.
        delta: δ.
    """

    epsilon: float
    delta: float

    @property
    def of_replaced(self) -> Promise:
        """What follows for one unit in the place of another.

        Example:
            >>> Promise(0.0, 1e-6).of_replaced
            Promise(epsilon=0.0, delta=2e-06)
        """
        return Promise(2 * self.epsilon, min(1.0, (1 + math.exp(self.epsilon)) * self.delta))


def improbability(coins: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """Return how probable so many right guesses are at most, under (ε, δ).

    With q = e^ε / (1 + e^ε) and R ~ Binomial(r, q) it is
    P[R ≥ v] + 2 m δ max over i of P[v − i ≤ R < v] / i.

    Args:
        coins: m, of all units whose membership was decided by a coin.
        guesses: r.
        right: v.
        epsilon: ε.
        delta: δ.

    Example:
        >>> round(improbability(10, 10, 10, math.log(3), 0.0), 4) == round(0.75**10, 4)
        True
    """
    q = 1 / (1 + math.exp(-epsilon))
    by_chance = float(binom.sf(right - 1, guesses, q))
    most = 0.0
    if delta and right:
        steps = np.arange(1, right + 1)
        below = np.cumsum(binom.pmf(right - steps, guesses, q))
        most = float((below / steps).max())
    return min(1.0, by_chance + 2 * coins * delta * most)


def refuted_epsilon(
    coins: int, guesses: int, right: int, delta: float = 0.0, confidence: float = LEVEL
) -> float:
    """Return the largest ε that right guesses refute; 0 where they refute none.

    Args:
        coins: Units whose membership was decided by a coin.
        guesses: Guesses that were made.
        right: How many of them are right.
        delta: δ.
        confidence: With which a true ε is not refuted.

    Example:
        >>> refuted_epsilon(1000, 1000, 500)
        0.0
        >>> 5.7 < refuted_epsilon(1000, 1000, 1000) < 5.9
        True
    """
    bar = 1 - confidence

    def is_refuted(epsilon: float) -> bool:
        return improbability(coins, guesses, right, epsilon, delta) <= bar

    if not guesses or not is_refuted(0.0):
        return 0.0
    low, high = 0.0, _MOST
    if is_refuted(high):
        return high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if is_refuted(middle) else (low, middle)
    return low


def right_guesses(scores: Tensor, is_in: Tensor, shares: tuple[float, float]) -> tuple[int, int]:
    """Return how many guesses are made, and how many are right.

    The units with the highest scores are guessed to be in, those with the lowest to be out.

    Args:
        scores: One for each coin, shape (m,).
        is_in: What the coins showed, shape (m,).
        shares: Of the coins, guessed to be in and to be out; at most 1 together.

    Example:
        >>> is_in = torch.tensor([True, True, False, False])
        >>> right_guesses(torch.tensor([0.9, 0.1, 0.2, 0.0]), is_in, (0.5, 0.25))
        (3, 2)
    """
    count = len(scores)
    # equal scores are no ground for a guess: their order must not follow the coins
    shuffled = torch.randperm(count, generator=stream(0, "equal scores"))
    order = shuffled[scores[shuffled].argsort(descending=True, stable=True)]
    ordered = is_in[order]
    ins, outs = int(shares[0] * count), int(shares[1] * count)
    right = int(ordered[:ins].sum()) + int((~ordered[count - outs :]).sum() if outs else 0)
    return ins + outs, right


def bound(
    scores: Sequence[Tensor], is_in: Tensor, delta: float = 0.0, confidence: float = LEVEL
) -> float:
    """Return the largest lower bound on ε that any of some guessers gives.

    Each guesser abstains in each way of :data:`GUESSES`, and the confidence holds for all of them
    together (Bonferroni).

    Args:
        scores: Of each guesser, shape (m,).
        is_in: What the coins showed, shape (m,).
        delta: δ.
        confidence: With which it does not exceed a true ε.
    """
    tries = len(scores) * len(GUESSES)
    each = 1 - (1 - confidence) / tries
    bounds = [0.0]
    for guesser in scores:
        for shares in GUESSES:
            guesses, right = right_guesses(guesser, is_in, shares)
            bounds.append(refuted_epsilon(len(is_in), guesses, right, delta, each))
    return max(bounds)


def figure(
    members: Mapping[str, Tensor],
    controls: Mapping[str, Tensor],
    promise: Promise | None,
    replaced: bool,
) -> Figure:
    """Return the bound as a number of an audit.

    Args:
        members: Scores of the units that a coin put in, by attack.
        controls: Scores of those that it left out, by attack.
        promise: What the site promises, at whose δ the bound is; None for nothing.
        replaced: Whether another unit is in for each that was left out.
    """
    if promise is not None and replaced:
        promise = promise.of_replaced
    delta = DELTA if promise is None else promise.delta
    n, m = (len(next(iter(side.values()))) for side in (members, controls))
    is_in = torch.cat([torch.ones(n, dtype=torch.bool), torch.zeros(m, dtype=torch.bool)])
    scores = [torch.cat([members[name], controls[name]]) for name in members]
    value = bound(scores, is_in, delta)
    what = "replaced by another" if replaced else "added or removed"
    meaning = (
        f"the largest ε (δ = {delta:g}, one unit {what}) that the guesses of both attackers refute "
        "with 95 % confidence; it shows that a promise of less is broken, and cannot show that a "
        "promise is kept"
    )
    if replaced:
        meaning += "; of one unit added or removed, half of it is refuted"
    promised = None if promise is None else promise.epsilon
    return Figure(
        "one run", "ε at least", value, value, None, 0.0, n, m, meaning, promised=promised
    )
