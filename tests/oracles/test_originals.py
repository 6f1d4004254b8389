"""Own data in the place of their copies (O): the equilibrium stays, faults do not come back."""

import pytest
import torch

from coplay import Player, Space, Variable
from coplay.core.errors import ConfigError
from coplay.core.message import COORDINATOR, Message
from coplay.core.space import pick
from coplay.core.streams import stream
from coplay.engines.local import Local
from coplay.games.originals import Origins
from coplay.games.sample_exchange import SampleExchange
from coplay.models.exponential_family import ExponentialFamily
from coplay.player import Restore, Save
from coplay.theory import equilibrium

CLASSES = 6
SPACE = Space({"x": Variable(kind="categorical", classes=CLASSES)})
OVERLAPPING = torch.tensor(
    [[0.6, 0.2, 0.1, 0.1, 0, 0], [0, 0.2, 0.5, 0.2, 0.1, 0], [0.1, 0, 0, 0.1, 0.2, 0.6]]
)
DISJOINT = torch.tensor([[0.5, 0.3, 0.2, 0, 0, 0], [0, 0, 0, 0.2, 0.3, 0.5]])
FAULT = 0.03


class Faulty(ExponentialFamily):
    """A model that draws a small part of its samples at random."""

    def sample(self, n, generator):
        drawn = super().sample(n, generator)
        wrong = torch.rand(n, generator=generator) < FAULT
        anything = torch.randint(CLASSES, (n,), generator=generator)
        return SPACE.samples(x=torch.where(wrong, anything, drawn["x"]))


def table(rates, n=20_000):
    """Samples whose frequencies are the rates."""
    return SPACE.samples(x=torch.arange(CLASSES).repeat_interleave((rates * n).round().long()))


def shares(player, n=200_000):
    """Frequencies of what a player draws."""
    return torch.bincount(player.draw(n, 0, "test")["x"], minlength=CLASSES).double() / n


def play(rates, rounds, model=ExponentialFamily, n=20_000, **game):
    names = [f"p{i}" for i in range(len(rates))]
    players = [
        Player(name, SPACE, table(r), model(), 1) for name, r in zip(names, rates, strict=True)
    ]
    game = SampleExchange(rounds=rounds, samples_per_round=n, **game)
    game.check(players)
    engine = Local()
    engine.start(players, game)
    state = game.start(names, 1)
    rows = []
    for round in range(1, rounds + 1):
        state, row = game.play(engine, state, round)
        rows.append(row)
    engine.close()
    return players, rows, game


@pytest.mark.parametrize("warmup", [0, 4])
def test_the_equilibrium_stays_where_it_is(warmup):
    """Uneven weights, sites that share some classes and not others."""
    alpha = ((0.2, 0.5, 0.3), (0.3, 0.1, 0.6), (0.25, 0.35, 0.4))
    players, rows, game = play(
        OVERLAPPING, 30 + warmup, alpha=alpha, originals=True, warmup_rounds=warmup
    )
    influence = game.predict([p.name for p in players])
    expected = influence @ OVERLAPPING.double()
    drawn = torch.stack([shares(p) for p in players])
    assert (drawn - expected).abs().max() < 0.02
    for i, j in ((0, 1), (1, 2), (2, 0)):
        assert rows[-1].players[f"p{i}"][f"copies/p{j}"] == pytest.approx(
            influence[j, i].item(), abs=0.04
        )


def test_players_with_equal_data_take_the_predicted_share_for_copies():
    """Three sites alike: of what p1 sends, M_10 are taken for p0's, and nothing changes."""
    players, rows, game = play(OVERLAPPING[:1].repeat(3, 1), 12, own_weight=0.25, originals=True)
    influence = game.predict(["p0", "p1", "p2"])
    assert rows[-1].players["p0"]["copies/p1"] == pytest.approx(influence[1, 0].item(), abs=0.03)
    assert (shares(players[0]) - OVERLAPPING[0].double()).abs().max() < 0.02


def test_faults_do_not_come_back():
    """At α = 0.1 a fault ε settles at ε/(α + ε(1 − α)) of what is drawn.

    With originals, only its maker and one receiver draw it.
    """
    own = 0.1
    uniform = torch.full((CLASSES,), 1 / CLASSES, dtype=torch.float64)
    influence = equilibrium.influence_matrix(torch.tensor([[own, 1 - own], [1 - own, own]]))
    wanted = influence @ DISJOINT.double()
    drawn = {}
    for originals in (False, True):
        players, _, _ = play(DISJOINT, 60, Faulty, n=300_000, own_weight=own, originals=originals)
        drawn[originals] = torch.stack([shares(p) for p in players])
    settled = FAULT / (own + FAULT * (1 - own))
    assert (drawn[False] - ((1 - settled) * wanted + settled * uniform)).abs().max() < 0.006

    shown = (
        1 - FAULT
    ) * DISJOINT.double() + FAULT * uniform  # what each draws for its first message
    fixed, (mine, others) = wanted, influence[0]
    for _ in range(50):
        copies = others * shown / (others * shown + mine * shown.flip(0))  # in what the other draws
        remaining = fixed.flip(0) * (1 - copies)
        mixed = mine * DISJOINT.double() + others * remaining / remaining.sum(1, keepdim=True)
        fixed = (1 - FAULT) * mixed + FAULT * uniform
    assert (drawn[True] - fixed).abs().max() < 0.006
    distance = (fixed - wanted).abs().sum(), (drawn[False] - wanted).abs().sum()
    assert distance[0] < distance[1] / 3


