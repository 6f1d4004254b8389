"""What is left of a site's data in the others' models after it has gone (U).

The shares of all sites' data in all models follow the weights α_t of each round,

    (U)  S_t = W_t S_{t−1} + Λ_t,      S = I after the rounds alone,

so the growing weights of a warm-up and the departure of sites are in it. When site k leaves, its
row and its column of α go, and the rest is re-normalised. What is left of its data follows the same
recursion. This is exact where a model is fitted anew in every round (moments of an exponential
family); for networks, which learn on, it is what fresh models would reach. The recursion is ours;
``docs/theory.md`` derives it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import scipy.sparse as sp

from coplay.core.errors import EquilibriumError
from coplay.theory.sparse import reaches_data
from coplay.theory.weights import row_sums

MOST_ROUNDS = 100_000
"""Rounds after which nobody waits any longer."""


def round_of_shares(alpha: sp.csr_matrix, shares: np.ndarray) -> np.ndarray:
    """Return the shares of all sites' data after one more round.

    A player without any source (a row of zeros) keeps its model.

    Args:
        alpha: Weights of the round, N × N, whose first N sites are those of the columns.
        shares: S, shape (N, K), whose column j is site j's for j < N; K ≥ N, the other columns are
            sites that have left.

    Returns:
        Shape (N, K).

    Example:
        >>> alpha = sp.csr_matrix([[0.5, 0.5], [0.5, 0.5]])
        >>> round_of_shares(alpha, np.eye(2)).tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """
    own = alpha.diagonal()
    following = alpha @ shares - own[:, None] * shares
    places = np.arange(len(own))
    following[places, places] += own
    frozen = row_sums(alpha) == 0
    following[frozen] = shares[frozen]
    return following


def followed_shares(alphas: Iterable[sp.csr_matrix], n: int) -> np.ndarray:
    """Return the shares of all sites' data in all models after some rounds (U).

    Args:
        alphas: Weights of each round after those alone, N × N.
        n: Number of players.

    Returns:
        S, shape (N, N): row i says what player i's model is made of.
    """
    shares = np.eye(n)
    for alpha in alphas:
        shares = round_of_shares(alpha, shares)
    return shares


def without_site(shares: np.ndarray, site: int) -> np.ndarray:
    """Return S among the players that stay, the column of the one that left last.

    Args:
        shares: S, shape (N, K).
        site: Position of the player that leaves.

    Returns:
        Shape (N − 1, K).

    Example:
        >>> without_site(np.array([[0.7, 0.3], [0.4, 0.6]]), 0).tolist()
        [[0.6, 0.4]]
    """
    players = np.delete(shares, site, axis=0)
    return np.hstack([np.delete(players, site, axis=1), players[:, [site]]])


def rounds_to_forget(alpha: sp.csr_matrix, left: np.ndarray, below: float) -> tuple[int, float]:
    """Return after how many rounds a site's share is below a value in every model.

    Args:
        alpha: Weights among the players that stay, N × N.
        left: The site's share in their models when it leaves, shape (N,).
        below: The value, in (0, 1).

    Returns:
        The rounds, and the largest share after them.

    Raises:
        EquilibriumError: It never falls below, for a player has no path to own data of anybody, or
            takes more than a hundred thousand rounds.

    Example:
        >>> alpha = sp.csr_matrix([[0.5, 0.5], [0.5, 0.5]])
        >>> rounds_to_forget(alpha, np.array([0.4, 0.4]), 0.06)
        (3, 0.05)
    """
    share = np.asarray(left, dtype=np.float64)
    # what those know who hear nobody with data only moves between them
    stuck = ~np.array(reaches_data(alpha)) & (share >= below)
    if stuck.any():
        place = int(np.flatnonzero(stuck)[0])
        raise EquilibriumError(
            f"player {place} hears nobody with data, directly or by way of others, so that "
            f"nothing takes the place of the {share[place]:.3g} that it has"
        )
    own = alpha.diagonal()
    frozen = row_sums(alpha) == 0
    rounds = 0
    while share.max(initial=0) >= below:
        if rounds == MOST_ROUNDS:
            raise EquilibriumError(
                f"after {rounds:,} rounds it still is {share.max():.3g}: own weights are too small"
            )
        share = np.where(frozen, share, alpha @ share - own * share)
        rounds += 1
    return rounds, float(share.max(initial=0))
