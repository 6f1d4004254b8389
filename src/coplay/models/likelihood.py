"""How probable samples are under a model: exactly, or by importance weighting with an interval.

For a model with latents z and an encoder q,

    p(x) = E_{z~q(.|x)} w,   w = p(x, z) / q(z|x)
    log p(x) ≈ log (1/K) Σ_k w_k + v/2,   v = var(w) / (K mean(w)²)

The second term takes back, to first order in 1/K, what the logarithm of a mean loses; √v is the
standard error. Where single draws dominate (v above a tenth on average), both break down: then the
first term alone is given, a lower bound without an upper limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from coplay.core.space import Samples
from coplay.models.abilities import HasLogProb, HasLogWeights, StopsEarly
from coplay.models.base import OWN, LocalModel, Mixture, Portion
from coplay.nets.bits import bound

_ROWS = 500  # samples at a time, for memory
_MOST_VARIANCE = 0.1  # mean v up to which the correction and the interval hold


@dataclass(frozen=True)
class LogProb:
    """Log probabilities in nats.

    Args:
        value: Per sample, shape (n,), float64.
        error: Standard error of each by importance weighting, shape (n,); 0 where the model is
            exact.
    """

    value: Tensor
    error: Tensor

    @property
    def is_bound(self) -> bool:
        """Whether the values are lower bounds only, because single draws dominate."""
        return self.error.square().mean().item() > _MOST_VARIANCE

    @property
    def mean(self) -> tuple[float, float, float]:
        """Mean over the samples with the limits of its 95 % interval.

        The interval covers what importance weighting adds, not the choice of samples.
        The upper limit of a lower bound is infinite.
        """
        middle = self.value.mean().item()
        half = 1.96 * self.error.square().sum().sqrt().item() / len(self.value)
        high = math.inf if self.is_bound else middle + half
        return middle, middle - half, high

    def numbers(self) -> dict[str, float]:
        """Return the mean and its interval as the numbers of a message."""
        return dict(zip(("log_p", "low", "high"), self.mean, strict=True))


def has_log_prob(model: LocalModel) -> bool:
    """Whether the model has log p, exactly or by importance weighting."""
    return isinstance(model, HasLogProb | HasLogWeights)


def log_prob(
    model: LocalModel, samples: Samples, draws: int, generator: torch.Generator
) -> LogProb | None:
    """Log p of samples under a model; None where it has none.

    Args:
        model: One that has :class:`~coplay.models.abilities.HasLogProb` or
            :class:`~coplay.models.abilities.HasLogWeights`, or neither.
        samples: n samples with every variable of the model.
        draws: K, the encoder's draws per sample; at least 2.
        generator: Source of the draws.

    Example:
        >>> from coplay import Space, Variable
        >>> from coplay.models.exponential_family import ExponentialFamily
        >>> space = Space({"x": Variable(kind="binary")})
        >>> coin = ExponentialFamily()
        >>> coin.setup(space, seed=1)
        >>> sides = space.samples(x=torch.tensor([0, 1], dtype=torch.uint8))
        >>> log_p = log_prob(coin, sides, 2, torch.Generator())
        >>> log_p.value.exp().tolist(), log_p.error.tolist()
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
    """Estimate log p from log importance weights of shape (K, n)."""
    log_mean = bound(log_weights)
    relative = (log_weights.double() - log_mean).exp()  # w / mean(w)
    variance = relative.var(0) / len(log_weights)
    corrected = variance.mean().item() <= _MOST_VARIANCE
    return LogProb(log_mean + variance / 2 if corrected else log_mean, variance.sqrt())


@dataclass(frozen=True)
class Gain:
    """What one player would still gain by playing on alone, its share of the Nash gap (A3).

    Args:
        value: Utility gained on held-out samples, in nats per sample; infinite where some were
            impossible before.
        error: Its standard error.
        n: Held-out samples.
    """

    value: float
    error: float
    n: int

    def numbers(self) -> dict[str, float]:
        """Return the gain as the numbers of a message."""
        return {"value": self.value, "error": self.error, "n": float(self.n)}


def gain(
    model: LocalModel,
    twin: LocalModel,
    mixture: Mixture,
    steps: int,
    draws: int,
    generator: torch.Generator,
) -> Gain | None:
    """Estimate the gain of utility (A1) by learning on while all other players stay as they are.

    Received samples are split in halves: one to learn from, one to measure by. Own samples serve
    for both, since (A1) is about their empirical distribution.

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
    learned_from = []
    measured_by = []
    for part in mixture.parts:
        if part.name == OWN:
            learned_from.append(part)
            measured_by.append(part)
            continue
        order = torch.randperm(len(part), generator=generator)
        half = (len(order) + 1) // 2
        rest = order[half:] if len(order) > 1 else order
        learned_from.append(Portion(part.name, part.picked(order[:half]), part.weight))
        measured_by.append(Portion(part.name, part.picked(rest), part.weight))
    twin.load_state_dict({name: tensor.clone() for name, tensor in model.state_dict().items()})
    if isinstance(twin, StopsEarly):  # the question is what it would gain by not stopping
        twin.go_on()
    twin.learn(Mixture(tuple(learned_from)), steps, generator)
    value = 0.0
    variance = 0.0
    for part in measured_by:
        before = log_prob(model, part.whole(), draws, generator)
        after = log_prob(twin, part.whole(), draws, generator)
        assert before is not None
        assert after is not None
        change, spread = _change(before, after, exact=part.name == OWN)
        value += part.weight * change
        variance += part.weight**2 * spread / len(part)
    count = sum(map(len, measured_by))
    return Gain(value, math.sqrt(variance), count)


def _change(before: LogProb, after: LogProb, *, exact: bool) -> tuple[float, float]:
    """Mean change of log p over the same samples, so that what is alike in both cancels.

    What stays impossible gains nothing.

    Args:
        before: Log p by one model.
        after: Log p by the other.
        exact: Whether the samples are all there is, so that only importance weighting errs.

    Returns:
        The mean, and the variance of a single sample's change.
    """
    difference = torch.where(after.value == before.value, 0.0, after.value - before.value)
    if exact:
        spread = (after.error.square() + before.error.square()).mean().item()
    elif len(difference) > 1 and difference.isfinite().all():
        spread = difference.var().item()
    else:
        spread = 0.0
    return difference.mean().item(), spread