def test_copies_are_found_by_bayes():
    """For known tables, whatever the shares."""
    origins = Origins(SPACE, ["p0", "p1", "p2"], seed=1)
    origins.fit({f"p{i}": table(r) for i, r in enumerate(OVERLAPPING)}, stream(1, "fit"))
    each = SPACE.samples(x=torch.arange(CLASSES))
    weights = {"p0": 0.2, "p1": 0.7, "p2": 0.1}
    mass = torch.tensor(list(weights.values()))[:, None] * OVERLAPPING
    for name, row in zip(weights, mass, strict=True):
        drawn = pick(each, torch.multinomial(mass.sum(0), 50_000, True, generator=stream(2, name)))
        exact = (row / mass.sum(0))[drawn["x"]].double()
        assert (origins.copies(drawn, name, weights) - exact).abs().mean() < 0.02


def test_as_many_copies_are_found_as_theory_says():
    origins = Origins(SPACE, ["p0", "p1"], seed=1)
    origins.fit({"p0": table(DISJOINT[0]), "p1": table(DISJOINT[1])}, stream(1, "fit"))
    mine = table(DISJOINT[0])
    assert origins.copies(mine, "p0", {"p0": 0.3, "p1": 0.7}).mean() == pytest.approx(0.3, abs=1e-6)
    theirs = origins.copies(table(DISJOINT[1]), "p0", {"p0": 0.3, "p1": 0.7})
    assert theirs.mean() == pytest.approx(0.3, abs=1e-6)
    assert origins.copies(pick(mine, slice(0)), "p0", {"p0": 0.3, "p1": 0.7}).shape == (0,)
    assert origins.copies(mine, "p0", {"p0": 0.0, "p1": 1.0}).max() == 0


def test_the_classifier_of_copies_is_in_the_checkpoint(tmp_path):
    def seat():
        players = [
            Player(f"p{i}", SPACE, table(r, 500), ExponentialFamily(), 1, home=tmp_path / f"p{i}")
            for i, r in enumerate(DISJOINT)
        ]
        engine = Local()
        engine.start(players, game)
        return players, engine

    game = SampleExchange(own_weight=0.2, originals=True, samples_per_round=300)
    players, engine = seat()
    state = game.start(["p0", "p1"], 1)
    for round in (1, 2, 3):
        state, _ = game.play(engine, state, round)
    again, other = seat()
    for player, twin in zip(players, again, strict=True):
        player.serve(Message(Save(), COORDINATOR, player.name, 3))
        twin.serve(Message(Restore(), COORDINATOR, twin.name, 3))
        assert player.kept
        assert all(torch.equal(value, twin.kept[key]) for key, value in player.kept.items())
    assert game.play(engine, state, 4)[0].known() == game.play(other, state, 4)[0].known()
    assert all(
        torch.equal(p.model.moments, t.model.moments) for p, t in zip(players, again, strict=True)
    )


def test_after_a_loss_the_rest_go_on_with_originals():
    class Dies(ExponentialFamily):
        def learn(self, mixture, steps, generator):
            self._turns = getattr(self, "_turns", 0) + 1
            if self._turns == 4:
                raise RuntimeError("gone")
            return super().learn(mixture, steps, generator)

    names = ["p0", "p1", "p2"]
    models = [ExponentialFamily(), ExponentialFamily(), Dies()]
    players = [
        Player(n, SPACE, table(r), m, 1) for n, r, m in zip(names, OVERLAPPING, models, strict=True)
    ]
    game = SampleExchange(
        own_weight=0.4, originals=True, samples_per_round=20_000, on_lost="continue"
    )
    engine = Local()
    engine.start(players, game)
    state = game.start(names, 1)
    for round in range(1, 41):
        state, _ = game.play(engine, state, round)
    engine.close()
    assert state.players == ("p0", "p1")
    left = game.mixture_weights(state)
    expected = equilibrium.influence_matrix(left) @ OVERLAPPING[:2].double()
    drawn = torch.stack([shares(p) for p in players[:2]])
    assert (drawn - expected).abs().max() < 0.03


def test_bad_input():
    def players(*spaces):
        made = []
        for i, space in enumerate(spaces):
            zeros = {name: torch.zeros(4, dtype=space[name].dtypes[0]) for name in space}
            data = space.samples(**zeros)
            made.append(Player(f"p{i}", space, data, ExponentialFamily(), 1))
        return made

    wider = Space({"x": Variable(kind="categorical", classes=CLASSES + 1)})
    with pytest.raises(ConfigError, match="player 'p1' learns"):
        SampleExchange(originals=True).check(players(SPACE, wider))
    with pytest.raises(ConfigError, match=r"the weight is 0 of 'p1' for 'p0'$"):
        SampleExchange(originals=True, alpha=((1, 0), (0.5, 0.5))).check(players(SPACE, SPACE))
    with pytest.raises(ConfigError, match="the weight is 0 of 'p2' for 'p1', 'p1' for 'p2'"):
        SampleExchange(originals=True, topology="star").check(players(SPACE, SPACE, SPACE))
    with pytest.raises(ConfigError, match="'p2' for 'p0', 'p3' for 'p0', 'p3' for 'p1' and 7 more"):
        SampleExchange(originals=True, topology="ring").check(players(*[SPACE] * 5))
    SampleExchange().check(players(SPACE, wider))
