"""What a player does, on numbers worked out by hand; and what lies around it.

Engine, ledger, files.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
import torch
from tensordict import TensorDict

from coplay import Player, Space, Variable
from coplay.core import checkpoints, storage
from coplay.core.errors import CheckpointError, MessageError, ModelError
from coplay.core.message import (
    COORDINATOR,
    Ledger,
    LinkTraffic,
    Message,
    PlayerLate,
    PlayerLost,
    Request,
    bytes_of,
)
from coplay.core.nesting import nest, unnest
from coplay.core.plain import flatten, restored
from coplay.core.requests import CLASSIFIED, SCORED
from coplay.core.space import pick
from coplay.core.streams import derive, stream
from coplay.engines.base import answer, answer_all, grouped
from coplay.engines.local import Local
from coplay.games.base import State
from coplay.games.isolated import Isolated, Turn
from coplay.models import likelihood
from coplay.models.base import OWN, LocalModel, Mixture, Portion
from coplay.models.exponential_family import ExponentialFamily
from coplay.player import Evaluate, Gain, Restore, Save

BITS = Space({"x": Variable(kind="binary", shape=(2,))})
PAIR = Space({"a": Variable(kind="binary"), "b": Variable(kind="binary")})
LABELLED = Space(
    {"x": Variable(kind="real", low=0, high=9), "class": Variable(kind="categorical", classes=3)}
)


def rows(*values):
    return BITS.samples(x=torch.tensor(values, dtype=torch.uint8))


def player(data, space=BITS, model=None, **settings):
    return Player("north", space, data, model or ExponentialFamily(), 7, **settings)


class Recorder(LocalModel):
    """Keeps what it was given to learn from, and draws zeros.

    Latents and incomplete samples are welcome.
    """

    learns_incomplete = True
    latent: int = 0

    def latent_variables(self):
        return {"z": Variable(kind="real", shape=(self.latent,))} if self.latent else {}

    def setup(self, space, seed):
        self._space = space
        self._seed = seed

    def learn(self, mixture, steps, generator):
        self._mixture = mixture
        self._steps = steps
        self._draw = torch.rand(3, generator=generator)
        return {"loss": 0.5}

    def sample(self, n, generator):
        every = self._space.extended(self.latent_variables())
        values = {}
        for name in every:
            shape = (n, *every[name].shape)
            values[name] = torch.zeros(shape, dtype=every[name].dtypes[0])
        values[next(iter(values))].requires_grad_(values[next(iter(values))].is_floating_point())
        return TensorDict(values, batch_size=[n])

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Rounds(Recorder):
    """Classifies by the number x, rounded down."""

    def classify(self, samples):
        self._classified = samples
        return torch.nn.functional.one_hot(samples["x"].long().clamp(0, 2), 3).double()


# ------------------------------------------------------------------------------------ the mixture


def test_a_mixture_has_the_masses_of_those_who_have_samples():
    """Of masses 3, 2, 4 and 6 the last two count for nothing: one has no samples, one no mass."""
    me = player(rows([0, 0], [0, 1]), model=Recorder())
    received = {"a": rows([1, 1]), "b": BITS.empty(), "c": rows([1, 0]), "d": rows([0, 1])}
    me.learn(received, {OWN: 3.0, "a": 2.0, "b": 4.0, "d": 6.0, "x": 9.0}, 5, 2)
    parts = {part.name: part for part in me.model._mixture.parts}
    assert {name: part.weight for name, part in parts.items()} == pytest.approx(
        {OWN: 3 / 11, "a": 2 / 11, "d": 6 / 11}
    )
    assert parts["a"].samples["x"].tolist() == [[1, 1]]
    assert me.model._steps == 5
    assert torch.equal(me.model._draw, torch.rand(3, generator=stream(7, "learn", 2, "north")))


def test_nobody_to_learn_from_is_no_turn():
    me = player(BITS.empty(), model=Recorder())
    assert me.learn({}, {OWN: 1.0}, 1, 1) == {}
    assert not me.learned
    assert me.learn({"a": rows([1, 1])}, {OWN: 1.0, "a": 0.0}, 1, 1) == {}
    assert me.learn({"a": rows([1, 1])}, {OWN: 1.0, "a": 0.1}, 1, 1) == {"loss": 0.5}
    assert me.learned


def test_the_exact_answer_is_the_weighted_mean_of_means():
    me = player(rows([0, 1], [0, 1], [0, 0], [1, 0]))
    received = {"a": rows([1, 1], [1, 0]), "b": rows([1, 1], [0, 1], [0, 1])}
    me.learn(received, {OWN: 0.5, "a": 0.3, "b": 0.2}, 1, 1)
    expected = [0.5 / 4 + 0.3 + 0.2 / 3, 0.5 / 2 + 0.3 / 2 + 0.2]
    assert me.model.moments.tolist() == pytest.approx(expected)


def test_what_is_set_up_drawn_and_picked_comes_from_streams_of_their_own():
    me = player(rows([0, 0], [0, 1], [1, 0]), model=Recorder())
    assert me.model._seed == derive(7, "setup", "north")
    places = torch.randint(3, (50,), generator=stream(7, "real", 4, "north"))
    batch = me.own_batch(50, "real", 4)
    assert torch.equal(batch["x"], pick(me.private_data, places)["x"])
    assert me.count == 3


@pytest.mark.parametrize("fault", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_stop_the_player(fault):
    class Diverges(Recorder):
        def learn(self, mixture, steps, generator):
            return {"loss": fault}

    with pytest.raises(ModelError, match=r"learn reported loss = .*diverged"):
        player(rows([0, 0]), model=Diverges()).learn({}, {OWN: 1.0}, 1, 1)


# ------------------------------------------------------------------- variables that data lack


def test_a_variable_is_learned_once_somebody_had_it_and_only_then_sent():
    me = player(PAIR.samples(a=torch.tensor([1, 0], dtype=torch.uint8)), PAIR)
    assert me.unobserved == ("b",)
    me.learn({}, {OWN: 1.0}, 1, 1)
    assert me.unlearned == ["b"]
    assert set(me.draw(4, 1, "south").keys()) == {"a"}
    both = PAIR.samples(
        a=torch.tensor([1, 1], dtype=torch.uint8), b=torch.tensor([1, 0], dtype=torch.uint8)
    )
    me.learn({"south": both}, {OWN: 1.0, "south": 0.0}, 1, 2)
    assert me.unlearned == ["b"], "a sample of no mass teaches nothing"
    me.learn({"south": both}, {OWN: 1.0, "south": 2.0}, 1, 3)
    assert me.unlearned == []
    me.learn({}, {OWN: 1.0}, 1, 4)
    assert set(me.draw(4, 1, "south").keys()) == {"a", "b"}, "it stays learned"


def test_what_was_learned_of_others_comes_back_from_a_checkpoint(tmp_path):
    data = PAIR.samples(a=torch.tensor([1, 0], dtype=torch.uint8))
    both = PAIR.samples(
        a=torch.tensor([1, 1], dtype=torch.uint8), b=torch.tensor([1, 0], dtype=torch.uint8)
    )
    me = player(data, PAIR, home=tmp_path)
    for round in (1, 2):
        me.learn({"south": both} if round == 2 else {}, {OWN: 1.0, "south": 2.0}, 1, round)
        me.kept = {"net/weight": torch.tensor([1.0 * round])}
        me.serve(Message(Save(), COORDINATOR, "north", round))
    for round, unlearned in ((1, ["b"]), (2, [])):
        twin = player(data, PAIR, home=tmp_path)
        twin.serve(Message(Restore(), COORDINATOR, "north", round))
        assert twin.learned
        assert twin.unlearned == unlearned
        assert twin.kept == {"net/weight": torch.tensor([1.0 * round])}


def test_a_player_that_never_learned_is_restored_as_such(tmp_path):
    me = player(rows([0, 1]), home=tmp_path)
    me.serve(Message(Save(), COORDINATOR, "north", 1))
    twin = player(rows([0, 1]), home=tmp_path)
    twin.learn({}, {OWN: 1.0}, 1, 1)
    twin.serve(Message(Restore(), COORDINATOR, "north", 1))
    assert not twin.learned


def test_latents_of_another_size_are_dropped_and_those_alike_kept():
    me = player(rows([0, 0]), model=Recorder(latent=2))
    for size, names in ((2, {"x", "z"}), (3, {"x"})):
        sent = TensorDict({**rows([1, 1]), "z": torch.zeros(1, size)}, batch_size=[1])
        me.learn({"a": sent}, {OWN: 1.0, "a": 1.0}, 1, 1)
        parts = {part.name: part for part in me.model._mixture.parts}
        assert set(parts["a"].samples.keys()) == names


def test_what_leaves_hangs_on_nothing():
    space = Space({"x": Variable(kind="real")})
    me = player(space.samples(x=torch.zeros(3)), space, Recorder())
    assert not me.draw(4, 1, "south")["x"].requires_grad


# -------------------------------------------------------------------------- evaluation and gain


def test_a_class_is_told_of_what_the_player_observes_alone():
    real = LABELLED.samples(x=torch.tensor([0.5, 2.5, 1.5]), **{"class": torch.tensor([0, 1, 2])})
    me = player(real, LABELLED, Rounds(), unobserved=["class"])
    assert me.classify(real)["class"].tolist() == [0, 2, 1]
    assert set(me.model._classified.keys()) == {"x"}


def test_an_evaluation_draws_classifies_and_scores_what_comes_along():
    real = LABELLED.samples(x=torch.tensor([0.5, 2.5, 1.5]), **{"class": torch.tensor([0, 1, 2])})
    me = player(real, LABELLED, Rounds())
    ask = Message(Evaluate(5, 2), COORDINATOR, "north", 3, payload={CLASSIFIED: real})
    assert not me.serve(ask).payload, "before it has learned it sends nothing"
    me.learn({}, {OWN: 1.0}, 1, 1)
    reply = me.serve(ask)
    assert len(reply.payload[COORDINATOR]) == 5
    assert reply.payload[CLASSIFIED]["class"].tolist() == [0, 2, 1]
    assert not reply.numbers
    blind = player(real, LABELLED, Rounds(), unobserved=["x"])
    blind.learn({}, {OWN: 1.0}, 1, 1)
    assert set(blind.serve(ask).payload) == {COORDINATOR}, "there is nothing to classify by"


def test_an_evaluation_draws_from_its_own_stream():
    me = player(rows([0, 1], [1, 1]))
    me.learn({}, {OWN: 1.0}, 1, 1)
    drawn = me.serve(Message(Evaluate(50, 2), COORDINATOR, "north", 3)).payload[COORDINATOR]
    expected = me.model.sample(50, stream(7, "draw", 3, "north", "evaluation 3"))
    assert torch.equal(drawn["x"], expected["x"])


def test_log_p_is_the_mean_over_samples_with_its_limits_in_their_places(monkeypatch):
    me = player(rows([0, 1], [0, 1], [0, 0], [1, 0]))
    me.learn({}, {OWN: 1.0}, 1, 1)
    given = rows([0, 1], [1, 1])
    ask = Message(Evaluate(5, 2), COORDINATOR, "north", 3, payload={SCORED: given})
    exact = (math.log(0.75 * 0.5) + math.log(0.25 * 0.5)) / 2
    assert me.serve(ask).numbers == pytest.approx({"log_p": exact, "low": exact, "high": exact})
    spread = likelihood.LogProb(torch.tensor([-1.0, -3.0]), torch.tensor([0.1, 0.2]))
    monkeypatch.setattr("coplay.player.log_prob", lambda *_: spread)
    half = 1.96 * math.sqrt(0.01 + 0.04) / 2
    expected = {"log_p": -2.0, "low": -2 - half, "high": -2 + half}
    assert me.log_prob(given, 2, 3) == pytest.approx(expected)


def test_a_gain_is_that_of_a_twin_on_the_weights_of_the_request(monkeypatch):
    me = player(rows([0, 1], [0, 0]))
    me.learn({}, {OWN: 1.0}, 1, 1)
    asked = {}

    def gain(model, twin, mixture, steps, draws, generator):
        asked.update(model=model, twin=twin, mixture=mixture, steps=steps, draws=draws)
        asked["draw"] = torch.rand(2, generator=generator)
        return likelihood.Gain(0.25, 0.5, 9)

    monkeypatch.setattr("coplay.player.gain", gain)
    request = Gain(3, 4, 0.6, {"south": 0.2, "absent": 0.2})
    ask = Message(request, COORDINATOR, "north", 5, payload={"south": rows([1, 1])})
    assert me.serve(ask).numbers == {"value": 0.25, "error": 0.5, "n": 9.0}
    weights = {part.name: part.weight for part in asked["mixture"].parts}
    assert weights == pytest.approx({OWN: 0.75, "south": 0.25})
    assert (asked["steps"], asked["draws"]) == (3, 4)
    assert asked["model"] is me.model is not asked["twin"]
    assert torch.equal(asked["draw"], torch.rand(2, generator=stream(7, "gain", 5, "north")))


def test_the_gain_of_a_bernoulli_is_the_divergence_of_its_best_response():
    """From a mean of 1/4, with half of the mass at 3/4 ones, it is KL(1/2 ‖ 1/4) of each bit."""
    space = Space({"x": Variable(kind="binary")})
    own = space.samples(x=torch.tensor([1, 0, 0, 0] * 50, dtype=torch.uint8))
    other = space.samples(x=torch.tensor([1, 1, 1, 0] * 5000, dtype=torch.uint8))
    me = player(own, space)
    me.learn({}, {OWN: 1.0}, 1, 1)
    gain = me.gain({"south": other}, {OWN: 1.0, "south": 1.0}, 1, 2, 1)
    assert gain["value"] == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3), abs=0.01)
    assert me.gain({"south": other}, {OWN: 1.0, "south": 0.0}, 1, 2, 1)["value"] == pytest.approx(0)


# ------------------------------------------------------------------------------ seconds, engine


class Clock:
    """A clock that goes on by a second whenever it is read."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        self.now += 1.0
        return self.now


