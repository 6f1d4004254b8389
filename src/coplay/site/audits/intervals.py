"""Intervals of what audits count: areas, rates at few false alarms, and risks above a base rate.

All of them hold for units that are independent of each other, at any number of them.
"""

from __future__ import annotations

import math

from scipy.special import ndtri
from scipy.stats import beta

LEVEL = 0.95
"""Confidence of the intervals of audits."""

_LEAST = -1.0  # risk that is told
_STEPS = 60  # halvings, after which the ends of an interval are exact


def share_interval(hits: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Return Wilson's interval of a share counted as ``hits`` of ``n`` units.

    Example:
        >>> [round(end, 4) for end in share_interval(5, 10)]
        [0.2366, 0.7634]
    """
    z = float(ndtri((1 + level) / 2))
    share = hits / n
    extra = z**2 / n
    middle = (share + extra / 2) / (1 + extra)
    half = math.sqrt(extra * (share * (1 - share) + extra / 4)) / (1 + extra)
    return (0.0 if hits == 0 else middle - half), (1.0 if hits == n else middle + half)


def exact_interval(hits: int, n: int, tail: float) -> tuple[float, float]:
    """Return the interval of a share by Clopper and Pearson, with a tail at either side.

    Example:
        >>> [round(end, 4) for end in exact_interval(0, 10, 0.025)]
        [0.0, 0.3085]
    """
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if hits == n else float(beta.ppf(1 - tail, hits + 1, n - hits))
    return low, high


def area_interval(area: float, n: int, m: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the interval of an area under an ROC curve.

    It holds all areas θ with |area − θ| ≤ z √V(θ), with the variance V of Hanley and McNeil. At
    θ = 1/2 that is the variance of Mann and Whitney's test, so the interval holds 1/2 where that
    test does not tell both sides apart. Ties make V smaller, and the interval then too wide.

    Args:
        area: The area.
        n: Number of members.
        m: Number of controls.
        level: Confidence.

    Example:
        >>> [round(end, 3) for end in area_interval(0.5, 50, 50)]
        [0.39, 0.61]
        >>> area_interval(1.0, 50, 50)[0] > 0.92
        True

    References:
        Confidence intervals for an effect size measure based on the Mann–Whitney statistic, part 2
        (R. G. Newcombe, Statistics in Medicine 25, 2006), method 5.
    """
    z = float(ndtri((1 + level) / 2))
    pairs = n * m
    more = (n + m) / 2 - 1

    def holds(theta: float) -> bool:
        variance = 1 + more * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        variance *= theta * (1 - theta) / pairs
        return (area - theta) ** 2 <= z**2 * variance

    ends = []
    for outer in (0.0, 1.0):
        if holds(outer):
            ends.append(outer)
            continue
        inner = area
        for _ in range(_STEPS):
            middle = (inner + outer) / 2
            inner, outer = (middle, outer) if holds(middle) else (inner, middle)
        ends.append(inner)
    return ends[0], ends[1]


def quiet_ranks(m: int, rate: float, tail: float) -> tuple[int | None, int | None]:
    """Return how many controls may lie above a threshold whose rate of false alarms is known.

    Of m independent controls let k lie above the (k + 1)-th largest score. The rate of false alarms
    of this score as a threshold has the distribution Beta(k + 1, m − k).

    Args:
        m: Number of controls.
        rate: The rate.
        tail: What may go wrong with either answer.

    Returns:
        The largest k for which the rate is surely not exceeded, and the smallest for which it is
        surely reached; None where there is none.

    Example:
        >>> quiet_ranks(1000, 0.01, 0.025), quiet_ranks(100, 0.01, 0.025)
        ((3, 17), (None, 3))
    """
    most, least = None, None
    for k in range(m):
        if float(beta.sf(rate, k + 1, m - k)) > tail:
            break
        most = k
    for k in range(m):
        if float(beta.cdf(rate, k + 1, m - k)) <= tail:
            least = k
            break
    return most, least


def risk_of(members: tuple[int, int], controls: tuple[int, int]) -> float | None:
    """Return by how much an attack succeeds more often on members than on controls.

    It is (r − r₀) / (1 − r₀) with the rates r of members and r₀ of controls: the part that can be
    due to membership of what the attack did not have without it. None where r₀ = 1; a risk below −1
    is as little a risk and counts as −1.

    Args:
        members: Successes, and units that were attacked.
        controls: The same.

    Example:
        >>> round(risk_of((60, 100), (20, 100)), 6)
        0.5
    """
    rate, base = members[0] / members[1], controls[0] / controls[1]
    return None if base == 1 else max((rate - base) / (1 - base), _LEAST)


def risk_interval(
    members: tuple[int, int], controls: tuple[int, int], level: float = LEVEL
) -> tuple[float, float]:
    """Return the interval of a risk, from Wilson's intervals of both rates.

    With failures q = 1 − r and q₀ = 1 − r₀ the risk is 1 − q / q₀. The interval holds ρ = q / q₀
    where that of the difference q − ρ q₀ holds 0, so that it holds 0 where both rates may be equal.

    Args:
        members: Successes, and units that were attacked.
        controls: The same.
        level: Confidence.

    Returns:
        Two numbers of −1 to 1.

    Example:
        >>> low, high = risk_interval((60, 100), (20, 100))
        >>> round(low, 2), round(high, 2)
        (0.36, 0.62)
        >>> low, high = risk_interval((20, 100), (20, 100))
        >>> low < 0 < high
        True

    References:
        Closed-form confidence intervals for functions of the normal mean and standard deviation
        (A. Donner and G. Y. Zou, Statistical Methods in Medical Research 21, 2012), equations 9
        and 10.
    """
    fails = members[1] - members[0]
    base = controls[1] - controls[0]
    q, q0 = fails / members[1], base / controls[1]
    low, high = share_interval(fails, members[1], level)
    low0, high0 = share_interval(base, controls[1], level)
    product = q * q0
    inner = product**2 - low * high0 * (2 * q - low) * (2 * q0 - high0)
    outer = product**2 - high * low0 * (2 * q - high) * (2 * q0 - low0)
    least, most = 0.0, math.inf
    if high0 * (2 * q0 - high0) > 0:
        least = (product - math.sqrt(max(inner, 0.0))) / (high0 * (2 * q0 - high0))
    if low0 * (2 * q0 - low0) > 0:
        most = (product + math.sqrt(max(outer, 0.0))) / (low0 * (2 * q0 - low0))
    return max(1 - most, _LEAST), max(min(1 - least, 1.0), _LEAST)
