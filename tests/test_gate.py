"""The gate for messages: what it refuses, with which reason, and what it costs the innocent.

``tests/test_mutated_messages.py`` tries thousands of bad messages on all games; here are the ones
that once did harm, with what is said of them.
"""

import math
from collections import Counter
from dataclasses import dataclass

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from coplay import Message, Player, PlayerLost, Space, Variable, find, names
from coplay.core.contents import InSpace
from coplay.core.errors import MessageError, PlayerError
from coplay.core.expected import Expected, Part
from coplay.core.history import Roster
from coplay.core.message import COORDINATOR, PlayerLate, Request
from coplay.core.slices import MANY, Slice, slices_of
from coplay.engines.base import answer, answer_all
from coplay.engines.gate import acquaint
from coplay.engines.local import Local
from coplay.games import fl_gan
from coplay.games.base import Game, State
from coplay.games.fl_gan import FlGan
from coplay.games.isolated import Isolated
from coplay.games.isolated import Turn as Alone
from coplay.games.md_gan import MdGan
from coplay.games.md_gan_seats import Load, Send
from coplay.games.sample_exchange import SampleExchange, Turn
from coplay.models.acgan import Acgan
from coplay.models.exponential_family import ExponentialFamily
from coplay.player import Evaluate, Restore, Save

BITS = Space({"x": Variable(kind="binary", shape=(3,))})
LENGTHS = Space({"x": Variable(kind="real")})
IMAGES = Space({"image": Variable(kind="real", shape=(4, 4), low=0, high=1)})
REFUSED = "refused, nothing has changed: "
BAD = "bad reply: "


class Changed(Local):
    """A local engine that changes what players answer, on its way."""

    _change = None

    def deliver(self, messages, purpose):
        replies = super().deliver(messages, purpose)
        return [self._change(reply) if self._change else reply for reply in replies]


def bits(n, value=1):
    return BITS.samples(x=torch.full((n, 3), value, dtype=torch.uint8))


def exchange(home=None, space=BITS, **settings):
    """Players a, b, c and d in a ring, ready to be asked."""
    game = SampleExchange(
        **{"rounds": 5, "samples_per_round": 20, "topology": "ring", "on_lost": "continue"}
        | settings
    )
    players = {}
    for i, name in enumerate("abcd"):
        data = bits(4, i % 2) if space == BITS else LENGTHS.samples(x=torch.arange(4.0))
        players[name] = Player(name, space, data, ExponentialFamily(), 1, home)
    engine = Changed()
    engine.start(list(players.values()), game)
    return game, engine, players


def turn(receiver, round=2, own=0.3, draw=None, payload=None, **words):
    words = {"sender": COORDINATOR, "receiver": receiver} | words
    return Message(Turn(own, draw or {}), round=round, payload=payload or {}, **words)


def gans(game, workers=3):
    players = {}
    for name in (*(f"w{i}" for i in range(workers)), "server"):
        generator = torch.Generator().manual_seed(len(players))
        x = torch.rand(0 if name == "server" else 8, 4, 4, generator=generator)
        players[name] = Player(
            name, IMAGES, IMAGES.samples(image=x), Acgan(latent=4, batch=4), seed=1
        )
    engine = Changed()
    engine.start(list(players.values()), game)
    return engine, game.start([name for name in players if name != "server"], 1), players


def bits_of(player):
    return {name: t.numpy().tobytes() for name, t in player.model.state_dict().items()}


