"""Direct play and ensembles by hand: who learns what from whom, and what travels on which link."""

import json

import numpy as np
import pytest
import torch

from coplay import Federation, Player, Space, Variable
from coplay.core.codec import request_from_bytes, request_to_bytes
from coplay.core.errors import ConfigError, ModelError
from coplay.core.message import COORDINATOR, Message, PlayerLate, PlayerLost
from coplay.core.requests import Evaluate, Restore, Save
from coplay.core.space import payload_bytes
from coplay.engines.local import Local
from coplay.games.direct_exchange import DirectExchange
from coplay.games.ensemble import Ensemble, Mixed, Source
from coplay.games.first_hand_expected import Turn
from coplay.games.mixtures import Mix, Ways
from coplay.games.sample_exchange import SampleExchange
from coplay.models.base import OWN, LocalModel
from coplay.models.exponential_family import ExponentialFamily
from coplay.run.sampling import load_player
from coplay.theory.by_variable import influence_of_variable, layers
from coplay.theory.equilibrium import influence_matrix

AGE = Variable(kind="real")
ONE = Space({"x": AGE})


class Memo(LocalModel):
    """Draws the mean of its first lesson, plus the number of steps since; notes its lessons."""

    _lessons = None
    _mean = 0.0
    _steps = 0

    def setup(self, space, seed):
        self._space = space
        self._lessons = []

    def learn(self, mixture, steps, generator):
        self._steps += steps
        self._lessons.append((mixture, steps))
        own = [part for part in mixture.parts if part.name == OWN]
        if own:
            self._mean = float(next(iter(own[0].samples.values())).double().mean())
        return {"loss": 0.0, "flops": 10.0 * steps}

    def sample(self, n, generator):
        drawn = torch.full((n,), self._mean) + 0 * torch.rand(n, generator=generator)
        return self._space.samples(**dict.fromkeys(self._space, drawn))

    def state_dict(self):
        return {"mean": torch.tensor(self._mean), "steps": torch.tensor(self._steps)}

    def load_state_dict(self, state):
        self._mean = float(state["mean"])
        self._steps = int(state["steps"])


class Patchy(Memo):
    """The same for samples that lack variables."""

    learns_incomplete = True


class Slow(Local):
    """A local engine whose answers of some players in some rounds do not come."""

    _silent = frozenset()
    _asked = ()

    def deliver(self, messages, purpose):
        self._asked = [*self._asked, *messages]
        replies = super().deliver(messages, purpose)
        for place, ask in enumerate(messages):
            if (ask.receiver, ask.round) in self._silent:
                replies[place] = PlayerLate(ask.receiver, ask.action, ask.round, "too slow")
        return replies


def constant(space, value, n=6, lacks=()):
    names = [name for name in space if name not in lacks]
    return space.samples(**{name: torch.full((n,), float(value)) for name in names})


def seated(game, sites, model=Memo, home=None, engine=None):
    """Return an engine, the state before the first round, and the players.

    Args:
        game: The rules.
        sites: The space, the number in all rows, and the variables that are lacking, by player.
        model: The class of all models.
        home: Folder of checkpoints.
        engine: The engine; a new one by default.
    """
    players = []
    for name, (space, value, lacks) in sites.items():
        held = constant(space, value, lacks=lacks)
        players.append(Player(name, space, held, model(), 1, home, unobserved=lacks))
    game.check(players)
    engine = engine or Slow()
    engine.start(players, game)
    return engine, game.start(list(sites), 1), {player.name: player for player in players}


def played(game, engine, state, rounds):
    for round in rounds:
        state, _ = game.play(engine, state, round)
    return state


THREE = {name: (ONE, value, ()) for value, name in enumerate("abc", start=1)}
ALPHA = ((0.5, 0.25, 0.25), (0.2, 0.6, 0.2), (0.7, 0.1, 0.2))


# ------------------------------------------------------------------------------- the mixture


def test_the_second_model_learns_own_rows_and_first_hand_samples_by_the_row_of_m():
    game = DirectExchange(alpha=ALPHA, rounds=3, local_steps=10, samples_per_round=50)
    engine, state, players = seated(game, THREE)
    played(game, engine, state, (1, 2, 3))
    m = influence_matrix(torch.tensor(ALPHA, dtype=torch.float64))
    for i, player in enumerate(players.values()):
        for mixture, _ in player.model._lessons[1:]:
            masses = {part.name: part.weight for part in mixture.parts}
            names = [OWN if j == i else name for j, name in enumerate(players)]
            assert [masses[name] for name in names] == pytest.approx(m[i].tolist(), abs=1e-11)
            for part in mixture.parts:
                value = i + 1 if part.name == OWN else "abc".index(part.name) + 1
                assert part.samples["x"].unique().tolist() == [value]
                if part.name != OWN:
                    share = m[i]["abc".index(part.name)].item()
                    assert len(part.samples) == int(np.ceil(50 * share))


