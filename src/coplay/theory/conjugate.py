"""Newton's steps by conjugate gradients, without a matrix of second derivatives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

MOST = 300
"""Most inner steps for one of Newton's."""


def newton_step(
    slope: np.ndarray,
    bent: Callable[[np.ndarray], np.ndarray],
    *,
    closer: float,
    flat: float,
    most: int = MOST,
) -> np.ndarray:
    """Return Newton's step; where the curvature is negative, conjugate gradients end before it.

    Args:
        slope: The gradient.
        bent: Returns the curvature times a direction.
        closer: Power of the squared slope by which the solution gets more exact near the end.
        flat: Curvature along a direction of length 1 that counts as none.
        most: Most inner steps.

    Example:
        >>> newton_step(np.array([2.0, -4.0]), lambda d: 2 * d, closer=1, flat=1e-14)
        array([-1.,  2.])
    """
    residual = -slope
    step = np.zeros_like(residual)
    direction = residual
    size = first = float(np.square(residual).sum())
    if not first:
        return step
    wanted = first * min(0.01, first**closer)
    for _ in range(most):
        turned = bent(direction)
        curvature = float((direction * turned).sum())
        if curvature <= flat * float(np.square(direction).sum()):
            return step if step.any() else direction
        length = size / curvature
        step = step + length * direction
        residual = residual - length * turned
        following = float(np.square(residual).sum())
        if following <= wanted:
            break
        direction = residual + following / size * direction
        size = following
    return step
