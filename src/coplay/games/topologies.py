"""Which players receive samples from which, and with what weights.

Weights follow from the settings and from the players that live, so they are computed where these
change and not in every round. The last few matrices are kept.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import networkx as nx
import numpy as np
import scipy.sparse as sp
import torch

from coplay.core.errors import ConfigError
from coplay.core.same import Same
from coplay.core.streams import derive
from coplay.theory import equilibrium, weights
from coplay.theory.weights import Places

Topology = Literal["complete", "ring", "star", "random_regular"]


def neighbours_in(topology: Topology, n: int, degree: int, seed: int) -> sp.csr_matrix:
    """Return who receives from whom, as :func:`coplay.theory.weights.with_diagonal` does.

    Args:
        topology: How players are linked, always both ways.
        n: Number of players.
        degree: Number of neighbours, for ``random_regular``.
        seed: The run's seed, for ``random_regular``.

    Raises:
        ConfigError: There is no such graph of so many players.

    Example:
        >>> neighbours_in("star", 3, 0, 1).toarray().tolist()
        [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    """
    here, there = _pairs(topology, n, degree, seed)
    return weights.with_diagonal(np.concatenate([here, there]), np.concatenate([there, here]), n)


def _pairs(topology: Topology, n: int, degree: int, seed: int) -> tuple[Places, Places]:
    """Return both ends of every link, each link once."""
    if topology == "complete":
        return np.triu_indices(n, 1)
    if topology == "star":
        return np.zeros(n - 1, dtype=np.int64), np.arange(1, n)
    if topology == "ring":
        here = np.arange(n if n > 2 else n - 1)  # two players have one link, one has none
        return here, (here + 1) % n
    if degree >= n or n * degree % 2:
        fault = (
            f"game.neighbours: a random regular graph of {n} players needs fewer than {n} "
            f"neighbours each and an even product of the two; got {degree}"
        )
        raise ConfigError([fault])
    graph = nx.random_regular_graph(degree, n, seed=derive(seed, "topology"))
    ends = np.array(list(graph.edges), dtype=np.int64).reshape(-1, 2)
    return ends[:, 0], ends[:, 1]


@lru_cache(maxsize=4)
def even_weights(
    topology: Topology, n: int, degree: int, seed: int, own_weight: float
) -> sp.csr_matrix:
    """Return α of a rule; it is computed once for all rounds and checks of a run."""
    return weights.even(neighbours_in(topology, n, degree, seed), own_weight)


@lru_cache(maxsize=4)
def given_weights(alpha: Same[tuple[tuple[float, ...], ...]]) -> sp.csr_matrix:
    """Return α that a config gives as a square matrix; it is read once for all rounds of a run."""
    return weights.by_edges(torch.tensor(alpha.value, dtype=torch.float64))


@lru_cache(maxsize=4)
def faultless(alpha: Same[sp.csr_matrix]) -> bool:
    """Whether nothing is wrong with α; it is checked once for all rounds of a run."""
    return not equilibrium.weight_faults(alpha.value)


@lru_cache(maxsize=4)
def weights_among(
    alpha: Same[sp.csr_matrix], living: tuple[str, ...], started: tuple[str, ...]
) -> sp.csr_matrix:
    """Return α of the living, rows re-normalised; it is computed anew where players were lost.

    A row of zeros is that of a player that lost its last source.
    """
    places = {name: place for place, name in enumerate(started)}
    return weights.among(alpha.value, [places[name] for name in living])


@lru_cache(maxsize=4)
def weights_admitted(alpha: Same[sp.csr_matrix], share: float) -> sp.csr_matrix:
    """Return α of a round of the warm-up."""
    return weights.admitted(alpha.value, share)