# ---------------------------------------------------------------------------- requests, at a player


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (turn("b"), "expected a request to 'a', got one to 'b'"),
        (turn("a", sender="b"), "expected a request of 'coordinator', got 'b'"),
        (turn("a", round=0), "expected round 1 to 5, got round 0"),
        (turn("a", round=6), "expected round 1 to 5, got round 6"),
        (turn("a", round=True), "expected a whole number as round, got True"),
        (turn("a", numbers={"loss": 1.0}), "expected no number, got 'loss'"),
        (turn("a", own=math.nan), "own: expected a finite number, got nan"),
        (turn("a", own=-1.0), "own: expected a weight from 0 to 20, got -1"),
        (
            turn("a", draw={"b": 10**12}),
            "draw: expected 1 to 11 samples for 'b', got 1000000000000",
        ),
        (turn("a", draw={"b": -3}), "draw: expected 1 to 11 samples for 'b', got -3"),
        (turn("a", draw={"b": 12}), "draw: expected 1 to 11 samples for 'b', got 12"),
        (
            turn("a", 1, payload={"b": bits(3), "d": bits(3)}),
            "expected no samples in rounds of own learning, 1 to 1, got 2 parts",
        ),
        (
            turn("a", 5, draw={"b": 3}),
            "draw: expected none in round 5, nobody learns from them",
        ),
        (turn("a", draw={"c": 3}), "draw: expected players that give it weight, got 'c'"),
        (turn("a", draw={"a": 3}), "draw: expected players that give it weight, got 'a'"),
        (
            turn("a", payload={"c": bits(3)}),
            "expected each part received from one of 'b', 'd', got one received from 'c'",
        ),
        (
            turn("a", payload={"b": bits(50)}),
            "samples received from player 'b': expected 1 to 11 samples, got 50",
        ),
        (
            turn("a", payload={"b": bits(2, 9)}),
            "samples received from player 'b': variable 'x' (binary 3): expected values in [0, 1], "
            "got 9 in 2 rows, first 0",
        ),
        (turn("a", payload=[1]), "expected parts by name, got list"),
        (
            Message(Alone(), COORDINATOR, "a", 2),
            "",
        ),
        (
            Message(Evaluate(10**12, 2), COORDINATOR, "a", 1),
            "n: expected 1 to 1000000, got 1000000000000",
        ),
        ("a", "expected a message, got str"),
    ],
)
def test_a_bad_request_is_refused_with_its_reason_and_the_honest_one_is_answered(ask, reason):
    game, engine, players = exchange()
    before = bits_of(players["a"])
    if isinstance(ask, Message) and type(ask.request) is Alone:
        reason = (
            "expected one of the requests evaluate, finish, gain, judge, measure, restore, save, "
            "turn, got turn"
        )
    lost = answer(game, players["a"], ask)
    assert lost.reason == REFUSED + reason
    assert lost.player == "a"
    assert bits_of(players["a"]) == before
    (honest,) = engine.ask([turn("a", draw={"b": 11, "d": 11}, payload={"b": bits(11)})])
    assert isinstance(honest, Message)


@pytest.mark.parametrize(("on_lost", "most"), [("stop", 7), ("continue", 11)])
def test_counts_are_held_to_the_weight_rounded_up(on_lost, most):
    """0.35 of 20 is 7; where others may be lost, up to 0.35 / (0.35 + 0.3) of 20, 10.8."""
    game, _, players = exchange(on_lost=on_lost)
    for asked in ({"draw": {"b": most + 1}}, {"payload": {"b": bits(most + 1)}}):
        lost = answer(game, players["a"], turn("a", **asked))
        assert f"expected 1 to {most} samples" in lost.reason
    right = turn("a", draw={"b": most, "d": most}, payload={"b": bits(most)})
    assert isinstance(answer(game, players["a"], right), Message)


def test_only_who_joins_is_loaded_as_one_that_joins():
    game = MdGan(rounds=3, local_steps=2, joins={"w2": 3}, on_lost="continue")
    _, _, players = gans(game)

    def reason(request, name, round):
        reply = answer(game, players[name], Message(request, COORDINATOR, name, round))
        return "" if isinstance(reply, Message) else reply.reason

    never = "joining: expected false at iteration 3, 'w0' does not join"
    assert reason(Load(3, True), "w0", 2) == REFUSED + never
    early = "joining: expected false at iteration 2, 'w2' joins at 3"
    assert reason(Load(2, True), "w2", 1) == REFUSED + early
    assert reason(Load(3, True), "w2", 2) == ""
    assert reason(Send("w1", 3, True), "w0", 2) == REFUSED + never.replace("w0", "w1")
    assert reason(Send("w2", 3, True), "w0", 2) == ""


