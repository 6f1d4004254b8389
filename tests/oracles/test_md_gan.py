"""MD-GAN against Algorithm 1 written out.

There is one joint graph, a GAN by hand, swaps are counted and bytes added up.
"""

import copy
import itertools
from dataclasses import replace

import pytest
import torch

from coplay.core.errors import PlayerError
from coplay.core.streams import stream
from coplay.games.md_gan import MdGan, derangement

from .small_gans import (
    LABELLED,
    NORMED,
    PLAIN,
    SEED,
    Table,
    acgan,
    apart,
    asked,
    centred,
    count,
    discriminator_loss,
    flat,
    generator_loss,
)


def table(n, model=None, space=LABELLED, sizes=None, **game):
    game = {"local_steps": 1, "rounds": 100, "swap_every_epochs": 0, **game}
    return Table(MdGan(**game), model or acgan(), sizes or [12] * n, space)


def joint_gradient(generator, discriminators, shown, model, space):
    """∂/∂w of 1/N Σ_n 1/b Σ_i B̃(D_n(G_w(z_i))) through one graph of all networks, in float64."""
    generator = copy.deepcopy(generator).double()
    total = torch.zeros((), dtype=torch.float64)
    for d, j in zip(discriminators, shown, strict=True):
        noise, classes = asked(1, j, model, space)
        logits = copy.deepcopy(d).double()(generator(noise, classes))
        total = total + generator_loss(logits, classes, model.loss, model.class_term).mean()
    return flat(torch.autograd.grad(total / len(shown), list(generator.parameters())))


def gradient(net):
    """Return the gradient that the optimizer got last."""
    return torch.cat([p.grad.flatten() for p in net.parameters()])


@pytest.mark.parametrize("side_by_side", ["loop", "stacked"])
@pytest.mark.parametrize(
    ("space", "class_term"),
    [(LABELLED, True), (LABELLED, False), (PLAIN, True)],
    ids=["labelled", "untold", "plain"],
)
@pytest.mark.parametrize("loss", ["non_saturating", "saturating"])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (4, 1), (4, 3)])
def test_the_servers_gradient_is_that_of_one_joint_graph(
    n, k, loss, class_term, side_by_side, space
):
    model = acgan(loss=loss, class_term=class_term)
    t = table(n, model, space, batches=k, side_by_side=side_by_side)
    before = copy.deepcopy(t.net("server", "generator"))
    t.play()
    expected = joint_gradient(
        before, [t.net(name) for name in t.workers], [i % k for i in range(n)], model, space
    )
    assert apart(gradient(t.net("server", "generator")), expected) < 1e-6


@pytest.mark.parametrize("side_by_side", ["loop", "stacked"])
@pytest.mark.parametrize(("n", "k"), [(4, 3), (3, 3)])
def test_with_a_lost_worker_the_mean_is_over_the_living(n, k, side_by_side):
    """With n = k = 3 no worker is left that received the lost worker's batch."""
    t = table(n, batches=k, side_by_side=side_by_side, on_lost="continue")
    before = copy.deepcopy(t.net("server", "generator"))
    with torch.no_grad():
        next(t.net("w1").parameters())[0, 0] = float("nan")
    (row,) = t.play()
    assert set(row.lost) == {"w1"}
    assert "not finite" in row.lost["w1"].reason
    living = [i for i in range(n) if i != 1]
    nets = [t.net(f"w{i}") for i in living]
    expected = joint_gradient(before, nets, [i % k for i in living], acgan(), LABELLED)
    assert apart(gradient(t.net("server", "generator")), expected) < 1e-6


def test_a_diverged_discriminator_stops_the_game_by_name():
    for side_by_side in ("loop", "stacked"):
        t = table(3, side_by_side=side_by_side)
        with torch.no_grad():
            next(t.net("w2").parameters())[0, 0] = float("nan")
        with pytest.raises(
            PlayerError, match=r"player 'w2' failed at 'feedback' in round 1: .*diverged"
        ):
            t.play()