def test_what_is_sent_is_of_the_model_that_knows_own_data_alone():
    """The measured model may draw anything: others get what own data look like."""

    class Drifting(Memo):
        """Draws the mean over its whole lesson, as a model of the mixture does."""

        def learn(self, mixture, steps, generator):
            numbers = super().learn(mixture, steps, generator)
            samples, weights = mixture.weighted()
            self._mean = float((samples["x"] * weights).sum())
            return numbers

    game = DirectExchange(alpha=ALPHA, rounds=5, local_steps=10, samples_per_round=50)
    engine, state, _players = seated(game, THREE, Drifting)
    state = played(game, engine, state, (1, 2, 3, 4))
    for (sender, _), part in state.payload.items():
        assert part["x"].unique().tolist() == ["abc".index(sender) + 1]
    m = influence_matrix(torch.tensor(ALPHA, dtype=torch.float64))
    expected = (m @ torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)).tolist()
    (answers,) = [engine.ask([Message(Evaluate(4, 1), COORDINATOR, n, 4) for n in "abc"])]
    shown = [answer.payload[COORDINATOR]["x"].mean().item() for answer in answers]
    assert shown == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("share", "own"), [(0.5, 5), (0.3, 3), (0.0, 0), (0.99, 9)])
def test_both_models_together_take_the_local_steps(share, own):
    game = DirectExchange(own_weight=0.5, rounds=3, local_steps=10, own_share=share)
    engine, state, players = seated(game, THREE)
    state, first = game.play(engine, state, 1)
    assert players["a"].model._steps == 10
    state, row = game.play(engine, state, 2)
    # the second began as a copy of the first, which had taken 10
    assert players["a"].model._steps == 10 + 10 - own
    assert players["a"].pending.model._steps == 10 + own
    assert first.players["a"]["flops"] == row.players["a"]["flops"] == 100.0


def test_one_shot_draws_once_and_nothing_travels_twice():
    game = DirectExchange(own_weight=0.5, one_shot=True, rounds=6, local_steps=4)
    assert game.own_rounds == 3
    assert game.fresh() == game
    engine, state, players = seated(game, THREE)
    sizes = []
    for round in range(1, 7):
        state, _ = game.play(engine, state, round)
        sizes.append(engine.ledger.total("exchange"))
    assert sizes[:3] == [0, 0, 0]
    m = influence_matrix(game.weights("abc"))
    sent = sum(np.ceil(2000 * m[i, j].item()) for i in range(3) for j in range(3) if i != j)
    assert sizes[3:] == [4 * sent] * 3
    assert players["a"].model._steps == 24
    # the model of own data rests as it was, for a run that begins with these models
    assert players["a"].pending.model._steps == 12
    last, _ = players["a"].model._lessons[-1]
    assert [part.name for part in last.parts] == [OWN, "b", "c"]


def test_nothing_is_drawn_that_nobody_would_learn_from():
    game = DirectExchange(rounds=7, own_rounds=2, fresh_every_rounds=2)
    assert [round for round in range(1, 8) if game.draws_in(round)] == [2, 4, 6]
    game = Ensemble(rounds=4)
    assert [round for round in range(1, 6) if game.draws_in(round)] == [1, 2, 3]


def test_a_whole_number_of_samples_is_not_rounded_up_for_its_last_bit():
    assert 100 * 0.07 > 7
    ways = Ways({"b": Mix({"a": (0.07,)}), "c": Mix({"a": (0.071,)})}, {"a": {"b": "a", "c": "a"}})
    assert ways.draws(100) == {"a": {"b": 7, "c": 8}}


def test_one_shot_takes_its_rounds_from_what_is_given():
    assert DirectExchange(one_shot=True, rounds=10, own_share=0.3).own_rounds == 3
    assert DirectExchange(one_shot=True, rounds=10, own_rounds=2).own_rounds == 2
    assert DirectExchange(one_shot=True, rounds=1).own_rounds == 1
    with pytest.raises(ValueError, match="own_share"):
        DirectExchange(one_shot=True, own_share="much")


