"""The game itself, played with samples, against (A2): a miniature of the paper's theory."""

import itertools

import pytest
import torch

from coplay import Player, Space, Variable, equilibrium
from coplay.engines.local import Local
from coplay.games.sample_exchange import SampleExchange
from coplay.models.exponential_family import ExponentialFamily
from coplay.streams import stream

SPACE = Space({"x": Variable(kind="binary", shape=(4,))})


def play(n, rounds, seed, own=0.3, sites=3):
    """Moments per round, shape (rounds, N, D), of sampled best response, and the equilibrium."""
    rates = torch.tensor([[0.1, 0.5, 0.8, 0.3], [0.9, 0.2, 0.4, 0.6], [0.5, 0.7, 0.1, 0.2]])[:sites]
    data = [(torch.rand(400, 4, generator=stream(9, i)) < r).to(torch.uint8) for i, r in enumerate(rates)]
    players = [Player(f"p{i}", SPACE, SPACE.samples(x=d), ExponentialFamily(), seed) for i, d in enumerate(data)]
    game = SampleExchange(own_weight=own, rounds=rounds, samples_per_round=n)
    engine = Local()
    engine.seat(players, game)
    state = game.start([p.name for p in players], seed)
    path = []
    for round in range(1, rounds + 1):
        state, _ = game.play(engine, state, round)
        path.append(torch.stack([p.model.moments for p in players]))
    engine.close()
    own_moments = torch.stack([d.double().mean(0) for d in data])
    return torch.stack(path), equilibrium.equilibrium_moments(game.weights([p.name for p in players]), own_moments)


def test_play_settles_at_the_equilibrium():
    path, expected = play(n=200_000, rounds=40, seed=1)
    assert (path[20:].mean(0) - expected).abs().max() < 2e-3


def test_round_one_is_isolated_learning_and_play_is_simultaneous():
    path, _ = play(n=10_000, rounds=2, seed=1, sites=2)
    isolated = path[0]
    heard = 0.3 * isolated + 0.7 * isolated.flip(0)  # what each learns from the other's round-1 model
    assert (path[1] - heard).abs().max() < 0.02
    assert (isolated - isolated.flip(0)).abs().max() > 0.1


def test_more_samples_fluctuate_less():
    """Standard deviation falls like n^(-1/2): a factor 10 for a factor 100."""
    few, many = (play(n, 60, seed=2)[0][20:].std(0).mean().item() for n in (100, 10_000))
    assert few / many == pytest.approx(10, rel=0.35)


@pytest.mark.parametrize("every", [1, 4])
def test_reused_samples_are_the_same_until_fresh_ones_are_drawn(every):
    data = torch.randint(2, (50, 4), generator=stream(1)).to(torch.uint8)
    players = [Player(f"p{i}", SPACE, SPACE.samples(x=data), ExponentialFamily(), 1) for i in range(2)]
    game = SampleExchange(fresh_every_rounds=every, samples_per_round=100)
    engine = Local()
    engine.seat(players, game)
    state = game.start(["p0", "p1"], 1)
    seen = []
    for round in range(1, 10):
        state, _ = game.play(engine, state, round)
        seen.append(state.payload["p0>p1"]["x"].clone())
    same = [torch.equal(a, b) for a, b in itertools.pairwise(seen)]
    assert same == [(round % every) != 0 for round in range(1, 9)]
    engine.close()


def test_counts_are_alpha_n_and_cost_is_n_per_player():
    game = SampleExchange(alpha=((0.5, 0.3, 0.2), (0.25, 0.25, 0.5), (0.9, 0.0, 0.1)), samples_per_round=1000)
    data = SPACE.samples(x=torch.randint(2, (50, 4), generator=stream(1)).to(torch.uint8))
    engine = Local()
    engine.seat([Player(f"p{i}", SPACE, data, ExponentialFamily(), 1) for i in range(3)], game)
    state = game.start(["p0", "p1", "p2"], 1)
    state, _ = game.play(engine, state, 1)
    counts = {link: len(part) for link, part in state.payload.items()}
    assert counts == {"p1>p0": 300, "p2>p0": 200, "p0>p1": 250, "p2>p1": 500, "p0>p2": 900}
    engine.close()


def test_a_player_without_own_weight_learns_from_others_only():
    game = SampleExchange(alpha=((1.0, 0.0), (1.0, 0.0)), samples_per_round=5000)
    data = SPACE.samples(x=torch.ones(50, 4, dtype=torch.uint8))
    listener = Player("listener", SPACE, SPACE.empty(), ExponentialFamily(), 1)
    engine = Local()
    engine.seat([Player("site", SPACE, data, ExponentialFamily(), 1), listener], game)
    state = game.start(["site", "listener"], 1)
    assert game.needs_data(["site", "listener"]) == ["site"]
    for round in (1, 2):
        state, _ = game.play(engine, state, round)
    assert torch.equal(listener.model.moments, torch.ones(4, dtype=torch.float64))
    engine.close()
