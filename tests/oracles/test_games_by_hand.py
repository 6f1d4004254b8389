"""Rules of the games on numbers worked out by hand.

Nothing even, nothing symmetric, no sizes alike.
"""

import math
from dataclasses import dataclass, replace

import pytest
import torch

from coplay import Player, Space, Variable
from coplay.core.errors import ConfigError, ModelError, PlayerError
from coplay.core.message import COORDINATOR, Message, PlayerLate, PlayerLost, Request
from coplay.core.space import pick
from coplay.core.streams import derive, stream, unbiased_counts
from coplay.engines.local import Local
from coplay.games.base import Row, State
from coplay.games.distillation import Distillation
from coplay.games.fl_gan import FlGan
from coplay.games.gan_common import GanState, Introduction, RoundTotals, gan_faults, introduction
from coplay.games.isolated import Isolated
from coplay.games.md_gan import MdGan, MdGanState
from coplay.games.md_gan_seats import Feedback, Generate, _training_batches, gradients_by_batch
from coplay.games.md_gan_stack import Lesson, feedback_alone, feedback_together
from coplay.games.originals import Origins, Shares, without_copies
from coplay.games.sample_exchange import ExchangeState, SampleExchange, Turn
from coplay.models.base import OWN
from coplay.models.exponential_family import ExponentialFamily
from coplay.nets.training import FLOPS
from coplay.theory import equilibrium

from .small_gans import LABELLED, SEED, Table, acgan, images

BITS = Space({"x": Variable(kind="binary", shape=(3,))})
DIGIT = Space({"x": Variable(kind="categorical", classes=6)})
NAMES = ("p0", "p1", "p2")
ALPHA = ((0.5, 0.4, 0.1), (0.05, 0.25, 0.7), (0.6, 0.1, 0.3))


@dataclass(frozen=True)
class Ask(Request):
    """Anything."""


def bits(n, *words):
    return BITS.samples(x=torch.randint(2, (n, 3), generator=stream(5, *words)).to(torch.uint8))


def answer(sender, **numbers):
    return Message(Ask(), sender, COORDINATOR, 1, numbers)


class Asked(Local):
    """Keeps the messages that the game asks."""

    def ask(self, messages, purpose="exchange"):
        self._asked = list(messages)
        self._purpose = purpose
        return super().ask(messages, purpose)


def seated(game, sizes=(20, 20, 20)):
    players = []
    for name, n in zip(NAMES, sizes, strict=True):
        players.append(Player(name, BITS, bits(n, name), ExponentialFamily(), 1))
    engine = Asked()
    engine.start(players, game)
    return engine, {player.name: player for player in players}


# ------------------------------------------------------------------------- states, rows, replies


def test_a_state_without_somebody_lacks_what_is_from_or_to_it():
    links = [("a", "b"), ("b", "a"), ("a", "c"), ("c", "b"), ("b", "c")]
    state = State(("a", "b", "c"), {link: bits(2) for link in links})
    left = state.without(["a"])
    assert left.players == ("b", "c")
    assert set(left.payload) == {("c", "b"), ("b", "c")}


def test_of_two_rows_the_later_holds_and_nothing_is_lost():
    loss = PlayerLost("a", "turn", 2, "gone")
    again = replace(loss, reason="again")
    matrix = torch.eye(2)
    first = Row(
        players={"a": {"loss": 1.0}, "b": {"loss": 2.0}},
        lost={"a": loss},
        frozen=["b"],
        influence=matrix,
        joined=("x",),
        left={"a": 3},
        own={"swaps": 1, "kept": 5},
    )
    second = Row(
        players={"b": {"loss": 4.0}},
        lost={"a": again},
        joined=("y",),
        left={"a": 4, "b": 5},
        own={"swaps": 2},
    )
    both = first.merged(second)
    assert both.players == {"a": {"loss": 1.0}, "b": {"loss": 4.0}}
    assert both.lost == {"a": again}
    assert both.frozen == ["b"]
    assert both.influence is matrix
    assert both.joined == ("x", "y")
    assert both.left == {"a": 4, "b": 5}
    assert both.own == {"swaps": 2, "kept": 5}
    assert second.merged(first).own == {"swaps": 1, "kept": 5}
    assert first.merged(Row(frozen=[], influence=matrix + 1)).frozen == []
    assert torch.equal(first.merged(Row(influence=matrix + 1)).influence, matrix + 1)


