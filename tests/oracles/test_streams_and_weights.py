"""Unbiased rounding, and weights from topologies."""

import pytest
import torch

from coplay.core.errors import ConfigError
from coplay.core.streams import stream, unbiased_counts
from coplay.games.sample_exchange import SampleExchange


def test_counts_sum_to_n_stay_next_to_their_share_and_are_unbiased():
    weights = torch.tensor([0.113, 0.52, 0.007, 0.36], dtype=torch.float64)
    drawn = torch.tensor([unbiased_counts(weights, 10, stream(seed)) for seed in range(4000)])
    assert (drawn.sum(1) == 10).all()
    assert ((drawn - 10 * weights).abs() < 1 + 1e-6).all()
    assert (drawn.double().mean(0) - 10 * weights).abs().max() < 4 * 0.5 / 4000**0.5


def test_whole_shares_are_exact_whatever_the_offset():
    for seed in range(200):
        assert unbiased_counts(torch.tensor([0.1, 0.2, 0.7]), 10, stream(seed)) == [1, 2, 7]


@pytest.mark.parametrize(
    ("settings", "neighbours"),
    [
        ({"topology": "complete"}, [5] * 6),
        ({"topology": "ring"}, [2] * 6),
        ({"topology": "star"}, [5, 1, 1, 1, 1, 1]),
        ({"topology": "random_regular", "neighbours": 3}, [3] * 6),
    ],
)
def test_topologies(settings, neighbours):
    alpha = SampleExchange(own_weight=0.4, **settings).weights([f"p{i}" for i in range(6)], seed=2)
    assert torch.allclose(alpha.sum(1), torch.ones(6, dtype=torch.float64))
    assert torch.allclose(alpha.diag(), torch.full((6,), 0.4, dtype=torch.float64))
    others = alpha - torch.diag(alpha.diag())
    assert (others > 0).sum(1).tolist() == neighbours
    for row, count in zip(others, neighbours, strict=True):
        assert torch.allclose(row[row > 0], torch.full((count,), 0.6 / count, dtype=torch.float64))


def test_random_topology_follows_the_seed():
    game = SampleExchange(topology="random_regular", neighbours=3)
    names = [f"p{i}" for i in range(20)]
    assert torch.equal(game.weights(names, 1), game.weights(names, 1))
    assert not torch.equal(game.weights(names, 1), game.weights(names, 2))


def test_impossible_topology_says_why():
    with pytest.raises(ConfigError, match="even product"):
        SampleExchange(topology="random_regular", neighbours=3).weights(["a", "b", "c", "d", "e"])


def test_alone_means_all_weight_on_the_own_data():
    assert SampleExchange(topology="ring").weights(["a"]).tolist() == [[1.0]]
