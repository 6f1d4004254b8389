"""A Gaussian copula against closed forms of Gaussians, bits and thresholds."""

import itertools
import math

import pytest
import torch
from sklearn.datasets import load_breast_cancer

import coplay
from coplay import Space, Variable
from coplay.core.errors import ModelError
from coplay.core.space import pick
from coplay.core.streams import stream
from coplay.models.base import OWN, Mixture, Portion
from coplay.models.gaussian_copula import GaussianCopula
from coplay.models.mixing import by_pattern

BIT = Variable(kind="binary")
THREE = Variable(kind="categorical", classes=3)
REAL = Variable(kind="real")
COUNT = Variable(kind="count")
R = torch.tensor([[1.0, 0.7, -0.4], [0.7, 1.0, 0.2], [-0.4, 0.2, 1.0]]).double()


def mixture(*sources, weights=None):
    weights = weights or [1 / len(sources)] * len(sources)
    names = [OWN, "a", "b", "c"]
    parts = zip(names, sources, weights, strict=False)
    return Mixture(tuple(Portion(*part) for part in parts))


def learned(space, *sources, weights=None, **settings):
    model = GaussianCopula(**settings)
    model.setup(space, 1)
    model.learn(mixture(*sources, weights=weights), 1, stream(1))
    return model


def gaussian(n, seed=1, matrix=R):
    noise = torch.randn(n, len(matrix), generator=stream(seed, "rows"), dtype=torch.float64)
    return noise @ torch.linalg.cholesky(matrix).T


def quadrant(rho):
    """P(z_1 > 0, z_2 > 0)."""
    return 0.25 + math.asin(rho) / (2 * math.pi)


KINDS = {
    "real": (REAL, lambda z: z.exp()),
    "bit": (BIT, lambda z: (z > 0.3).to(torch.uint8)),
    "class": (THREE, lambda z: (z > -0.5).long() + (z > 0.8).long()),
    "count": (COUNT, lambda z: ((z + 1).clamp_min(0) * 3).long()),
    "many": (COUNT, lambda z: (z.exp() * 100).long()),
    "heap": (Variable(kind="real", low=0), lambda z: z.clamp_min(0.0)),
}


@pytest.mark.parametrize("kinds", itertools.combinations_with_replacement(KINDS, 2))
def test_correlations_behind_columns_of_any_kind_are_recovered(kinds):
    z = gaussian(20_000)
    space = Space({"a": KINDS[kinds[0]][0], "b": KINDS[kinds[1]][0], "c": REAL})
    rows = space.samples(a=KINDS[kinds[0]][1](z[:, 0]), b=KINDS[kinds[1]][1](z[:, 1]), c=z[:, 2])
    model = learned(space, rows)
    assert torch.allclose(model.correlation, R, atol=0.03)
    drawn = model.sample(20_000, stream(3))
    for name in space:
        real, made = rows[name].double(), drawn[name].double()
        for q in (0.1, 0.25, 0.5, 0.75, 0.9):
            step = 0.03 * real.std() + (0 if space[name].kind == "real" else 1)
            assert abs(real.quantile(q) - made.quantile(q)) <= step
        for value in real.unique() if real.unique().numel() < 12 else [0.0]:
            assert (real == value).double().mean().item() == pytest.approx(
                (made == value).double().mean().item(), abs=0.015
            )


def test_two_bits_have_their_tetrachoric_correlation():
    """With medians as thresholds, P(1, 1) = 1/4 + asin ρ / 2π; the frequencies are exact."""
    for rho in (-0.8, 0.0, 0.5, 0.9):
        both = round(quadrant(rho) * 10_000)
        counts = [both, 5000 - both, 5000 - both, both]
        a = torch.tensor([0, 0, 1, 1], dtype=torch.uint8).repeat_interleave(torch.tensor(counts))
        b = torch.tensor([0, 1, 0, 1], dtype=torch.uint8).repeat_interleave(torch.tensor(counts))
        space = Space({"a": BIT, "b": BIT})
        model = learned(space, space.samples(a=a, b=b))
        assert model.correlation[0, 1].item() == pytest.approx(rho, abs=2e-3)
        points = space.samples(
            a=torch.tensor([0, 0, 1, 1], dtype=torch.uint8),
            b=torch.tensor([0, 1, 0, 1], dtype=torch.uint8),
        )
        p = model.log_weights(points, 20_000, stream(2)).exp().mean(0)
        assert torch.allclose(p, torch.tensor(counts).double() / 10_000, atol=2e-3)