def test_late_players_are_neither_answers_nor_losses_and_keep_the_game_alive():
    late = PlayerLate("a", "turn", 1, "slow")
    gone = PlayerLost("b", "turn", 1, "gone")
    going_on = Isolated(on_lost="continue")
    assert going_on.alive([late, gone, answer("c")]) == ([answer("c")], [gone])
    assert going_on.alive([late, gone]) == ([], [gone])
    with pytest.raises(PlayerError, match="player 'b'"):
        going_on.alive([gone])
    with pytest.raises(PlayerError, match="player 'b'"):
        Isolated().alive([late, gone, answer("c")])
    assert Isolated().alive([late, answer("c")]) == ([answer("c")], [])


def test_isolated_is_the_identity_of_its_players_and_once_is_the_first_alone():
    assert torch.equal(Isolated().predict(["a", "b", "c"]), torch.eye(3, dtype=torch.float64))
    assert Isolated(once=True).players_of(["a", "b"]) == ["a"]
    assert Isolated().players_of(["a", "b"]) == ["a", "b"]


# ------------------------------------------------------------------------------- the weights


def test_topologies_are_the_graphs_of_their_names():
    def listened_to(game, n, seed=1):
        alpha = game.weights([f"p{i}" for i in range(n)], seed)
        sets = []
        for i, row in enumerate(alpha):
            sets.append({j for j, weight in enumerate(row.tolist()) if weight and j != i})
        return alpha, sets

    alpha, ring = listened_to(SampleExchange(topology="ring", own_weight=0.4), 5)
    assert ring == [{4, 1}, {0, 2}, {1, 3}, {2, 4}, {3, 0}]
    assert torch.allclose(alpha[2], torch.tensor([0, 0.3, 0.4, 0.3, 0]).double())
    alpha, star = listened_to(SampleExchange(topology="star", own_weight=0.4), 4)
    assert star == [{1, 2, 3}, {0}, {0}, {0}]
    assert torch.allclose(alpha[0], torch.tensor([0.4, 0.2, 0.2, 0.2]).double())
    assert torch.allclose(alpha[3], torch.tensor([0.6, 0, 0, 0.4]).double())
    regular = SampleExchange(topology="random_regular", neighbours=3)
    drawn = [listened_to(regular, 12, seed)[1] for seed in (1, 1, 2)]
    assert [len(each) for each in drawn[0]] == [3] * 12
    assert drawn[0] == drawn[1] != drawn[2]
    assert listened_to(SampleExchange(topology="ring"), 1)[0].tolist() == [[1.0]]


def test_the_weights_of_those_who_are_left_are_renormalised_row_by_row():
    game = SampleExchange(alpha=ALPHA, on_lost="continue")
    state = game.start(NAMES, 1)
    after, row = game.lose(state, [PlayerLost("p0", "turn", 3, "gone")])
    expected = torch.tensor([[0.25 / 0.95, 0.7 / 0.95], [0.25, 0.75]], dtype=torch.float64)
    assert torch.allclose(game.mixture_weights(after), expected)
    # two players: M_11 = α_11 / (1 − w_12 w_21), M_12 = w_12 α_22 / (1 − w_12 w_21)
    (a, w12), (w21, b) = expected.tolist()
    whole = 1 - w12 * w21
    influence = torch.tensor([[a, w12 * b], [w21 * a, b]], dtype=torch.float64) / whole
    assert torch.allclose(row.influence, influence)
    assert row.frozen == []
    assert game.lose(state, [])[1] == Row()