def test_seconds_add_up_until_they_are_taken():
    me = player(rows([0, 1]))
    me.book_seconds("learning", 1.5)
    me.book_seconds("learning", 2.0)
    me.book_seconds("sampling", 0.25)
    assert me.take_seconds() == {"seconds_learning": 3.5, "seconds_sampling": 0.25}
    assert me.take_seconds() == {}


def test_an_answer_carries_the_seconds_of_the_game_and_not_those_of_measuring(monkeypatch):
    monkeypatch.setattr("coplay.core.timed.time", Clock())
    me = player(rows([0, 1]), model=Recorder())
    game = Isolated()
    turn = Message(Turn(), COORDINATOR, "north", 1)
    assert answer(game, me, turn).numbers == {"loss": 0.5, "seconds_learning": 1.0}
    measured = answer(game, me, Message(Evaluate(3, 2), COORDINATOR, "north", 1))
    assert not measured.numbers
    turn = Message(Turn(), COORDINATOR, "north", 2)
    assert answer(game, me, turn).numbers == {"loss": 0.5, "seconds_learning": 1.0}


def test_a_failure_says_what_and_when_and_leaves_its_traceback_at_home(tmp_path):
    class Breaks(Recorder):
        def learn(self, mixture, steps, generator):
            raise RuntimeError("out of luck")

    me = player(rows([0, 1]), model=Breaks(), home=tmp_path)
    lost = answer(Isolated(), me, Message(Turn(), COORDINATOR, "north", 4))
    withheld = "RuntimeError, whose text stays with the player"
    reason = f"{withheld} (traceback in {tmp_path / 'errors.txt'})"
    assert lost == PlayerLost("north", "turn", 4, reason)
    kept = (tmp_path / "errors.txt").read_text()
    assert kept.startswith("north, turn, round 4\nTraceback")
    assert "RuntimeError: out of luck" in kept


