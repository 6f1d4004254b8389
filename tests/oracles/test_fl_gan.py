"""FL-GAN against pooled steps, weighted means and local learning written out.

Its bytes are added up.
"""

import pytest
import torch

from coplay.core.errors import PlayerError
from coplay.core.streams import stream
from coplay.games.fl_gan import FlGan
from coplay.models.base import OWN, Mixture, Portion
from coplay.nets.training import frozen

from .small_gans import LABELLED, NORMED, PLAIN, SEED, Table, acgan, apart, count, flat, images

HALVES = ("generator", "discriminator")


def table(sizes, model=None, space=LABELLED, **game):
    """b = 4, so that with m = 12 an average comes every 3 E steps."""
    return Table(FlGan(**{"local_steps": 3, "rounds": 100, **game}), model or acgan(), sizes, space)


def twins(n, space, **settings):
    """Return n GANs in float64 that begin alike.

    Each was started by its own seed, and takes the exported pair of the first.
    """
    models = [acgan(**settings) for _ in range(n)]
    for seed, model in enumerate(models):
        model.setup(space, seed)
        for half in HALVES:
            model.half(half).double()
        model.take(models[0].export(HALVES), "the first")
    return models


def shards(space, sizes, word):
    return [images(space, n, word, i) for i, n in enumerate(sizes)]


def given(samples):
    return samples["image"].double(), samples["class"] if "class" in samples.keys() else None


def sgd(model, half, loss):
    net = model.half(half)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.3)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


# ------------------------------------------------------------------ a step apart is a step together


@pytest.mark.parametrize("space", [LABELLED, PLAIN], ids=["labelled", "plain"])
@pytest.mark.parametrize("sizes", [(4, 4, 4), (2, 4, 6)])
def test_discriminators_averaged_after_a_step_on_shards_are_one_after_a_step_on_the_union(
    space, sizes
):
    server, pooled, *workers = twins(2 + len(sizes), space)
    real, fake = shards(space, sizes, "real"), shards(space, sizes, "fake")

    def step(model, real, fake):
        (x, c), (y, d) = given(real), given(fake)
        sgd(
            model,
            "discriminator",
            model.losses.discriminator(
                torch.cat([model.discriminate(x), model.discriminate(y)]), c, d
            ),
        )

    for model, *batches in zip(workers, real, fake, strict=True):
        step(model, *batches)
    step(pooled, torch.cat(real), torch.cat(fake))
    weights = torch.tensor(sizes, dtype=torch.float64) / sum(sizes)
    server.average_of([model.export(HALVES) for model in workers], weights)
    actual, expected = (
        flat(model.half("discriminator").parameters()) for model in (server, pooled)
    )
    assert apart(actual, expected) < 1e-12
    assert apart(flat(workers[0].half("discriminator").parameters()), expected) > 1e-3


@pytest.mark.parametrize("space", [LABELLED, PLAIN], ids=["labelled", "plain"])
@pytest.mark.parametrize("loss", ["non_saturating", "saturating"])
def test_generators_averaged_after_a_step_on_shards_of_noise_are_one_after_a_step_on_all(
    space, loss
):
    server, pooled, *workers = twins(5, space, loss=loss)
    noise = [torch.randn(4, 3, dtype=torch.float64, generator=stream(1, i)) for i in range(3)]
    classes = [None if space is PLAIN else torch.arange(4) % 3 for _ in range(3)]

    def step(model, noise, classes):
        drawn = model.half("generator")(noise, classes)
        with frozen(model.half("discriminator")):
            sgd(
                model,
                "generator",
                model.losses.generator(model.half("discriminator")(drawn), classes).mean(),
            )

    for model, z, c in zip(workers, noise, classes, strict=True):
        step(model, z, c)
    step(pooled, torch.cat(noise), None if space is PLAIN else torch.cat(classes))
    server.average_of(
        [model.export(HALVES) for model in workers], torch.full((3,), 1 / 3, dtype=torch.float64)
    )
    for half in HALVES:
        actual, expected = (flat(model.half(half).parameters()) for model in (server, pooled))
        assert apart(actual, expected) < 1e-12
    assert (
        apart(
            flat(workers[0].half("generator").parameters()),
            flat(pooled.half("generator").parameters()),
        )
        > 1e-4
    )


# -------------------------------------------------------------------------------- learn and average


def snapshots(t):
    """Return the parameters of every worker and the server, by (when, action, name).

    They are taken before and after each message.
    """
    parameters = {}

    def note(when):
        def look(messages, purpose):
            for name in (*t.workers, "server"):
                parameters[when, messages[0].action, name] = torch.cat(
                    [t.values(name, half) for half in HALVES]
                )

        return look

    t.engine.watch(note("before"), note("after"))
    return parameters