def test_in_the_warm_up_the_own_count_is_what_the_next_round_admits():
    """Samples drawn at the end of round t are heard in t + 1, so they have that round's weights."""
    game = SampleExchange(
        alpha=ALPHA, own_rounds=2, warmup_rounds=3, samples_per_round=4000, rounds=20
    )
    engine, _ = seated(game)
    state = game.start(NAMES, 1)
    for round in range(1, 8):
        state, _ = game.play(engine, state, round)
        if round < 2:
            assert not state.payload
            continue
        share = min(1.0, (round - 1) / 4)
        for i, to in enumerate(NAMES):
            for j, sender in enumerate(NAMES):
                if i != j:
                    sent = len(state.payload[sender, to]) if (sender, to) in state.payload else 0
                    assert sent == round_half(4000 * share * ALPHA[i][j])
            own = 1 - share * (1 - ALPHA[i][i])
            assert state.own_counts[to] == round_half(4000 * own)
    engine.close()


def round_half(x):
    assert abs(x - round(x)) < 1e-6
    return round(x)


def test_a_turn_carries_the_own_count_and_the_counts_of_the_others():
    game = SampleExchange(alpha=ALPHA, samples_per_round=2000, rounds=4, fresh_every_rounds=2)
    engine, _ = seated(game)
    state, asked = game.start(NAMES, 1), {}
    for round in range(1, 5):
        state, _ = game.play(engine, state, round)
        asked[round] = {m.receiver: m for m in engine._asked}
    draws = {
        "p0": {"p1": 100, "p2": 1200},
        "p1": {"p0": 800, "p2": 200},
        "p2": {"p0": 200, "p1": 1400},
    }
    for name, own in zip(NAMES, (0.5, 0.25, 0.3), strict=True):
        requests = {round: asked[round][name].request for round in asked}
        assert requests[1] == Turn(pytest.approx(own), draws[name])
        # what is heard again in round 3 has the weight that it had in round 2
        assert requests[2] == Turn(2000 * own, {})
        assert requests[3] == Turn(2000 * own, draws[name])
        assert requests[4] == Turn(2000 * own, {}), "after the last round nobody hears anything"
    assert list(asked[2]["p2"].payload) == ["p0", "p1"]
    assert {k: len(v) for k, v in asked[2]["p2"].payload.items()} == {"p0": 1200, "p1": 200}
    engine.close()


def test_the_last_round_draws_nothing_and_its_samples_stay_as_they_were():
    game = SampleExchange(alpha=ALPHA, samples_per_round=200, rounds=3)
    engine, _ = seated(game)
    state = game.start(NAMES, 1)
    sent = []
    for round in (1, 2, 3):
        before = engine.ledger.total("exchange")
        state, _ = game.play(engine, state, round)
        sent.append(engine.ledger.total("exchange") - before)
    assert all(message.request.draw == {} for message in engine._asked)
    # 200 samples of three bytes; 200 (1 − α_ii) are heard by each in rounds 2 and 3
    assert sent == [0, 3 * (100 + 150 + 140), 3 * (100 + 150 + 140)]
    engine.close()


def test_counts_are_rounded_by_a_stream_of_their_own_for_each_receiver():
    game = SampleExchange(alpha=ALPHA, samples_per_round=7, rounds=9)
    engine, _ = seated(game)
    state = game.start(NAMES, 11)
    state, _ = game.play(engine, state, 1)
    for i, to in enumerate(NAMES):
        row = torch.tensor(ALPHA[i], dtype=torch.float64)
        each = unbiased_counts(row, 7, stream(11, "counts", 1, to))
        assert state.own_counts[to] == each[i]
        for j, sender in enumerate(NAMES):
            if i != j:
                sent = len(state.payload[sender, to]) if (sender, to) in state.payload else 0
                assert sent == each[j]
    engine.close()