def test_log_p_of_reals_is_the_density_of_the_gaussian():
    """All draws agree, and the density is that of N(0, R) up to the bins of the marginals."""
    z = gaussian(100_000)
    space = Space({"x": Variable(kind="real", shape=(3,))})
    model = learned(space, space.samples(x=z), bins=200)
    test = gaussian(2000, seed=2)
    weights = model.log_weights(space.samples(x=test), 3, stream(2))
    assert torch.equal(weights[0], weights[1])
    expected = torch.distributions.MultivariateNormal(torch.zeros(3).double(), R).log_prob(test)
    assert weights[0].mean().item() == pytest.approx(expected.mean().item(), abs=0.03)
    assert (weights[0] - expected).abs().median() < 0.1


def test_log_p_integrates_to_one_over_a_bit_and_a_real():
    z = gaussian(2000)
    space = Space({"x": REAL, "a": BIT})
    model = learned(space, space.samples(x=z[:, 0].exp(), a=(z[:, 1] > 0).to(torch.uint8)))
    x = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000 * 200 - 10
    total = 0.0
    for bit in (0, 1):
        a = torch.full((len(x),), bit, dtype=torch.uint8)
        weights = model.log_weights(space.samples(x=x, a=a), 1, stream(2))
        total += weights.exp().mean().item() * 200
    assert total == pytest.approx(1, abs=2e-3)


def test_log_p_is_in_own_units():
    z = gaussian(500)
    means = []
    for unit in (1.0, 1000.0):
        space = Space({"x": REAL, "y": REAL})
        rows = space.samples(x=unit * z[:, 0], y=z[:, 1])
        model = learned(space, rows)
        means.append(model.log_weights(rows, 1, stream(2)).mean().item())
    assert means[0] - means[1] == pytest.approx(math.log(1000), abs=1e-6)


def test_completions_of_reals_follow_the_conditional_gaussian():
    z = gaussian(50_000)
    space = Space({"x": REAL, "y": REAL, "z": REAL})
    model = learned(space, space.samples(x=z[:, 0], y=z[:, 1], z=z[:, 2]), bins=200)
    x, y = 1.2, -0.4
    n = 40_000
    given = space.samples(x=torch.full((n,), x).double(), y=torch.full((n,), y).double())
    drawn = model.complete(given, stream(2))
    assert torch.equal(drawn["x"], given["x"])
    regression = R[2, :2] @ torch.linalg.inv(R[:2, :2])
    mean = (regression @ torch.tensor([x, y]).double()).item()
    variance = (1 - regression @ R[:2, 2]).item()
    assert drawn["z"].mean().item() == pytest.approx(mean, abs=0.03)
    assert drawn["z"].var().item() == pytest.approx(variance, abs=0.03)


def test_completions_given_bits_follow_bayes():
    """Three bits at their medians: P(c = 1 | a, b) from the four quadrants, by enumeration."""
    z = gaussian(200_000)
    bits = (z > 0).to(torch.uint8)
    space = Space({"a": BIT, "b": BIT, "class": Variable(kind="categorical", classes=2)})
    rows = space.samples(**{"a": bits[:, 0], "b": bits[:, 1], "class": bits[:, 2].long()})
    model = learned(space, rows)
    for a, b in itertools.product((0, 1), (0, 1)):
        here = (bits[:, 0] == a) & (bits[:, 1] == b)
        expected = bits[here, 2].double().mean().item()
        n = 20_000
        given = space.samples(
            a=torch.full((n,), a, dtype=torch.uint8), b=torch.full((n,), b, dtype=torch.uint8)
        )
        drawn = model.complete(given, stream(2))["class"]
        assert drawn.double().mean().item() == pytest.approx(expected, abs=0.015)
        p = model.classify(pick(given, slice(0, 300)))
        assert torch.allclose(p.sum(1), torch.ones(300))
        assert p[:, 1].mean().item() == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("incomplete", [False, True])
