"""The two pages to read agree with the library.

They have the same gradients, networks, samples and shares.
"""

import copy
import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from coplay import Player, Space, Variable
from coplay.core.streams import stream
from coplay.engines.local import Local
from coplay.games.md_gan import MdGan
from coplay.games.sample_exchange import SampleExchange
from coplay.models.exponential_family import ExponentialFamily
from coplay.theory import equilibrium

from .small_gans import PLAIN, SEED, Table, acgan, apart, asked, centred, flat

EXAMPLES = Path(__file__).parents[2] / "examples"


def page(name):
    """A file of examples/ as a module."""
    spec = importlib.util.spec_from_file_location(f"{name}_page", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cooperative_game", "md_gan"])
def test_a_page_is_a_page(name):
    lines = (EXAMPLES / f"{name}.py").read_text().splitlines()
    assert len(lines) <= 100
    assert max(map(len, lines)) <= 100


# ----------------------------------------------------------------------------- the cooperative game

SHARES = Space({"digit": Variable(kind="categorical", classes=10)})
ALPHA = ((0.5, 0.25, 0.25), (0.125, 0.25, 0.625), (0.75, 0.0, 0.25))
"""Asymmetric, and n·α_ij are whole numbers for n = 800."""


def data(seed):
    generator = stream(seed, "sites")
    return [
        torch.randint(low, high, (40,), generator=generator)
        for low, high in ((0, 4), (3, 8), (7, 10))
    ]


def test_the_page_plays_the_librarys_game():
    cooperative = page("cooperative_game")
    names = ["p0", "p1", "p2"]
    labels = data(3)
    game = SampleExchange(alpha=ALPHA, samples_per_round=800, rounds=7)
    players = [
        Player(n, SHARES, SHARES.samples(digit=x), ExponentialFamily(), 1)
        for n, x in zip(names, labels, strict=True)
    ]
    engine = Local()
    engine.start(players, game)
    state = game.start(names, 1)
    sent = {}
    for round in range(1, 7):
        state, _ = game.play(engine, state, round)
        for (sender, receiver), samples in state.payload.items():
            sent[round, names.index(sender), names.index(receiver)] = samples["digit"]
    engine.close()
    models = [cooperative.Categorical() for _ in names]
    drawn = []

    def draw(round, sender, receiver, count):
        """Return what the library's player drew, from shares that must be the page's."""
        samples = sent[round, sender, receiver]
        assert len(samples) == count
        drawn.append((round, sender, receiver))
        return samples

    cooperative.play(labels, models, torch.tensor(ALPHA, dtype=torch.float64), 6, 800, draw)
    assert set(drawn) == set(sent)
    for player, model in zip(players, models, strict=True):
        assert torch.allclose(player.model.moments, model.shares[:-1], atol=1e-9)


def test_the_pages_influence_is_the_librarys():
    alpha = torch.tensor(ALPHA, dtype=torch.float64)
    assert torch.allclose(
        page("cooperative_game").influence(alpha), equilibrium.influence_matrix(alpha)
    )


# ------------------------------------------------------------------------------------------- MD-GAN


class Generator(nn.Module):
    """A library's generator as the page's: from noise alone."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, noise):
        return self.net(noise, None)


def gradient(net):
    return torch.cat([parameter.grad.flatten() for parameter in net.parameters()])


@pytest.mark.parametrize(("n", "k"), [(1, 1), (4, 1), (4, 3)])
def test_the_page_takes_the_librarys_iterations(n, k):
    """Three iterations, with a swap after each where there are two workers or more."""
    md_gan = page("md_gan")
    model = acgan()
    game = MdGan(local_steps=1, batches=k, swap_every_epochs=1e-9)
    t = Table(game, model, [12 + i for i in range(n)], PLAIN)
    generator = Generator(copy.deepcopy(t.net("server", "generator")))
    adam = torch.optim.Adam(generator.parameters(), 0.01, (0.5, 0.999))
    workers = []
    for name in t.workers:
        net = copy.deepcopy(t.net(name))
        images = centred(t.data[name]["image"])
        workers.append(
            md_gan.Worker(images, net, torch.optim.Adam(net.parameters(), 0.01, (0.5, 0.999)))
        )
    for iteration in (1, 2, 3):
        t.play()
        noise = [asked(iteration, j, model, PLAIN)[0].float() for j in range(k)]
        real = []
        for name, worker in zip(t.workers, workers, strict=True):
            rows = torch.randint(
                len(worker.images), (4,), generator=stream(SEED, "real", iteration, name)
            )
            real.append(worker.images[rows])
        md_gan.global_iteration(generator, adam, workers, noise, real)
        assert apart(gradient(generator), gradient(t.net("server", "generator"))) < 1e-5
        if n > 1:
            md_gan.swap(workers, stream(SEED, "swap", iteration))
    assert apart(flat(generator.parameters()), t.values("server", "generator")) < 1e-5
    for name, worker in zip(t.workers, workers, strict=True):
        assert apart(flat(worker.net.parameters()), t.values(name)) < 1e-5