def test_a_player_mixes_by_the_numbers_that_came_and_by_its_own():
    """α_ij once only: three ones from one, five from another, and own data as heavy as eight."""
    player = Player(
        "p0", BITS, BITS.samples(x=torch.zeros(40, 3, dtype=torch.uint8)), ExponentialFamily(), 1
    )
    ones = BITS.samples(x=torch.ones(3, 3, dtype=torch.uint8))
    halves = BITS.samples(x=torch.tensor([[1, 0, 0]] * 5, dtype=torch.uint8))
    game = SampleExchange(own_weight=0.5)
    ask = Message(Turn(8.0, {}), COORDINATOR, "p0", 2, payload={"p1": ones, "p2": halves})
    game.serve(player, ask)
    assert player.model.moments.tolist() == pytest.approx([8 / 16, 3 / 16, 3 / 16])


def test_everybody_draws_for_each_receiver_from_a_stream_of_its_own():
    game = SampleExchange(own_weight=0.5)
    player = Player("p0", BITS, bits(40), ExponentialFamily(), 1)
    reply = game.serve(player, Message(Turn(0.5, {"p1": 9, "p2": 6}), COORDINATOR, "p0", 4))
    for to, n in (("p1", 9), ("p2", 6)):
        expected = player.model.sample(n, stream(1, "draw", 4, "p0", to))
        assert torch.equal(reply.payload[to]["x"], expected["x"])
    nobody = Player("p1", BITS, BITS.empty(), ExponentialFamily(), 1)
    silent = game.serve(nobody, Message(Turn(0.0, {"p0": 9}), COORDINATOR, "p1", 4))
    assert not silent.payload


# ----------------------------------------------------------------------------------- originals


def test_shares_name_the_weights_and_m_and_the_gone_have_none():
    alpha = torch.tensor([[0.6, 0.4], [0.1, 0.9]], dtype=torch.float64)
    shares = Shares.of(("a", "c"), ("a", "b", "c"), alpha)
    assert shares.weights == {"a": {"a": 0.6, "c": 0.4}, "c": {"a": 0.1, "c": 0.9}}
    whole = 1 - 0.4 * 0.1
    assert shares.influence["a"] == pytest.approx({"a": 0.6 / whole, "b": 0, "c": 0.36 / whole})
    assert shares.influence["c"] == pytest.approx({"a": 0.06 / whole, "b": 0, "c": 0.9 / whole})


def listener(name, count=4000):
    """A player and what two others sent it, for weights without any symmetry."""
    rates = {"p0": (0, 2), "p1": (2, 4), "p2": (4, 6)}
    data = {}
    for who, (low, high) in rates.items():
        x = torch.randint(low, high, (count,), generator=stream(3, who))
        data[who] = DIGIT.samples(x=x)
    player = Player(name, DIGIT, data[name], ExponentialFamily(), 1)
    player.learn({}, {OWN: 1.0}, 1, 1)
    shares = Shares.of(NAMES, NAMES, torch.tensor(ALPHA, dtype=torch.float64))
    return player, shares, {who: part for who, part in data.items() if who != name}


def test_with_originals_own_data_weigh_m_and_a_peer_what_is_left_of_it():
    """(O): M_ii of the own data, α_ij (1 − M_ji) of what j sent; the sum is 1."""
    player, shares, received = listener("p1")
    kept, weights, copies = without_copies(player, shares, received, 2)
    influence = equilibrium.influence_matrix(torch.tensor(ALPHA, dtype=torch.float64))
    assert weights == pytest.approx(
        {
            OWN: influence[1, 1].item(),
            "p0": 0.05 * (1 - influence[0, 1].item()),
            "p2": 0.7 * (1 - influence[2, 1].item()),
        }
    )
    assert sum(weights.values()) == pytest.approx(1)
    for j, k in (("p0", 0), ("p2", 2)):
        share = copies[f"copies/{j}"]
        assert share == pytest.approx(influence[k, 1].item(), abs=0.03)
        assert len(kept[j]) == round((1 - share) * len(received[j]))


def test_until_all_have_been_heard_at_once_everything_is_kept():
    player, shares, received = listener("p1")
    only = {"p2": received["p2"]}
    kept, weights, copies = without_copies(player, shares, only, 2)
    assert kept == only
    assert weights == {OWN: 0.25, "p2": 0.7}
    assert not copies
    assert not player.kept


