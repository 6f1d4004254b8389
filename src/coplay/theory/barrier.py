"""Descent in the inside of the allowed weights, behind a barrier.

With x the weights above the least ones, minimise f − μ Σ log x over x > 0 whose rows have their
sums, by Newton's steps in u = dx / x: in these, what is near a bound weighs as little as it can
move, so that conjugate gradients need few steps. As μ falls to 0, the minimum goes to one of f, and
it need not be known before which weights end at their bounds.

References:
    Numerical optimization (J. Nocedal, S. Wright, Springer 2006), chapter 19.
"""

from __future__ import annotations

import numpy as np

from coplay.theory.conjugate import newton_step
from coplay.theory.distance import Feasible, Point

_MOST_STEPS = 40
_INSIDE = 0.1  # share of even weights mixed into weights at bounds
_TO_THE_BOUND = 0.95  # of the way that is left


def lowered(point: Point, feasible: Feasible, strength: float) -> Point:
    """Return weights near the minimum of f behind a barrier.

    Args:
        point: Where to begin; weights at bounds are first moved inside.
        feasible: Which weights are allowed.
        strength: μ, above 0.
    """
    point = _inside(point, feasible)
    for _ in range(_MOST_STEPS):
        following = _step(point, feasible, strength)
        if following is None:
            break
        point = following
    return point


def _inside(point: Point, feasible: Feasible) -> Point:
    """Return the point, moved off the bounds if it is at one."""
    free = (point.alpha - feasible.floor)[feasible.allowed]
    if free.min() > 0:
        return point
    count = feasible.allowed.sum(1, keepdims=True)
    even = feasible.floor + (1 - feasible.least_own) * feasible.allowed / count
    return Point((1 - _INSIDE) * point.alpha + _INSIDE * even, point.wanted)


def _step(point: Point, feasible: Feasible, strength: float) -> Point | None:
    """Return the point after one Newton's step; None where none is needed or none descends."""
    allowed = feasible.allowed
    x = np.where(allowed, point.alpha - feasible.floor, 0.0)
    squares = np.square(x).sum(1, keepdims=True)

    def along(u: np.ndarray) -> np.ndarray:
        """Project on steps that leave the sums of rows as they are."""
        result: np.ndarray = u - x * ((x * u).sum(1, keepdims=True) / squares)
        return result

    def bent(u: np.ndarray) -> np.ndarray:
        return along(np.where(allowed, x * point.curvature(x * u), 0.0)) + strength * u

    slope = along(np.where(allowed, x * point.gradient - strength, 0.0))
    if np.abs(slope).max() < 0.5 * strength:
        return None
    u = newton_step(slope, bent, closer=0.5, flat=1e-12 * strength)
    return _searched(point, x, u, float((slope * u).sum()), feasible, strength)


def _searched(
    point: Point,
    x: np.ndarray,
    u: np.ndarray,
    slope: float,
    feasible: Feasible,
    strength: float,
) -> Point | None:
    """Return the first point of halved steps that is low enough; None if there is none."""
    allowed = feasible.allowed
    mass = 1 - feasible.least_own
    length = min(1.0, _TO_THE_BOUND / max(-float(u.min()), 1e-300))
    before = point.value - strength * float(np.log(x[allowed]).sum())
    for _ in range(30):
        moved = x * (1 + length * u)
        moved *= mass / moved.sum(1, keepdims=True)
        tried = Point(moved + feasible.floor, point.wanted)
        after = tried.value - strength * float(np.log(moved[allowed]).sum())
        if after <= before + 1e-4 * length * slope + 1e-14 * abs(before):
            return tried
        length /= 2
    return None
