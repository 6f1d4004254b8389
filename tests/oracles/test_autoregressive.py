"""Any-order autoregression against sums, integrals and joints that are known."""

import itertools
import math

import pytest
import torch
from tensordict import TensorDict

from coplay import Space, Variable
from coplay.core import storage
from coplay.core.errors import ModelError
from coplay.core.space import pick
from coplay.core.streams import stream
from coplay.models.autoregressive import Autoregressive
from coplay.models.base import OWN, Mixture, Portion
from coplay.models.mixing import by_pattern
from coplay.nets.bins import Bins

BIT = Variable(kind="binary")
THREE = Variable(kind="categorical", classes=3)
REAL = Variable(kind="real")
COUNT = Variable(kind="count")


def ready(space, seed=1, **settings):
    model = Autoregressive.tiny().model_copy(update=settings)
    model.setup(space, seed)
    return model


def mixture(*sources):
    """A mixture of sample sets of equal mass."""
    names = [OWN, "a", "b", "c"]
    parts = []
    for name, samples in zip(names, sources, strict=False):
        parts.append(Portion(name, samples, 1 / len(sources)))
    return Mixture(tuple(parts))


def enumerated(space):
    """All points of a space of bits and classes."""
    values = [range(space[name].classes or 2) for name in space]
    points = torch.tensor(list(itertools.product(*values)))
    columns = {name: points[:, i].to(space[name].dtypes[0]) for i, name in enumerate(space)}
    return space.samples(**columns)


FOUR = Space({"a": BIT, "b": THREE, "c": BIT, "class": THREE})


def of_four(n=4000, seed=1):
    """Rows of a random joint of four variables, and the joint by the order of ``enumerated``."""
    g = stream(seed, "joint")
    p = torch.rand(36, generator=g).pow(3)
    p = p / p.sum()
    rows = torch.multinomial(p, n, replacement=True, generator=g)
    return pick(enumerated(FOUR), rows), p.double()


# ------------------------------------------------------------------------------------------- log p


def test_log_p_sums_to_one_whatever_was_learned_from():
    model = ready(FOUR)
    points = enumerated(FOUR)
    uniform = torch.full((36,), 1 / 36, dtype=torch.float64).log()
    assert torch.allclose(model.log_prob(points), uniform)
    rows, _ = of_four()
    model.learn(mixture(rows.exclude("c"), rows.exclude("a", "c")), 30, stream(1))
    assert model.log_prob(points).exp().sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("low", "high"), [(-math.inf, math.inf), (0, math.inf), (-1, 9)])
@pytest.mark.parametrize("steps", [0, 50])
def test_log_p_of_reals_integrates_to_one(low, high, steps):
    space = Space({"x": Variable(kind="real", low=low, high=high)})
    model = ready(space)
    rows = torch.randn(500, generator=stream(1)).abs().double().clamp(low, high)
    if steps:
        model.learn(mixture(space.samples(x=rows)), steps, stream(2))
    n = 500_000
    least, most = max(low, -60), min(high, 60)
    x = least + (torch.arange(n, dtype=torch.float64) + 0.5) / n * (most - least)
    density = model.log_prob(space.samples(x=x)).exp()
    assert density.mean().item() * (most - least) == pytest.approx(1, abs=4e-4)


@pytest.mark.parametrize("top", [4, 4000])
def test_log_p_of_counts_sums_to_one(top):
    space = Space({"visits": COUNT, "sex": BIT})
    visits = (torch.rand(600, generator=stream(1)) ** 3 * top).long() + 1
    sex = (visits % 2).to(torch.uint8)
    model = ready(space)
    model.learn(mixture(space.samples(visits=visits, sex=sex)), 50, stream(2))
    every = torch.arange(40 * top)
    total = 0.0
    for bit in (0, 1):
        bits = torch.full((len(every),), bit, dtype=torch.uint8)
        total += model.log_prob(space.samples(visits=every, sex=bits)).exp().sum().item()
    assert total == pytest.approx(1, abs=1e-9)