def test_what_tells_copies_is_started_fitted_and_drawn_by_its_own_streams():
    player, shares, received = listener("p1")
    kept, _, _ = without_copies(player, shares, received, 2)
    twin = Origins(DIGIT, NAMES, derive(1, "origins", "p1"))
    mine = player.model.sample(4000, stream(1, "draw", 2, "p1", "p1"))
    twin.fit({"p1": mine, **received}, stream(1, "origins", "p1"))
    for name, values in twin.state_dict().items():
        assert torch.equal(player.kept[name], values)
    for j in ("p0", "p2"):
        chance = torch.rand(4000, generator=stream(1, "copies", 2, "p1", j), dtype=torch.float64)
        is_copy = chance < twin.copies(received[j], "p1", shares.influence[j])
        assert torch.equal(kept[j]["x"], pick(received[j], ~is_copy)["x"])


def test_odds_of_copies_are_weighed_by_the_shares():
    """One share may be far from the others: the log-odds move by the logarithm of their ratio."""
    origins = Origins(DIGIT, NAMES, 1)
    samples = DIGIT.samples(x=torch.arange(6))
    shares = {"p0": 0.5, "p1": 0.3, "p2": 0.2}
    probability = origins.copies(samples, "p0", shares)
    logits = origins(samples).detach().double()
    mass = logits.softmax(1) * torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    odds = (mass[:, 0] / mass[:, 1:].sum(1)).log()
    shift = (probability / (1 - probability)).log() - odds
    assert (shift - shift.mean()).abs().max() < 1e-6
    assert probability.mean().item() == pytest.approx(0.5, abs=1e-6)


def test_three_in_ten_pixels_come_from_the_same_place_of_another_row():
    space = Space({"image": Variable(kind="real", shape=(8, 8))})
    origins = Origins(space, ["a", "b"], 1)
    rows = space.samples(
        image=torch.arange(50.0)[:, None, None].expand(50, 8, 8) * 100
        + torch.arange(64.0).reshape(8, 8)
    )
    mixed = origins._exchanged(rows, stream(1))["image"]
    place = torch.arange(64.0).reshape(8, 8)
    assert torch.equal(mixed % 100, place.expand(50, 8, 8)), "pixels stay in their place"
    changed = (mixed != rows["image"]).double().mean().item()
    assert changed == pytest.approx(0.3 * 49 / 50, abs=0.03)


def test_originals_name_whom_a_player_does_not_hear():
    game = SampleExchange(alpha=((0.5, 0.5, 0.0), (0.2, 0.3, 0.5), (0.4, 0.4, 0.2)), originals=True)
    players = [Player(name, BITS, bits(9), ExponentialFamily(), 1) for name in NAMES]
    with pytest.raises(ConfigError, match=r"the weight is 0 of 'p2' for 'p0'$"):
        game.check(players)


# ------------------------------------------------------------- what GANs have in common


def test_the_period_is_the_nearest_whole_number_of_steps_of_the_living():
    state = GanState(("a", "b"), samples={"a": 10, "b": 21, "c": 1000}, batch=4)
    assert state.period(["a", "b"], 1.0) == 4  # 15.5 / 4 = 3.875
    assert state.period(["a"], 1.0) == 2  # 2.5, to even
    assert state.period(["b"], 0.5) == 3  # 2.625
    assert state.period(["a"], 0.01) == 1
    assert state.period(["a", "b", "c"], 2.0) == 172  # 171.83


def test_totals_of_a_round_add_seconds_and_operations_and_average_the_rest():
    totals = RoundTotals()
    totals.add([answer("a", loss=1.0, flops=10.0, seconds_learning=0.5), answer("b", loss=7.0)])
    totals.add([answer("a", loss=4.0, flops=30.0, seconds_learning=0.25), answer("a", loss=10.0)])
    assert totals.by_player() == {
        "a": {"loss": 5.0, "flops": 40.0, "seconds_learning": 0.75},
        "b": {"loss": 7.0},
    }
    assert FLOPS == "flops"


