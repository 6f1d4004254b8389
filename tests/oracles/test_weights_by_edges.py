"""Weights by their edges, against the same computed as whole matrices, as plain as can be."""

import time

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from coplay import Config, Space, Variable
from coplay.core.message import PlayerLost
from coplay.core.streams import stream
from coplay.games.base import MOST_IN_M
from coplay.games.isolated import Isolated
from coplay.games.pooled import Pooled
from coplay.games.sample_exchange import ExchangeState, SampleExchange
from coplay.run.reach import _reachable
from coplay.run.sites import Sites, facts_of_pool
from coplay.run.sparse_matrix import SparseMatrix
from coplay.theory import equilibrium, weights

TOPOLOGIES = {
    "complete": {"topology": "complete"},
    "ring": {"topology": "ring"},
    "star": {"topology": "star"},
    "random_regular": {"topology": "random_regular", "neighbours": 4},
}


def names_of(n):
    return [f"p{i:03}" for i in range(n)]


def renormalised(alpha, places):
    """α among some players as a whole matrix, rows divided by their sums."""
    left = alpha[places][:, places]
    return torch.nan_to_num(left / left.sum(1, keepdim=True))


@pytest.mark.parametrize("own_weight", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("n", [1, 2, 3, 8, 33])
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_weights_are_those_of_whole_matrices(topology, n, own_weight):
    if topology == "random_regular" and n < 5:
        return
    game = SampleExchange(own_weight=own_weight, **TOPOLOGIES[topology])
    alpha = game.weights(names_of(n), seed=3)
    linked = (alpha != 0) & ~torch.eye(n, dtype=torch.bool)
    if n > 1 and own_weight < 1:
        degrees = {"complete": n - 1, "ring": min(2, n - 1), "random_regular": 4}
        assert (linked.sum(1) == degrees.get(topology, 1)).sum() >= n - 1
        foreign = (1 - own_weight) * linked.double() / linked.sum(1, keepdim=True)
        expected = foreign + torch.diag(1 - foreign.sum(1))
        assert torch.allclose(alpha, expected, rtol=0, atol=1e-15)
        assert torch.allclose(alpha.diag(), torch.full((n,), own_weight).double(), atol=1e-14)
    else:
        assert torch.equal(alpha, torch.eye(n, dtype=torch.float64))


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_after_losses_they_are_those_of_whole_matrices(topology):
    n = 33
    names = tuple(names_of(n))
    game = SampleExchange(own_weight=0.2, on_lost="continue", **TOPOLOGIES[topology])
    alpha = game.weights(names, seed=3)
    state = ExchangeState(names, seed=3, started=names)
    for lost in (("p004",), ("p000", "p017"), ("p032", "p001")):
        state, row = game.lose(state, [PlayerLost(name, "turn", 1, "gone") for name in lost])
        places = [names.index(name) for name in state.players]
        left = renormalised(alpha, places)
        by_edges = weights.dense(game.sparse_weights(state))
        assert torch.allclose(by_edges, left, rtol=0, atol=1e-15)
        assert torch.allclose(row.influence, equilibrium.influence_matrix(left), atol=1e-12)


def test_full_rows_keep_every_bit():
    """α of everybody with everybody is the one that runs before had, to the last bit."""
    for n in (4, 9, 40):
        adjacency = 1 - torch.eye(n, dtype=torch.float64)
        foreign = (1 - 0.3) * adjacency / adjacency.sum(1, keepdim=True)
        alpha = foreign + torch.diag(1 - foreign.sum(1))
        game = SampleExchange(own_weight=0.3)
        assert torch.equal(game.weights(names_of(n)), alpha)
        state = game.start(names_of(n), 1)
        assert torch.equal(game.mixture_weights(state), renormalised(alpha, list(range(n))))


def test_own_weight_zero_is_zero():
    """Sevenths do not sum to 1, and what is left over is no data of one's own."""
    for n in range(2, 30):
        alpha = weights.even(weights.with_diagonal(*np.nonzero(1 - np.eye(n)), n), 0.0)
        assert alpha.diagonal().tolist() == [0.0] * n
        assert equilibrium.weight_faults(alpha)[0].startswith("no path of positive weights")


def test_faults_are_those_of_whole_matrices():
    faulty = torch.tensor([[0.5, 0.6, 0.0], [-0.1, 1.1, 0.0], [0.0, float("nan"), 1.0]])
    expected = [
        "row of '0' sums to 1.1, expected 1",
        "row of '1' has a negative or non-finite weight: ",
        "row of '2' has a negative or non-finite weight: [0.0, nan, 1.0]",
    ]
    for alpha in (faulty, weights.by_edges(faulty)):
        faults = equilibrium.weight_faults(alpha)
        assert len(faults) == 3
        assert all(map(str.startswith, faults, expected))


def random_links(n, seed, share):
    generator = torch.Generator().manual_seed(seed)
    alpha = torch.rand(n, n, generator=generator, dtype=torch.float64)
    alpha *= torch.rand(n, n, generator=generator) < share
    return alpha + torch.eye(n, dtype=torch.float64) * (alpha.sum(1) == 0), generator


@pytest.mark.parametrize("seed", range(6))
def test_moments_by_edges_are_those_of_m(seed):
    alpha, generator = random_links(60, seed, 0.1)
    alpha += 1e-3 * torch.eye(60)  # little own weight: play itself forgets slowly
    alpha /= alpha.sum(1, keepdim=True)
    shares = torch.rand(60, 4, generator=generator)
    exact = equilibrium.equilibrium_moments(alpha, shares)
    by_edges = equilibrium.equilibrium_moments(weights.by_edges(alpha), shares)
    assert (by_edges - exact).abs().max() < 1e-9


@pytest.mark.parametrize("topology", ["complete", "ring", "random_regular"])
def test_predictions_for_more_players_than_m_is_formed_for(topology):
    n = MOST_IN_M + 8
    names = tuple(names_of(n))
    game = SampleExchange(own_weight=0.01, on_lost="continue", **TOPOLOGIES[topology])
    shares = torch.rand(n, 3, generator=stream(1))
    expected = game.predict(names, 2) @ shares.double()
    assert (game.predicted_shares(names, 2, shares) - expected).abs().max() < 1e-10
    state = ExchangeState(names, seed=2, started=names)
    left, row = game.lose(state, [PlayerLost("p003", "turn", 1, "gone")])
    assert row.influence is None
    alpha = renormalised(game.weights(names, 2), [i for i in range(n) if i != 3])
    assert torch.allclose(weights.dense(row.weights), alpha, rtol=0, atol=1e-15)
    assert game.sparse_weights(left).nnz == row.weights.nnz
    assert torch.equal(Isolated().predicted_shares(names, 2, shares), shares)
    assert Pooled().predicted_shares(names, 2, shares) is None


def test_weights_that_forget_slowly_are_solved_for_too():
    """Where rounding keeps the iteration from its end, it is the factors that are exact."""
    game = SampleExchange(own_weight=0.001, topology="ring")
    alpha = game.sparse_weights(game.start(names_of(2000), 1))
    began = time.process_time()
    everybody = equilibrium.equilibrium_moments(alpha, torch.ones(2000, 2))
    assert (everybody - 1).abs().max() < 1e-8
    assert time.process_time() - began < 10


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_record_of_edges_is_that_of_the_whole_matrix(topology):
    game = SampleExchange(**TOPOLOGIES[topology])
    alpha = game.sparse_weights(game.start(names_of(30), 1))
    assert SparseMatrix.by_edges(alpha) == SparseMatrix.of(weights.dense(alpha))
    assert SparseMatrix.by_edges(sp.csr_matrix((3, 3))) == SparseMatrix.of(torch.zeros(3, 3))


def fixpoint(alpha, spaces, observed):
    """What each player observes or receives: passes over all links until nothing changes."""
    knows = [set(names) for names in observed]
    for _ in knows:
        for i, j in alpha.nonzero().tolist():
            knows[i] |= knows[j] & set(spaces[i])
    return knows


@pytest.mark.parametrize("seed", range(12))
def test_what_reaches_a_player_is_the_fixpoint(seed):
    n = 9
    alpha, generator = random_links(n, seed, 0.15)
    alpha /= alpha.sum(1, keepdim=True)
    alpha = (alpha + torch.eye(n)) / 2
    letters = list("abcde")
    players, spaces, data = {}, {}, {}
    binary = Variable(kind="binary")
    for name in names_of(n):
        draws = torch.rand(len(letters), 2, generator=generator)
        own = [letter for letter, (u, _) in zip(letters, draws, strict=True) if u < 0.8] or ["a"]
        lacks = [letter for letter, (_, u) in zip(letters, draws, strict=True) if u < 0.6]
        lacks = [letter for letter in lacks if letter in own]
        players[name] = {"unobserved": lacks}
        spaces[name] = Space(dict.fromkeys(own, binary))
        rows = int(torch.randint(3, (1,), generator=generator))  # a third have no data at all
        zeros = {letter: torch.zeros(rows, dtype=torch.uint8) for letter in own}
        data[name] = spaces[name].samples(**zeros)
    game = {"name": "sample_exchange", "alpha": alpha.tolist()}
    config = Config.from_dict({"players": players, "model": "exponential_family", "game": game})
    sites = Sites(spaces, data, data["p000"], torch.arange(0), None, {}, ())
    observed = []
    for name in players:
        lacks = players[name]["unobserved"]
        observed.append(set(spaces[name]) - set(lacks) if len(data[name]) else set())
    expected = fixpoint(alpha, list(spaces.values()), observed)
    assert _reachable(config, facts_of_pool(config, sites)) == dict(
        zip(players, expected, strict=True)
    )