@pytest.mark.parametrize("sizes", [(12, 12, 12), (8, 12, 16)])
def test_the_average_is_weighted_by_numbers_of_samples_and_changes_no_worker(sizes):
    t = table(sizes)
    parameters = snapshots(t)
    for _ in range(2):
        t.play()
        pairs = torch.stack([parameters["before", "average", name] for name in t.workers]).double()
        assert apart(pairs[0], pairs[1]) > 1e-3
        expected = (torch.tensor(sizes, dtype=torch.float64)[:, None] * pairs).sum(0) / sum(sizes)
        assert torch.allclose(
            parameters["after", "average", "server"].double(), expected, rtol=1e-7, atol=1e-9
        )
        for name in t.workers:
            assert torch.equal(
                parameters["after", "average", name], parameters["before", "average", name]
            )


def test_what_is_averaged_is_left_as_it_was():
    t = table((8, 16))
    t.play()
    parts = [player.model.export(HALVES) for player in t.workers.values()]
    before = [part.clone() for part in parts]
    t.server.model.average_of(parts, torch.tensor([1 / 3, 2 / 3], dtype=torch.float64))
    t.play()
    for old, part in zip(before, parts, strict=True):
        assert all(torch.equal(old[key], part[key]) for key in part.keys())


@pytest.mark.parametrize("optimiser", ["keep", "reset"])
def test_a_period_is_learning_at_a_single_site_from_the_servers_pair(optimiser):
    """A GAN that takes the pair over and calls ``learn`` on the same data agrees to the bit.

    The test covers two periods.
    """
    t = table((8, 16), optimiser_on_average=optimiser)
    alone = {name: acgan() for name in t.workers}
    for model in alone.values():
        model.setup(LABELLED, 99)
    for first in (1, 4):
        begin = t.server.model.export(HALVES)
        t.play()
        for name, model in alone.items():
            model.take(begin, "the server", optimiser)
            model.learn(
                Mixture((Portion(OWN, t.data[name], 1.0),)), 3, stream(SEED, "learn", first, name)
            )
            state = t.workers[name].model.state_dict()
            assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
            assert int(state["discriminator|1.weight|step"]) == (
                3 if optimiser == "reset" else first + 2
            )


def test_what_is_measured_is_drawn_from_the_last_average():
    t = table((8, 16))
    t.play()
    last = acgan(average=0)
    last.setup(LABELLED, 99)
    last.take(t.server.model.export(HALVES), "the server")
    drawn = t.server.draw(50, 1, "x")
    expected = last.sample(50, stream(SEED, "draw", 1, "server", "x"))
    assert all(torch.equal(drawn[key], expected[key]) for key in expected.keys())
    assert t.game.sampled_from(t.state) == ("server",)


def test_averages_come_every_m_e_over_b_steps_wherever_rounds_end():
    t = table((8, 16), local_steps=2)
    assert [row.own["averages"] for row in t.play(6)] == [0, 1, 1, 0, 1, 1]
    early = table((8, 16), local_steps=2)
    early.play()
    assert not early.server.learned, "before the first average there is nothing to measure"
    assert [
        row.own["averages"]
        for row in table((8, 16), average_every_epochs=1 / 3, local_steps=2).play(2)
    ] == [2, 2]


@pytest.mark.parametrize("on_lost", ["stop", "continue"])
def test_a_lost_workers_weight_goes_to_the_others(on_lost):
    """A worker diverges in its last step, which no loss shows.

    The error names that worker, and not the server that would average it.
    """
    t = table((8, 12, 16), on_lost=on_lost)
    t.play()
    parameters = snapshots(t)
    look = t.engine._after

    def poison(messages, purpose):
        if messages[0].action == "learn":
            with torch.no_grad():
                next(t.net("w1", "generator").parameters())[0, 0] = float("nan")
        look(messages, purpose)

    t.engine.watch(t.engine._before, poison)
    if on_lost == "stop":
        with pytest.raises(
            PlayerError, match=r"player 'w1' failed at 'send' in round 2: .*not finite.*diverged"
        ):
            t.play()
        return
    (row,) = t.play()
    assert set(row.lost) == {"w1"}
    assert t.state.players == ("w0", "w2")
    one, two = (parameters["before", "average", name].double() for name in t.state.players)
    assert torch.allclose(
        parameters["after", "average", "server"].double(), (one + 2 * two) / 3, rtol=1e-7, atol=1e-9
    )
    t.engine.watch()
    assert set(t.play()[0].players) == {"w0", "w2"}