def test_an_introduction_comes_back_from_its_numbers():
    for each in (Introduction(12, 5), Introduction(12, 5, True, 0.25, 0.125)):
        assert Introduction.of(each.numbers()) == each
    assert Introduction(12, 5, True, 0.25, 0.125).tried() == {
        "loop_seconds": 0.25,
        "stacked_seconds": 0.125,
    }


@pytest.mark.parametrize(
    ("way", "stacked"), [("by_network", True), ("stacked", True), ("loop", False)]
)
def test_how_steps_are_taken_is_by_rule_unless_it_is_tried(way, stacked):
    player = Player("w", LABELLED, images(LABELLED, 9), acgan(), SEED)
    assert introduction(player, way, 3) == Introduction(9, 4, stacked)


def test_of_two_ways_the_faster_is_taken(monkeypatch):
    player = Player("w", LABELLED, images(LABELLED, 9), acgan(), SEED)
    for seconds, stacked in (((0.2, 0.1), True), ((0.1, 0.2), False)):
        monkeypatch.setattr("coplay.games.gan_common.trial", lambda *_, s=seconds: s)
        assert introduction(player, "measured", 3) == Introduction(9, 4, stacked, *seconds)


def test_a_full_batch_is_enough_data_and_one_less_is_not():
    def workers(n):
        model = acgan()
        server = Player("server", LABELLED, LABELLED.empty(), model.fresh(), SEED)
        return [Player("w", LABELLED, images(LABELLED, n), model.fresh(), SEED), server]

    assert gan_faults(workers(4), ("server",)) == []
    (fault,) = gan_faults(workers(3), ("server",))
    assert fault.startswith("player 'w' holds 3 samples, fewer than a batch of 4")


def test_networks_must_be_alike_since_they_travel():
    server = Player("server", LABELLED, LABELLED.empty(), acgan(), SEED)
    other = Player("w", LABELLED, images(LABELLED, 9), acgan(learning_rate=0.5), SEED)
    (fault,) = gan_faults([other, server], ("server",))
    assert fault.startswith("players.w.model: all must have the settings")


# -------------------------------------------------------------------------------------- MD-GAN


def test_gradients_are_means_over_those_who_answered_of_the_batch_they_were_shown():
    shown = [torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 3)]
    feedback = {}
    for i, name in enumerate("abc", 1):
        feedback[name] = {"feedback": torch.full((2, 3), float(i))}
    gradients = gradients_by_batch(feedback, {"a": 2, "b": 0, "c": 2, "lost": 1}, shown)
    assert torch.allclose(gradients[0], torch.full((2, 3), 2 / (3 * 2)))
    assert gradients[1] is None
    assert torch.allclose(gradients[2], torch.full((2, 3), (1 + 3) / (3 * 2)))


def test_who_leaves_evenly_leaves_from_the_end_at_equal_steps_and_a_name_goes_first():
    state = MdGanState(("a", "b", "c"), order=("a", "b", "c"))
    even = MdGan(rounds=5, local_steps=4, leave_evenly=True)
    assert even._leaving(state) == {"c": 7, "b": 13, "a": 20}  # 20 / 3 = 6.67
    named = MdGan(rounds=5, local_steps=4, leave_evenly=True, leaves={"b": 2})
    assert named._leaving(state) == {"c": 7, "b": 2, "a": 20}
    assert MdGan(leaves={"b": 2})._leaving(state) == {"b": 2}


def test_swaps_come_at_whole_periods_of_the_living_and_never_alone():
    state = MdGanState(("a", "b"), samples={"a": 10, "b": 21, "gone": 1000}, batch=4)
    game = MdGan(swap_every_epochs=1.0)
    assert [i for i in range(1, 13) if game._swaps(state, i)] == [4, 8, 12]
    assert not game._swaps(state.without(["b"]), 4)
    assert not MdGan(swap_every_epochs=0)._swaps(state, 4)
    assert [i for i in range(1, 9) if MdGan(swap_every_epochs=0.5)._swaps(state, i)] == [2, 4, 6, 8]


