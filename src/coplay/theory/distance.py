"""Weights beside the wanted mixtures: what is allowed, how far they are, and where it is down.

See :mod:`coplay.theory.nearest` for the equations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np


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


def optimality(point: Point, feasible: Feasible) -> float:
    """Return the size of the projected step, 0 where the conditions of first order hold."""
    step = feasible.projected(point.alpha - point.gradient) - point.alpha
    return float(np.abs(step).max())
