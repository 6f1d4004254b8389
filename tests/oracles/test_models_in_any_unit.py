"""Models learn and draw alike whatever the units of their variables are."""

import functools
import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from coplay import Mixture, Player, Variable
from coplay.core.errors import ConfigError, ModelError
from coplay.core.space import Space
from coplay.core.streams import stream
from coplay.games.distillation import Distillation
from coplay.models.base import OWN, Portion
from coplay.models.conditionals import Conditionals
from coplay.models.conv_hvae import ConvHvae
from coplay.models.estimator import Estimator
from coplay.models.exponential_family import ExponentialFamily
from coplay.models.joint_classifier import JointClassifier
from coplay.models.likelihood import log_prob

REAL = Variable(kind="real")
N = 1000


def normal(seed, n=N):
    return torch.randn(n, generator=stream(seed, "normal"), dtype=torch.float64)


COLUMNS = {
    "age": 12 + 1.25 * normal(1),
    "income": 40_000 + 5_000 * normal(2),
    "grams": 1e-6 * (normal(1) + normal(3)),
    "cells": 1e9 * normal(4),
    "time": 1e6 + normal(5),
    "constant": torch.full((N,), 7e8, dtype=torch.float64),
}


def rows_of(space):
    columns = {name: COLUMNS[name].float() for name in space}
    return space.samples(**columns)


def learned(model, space, samples, steps=1):
    model.setup(space, 1)
    numbers = model.learn(Mixture((Portion(OWN, samples, 1.0),)), steps, stream(4))
    return model, numbers


def check_like_the_columns(drawn, space):
    """Mean and deviation of every column are those of the data."""
    space.check(drawn, "draws", complete=True)
    for name in space:
        real = COLUMNS[name]
        values = drawn[name].double()
        deviation = max(real.std().item(), 1e-30)
        assert abs(values.mean() - real.mean()) < 0.15 * deviation + 1e-7 * real.abs().max(), name
        if real.std() > 0:
            assert values.std().item() == pytest.approx(deviation, rel=0.15), name
    correlation = np.corrcoef(drawn["age"].numpy(), drawn["grams"].numpy())[0, 1]
    assert correlation == pytest.approx(math.sqrt(0.5), abs=0.1)