def test_what_comes_for_a_late_player_waits_for_it():
    game = DirectExchange(own_weight=0.5, one_shot=True, rounds=4, own_rounds=1, local_steps=4)
    engine, state, _players = seated(game, THREE)
    engine._silent = {("b", 2)}
    state = played(game, engine, state, (1, 2))
    assert sorted(state.payload) == [("a", "b"), ("c", "b")]
    played(game, engine, state, (3,))
    asked = [ask for ask in engine._asked if ask.receiver == "b" and ask.round == 3]
    assert list(asked[0].payload) == ["a", "c"]


@pytest.mark.parametrize("game", [
    DirectExchange(own_weight=0.5, one_shot=True, rounds=6, own_rounds=1, local_steps=4),
    DirectExchange(own_weight=0.5, rounds=6, own_rounds=1, local_steps=4, own_share=0.0),
], ids=["one shot", "no steps of its own"])  # fmt: skip
def test_who_missed_its_own_rounds_learns_alone_before_it_draws(game):
    """What others receive is never of a model that has not learned, and nobody is left out."""
    engine, state, players = seated(game, THREE)
    engine._silent = {("b", 1)}
    # the engine's local players answer all the same; this one was not reached
    players["b"].model._lessons = None
    state = played(game, engine, state, (1,))
    players["b"].learned = False
    players["b"].model._steps, players["b"].model._lessons = 0, []
    players["b"].pending, players["b"].kept = None, {}
    state = played(game, engine, state, (2,))
    ((lesson, steps),) = players["b"].model._lessons
    assert ([part.name for part in lesson.parts], steps) == ([OWN], 4)
    assert state.payload[("b", "a")]["x"].unique().tolist() == [2]
    assert list(state.owing) == []
    state = played(game, engine, state, (3, 4))
    m = influence_matrix(game.weights("abc"))
    last, _ = players["a"].model._lessons[-1]
    masses = {part.name: part.weight for part in last.parts}
    assert masses == pytest.approx(dict(zip((OWN, "b", "c"), m[0].tolist(), strict=True)), abs=1e-9)
    # and in a single exchange nobody is asked twice
    drew = [ask for ask in engine._asked if ask.request.draw and ask.receiver == "b"]
    if game.one_shot:
        assert [ask.round for ask in drew] == [1, 2]


def test_in_a_single_exchange_a_player_draws_once_whatever_it_is_asked():
    game = DirectExchange(own_weight=0.5, one_shot=True, rounds=6, own_rounds=1, local_steps=4)
    engine, state, _ = seated(game, THREE)
    played(game, engine, state, (1, 2))
    ask = Message(Turn((OWN,), (1.0,), {"b": 5}), COORDINATOR, "a", 3)
    (reply,) = engine.deliver([ask], "exchange")
    assert isinstance(reply, PlayerLost)
    assert "draw: expected none in round 3" in reply.reason


def test_a_run_that_begins_with_the_models_of_a_single_exchange_sends_own_data_alone():
    class Drifting(Memo):
        """Draws a mean that moves half of the way to that of each lesson."""

        def learn(self, mixture, steps, generator):
            before = self._mean if self._steps else None
            numbers = super().learn(mixture, steps, generator)
            samples, weights = mixture.weighted()
            mean = float((samples["x"] * weights).sum())
            self._mean = mean if before is None else (before + mean) / 2
            return numbers

    before = DirectExchange(own_weight=0.5, one_shot=True, rounds=6, local_steps=4)
    engine, state, players = seated(before, THREE, Drifting)
    played(before, engine, state, range(1, 7))
    game = DirectExchange(own_weight=0.5, rounds=4, local_steps=4)
    again, state, begun = seated(game, THREE, Drifting)
    for name, player in begun.items():
        player.load("a file", players[name].state)
    for round in (1, 2, 3):
        state = played(game, again, state, (round,))
        for (sender, _), part in state.payload.items():
            assert part["x"].unique().tolist() == [THREE[sender][1]]


@pytest.mark.parametrize("lost_in", [2, 3])
def test_what_is_on_a_way_through_a_lost_player_is_left_where_it_is(lost_in):
    """A chain a – b – c loses its middle: a and c have nobody left, and go on alone."""
    alpha = ((0.5, 0.5, 0.0), (0.25, 0.5, 0.25), (0.0, 0.5, 0.5))
    game = DirectExchange(
        alpha=alpha, relay=True, rounds=6, local_steps=4, samples_per_round=40, on_lost="continue"
    )
    engine, state, players = seated(game, THREE)
    engine._silent = {("c", lost_in)}  # what came for it waits
    state = played(game, engine, state, range(1, lost_in + 1))
    assert ("a", "c") in state.payload or lost_in == 3
    state, _ = game.lose(state, [PlayerLost("b", "turn", lost_in, "gone")])
    state = played(game, engine, state, range(lost_in + 1, 7))
    for name in "ac":
        last, _ = players[name].model._lessons[-1]
        assert {part.name: part.weight for part in last.parts} == {OWN: 1.0}


