"""Columns of any unit weigh alike in the domain classifier, in distances and in models."""

import math

import pytest
import torch
from torch.distributions import Normal

from coplay import Variable
from coplay.core.scales import scale_of
from coplay.core.scaling import Scaling, squashed
from coplay.core.space import LABEL, Space, pick
from coplay.core.streams import stream
from coplay.metrics.base import Observed, Reference
from coplay.metrics.features import DomainClassifier
from coplay.metrics.memorisation import Memorisation, nearest_distances

REAL = Variable(kind="real")
N = 1500
# Columns beside an age by which two classes differ; none says anything about the class.
OTHERS = {
    "income": 4e4 + 5e3 * torch.randn(N, generator=stream(1)),
    "grams": 1e-6 * torch.randn(N, generator=stream(2)),
    "cells": 1e9 * torch.randn(N, generator=stream(3)),
    "time": 1e6 + torch.randn(N, generator=stream(4)),
    "tail": torch.randn(N, generator=stream(5)) / torch.randn(N, generator=stream(6)),
    "constant": torch.full((N,), 7e8),
    "mostly zero": torch.where(torch.rand(N, generator=stream(7)) < 0.01, 1e6, 0.0),
    "category": torch.randint(300, (N,), generator=stream(8)),
    "count": torch.poisson(torch.full((N,), 2e4), generator=stream(9)).long(),
}
KINDS = {
    "category": Variable(kind="categorical", classes=300),
    "count": Variable(kind="count"),
}


def two_ages(names, unit=1.0, origin=0.0, dtype=torch.float32):
    """Return a space, rows and classes: ages of 12 and of 17, deviation 1.25, by class."""
    labels = torch.arange(N) % 2
    noise = torch.randn(N, generator=stream(10), dtype=torch.float64)
    age = torch.where(labels == 0, 12.0, 17.0) + 1.25 * noise
    space = Space({"age": REAL, **{name: KINDS.get(name, REAL) for name in names}})
    columns = {name: OTHERS[name] for name in names}
    return space, space.samples(age=(origin + unit * age).to(dtype), **columns), labels


def accuracy(space, rows, labels):
    classifier = DomainClassifier(space, 2, seed=1)
    first = slice(1000)
    rest = slice(1000, None)
    classifier.fit(pick(rows, first), labels[first], pick(rows, rest), labels[rest], steps=300)
    return classifier.accuracy


# The best possible classifier is right on Φ(2) = 97.7 %.
@pytest.mark.parametrize("beside", [[], *([name] for name in OTHERS), list(OTHERS)])
def test_the_domain_classifier_sees_an_age_beside_any_column(beside):
    assert accuracy(*two_ages(beside)) > 0.94


@pytest.mark.parametrize("unit", [1e-6, 4e4, 1e9])
def test_the_domain_classifier_sees_an_age_of_any_unit(unit):
    assert accuracy(*two_ages(["income", "tail"], unit)) > 0.94


def test_the_domain_classifier_sees_small_differences_of_large_numbers_of_64_bits():
    assert accuracy(*two_ages(["income"], 1.0, 1e9, torch.float64)) > 0.94


def test_a_classifiers_scales_are_part_of_its_state():
    space, rows, labels = two_ages(["income", "category"])
    one = DomainClassifier(space, 2, seed=1)
    one.fit(rows, labels, rows, labels, steps=20)
    other = DomainClassifier(space, 2, seed=1)
    other.load_state_dict(one.state_dict())
    assert torch.equal(other.features(rows), one.features(rows))


def test_an_image_in_an_agreed_range_is_seen_as_it_is_to_the_last_bit():
    for low, high in ((0, 1), (-1, 1)):
        space = Space({"x": Variable(kind="real", shape=(4, 4), low=low, high=high)})
        scaling = Scaling(space)
        x = space.samples(x=0.01 * torch.rand(50, 4, 4, generator=stream(1)))
        scaling.follow([x], [1.0])
        assert scaling.standard(x) is x
        assert torch.equal(scaling.vectors(x), space.flatten(x))
        assert not scaling.state_dict()
        assert scaling.standard_space == space


def test_an_image_of_bytes_is_seen_between_ends_of_order_one():
    space = Space({"x": Variable(kind="real", shape=(2, 2), low=0, high=255)})
    x = space.samples(x=torch.tensor([[[0.0, 255.0], [51.0, 102.0]]]))
    scaling = Scaling(space)
    assert torch.allclose(scaling.vectors(x), torch.tensor([[-1.0, 1.0, -0.6, -0.2]]))
    assert torch.allclose(scaling.original(scaling.standard(x))["x"], x["x"])
    assert scaling.log_volume() == pytest.approx(4 * math.log(127.5))


