"""Families against closed forms."""

import math

import pytest
import torch

from coplay import Mixture, Space, Variable
from coplay.core.streams import stream
from coplay.models.base import OWN, Portion
from coplay.models.exponential_family import ExponentialFamily
from coplay.models.families import BernoulliBlock, GaussianBlock, PoissonBlock, ProductFamily


def test_mean_of_each_family_by_hand():
    theta = torch.tensor([0.3, -1.2], dtype=torch.float64)
    bits = ProductFamily(Space({"x": Variable(kind="binary", shape=(2,))}))
    assert torch.allclose(bits.mean(theta), torch.sigmoid(theta))
    counts = ProductFamily(Space({"x": Variable(kind="count", shape=(2,))}))
    assert torch.allclose(counts.mean(theta), theta.exp())
    letters = ProductFamily(Space({"x": Variable(kind="categorical", classes=3)}))
    assert torch.allclose(letters.mean(theta), torch.cat([theta, torch.zeros(1)]).softmax(0)[:2])


def test_log_prob_against_torch_distributions():
    g = stream(1)
    x = torch.randn(5, 3, generator=g, dtype=torch.float64)
    mean = torch.tensor([0.1, -0.4, 0.7], dtype=torch.float64)
    root = torch.randn(3, 3, generator=g, dtype=torch.float64)
    covariance = root @ root.T + torch.eye(3)
    space = Space({"x": Variable(kind="real", shape=(3,))})
    family = ProductFamily(space)
    moments = GaussianBlock(3).join(mean, covariance)
    expected = torch.distributions.MultivariateNormal(mean, covariance).log_prob(x)
    assert torch.allclose(family.log_prob(moments, space.samples(x=x)), expected, atol=1e-10)

    counts = Space({"x": Variable(kind="count", shape=(2,))})
    n = torch.tensor([[0, 3], [5, 1]])
    rate = torch.tensor([1.5, 2.5], dtype=torch.float64)
    expected = torch.distributions.Poisson(rate).log_prob(n.double()).sum(1)
    assert torch.allclose(
        ProductFamily(counts).log_prob(rate, counts.samples(x=n)), expected, atol=1e-12
    )


def test_an_impossible_value_has_probability_zero_and_a_certain_one_does_not_make_nan():
    space = Space({"x": Variable(kind="count")})
    model = ExponentialFamily()
    model.setup(space, 1)
    model.best_response(torch.tensor([0.0], dtype=torch.float64))
    assert model.log_prob(space.samples(x=torch.tensor([0, 1]))).tolist() == [0.0, -math.inf]


@pytest.mark.parametrize(
    "variable",
    [
        Variable(kind="binary", shape=(2,)),
        Variable(kind="categorical", classes=4),
        Variable(kind="count", shape=(2,)),
        Variable(kind="real", shape=(2,)),
    ],
    ids=lambda v: v.kind,
)
def test_samples_have_the_moments(variable):
    space = Space({"x": variable})
    model = ExponentialFamily()
    model.setup(space, 1)
    target = {
        "binary": torch.tensor([0.2, 0.9]),
        "categorical": torch.tensor([0.1, 0.5, 0.3]),
        "count": torch.tensor([0.5, 4.0]),
        "real": GaussianBlock(2).join(
            torch.tensor([1.0, -1.0]), torch.tensor([[2.0, 0.9], [0.9, 1.0]])
        ),
    }[variable.kind].double()
    model.best_response(target)
    n = 40_000
    features = model.family.features(model.sample(n, stream(3)))
    error = features.std(0) / math.sqrt(n)
    assert ((features.mean(0) - target).abs() <= 4.5 * error + 1e-12).all()


def test_learning_matches_the_weighted_moments():
    space = Space({"x": Variable(kind="binary", shape=(2,))})
    model = ExponentialFamily()
    model.setup(space, 1)
    own = space.samples(x=torch.tensor([[1, 1], [1, 0]], dtype=torch.uint8))
    peer = space.samples(x=torch.tensor([[0, 0]], dtype=torch.uint8))
    model.learn(Mixture((Portion(OWN, own, 0.25), Portion("peer", peer, 0.75))), 1, stream(1))
    assert torch.allclose(model.moments, torch.tensor([0.25, 0.125], dtype=torch.float64))


class TestMissing:
    """EM for a monotone pattern has a closed form.

    Regress y on x where both are observed, and take the law of x from all rows.
    """

    SPACE = Space({"x": Variable(kind="real"), "y": Variable(kind="real")})

    def parts(self):
        g = stream(1)
        x = torch.randn(500, generator=g, dtype=torch.float64)
        y = 0.8 * x + 0.5 * torch.randn(500, generator=g, dtype=torch.float64) + 1
        more = torch.randn(300, generator=g, dtype=torch.float64) * 2 + 1
        full = self.SPACE.samples(x=x, y=y)
        return full, self.SPACE.only(["x"]).samples(x=more)

    def test_em_reaches_the_closed_form(self):
        full, only_x = self.parts()
        weights = (0.4, 0.6)
        model = ExponentialFamily(em_steps=5000, em_tolerance=1e-13)
        model.setup(self.SPACE, 1)
        model.learn(
            Mixture((Portion(OWN, full, weights[0]), Portion("peer", only_x, weights[1]))),
            1,
            stream(1),
        )
        mean, covariance = GaussianBlock(2).split(model.moments)

        x_mean = weights[0] * full["x"].mean() + weights[1] * only_x["x"].mean()
        x_square = weights[0] * full["x"].square().mean() + weights[1] * only_x["x"].square().mean()
        x_variance = x_square - x_mean**2
        centred = full["x"] - full["x"].mean()
        slope = (centred * full["y"]).mean() / centred.square().mean()
        intercept = full["y"].mean() - slope * full["x"].mean()
        noise = (full["y"] - intercept - slope * full["x"]).square().mean()
        expected_mean = torch.stack([x_mean, intercept + slope * x_mean])
        cross = slope * x_variance
        expected = torch.stack(
            [torch.stack([x_variance, cross]), torch.stack([cross, slope**2 * x_variance + noise])]
        )
        assert torch.allclose(mean, expected_mean, atol=1e-8)
        assert torch.allclose(covariance, expected, atol=1e-8)

    def test_a_variable_nobody_sent_stays_as_it_was(self):
        _, only_x = self.parts()
        model = ExponentialFamily()
        model.setup(Space({"x": Variable(kind="real"), "bit": Variable(kind="binary")}), 1)
        model.learn(Mixture((Portion("peer", only_x, 1.0),)), 1, stream(1))
        assert model.moments[0] == 0.5
        assert model.moments[1].item() == pytest.approx(only_x["x"].mean().item())


def test_blocks_start_inside_the_polytope():
    space = Space(
        {
            "b": Variable(kind="binary"),
            "c": Variable(kind="categorical", classes=3),
            "n": Variable(kind="count"),
            "r": Variable(kind="real", shape=(2,)),
        }
    )
    model = ExponentialFamily()
    model.setup(space, 1)
    assert torch.isfinite(model.family.natural(model.moments)).all()
    assert {type(b) for _, b in model.family.blocks} >= {
        BernoulliBlock,
        PoissonBlock,
        GaussianBlock,
    }