def test_samples_keep_the_name_of_who_carried_them_when_their_way_changes():
    """On a ring a – b – c – d – a what b passed on to c is b's, though b is lost by then."""
    square = {name: (ONE, value, ()) for value, name in enumerate("abcd", start=1)}
    game = DirectExchange(
        own_weight=0.4, topology="ring", relay=True, rounds=8, local_steps=2,
        samples_per_round=40, on_lost="continue",
    )  # fmt: skip
    engine, state, _ = seated(game, square)
    state = played(game, engine, state, (1, 2))
    assert {to: by for to, by in state.carriers.items() if to[0] == "c"} == {("c", "a"): "b"}
    # a checkpoint holds it
    state = type(state).from_known(state.known(), state.payload)
    state, _ = game.lose(state, [PlayerLost("b", "turn", 2, "gone")])
    played(game, engine, state, (3, 4))
    asked = {ask.round: ask for ask in engine._asked if ask.receiver == "c"}
    assert dict(asked[3].request.through) == {"a": "b"}
    assert dict(asked[4].request.through) == {"a": "d"}


def test_a_set_that_is_passed_on_is_as_large_as_its_farthest_needs():
    ways = Ways(
        {"b": Mix({"a": (0.1,)}), "c": Mix({"a": (0.5,)}), "d": Mix({"a": (0.2,)})},
        {"a": {"b": "a", "d": "a", "c": "b"}},
    )
    assert ways.draws(100) == {"a": {"b": 50, "d": 20}}
    assert ways.longest("a") == 2


def test_a_player_without_a_way_to_another_is_no_source_of_it():
    """a → b → c and no way back: b may not be told to learn from c."""
    alpha = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.0, 0.5, 0.5))
    game = DirectExchange(alpha=alpha, relay=True, rounds=6, local_steps=2)
    engine, state, _ = seated(game, THREE)
    played(game, engine, state, (1, 2))
    request = Turn((OWN, "c"), (0.5, 0.5), {}, (), {})
    ask = Message(request, COORDINATOR, "b", 3, payload={"c": constant(ONE, 3, 5)})
    (reply,) = engine.deliver([ask], "exchange")
    assert "sources: expected players that reach it, got 'c'" in reply.reason
    assert "got one received from 'c'" in reply.reason


def test_a_lost_player_leaves_the_mixture_and_the_rest_is_normalised():
    game = DirectExchange(alpha=ALPHA, rounds=6, local_steps=4, on_lost="continue")
    engine, state, players = seated(game, THREE)
    state = played(game, engine, state, (1, 2))
    state, row = game.lose(state, [PlayerLost("c", "turn", 2, "gone")])
    two = torch.tensor([[0.5, 0.25], [0.2, 0.6]], dtype=torch.float64)
    m = influence_matrix(two / two.sum(1, keepdim=True))
    assert torch.allclose(row.influence, m)
    played(game, engine, state, (3,))
    last, _ = players["a"].model._lessons[-1]
    assert {part.name: part.weight for part in last.parts} == pytest.approx(
        {OWN: m[0, 0].item(), "b": m[0, 1].item()}, abs=1e-11
    )


def test_play_goes_on_from_a_checkpoint_as_if_nothing_had_been(tmp_path):
    """Both models, and what was received, which with `one_shot` comes only once."""
    for game in (
        DirectExchange(own_weight=0.5, rounds=5, local_steps=4),
        DirectExchange(own_weight=0.5, rounds=5, own_rounds=2, one_shot=True, local_steps=4),
    ):
        ends = []
        for again in (False, True):
            home = tmp_path / f"{game.one_shot} {again}"
            engine, state, players = seated(game, THREE, ExponentialFamily, home)
            state = played(game, engine, state, (1, 2, 3))
            if again:
                engine.ask([Message(Save(), COORDINATOR, name, 3) for name in "abc"])
                engine, _, players = seated(game, THREE, ExponentialFamily, home)
                engine.ask([Message(Restore(), COORDINATOR, name, 3) for name in "abc"])
            played(game, engine, state, (4, 5))
            ends.append({name: player.model.state_dict() for name, player in players.items()})
            ends[-1] |= {f"{name} kept": player.kept for name, player in players.items()}
        assert ends[0].keys() == ends[1].keys()
        for name, before in ends[0].items():
            assert before.keys() == ends[1][name].keys()
            assert all(torch.equal(before[key], ends[1][name][key]) for key in before), name