def test_a_scale_is_that_of_the_bulk_whatever_a_few_values_are():
    x = 40_000 + 5_000 * torch.randn(2000, generator=stream(1))
    clean = scale_of(x, REAL)
    assert clean.centre.item() == pytest.approx(40_000, rel=0.02)
    assert 4_000 < clean.width.item() < 5_200
    for code in (-1e30, 999_999.0, 1e12):
        coded = torch.cat([x, torch.full((80,), code)])
        scale = scale_of(coded, REAL)
        assert abs(scale.centre - clean.centre) < 0.2 * clean.width
        assert scale.width == pytest.approx(clean.width.item(), rel=0.2)


def test_a_constant_is_its_own_centre_with_width_1():
    for value in (0.0, 1e9, -3e-7, 0.1):
        scale = scale_of(torch.full((1001,), value), REAL)
        assert scale.centre.item() == torch.tensor(value).double().item()
        assert scale.divisor.item() == 1.0
    one_row = scale_of(torch.tensor([5.0]), REAL)
    assert (one_row.centre.item(), one_row.divisor.item()) == (5.0, 1.0)


def test_what_is_rarely_not_zero_still_has_a_width():
    x = torch.zeros(1000)
    x[:20] = 1e6
    assert scale_of(x, REAL).width.item() == pytest.approx(1e6 * math.sqrt(0.02 * 0.98), rel=1e-5)


def test_components_of_a_vector_have_scales_of_their_own_and_a_signal_has_one():
    x = torch.randn(500, 2, generator=stream(1)) * torch.tensor([1.0, 1e6])
    vector = scale_of(x, Variable(kind="real", shape=(2,)))
    assert vector.width[1] > 1e5 * vector.width[0]
    signal = scale_of(
        torch.randn(500, 1, 64, generator=stream(1)), Variable(kind="real", shape=(1, 64))
    )
    assert signal.width.numel() == 1
    assert signal.width.item() == pytest.approx(0.9, abs=0.1)


@pytest.mark.parametrize("axis", [-2, -1])
def test_rows_or_columns_of_different_units_have_scales_of_their_own(axis):
    x = torch.randn(500, 3, 3, generator=stream(1))
    units = torch.tensor([0.1, 1.0, 1e5])
    x = x * (units[:, None] if axis == -2 else units)
    variable = Variable(kind="real", shape=(3, 3))
    standard = scale_of(x, variable).standard(x)
    for k in range(3):
        part = standard.select(axis, k)
        assert part.std().item() == pytest.approx(1.1, abs=0.15)


def test_samples_come_back_in_their_units_range_and_type():
    variables = {
        "income": Variable(kind="real", low=0),
        "code": REAL,
        "share": Variable(kind="real", low=0.1, high=0.3),
        "count": Variable(kind="count"),
        "sex": Variable(kind="binary"),
    }
    space = Space(variables)
    rows = space.samples(
        income=torch.tensor([0.0, 1e5, 2e5]),
        code=torch.tensor([2**53 - 1, 2**53 - 2, 5], dtype=torch.float64),
        share=torch.tensor([0.10000001, 0.2, 0.29999998]),
        count=torch.tensor([0, 70_000, 3]),
        sex=torch.tensor([0, 1, 1], dtype=torch.uint8),
    )
    scaling = Scaling(space)
    scaling.follow([rows], [1.0])
    back = scaling.original(scaling.standard(rows))
    space.check(back, "scaled and back", complete=True)
    assert back["code"].dtype == torch.float64
    assert back["count"].tolist() == [0, 70_000, 3]
    assert torch.allclose(back["income"], rows["income"], atol=0.1)
    far = scaling.standard_space.samples(
        **{name: torch.full((1,), 1e9) for name in ("income", "code", "share", "count")},
        sex=torch.tensor([1], dtype=torch.uint8),
    )
    space.check(scaling.original(far), "the largest values")
    space.check(scaling.original(far.apply(lambda x: -x if x.is_floating_point() else x)), "least")


def test_the_jacobian_is_that_of_the_scale():
    space = Space({"x": REAL, "y": Variable(kind="real", shape=(2,))})
    x = 40_000 + 5_000 * torch.randn(4000, generator=stream(1), dtype=torch.float64)
    y = 1e-6 * torch.randn(4000, 2, generator=stream(2), dtype=torch.float64)
    scaling = Scaling(space)
    scaling.follow([space.samples(x=x, y=y)], [1.0])
    standard = scaling.standard(space.samples(x=x, y=y))
    centre = scaling.state_dict()["centre/x"]
    width = scaling.state_dict()["width/x"]
    in_standard = Normal((40_000 - centre) / width, 5_000 / width).log_prob(standard["x"].double())
    in_own = Normal(40_000.0, 5_000.0).log_prob(x)
    assert torch.allclose(in_standard - scaling.log_volume(["x"]), in_own, atol=1e-4)
    each = [scaling.log_volume([name]) for name in space]
    assert scaling.log_volume() == pytest.approx(sum(each))