def test_workers_of_fl_gan_load_nothing_but_a_pair():
    game = FlGan(rounds=2, local_steps=2)
    _, _, players = gans(game)
    empty = Message(fl_gan.Load(0), COORDINATOR, "w0", 1)
    lost = answer(game, players["w0"], empty)
    assert lost.reason == REFUSED + "expected samples received from 'server', got none"


class Passes(TorchDispatchMode):
    """Counts how often the ends of floating-point tensors are looked for, by their shape."""

    def __init__(self):
        super().__init__()
        self.shapes = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.aminmax.default and args[0].is_floating_point():
            self.shapes[tuple(args[0].shape)] += 1
        return func(*args, **(kwargs or {}))


def test_values_of_an_iteration_are_looked_at_where_they_come_in_and_no_more():
    """Feedback by its worker, the coordinator and the server; batches at both ends."""
    game = MdGan(rounds=3, local_steps=1, side_by_side="loop")
    engine, state, _ = gans(game)
    with Passes() as passes:
        game.play(engine, state, 1)
    assert passes.shapes == {(4, 4, 4): 3 * 3, (8, 4, 4): 2 * 2}


def test_a_missing_number_passes_the_gate_where_it_may_be_missing():
    lengths = Space({"x": Variable(kind="real", optional=True)})
    samples = lengths.samples(x=torch.tensor([1.0, math.nan]))
    assert InSpace(lengths).faults(samples) == []
    (fault,) = InSpace(lengths).faults(lengths.samples(x=torch.tensor([math.nan, 1e30])))
    assert fault.endswith("expected values from -1e+18 to 1e+18, got others")


def test_all_faults_of_a_request_are_named_at_once():
    game, _, players = exchange()
    ask = turn("b", sender="c", round=1.5, numbers=[])
    (lost,) = answer_all(game, [players["a"]], [ask])
    assert lost.reason == REFUSED + (
        "expected a request of 'coordinator', got 'c'; expected a request to 'a', got one to 'b'; "
        "expected a whole number as round, got 1.5; expected numbers by name, got list"
    )


def test_no_request_is_accepted_twice_and_no_earlier_round_is_gone_back_to():
    game, _, players = exchange()
    me = players["a"]
    assert isinstance(answer(game, me, turn("a", 1)), Message)
    again = answer(game, me, turn("a", 1, own=0.5))
    assert again.reason == REFUSED + "this request of round 1 was accepted before"
    assert isinstance(answer(game, me, turn("a", 3)), Message), "a player may have been late"
    before = answer(game, me, turn("a", 2))
    assert before.reason == REFUSED + "expected round 3 to 5, got round 2"
    assert isinstance(answer(game, me, Message(Evaluate(3, 2), COORDINATOR, "a", 3)), Message)
    twice = answer(game, me, Message(Evaluate(3, 2), COORDINATOR, "a", 3))
    assert twice.reason == REFUSED + "this request of round 3 was accepted before"


def test_after_a_checkpoint_the_next_round_is_the_one_behind_it(tmp_path):
    """Also at a player that lives on, whose coordinator started anew."""
    game, engine, players = exchange(tmp_path)

    def ask(request, round):
        (reply,) = engine.ask([Message(request, COORDINATOR, "a", round)])
        return reply

    assert isinstance(ask(Turn(0.3, {}), 1), Message)
    assert isinstance(ask(Save(), 1), Message)
    assert isinstance(ask(Turn(0.3, {}), 2), Message)
    elsewhere = ask(Restore(), 2)
    assert (
        elsewhere.reason == REFUSED + "expected round 1, that of the last checkpoint, got round 2"
    )
    assert isinstance(ask(Restore(), 1), Message)
    assert ask(Turn(0.3, {}), 1).reason == REFUSED + "expected round 2 to 5, got round 1"
    assert isinstance(ask(Turn(0.3, {}), 2), Message)
    twin = Player("a", BITS, players["a"].private_data, ExponentialFamily(), 1, tmp_path)
    assert isinstance(answer(game, twin, Message(Restore(), COORDINATOR, "a", 1)), Message)
    assert isinstance(answer(game, twin, Message(Save(), COORDINATOR, "a", 2)), Message)
    assert isinstance(answer(game, twin, turn("a", 3)), Message)