def test_a_new_run_that_begins_with_both_models_sends_none_that_learned_from_others():
    """In its rounds alone it is the model of own data that learns and draws."""
    game = DirectExchange(own_weight=0.5, rounds=4, local_steps=4)
    engine, state, players = seated(game, THREE, Patchy)
    played(game, engine, state, (1, 2, 3))
    again, state, begun = seated(game, THREE, Patchy)
    for name, player in begun.items():
        player.load("a file", players[name].state)
        player.model._mean = 99.0  # as if what it learned from others could be told
    state = played(game, again, state, (1,))
    assert {name: player.model._steps for name, player in begun.items()} == {
        name: player.model._steps for name, player in players.items()
    }
    assert state.payload
    for (sender, _), part in state.payload.items():
        assert part["x"].mean().item() < 50
        assert abs(part["x"].mean().item() - THREE[sender][1]) < 1e-6


# ----------------------------------------------------------------------- different variables

AB = Space({"a": AGE, "b": AGE})
TWO = {"p": (AB, 1, ()), "q": (AB, 2, ("b",)), "r": (AB, 3, ())}


def test_m_of_a_variable_is_that_of_the_game_among_those_that_have_it():
    alpha = torch.tensor(ALPHA, dtype=torch.float64)
    everybody = torch.tensor([True] * 3)
    assert torch.allclose(
        influence_of_variable(alpha, everybody, everybody), influence_matrix(alpha)
    )
    lacks = torch.tensor([True, False, True])
    by_hand = alpha.clone()
    by_hand[1, 1] = 0
    by_hand[1] /= 0.4
    assert torch.allclose(influence_of_variable(alpha, everybody, lacks), influence_matrix(by_hand))
    two = influence_of_variable(alpha, lacks, lacks)
    by_hand = torch.tensor([[0.5, 0.25], [0.7, 0.2]], dtype=torch.float64)
    m = influence_matrix(by_hand / by_hand.sum(1, keepdim=True))
    assert torch.allclose(two[[0, 2]][:, [0, 2]], m)
    assert not two[1].any()
    assert not two[:, 1].any()


def test_a_player_whom_a_variable_does_not_reach_is_no_source_of_it():
    alpha = torch.tensor([[0.5, 0.5, 0], [0, 1.0, 0], [0.5, 0, 0.5]], dtype=torch.float64)
    everybody = torch.tensor([True] * 3)
    m = influence_of_variable(alpha, everybody, torch.tensor([True, False, True]))
    # the second hears nobody, so the first learns from itself alone
    assert m.tolist() == [[1, 0, 0], [0, 0, 0], [0.5, 0, 0.5]]


@pytest.mark.parametrize("seed", range(20))
def test_layers_give_each_variable_its_mass_jointly_as_far_as_can_be(seed):
    generator = torch.Generator().manual_seed(seed)
    masses = {f"v{i}": v for i, v in enumerate(torch.rand(5, generator=generator).tolist())}
    masses["none"] = 0.0
    parts = layers(masses)
    for name, mass in masses.items():
        assert sum(m for names, m in parts if name in names) == pytest.approx(mass)
    # what two variables have together is the smaller mass of both
    for one, other in (("v0", "v1"), ("v2", "v4")):
        both = sum(m for names, m in parts if one in names and other in names)
        assert both == pytest.approx(min(masses[one], masses[other]))


def test_each_variable_is_learned_from_those_that_observe_it_by_its_own_m():
    game = DirectExchange(alpha=ALPHA, rounds=3, local_steps=4, samples_per_round=100)
    engine, state, players = seated(game, TWO, Patchy)
    played(game, engine, state, (1, 2, 3))
    alpha = torch.tensor(ALPHA, dtype=torch.float64)
    everybody = torch.tensor([True] * 3)
    matrices = {
        "a": influence_matrix(alpha),
        "b": influence_of_variable(alpha, everybody, torch.tensor([True, False, True])),
    }
    for i, player in enumerate(players.values()):
        last, _ = player.model._lessons[-1]
        for variable, m in matrices.items():
            masses = dict.fromkeys(range(3), 0.0)
            for part in last.parts:
                if variable in part.samples.keys():
                    (value,) = part.samples[variable].unique().tolist()
                    masses[int(value) - 1] += part.weight
            total = sum(masses.values())
            assert [masses[j] / total for j in range(3)] == pytest.approx(m[i].tolist(), abs=1e-9)
        # all variables have as much mass, and q sends nothing of what its data lack
        assert all("b" not in part.samples.keys() for part in last.parts if part.name == "q")
    drawn = engine.ask([Message(Evaluate(3, 1), COORDINATOR, "q", 3)])[0].payload[COORDINATOR]
    assert set(drawn.keys()) == {"a", "b"}


