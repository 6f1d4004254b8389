"""What was spent of a privacy budget, from what was released: (ε, δ) for adding or removing a unit.

Three kinds of charge are known. Gaussian noise of s times the sensitivity, released once, is the
mechanism of (V1) in :mod:`coplay.theory.noise`, exactly; several of them are one with
1/s² = Σ 1/s_i². Steps of DP-SGD, each on a batch that every unit joins with the chance q, are added
up by an accountant of Opacus. What is only known by a stated (ε, δ) is added as it is (basic
composition).

References:
    Gaussian differential privacy (J. Dong, A. Roth, W. Su, Journal of the Royal Statistical Society
    B 2022).
    Numerical composition of differential privacy (S. Gopi, Y. T. Lee, L. Wutschitz, NeurIPS 2021),
    arXiv:2106.02848, for "prv".
    Rényi differential privacy of the sampled Gaussian mechanism (I. Mironov, K. Talwar, L. Zhang,
    2019), arXiv:1908.10530, for "rdp".
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.optimize import brentq

from coplay.core.errors import PrivacyError
from coplay.theory.noise import gaussian_noise, spent_delta

Accountant = Literal["prv", "rdp"]
"""How steps on random batches are added up: by the law of the privacy loss, or by its moments."""

_MOST_NOISE = 1e4
_TOLERANCE = 1e-3  # of the noise, upwards


@dataclass(frozen=True)
class Charge:
    """One release that was computed from real rows.

    Args:
        what: What was released, in words.
        noise: Standard deviation of the noise in units of the sensitivity; 0 for a release with a
            stated (ε, δ).
        rate: The chance of a unit to be in the batch of a step; 1 where all are.
        steps: How many steps there were.
        epsilon: A stated ε.
        delta: A stated δ.
    """

    what: str
    noise: float = 0.0
    rate: float = 1.0
    steps: int = 1
    epsilon: float = 0.0
    delta: float = 0.0


def spent_epsilon(charges: Sequence[Charge], delta: float, accountant: Accountant = "prv") -> float:
    """Return the ε that charges have spent together at a δ.

    Args:
        charges: All that was released.
        delta: The δ of the whole, of which stated δ are a part.
        accountant: How steps on random batches are added up.

    Returns:
        0 without charges; infinite where the stated δ leave nothing of it.

    Raises:
        PrivacyError: Opacus is not installed, and there are steps on random batches.

    Example:
        >>> round(spent_epsilon([Charge("moments", noise=3.7306)], 1e-5), 3)
        1.0
        >>> two = [Charge("moments", noise=3.7306 * 2**0.5)] * 2  # half of it twice
        >>> round(spent_epsilon(two, 1e-5), 3)
        1.0
    """
    stated = [charge for charge in charges if not charge.noise]
    epsilon = sum(charge.epsilon for charge in stated)
    left = delta - sum(charge.delta for charge in stated)
    noisy = [charge for charge in charges if charge.noise and charge.steps]
    if left < -1e-12 * delta or (noisy and left <= 0):
        return math.inf
    if not noisy:
        return epsilon
    if all(charge.rate == 1 for charge in noisy):
        precision = sum(charge.steps / charge.noise**2 for charge in noisy)
        return epsilon + _of_gaussian(precision**-0.5, left)
    return epsilon + _by_opacus(noisy, left, accountant)


def needed_noise(
    charge: Callable[[float], Sequence[Charge]],
    epsilon: float,
    delta: float,
    accountant: Accountant = "prv",
) -> float:
    """Return the least noise with which charges spend no more than ε at δ.

    Args:
        charge: The charges as a function of their noise.
        epsilon: ε, above 0.
        delta: δ, in (0, 1).
        accountant: How steps on random batches are added up.

    Raises:
        PrivacyError: No noise is large enough.

    Example:
        >>> noise = needed_noise(lambda s: [Charge("moments", noise=s)], 1.0, 1e-5)
        >>> round(noise, 4), round(gaussian_noise(1.0, 1e-5), 4)
        (3.7306, 3.7306)
    """
    first = charge(1.0)
    if len(first) == 1 and first[0].rate == 1:  # in closed form: precisions add up
        return gaussian_noise(epsilon, delta) * math.sqrt(first[0].steps) / first[0].noise
    low, high = 0.1, _MOST_NOISE
    if spent_epsilon(charge(high), delta, accountant) > epsilon:
        raise PrivacyError(
            f"no noise spends as little as epsilon = {epsilon:g} at delta = {delta:g} in so many "
            "steps; take fewer steps, a smaller rate or a larger epsilon"
        )
    while high / low > 1 + _TOLERANCE:
        middle = math.sqrt(low * high)
        if spent_epsilon(charge(middle), delta, accountant) > epsilon:
            low = middle
        else:
            high = middle
    return high


def _of_gaussian(deviation: float, delta: float) -> float:
    """Return the ε of Gaussian noise at a δ, the inverse of (V1)."""
    if spent_delta(0.0, deviation) <= delta:
        return 0.0

    def excess(epsilon: float) -> float:
        return spent_delta(epsilon, deviation) - delta

    # δ is below 1e-300 beyond 40 deviations of the loss, whose mean is 1/2s² and deviation 1/s
    most = 0.5 / deviation**2 + 40 / deviation
    return float(brentq(excess, 0.0, most, xtol=1e-12, rtol=1e-12))


def _by_opacus(charges: Sequence[Charge], delta: float, accountant: Accountant) -> float:
    try:
        from opacus.accountants import PRVAccountant, RDPAccountant
    except ImportError:
        raise PrivacyError(
            "what DP-SGD spends is added up by Opacus, which is not installed: "
            "pip install 'coplay[privacy]'"
        ) from None
    counts: dict[tuple[float, float], int] = {}
    for charge in charges:  # alike ones together: every turn of a player adds one
        key = (charge.noise, charge.rate)
        counts[key] = counts.get(key, 0) + charge.steps
    history = [(noise, rate, steps) for (noise, rate), steps in counts.items()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of log 0 where all units are in a batch
        moments = RDPAccountant()
        moments.history = history
        bound = float(moments.get_epsilon(delta))
        if accountant == "rdp":
            return bound
        law = PRVAccountant()
        law.history = history
        return float(min(bound, law.get_epsilon(delta)))