class Together(Isolated):
    """Serves two together: the second fails."""

    def serve_together(self, players, messages):
        return [messages[0].reply({"loss": 2.0}), ValueError("no")]


def test_what_is_served_together_is_parted_in_answers_and_failures():
    seats = [player(rows([0, 1])), player(rows([1, 1]))]
    for seat in seats:
        seat.book_seconds("learning", 2.0)
    asks = [Message(Turn(), COORDINATOR, "north", 1)] * 2
    first, second = answer_all(Together(), seats, asks)
    assert first.numbers == {"loss": 2.0, "seconds_learning": 2.0}
    assert second == PlayerLost("north", "turn", 1, "ValueError, whose text stays with the player")


def test_groups_are_dealt_in_order_and_about_equal():
    assert grouped(list("abcdefg"), 3) == [["a", "b", "c"], ["d", "e"], ["f", "g"]]
    assert grouped(list("ab"), 5) == [["a"], ["b"]]
    assert grouped([], 3) == []


def seated(names, groups):
    engine = Local(groups=groups)
    engine._ledger = Ledger()
    seats = []
    for i, name in enumerate(names):
        data = BITS.samples(x=torch.full((4, 2), i % 2, dtype=torch.uint8))
        seats.append(Player(name, BITS, data, ExponentialFamily(), 1))
    engine.start(seats, Isolated())
    return engine


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_answers_stand_where_the_messages_stood_whoever_sits_together(groups):
    engine = seated("abcde", groups)
    names = ["d", "a", "e", "c"]
    replies = engine.ask([Message(Turn(), COORDINATOR, name, 2) for name in names])
    assert [reply.sender for reply in replies] == names
    engine.close()