def test_a_value_so_large_that_its_square_is_not_finite_is_refused():
    game, _, players = exchange(space=LENGTHS)
    ask = turn("a", payload={"b": LENGTHS.samples(x=torch.tensor([1.0, 1e30]))})
    lost = answer(game, players["a"], ask)
    assert lost.reason == REFUSED + (
        "samples received from player 'b': variable 'x' (real scalar): expected values from "
        "-1e+18 to 1e+18, got others"
    )


def test_a_bad_request_to_one_of_a_process_costs_the_others_nothing():
    game = MdGan(rounds=3, local_steps=1)
    engine, state, players = gans(game)
    spoiled = []

    def deliver(messages, purpose):
        bad = []
        for ask in messages:
            if ask.receiver == "w1" and ask.action == "feedback":
                ask = Message(ask.request, "w0", "w1", ask.round, payload=ask.payload)
                spoiled.append(bits_of(players["w1"]))
            bad.append(ask)
        return Local.deliver(engine, bad, purpose)

    object.__setattr__(engine, "deliver", deliver)
    with pytest.raises(PlayerError, match=r"'w1' failed at 'feedback'.*expected a request of"):
        game.play(engine, state, 1)
    assert bits_of(players["w1"]) == spoiled[0]
    assert players["w0"].learned
    assert players["w2"].learned


# ------------------------------------------------------------------------ replies, at a coordinator


def replaced(**words):
    def change(reply):
        if reply.sender != "a":
            return reply
        values = {"numbers": dict(reply.numbers), "payload": dict(reply.payload)}
        values |= {"sender": "a", "receiver": COORDINATOR, "round": reply.round} | words
        return Message(reply.request, **values)

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda reply: None, "expected a message, got NoneType"),
        (lambda reply: reply.payload, "expected a message, got dict"),
        (replaced(sender="c"), "expected as sender 'a', got 'c'"),
        (replaced(receiver="c"), "expected as receiver 'coordinator', got 'c'"),
        (replaced(round=3), "expected as round 2, got 3"),
        (replaced(numbers=None), "expected numbers by name, got NoneType"),
        (
            replaced(numbers={"loss": math.nan}),
            "expected for 'loss' a number from -1e+25 to 1e+25, got nan",
        ),
        (
            replaced(payload={"b": bits(150), "d": bits(3)}),
            "samples for player 'b': expected 3 samples, got 150",
        ),
        (
            replaced(payload={"b": bits(3), "d": bits(3), "c": bits(3)}),
            "expected each part for one of 'b', 'd', got one for 'c'",
        ),
        (replaced(payload={"b": bits(3)}), "expected samples for 'd', got none"),
        (
            lambda reply: PlayerLost("c", "turn", 2, "gone"),
            "expected its own loss at 'turn' in round 2, got 'c' at 'turn' in round 2",
        ),
    ],
)
def test_a_bad_reply_is_its_senders_loss_and_is_not_counted(change, reason):
    """Among them 50 times the samples asked for, and an answer in another's name."""
    _, engine, _ = exchange()
    engine._change = lambda reply: change(reply) if reply.sender == "a" else reply
    lost, fine = engine.ask([turn(name, 2, draw={"b": 3, "d": 3}) for name in "ac"])
    assert lost == PlayerLost("a", "turn", 2, BAD + reason)
    assert fine.sender == "c"
    assert len(fine.payload) == 2
    assert engine.ledger.links() == []


