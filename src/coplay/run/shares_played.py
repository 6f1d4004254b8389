"""What models are made of by the rounds that a run played (U)."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from coplay.games.sample_exchange import SampleExchange
from coplay.theory.unlearning import followed_shares
from coplay.theory.weights import by_edges, dense


def weights_played(game: SampleExchange, alpha: sp.csr_matrix, last: int) -> list[sp.csr_matrix]:
    """Return the weights of each round in which players learned from fresh samples of others.

    Args:
        game: The rules.
        alpha: Weights after the warm-up, N × N.
        last: The last round.
    """
    full = dense(alpha)
    rounds = range(game.own_rounds + 1, last + 1)
    return [by_edges(game.admitted(full, r)) for r in rounds if game.draws_in(r - 1)]


def shares_played(game: SampleExchange, alpha: sp.csr_matrix, last: int) -> np.ndarray:
    """Return S, the shares of all sites' data in all models after a round, shape (N, N)."""
    return followed_shares(weights_played(game, alpha, last), alpha.shape[0])