@pytest.mark.parametrize("space", [LABELLED, PLAIN], ids=["labelled", "plain"])
@pytest.mark.parametrize("side_by_side", ["loop", "stacked"])
@pytest.mark.parametrize("steps", [1, 2])
def test_one_worker_and_one_batch_are_a_gan_at_a_single_site(steps, side_by_side, space):
    """Play a round by hand, in float64.

    It has L discriminator steps on a real and a generated batch, and a generator step on the
    latter.
    """
    model = acgan(discriminator_steps=steps)
    t = table(1, model, space, side_by_side=side_by_side, local_steps=3)
    g_net, d_net = (
        copy.deepcopy(net).double() for net in (t.net("server", "generator"), t.net("w0"))
    )
    g_adam, d_adam = (
        torch.optim.Adam(net.parameters(), lr=0.01, betas=(0.5, 0.999)) for net in (g_net, d_net)
    )
    t.play(2)
    for iteration in range(1, 7):
        noise, classes = asked(iteration, 0, model, space)
        own = t.data["w0"][torch.randint(12, (4,), generator=stream(SEED, "real", iteration, "w0"))]
        real = centred(own["image"].double())
        real_classes = own["class"] if space is LABELLED else None
        for _ in range(steps):
            d_adam.zero_grad()
            logits = d_net(real), d_net(g_net(noise, classes).detach())
            discriminator_loss(logits[0], real_classes, logits[1], classes).backward()
            d_adam.step()
        g_adam.zero_grad()
        generator_loss(d_net(g_net(noise, classes)), classes).mean().backward()
        g_adam.step()
    assert apart(t.values("server", "generator"), flat(g_net.parameters())) < 1e-5
    assert apart(t.values("w0"), flat(d_net.parameters())) < 1e-5


@pytest.mark.parametrize(("n", "k"), [(1, 1), (3, 1), (3, 2), (5, 3), (4, 4)])
def test_worker_n_gets_batch_n_for_feedback_and_the_next_to_learn_from(n, k):
    t = table(n, batches=k)
    generator = copy.deepcopy(t.net("server", "generator")).double()
    t.play()
    sent = {
        ask.receiver: ask.payload["server"]
        for _, ask, _ in t.engine._log
        if ask.action == "feedback"
    }
    assert len(sent) == n
    for i in range(n):
        part = sent[f"w{i}"]
        assert len(part) == 4 * min(k, 2)
        for rows, j in ((slice(0, 4), i % k), (slice(-4, None), (i + 1) % k)):
            noise, classes = asked(1, j, acgan(), LABELLED)
            assert apart(centred(part["image"][rows].double()), generator(noise, classes)) < 1e-6
            assert torch.equal(part["class"][rows], classes)
        if k > 1:
            assert not torch.equal(part["image"][:4], part["image"][4:])


def test_the_number_of_batches():
    assert [MdGan(batches="log").count_of_batches(n) for n in (1, 2, 10, 25, 50)] == [1, 1, 3, 4, 4]
    assert [MdGan(batches=3).count_of_batches(n) for n in (1, 2, 3, 4)] == [1, 2, 3, 3]


def test_halves_stay_where_they_belong_and_what_is_drawn_is_the_servers():
    t = table(3, local_steps=3, swap_every_epochs=0.6)
    t.play()
    assert any(key.startswith("generator/") for key in t.server.model.state_dict())
    assert not any(key.startswith("discriminator") for key in t.server.model.state_dict())
    for player in t.workers.values():
        assert not any(key.startswith(("generator", "mean")) for key in player.model.state_dict())
    assert t.game.sampled_from(t.state) == ("server",)


# -------------------------------------------------------------------------------------------- swaps


def test_derangements_are_uniform():
    """Each of the nine derangements of four names is equally likely.

    χ² with 8 degrees of freedom is below 26.1 with probability 0.999.
    """
    names = ["a", "b", "c", "d"]
    g = stream(1)
    every = [
        p
        for p in itertools.permutations(names)
        if all(a != b for a, b in zip(names, p, strict=True))
    ]
    assert len(every) == 9
    counts = dict.fromkeys(every, 0)
    for _ in range(9000):
        to = derangement(names, g)
        # a KeyError where it has a fixed point, or two go to one
        counts[tuple(to[name] for name in names)] += 1
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 26.1


def moments(t, name):
    model = t.workers[name].model
    return {key: value for key, value in model.state_dict().items() if "|" in key}


