"""(A4) on a space small enough to enumerate."""

import itertools

import pytest
import torch

from coplay import Mixture, Space, Variable
from coplay.core.streams import stream
from coplay.models.base import OWN, Portion
from coplay.models.symmetric_hvae import SymmetricHvae

SPACE = Space({"x": Variable(kind="binary", shape=(3,))})
POINTS = torch.tensor(list(itertools.product([0, 1], repeat=3)), dtype=torch.uint8)


def frequencies(x):
    codes = (x.long() * torch.tensor([4, 2, 1])).sum(1)
    return torch.bincount(codes, minlength=8).double() / len(x)


def enumerate_joint(net, n0, n1):
    """Return log p(z0, z1, x) and log q(z0, z1 | x) of all configurations.

    They come from the losses of single rows.
    """
    rows = list(itertools.product([0.0, 1.0], repeat=n0 + n1 + 3))
    log_p, log_q = [], []
    for row in rows:
        z0, z1, x = (torch.tensor([part]) for part in (row[:n0], row[n0 : n0 + n1], row[n0 + n1 :]))
        log_p.append(-net.decoder_loss(z0, z1, x).item())
        log_q.append(-net.encoder_loss(z0, z1, x).item())
    shape = (2**n0, 2**n1, 8)
    return torch.tensor(log_p, dtype=torch.float64).reshape(shape), torch.tensor(
        log_q, dtype=torch.float64
    ).reshape(shape)


@pytest.mark.parametrize("prior", ["independent", "chain"])
def test_the_conditionals_are_normalised(prior):
    model = SymmetricHvae(latents=(2, 3), hidden=8, prior=prior, batch=16)
    model.setup(SPACE, 1)
    data = SPACE.samples(x=POINTS)
    model.learn(Mixture((Portion(OWN, data, 1.0),)), 50, stream(1))
    log_p, log_q = enumerate_joint(model._net, 2, 3)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-5)
    assert torch.allclose(log_q.exp().sum((0, 1)), torch.ones(8, dtype=torch.float64), atol=1e-5)


@pytest.mark.parametrize("prior", ["independent", "chain"])
def test_drawing_follows_the_densities_that_learning_uses(prior):
    """A wrong order of conditioning in either would show here."""
    model = SymmetricHvae(latents=(2, 3), hidden=8, prior=prior, batch=64, average=0.0)
    model.setup(SPACE, 1)
    skewed = SPACE.samples(x=POINTS[torch.tensor([0, 0, 0, 7, 7, 5])])
    model.learn(Mixture((Portion(OWN, skewed, 1.0),)), 100, stream(1))
    log_p, log_q = enumerate_joint(model._net, 2, 3)
    n = 60_000
    z0, z1, x = model._net.draw(n, stream(2))
    codes = torch.cat([z0, z1, x], 1).long() @ (2 ** torch.arange(7, -1, -1))
    drawn = torch.bincount(codes, minlength=256).double().reshape(4, 8, 8) / n
    assert (drawn - log_p.exp()).abs().sum() / 2 < 0.03
    point = POINTS[5].float().expand(n, -1)
    z0, z1 = model._net.encode(point, stream(3))
    codes = torch.cat([z0, z1], 1).long() @ (2 ** torch.arange(4, -1, -1))
    encoded = torch.bincount(codes, minlength=32).double().reshape(4, 8) / n
    assert (encoded - log_q[:, :, 5].exp()).abs().sum() / 2 < 0.02


def test_learns_a_known_distribution():
    truth = torch.tensor([0.3, 0.0, 0.05, 0.15, 0.0, 0.25, 0.05, 0.2])
    data = SPACE.samples(
        x=POINTS[torch.multinomial(truth, 4000, replacement=True, generator=stream(1))]
    )
    model = SymmetricHvae(latents=(3, 3), hidden=32, batch=256, decay_steps=1500, average=0.99)
    model.setup(SPACE, 1)
    model.learn(Mixture((Portion(OWN, data, 1.0),)), 1500, stream(2))
    shares = frequencies(model.sample(20_000, stream(3))["x"])
    assert (shares - frequencies(data["x"])).abs().sum().item() / 2 < 0.03


def test_the_mixture_is_learned_in_proportion_to_the_weights():
    own, peer = SPACE.samples(x=POINTS[:1].repeat(50, 1)), SPACE.samples(x=POINTS[7:].repeat(5, 1))
    model = SymmetricHvae(latents=(2, 2), hidden=16, batch=200, decay_steps=600)
    model.setup(SPACE, 1)
    model.learn(Mixture((Portion(OWN, own, 0.3), Portion("peer", peer, 0.7))), 600, stream(1))
    shares = frequencies(model.sample(20_000, stream(2))["x"])
    assert shares[0].item() == pytest.approx(0.3, abs=0.04)
    assert shares[7].item() == pytest.approx(0.7, abs=0.04)


def test_floating_point_operations_are_those_counted_by_hand():
    """A product of (B, i) and (i, o) takes 2·B·i·o.

    It takes twice that backwards, or once where the input needs no gradient.
    """
    space = Space({"image": Variable(kind="binary", shape=(3, 4))})
    size, n0, n1, hidden, batch = 12, 3, 5, 7, 10
    model = SymmetricHvae(latents=(n0, n1), hidden=hidden, batch=batch, prior="independent")
    model.setup(space, 1)
    data = space.samples(image=torch.ones(20, 3, 4, dtype=torch.uint8))
    flops = model.learn(Mixture((Portion(OWN, data, 1.0),)), 4, stream(1))["flops"]

    def perceptron(i, o, skip):
        products, first = [(i, hidden), (hidden, hidden), (hidden, o)], [(i, hidden)]
        if skip:
            products, first = [*products, (i, o)], [*first, (i, o)]
        forwards = sum(2 * batch * a * b for a, b in products)
        return forwards, 2 * forwards - sum(2 * batch * a * b for a, b in first)

    p = [perceptron(n0, n1, True), perceptron(n0 + n1, size, True)]
    q = [perceptron(size, n1, False), perceptron(n1 + size, n0, False)]
    step = sum(2 * f + b for f, b in p + q)  # each conditional draws once, and learns once
    assert flops >= 4 * step
    # The rest are products with the chains; with the independent prior these are zeros.
    chains = 2 * batch * (n0 * n0 + n1 * n1)
    assert flops == 4 * (step + chains)