@pytest.mark.parametrize(("n", "k"), [(1, 1), (2, 1), (3, 2), (7, 2), (8, 3), (20, 3), (21, 4)])
def test_log_many_batches_are_rounded_up(n, k):
    assert MdGan().count_of_batches(n) == max(1, math.ceil(math.log(n))) == k
    assert MdGan(batches=5).count_of_batches(n) == min(5, n)


def test_a_joiner_takes_its_place_in_the_order_of_the_config():
    t = Table(MdGan(local_steps=1, rounds=9, joins={"w1": 2}), acgan(), (5, 6, 7))
    t.play(2)
    assert t.state.players == ("w0", "w1", "w2")
    assert t.state.samples == {"w0": 5, "w2": 7, "w1": 6}


def test_everybody_says_how_much_it_holds_also_where_one_trial_serves_all():
    t = Table(MdGan(local_steps=1), acgan(), (5, 9, 7))
    t.play()
    assert t.state.samples == {"w0": 5, "w1": 9, "w2": 7}
    assert t.state.batch == 4


def test_a_server_is_asked_for_the_batches_of_the_living_in_order():
    t = Table(MdGan(local_steps=1, rounds=9, batches=3, leaves={"w1": 2}), acgan(), (5, 6, 7, 8))
    t.play(2)
    requests = [ask.request for _, ask, _ in t.engine._log if isinstance(ask.request, Generate)]
    first = {"w0": 0, "w1": 1, "w2": 2, "w3": 0}
    then = {"w0": 0, "w2": 1, "w3": 2}
    assert requests[0] == Generate(1, 3, first, {"w0": 1, "w1": 2, "w2": 0, "w3": 1})
    assert requests[1] == Generate(2, 3, then, {"w0": 1, "w2": 2, "w3": 0})


def lessons(model, n):
    """Different batches for everybody, with classes."""
    different = []
    for i in range(n):
        batches = []
        for word in ("real", "fake", "shown"):
            part = images(LABELLED, model.batch, word, i)
            batches.append((part["image"], part["class"]))
        different.append(Lesson(*batches))
    return different


def judges(n, **settings):
    models = []
    for i in range(n):
        model = acgan(**settings)
        model.setup(LABELLED, i)
        models.append(model)
    return models


def moments(model):
    """Adam's means of slopes, by parameter of the discriminator."""
    optimiser = model.optimiser("discriminator")
    parameters = model.half("discriminator").parameters()
    return [optimiser.state[parameter]["exp_avg"] for parameter in parameters]


@pytest.mark.parametrize("n", [2, 13])
def test_side_by_side_is_one_after_the_other_also_in_parts_and_in_what_is_reported(n):
    """Two steps, twice, so that Adam has a state the second time.

    Thirteen are parted in 7 and 6.
    """
    alone = judges(n, discriminator_steps=2)
    together = judges(n, discriminator_steps=2)
    for _ in range(2):
        every = lessons(alone[0], n)
        one = [feedback_alone(model, lesson) for model, lesson in zip(alone, every, strict=True)]
        all_ = feedback_together(together, every)
        for (slope, numbers), (other, reported) in zip(one, all_, strict=True):
            assert torch.allclose(slope, other, atol=1e-5, rtol=1e-4)
            assert reported == pytest.approx(numbers, rel=1e-4)
    # a step of Adam does not tell the size of a slope; its moments do
    for model, twin in zip(alone, together, strict=True):
        for own, its in zip(moments(model), moments(twin), strict=True):
            assert torch.allclose(own, its, atol=1e-7, rtol=1e-3)


def test_what_is_reported_of_a_lesson_is_the_mean_loss_of_a_sample():
    """Feedback is the slope of the sum over a batch, the number the mean."""
    (model,) = judges(1)
    (lesson,) = lessons(model, 1)
    x, c = lesson.shown
    slopes, numbers = feedback_alone(model, lesson)
    x = x.clone().requires_grad_()
    real = model.half("discriminator")(model.centred(x))
    b = model.losses.generator(real, c)
    (expected,) = torch.autograd.grad(b.sum(), x)
    assert torch.allclose(slopes, expected, atol=1e-6)
    assert numbers["generator_loss"] == pytest.approx(b.mean().item(), rel=1e-5)