class Answers(Local):
    """Replies as the test says."""

    def deliver(self, messages, purpose):
        return self._replies


def test_the_ledger_counts_what_came_along_and_what_comes_back_to_the_asker():
    """Two bytes a sample; what is meant for others counts when it is sent on to them."""
    engine = Answers()
    ask = Message(
        Turn(), COORDINATOR, "a", 1, payload={"b": rows([0, 1], [1, 1], [0, 0]), "c": rows([1, 1])}
    )
    engine._replies = [ask.reply(payload={COORDINATOR: rows([0, 0], [1, 0]), "b": rows([1, 1])})]
    for _ in range(2):
        engine.ask([ask], "exchange/part")
    assert engine.ledger.links() == [
        LinkTraffic("exchange/part", "b", "a", 12, 6),
        LinkTraffic("exchange/part", "c", "a", 4, 2),
        LinkTraffic("exchange/part", "a", COORDINATOR, 8, 4),
    ]


def test_who_was_late_is_told_once():
    engine = Answers()
    late = PlayerLate("a", "turn", 1, "slow")
    gone = PlayerLost("b", "turn", 1, "gone")
    engine._replies = [late, gone]
    asks = [Message(Turn(), COORDINATOR, name, 1) for name in "ab"]
    assert engine.ask(asks) == [late, gone]
    engine.ask(asks)
    assert engine.take_late() == [late, late]
    assert engine.take_late() == []


