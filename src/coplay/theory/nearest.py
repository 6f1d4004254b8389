"""The weights whose mixtures are nearest to wanted ones that no weights reach.

Minimise f(α) = ½ ‖M(α) − M*‖² (sum of squares) over rows on the simplex with α_ii ≥ a and zeros
where no link is allowed. With K = (I − W)⁻¹ and G = Kᵀ (M − M*),

    ∂f/∂α_ij = (G Mᵀ)_ij   (j ≠ i),        ∂f/∂α_ii = G_ii.

M is not linear in α, so f may have several minima, and several beginnings are tried. Small own
weights make f a narrow valley. Few sites descend by L-BFGS and then by Newton's steps among the
entries that are free, each solved for by conjugate gradients. With many sites it takes long to find
out which entries are free: there, a barrier that is lowered by degrees keeps weights off their
bounds (:mod:`coplay.theory.barrier`), the best beginning is followed, and Newton's steps end it. A
minimum is recognised by the size of the projected step, max |P(α − ∇f) − α|, which is 0 exactly
where the conditions of first order hold.

References:
    Projected Newton methods for optimization problems with simple constraints (D. Bertsekas, SIAM
    Journal on Control and Optimization 1982).
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from coplay.core.streams import stream
from coplay.theory.barrier import lowered
from coplay.theory.conjugate import MOST, newton_step
from coplay.theory.distance import Feasible, Point, optimality

STARTS = 8
"""Beginnings from which descent is tried."""

OPTIMAL = 1e-8
"""Size of the projected step at which descent ends."""

_FEW = 20  # sites for which every beginning is followed to its end
_FIRST_BARRIER = 1e-6  # a stronger one would take all beginnings to the same place
_POLISHED_AFTER = (2e-9, 2e-11, 2e-13)  # strengths after which Newton's steps try for the end
_MOST_CYCLES = 6
_MOST_STEPS = 200  # of Newton's, in a cycle
_LAST_STEPS = 2000  # of Newton's, once the barrier is as low as it goes
_AT_BOUND = 1e-12


def nearest_weights(
    wanted: Tensor, least_own: float, allowed: Tensor, starts: int, seed: int
) -> tuple[Tensor, float]:
    """Return the best weights of several beginnings, and their distance from first-order optimal.

    Args:
        wanted: M*, shape (N, N), float64, rows sum to 1.
        least_own: Least α_ii.
        allowed: Which site may listen to which, shape (N, N), bool, true on the diagonal.
        starts: Number of beginnings, at least 1.
        seed: Decides the beginnings.
    """
    feasible = Feasible(least_own, allowed.numpy())
    target = wanted.numpy()
    points = [Point(alpha, target) for alpha in _beginnings(target, feasible, starts, seed)]
    if len(target) > _FEW:
        best = _of_many(points, feasible)
        return torch.from_numpy(best.alpha), optimality(best, feasible)
    best = min((descended(each, feasible) for each in points), key=lambda end: end.value)
    return torch.from_numpy(best.alpha), optimality(best, feasible)


def _of_many(points: list[Point], feasible: Feasible) -> Point:
    """Return the end of the best beginning, by a barrier that is lowered."""
    if feasible.least_own == 1:  # nothing is left to choose
        return points[0]
    strength = _FIRST_BARRIER
    begun = [lowered(each, feasible, strength) for each in points]
    inside = min(begun, key=lambda each: each.value)
    best = Point(feasible.projected(inside.alpha), inside.wanted)
    for last in _POLISHED_AFTER:
        while strength > last:
            strength *= 0.2
            inside = lowered(inside, feasible, strength)
        at_bounds = Point(feasible.projected(inside.alpha), inside.wanted)
        best = min(best, _polished(at_bounds, feasible), key=lambda each: each.value)
        if optimality(best, feasible) < OPTIMAL:
            return best
    return _polished(best, feasible, _LAST_STEPS)


def _beginnings(wanted: np.ndarray, feasible: Feasible, starts: int, seed: int) -> list[np.ndarray]:
    """Return the wanted shares as weights, even weights, own data alone, and random weights."""
    n = len(wanted)
    each = [wanted, np.full((n, n), 1 / n), np.eye(n)]
    generator = stream(seed, "design")
    while len(each) < starts:
        drawn = torch.rand(n, n, generator=generator, dtype=torch.float64).numpy()
        drawn = -np.log1p(-drawn) * feasible.allowed
        each.append(drawn / np.maximum(drawn.sum(1, keepdims=True), 1e-12))
    return [feasible.projected(alpha) for alpha in each[:starts]]


def descended(point: Point, feasible: Feasible) -> Point:
    """Return where descent from a point ends."""
    for _ in range(_MOST_CYCLES):
        point = _approached(point, feasible)
        point = _polished(point, feasible)
        if optimality(point, feasible) < OPTIMAL:
            break
    return point


def _approached(point: Point, feasible: Feasible) -> Point:
    """Descend by L-BFGS in β ≥ 0, where α_i is a e_i + (1 − a) β_i / Σ_j β_ij."""
    allowed = feasible.allowed
    least = feasible.least_own
    n = len(allowed)

    def filled(values: np.ndarray) -> np.ndarray:
        matrix = np.zeros((n, n))
        matrix[allowed] = values
        return matrix

    def value_and_slope(values: np.ndarray) -> tuple[float, np.ndarray]:
        beta = filled(values)
        sums = np.maximum(beta.sum(1, keepdims=True), 1e-300)
        at = Point(feasible.floor + (1 - least) * beta / sums, point.wanted)
        slopes = (1 - least) * at.gradient
        slopes = (slopes - (slopes * beta).sum(1, keepdims=True) / sums) / sums
        return at.value, slopes[allowed]

    # an entry of exactly 0 in every row would leave no way to tell where it should grow
    beta = np.maximum((point.alpha - feasible.floor) / max(1 - least, 1e-12), 1e-4 / n)
    options = {"maxcor": 30, "maxiter": 2000, "maxfun": 3000, "ftol": 1e-15, "gtol": 1e-12}
    ended = cast(Any, minimize)(
        value_and_slope,
        beta[allowed],
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * int(allowed.sum()),
        options=options,
    )
    beta = filled(ended.x)
    sums = np.maximum(beta.sum(1, keepdims=True), 1e-300)
    alpha = feasible.projected(feasible.floor + (1 - least) * beta / sums)
    after = Point(alpha, point.wanted)
    return after if after.value <= point.value else point


def _polished(point: Point, feasible: Feasible, steps: int = _MOST_STEPS) -> Point:
    """Descend by Newton's steps, until the conditions of first order hold or nothing is gained."""
    for _ in range(steps):
        if optimality(point, feasible) < OPTIMAL:
            break
        direction = _newton(point, feasible)
        tried = [_searched(point, direction, feasible), _within(point, direction, feasible)]
        lower = [each for each in tried if each is not None]
        if not lower:
            following = _searched(point, -point.gradient, feasible)
            if following is None:  # as low as rounding lets it come
                break
            lower = [following]
        point = min(lower, key=lambda each: each.value)
    return point