def test_log_p_is_in_own_units():
    """A unit a thousand times smaller divides the density by a thousand."""
    space = Space({"x": REAL, "y": REAL})
    x = torch.randn(300, dtype=torch.float64, generator=stream(1))
    log_p = []
    losses = []
    for unit in (1.0, 1000.0):
        rows = space.samples(x=unit * x, y=x.exp())
        model = ready(space)
        losses.append(model.learn(mixture(rows), 40, stream(2))["row_loss"])
        log_p.append(model.log_prob(rows).mean().item())
    assert log_p[0] - log_p[1] == pytest.approx(math.log(1000), abs=1e-3)
    assert losses[1] - losses[0] == pytest.approx(math.log(1000), abs=1e-3)


@pytest.mark.parametrize("names", ["abcd", "acd"])
def test_the_loss_estimates_the_mean_over_orders_without_bias(names):
    """Every order of the observed columns is enumerated; a row may lack one."""
    rows, _ = of_four()
    model = ready(FOUR, average=0.0)
    model.learn(mixture(rows), 60, stream(1))
    row = pick(rows, slice(0, 1))
    encoded = model._as_levels(row if names == "abcd" else row.exclude("b"))
    levels = encoded["levels"].long()
    surprises = []
    for order in itertools.permutations(["abcd".index(name) for name in names]):
        state = model._net.begin(torch.full_like(levels, -1))
        surprise = 0.0
        for column in order:
            log_p = model._net.logits(state, column).log_softmax(1)
            surprise -= log_p[0, levels[0, column]].item()
            state = model._net.given_too(state, column, levels[:, column])
        surprises.append(surprise)
    n = 50_000
    many = TensorDict({"levels": levels.expand(n, 4), "inside": encoded["inside"].expand(n)}, [n])
    with torch.no_grad():
        estimates = model._surprise(many, stream(3))
    expected = sum(surprises) / len(surprises)
    error = estimates.std().item() / math.sqrt(n)
    assert estimates.mean().item() == pytest.approx(expected, abs=4 * error)
    assert max(surprises) - min(surprises) > 1e-3, "orders differ, so the mean is a test"


# ---------------------------------------------------------------------------------------- learning


def test_a_joint_of_four_variables_is_learned_from_incomplete_rows():
    rows, truth = of_four(30_000)
    optional = Space({name: FOUR[name].model_copy(update={"optional": True}) for name in FOUR})
    g = stream(5)
    with_gaps = {}
    for name in FOUR:
        gone = torch.rand(len(rows), generator=g) < 0.3
        missing = torch.tensor(FOUR[name].missing).to(rows[name].dtype)
        with_gaps[name] = torch.where(gone, missing, rows[name])
    own = by_pattern(optional, optional.samples(**with_gaps))
    assert len(own) == 15, "every pattern but that of nothing"
    count = sum(map(len, own.values()))
    parts = [Portion(name, part, len(part) / count) for name, part in own.items()]
    model = ready(FOUR, hidden=64, batch=256, decay_steps=1000, embedding=8)
    model.learn(Mixture(tuple(parts)), 1000, stream(2))
    learned = model.log_prob(enumerated(FOUR)).exp()
    assert (learned - truth).abs().sum().item() / 2 <= 0.05
    drawn = model.sample(20_000, stream(3))
    place = ((drawn["a"].long() * 3 + drawn["b"]) * 2 + drawn["c"]) * 3 + drawn["class"]
    shares = place.bincount(minlength=36) / len(drawn)
    assert (shares - truth).abs().sum().item() / 2 <= 0.06


PAIR = Space({"height": REAL, "y": REAL})


@pytest.fixture(scope="module")
def of_pair():
    """A model of a Gaussian pair of correlation 0.8."""
    z = torch.randn(5000, 2, generator=stream(1, "pair"), dtype=torch.float64)
    rows = PAIR.samples(height=170 + 10 * z[:, 0], y=0.8 * z[:, 0] + 0.6 * z[:, 1])
    model = Autoregressive(hidden=64, bins=30, decay_steps=600, learning_rate=5e-3)
    model.setup(PAIR, 1)
    model.learn(mixture(rows), 600, stream(2))
    return model