@pytest.mark.parametrize("side_by_side", ["loop", "stacked"])
@pytest.mark.parametrize("optimiser", ["keep", "travel", "reset"])
def test_a_swap_moves_every_discriminator_once_and_adam_as_configured(optimiser, side_by_side):
    t = table(5, side_by_side=side_by_side, swap_every_epochs=1 / 3, optimiser_on_swap=optimiser)
    swap = {}

    def snapshot(key):
        def note(messages, purpose):
            if purpose == "exchange/swap":
                swap[key] = {name: (t.values(name), moments(t, name)) for name in t.workers}
                swap["to"] = {sender: ask.receiver for ask in messages for sender in ask.payload}

        return note

    t.engine.watch(snapshot("before"), snapshot("after"))
    routes = set()
    for _ in range(3):
        (row,) = t.play()
        assert row.own["swaps"] == 1
        before, after, to = swap["before"], swap["after"], swap["to"]
        assert set(to) == set(to.values()) == set(t.workers)
        assert all(sender != receiver for sender, receiver in to.items())
        routes.add(tuple(to.items()))
        for sender, receiver in to.items():
            assert torch.equal(after[receiver][0], before[sender][0])
            assert not torch.equal(after[receiver][0], before[receiver][0])
            moved = {"keep": before[receiver][1], "travel": before[sender][1], "reset": {}}[
                optimiser
            ]
            assert after[receiver][1].keys() == moved.keys()
            assert all(torch.equal(after[receiver][1][key], moved[key]) for key in moved)
            assert (optimiser == "reset") == (not moved)
    assert len(routes) > 1, "every swap is drawn anew"


def test_buffers_move_with_their_discriminator():
    t = table(3, acgan(**NORMED), swap_every_epochs=1 / 3)
    swap = {}

    def note(when):
        def look(messages, purpose):
            if purpose == "exchange/swap":
                swap[when] = {
                    name: [b.clone() for b in t.net(name).buffers()] for name in t.workers
                }
                swap["to"] = {sender: ask.receiver for ask in messages for sender in ask.payload}

        return look

    t.engine.watch(note("before"), note("after"))
    t.play(2)
    for sender, receiver in swap["to"].items():
        assert all(
            torch.equal(a, b)
            for a, b in zip(swap["after"][receiver], swap["before"][sender], strict=True)
        )
        assert not torch.equal(swap["before"][receiver][0], swap["before"][sender][0])


def test_swaps_come_every_m_e_over_b_iterations_of_the_living():
    """With m = 11 and b = 4, workers swap every round(2.75) = 3 iterations.

    When the largest has left, m = 9 and they swap every round(2.25) = 2 iterations.
    """
    t = table(3, sizes=[8, 15, 10], swap_every_epochs=1.0, leaves={"w1": 7})
    rows = t.play(12)
    assert [i for i, row in enumerate(rows, 1) if row.own["swaps"]] == [3, 6, 8, 10, 12]
    alone = table(2, swap_every_epochs=1 / 3, leaves={"w1": 3})
    assert [row.own["swaps"] for row in alone.play(4)] == [1, 1, 0, 0], (
        "one worker has nobody to swap with"
    )
    assert [row.own["swaps"] for row in table(2, swap_every_epochs=0).play(4)] == [0] * 4


# --------------------------------------------------------------------------- ways of doing the same


BUSY = {"swap_every_epochs": 2 / 3, "joins": {"w2": 4}, "leaves": {"w0": 7}}


def test_stacked_and_loop_learn_the_same():
    """Both agree over swaps, with L = 2.

    One worker joins late, with fewer of Adam's steps behind it, and one leaves early.
    """
    for optimiser in ("keep", "travel", "reset"):
        tables = [
            table(
                4,
                acgan(discriminator_steps=2),
                side_by_side=how,
                optimiser_on_swap=optimiser,
                local_steps=3,
                **BUSY,
            )
            for how in ("loop", "stacked")
        ]
        rows = [t.play(3) for t in tables]
        loop, stacked = tables
        assert (
            [row.own["swaps"] for row in rows[0]]
            == [row.own["swaps"] for row in rows[1]]
            == [1, 2, 1]
        )
        assert rows[0][0].own["stacked"] == []
        assert rows[1][0].own["stacked"] == ["w0", "w1", "w3"]
        assert all(player.model.stack is None for player in loop.workers.values())
        assert all(player.model.stack is not None for player in stacked.workers.values())
        assert (
            apart(stacked.values("server", "generator"), loop.values("server", "generator")) < 1e-5
        )
        for name in loop.workers:
            assert apart(stacked.values(name), loop.values(name)) < 1e-5
            a, b = moments(loop, name), moments(stacked, name)
            assert {k: v for k, v in a.items() if k.endswith("step")} == {
                k: v for k, v in b.items() if k.endswith("step")
            }
        if optimiser == "keep":
            steps = {
                name: int(moments(stacked, name)["discriminator|1.weight|step"])
                for name in stacked.workers
            }
            assert steps == {"w0": 12, "w1": 18, "w2": 12, "w3": 18}
        for a, b in zip(*rows, strict=True):
            for name in set(a.players) | set(b.players):
                assert b.players[name]["flops"] == a.players[name]["flops"] > 0
        assert stacked.ledger() == loop.ledger()


