"""Models where weights, sizes and steps are unlike, against formulas written out."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from coplay import Mixture, Space, Variable
from coplay.core.errors import ModelError
from coplay.core.streams import stream
from coplay.models import neural
from coplay.models.base import OWN, LocalModel, Portion
from coplay.models.conditionals import Conditionals
from coplay.models.conv_hvae import ConvHvae
from coplay.models.estimator import Estimator, _in_proportion
from coplay.models.exponential_family import ExponentialFamily
from coplay.models.families import CategoricalBlock, GaussianBlock, PoissonBlock, ProductFamily
from coplay.models.joint_classifier import JointClassifier
from coplay.models.likelihood import LogProb, from_weights, gain
from coplay.models.neural import NeuralModel
from coplay.models.symmetric_hvae import SymmetricHvae
from coplay.nets.training import FLOPS
from tests.oracles import small_gans

BIT = Space({"x": Variable(kind="binary")})
NUMBER = Space({"x": Variable(kind="real")})


def numbers(*values):
    return NUMBER.samples(x=torch.tensor(values))


# ----------------------------------------------------------------------------------------- mixtures


def test_every_portion_has_its_own_mass_and_every_sample_an_even_part_of_it():
    parts = (
        Portion(OWN, numbers(0.0, 0.0), 0.1),
        Portion("a", numbers(1.0), 0.3),
        Portion("b", numbers(2.0, 2.0, 2.0), 0.6),
    )
    samples, weights = Mixture(parts).weighted()
    assert samples["x"].tolist() == [0, 0, 1, 2, 2, 2]
    assert weights.tolist() == pytest.approx([0.05, 0.05, 0.3, 0.2, 0.2, 0.2])


def test_only_what_all_portions_have_is_common():
    space = Space({"x": Variable(kind="real"), "y": Variable(kind="real")})
    both = space.samples(x=torch.zeros(2), y=torch.ones(2))
    samples, _ = Mixture((Portion(OWN, both, 0.5), Portion("a", numbers(3.0), 0.5))).weighted()
    assert list(samples.keys()) == ["x"]


def test_draws_are_in_proportion_and_reach_every_row():
    parts = (
        Portion(OWN, numbers(0.0, 1.0, 2.0), 0.25),
        Portion("a", numbers(10.0, 11.0), 0.75),
        Portion("b", numbers(20.0), 0.0),
    )
    drawn = Mixture(parts).drawn(400, stream(1))
    assert {name: len(part) for name, part in drawn.items()} == {OWN: 100, "a": 300}
    assert sorted(drawn[OWN]["x"].unique().tolist()) == [0, 1, 2]
    counts = [int((drawn["a"]["x"] == value).sum()) for value in (10, 11)]
    assert sum(counts) == 300
    assert abs(counts[0] - 150) < 50


# ----------------------------------------------------------------------------- exponential families


def family_on(space, **settings):
    model = ExponentialFamily(**settings)
    model.setup(space, 1)
    return model


def test_a_variable_is_averaged_over_those_that_have_it_by_their_weights():
    space = Space({"x": Variable(kind="binary"), "n": Variable(kind="count")})
    model = family_on(space)
    parts = (
        Portion(OWN, space.samples(x=torch.tensor([1, 1, 0], dtype=torch.uint8)), 0.2),
        Portion("a", space.samples(n=torch.tensor([4, 8])), 0.5),
        Portion("b", space.samples(x=torch.tensor([0], dtype=torch.uint8)), 0.3),
    )
    told = model.learn(Mixture(parts), 1, stream(1))
    assert model.moments.tolist() == pytest.approx([0.2 * 2 / 3 / 0.5, 6.0])
    assert told["moment_change"] == pytest.approx(5.0)
    assert model.learn(Mixture(parts), 1, stream(1))["moment_change"] == 0.0
    fallen = (Portion("a", space.samples(n=torch.tensor([1, 2])), 1.0),)
    assert model.learn(Mixture(fallen), 1, stream(1))["moment_change"] == pytest.approx(4.5)


def test_one_step_of_expectation_maximisation_of_two_that_share_nothing():
    """x and y are never seen together: regression by the present covariance completes both."""
    space = Space({"x": Variable(kind="real"), "y": Variable(kind="real")})
    model = family_on(space, em_steps=1)
    mean = torch.tensor([0.5, -1.0], dtype=torch.float64)
    covariance = torch.tensor([[2.0, 0.6], [0.6, 1.0]], dtype=torch.float64)
    model.best_response(GaussianBlock(2).join(mean, covariance))
    x = torch.tensor([1.0, 3.0, 2.5], dtype=torch.float64)
    y = torch.tensor([-2.0, 0.5], dtype=torch.float64)
    z = Space({"z": Variable(kind="real")}).samples(z=torch.zeros(2))
    parts = (
        Portion(OWN, space.samples(x=x), 0.2),
        Portion("a", space.samples(y=y), 0.3),
        Portion("none", z, 0.5),
    )
    model.learn(Mixture(parts), 1, stream(1))
    y_given_x = -1.0 + 0.6 / 2.0 * (x - 0.5)
    x_given_y = 0.5 + 0.6 / 1.0 * (y + 1.0)
    rest_y = 1.0 - 0.6**2 / 2.0
    rest_x = 2.0 - 0.6**2 / 1.0

    def mixed(of_x, of_y):
        return (0.4 * of_x.mean() + 0.6 * of_y.mean()).item()

    cross = mixed(x * y_given_x, x_given_y * y)
    expected = [
        mixed(x, x_given_y),
        mixed(y_given_x, y),
        mixed(x**2, x_given_y**2 + rest_x),
        cross,
        cross,
        mixed(y_given_x**2 + rest_y, y**2),
    ]
    assert model.moments.tolist() == pytest.approx(expected, abs=1e-10)


def test_moments_are_the_models_own():
    model = family_on(BIT)
    given = torch.tensor([0.25], dtype=torch.float64)
    model.best_response(given)
    given.fill_(0.9)
    assert model.moments.item() == 0.25
    model.moments.fill_(0.9)
    assert model.moments.item() == 0.25


@pytest.mark.parametrize("wrong", [[math.nan], [math.inf], [0.5, 0.5]])
def test_moments_that_are_none_are_refused_and_change_nothing(wrong):
    model = family_on(BIT)
    with pytest.raises(ModelError, match="1 finite moments"):
        model.best_response(torch.tensor(wrong))
    assert model.moments.item() == 0.5


def test_draws_of_a_limited_variable_stay_within_its_limits():
    space = Space({"x": Variable(kind="real", low=-0.5, high=0.25)})
    drawn = family_on(space).sample(500, stream(1))["x"]
    assert (drawn.min().item(), drawn.max().item()) == (-0.5, 0.25)


def test_densities_of_unlike_numbers_are_torchs():
    space = Space({"n": Variable(kind="count", shape=(3,)), "r": Variable(kind="real", shape=(2,))})
    family = ProductFamily(space)
    rate = torch.tensor([0.4, 2.0, 7.5], dtype=torch.float64)
    mean = torch.tensor([1.0, -2.0], dtype=torch.float64)
    covariance = torch.tensor([[2.0, -0.7], [-0.7, 0.5]], dtype=torch.float64)
    n = torch.tensor([[0, 3, 9], [2, 0, 4]])
    r = torch.tensor([[0.3, 1.0], [-1.0, 2.0]], dtype=torch.float64)
    expected = torch.distributions.Poisson(rate).log_prob(n.double()).sum(1)
    expected += torch.distributions.MultivariateNormal(mean, covariance).log_prob(r)
    moments = torch.cat([rate, GaussianBlock(2).join(mean, covariance)])
    assert torch.allclose(family.log_prob(moments, space.samples(n=n, r=r)), expected, atol=1e-10)
    assert PoissonBlock(space["n"]).log_base(torch.tensor([[3.0, 0.0, 1.0]])).item() == (
        pytest.approx(-math.log(6))
    )


def test_gaussian_draws_have_the_covariance_and_no_density_where_there_is_none():
    """Three numbers: the eigenvectors of two may be symmetric."""
    block = GaussianBlock(3)
    mean = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    root = torch.tensor([[1.0, 0, 0], [-0.7, 0.5, 0], [1.3, 0.4, 0.8]], dtype=torch.float64)
    drawn = block.sample(block.join(mean, root @ root.T), 40_000, stream(1))
    assert torch.allclose(torch.cov(drawn.T), root @ root.T, atol=0.06)
    assert torch.allclose(drawn.mean(0), mean, atol=0.05)
    saddle = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0, -0.5], dtype=torch.float64)
    assert GaussianBlock(2).log_partition(saddle).item() == math.inf


def test_every_number_of_a_categorical_variable_has_its_own_classes():
    block = CategoricalBlock(Variable(kind="categorical", shape=(2,), classes=3))
    moments = torch.tensor([0.7, 0.2, 0.1, 0.1], dtype=torch.float64)
    drawn = block.sample(moments, 20_000, stream(1))
    for column, shares in zip(drawn.T, ([0.7, 0.2, 0.1], [0.1, 0.1, 0.8]), strict=True):
        counts = column.long().bincount(minlength=3) / 20_000
        assert counts.tolist() == pytest.approx(shares, abs=0.02)
    theta = [math.log(7), math.log(2), math.log(1 / 8), math.log(1 / 8)]
    assert block.natural(moments).tolist() == pytest.approx(theta)


def test_real_variables_stand_in_the_order_of_the_space():
    space = Space({"b": Variable(kind="real"), "a": Variable(kind="real", shape=(2,))})
    features = ProductFamily(space).features(
        space.samples(b=torch.tensor([5.0]), a=torch.tensor([[1.0, 2.0]]))
    )
    assert features[0, :3].tolist() == [5.0, 1.0, 2.0]
    assert features[0, 3:].tolist() == [25, 5, 10, 5, 1, 2, 10, 2, 4]


# -------------------------------------------------------------------------------------- likelihoods


def test_the_estimate_and_its_error_from_two_unlike_weights():
    """Weights 1 and 1.2: mean 1.1, variance 0.02, so v = 0.02 / (2 · 1.1²)."""
    v = 0.02 / (2 * 1.1**2)
    found = from_weights(torch.tensor([[0.0], [math.log(1.2)]]))
    assert found.value.item() == pytest.approx(math.log(1.1) + v / 2, rel=1e-6)
    assert found.error.item() == pytest.approx(math.sqrt(v), rel=1e-6)


def test_errors_of_samples_add_up_in_squares():
    found = LogProb(torch.tensor([-1.0, -4.0, -4.0]), torch.tensor([0.1, 0.2, 0.2]))
    middle, low, high = found.mean
    assert middle == pytest.approx(-3.0)
    assert high - middle == pytest.approx(1.96 * 0.3 / 3)
    assert middle - low == pytest.approx(1.96 * 0.3 / 3)


class Counter(LocalModel):
    """A table of 40 numbers; learning adds k to the k-th of them, once a step."""

    def setup(self, space, seed):
        self._table = torch.zeros(40, dtype=torch.float64)
        self._taught = []

    def learn(self, mixture, steps, generator):
        self._taught = list(mixture.parts)
        for k in range(40):
            self._table[k] += k * steps
        return {}

    def sample(self, n, generator):
        return numbers(*[0.0] * n)

    def state_dict(self):
        return {"table": self._table}

    def load_state_dict(self, state):
        self._table = state["table"]


class Table(Counter):
    """log p of a number is what the table says."""

    def log_prob(self, samples):
        return self._table[samples["x"].long()]


def tables():
    model, twin = Table(), Table()
    model.setup(NUMBER, 1)
    twin.setup(NUMBER, 1)
    return model, twin


def test_the_gain_is_measured_on_the_other_half_by_the_weights_with_the_error_of_a_mean():
    model, twin = tables()
    own = numbers(1.0, 3.0)
    peer = numbers(*map(float, range(10, 21)))
    other = numbers(*map(float, range(30, 35)))
    parts = (Portion(OWN, own, 0.5), Portion("a", peer, 0.2), Portion("b", other, 0.3))
    found = gain(model, twin, Mixture(parts), 2, 2, stream(1))
    assert not model._table.any(), "the player itself does not move"
    learned, all_of_a, all_of_b = (part.samples["x"].tolist() for part in twin._taught)
    assert learned == [1.0, 3.0]
    assert (len(all_of_a), len(all_of_b)) == (6, 3)
    measured = {}
    for name, whole, half in (("a", peer, all_of_a), ("b", other, all_of_b)):
        rest = [value for value in whole["x"].tolist() if value not in half]
        measured[name] = torch.tensor(rest, dtype=torch.float64) * 2
    expected = 0.5 * 4.0 + 0.2 * measured["a"].mean() + 0.3 * measured["b"].mean()
    variance = 0.04 * measured["a"].var() / 5 + 0.09 * measured["b"].var() / 2
    assert found.value == pytest.approx(expected.item())
    assert found.error == pytest.approx(variance.sqrt().item())
    assert found.n == 2 + 5 + 2


def test_what_stays_impossible_gains_nothing_and_a_single_sample_serves_both_halves():
    model, twin = tables()
    model._table[7] = -math.inf
    parts = (Portion(OWN, numbers(7.0, 2.0), 0.5), Portion("a", numbers(4.0), 0.5))
    found = gain(model, twin, Mixture(parts), 1, 2, stream(1))
    assert found.value == pytest.approx(0.5 * 1.0 + 0.5 * 4.0)
    assert found.error == 0.0
    assert found.n == 3


class Weighed(Counter):
    """Log weights that scatter a little, more after learning than before."""

    def log_weights(self, samples, draws, generator):
        scatter = 0.02 * (1 + self._table[1])
        signs = torch.tensor([1.0, -1.0], dtype=torch.float64)[:, None]
        return (scatter * signs).expand(2, len(samples))

    def go_on(self):
        self._went_on = True


def test_own_samples_err_by_the_weighting_of_both_models():
    model, twin = Weighed(), Weighed()
    model.setup(NUMBER, 1)
    twin.setup(NUMBER, 1)
    found = gain(
        model, twin, Mixture((Portion(OWN, numbers(1.0, 2.0, 3.0), 1.0),)), 1, 2, stream(1)
    )
    before = from_weights(torch.tensor([[0.02], [-0.02]])).error.item()
    after = from_weights(torch.tensor([[0.04], [-0.04]])).error.item()
    assert found.error == pytest.approx(math.sqrt((before**2 + after**2) / 3), rel=1e-6)
    assert twin._went_on, "a twin that had stopped is asked what it would gain"


# ----------------------------------------------------------------------------------- a neural model


class Line(NeuralModel):
    """One weight; the loss is weight · mean of x, so its gradient is that mean."""

    average: float = 0.0

    def build(self, space):
        return nn.Linear(1, 1, bias=False)

    def sides(self):
        return {"w": list(self._net.parameters())}

    def losses(self, mixture, generator):
        x = torch.cat([part["x"] for part in self.drawn(mixture, generator).values()])
        yield "w", self._net(x.mean().reshape(1, 1)).sum()

    def sample(self, n, generator):
        return numbers(*[0.0] * n)

    def validation_loss(self, samples, generator):
        told = torch.rand(len(samples), generator=generator)
        self._told = [*getattr(self, "_told", []), told]
        return samples["x"].double() + getattr(self, "_shift", 0.0)


def line(**settings):
    model = Line(**{"learning_rate": 0.5, **settings})
    model.setup(NUMBER, 3)
    return model


def ones(n, weight=1.0, name=OWN):
    return Portion(name, numbers(*[1.0] * n), weight)


def test_the_rate_holds_falls_along_a_cosine_and_stays_at_a_twentieth():
    model = line(hold_steps=3, decay_steps=4)
    rates = []
    for _ in range(9):
        before = model._net.weight.item()
        model.learn(Mixture((ones(5),)), 1, stream(1))
        # with gradients of one, every step of Adam is as large as the rate
        rates.append(before - model._net.weight.item())
    cosine = [0.05 + 0.475 * (1 + math.cos(math.pi * k / 4)) for k in range(1, 5)]
    expected = [0.5 * part for part in [1, 1, 1, *cosine, 0.05, 0.05]]
    assert rates == pytest.approx(expected, abs=1e-5)


def test_losses_are_means_over_steps_and_operations_are_all_of_them():
    model = line(decay_steps=0)
    start = model._net.weight.item()
    told = model.learn(Mixture((ones(5),)), 4, stream(1))
    assert told["w_loss"] == pytest.approx(start - 0.5 * 1.5, abs=1e-5)
    once = line().learn(Mixture((ones(5),)), 1, stream(1))[FLOPS]
    assert told[FLOPS] == 4 * once > 0


def test_gradients_of_a_step_are_of_that_step():
    model = line(learning_rate=1e-3)
    for mean in (1.0, 3.0):
        model.learn(Mixture((Portion(OWN, numbers(mean, mean), 1.0),)), 1, stream(1))
        assert model._net.weight.grad.item() == pytest.approx(mean)


def test_what_is_set_aside_is_learned_from_by_nobody_and_weighs_as_its_source():
    model = line(validation=0.25)
    parts = (
        Portion(OWN, numbers(*map(float, range(8))), 0.2),
        Portion("a", numbers(*map(float, range(100, 120))), 0.8),
    )
    teach, aside = model._set_aside(Mixture(parts))
    for whole, one, two, count in zip(parts, teach.parts, aside.parts, (2, 5), strict=True):
        assert len(two.samples) == count
        assert not set(one.samples["x"].tolist()) & set(two.samples["x"].tolist())
        assert len(one.samples) == len(whole.samples) - count
        assert one.weight == two.weight == whole.weight
    few, nothing = model._set_aside(Mixture((ones(1),)))
    assert (len(few.parts[0].samples), nothing) == (1, None)


def test_the_validation_loss_is_the_weighted_mean_with_the_same_draws_in_every_turn():
    model = line(validation=0.25)
    aside = Mixture(
        (Portion(OWN, numbers(1.0, 2.0), 0.3), Portion("a", numbers(10.0, 20.0, 30.0), 0.3))
    )
    uneven = Mixture((aside.parts[0], Portion("a", aside.parts[1].samples, 0.1)))
    assert model._validate(aside) == pytest.approx((0.3 * 1.5 + 0.3 * 20) / 0.6)
    model._step = 9
    assert model._validate(uneven) == pytest.approx((0.3 * 1.5 + 0.1 * 20) / 0.4)
    first, second = model._told[:2], model._told[2:]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_patience_counts_turns_in_a_row():
    model = line(validation=0.5, patience=2)
    aside = Mixture((Portion(OWN, numbers(0.0, 0.0), 1.0),))
    for shift, worse in ((3.0, 0), (4.0, 1), (2.0, 0), (2.0, 1), (5.0, 2)):
        assert not model.stopped
        model._shift = shift
        model._validate(aside)
        assert model._worse == worse
    assert model.stopped
    assert model._best_loss == 2.0


@pytest.mark.parametrize(("weight", "anew"), [(0.505, False), (0.55, True)])
def test_stopping_begins_anew_where_weights_have_moved(weight, anew):
    model = line(validation=0.5)
    model._note_sources({OWN: 0.5, "a": 0.5})
    model._best_loss = 1.0
    model._note_sources({OWN: weight, "a": 1 - weight})
    assert (model._best_loss == math.inf) == anew
    model._best_loss = 1.0
    model._note_sources({OWN: weight, "b": 1 - weight})
    assert model._best_loss == math.inf


def test_going_on_goes_on_from_the_best_parameters():
    model = line(validation=0.5, patience=1, average=0.5)
    aside = Mixture((Portion(OWN, numbers(0.0, 0.0), 1.0),))
    model.learn(Mixture((ones(2),)), 1, stream(1))
    model._forget_best()
    model._shift = 0.0
    model._validate(aside)
    best = model._best[0].clone()
    model.learn(Mixture((ones(2),)), 3, stream(1))
    model._shift = 1.0
    model._worse = 0
    model._best = [best]
    model._best_loss = -1.0
    model._validate(aside)
    assert model.stopped
    assert not torch.equal(model._net.weight, best)
    model.go_on()
    assert torch.equal(model._net.weight, best)
    assert torch.equal(model._mean[0], best)
    assert not model.stopped


# ------------------------------------------------------------------- hierarchical VAEs, classifiers


def test_chains_of_both_latents_count_the_bits_before():
    model = SymmetricHvae(latents=(3, 2), hidden=4)
    model.setup(Space({"x": Variable(kind="binary", shape=(2,))}), 1)
    net = model._net
    with torch.no_grad():
        net.z0_chain.copy_(torch.randn(3, 3, generator=stream(1)))
        net.z0_bias.copy_(torch.tensor([0.3, -0.7, 1.1]))
        z0 = torch.tensor([[1.0, 0.0, 1.0]])
        z1, x = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]])
        expected = 0.0
        for k in range(3):
            logit = net.z0_bias[k] + sum(net.z0_chain[k, m] * z0[0, m] for m in range(k))
            expected += F.logsigmoid(logit if z0[0, k] else -logit).item()
        free = net.log_joint(z0, z1, x).item()
        net.z0_chain.zero_()
        net.z0_bias.zero_()
        even = net.log_joint(z0, z1, x).item()
    assert free - even == pytest.approx(expected - 3 * math.log(0.5), abs=1e-5)


def test_both_sides_of_a_hierarchical_vae_descend_means_over_their_batch():
    space = Space({"x": Variable(kind="binary", shape=(2, 3))})
    for model in (
        SymmetricHvae(latents=(2, 3), hidden=4, batch=6),
        ConvHvae(latents=(2, 3), channels=1, hidden=4, batch=6),
    ):
        model.setup(space, 1)
        rows = torch.randint(2, (9, 2, 3), generator=stream(2)).to(torch.uint8)
        mixture = Mixture((Portion(OWN, space.samples(x=rows), 1.0),))
        losses = dict(model.losses(mixture, stream(3)))
        # an untrained network says about a half of every bit
        assert losses["decoder"].item() == pytest.approx((2 + 3 + 6) * math.log(2), rel=0.25)
        assert losses["encoder"].item() == pytest.approx((2 + 3) * math.log(2), rel=0.25)


def test_real_pixels_stay_within_their_limits_and_classes_have_probabilities():
    space = Space(
        {
            "image": Variable(kind="real", shape=(4, 4), low=-0.1, high=0.2),
            "class": Variable(kind="categorical", classes=3),
        }
    )
    model = ConvHvae(latents=(2, 2), channels=1, hidden=4)
    model.setup(space, 1)
    drawn = model.sample(1000, stream(1))
    assert drawn["image"].min().item() == pytest.approx(-0.1)
    assert drawn["image"].max().item() == pytest.approx(0.2)
    net = model._net
    with torch.no_grad():
        z0, z1 = torch.zeros(1, 2), torch.zeros(1, 2)
        c = net.one_hot(torch.tensor([1]))
        before = net.log_joint(z0, z1, drawn["image"][:1, None], c)
        net.decoder.c_logits.copy_(torch.tensor([2.0, 2.0 + math.log(5), 2.0]))
        after = net.log_joint(z0, z1, drawn["image"][:1, None], c)
    assert (after - before).item() == pytest.approx(math.log(5 / 7) - math.log(1 / 3), abs=1e-5)


def test_conditionals_stop_by_all_they_observe_and_learn_by_rows_of_their_own():
    """Nothing is missing, so nothing is drawn: the loss of each is a mean over the batch."""
    space = Space({"a": Variable(kind="binary", shape=(2,)), "b": Variable(kind="real")})
    model = Conditionals(hidden=4, batch=6, average=0.0)
    model.setup(space, 1)
    a = torch.tensor([[0, 1], [1, 1], [0, 0]], dtype=torch.uint8)
    samples = space.samples(a=a, b=torch.tensor([0.5, -2.0, 1.0]))
    net, g = model._net, stream(1)
    with torch.no_grad():
        of_a = net.of("a").log_prob(samples["a"], {"b": samples["b"]}, g)
        of_b = net.of("b").log_prob(samples["b"], {"a": samples["a"]}, g)
    assert torch.allclose(model.validation_loss(samples, g), -(of_a + of_b).double(), atol=1e-5)
    one = Mixture((Portion(OWN, samples[1:2], 1.0),))
    losses = dict(model.losses(one, stream(1)))
    assert losses["p(a)"].item() == pytest.approx(-of_a[1].item(), rel=1e-4)
    assert losses["p(b)"].item() == pytest.approx(-of_b[1].item(), rel=1e-4)


PICTURES = Space(
    {
        "image": Variable(kind="binary", shape=(4, 4)),
        "class": Variable(kind="categorical", classes=3),
    }
)


def joint(**settings):
    tiny = {"latents": (2, 2), "channels": 1, "hidden": 4, "batch": 10, "classifier_channels": 1}
    model = JointClassifier(**{**tiny, **settings})
    model.setup(PICTURES, 1)
    return model


def pictures(n, *names):
    values = {
        "image": torch.randint(2, (n, 4, 4), generator=stream(5)).to(torch.uint8),
        "class": torch.arange(n) % 3,
    }
    return PICTURES.samples(**{name: values[name] for name in names or values})


def test_generated_images_have_their_mass_in_the_classifiers_loss_once_grown(monkeypatch):
    model = joint(generated=0.25, generated_after=5)
    given = iter([torch.tensor(8.0), torch.tensor(2.0)])
    monkeypatch.setattr(JointClassifier, "_wrong", lambda self, x, c: next(given))
    mixture = Mixture((Portion(OWN, pictures(12), 1.0),))
    model._step = 6
    assert dict(model.losses(mixture, stream(1)))["classifier"].item() == 0.75 * 8 + 0.25 * 2
    given = iter([torch.tensor(8.0)])
    model._step = 5
    assert dict(model.losses(mixture, stream(1)))["classifier"].item() == 8.0


def test_classes_alone_count_as_rows_of_the_decoders_loss():
    model = joint(generated_after=100)
    mixture = Mixture((Portion("a", pictures(12, "class"), 1.0),))
    loss = dict(model.losses(mixture, stream(1)))["decoder"].item()
    assert loss == pytest.approx(math.log(3), abs=1e-5)


def test_early_stopping_minds_both_the_pictures_and_the_classes(monkeypatch):
    model = joint()
    samples = pictures(6)
    monkeypatch.setattr(
        neural.LatentModel, "validation_loss", lambda self, samples, g: torch.zeros(6).double()
    )
    right = model.classify(samples).gather(1, samples["class"][:, None])[:, 0]
    found = model.validation_loss(samples, stream(1))
    assert torch.allclose(found, -right.double().log())
    assert (found > 0.5).all()


def test_smoothing_gives_every_class_a_part():
    model = joint(smoothing=0.3)
    x, c = model._tensors(pictures(6))
    log_p = model._net.classifier(x).log_softmax(1)
    expected = -(log_p * (0.7 * c + 0.1)).sum(1).mean()
    assert model._wrong(x, c).item() == pytest.approx(expected.item(), rel=1e-5)


# --------------------------------------------------------------------------------------- estimators


def test_received_samples_are_used_once_and_own_ones_have_their_mass():
    parts = (
        Portion(OWN, numbers(0.0, 1.0, 2.0), 0.5),
        Portion("a", numbers(10.0, 11.0), 0.2),
        Portion("b", numbers(20.0, 21.0, 22.0), 0.3),
    )
    rows = _in_proportion(Mixture(parts), stream(1))["x"].tolist()
    assert sorted(value for value in rows if value > 5) == [10, 11, 20, 21, 22]
    own = [value for value in rows if value < 5]
    assert len(own) == 5, "half of ten rows"
    assert sorted({own.count(value) for value in (0.0, 1.0, 2.0)}) == [1, 2]


class Ascending:
    """Draws 0, 1, 2, … and says what seed it was given."""

    def __init__(self, fault=None, random_state=17):
        self.fault = fault
        self.random_state = random_state

    def fit(self, rows):
        pass

    def sample(self, n):
        rows = np.arange(float(n))[:, None]
        if self.fault is not None:
            rows[1] = self.fault
        return rows


def ascending(**arguments):
    model = Estimator(estimator=f"{__name__}:Ascending", arguments=arguments)
    model.setup(NUMBER, 1)
    return model


def test_what_an_estimator_draws_in_order_carries_no_order():
    drawn = ascending().sample(50, stream(1))["x"]
    assert sorted(drawn.tolist()) == list(range(50))
    assert drawn.tolist() != list(range(50))


@pytest.mark.parametrize("fault", [float("nan"), float("inf")])
def test_a_single_number_that_is_not_finite_is_refused(fault):
    with pytest.raises(ModelError, match="1 NaN or infinite"):
        ascending(fault=fault).sample(5, stream(1))


def test_drawing_leaves_the_seed_of_an_estimator():
    model = ascending()
    model.sample(5, stream(1))
    assert model._model.random_state == 17


# --------------------------------------------------------------------------------------------- GANs


def test_losses_of_a_gan_are_means_over_all_steps_of_either_side(monkeypatch):
    model = small_gans.acgan(discriminator_steps=3)
    model.setup(small_gans.LABELLED, 1)
    given = iter(range(1, 100))
    monkeypatch.setattr(type(model), "learn_to_judge", lambda self, *_: float(next(given)))
    mixture = Mixture((Portion(OWN, small_gans.images(small_gans.LABELLED, 9), 1.0),))
    told = model.learn(mixture, 2, stream(1))
    assert told["discriminator_loss"] == pytest.approx((1 + 2 + 3 + 4 + 5 + 6) / 6)
    assert model._class_counts.sum().item() == 2 * 3 * model.batch
    assert 0 < told["generator_loss"] < 6


def test_the_loss_beside_the_feedback_is_a_mean_and_the_feedback_a_sum():
    model = small_gans.acgan(average=0.0)
    model.setup(small_gans.PLAIN, 1)
    images = small_gans.images(small_gans.PLAIN, 4)["image"]
    slopes, loss = model.feedback(images, None)
    each = [model.feedback(image[None], None) for image in images]
    assert loss == pytest.approx(sum(one for _, one in each) / 4, rel=1e-5)
    assert torch.allclose(slopes, torch.cat([one for one, _ in each]), atol=1e-6)


def test_classes_are_asked_for_as_often_as_they_were_seen():
    model = small_gans.acgan()
    model.setup(small_gans.LABELLED, 1)
    assert model.generate(900, stream(1))[1].bincount(minlength=3).min() > 230
    model._class_counts = torch.tensor([0.0, 3.0, 1.0], dtype=torch.float64)
    counts = model.generate(900, stream(1))[1].bincount(minlength=3)
    assert counts[0] == 0
    assert counts[1].item() == pytest.approx(675, abs=50)


def test_bits_of_a_gan_are_drawn_and_not_rounded():
    space = Space({"image": Variable(kind="binary", shape=(4, 4))})
    model = small_gans.acgan(average=0.0)
    model.setup(space, 1)
    with torch.no_grad():
        for p in model.half("generator").parameters():
            p.zero_()  # tanh(0) is the middle: every bit is a fair coin
    share = model.sample(500, stream(1))["image"].double().mean().item()
    assert share == pytest.approx(0.5, abs=0.03)