def test_a_model_that_needs_every_variable_is_refused_by_name():
    game = DirectExchange(own_weight=0.5)
    with pytest.raises(ConfigError) as error:
        seated(game, {"p": (AB, 1, ()), "q": (Space({"a": AGE}), 2, ()), "r": (AB, 3, ())})
    text = str(error.value)
    assert "player 'p': Memo needs every variable, and players draw those of their own data" in text
    assert "'q' (no b); choose a model that learns from incomplete samples" in text
    assert "player 'q'" not in text


# ------------------------------------------------------------------------------------- relays

RING = {name: (ONE, value, ()) for value, name in enumerate("abcdef", start=1)}


def test_without_a_link_a_pair_is_refused_by_name():
    with pytest.raises(ConfigError) as error:
        seated(DirectExchange(own_weight=0.4, topology="ring"), RING)
    m = influence_matrix(DirectExchange(own_weight=0.4, topology="ring").weights("abcdef"))
    text = str(error.value)
    assert f"'c' from 'a' (a share of {m[2, 0]:.3f})" in text
    assert "and 15 more are to learn without a link; relay = true" in text


def test_samples_take_one_link_a_round_and_keep_the_name_of_the_one_that_drew_them():
    game = DirectExchange(
        own_weight=0.4, topology="ring", relay=True, rounds=8, own_rounds=1, one_shot=True,
        local_steps=2, samples_per_round=100,
    )  # fmt: skip
    engine, state, players = seated(game, RING)
    distance = {name: min(i, 6 - i) for i, name in enumerate("abcdef")}
    for round in range(1, 6):
        state, _ = game.play(engine, state, round)
        last, _ = players["a"].model._lessons[-1]
        names = {part.name for part in last.parts} - {OWN}
        # drawn in round 1, a neighbour's are there in round 2
        assert names == {name for name in "bcdef" if distance[name] < round}
        for part in last.parts:
            if part.name != OWN:
                assert part.samples["x"].unique().tolist() == ["abcdef".index(part.name) + 1]
    m = influence_matrix(game.weights("abcdef"))
    weights = {part.name: part.weight for part in last.parts}
    expected = {OWN if name == "a" else name: m[0, i].item() for i, name in enumerate("abcdef")}
    assert weights == pytest.approx(expected, abs=1e-9)
    asked = [ask.request for ask in engine._asked if ask.receiver == "d" and ask.round == 4]
    assert dict(asked[0].through) == {"a": "c"}


def test_the_ledger_counts_relayed_samples_on_the_links_that_they_take():
    game = DirectExchange(
        own_weight=0.4, topology="ring", relay=True, rounds=8, own_rounds=1, one_shot=True,
        local_steps=2, samples_per_round=100,
    )  # fmt: skip
    engine, state, _ = seated(game, RING)
    state = played(game, engine, state, range(1, 7))
    assert not state.payload
    m = influence_matrix(game.weights("abcdef"))
    count = int(np.ceil(100 * m[1, 0].item()))  # what a neighbour needs is the most
    by_link = {(link.sender, link.receiver): link for link in engine.ledger.links()}
    neighbours = {("abcdef"[i], "abcdef"[(i + step) % 6]) for i in range(6) for step in (1, -1)}
    assert by_link.keys() == neighbours
    # on a link to the next: its sender's own, and those of the one and the two behind it
    total = sum(link.samples for link in by_link.values())
    assert total == 6 * 5 * count  # six sets come to five players each
    assert sum(link.bytes for link in by_link.values()) == 4 * total