def test_a_late_worker_is_left_out_of_one_average():
    t = table((8, 12, 16))
    parameters = snapshots(t)
    t.engine._slow = ("w1", "send")
    (row,) = t.play()
    assert not row.lost
    one, two = (parameters["before", "average", name].double() for name in ("w0", "w2"))
    assert torch.allclose(
        parameters["after", "average", "server"].double(), (one + 2 * two) / 3, rtol=1e-7, atol=1e-9
    )
    t.engine._slow = ("", "")
    t.play()
    three = torch.stack([parameters["before", "average", name] for name in t.workers]).double()
    expected = torch.tensor([2, 3, 4], dtype=torch.float64) @ three / 9
    assert torch.allclose(
        parameters["after", "average", "server"].double(), expected, rtol=1e-7, atol=1e-9
    )


# ------------------------------------------------------------------------------------------ buffers


def buffers(player):
    return {
        f"{half}:{name}": value.clone()
        for half in HALVES
        for name, value in player.model.half(half).named_buffers()
    }


@pytest.mark.parametrize("averaged", [True, False])
def test_buffers_are_averaged_or_stay(averaged):
    t = table((8, 16), acgan(**NORMED), average_buffers=averaged)
    begin = buffers(t.server)
    t.play()
    averages = buffers(t.server)
    own = {name: buffers(player) for name, player in t.workers.items()}
    for key, value in averages.items():
        mean = (own["w0"][key].double() + 2 * own["w1"][key].double()) / 3
        expected = mean.to(value.dtype) if averaged else begin[key]
        assert value.dtype == begin[key].dtype
        assert torch.allclose(value, expected, rtol=1e-6), key
        assert not torch.equal(own["w0"][key], begin[key])
    after = {}

    def note(messages, purpose):
        if messages[0].action == "load":
            after.update({name: buffers(player) for name, player in t.workers.items()})

    t.engine.watch(after=note)
    t.play()
    for name, left in own.items():
        for key, value in after[name].items():
            assert torch.equal(value, averages[key] if averaged else left[key]), key


def test_whole_numbers_stay_whole():
    models = [acgan(**NORMED) for _ in range(3)]
    for seed, (model, steps) in enumerate(zip(models, (3, 6, 0), strict=True)):
        model.setup(LABELLED, seed)
        for _, buffer in model.half("discriminator").named_buffers():
            if not buffer.is_floating_point():
                buffer.fill_(steps)
    models[2].average_of(
        [m.export(HALVES) for m in models[:2]], torch.tensor([0.4, 0.6], dtype=torch.float64)
    )
    (counter,) = [b for b in models[2].half("discriminator").buffers() if not b.is_floating_point()]
    assert counter.dtype == torch.int64
    assert counter.item() == 5, "3 · 0.4 + 6 · 0.6 = 4.8"


# ----------------------------------------------------------------------------------- bytes and work


@pytest.mark.parametrize(
    ("space", "classes"), [(LABELLED, 3), (PLAIN, 0)], ids=["labelled", "plain"]
)
def test_traffic_is_the_papers_to_the_byte(space, classes):
    """|θ| + |w| numbers a worker each way and averaging round, the class's vectors among them."""
    t = table((12, 12, 12), space=space, average_every_epochs=2 / 3)
    t.play(4)
    theta = (16 * 7 + 7) + (7 * 5 + 5) + (5 + 1) * (1 + classes)
    w = (3 * 6 + 6) + (6 * 16 + 16) + classes * 3
    assert (theta, w) == (count(t.net("w0")), count(t.net("w0", "generator")))
    expected = {("exchange/average", "server", name): 6 * (theta + w) * 4 for name in t.workers}
    expected |= {("exchange/average", name, "server"): 6 * (theta + w) * 4 for name in t.workers}
    assert t.ledger() == expected


def test_operations_are_counted_as_those_of_a_whole_gan():
    """A worker does what one of MD-GAN does, and a generator's work.

    That is a forward pass for D, and a forward and a backward pass for itself.
    """
    (row,) = table((12, 12)).play()
    first, rest, weights = 16 * 7, 7 * 5 + 5 * 4, 3 * 6 + 6 * 16
    judging = 2 * 8 * (2 * first + 3 * rest) + 2 * 4 * 2 * (first + rest)
    generating = 2 * 4 * (1 + 3) * weights
    assert {name: numbers["flops"] for name, numbers in row.players.items()} == dict.fromkeys(
        ("w0", "w1"), 3 * (judging + generating)
    )
