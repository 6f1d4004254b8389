"""The game itself, played with samples, against (A2): a miniature of the paper's theory."""

import itertools

import pytest
import torch

from coplay import Player, Space, Variable
from coplay.core.streams import stream
from coplay.engines.local import Local
from coplay.games.sample_exchange import SampleExchange
from coplay.models.exponential_family import ExponentialFamily
from coplay.theory import equilibrium

SPACE = Space({"x": Variable(kind="binary", shape=(4,))})


def play(n, rounds, seed, own=0.3, sites=3):
    """Moments per round, shape (rounds, N, D), of sampled best response, and the equilibrium."""
    rates = torch.tensor([[0.1, 0.5, 0.8, 0.3], [0.9, 0.2, 0.4, 0.6], [0.5, 0.7, 0.1, 0.2]])[:sites]
    data = [
        (torch.rand(400, 4, generator=stream(9, i)) < r).to(torch.uint8)
        for i, r in enumerate(rates)
    ]
    players = [
        Player(f"p{i}", SPACE, SPACE.samples(x=d), ExponentialFamily(), seed)
        for i, d in enumerate(data)
    ]
    game = SampleExchange(own_weight=own, rounds=rounds, samples_per_round=n)
    engine = Local()
    engine.start(players, game)
    state = game.start([p.name for p in players], seed)
    path = []
    for round in range(1, rounds + 1):
        state, _ = game.play(engine, state, round)
        path.append(torch.stack([p.model.moments for p in players]))
    engine.close()
    own_moments = torch.stack([d.double().mean(0) for d in data])
    return torch.stack(path), equilibrium.equilibrium_moments(
        game.weights([p.name for p in players]), own_moments
    )


def test_play_settles_at_the_equilibrium():
    path, expected = play(n=200_000, rounds=40, seed=1)
    assert (path[20:].mean(0) - expected).abs().max() < 2e-3


def test_round_one_is_isolated_learning_and_play_is_simultaneous():
    path, _ = play(n=10_000, rounds=2, seed=1, sites=2)
    isolated = path[0]
    # what each learns from the other's round-1 model
    first_answer = 0.3 * isolated + 0.7 * isolated.flip(0)
    assert (path[1] - first_answer).abs().max() < 0.02
    assert (isolated - isolated.flip(0)).abs().max() > 0.1


def test_more_samples_fluctuate_less():
    """Standard deviation falls like n^(-1/2): a factor 10 for a factor 100."""
    few, many = (play(n, 60, seed=2)[0][20:].std(0).mean().item() for n in (100, 10_000))
    assert few / many == pytest.approx(10, rel=0.35)


@pytest.mark.parametrize("every", [1, 4])
def test_reused_samples_are_the_same_until_fresh_ones_are_drawn(every):
    data = torch.randint(2, (50, 4), generator=stream(1)).to(torch.uint8)
    players = [
        Player(f"p{i}", SPACE, SPACE.samples(x=data), ExponentialFamily(), 1) for i in range(2)
    ]
    game = SampleExchange(fresh_every_rounds=every, samples_per_round=100)
    engine = Local()
    engine.start(players, game)
    state = game.start(["p0", "p1"], 1)
    payloads = []
    for round in range(1, 10):
        state, _ = game.play(engine, state, round)
        payloads.append(state.payload["p0", "p1"]["x"].clone())
    same = [torch.equal(a, b) for a, b in itertools.pairwise(payloads)]
    assert same == [(round % every) != 0 for round in range(1, 9)]
    engine.close()


def test_counts_are_alpha_n_and_cost_is_n_per_player():
    game = SampleExchange(
        alpha=((0.5, 0.3, 0.2), (0.25, 0.25, 0.5), (0.9, 0.0, 0.1)), samples_per_round=1000
    )
    data = SPACE.samples(x=torch.randint(2, (50, 4), generator=stream(1)).to(torch.uint8))
    engine = Local()
    engine.start([Player(f"p{i}", SPACE, data, ExponentialFamily(), 1) for i in range(3)], game)
    state = game.start(["p0", "p1", "p2"], 1)
    state, _ = game.play(engine, state, 1)
    counts = {link: len(part) for link, part in state.payload.items()}
    assert counts == {
        ("p1", "p0"): 300,
        ("p2", "p0"): 200,
        ("p0", "p1"): 250,
        ("p2", "p1"): 500,
        ("p0", "p2"): 900,
    }
    engine.close()


def test_uneven_weights_reach_the_closed_form_too():
    """Weights are not symmetric: a wrong one per sender, or weights used twice, ends elsewhere."""
    alpha = ((0.5, 0.45, 0.05), (0.1, 0.2, 0.7), (0.6, 0.0, 0.4))
    data = [
        (torch.rand(400, 4, generator=stream(9, i)) < r).to(torch.uint8)
        for i, r in enumerate((0.05, 0.5, 0.95))
    ]
    names = ["p0", "p1", "p2"]
    players = [
        Player(n, SPACE, SPACE.samples(x=d), ExponentialFamily(), 1)
        for n, d in zip(names, data, strict=True)
    ]
    game = SampleExchange(alpha=alpha, samples_per_round=50_000)
    engine = Local()
    engine.start(players, game)
    state = game.start(names, 1)
    path = []
    for round in range(1, 41):
        state, _ = game.play(engine, state, round)
        path.append(torch.stack([p.model.moments for p in players]))
    engine.close()
    own = torch.stack([d.double().mean(0) for d in data])
    expected = equilibrium.equilibrium_moments(torch.tensor(alpha), own)
    assert (torch.stack(path[20:]).mean(0) - expected).abs().max() < 4e-3