def test_who_is_not_there_is_lost_and_nobody_else():
    _, engine, _ = exchange()
    lost, fine = engine.ask([turn("x"), turn("a")])
    assert (lost.player, isinstance(fine, Message)) == ("x", True)
    assert lost.reason == "there is no such player here; the players are a, b, c, d"


def lost_in(game, change, rounds=2):
    """Play with changed replies, and return the reasons of those that were lost."""
    engine, state, players = gans(game)
    engine._change = change
    reasons = {}
    for round in range(1, rounds + 1):
        state, row = game.play(engine, state, round)
        reasons |= {name: loss.reason for name, loss in row.lost.items()}
    for player in players.values():
        for tensor in player.model.state_dict().values():
            assert torch.isfinite(tensor).all()
    return reasons


def test_a_negative_number_of_samples_is_no_weight():
    def change(reply):
        if isinstance(reply, Message) and (reply.sender, reply.action) == ("w1", "introduce"):
            return reply.reply({}, {}).reply({**reply.numbers, "samples": -400.0})
        return reply

    game = FlGan(rounds=2, local_steps=2, on_lost="continue")
    expected = BAD + "expected for 'samples' a number 8, got -400.0"
    assert lost_in(game, change) == {"w1": expected}


@pytest.mark.parametrize("value", [1e30, math.inf, math.nan])
def test_feedback_that_would_leave_the_server_without_numbers_is_its_workers_loss(value):
    def change(reply):
        if isinstance(reply, Message) and (reply.sender, reply.action) == ("w1", "feedback"):
            bad = reply.payload["server"].clone()
            bad["feedback"][0, 0, 0] = value
            return Message(
                reply.request, "w1", COORDINATOR, reply.round, reply.numbers, {"server": bad}
            )
        return reply

    reasons = lost_in(MdGan(rounds=2, local_steps=2, on_lost="continue"), change)
    assert set(reasons) == {"w1"}
    assert "'feedback': expected" in reasons["w1"]


def test_nan_in_adams_state_at_a_swap_is_the_senders_loss_alone():
    def change(reply):
        if isinstance(reply, Message) and (reply.sender, reply.action) == ("w1", "send"):
            ((to, part),) = reply.payload.items()
            bad = part.clone()
            name = next(name for name in bad.keys() if name.endswith("exp_avg"))
            bad[name][0, 0] = math.nan
            return Message(reply.request, "w1", COORDINATOR, reply.round, {}, {to: bad})
        return reply

    game = MdGan(
        rounds=2,
        local_steps=2,
        on_lost="continue",
        swap_every_epochs=1e-9,
        optimiser_on_swap="travel",
    )
    reasons = lost_in(game, change)
    assert set(reasons) == {"w1"}
    assert "exp_avg': expected finite values, got NaN or infinite ones" in reasons["w1"]


def test_parameters_of_1e30_are_no_network():
    def change(reply):
        if isinstance(reply, Message) and (reply.sender, reply.action) == ("w1", "send"):
            part = reply.payload["server"].clone()
            part["generator:body.0.weight"][0, 0, 0] = 1e30
            return Message(reply.request, "w1", COORDINATOR, reply.round, {}, {"server": part})
        return reply

    game = FlGan(rounds=2, local_steps=2, on_lost="continue", average_every_epochs=1e-9)
    assert set(lost_in(game, change)) == {"w1"}


# ----------------------------------------------------------------------------------- games, engines


@dataclass(frozen=True)
class Hello(Request):
    """Say hello."""


class Undeclared(Game[State]):
    """A game of a user's own that says nothing of its messages."""

    requests = (Hello,)

    def start(self, players, seed):
        return State(tuple(players))

    def play(self, engine, state, round):
        raise NotImplementedError

    def serve(self, player, message):
        return message.reply({"height": 1.8}, {"b": bits(2)})