def test_the_gate_checks_origin_and_sender_of_what_is_passed_on():
    game = DirectExchange(
        own_weight=0.4, topology="ring", relay=True, rounds=8, local_steps=2, samples_per_round=100
    )
    engine, state, _players = seated(game, RING)
    played(game, engine, state, (1, 2))
    drawn = constant(ONE, 1, 5)

    def reason(payload, through, rules=game):
        request = Turn((OWN, "c"), (0.5, 0.5), {}, (), through)
        ask = Message(request, COORDINATOR, "a", 3, payload=payload)
        again = request_from_bytes(request_to_bytes(ask), (Turn,), "a request")
        engine._game = rules
        (reply,) = engine.deliver([again], "exchange")
        return reply.reason if isinstance(reply, PlayerLost) else ""

    assert reason({"c": drawn}, {}) == (
        "refused, nothing has changed: through: expected a player with a link as sender of what "
        "'c' drew, got None"
    )
    assert "as sender of what 'c' drew, got 'd'" in reason({"c": drawn}, {"c": "d"})
    assert "'b' has a link of its own, nobody passes it on" in reason({"b": drawn}, {"b": "f"})
    assert "expected origins that come along, got 'd'" in reason({"b": drawn}, {"d": "f"})
    assert "got one received from 'z'" in reason({"z": drawn}, {"z": "b"})
    closed = game.model_copy(update={"relay": False})
    assert "expected samples of players with a link, got those of 'c'" in reason(
        {"c": drawn}, {"c": "b"}, closed
    )
    assert reason({"c": drawn}, {"c": "b"}) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"masses": (0.5, 0.6)}, "masses: expected a sum of at most 1, got 1.1"),
        ({"masses": (0.5, -0.1)}, "masses: expected numbers from 0 to 1, got others"),
        ({"masses": (0.5, float("nan"))}, "masses: expected a list of a finite number each"),
        ({"masses": (0.5,)}, "masses: expected 2, got 1"),
        ({"sources": (OWN, "z")}, "sources: expected players that reach it, got 'z'"),
        ({"sources": (OWN, OWN)}, "sources: expected each name once"),
        ({"variables": ("y",)}, "variables: expected its own, got 'y'"),
        ({"draw": {"c": 3}}, "draw: expected players that give it weight, got 'c'"),
        ({"draw": {"b": 0}}, "draw: expected 1 to 100 samples for 'b', got 0"),
        ({"draw": {"b": 101}}, "draw: expected 1 to 100 samples for 'b', got 101"),
    ],
)
def test_the_gate_refuses_a_turn_that_cannot_be_meant(change, words):
    game = DirectExchange(
        own_weight=0.4, topology="ring", relay=True, rounds=8, local_steps=2, samples_per_round=100
    )
    engine, _, players = seated(game, RING)
    fields = {"sources": (OWN, "b"), "masses": (0.5, 0.5), "draw": {"b": 3}} | change
    (reply,) = engine.deliver([Message(Turn(**fields), COORDINATOR, "a", 3)], "exchange")
    assert words in reply.reason
    assert not players["a"].model._lessons


# ----------------------------------------------------------------------------------- ensemble


def test_an_ensemble_shows_the_others_first_hand_samples_in_the_shares_of_m():
    game = Ensemble(alpha=ALPHA, rounds=2, local_steps=4, samples_per_round=1000)
    engine, state, players = seated(game, THREE)
    played(game, engine, state, (1, 2))
    m = influence_matrix(torch.tensor(ALPHA, dtype=torch.float64))
    asks = [Message(Evaluate(1000, 1), COORDINATOR, name, 2) for name in "abc"]
    for i, answer in enumerate(engine.ask(asks, "evaluation")):
        values = answer.payload[COORDINATOR]["x"]
        for j in range(3):  # rounded without bias: at most one off
            assert abs((values == j + 1).sum().item() - 1000 * m[i, j].item()) < 1
        assert (values[:50] == values[0]).sum() < 50  # in random order: pictures show the first
    for player in players.values():
        assert all([p.name for p in mix.parts] == [OWN] for mix, _ in player.model._lessons)
        assert type(player.model) is Memo


def test_an_ensemble_shows_each_sample_once_as_long_as_there_are_enough():
    player = Player("a", ONE, constant(ONE, 1), Memo(), 1)
    samples = ONE.samples(x=torch.arange(10.0))
    mixed = Mixed.of(player, {"b": Source(0.5, None, samples), "c": Source(0.5, None, samples)})
    drawn = mixed.sample(20, torch.Generator().manual_seed(1))["x"]
    assert drawn.sort().values.tolist() == torch.arange(10.0).repeat_interleave(2).tolist()
    assert len(mixed.sample(40, torch.Generator())) == 40
    words = "of 'b' 10 samples are here, and 20 are needed; ask for at most 20, or play with larger"
    with pytest.raises(ModelError, match=words):
        mixed.without_repeating().sample(40, torch.Generator())
    assert len(mixed.without_repeating().sample(20, torch.Generator())) == 20


def test_an_ensemble_says_what_it_cannot_give():
    game = Ensemble(own_weight=0.5)
    with pytest.raises(ConfigError) as error:
        seated(game, TWO, Patchy)
    text = str(error.value)
    assert "player 'q': its data lack b, and nobody draws them together with the rest" in text
    assert "player 'p': draws of others are put beside its own as they are" in text
    assert "'q' (no b)" in text