def test_where_a_round_ends_does_not_matter():
    """Six rounds of one, two of three and one of six iterations give the same bits.

    This holds whichever players join, leave and swap.
    """
    outcomes = []
    for steps in (1, 3, 9):
        t = table(4, local_steps=steps, rounds=9 // steps, **BUSY)
        t.play(9 // steps)
        outcomes.append(
            [t.values("server", "generator"), *(t.values(name) for name in t.workers), t.ledger()]
        )
    for other in outcomes[1:]:
        assert all(torch.equal(a, b) for a, b in zip(outcomes[0][:-1], other[:-1], strict=True))
        assert other[-1] == outcomes[0][-1]


def test_what_a_leaver_sent_before_it_left_counts():
    """Generator and ledger after iteration 2 are those of a run in which nobody leaves."""
    stays, leaves = (
        table(3, local_steps=2),
        table(3, local_steps=3, leaves={"w0": 3, "w1": 3, "w2": 3}),
    )
    stays.play()
    leaves.play()
    assert torch.equal(stays.values("server", "generator"), leaves.values("server", "generator"))
    assert stays.ledger() == leaves.ledger()


def test_a_trial_chooses_and_changes_nobody():
    t, plain = table(3, side_by_side="measured"), table(3, side_by_side="loop")
    before = {name: t.values(name) for name in t.workers}
    state, row = t.game._introduce(t.engine, t.state, 1)
    assert all(torch.equal(before[name], t.values(name)) for name in t.workers)
    assert not any(moments(t, name) for name in t.workers)
    for name, tried in row.own["tried"].items():
        assert state.stacked[name] == (tried["stacked_seconds"] < tried["loop_seconds"])
    t = table(3, side_by_side="measured")  # nobody is introduced twice
    t.play(3)
    plain.play(3)
    for name in t.workers:
        assert apart(t.values(name), plain.values(name)) < 1e-5


def test_operations_are_counted_as_the_paper_counts_them():
    """A pass takes a multiplication and an addition per weight and sample.

    A backward pass counts once for each side of a product whose gradient is needed. L = 1, k = 2.
    """
    for how in ("loop", "stacked"):
        t = table(3, batches=2, side_by_side=how, local_steps=5)
        (row,) = t.play()
        first, rest = 16 * 7, 7 * 5 + 5 * 4  # weights of D
        # 2 b samples; no gradient of the images is needed
        learning = 2 * 8 * ((first + rest) + (first + rest) + rest)
        # b samples; no gradient of the weights is needed
        feedback = 2 * 4 * ((first + rest) + (first + rest))
        weights = 3 * 6 + 6 * 16  # of G
        # k b samples; the class's vector takes the gradient of G's input
        generator = 2 * 4 * 2 * 3 * weights
        assert {name: numbers["flops"] for name, numbers in row.players.items()} == {
            "server": 5 * generator,
            **dict.fromkeys(t.workers, 5 * (learning + feedback)),
        }


# -------------------------------------------------------------------------------------- come and go


def test_a_late_worker_begins_with_a_copy_of_a_living_ones_discriminator():
    t = table(4, joins={"w1": 3, "w3": 3}, side_by_side="loop")
    rows = t.play(2)
    copies = {}
    assert t.state.players == ("w0", "w2")
    assert not any(row.joined for row in rows)
    living = {name: t.values(name) for name in t.state.players}

    def note(messages, purpose):
        if purpose == "exchange/swap":
            copies.update(
                {ask.receiver: (list(ask.payload), t.values(ask.receiver)) for ask in messages}
            )

    t.engine.watch(after=note)
    (row,) = t.play()
    assert row.joined == ("w1", "w3")
    assert t.state.players == ("w0", "w1", "w2", "w3"), (
        "everybody keeps the place in line that the config gives"
    )
    living["w1"] = copies["w1"][1]  # may be copied in its turn
    for name, ((donor,), copied) in copies.items():
        assert donor != name
        assert torch.equal(copied, living[donor])
    assert set(row.players) == {"server", "w0", "w1", "w2", "w3"}


def test_a_late_worker_takes_its_steps_as_the_others_do():
    """The newcomer is stacked if the others are, whatever it would choose itself.

    A worker that stands alone would keep all others from being stacked.
    """
    t = table(3, joins={"w1": 2})
    t.play()
    loop = {name: False for name in t.state.players}  # as if the loop had been faster in a trial
    t.state = replace(t.state, stacked={**t.state.stacked, **loop})
    t.play()
    assert {t.state.stacked[name] for name in t.workers} == {False}


@pytest.mark.parametrize("on_lost", ["stop", "continue"])
def test_a_worker_that_is_lost_while_another_joins(on_lost):
    """A diverged worker that is asked for a copy is left out, and another worker is asked.

    Its loss does not concern the others.
    """
    t = table(3, joins={"w1": 2}, on_lost=on_lost)
    t.play()
    lot = int(torch.randint(2, (1,), generator=stream(SEED, "join", "w1")))
    donor, other = ("w0", "w2") if lot == 0 else ("w2", "w0")
    with torch.no_grad():
        next(t.net(donor).parameters())[0, 0] = float("inf")
    if on_lost == "stop":
        with pytest.raises(PlayerError, match=rf"player '{donor}' failed at 'send' in round 2"):
            t.play()
        return
    (row,) = t.play()
    assert set(row.lost) == {donor}
    assert row.joined == ("w1",)
    assert set(t.state.players) == {"w1", other}


@pytest.mark.parametrize("action", ["send", "introduce"])
def test_a_worker_that_is_late_when_another_joins_is_lost(action):
    """A worker that is late with a copy, or late to join, is lost.

    What is asked only once cannot wait for a later round.
    """
    t = table(3, joins={"w1": 2}, on_lost="continue")
    t.play()
    lot = int(torch.randint(2, (1,), generator=stream(SEED, "join", "w1")))
    donor, other = ("w0", "w2") if lot == 0 else ("w2", "w0")
    slow = donor if action == "send" else "w1"
    t.engine._slow = (slow, action)
    (row,) = t.play()
    assert {name: lost.reason for name, lost in row.lost.items()} == {slow: "too slow"}
    assert set(t.state.players) == ({"w1", other} if action == "send" else {donor, other})


def test_a_worker_that_is_late_with_its_description_cannot_play():
    t = table(3, on_lost="continue")
    t.engine._slow = ("w1", "introduce")
    rows = t.play(2)
    assert set(rows[0].lost) == {"w1"}
    assert t.state.players == ("w0", "w2")


def test_a_late_workers_feedback_is_left_out_of_the_mean_and_it_may_be_swapped():
    t = table(3, batches=3, swap_every_epochs=1 / 3)
    before = copy.deepcopy(t.net("server", "generator"))
    t.engine._slow = ("w1", "feedback")
    judged = {}
    t.engine.watch(
        after=lambda asks, purpose: judged.update(
            {
                ask.receiver: copy.deepcopy(t.net(ask.receiver))
                for ask in asks
                if ask.action == "feedback"
            }
        )
    )
    (row,) = t.play()
    assert not row.lost
    assert row.own["swaps"] == 1
    expected = joint_gradient(before, [judged["w0"], judged["w2"]], [0, 2], acgan(), LABELLED)
    assert apart(gradient(t.net("server", "generator")), expected) < 1e-6


def test_a_joiner_that_fails_stays_out():
    t = table(3, joins={"w1": 2}, on_lost="continue")
    t.play()
    # nothing that comes fits it
    t.workers["w1"].model.half("discriminator")[1] = torch.nn.Identity()
    (row,) = t.play()
    assert set(row.lost) == {"w1"}
    assert not row.joined
    assert t.state.players == ("w0", "w2")


def test_one_leaves_every_nth_of_the_run_until_none_is_left():
    """With N = 4 and I = 12, workers leave before iterations 3, 6, 9 and 12.

    The config's last worker leaves first. At the end nothing is learned any more.
    """
    t = table(4, rounds=12, leave_evenly=True, swap_every_epochs=1 / 3)
    working = []
    for iteration in range(1, 13):
        before = t.values("server", "generator")
        (row,) = t.play()
        working.append(sorted(set(row.players) - {"server"}))
        assert set(row.lost) == ({f"w{4 - iteration // 3}"} if iteration % 3 == 0 else set())
        if row.lost:
            assert f"left before iteration {iteration}" in str(row.lost)
        assert torch.equal(before, t.values("server", "generator")) == (iteration == 12)
        assert row.own["swaps"] == (len(working[-1]) > 1)
    all_of_them = ["w0", "w1", "w2", "w3"]
    assert working == [all_of_them[: 4 - i // 3] for i in range(1, 13)]


def test_leaving_by_config_is_allowed_where_losing_is_not():
    t = table(3, leaves={"w1": 2}, on_lost="stop")
    t.play(2)
    assert t.state.players == ("w0", "w2")


# -------------------------------------------------------------------------------------------- bytes


@pytest.mark.parametrize("space", [LABELLED, PLAIN], ids=["labelled", "plain"])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (3, 1), (3, 2), (4, 4)])
def test_traffic_is_the_papers_to_the_byte(n, k, space):
    """An iteration sends 2bd N to the workers (bd N with k = 1) and bd N back.

    A swap sends |θ| for each worker. Labels are counted apart: 8 bytes a row.
    """
    t = table(n, space=space, batches=k, local_steps=4, swap_every_epochs=2 / 3)
    iterations, b, d = 8, 4, 16
    t.play(2)
    labels = 8 * min(k, 2) * b if space is LABELLED else 0
    ledger = t.ledger()
    for name in t.workers:
        assert ledger.pop(("exchange/generated", "server", name)) == iterations * (
            min(k, 2) * b * d * 4 + labels
        )
        assert ledger.pop(("exchange/feedback", name, "server")) == iterations * b * d * 4
    swaps = 4 if n > 1 else 0
    assert {purpose for purpose, _, _ in ledger} == ({"exchange/swap"} if swaps else set())
    for name in t.workers:
        assert (
            sum(size for (_, sender, _), size in ledger.items() if sender == name)
            == swaps * count(t.net(name)) * 4
        )
        assert (
            sum(size for (_, _, to), size in ledger.items() if to == name)
            == swaps * count(t.net(name)) * 4
        )


def test_adams_state_costs_twice_the_parameters_more():
    t = table(3, optimiser_on_swap="travel", swap_every_epochs=1 / 3)
    t.play()
    tensors = len(list(t.net("w0").parameters()))  # each with a count of its steps
    swapped = {link: size for link, size in t.ledger().items() if link[0] == "exchange/swap"}
    assert sorted(swapped.values()) == [3 * count(t.net("w0")) * 4 + tensors * 4] * 3


@pytest.mark.parametrize("side_by_side", ["loop", "stacked"])
def test_players_rebuilt_from_their_states_go_on_exactly(side_by_side):
    """Networks that were started otherwise restore the states, also those of a stack.

    The run is cut between two swaps, and right after one.
    """
    settings = {"side_by_side": side_by_side, "swap_every_epochs": 1.0}
    for done in (4, 6):
        first, second = table(3, **settings), table(3, **settings)
        first.play(done)
        for old, new in zip(first.players, second.players, strict=True):
            new.model.setup(LABELLED, 99)
            new.model.load_state_dict(old.model.state_dict())
        second.state, second.round = first.state, first.round
        rows = [t.play(3) for t in (first, second)]
        assert [row.own["swaps"] for row in rows[0]] == [row.own["swaps"] for row in rows[1]]
        assert sum(row.own["swaps"] for row in rows[1]) == 1
        for old, new in zip(first.players, second.players, strict=True):
            a = old.model.state_dict()
            b = new.model.state_dict()
            assert a.keys() == b.keys()
            assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_round_has_as_many_updates_as_steps():
    t = table(2, local_steps=3)
    t.play(2)
    state = t.server.model.state_dict()
    assert int(state["generator|body.0.weight|step"]) == int(state["step"]) == 6
    assert {int(moments(t, name)["discriminator|1.weight|step"]) for name in t.workers} == {6}
