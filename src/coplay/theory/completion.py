"""Which correlations are possible where some of a matrix of correlations are known (I).

A correlation that nobody observes may be any that leaves some completion of the matrix positive
semidefinite. The least and the largest one are the ends of a semidefinite programme: minimise ±r
over all unknown entries u, subject to R(u) ⪰ 0, here behind a barrier by Newton's steps,

    t · (±r) − log det R(u),   t → ∞,

which ends within V / t of the optimum for V variables. Variables that cannot matter are left out
first: one whose known correlations are with variables that are all known together fits any matrix
of the others.

References:
    Positive definite completions of partial Hermitian matrices (R. Grone, C. R. Johnson,
    E. M. Sá, H. Wolkowicz, Linear Algebra and its Applications 1984).
    Convex optimization (S. Boyd, L. Vandenberghe, Cambridge 2004), chapter 11.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from coplay.theory.identifiability import correlation_interval

MOST = 12
"""Most variables beside which the ends are worked out."""

_GAP = 1e-8  # of the optimum that is left to the barrier
_FASTER = 8.0  # factor by which t grows
_STEPS = 60  # of Newton's at most for each t
_SHRUNK = 1e-9  # so that a variable that another one determines leaves an inside


def possible_correlations(known: Tensor, one: int, other: int) -> tuple[float, float] | None:
    """Return the least and the largest correlation of two variables that completions have.

    Args:
        known: Correlations, shape (V, V), NaN where unknown; that of the two is not looked at.
        one: Place of the first variable.
        other: Place of the second.

    Returns:
        Both ends; None where no matrix of correlations has the known ones, or where more than
        ``MOST`` variables matter.

    Example:
        Known along a chain a, b, c of correlation 0.8 each, so a and c are open.

        >>> import torch
        >>> nan = float("nan")
        >>> known = torch.tensor([[1, 0.8, nan], [0.8, 1, 0.8], [nan, 0.8, 1]])
        >>> low, high = possible_correlations(known, 0, 2)
        >>> round(low, 4), round(high, 4)
        (0.28, 1.0)
    """
    places = mattering(known, one, other)
    if len(places) == 2:
        return -1.0, 1.0
    if len(places) > MOST:
        return None
    matrix = known.double().numpy()[np.ix_(places, places)] * (1 - _SHRUNK)
    np.fill_diagonal(matrix, 1.0)
    first, second = places.index(one), places.index(other)
    matrix[first, second] = matrix[second, first] = np.nan
    if not np.isnan(matrix).any(where=_beside((first, second), len(matrix))):
        return _by_closed_form(matrix, first, second)
    unknown = [(first, second)]
    for i, j in np.argwhere(np.isnan(matrix)).tolist():
        if i < j and (i, j) not in ((first, second), (second, first)):
            unknown.append((i, j))
    bases = np.zeros((len(unknown), *matrix.shape))
    for place, (i, j) in enumerate(unknown):
        bases[place, i, j] = bases[place, j, i] = 1.0
    filled = np.nan_to_num(matrix, nan=0.0)
    start = _inside(filled, bases)
    if start is None:
        return None
    ends = []
    for sign in (1.0, -1.0):
        aim = np.zeros(len(bases))
        aim[0] = sign
        ends.append(float(_lowered(filled, bases, start, aim)[0]))
    return max(-1.0, ends[0]), min(1.0, ends[1])


def _beside(pair: tuple[int, int], count: int) -> np.ndarray:
    """Return where a matrix has other entries than that of a pair, shape (count, count), bool."""
    others = np.ones((count, count), dtype=bool)
    others[pair] = others[pair[::-1]] = False
    return others


def _by_closed_form(matrix: np.ndarray, first: int, second: int) -> tuple[float, float] | None:
    """Return both ends where nothing else is open; None where the known do not fit together."""
    others = [place for place in range(len(matrix)) if place not in (first, second)]
    for one in (first, second):
        places = [*others, one]
        if np.linalg.eigvalsh(matrix[np.ix_(places, places)])[0] <= 0:
            return None
    rows = torch.from_numpy(matrix)
    among = rows[others][:, others]
    low, high = correlation_interval(rows[first, others], rows[second, others], among)
    return max(-1.0, low), min(1.0, high)


def mattering(known: Tensor, one: int, other: int) -> list[int]:
    """Return the places of variables that may matter for the correlation of two, in order.

    Args:
        known: Correlations, shape (V, V), NaN where unknown.
        one: Place of the first variable.
        other: Place of the second.
    """
    together = ~known.isnan().numpy()
    together[one, other] = together[other, one] = True
    left = list(range(len(known)))
    while True:
        needless = [v for v in left if _is_needless(v, left, together, (one, other))]
        if not needless:
            return left
        left.remove(needless[0])


def _is_needless(v: int, left: Sequence[int], together: np.ndarray, pair: tuple[int, int]) -> bool:
    """Whether a variable fits any matrix of the others, and is not known with both of a pair."""
    if v in pair:
        return False
    near = [u for u in left if u != v and together[u, v]]
    if all(u in near for u in pair):
        return False
    return bool(together[np.ix_(near, near)].all())


def _inside(filled: np.ndarray, bases: np.ndarray) -> np.ndarray | None:
    """Return unknown entries that leave the matrix positive definite; None where there are none.

    The least eigenvalue s is raised: minimise −s behind the barrier of R(u) − s ⪰ 0.
    """
    more = np.concatenate([bases, -np.eye(len(filled))[None]])
    point = np.zeros(len(more))
    point[-1] = np.linalg.eigvalsh(filled)[0] - 1.0
    aim = np.zeros(len(more))
    aim[-1] = -1.0
    strength = 1.0
    while len(filled) / strength > _GAP:
        point = _centred(filled, more, point, strength * aim)
        if np.linalg.eigvalsh(filled + np.tensordot(point[:-1], bases, 1))[0] > 10 * _GAP:
            return point[:-1]
        strength *= _FASTER
    # by less than that, a variable may be determined by others
    least = np.linalg.eigvalsh(filled + np.tensordot(point[:-1], bases, 1))[0]
    return point[:-1] if least > _SHRUNK / 100 else None


def _lowered(
    filled: np.ndarray, bases: np.ndarray, point: np.ndarray, aim: np.ndarray
) -> np.ndarray:
    """Return where aim · u is least, from a point inside."""
    strength = 1.0
    while True:
        point = _centred(filled, bases, point, strength * aim)
        if len(filled) / strength <= _GAP:
            return point
        strength *= _FASTER


def _centred(
    filled: np.ndarray, bases: np.ndarray, point: np.ndarray, slope: np.ndarray
) -> np.ndarray:
    """Return the minimum of slope · u − log det R(u), by Newton's steps from a point inside."""

    def value(u: np.ndarray) -> float:
        try:
            root = np.linalg.cholesky(filled + np.tensordot(u, bases, 1))
        except np.linalg.LinAlgError:
            return np.inf
        return float(slope @ u - 2 * np.log(np.diagonal(root)).sum())

    before = value(point)
    for _ in range(_STEPS):
        inverse = np.linalg.inv(filled + np.tensordot(point, bases, 1))
        turned = inverse @ bases
        gradient = slope - np.trace(turned, axis1=1, axis2=2)
        curvature = np.einsum("aij,bji->ab", turned, turned)
        step = -np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        falls = float(-gradient @ step)
        if falls < 1e-12:
            break
        length = 1.0
        while (after := value(point + length * step)) > before - 0.1 * length * falls:
            length /= 2
            if length < 1e-10:
                return point
        point = point + length * step
        before = after
    return point