def test_sources_count_by_their_weights_and_not_by_their_rows(incomplete):
    space = Space({"a": THREE, "x": REAL})
    zeros = space.samples(a=torch.zeros(50, dtype=torch.int64), x=torch.linspace(0, 1, 50))
    twos = space.samples(a=torch.full((9000,), 2), x=torch.linspace(9, 10, 9000))
    if incomplete:
        zeros = zeros.exclude("x")
    model = learned(space, zeros, twos, weights=[0.7, 0.3])
    n = 9050
    share = model._marginals.frequencies[0]
    expected = (torch.tensor([0.7, 0.0, 0.3]).double() * n + 1 / 3) / (n + 1)
    assert torch.allclose(share, expected, atol=1e-12)
    drawn = model.sample(20_000, stream(2))
    assert (drawn["a"] == 2).double().mean().item() == pytest.approx(0.3, abs=0.01)
    low = 0.0 if incomplete else 0.7
    assert (drawn["x"] < 5).double().mean().item() == pytest.approx(low, abs=0.01)


def test_rows_that_lack_values_teach_what_they_have():
    """A tenth of all cells is missing; the rest gives the same correlations and frequencies."""
    z = gaussian(30_000)
    lost = torch.rand(z.shape, generator=stream(4)) < 0.1
    space = Space(
        {
            "x": Variable(kind="real", optional=True),
            "y": Variable(kind="binary", optional=True),
            "z": Variable(kind="count", optional=True),
        }
    )
    x = torch.where(lost[:, 0], torch.nan, z[:, 0])
    y = torch.where(lost[:, 1], 255, (z[:, 1] > 0).to(torch.uint8)).to(torch.uint8)
    c = torch.where(lost[:, 2], -1, (z[:, 2] + 3).clamp_min(0).long())
    rows = space.samples(x=x, y=y, z=c)
    model = GaussianCopula()
    model.setup(space, 1)
    parts = by_pattern(space, rows)
    each = [Portion(name, part, len(part) / len(rows)) for name, part in parts.items()]
    assert len(each) == 7  # all patterns but the empty one
    model.learn(Mixture(tuple(each)), 1, stream(1))
    assert torch.allclose(model.correlation, R, atol=0.03)
    again = learned(space, rows)
    assert torch.allclose(model.correlation, again.correlation, atol=2e-3)
    drawn = model.complete(rows, stream(5))
    assert not drawn["x"].isnan().any()
    assert torch.equal(drawn["z"][~lost[:, 2]], c[~lost[:, 2]])
    # what was filled in depends on the rest as the truth does
    filled = drawn["x"][lost[:, 0] & ~lost[:, 1]], y[lost[:, 0] & ~lost[:, 1]] == 1
    truth = z[lost[:, 0] & ~lost[:, 1], 0]
    for side in (True, False):
        made = filled[0][filled[1] == side].mean().item()
        assert made == pytest.approx(truth[filled[1] == side].mean().item(), abs=0.08)


def test_columns_that_no_source_has_together_are_independent_given_the_rest():
    """Of all completions, ρ_xz = ρ_xy ρ_yz has the largest determinant."""
    z = gaussian(20_000)
    space = Space({"x": REAL, "y": REAL, "z": REAL})
    one = space.samples(x=z[:10_000, 0], y=z[:10_000, 1])
    two = space.samples(y=z[10_000:, 1], z=z[10_000:, 2])
    model = learned(space, one, two)
    correlation = model.correlation
    assert correlation[0, 1].item() == pytest.approx(0.7, abs=0.02)
    assert correlation[0, 2].item() == pytest.approx(
        (correlation[0, 1] * correlation[1, 2]).item(), abs=1e-6
    )
    assert torch.linalg.inv(correlation)[0, 2].item() == pytest.approx(0, abs=1e-5)