# ----------------------------------------------------------------------------- ledger, messages


def test_a_ledger_adds_up_by_link_and_purpose_and_totals_by_heading():
    ledger = Ledger([LinkTraffic("exchange", "a", "b", 100, 3)])
    ledger.add("exchange", "a", "b", bytes=20, samples=4)
    ledger.add("exchange", "b", "a", bytes=7, samples=1)
    ledger.add("exchange/part", "a", "b", bytes=1000, samples=2)
    ledger.add("exchanged", "a", "b", bytes=5, samples=1)
    ledger.add("evaluation", "a", "b", bytes=9, samples=1)
    assert ledger.links()[0] == LinkTraffic("exchange", "a", "b", 120, 7)
    assert len(ledger.links()) == 5
    totals = {heading: ledger.total(heading) for heading in ("exchange", "exchanged", "evaluation")}
    assert totals == {"exchange": 1127, "exchanged": 5, "evaluation": 9}
    assert LinkTraffic("exchange/part", "a", "b", 1, 1).heading == "exchange"


def test_a_reply_goes_back_and_keeps_the_round():
    ask = Message(Turn(), "one", "two", 9)
    assert ask.reply({"loss": 1.0}) == Message(Turn(), "two", "one", 9, {"loss": 1.0}, {})


def test_bytes_are_those_of_the_numbers():
    samples = TensorDict(
        {"x": torch.zeros(3, 5), "class": torch.zeros(3, dtype=torch.int64)}, batch_size=[3]
    )
    assert bytes_of(samples) == 3 * 5 * 4 + 3 * 8