def test_a_scale_grows_when_others_are_far_away_and_not_by_chance():
    space = Space({"x": REAL})

    def around(mean, deviation, seed):
        noise = torch.randn(500, generator=stream(seed))
        return space.samples(x=mean + deviation * noise)

    scaling = Scaling(space)
    own = around(20_000, 500, 1)
    assert not scaling.follow([own], [1.0])
    assert not scaling.follow([own, around(20_300, 700, 2)], [0.5, 0.5])
    assert scaling.follow([own, around(80_000, 500, 3)], [0.5, 0.5])
    assert scaling.standard(around(80_000, 500, 3))["x"].abs().max() < 3
    constant = Scaling(space)
    constant.follow([space.samples(x=torch.full((30,), 5.0))], [1.0])
    assert constant.follow([around(5, 1e-3, 4)], [1.0])


def test_sources_count_by_their_mass_and_not_by_their_number_of_rows():
    space = Space({"x": REAL})
    many = space.samples(x=torch.zeros(9000))
    few = space.samples(x=torch.full((10,), 100.0))
    scaling = Scaling(space)
    scaling.follow([many, few], [0.5, 0.5])
    assert scaling.standard(few)["x"][0].item() == pytest.approx(1.0, abs=0.01)


def test_variables_that_a_source_lacks_are_fitted_when_they_come():
    space = Space({"x": REAL, "y": REAL})
    scaling = Scaling(space)
    x = 1e6 * torch.randn(100, generator=stream(1))
    scaling.follow([space.only(["x"]).samples(x=x)], [1.0])
    assert set(scaling.state_dict()) == {"centre/x", "width/x", "type/x"}
    alone = scaling.standard(space.samples(x=x, y=x))
    assert torch.equal(alone["y"], x)
    assert not scaling.follow([space.samples(x=x, y=x)], [1.0])
    assert scaling.standard(space.samples(x=x, y=x))["y"].abs().max() < 5


def test_far_values_keep_their_order():
    z = torch.tensor([-1e12, -6.0, -5.0, 0.3, 5.0, 5.001, 1e3, 1e15])
    seen = squashed(z)
    assert torch.equal(seen[2:5], z[2:5])
    assert (seen.diff() > 0).all()
    assert seen.abs().max() < 50


def test_a_model_that_repeats_three_of_four_columns_looks_nearer_than_an_honest_one():
    """Real rows in all columns but the one with the largest unit: before, that one ruled."""
    space = Space({name: REAL for name in ("a", "b", "c", "income")})

    def rows(seed, n):
        x = torch.randn(n, 4, generator=stream(seed))
        columns = (x * torch.tensor([1.0, 1.0, 1.0, 4e4])).unbind(1)
        return space.samples(**dict(zip(space, columns, strict=True)))

    held = rows(1, 800)
    test = rows(2, 400)
    classifier = DomainClassifier(space, 2, seed=1)
    labels = torch.arange(800) % 2
    classifier.fit(held, labels, test, labels[:400], steps=1)
    reference = Reference(test, classifier, labels[:400])
    repeated = pick(held, slice(400)).clone()
    repeated["income"] = rows(3, 400)["income"]

    def ratio(samples):
        observed = Observed(samples, reference, held=held)
        values = Memorisation().observe(observed).result()
        return values["nearest_training_ratio"].value

    assert ratio(rows(4, 400)) == pytest.approx(1.0, abs=0.1)
    assert ratio(repeated) < 0.9


def test_classes_are_at_distance_1_however_many_there_are():
    for classes in (3, 64, 65, 10_000):
        space = Space({"x": Variable(kind="categorical", classes=classes)})
        few = space.samples(x=torch.tensor([0, classes - 1]))
        held = space.samples(x=torch.tensor([0]))
        same, other = nearest_distances(space, few, held).tolist()
        assert same == 0
        assert other == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize(
    "shape",
    [(), (1,), (1, 64), (64, 1), (1, 1), (1, 28), (2, 28), (3, 28), (1, 1, 1), (3, 1, 9)]
    + [(side, side) for side in range(2, 8)]
    + [(3, side, side) for side in (2, 3, 5)],
)
@pytest.mark.parametrize("limits", [{}, {"low": 0, "high": 1}])
def test_the_domain_classifier_learns_from_any_shape(shape, limits):
    space = Space({"x": Variable(kind="real", shape=shape, **limits)})
    labels = torch.arange(200) % 2
    noise = 0.1 * torch.rand(200, *shape, generator=stream(1))
    x = noise + 0.8 * labels.reshape(-1, *([1] * len(shape)))
    rows = space.samples(x=x)
    classifier = DomainClassifier(space, 2, seed=1)
    classifier.fit(rows, labels, rows, labels, steps=60)
    assert classifier.accuracy == 1.0
    assert classifier.features(rows).shape == (200, 64)


def test_the_domain_classifier_learns_from_one_categorical_column():
    space = Space({"x": Variable(kind="categorical", classes=5)})
    x = torch.randint(5, (300,), generator=stream(1))
    labels = (x % 2).long()
    rows = space.samples(x=x)
    classifier = DomainClassifier(space, 2, seed=1)
    classifier.fit(rows, labels, rows, labels, steps=60)
    assert classifier.accuracy == 1.0
    assert LABEL not in space
