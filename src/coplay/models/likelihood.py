"""How probable are samples under a model: exactly where it can say so, else by importance weighting with an interval.

For a model with latents z and an encoder q,

    p(x) = E_{z~q(.|x)} w,   w = p(x, z) / q(z|x),        log p(x) ≈ log (1/K) Σ_k w_k + v/2,   v = var(w) / (K mean(w)²)

The second term takes back, to first order in 1/K, what the logarithm of a mean loses; √v is the standard error. Where single
draws dominate (v above a tenth on average), both break down: then the first term alone is given, a lower bound without an upper
limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from coplay.core.space import Samples, pick
from coplay.models.abilities import HasLogProb, HasLogWeights, StopsEarly
from coplay.models.base import LocalModel, Mixture, Portion
from coplay.nets.bits import bound

_ROWS = 500  # samples at a time, for memory
_MOST_VARIANCE = 0.1  # mean v up to which the correction and the interval hold


@dataclass(frozen=True)
class LogProb:
    """Log probabilities in nats.

    Args:
        value: Per sample, shape (n,), float64.
        error: Standard error of each by importance weighting, shape (n,); 0 where the model is exact.
    """

    value: Tensor
    error: Tensor

    @property
    def is_bound(self) -> bool:
        """Whether the values are lower bounds only, because single draws dominate."""
        return self.error.square().mean().item() > _MOST_VARIANCE

    @property
    def mean(self) -> tuple[float, float, float]:
        """Mean over the samples, with the limits of its 95 % interval as far as importance weighting is to blame.

        The upper limit of a lower bound is infinite.
        """
        middle, half = self.value.mean().item(), 1.96 * self.error.square().sum().sqrt().item() / len(self.value)
        return middle, middle - half, math.inf if self.is_bound else middle + half


def has_log_prob(model: LocalModel) -> bool:
    """Whether log p can be had, exactly or by importance weighting."""
    return isinstance(model, HasLogProb | HasLogWeights)


def log_prob(model: LocalModel, samples: Samples, draws: int, generator: torch.Generator) -> LogProb | None:
    """Log p of samples under a model; None where it has none.

    Args:
        model: A model with ``log_prob(samples)``, or with ``log_weights(samples, draws, generator)`` of shape (draws, n).
        samples: n samples with every variable of the model.
        draws: K, the encoder's draws per sample; at least 2.
        generator: Source of the draws.

    Example:
        >>> from coplay import Space, Variable
        >>> from coplay.models.exponential_family import ExponentialFamily
        >>> space = Space({"x": Variable(kind="binary")})
        >>> coin = ExponentialFamily()
        >>> coin.setup(space, seed=1)
        >>> found = log_prob(coin, space.samples(x=torch.tensor([0, 1], dtype=torch.uint8)), 2, torch.Generator())
        >>> found.value.exp().tolist(), found.error.tolist()
        ([0.5, 0.5], [0.0, 0.0])
    """
    if isinstance(model, HasLogProb):
        exact = model.log_prob(samples).double()
        return LogProb(exact, torch.zeros_like(exact))
    if not isinstance(model, HasLogWeights):
        return None
    parts = [model.log_weights(part, draws, generator) for part in samples.split(_ROWS)]
    return from_weights(torch.cat(parts, 1))


def from_weights(log_weights: Tensor) -> LogProb:
    """The estimate from log importance weights of shape (K, n)."""
    log_mean = bound(log_weights)
    relative = (log_weights.double() - log_mean).exp()  # w / mean(w)
    variance = relative.var(0) / len(log_weights)
    corrected = variance.mean().item() <= _MOST_VARIANCE
    return LogProb(log_mean + variance / 2 if corrected else log_mean, variance.sqrt())


@dataclass(frozen=True)
class Gain:
    """What one player would still gain by playing on alone: its part of the Nash gap (A3).

    Args:
        value: Utility gained on held-out samples, in nats per sample; infinite where some were impossible before.
        error: Its standard error.
        n: Held-out samples.
    """

    value: float
    error: float
    n: int


def gain(
    model: LocalModel, twin: LocalModel, mixture: Mixture, steps: int, draws: int, generator: torch.Generator
) -> Gain | None:
    """Estimated gain of utility (A1) by learning on, while everybody else's samples stay as they are.

    Received samples are parted in halves: one to learn from, one to measure by. Own samples serve for both, since (A1) is about
    their empirical distribution.

    Args:
        model: What the player has learned; it does not change.
        twin: An instance with the same settings, set up, that learns on.
        mixture: The sources and their masses.
        steps: Learning steps.
        draws: See :func:`log_prob`.
        generator: Source of the halves, the learning and the draws.

    Returns:
        None for a model without log p.
    """
    if not has_log_prob(model):
        return None
    teach, judge = [], []
    for part in mixture.parts:
        if part.name == "own":
            teach.append(part)
            judge.append(part)
            continue
        order = torch.randperm(len(part.samples), generator=generator)
        half = (len(order) + 1) // 2
        teach.append(Portion(part.name, pick(part.samples, order[:half]), part.weight))
        judge.append(Portion(part.name, pick(part.samples, order[half:] if len(order) > 1 else order), part.weight))
    twin.load_state_dict({name: tensor.clone() for name, tensor in model.state_dict().items()})
    if isinstance(twin, StopsEarly):  # it is asked what it would gain by not stopping
        twin.go_on()
    twin.learn(Mixture(tuple(teach)), steps, generator)
    value = variance = 0.0
    for part in judge:
        before, after = (log_prob(m, part.samples, draws, generator) for m in (model, twin))
        assert before is not None
        assert after is not None
        # of the same samples, so that what is alike in both cancels; what stays impossible gains nothing
        difference = torch.where(after.value == before.value, 0.0, after.value - before.value)
        value += part.weight * difference.mean().item()
        spread = difference.var().item() if len(difference) > 1 and difference.isfinite().all() else 0.0
        if part.name == "own":  # all of π_i is there: only importance weighting errs
            spread = (after.error.square() + before.error.square()).mean().item()
        variance += part.weight**2 * spread / len(difference)
    return Gain(value, math.sqrt(variance), sum(len(part.samples) for part in judge))