def test_a_site_without_rows_shows_what_the_others_drew():
    game = Ensemble(alpha=((0.0, 1.0), (0.0, 1.0)), rounds=2, local_steps=1, samples_per_round=30)
    players = [
        Player("hub", ONE, ONE.empty(), Memo(), 1),
        Player("site", ONE, constant(ONE, 2), Memo(), 1),
    ]
    engine = Local()
    engine.start(players, game)
    played(game, engine, game.start(["hub", "site"], 1), (1, 2))
    (answer,) = engine.ask([Message(Evaluate(9, 1), COORDINATOR, "hub", 2)], "evaluation")
    assert answer.payload[COORDINATOR]["x"].tolist() == [2.0] * 9


# ------------------------------------------------------------------------------- carried along


def carried(small_config, **game):
    config = small_config(
        game={"name": "sample_exchange", "rounds": 4, "local_steps": 3, "own_weight": 0.2,
              "samples_per_round": 50, "own_rounds": 2, **game},
        compare=["direct_exchange", {"name": "ensemble", "own_weight": 0.4}, "isolated",],
    )  # fmt: skip
    return config, config.carried


def test_games_with_weights_take_over_those_of_the_main_game(small_config):
    _, (direct, ensemble, isolated) = carried(small_config)
    for game in (direct, ensemble):
        assert (game.samples_per_round, game.own_rounds, game.rounds) == (50, 2, 4)
    assert direct.own_weight == 0.2
    assert ensemble.own_weight == 0.4
    assert isolated.local_steps == 3


def test_weights_of_a_section_and_those_of_the_main_game_are_not_mixed(small_config):
    alpha = [[0.5, 0.5], [0.5, 0.5]]
    config = small_config(
        game={"name": "direct_exchange", "own_weight": 0.2, "topology": "ring"},
        compare=[{"name": "sample_exchange", "alpha": alpha}, "ensemble"],
    )
    exchange, ensemble = config.carried
    assert isinstance(exchange, SampleExchange)
    assert exchange.alpha == ((0.5, 0.5), (0.5, 0.5))
    assert (ensemble.own_weight, ensemble.topology) == (0.2, "ring")


def test_one_shot_has_its_own_rounds_when_carried_along(small_config):
    config = small_config(
        game={"name": "sample_exchange", "rounds": 10, "own_rounds": 2},
        compare=[{"name": "direct_exchange", "one_shot": True}],
    )
    assert config.carried[0].own_rounds == 5
    config = small_config(
        game={"name": "sample_exchange", "rounds": 10, "own_rounds": 2},
        compare=[{"name": "direct_exchange", "one_shot": False}],
    )
    assert config.carried[0].own_rounds == 2


def test_the_rounds_that_a_single_exchange_chose_are_nobody_elses(small_config):
    config = small_config(
        game={"name": "direct_exchange", "one_shot": True, "rounds": 10},
        compare=["sample_exchange", "ensemble"],
    )
    assert config.game.own_rounds == 5
    assert [game.own_rounds for game in config.carried] == [1, 1]


def test_a_finished_run_draws_the_mix_anew_and_a_lone_site_what_it_has(small_config, tmp_path):
    config = small_config(
        game={"name": "ensemble", "rounds": 2, "local_steps": 3, "samples_per_round": 40,
              "own_weight": 0.5},
        compare=[],
    )  # fmt: skip
    result = Federation(config).run(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())
    one, other = config.player_names
    mixed = load_player(tmp_path / "run", one).model
    m = influence_matrix(config.game.weights([one, other]))
    assert mixed.masses == pytest.approx({OWN: m[0, 0].item(), other: m[0, 1].item()}, abs=1e-9)
    assert len(result.sample(one, 500)["image"]) == 500
    (file,) = (tmp_path / "run" / "ensemble" / "models").glob(f"*{other}*.safetensors")
    file.unlink()
    assert len(result.sample(one, 40)["image"]) == 40
    with pytest.raises(ModelError, match=f"of '{other}' 14 samples are here, and"):
        result.sample(one, 500)


def test_payload_bytes_of_an_ensemble_are_those_of_its_shares():
    game = Ensemble(alpha=ALPHA, rounds=3, local_steps=1, samples_per_round=100)
    engine, state, _ = seated(game, THREE)
    state = played(game, engine, state, (1, 2, 3))
    m = influence_matrix(torch.tensor(ALPHA, dtype=torch.float64))
    for link in engine.ledger.links():
        share = m["abc".index(link.receiver), "abc".index(link.sender)].item()
        count = 2 * int(np.ceil(100 * share))  # drawn in rounds 1 and 2
        assert (link.samples, link.bytes) == (count, payload_bytes(constant(ONE, 1, count)))