def test_a_game_that_declares_nothing_is_still_spared_what_is_no_message():
    engine = Changed()
    players = [Player(name, BITS, bits(4), ExponentialFamily(), 1) for name in "ab"]
    engine.start(players, Undeclared())
    (fine,) = engine.ask([Message(Hello(), COORDINATOR, "a", 1, {}, {"b": bits(3)})])
    assert fine.numbers == {"height": 1.8}
    engine._change = lambda reply: reply.reply({"height": math.nan}).reply({"height": math.nan})
    (lost,) = engine.ask([Message(Hello(), COORDINATOR, "b", 1)])
    assert lost.player == "b"
    assert "'height'" in lost.reason


@pytest.mark.parametrize("name", names("game"))
def test_every_game_declares_what_its_messages_may_hold(name):
    cls = find("game", name)
    assert cls.requests
    assert cls.expected_request is not Game.expected_request
    assert cls.expected_reply is not Game.expected_reply


def test_a_late_player_stays_late_whatever_the_gate_knows():
    _, engine, _ = exchange()
    late = PlayerLate("a", "turn", 2, "slow")
    engine._change = lambda reply: late
    assert engine.ask([turn("a")]) == [late]
    assert engine.take_late() == [late]


def test_alone_nothing_comes_along():
    engine = Changed()
    engine.start([Player("a", BITS, bits(4), ExponentialFamily(), 1)], Isolated())
    ask = Message(Alone(), COORDINATOR, "a", 1, payload={"b": bits(2)})
    (lost,) = engine.ask([ask])
    assert lost.reason == REFUSED + "expected no part, got one received from 'b'"


@pytest.mark.parametrize("crowd", [2, MANY + 4])
def test_slices_of_a_larger_set_are_checked_as_sets_are(crowd):
    """Also where many are looked at as one."""
    content = InSpace(BITS, list(BITS))
    names = [f"p{i}" for i in range(crowd)]
    expected = Expected({name: Part.of(content, 2) for name in names})

    def faults(whole, **changed):
        slices = dict(zip(names, slices_of({"x": whole}, [2] * crowd), strict=True))
        return expected.faults_in({}, {**slices, **changed})

    whole = torch.ones((2 * crowd, 3), dtype=torch.uint8)
    last = len(whole) - 1
    assert faults(whole) == []
    assert faults(whole, p1=bits(2)) == []
    beyond = "expected samples of a larger set, got others than it has"
    for start, count, fault in (
        (last, 2, beyond),
        (-1, 2, beyond),
        (0, 3, "expected 2 samples, got 3"),
        (0, 2.0, beyond),
    ):
        sent = Slice({"x": whole}, start, count)
        assert faults(whole, p1=sent) == [f"samples for player 'p1': {fault}"]
    whole[3] = 9
    (fault,) = faults(whole)
    assert fault.startswith("samples for player 'p1': variable 'x' (binary 3): expected values in")


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        ("north", "expected a list of players, got str"),
        ({"north": 1}, "expected a list of players, got dict"),
        (None, "expected a list of players, got NoneType"),
        ([1], "expected players of 'north, south', got 1"),
        (["north", "nord"], "expected players of 'north, south', got 'nord'"),
        (["north", "north"], "'north' is named twice"),
        (
            [None, "east"],
            "expected players of 'north, south', got None; "
            "expected players of 'north, south', got 'east'",
        ),
    ],
)
def test_who_takes_incomplete_samples_is_checked_before_it_is_noted(sent, fault):
    roster = Roster(["north", "south"], ["south"])
    with pytest.raises(MessageError) as caught:
        acquaint(roster, sent)
    start = "who takes incomplete samples: refused, nothing has changed: "
    assert str(caught.value) == start + fault
    assert roster.take_incomplete == {"south"}
    acquaint(roster, ["north"])
    assert roster.take_incomplete == {"north"}


def test_who_takes_incomplete_samples_is_said_once():
    roster = Roster(["north", "south"])
    acquaint(roster, ["north"])
    with pytest.raises(MessageError, match=r"nothing has changed: it was said before$"):
        acquaint(roster, [])
    assert roster.take_incomplete == {"north"}