def test_what_a_later_turn_lacks_stays_as_it_was():
    z = gaussian(5000)
    space = Space({"x": REAL, "y": REAL, "z": REAL})
    rows = space.samples(x=z[:, 0], y=z[:, 1], z=z[:, 2])
    model = learned(space, rows)
    before = model.correlation
    model.learn(mixture(rows.exclude("z")), 1, stream(2))
    assert torch.allclose(model.correlation[2], before[2], atol=1e-9)
    assert model.sample(5000, stream(3))["z"].std().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("n", [1, 2, 8, 25])
def test_few_rows_and_constant_columns_make_a_model_all_the_same(n):
    """With fewer rows than columns the correlations of pairs fit no Gaussian as they are."""
    space = Space({"x": Variable(kind="real", shape=(30,)), "one": BIT, "class": THREE})
    x = torch.randn(n, 30, generator=stream(1))
    x[:, 1] = x[:, 0]
    ones = torch.ones(n, dtype=torch.uint8)
    rows = space.samples(**{"x": x, "one": ones, "class": torch.arange(n) % 3})
    model = learned(space, rows)
    assert torch.linalg.eigvalsh(model.correlation)[0] > 5e-5
    space.check(model.sample(50, stream(2)), "drawn", complete=True, rows=50)
    assert torch.isfinite(model.log_weights(rows, 5, stream(3))).all()
    space.check(model.complete(rows.exclude("x"), stream(4)), "drawn", complete=True, rows=n)


def test_values_far_outside_are_given_and_scored():
    z = gaussian(500)
    space = Space({"x": REAL, "y": REAL, "n": COUNT})
    rows = space.samples(x=z[:, 0], y=z[:, 1], n=(z[:, 2] + 3).clamp_min(0).long())
    model = learned(space, rows)
    far = space.samples(
        x=torch.tensor([1e6, -1e6, 50.0]).double(), n=torch.tensor([0, 10**9, 10**15])
    )
    drawn = model.complete(far, stream(1))
    assert torch.isfinite(drawn["y"]).all()
    assert (drawn["y"].abs() < 1e4).all()
    assert torch.isfinite(model.log_weights(drawn, 5, stream(3))).all()


def test_a_space_that_is_too_large_is_refused_by_its_largest_variable():
    space = Space({"image": Variable(kind="binary", shape=(40, 40)), "a": BIT})
    with pytest.raises(ModelError, match=r"at most 1,000 numbers.* 1,601, most of them 'image'"):
        GaussianCopula().setup(space, 1)


def test_a_model_without_class_says_so():
    space = Space({"a": BIT})
    model = learned(space, space.samples(a=torch.tensor([0, 1], dtype=torch.uint8)))
    with pytest.raises(ModelError, match="gaussian_copula can only tell a categorical number"):
        model.classify(model.sample(2, stream(1)))


def test_three_sites_with_different_columns_play_to_the_end(tmp_path):
    data = load_breast_cancer(as_frame=True).frame
    data["diagnosis"] = data.pop("target").map({0: "malignant", 1: "benign"})
    data = data[["mean radius", "mean texture", "mean smoothness", "diagnosis"]]
    frames = {
        "north": data[:190].drop(columns="mean smoothness"),
        "south": data[190:380],
        "east": data[380:].drop(columns="mean texture"),
    }
    result = coplay.play(
        frames,
        target="diagnosis",
        rounds=3,
        model="gaussian_copula",
        compare=[],
        folder=tmp_path / "run",
    )
    drawn = result.sample("north", 500)
    for name in ("mean radius", "mean texture", "mean smoothness"):
        means = drawn.groupby("diagnosis")[name].mean()
        real = data.groupby("diagnosis")[name].mean()
        assert means["malignant"] > means["benign"]
        assert (means - real).abs().max() < 0.8 * data[name].std()