@pytest.mark.parametrize("k", [1, 2])
def test_of_what_the_server_sent_the_first_is_for_feedback_and_the_last_to_learn_from(k):
    """The same batch where there is but one."""
    worker = Player("w", LABELLED, images(LABELLED, 9, "own"), acgan(), SEED)
    sent = images(LABELLED, 4 * k, "sent")
    ask = Message(Feedback(6, k, False), COORDINATOR, "w", 1, payload={"server": sent})
    lesson = _training_batches(worker, ask.request, ask, {})
    for (x, c), place in ((lesson.shown, slice(4)), (lesson.fake, slice(4 * k - 4, 4 * k))):
        assert torch.equal(x, sent["image"][place])
        assert torch.equal(c, sent["class"][place])
    rows = torch.randint(9, (4,), generator=stream(SEED, "real", 6, "w"))
    assert torch.equal(lesson.real[0], worker.private_data["image"][rows])
    short = Message(ask.request, COORDINATOR, "w", 1, payload={"server": pick(sent, slice(3))})
    with pytest.raises(ModelError, match="the server sent 3 samples, expected 4"):
        _training_batches(worker, ask.request, short, {})


# -------------------------------------------------------------------------------------- FL-GAN


def test_an_average_is_weighted_by_the_samples_of_those_who_sent():
    t = Table(FlGan(local_steps=2, on_lost="continue"), acgan(), (4, 8, 12))
    t.engine._slow = ("w1", "send")
    t.play()
    (weights,) = [ask.request.weights for _, ask, _ in t.engine._log if ask.action == "average"]
    assert weights == pytest.approx({"w0": 4 / 16, "w2": 12 / 16})


def test_steps_are_counted_from_one_over_all_rounds_and_cut_where_it_is_averaged():
    """m E / b = 8 · 1 / 4 = 2, three steps a round."""
    t = Table(FlGan(local_steps=3, rounds=9), acgan(), (4, 8, 12))
    t.play(2)
    asked = []
    for _, ask, _ in t.engine._log:
        if ask.action == "learn" and ask.receiver == "w0":
            asked.append((ask.request.steps, ask.request.first))
    assert asked == [(2, 1), (1, 3), (1, 4), (2, 5)]


def test_classifiers_travel_after_the_own_rounds_and_not_after_the_last():
    """Messages and answers are the test's own: what is sent in one round is heard in the next."""
    game = Distillation(own_rounds=2, rounds=4)
    asks = {}

    class Seats:
        def ask(self, messages, purpose="exchange"):
            asks[round] = messages
            replies = []
            for message in messages:
                sent = {to: bits(1, message.receiver, to) for to in message.request.receivers}
                replies.append(message.reply({"loss": 1.0}, sent))
            return replies

    state = game.start(NAMES, 1)
    for round in range(1, 5):
        state, row = game.play(Seats(), state, round)
        assert row.players == {name: {"loss": 1.0} for name in NAMES}
    receivers = {round: asks[round][1].request.receivers for round in asks}
    assert receivers == {1: (), 2: ("p0", "p2"), 3: ("p0", "p2"), 4: ()}
    inboxes = {round: list(asks[round][1].payload) for round in asks}
    assert inboxes == {1: [], 2: [], 3: ["p0", "p2"], 4: ["p0", "p2"]}
    assert torch.equal(asks[3][1].payload["p2"]["x"], bits(1, "p2", "p1")["x"])


def test_players_are_measured_where_they_learn_for_themselves_and_the_seat_where_they_share():
    assert SampleExchange().sampled_from(ExchangeState(("a", "b"))) == ("a", "b")
    assert MdGan().sampled_from(MdGanState(("a", "b"))) == ("server",)
    assert FlGan().sampled_from(GanState(("a", "b"))) == ("server",)