def test_few_samples_a_round_do_not_shift_the_weights():
    """With n = 3 and own weight 0.9 a peer sends samples in about one round of three.

    The mean is still right.
    """
    path, expected = play(n=3, rounds=4000, seed=3, own=0.9, sites=2)
    assert (path[10:].mean(0) - expected).abs().max() < 0.02


def test_own_rounds_are_learned_alone():
    data = [torch.zeros(50, 4, dtype=torch.uint8), torch.ones(50, 4, dtype=torch.uint8)]
    players = [
        Player(f"p{i}", SPACE, SPACE.samples(x=d), ExponentialFamily(), 1)
        for i, d in enumerate(data)
    ]
    game = SampleExchange(own_weight=0.5, own_rounds=3, samples_per_round=100)
    engine = Local()
    engine.start(players, game)
    state = game.start(["p0", "p1"], 1)
    means = []
    for round in range(1, 6):
        state, _ = game.play(engine, state, round)
        means.append(players[0].model.moments[0].item())
    assert means[:3] == [0.0, 0.0, 0.0]
    assert means[3] == 0.5
    engine.close()


def test_after_a_loss_the_rest_play_by_renormalised_weights():
    class Dies(ExponentialFamily):
        def learn(self, mixture, steps, generator):
            self._turns = getattr(self, "_turns", 0) + 1
            if self._turns == 3:
                raise RuntimeError("gone")
            return super().learn(mixture, steps, generator)

    alpha = ((0.4, 0.4, 0.2), (0.3, 0.2, 0.5), (0.2, 0.2, 0.6))
    data = [
        (torch.rand(400, 4, generator=stream(9, i)) < r).to(torch.uint8)
        for i, r in enumerate((0.1, 0.9, 0.5))
    ]
    names = ["p0", "p1", "p2"]
    models = [ExponentialFamily(), ExponentialFamily(), Dies()]
    players = [
        Player(n, SPACE, SPACE.samples(x=d), m, 1)
        for n, d, m in zip(names, data, models, strict=True)
    ]
    game = SampleExchange(alpha=alpha, samples_per_round=50_000, on_lost="continue")
    engine = Local()
    engine.start(players, game)
    state = game.start(names, 1)
    path = []
    influence = None
    for round in range(1, 41):
        state, row = game.play(engine, state, round)
        if row.influence is not None:
            influence = row.influence
        path.append(torch.stack([p.model.moments for p in players[:2]]))
    engine.close()
    left = torch.tensor([[0.5, 0.5], [0.6, 0.4]], dtype=torch.float64)
    assert torch.allclose(influence, equilibrium.influence_matrix(left))
    own = torch.stack([d.double().mean(0) for d in data[:2]])
    assert (
        torch.stack(path[20:]).mean(0) - equilibrium.equilibrium_moments(left, own)
    ).abs().max() < 4e-3


def test_a_player_that_loses_its_last_source_is_frozen_and_named():
    class Dies(ExponentialFamily):
        def learn(self, mixture, steps, generator):
            raise RuntimeError("gone")

    players = [
        Player("source", SPACE, SPACE.samples(x=torch.ones(5, 4, dtype=torch.uint8)), Dies(), 1),
        Player("listener", SPACE, SPACE.empty(), ExponentialFamily(), 1),
        Player(
            "other",
            SPACE,
            SPACE.samples(x=torch.ones(5, 4, dtype=torch.uint8)),
            ExponentialFamily(),
            1,
        ),
    ]
    game = SampleExchange(alpha=((1, 0, 0), (1, 0, 0), (0, 0, 1)), on_lost="continue")
    engine = Local()
    engine.start(players, game)
    state, row = game.play(engine, game.start(["source", "listener", "other"], 1), 1)
    assert set(row.lost) == {"source"}
    assert row.frozen == ["listener"]
    state, row = game.play(engine, state, 2)
    assert set(row.players) == {"listener", "other"}
    engine.close()


def test_a_player_without_own_weight_learns_from_others_only():
    game = SampleExchange(alpha=((1.0, 0.0), (1.0, 0.0)), samples_per_round=5000)
    data = SPACE.samples(x=torch.ones(50, 4, dtype=torch.uint8))
    listener = Player("listener", SPACE, SPACE.empty(), ExponentialFamily(), 1)
    engine = Local()
    engine.start([Player("site", SPACE, data, ExponentialFamily(), 1), listener], game)
    state = game.start(["site", "listener"], 1)
    assert game.needs_data(["site", "listener"]) == ["site"]
    for round in (1, 2):
        state, _ = game.play(engine, state, round)
    assert torch.equal(listener.model.moments, torch.ones(4, dtype=torch.float64))
    engine.close()


def test_warm_up_admits_the_others_evenly_and_keeps_the_mass():
    """In round r of a warm-up of w, the others have r/(w+1) of their mass.

    Afterwards α is as before.
    """
    from coplay.games.sample_exchange import SampleExchange

    game = SampleExchange(own_weight=0.2, own_rounds=3, warmup_rounds=3)
    alpha = game.weights(["a", "b", "c"])
    for round, share in ((3, 0.0), (4, 0.25), (5, 0.5), (6, 0.75), (7, 1.0), (8, 1.0)):
        admitted = game.admitted(alpha, round)
        assert torch.allclose(admitted.sum(1), torch.ones(3, dtype=torch.float64))
        others = admitted - torch.diag(admitted.diag())
        assert torch.allclose(others, share * (alpha - torch.diag(alpha.diag()))), round
    assert torch.equal(SampleExchange(own_weight=0.2).admitted(alpha, 2), alpha)