def test_the_correlation_of_a_gaussian_pair_is_learned(of_pair):
    drawn = of_pair.sample(20_000, stream(3))
    both = torch.stack([drawn["height"], drawn["y"]])
    assert drawn["height"].dtype == torch.float64, "as it was learned from"
    assert torch.corrcoef(both)[0, 1].item() == pytest.approx(0.8, abs=0.03)
    assert both.mean(1).tolist() == pytest.approx([170, 0], abs=0.3)
    assert both.std(1).tolist() == pytest.approx([10, 1], rel=0.05)


def test_completing_a_gaussian_pair_draws_its_regression(of_pair):
    tall = PAIR.samples(height=torch.full((5000,), 185.0, dtype=torch.float64))
    y = of_pair.complete(tall, stream(4))["y"]
    assert y.mean().item() == pytest.approx(0.8 * 1.5, abs=0.12)
    assert y.std().item() == pytest.approx(0.6, abs=0.08)


def test_what_is_completed_and_classified_has_the_conditionals_of_the_joint():
    """The class is the last of the space's order, so p(class | rest) follows from log p exactly."""
    rows, _ = of_four()
    model = ready(FOUR)
    model.learn(mixture(rows), 200, stream(1))
    points = enumerated(Space({"a": BIT, "b": THREE, "c": BIT}))
    joint = model.log_prob(enumerated(FOUR)).exp().reshape(12, 3)
    expected = joint / joint.sum(1, keepdim=True)
    assert torch.allclose(model.classify(points).double(), expected, atol=1e-5)
    with_class = model.classify(enumerated(FOUR))
    assert torch.allclose(with_class, model.classify(points).repeat_interleave(3, 0), atol=1e-6)
    n = 3000
    many = pick(points, torch.arange(12).repeat_interleave(n))
    drawn = model.complete(many, stream(2))["class"].reshape(12, n)
    for row, p in zip(drawn, expected, strict=True):
        shares = row.bincount(minlength=3) / n
        assert torch.allclose(shares.double(), p, atol=4 * math.sqrt(0.25 / n))


# ------------------------------------------------------------------------------- conditions, order


MIXED = Space({"x": REAL, "visits": COUNT, "sex": BIT, "class": THREE})


def of_mixed(n=200, seed=1):
    g = stream(seed, "mixed")
    kind = torch.randint(3, (n,), generator=g)
    x = kind + torch.randn(n, generator=g, dtype=torch.float64)
    visits = (torch.rand(n, generator=g) * 300).long()
    return MIXED.samples(
        **{"x": x, "visits": visits, "sex": (kind % 2).to(torch.uint8), "class": kind}
    )


def test_what_is_given_stays_to_the_last_bit():
    model = ready(MIXED)
    model.learn(mixture(of_mixed()), 20, stream(1))
    n = 50
    given = MIXED.samples(
        x=torch.linspace(-1e9, 1e9, n, dtype=torch.float64) / 3,  # beyond all bins
        visits=torch.arange(n) ** 5,
    )
    for names in (["x", "visits"], ["x"], ["visits"]):
        completed = MIXED.check(model.complete(given.select(*names), stream(2)), "it", rows=n)
        for name in names:
            assert torch.equal(completed[name], given[name])
    short = MIXED.samples(x=torch.ones(3))
    assert model.complete(short, stream(2))["x"].dtype == torch.float32


def test_single_cells_are_completed_row_by_row():
    model = ready(MIXED)
    rows = of_mixed(90)
    model.learn(mixture(rows), 20, stream(1))
    gaps = rows.clone()
    gaps["x"][::3] = math.nan
    gaps["visits"][1::3] = -1
    gaps["sex"][2::3] = 255
    gaps["class"][::2] = -1
    completed = MIXED.check(model.complete(gaps, stream(2)), "it", complete=True, rows=90)
    for name in MIXED:
        there = MIXED[name].model_copy(update={"optional": True}).present(gaps[name])
        assert not there.all()
        assert torch.equal(completed[name][there], rows[name][there])