@pytest.mark.parametrize(
    "model",
    [
        ExponentialFamily(),
        Estimator(arguments={"n_components": 1}),
        Estimator(estimator="sklearn.neighbors:KernelDensity", arguments={"bandwidth": 0.1}),
    ],
    ids=["exponential family", "mixture", "kernel density"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_column_of_any_unit_is_drawn_as_it_is(model, dtype):
    space = Space({name: REAL for name in COLUMNS})
    samples = rows_of(space)
    for name in space:
        samples[name] = samples[name].to(dtype)
    model, _ = learned(model.fresh(), space, samples)
    drawn = model.sample(2000, stream(5))
    check_like_the_columns(drawn, space)
    assert {drawn[name].dtype for name in space} == {dtype}
    again = model.fresh()
    again.setup(space, 1)
    again.load_state_dict(model.state_dict())
    assert all(
        torch.equal(again.sample(99, stream(6))[v], model.sample(99, stream(6))[v]) for v in space
    )


QUICK = {"hidden": 32, "learning_rate": 1e-2, "decay_steps": 250, "sample_sweeps": 15}


@pytest.mark.parametrize(
    ("unit", "origin", "other"),
    [
        (1.0, 0.0, {"income": Variable(kind="real", low=0, high=1e9)}),
        (1.0, 1e6, {"grams": REAL, "income": Variable(kind="real", low=0)}),
        (1e9, 0.0, {"grams": REAL, "constant": REAL}),
        (1e-6, 0.0, {"cells": REAL}),
    ],
)
def test_conditionals_draw_two_classes_at_their_own_means(unit, origin, other):
    """Means of 12 and 17: beside a column around 40,000 they were −0.6 and 1.0."""
    labels = torch.arange(N) % 2
    age = torch.where(labels == 0, 12.0, 17.0) + 1.25 * normal(9)
    space = Space({"class": Variable(kind="categorical", classes=2), "age": REAL, **other})
    columns = {name: COLUMNS[name].float() for name in other}
    if "income" in columns:
        columns["income"] = columns["income"].clamp_min(0)
    samples = space.samples(**{"class": labels}, age=(origin + unit * age).float(), **columns)
    model, numbers = learned(Conditionals(**QUICK), space, samples, steps=250)
    drawn = space.check(model.sample(1500, stream(5)), "draws", complete=True)
    for c, mean in ((0, 12.0), (1, 17.0)):
        ages = (drawn["age"][drawn["class"] == c].double() - origin) / unit
        assert ages.mean().item() == pytest.approx(mean, abs=0.4)
        assert ages.std().item() == pytest.approx(1.25, abs=0.4)
    # −log p(age | class) of a Gaussian of deviation 1.25, in own units
    entropy = math.log(1.25 * unit) + 0.5 * math.log(2 * math.pi * math.e)
    assert numbers["p(age)_loss"] == pytest.approx(entropy, abs=0.5)
    again = model.fresh()
    again.setup(space, 1)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.sample(20, stream(6))["age"], model.sample(20, stream(6))["age"])


def test_conditionals_complete_what_is_missing_and_leave_what_is_there():
    space = Space({"a": REAL, "b": REAL})
    a = 1e6 + normal(1)
    b = 4e4 + 5e3 * (a - 1e6)
    model, _ = learned(Conditionals(**QUICK), space, space.samples(a=a, b=b), steps=250)
    known = space.only(["a"]).samples(a=a[:200])
    completed = model.complete(known, stream(3))
    assert torch.equal(completed["a"], a[:200])
    assert np.corrcoef(completed["b"].numpy(), b[:200].numpy())[0, 1] > 0.9
    assert abs(completed["b"].mean() - b[:200].mean()) < 1500


def test_a_variable_that_only_others_observe_gets_their_scale():
    space = Space({"a": REAL, "b": REAL})
    own = Portion(OWN, space.only(["a"]).samples(a=1e6 + normal(1)), 0.5)
    model = Conditionals(**(QUICK | {"decay_steps": 500}))
    model.setup(space, 1)
    model.learn(Mixture((Portion(OWN, own.samples, 1.0),)), 20, stream(1))
    others = space.samples(a=1e6 + normal(2), b=4e4 + 5e3 * normal(3))
    model.learn(Mixture((own, Portion("south", others, 0.5))), 500, stream(2))
    drawn = model.sample(1000, stream(3))
    assert abs(drawn["b"].double().mean() - 4e4) < 1500
    assert drawn["b"].double().std().item() == pytest.approx(5e3, rel=0.25)


def test_draws_stay_within_the_agreed_range_of_a_variable():
    space = Space({"x": Variable(kind="real", low=0.1, high=0.7), "b": Variable(kind="binary")})
    x = 0.1 + 0.6 * torch.rand(400, generator=stream(1), dtype=torch.float64).float() * 0.999
    bits = (x > 0.4).to(torch.uint8)
    model, _ = learned(Conditionals(**QUICK), space, space.samples(x=x, b=bits), steps=60)
    space.check(model.sample(3000, stream(2)), "draws", complete=True)


def test_log_p_of_a_gaussian_is_that_of_its_closed_form():
    space = Space({"income": REAL})
    income = 40_000 + 5_000 * normal(1, 4000)
    exact = Normal(income.mean(), income.std(correction=0)).log_prob(income)
    model, _ = learned(ExponentialFamily(), space, space.samples(income=income))
    assert torch.allclose(model.log_prob(space.samples(income=income)), exact, atol=1e-9)
    _, numbers = learned(
        Estimator(arguments={"n_components": 1, "reg_covar": 1e-12}),
        space,
        space.samples(income=income),
    )
    assert numbers["log_likelihood"] == pytest.approx(exact.mean().item(), abs=1e-6)
    assert exact.mean().item() == pytest.approx(-math.log(5_000) - 1.419, abs=0.05)


def test_moments_are_in_own_units_and_exact_beside_any_other_column():
    space = Space({name: REAL for name in ("age", "income", "grams")})
    samples = space.samples(**{name: COLUMNS[name] for name in space})
    model, _ = learned(ExponentialFamily(), space, samples)
    mean, covariance = model.family.blocks[0][1].split(model.moments)
    table = torch.stack([COLUMNS[name] for name in space], 1)
    assert torch.allclose(mean, table.mean(0), rtol=1e-9, atol=0)
    centred = table - table.mean(0)
    assert torch.allclose(covariance, centred.T @ centred / N, rtol=1e-6, atol=1e-16)
    model.best_response(model.moments)
    assert model.log_prob(samples).isfinite().all()


def test_log_p_of_a_constant_column_is_a_number_and_no_failure():
    space = Space({"age": REAL, "constant": REAL})
    model, _ = learned(ExponentialFamily(), space, rows_of(space))
    assert (model.log_prob(rows_of(space)) == -math.inf).all()


def pictures(unit, origin, **limits):
    """Pictures of 4×4 whose left half is dark in class 0 and bright in class 1."""
    space = Space(
        {
            "image": Variable(kind="real", shape=(4, 4), **limits),
            "class": Variable(kind="categorical", classes=2),
        }
    )
    labels = torch.arange(400) % 2
    x = 0.4 + 0.05 * torch.randn(400, 4, 4, generator=stream(1))
    x[:, :, :2] += 0.4 * labels[:, None, None]
    return space, space.samples(image=origin + unit * x, **{"class": labels})


SMALL = {"latents": (3, 6), "channels": 4, "hidden": 32, "batch": 64}


@functools.cache
def log_p_between_0_and_1(kind):
    space, samples = pictures(1.0, 0.0)
    model, _ = learned(kind(**SMALL), space, samples, steps=200)
    return log_prob(model, samples, 32, stream(3)).value.mean().item()


@pytest.mark.parametrize(
    ("unit", "origin", "limits"),
    [(1e4, 0.0, {}), (1e-6, 0.0, {}), (255.0, 0.0, {"low": 0, "high": 255}), (1e3, 1e6, {})],
)
@pytest.mark.parametrize("kind", [ConvHvae, JointClassifier])
def test_pictures_of_any_unit_are_learned_as_those_between_0_and_1(kind, unit, origin, limits):
    space, samples = pictures(unit, origin, **limits)
    model, _ = learned(kind(**SMALL), space, samples, steps=200)
    drawn = space.check(model.sample(600, stream(2)), "draws", complete=True)
    for c, level in ((0, 0.4), (1, 0.8)):
        left = (drawn["image"][drawn["class"] == c][:, :, :2].double() - origin) / unit
        assert left.mean().item() == pytest.approx(level, abs=0.08)
    in_own = log_prob(model, samples, 32, stream(3)).value.mean().item()
    # log p changes by −log of the unit for each of 16 pixels, and little by how it is learned
    assert in_own == pytest.approx(log_p_between_0_and_1(kind) - 16 * math.log(unit), abs=5.0)
    if kind is JointClassifier:
        right = model.classify(samples).argmax(1) == samples["class"]
        assert right.double().mean() > 0.97
        half = space.only(["image"]).restrict(samples)
        completed = model.complete(half, stream(4))
        assert (completed["class"] == samples["class"]).double().mean() > 0.9
        assert torch.equal(completed["image"], samples["image"])


def test_classifiers_that_travel_need_an_agreed_range():
    space, samples = pictures(1.0, 0.0)
    players = [
        Player(name, space, samples, JointClassifier.tiny(), seed=1) for name in ("north", "south")
    ]
    with pytest.raises(ConfigError, match=r"'north': in distillation .* a range, low and high"):
        Distillation.tiny().check(players)
    space, samples = pictures(0.5, 0.0, low=0, high=1)
    samples["image"] = samples["image"].clamp(0, 1)
    players = [
        Player(name, space, samples, JointClassifier.tiny(), seed=1) for name in ("north", "south")
    ]
    Distillation.tiny().check(players)


class Rule:
    """Draws incomes around 40,000 whatever it was fitted on, which it keeps."""

    def __init__(self):
        self.least = 0.0

    def fit(self, rows):
        self.least = float(rows.min())

    def sample(self, n):
        return 40_000.0 + np.arange(float(n))[:, None]


def test_an_estimator_of_ones_own_sees_and_draws_numbers_as_they_are():
    space = Space({"income": REAL})
    income = 2.0**53 - 1 - torch.arange(50, dtype=torch.float64)
    model, _ = learned(Estimator(estimator=f"{__name__}:Rule"), space, space.samples(income=income))
    assert model._model.least == income.min().item()
    drawn = model.sample(20, stream(1))["income"]
    assert sorted(drawn.tolist()) == [40_000.0 + k for k in range(20)]
    assert drawn.dtype == torch.float64


def test_two_players_of_different_units_send_each_other_their_own_units():
    space = Space({"x": REAL})
    own = {"north": 20_000 + 300 * normal(1).float(), "south": 80_000 + 300 * normal(2).float()}
    models = {}
    for name, values in own.items():
        model, _ = learned(Estimator(arguments={"n_components": 1}), space, space.samples(x=values))
        models[name] = model
    assert abs(models["north"].sample(500, stream(1))["x"].mean() - 20_000) < 100
    sent = models["south"].sample(N, stream(2))
    mixture = Mixture(
        (Portion(OWN, space.samples(x=own["north"]), 0.5), Portion("south", sent, 0.5))
    )
    both = Estimator(arguments={"n_components": 2})
    both.setup(space, 1)
    both.learn(mixture, 1, stream(3))
    drawn = both.sample(2000, stream(4))["x"]
    assert abs((drawn > 50_000).double().mean() - 0.5) < 0.05
    assert drawn[drawn > 50_000].std().item() == pytest.approx(300, rel=0.15)


def test_a_wrong_state_is_refused():
    space = Space({"x": REAL})
    model = ExponentialFamily()
    model.setup(space, 1)
    with pytest.raises(ModelError, match="expected 2 finite moments"):
        model.load_state_dict({"moments": torch.zeros(3)})