def _within(point: Point, direction: np.ndarray, feasible: Feasible) -> Point | None:
    """Return the end of a step that stops at the first bound; None if it does not descend."""
    shrinks = direction < 0
    room = point.alpha - feasible.floor
    longest = np.min(room[shrinks] / -direction[shrinks], initial=1.0)
    if longest <= 0:
        return None
    tried = Point(feasible.projected(point.alpha + longest * direction), point.wanted)
    return tried if tried.value < point.value else None


def _searched(point: Point, direction: np.ndarray, feasible: Feasible) -> Point | None:
    """Return the first point of halved steps in a direction that is low enough, or None."""
    length = 1.0
    for _ in range(30):
        tried = Point(feasible.projected(point.alpha + length * direction), point.wanted)
        towards = float((point.gradient * (tried.alpha - point.alpha)).sum())
        if towards < 0 and tried.value <= point.value + 1e-4 * towards:
            return tried
        length /= 2
    return None


def _newton(point: Point, feasible: Feasible) -> np.ndarray:
    """Return Newton's step among the free entries, shape (N, N); rows sum to 0.

    Where the curvature is negative, conjugate gradients end with what they have.
    """
    free = _free(point, feasible)
    count = np.maximum(free.sum(1, keepdims=True), 1)

    def along(matrix: np.ndarray) -> np.ndarray:
        """Project on rows that sum to 0 and are 0 but at free entries."""
        kept = np.where(free, matrix, 0.0)
        result: np.ndarray = np.where(free, kept - kept.sum(1, keepdims=True) / count, 0.0)
        return result

    return newton_step(
        along(point.gradient),
        lambda direction: along(point.curvature(direction)),
        closer=1,
        flat=1e-14,
        most=min(MOST, int(free.sum())),
    )


def _free(point: Point, feasible: Feasible) -> np.ndarray:
    """Return which entries may move: those off their bounds, and those that the slope lets go."""
    above = point.alpha - feasible.floor > _AT_BOUND
    towards = feasible.projected(point.alpha - point.gradient) - feasible.floor > _AT_BOUND
    free: np.ndarray = feasible.allowed & (above | towards)
    return free