def test_columns_that_no_source_has_are_drawn_in_their_range_and_tell_nothing():
    space = Space({"a": BIT, "new": Variable(kind="real", low=2, high=3), "kind": THREE})
    a = torch.tensor([0, 1], dtype=torch.uint8).repeat(100)
    model = ready(space)
    model.learn(mixture(space.samples(a=a)), 50, stream(1))
    drawn = space.check(model.sample(500, stream(2)), "it", complete=True)
    assert drawn["new"].mean().item() == pytest.approx(2.5, abs=0.06)
    assert (drawn["kind"].bincount() / 500).tolist() == pytest.approx([1 / 3] * 3, abs=0.08)
    n = 400
    answers = []
    for value in (2.0, 3.0):
        given = space.samples(new=torch.full((n,), value), kind=torch.full((n,), int(value) - 1))
        answers.append(model.complete(given, stream(3))["a"])
    assert torch.equal(*answers)


# -------------------------------------------------------------------------------------------- bins


def test_edges_are_quantiles_of_all_sources_by_their_mass():
    space = Space({"x": REAL, "y": Variable(kind="real", low=0, high=8)})
    bins = Bins(space, 4)
    x = torch.arange(40.0)
    parts = [space.samples(x=x), space.samples(x=100 + x, y=x / 5), space.samples(y=x / 10)]
    assert not bins.follow(parts, [0.5, 0.25, 0.25])
    # edges at sin²(π/8) = 0.146, 1/2 and 0.854 of the mass, of which two thirds lie in [0, 40)
    assert bins.edges[0].tolist() == pytest.approx([0, 8.5, 29.5, 121.5, 139.000139], rel=1e-6)
    assert bins.edges[1][[0, 2]].tolist() == pytest.approx([0, 2.6], abs=0.11)
    assert bins.edges[1][-1].item() == pytest.approx(7.8, abs=1e-4), "not the end of the range"
    frequencies = bins.frequencies[0]
    assert frequencies.sum().item() == pytest.approx(1)
    assert frequencies[1:5].tolist() == pytest.approx([0.15, 0.35, 0.35, 0.15], abs=0.02)


def test_a_value_that_occurs_again_and_again_is_drawn_as_it_is():
    space = Space({"dose": Variable(kind="real", low=0, high=50)})
    values = torch.rand(1000, generator=stream(1)) * 40 + 5
    values[:300] = 0
    values[300:500] = 50
    model = ready(space)
    model.learn(mixture(space.samples(dose=values)), 30, stream(2))
    drawn = space.check(model.sample(4000, stream(3)), "it")["dose"]
    assert (drawn == 0).float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert (drawn == 50).float().mean().item() == pytest.approx(0.2, abs=0.03)
    between = drawn[(drawn > 0) & (drawn < 50)]
    assert ((between > 4.9) & (between < 45.1)).float().mean() > 0.97
    assert len(between.unique()) > 0.95 * len(between)
    ends = model.log_prob(space.samples(dose=torch.tensor([0.0, 50.0]))).exp() * 50e-6
    assert ends.tolist() == pytest.approx([0.3, 0.2], abs=0.03)


@pytest.mark.parametrize("value", [0.0, -7.5, 1e12])
@pytest.mark.parametrize("n", [1, 3, 40])
def test_a_constant_column_stays_what_it_is(value, n):
    for v in (REAL, Variable(kind="real", low=value, high=value)):
        space = Space({"x": v, "b": BIT})
        rows = space.samples(
            x=torch.full((n,), value, dtype=torch.float64), b=torch.ones(n, dtype=torch.uint8)
        )
        model = ready(space)
        model.learn(mixture(rows), 20, stream(1))
        drawn = space.check(model.sample(1000, stream(2)), "it")["x"]
        near = (drawn - value).abs() <= 2e-6 * max(1.0, abs(value))
        assert near.float().mean() > (0.9 if n == 40 else 0.2)
        assert torch.isfinite(model.log_prob(rows)).all()


def test_few_rows_are_not_told_apart_by_bins():
    """At least five rows a bin: no bin stands for a single row."""
    space = Space({"x": REAL})
    bins = Bins(space, 50)
    x = torch.randn(60, generator=stream(1))
    bins.follow([space.samples(x=x)], [1.0])
    counts = bins.levels(space.samples(x=x))[:, 0].bincount()
    assert counts[counts > 0].min() >= 5
    assert (counts > 0).sum() >= 8