@dataclass(frozen=True)
class Kept(State):
    """A state with a mapping and a number that may be missing."""

    counts: Mapping[str, int] = field(default_factory=dict)
    rate: float | None = None


def test_a_state_comes_back_from_its_plain_values_without_its_payload():
    links = {("a", "b"): rows([0, 1])}
    state = Kept(("b", "a"), links, {"b": 3, "a": 5}, 2.0)
    known = state.known()
    assert known == {
        "players": ["b", "a"],
        "counts.keys": ["b", "a"],
        "counts.values": [3, 5],
        "rate": 2.0,
    }
    assert Kept.from_known(known, links) == state
    assert Kept.from_known(Kept(("a",)).known(), {}).rate is None


@dataclass(frozen=True)
class Plain(Request):
    """A number and a list of numbers."""

    weight: float
    shares: tuple[float, ...] = ()


def test_whole_numbers_in_lists_become_floats_too_and_long_values_are_cut():
    again = restored(Plain, {"weight": 2, "shares": [1, 0.5]}, "here")
    assert again.shares == (1.0, 0.5)
    assert [type(share) for share in again.shares] == [float, float]
    assert flatten(again, without=["shares"]) == {"weight": 2.0}
    with pytest.raises(MessageError, match=r"got 'x{56}\.\.\.$"):
        restored(Plain, {"weight": "x" * 80, "shares": []}, "here")


# --------------------------------------------------------------------------------------- files


def test_names_of_tensors_may_have_slashes():
    nested = {"model": {"net/0.weight": torch.ones(1)}, "player": {"heard/b": torch.zeros(1)}}
    flat = nest(nested)
    assert set(flat) == {"model/net/0.weight", "player/heard/b"}
    assert unnest(flat) == nested


def test_tensors_come_back_as_they_were_in_the_order_of_their_names(tmp_path):
    tensors = {"b": torch.arange(6.0).reshape(2, 3).T, "a": torch.tensor(True)}
    storage.save_tensors(tmp_path / "x.safetensors", tensors)
    again = storage.load_tensors(tmp_path / "x.safetensors")
    assert list(again) == ["a", "b"]
    assert torch.equal(again["b"], tensors["b"])
    assert again["a"].dtype == torch.bool


def test_a_commit_names_its_round_and_keeps_the_one_before_and_no_others(tmp_path):
    assert checkpoints.last(tmp_path) is None
    for round in (1, 6, 2, 4):
        folder = checkpoints.folder_of(tmp_path, round)
        storage.save_tensors(folder / "state.safetensors", {"x": torch.ones(1)})
        if round == 6:  # a checkpoint that was never completed
            continue
        checkpoints.commit(tmp_path, round, {"state": {"n": round}})
    assert checkpoints.last(tmp_path) == {"round": 4, "state": {"n": 4}}
    assert checkpoints.previous(tmp_path) == {"round": 2, "state": {"n": 2}}
    left = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert left == ["round-000002", "round-000004"]


def test_a_write_that_fails_leaves_the_old_content_and_nothing_half_written(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    storage.write_json(path, {"ä": 1})
    before = path.read_bytes()
    assert "ä".encode() in before

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("coplay.core.storage.os.fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        storage.write_json(path, {"ä": 2})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_mixture_of_a_player_is_one_of_portions():
    """Own first, then in the order they came."""
    me = player(rows([0, 0]), model=Recorder())
    me.learn({"b": rows([1, 1]), "a": rows([1, 0])}, {"a": 1.0, "b": 2.0, OWN: 1.0}, 1, 1)
    assert isinstance(me.model._mixture, Mixture)
    assert [part.name for part in me.model._mixture.parts] == [OWN, "b", "a"]
    assert all(isinstance(part, Portion) for part in me.model._mixture.parts)
