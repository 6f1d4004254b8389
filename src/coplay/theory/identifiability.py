"""What data leave open that nobody has together (I).

Which sites observe which variables *together* decides what the joint distribution is determined by.
How two variables go together that no site observes together is an assumption. How much is open:

- two categories of probabilities p and q: by Fréchet, max(0, p + q − 1) ≤ P ≤ min(p, q), also
  within each value of a third variable that both are observed with;
- two numbers, given their correlations with others C that both are observed with: the correlations
  that leave the correlation matrix positive semidefinite.

References:
    Sur les tableaux de corrélation dont les marges sont données (M. Fréchet, Annales de
    l'Université de Lyon 1951).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

import torch
from torch import Tensor


def pairs_apart(
    observed: Iterable[Sequence[str]], variables: Sequence[str]
) -> list[tuple[str, str]]:
    """Return the pairs of variables that no site observes together, in the order of the variables.

    Args:
        observed: What each site observes.
        variables: All variables.

    Example:
        >>> pairs_apart([["age", "dose"], ["age", "weight"]], ["age", "dose", "weight"])
        [('dose', 'weight')]
    """
    together: set[frozenset[str]] = set()
    for each in observed:
        together |= set(map(frozenset, combinations(each, 2)))
    return [pair for pair in combinations(variables, 2) if frozenset(pair) not in together]


def frechet_bounds(p: Tensor, q: Tensor, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the least and the largest joint probability of every two categories.

    Args:
        p: Probabilities of the categories of one variable, shape (A,); or (C, A), one row for each
            value of a third variable.
        q: The same of the other, shape (B,) or (C, B).
        given: Probabilities of the third variable's values, shape (C,); with rows only.

    Returns:
        Both of shape (A, B), float64.

    Example:
        >>> low, high = frechet_bounds(torch.tensor([0.7, 0.3]), torch.tensor([0.6, 0.4]))
        >>> low.round(decimals=6).tolist(), high.round(decimals=6).tolist()
        ([[0.3, 0.1], [0.0, 0.0]], [[0.6, 0.4], [0.3, 0.3]])
    """
    rows_p = p.double().reshape(-1, p.shape[-1])
    rows_q = q.double().reshape(-1, q.shape[-1])
    share = torch.ones(1, dtype=torch.float64) if given is None else given.double()
    one = rows_p[:, :, None]
    other = rows_q[:, None, :]
    low = (one + other - 1).clamp(min=0)
    high = torch.minimum(one, other)
    return torch.einsum("c,cab->ab", share, low), torch.einsum("c,cab->ab", share, high)


def correlation_interval(one: Tensor, other: Tensor, among: Tensor) -> tuple[float, float]:
    """Return between what two variables' correlation lies, by their correlations with others.

    r_ab ∈ r_aᵀ R⁻¹ r_b ± √((1 − r_aᵀ R⁻¹ r_a)(1 − r_bᵀ R⁻¹ r_b)).

    Args:
        one: Correlations of the first variable with the others, shape (C,).
        other: Correlations of the second with them, shape (C,).
        among: R, correlations among them, shape (C, C), positive definite.

    Example:
        >>> r = torch.eye(1)
        >>> low, high = correlation_interval(torch.tensor([0.8]), torch.tensor([0.6]), r)
        >>> round(low, 6), round(high, 6)
        (0.0, 0.96)
    """
    a = one.double()
    b = other.double()
    if not len(a):
        return -1.0, 1.0
    solved = torch.linalg.solve(among.double(), torch.stack([a, b], 1))
    middle = (a @ solved[:, 1]).item()
    left_a = max(1 - (a @ solved[:, 0]).item(), 0.0)
    left_b = max(1 - (b @ solved[:, 1]).item(), 0.0)
    width = (left_a * left_b) ** 0.5
    return middle - width, middle + width
