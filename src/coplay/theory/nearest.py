"""The weights whose mixtures are nearest to wanted ones that no weights reach.

Minimise f(α) = ½ ‖M(α) − M*‖² (sum of squares) over rows on the simplex with α_ii ≥ a and zeros
where no link is allowed. With K = (I − W)⁻¹ and G = Kᵀ (M − M*),

    ∂f/∂α_ij = (G Mᵀ)_ij   (j ≠ i),        ∂f/∂α_ii = G_ii.

M is not linear in α, so f may have several minima, and several beginnings are tried. Small own
weights make f a narrow valley, so descent is by L-BFGS and then by Newton's steps among the entries
that are free, each solved for by conjugate gradients. A
minimum is recognised by the size of the projected step, max |P(α − ∇f) − α|, which is 0 exactly
where the conditions of first order hold.

References:
    Projected Newton methods for optimization problems with simple constraints (D. Bertsekas, SIAM
    Journal on Control and Optimization 1982).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from coplay.core.streams import stream

STARTS = 8
"""Beginnings from which descent is tried."""

OPTIMAL = 1e-8
"""Size of the projected step at which descent ends."""

_FEW = 20  # sites for which every beginning is followed to its end
_MOST_CYCLES = 6
_MOST_STEPS = 200  # of Newton's, in a cycle
_MOST_INNER = 300  # of conjugate gradients, for one step of Newton's
_AT_BOUND = 1e-12


@dataclass(frozen=True)
class Feasible:
    """Rows on the simplex with a least own weight and no weight where no link is.

    Args:
        least_own: Least α_ii.
        allowed: Where an entry may be positive, shape (N, N), bool, true on the diagonal.
    """

    least_own: float
    allowed: np.ndarray

    @cached_property
    def floor(self) -> np.ndarray:
        """The least weights, shape (N, N)."""
        return self.least_own * np.eye(len(self.allowed))

    def projected(self, alpha: np.ndarray) -> np.ndarray:
        """Return the nearest weights of this kind, shape (N, N)."""
        free = np.where(self.allowed, alpha - self.floor, -np.inf)
        ordered = -np.sort(-free, axis=1)
        # the threshold of the simplex of mass 1 − a: the last one that leaves its entry positive
        sums = np.cumsum(np.where(np.isfinite(ordered), ordered, 0.0), axis=1)
        thresholds = (sums - (1 - self.least_own)) / np.arange(1, len(alpha) + 1)
        last = np.maximum((ordered > thresholds).sum(1), 1) - 1
        threshold = np.take_along_axis(thresholds, last[:, None], 1)
        result: np.ndarray = np.maximum(free - threshold, 0) + self.floor
        return result


@dataclass(frozen=True)
class Point:
    """Weights, f, and its derivatives there.

    Args:
        alpha: Weights with positive own weights, shape (N, N).
        wanted: M*, shape (N, N).
    """

    alpha: np.ndarray
    wanted: np.ndarray
    inverse: np.ndarray = field(init=False, repr=False)
    reached: np.ndarray = field(init=False, repr=False)
    back: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        own = self.alpha.diagonal()
        inverse = np.linalg.inv(np.eye(len(own)) - self.alpha + np.diag(own))
        reached = inverse * own
        object.__setattr__(self, "inverse", inverse)
        object.__setattr__(self, "reached", reached)
        object.__setattr__(self, "back", inverse.T @ (reached - self.wanted))

    @property
    def value(self) -> float:
        """The half sum of squares f."""
        return 0.5 * float(np.square(self.reached - self.wanted).sum())

    @cached_property
    def gradient(self) -> np.ndarray:
        """Derivatives of f, shape (N, N)."""
        gradient = self.back @ self.reached.T
        np.fill_diagonal(gradient, self.back.diagonal())
        return gradient

    def curvature(self, direction: np.ndarray) -> np.ndarray:
        """Return by how much the gradient changes per step in a direction, shape (N, N)."""
        own = np.diag(direction.diagonal())
        others = direction - own
        moved = self.inverse @ (others @ self.reached + own)
        turned = self.inverse.T @ (others.T @ self.back + moved)
        change = turned @ self.reached.T + self.back @ moved.T
        np.fill_diagonal(change, turned.diagonal())
        return change


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
    if len(target) > _FEW:  # then the end of each descent takes longer than its beginning
        points = [min((_approached(each, feasible) for each in points), key=lambda p: p.value)]
    best = min((descended(each, feasible) for each in points), key=lambda end: end.value)
    return torch.from_numpy(best.alpha), optimality(best, feasible)


def optimality(point: Point, feasible: Feasible) -> float:
    """Return the size of the projected step, 0 where the conditions of first order hold."""
    step = feasible.projected(point.alpha - point.gradient) - point.alpha
    return float(np.abs(step).max())


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


def _polished(point: Point, feasible: Feasible) -> Point:
    """Descend by Newton's steps, until the conditions of first order hold or nothing is gained."""
    for _ in range(_MOST_STEPS):
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

    residual = -along(point.gradient)
    step = np.zeros_like(residual)
    direction = residual
    size = first = float(np.square(residual).sum())
    if not first:
        return step
    wanted = first * min(0.01, first)  # solve more exactly as the end comes near
    for _ in range(min(_MOST_INNER, int(free.sum()))):
        bent = along(point.curvature(direction))
        curvature = float((direction * bent).sum())
        if curvature <= 1e-14 * float(np.square(direction).sum()):
            return step if step.any() else direction
        length = size / curvature
        step = step + length * direction
        residual = residual - length * bent
        following = float(np.square(residual).sum())
        if following <= wanted:
            break
        direction = residual + following / size * direction
        size = following
    return step


def _free(point: Point, feasible: Feasible) -> np.ndarray:
    """Return which entries may move: those off their bounds, and those that the slope lets go."""
    above = point.alpha - feasible.floor > _AT_BOUND
    towards = feasible.projected(point.alpha - point.gradient) - feasible.floor > _AT_BOUND
    free: np.ndarray = feasible.allowed & (above | towards)
    return free