def test_small_counts_are_levels_and_large_ones_are_binned():
    space = Space({"few": COUNT, "many": COUNT})
    bins = Bins(space, 10)
    rows = space.samples(few=torch.arange(100) % 7, many=torch.arange(100) * 1000)
    bins.follow([rows], [1.0])
    assert bins.edges[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 7, 7, 7]
    assert bins.edges[1].unique()[[0, -1]].tolist() == [0, 99_001]
    assert (bins.edges[1].unique()[:-1] % 1000 == 0).all(), "bins begin where counts are"
    same = bins.values(bins.levels(rows), stream(2))
    assert torch.equal(same["few"], rows["few"])
    assert torch.equal(bins.levels(same), bins.levels(rows)), "drawn inside its bin"


def test_bins_are_fitted_anew_only_where_rows_crowd_in_few_of_them():
    space = Space({"x": REAL})
    x = torch.randn(1000, generator=stream(1))
    bins = Bins(space, 20)
    assert not bins.follow([space.samples(x=x)], [1.0])
    first = bins.edges.clone()
    assert not bins.follow([space.samples(x=x + 0.1)], [1.0])
    assert torch.equal(bins.edges, first)
    assert bins.follow([space.samples(x=x), space.samples(x=x + 50)], [0.5, 0.5])
    assert (bins.edges > 40).any()
    assert not bins.follow([space.samples(x=x), space.samples(x=x + 50)], [0.5, 0.5])


def test_bins_are_part_of_the_state_and_a_restored_model_goes_on_exactly(tmp_path):
    sources = mixture(of_mixed().exclude("visits"), of_mixed(seed=2).exclude("x"))
    model = ready(MIXED)
    model.learn(sources, 10, stream(1))
    storage.save_tensors(tmp_path / "state.safetensors", model.state_dict())
    restored = ready(MIXED, seed=7)
    restored.load_state_dict(storage.load_tensors(tmp_path / "state.safetensors"))
    assert torch.equal(restored._bins.edges, model._bins.edges)
    assert restored.sample(5, stream(9))["x"].dtype == torch.float64
    rows = of_mixed(seed=3)
    assert torch.equal(restored.log_prob(rows), model.log_prob(rows))
    for each in (model, restored):
        each.learn(mixture(rows, of_mixed(seed=4)), 10, stream(2))
    one, two = model.state_dict(), restored.state_dict()
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


# ---------------------------------------------------------------------------------------- refusals


def test_too_many_columns_are_refused_by_name():
    picture = Variable(kind="real", shape=(3, 32, 32), low=0, high=1)
    with pytest.raises(ModelError) as error:
        ready(Space({"scan": picture, "class": THREE}))
    assert str(error.value) == (
        "autoregressive draws number by number and takes at most 2,000 of them; these variables "
        "have 3,073, most of them 'scan' (real 3×32×32 in [0, 1]): choose a model for images, such "
        "as rectified_flow or conditionals"
    )
    with pytest.raises(ModelError, match=r"'codes' \(categorical of 3 2001\): leave it out"):
        ready(Space({"codes": Variable(kind="categorical", classes=3, shape=(2001,))}))


def test_a_table_without_class_is_not_classified():
    model = ready(PAIR)
    with pytest.raises(ModelError, match="can only tell a categorical number called 'class'"):
        model.classify(PAIR.empty())


def test_early_stopping_uses_rows_that_lack_columns():
    """No source has all columns; the held-out loss still falls, and learning ends at its best."""
    rows, _ = of_four(300)
    sources = mixture(rows.select("a", "b", "c"), rows.select("b", "c", "class"))
    model = ready(FOUR, validation=0.3, patience=2, learning_rate=0.1, average=0.0)
    losses = []
    for turn in range(40):
        numbers = model.learn(sources, 10, stream(turn, "turn"))
        if numbers.get("stopped"):
            break
        losses.append(numbers["validation_loss"])
    assert numbers["stopped"] == 1.0
    assert numbers["validation_loss"] == min(losses) < losses[0]
