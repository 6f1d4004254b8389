"""Fidelity and utility of tables, against closed forms and known distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from coplay import Space, Variable, pick
from coplay.core.streams import stream
from coplay.metrics import memorisation
from coplay.metrics.base import Observed, Reference
from coplay.metrics.columns import TableColumn
from coplay.metrics.fidelity import Fidelity, ks_complement, pair_similarity, tv_complement
from coplay.metrics.memorisation import Memorisation, leak
from coplay.metrics.near_rows import NearRows
from coplay.metrics.utility import Utility

SPACE = Space(
    {
        "age": Variable(kind="real"),
        "visits": Variable(kind="count"),
        "smokes": Variable(kind="binary"),
        "town": Variable(kind="categorical", classes=3, names=("Bonn", "Jena", "Ulm")),
    }
)


def rows(n, key, slope=1.0, flip=0.1):
    """Rows in which smoking goes with age and town."""
    generator = stream(7, key)
    age = 50 + 10 * torch.randn(n, generator=generator)
    town = torch.randint(3, (n,), generator=generator)
    odds = torch.sigmoid(slope * (age - 50) / 3 + town - 1)
    return SPACE.samples(
        age=age,
        visits=(age / 10 + 2 * torch.rand(n, generator=generator)).long().clamp_min(0),
        smokes=(torch.rand(n, generator=generator) < odds).to(torch.uint8),
        town=town,
    )


def observed(samples, real, held=None):
    return Observed(samples, Reference(real, None, None, real, SPACE), held=held)


def values(metric, *given):
    seen = observed(*given)
    assert not metric.obstacle(seen)
    return metric.observe(seen).result()


def test_ks_complement_is_one_less_the_largest_gap_between_distributions():
    # uniform on [0, 1] against uniform on [0, 2]: the gap is largest at 1, where it is 1/2
    first, second = np.linspace(0, 1, 10_001), np.linspace(0, 2, 10_001)
    assert ks_complement(first, second) == pytest.approx(0.5, abs=1e-3)
    assert ks_complement(second, first) == ks_complement(first, second)
    assert ks_complement(first, first + 5) == 0
    # ties: half of the numbers are one
    assert ks_complement(np.array([1, 1, 2, 3.0]), np.array([1, 2, 3, 3.0])) == 0.75


def test_tv_complement_is_what_two_distributions_share():
    assert tv_complement(np.array([70, 20, 10]), np.array([5, 3, 2])) == pytest.approx(0.8)
    assert tv_complement(np.array([1, 0]), np.array([0, 9])) == 0


def pair(x, y, categories=(0, 0)):
    columns = (np.asarray(x, float), np.asarray(y, float))
    return tuple(
        TableColumn(name, column, c)
        for name, column, c in zip("xy", columns, categories, strict=True)
    )


def test_pairs_of_numbers_are_compared_by_their_correlations():
    x = np.arange(100.0)
    assert pair_similarity(pair(x, x), pair(x, -x)) == pytest.approx(0)
    assert pair_similarity(pair(x, 3 * x + 1), pair(2 * x, x)) == pytest.approx(1)
    noise = np.random.default_rng(0).normal(size=100) * 40
    rho = np.corrcoef(x, x + noise)[0, 1]
    expected = 1 - (1 - rho) / 2
    assert pair_similarity(pair(x, x), pair(x, x + noise)) == pytest.approx(expected)
    assert math.isnan(pair_similarity(pair(x, x), pair(x, 0 * x)))


def test_pairs_with_categories_are_compared_by_their_joint_shares():
    x, y = [0, 0, 1, 1], [0, 0, 1, 1]
    assert pair_similarity(pair(x, y, (2, 2)), pair(x, [0, 1, 0, 1], (2, 2))) == 0.5
    # numbers in tenths of the real ones
    number = np.arange(1000.0)
    upper = (number >= 500).astype(float)
    assert pair_similarity(pair(number, upper, (0, 2)), pair(number, upper, (0, 2))) == 1
    assert pair_similarity(pair(number, upper, (0, 2)), pair(number, 1 - upper, (0, 2))) == 0


def test_the_tenths_are_those_of_the_real_numbers():
    number = np.arange(1000.0)
    upper = (number >= 500).astype(float)
    highest = pair(np.full(1000, 999.0), np.ones(1000), (0, 2))
    # all lie in the last tenth, which holds a tenth of the real rows
    assert pair_similarity(pair(number, upper, (0, 2)), highest) == pytest.approx(0.1, abs=0.002)


def test_samples_of_the_same_distribution_come_before_others():
    real = rows(1500, "real")
    same = values(Fidelity(), rows(1500, "same"), real)
    shuffled = rows(1500, "same")
    shuffled["smokes"] = shuffled["smokes"][torch.randperm(1500, generator=stream(1))]
    broken = values(Fidelity(), shuffled, real)
    assert same["column_fidelity"].value > 0.95
    assert broken["column_fidelity"].value == pytest.approx(same["column_fidelity"].value)
    assert broken["pair_fidelity"].high < same["pair_fidelity"].low
    worst = next(name for name in broken if name.startswith(("Correlation", "Contingency")))
    assert "smokes" in broken[worst].of


def test_every_column_has_its_own_value():
    each = values(Fidelity(), rows(200, "a"), rows(300, "b"))
    of = {value.of: name.split()[0] for name, value in each.items() if len(value.of) == 1}
    assert of == {
        ("age",): "KSComplement",
        ("visits",): "KSComplement",
        ("smokes",): "TVComplement",
        ("town",): "TVComplement",
    }
    mean = np.mean([value.value for value in each.values() if len(value.of) == 1])
    assert each["column_fidelity"].value == pytest.approx(mean)
    assert (each["column_fidelity"].n, each["column_fidelity"].n_real) == (200, 300)


@pytest.mark.parametrize("name", ["column_fidelity", "pair_fidelity"])
def test_the_interval_covers_what_other_rows_give_on_average(name):
    each = []
    for k in range(40):
        each.append(values(Fidelity(), rows(500, f"g{k}", slope=0.2), rows(500, f"r{k}"))[name])
    mean = np.mean([value.value for value in each])
    inside = sum(value.low <= mean <= value.high for value in each)
    assert 34 <= inside <= 40
    widths = np.array([value.high - value.low for value in each])
    spread = np.std([value.value for value in each], ddof=1)
    assert np.median(widths) == pytest.approx(2 * 1.96 * spread, rel=0.4)


def test_merging_and_order():
    real, samples = rows(300, "r"), rows(400, "s")
    metric = Fidelity()
    whole = metric.observe(observed(samples, real)).result()
    first = metric.observe(observed(pick(samples, slice(150)), real))
    second = metric.observe(observed(pick(samples, slice(150, 400)), real))
    assert first.merge(second).result() == whole
    backwards = metric.observe(observed(pick(samples, torch.arange(399, -1, -1)), real)).result()
    assert backwards == whole


def test_missing_values_are_left_out_by_row():
    optional = Space({"age": Variable(kind="real", optional=True)})
    real = optional.samples(age=torch.tensor([1.0, 2.0, float("nan"), 4.0]))
    samples = optional.samples(age=torch.tensor([1.0, 2.0, 4.0]))
    seen = Observed(samples, Reference(real, None, None, real, optional))
    assert Fidelity().observe(seen).result()["column_fidelity"].value == 1


def test_what_is_left_out_is_named_with_its_reason():
    space = Space(
        {
            "age": Variable(kind="real", optional=True),
            "visits": Variable(kind="count"),
            "dose": Variable(kind="real", shape=(2,)),
            "photo": Variable(kind="real", shape=(4, 4), low=0, high=1),
            "town": Variable(kind="categorical", classes=2),
            "weight": Variable(kind="real"),
        }
    )
    real = space.samples(
        age=torch.full((3,), math.nan),
        visits=torch.arange(3),
        dose=torch.rand(3, 2, generator=stream(1)),
        photo=torch.zeros(3, 4, 4),
        weight=torch.ones(3),
    )
    seen = Observed(real.exclude("visits"), Reference(real, None, None, real, space))
    assert Fidelity().observe(seen).result()["column_fidelity"].unit == (
        "mean of KSComplement and TVComplement over 3 columns, 1 is best; every value of 'age' is "
        "missing; the samples lack 'visits'; 'photo' is an image; the real rows lack 'town'"
    )


class TestUtility:
    def test_samples_without_one_complete_row_teach_nothing(self):
        space = Space({"age": Variable(kind="real", optional=True), "old": Variable(kind="binary")})
        old = torch.tensor([0, 1, 1], dtype=torch.uint8)
        real = space.samples(age=torch.arange(3.0), old=old)
        empty = space.samples(age=torch.full((3,), math.nan), old=old)
        seen = Observed(empty, Reference(real, None, None, real, space))
        assert Utility(target="old").obstacle(seen) == (
            "it needs 2 generated samples or more, and there are 0"
        )

    def test_samples_are_as_useful_as_real_rows_of_the_same_distribution(self):
        metric = Utility(target="smokes")
        got = values(metric, rows(2000, "s"), rows(1000, "t"), rows(2000, "h"))
        assert got["utility"].value == pytest.approx(got["utility_of_real"].value, abs=0.02)
        assert got["utility"].n_real == 1000

    def test_the_accuracy_is_that_of_bayes_where_the_model_is_right(self):
        real = rows(20_000, "t")
        odds = torch.sigmoid((real["age"] - 50) / 3 + real["town"] - 1)
        bayes = torch.maximum(odds, 1 - odds).mean().item()
        got = values(Utility(target="smokes"), rows(4000, "s"), real)["utility"]
        assert got.low <= bayes + 0.005
        assert got.high >= bayes - 0.005

    def test_real_rows_are_seen_in_the_units_of_what_was_learned_from(self):
        real = rows(4000, "t")
        old = pick(real, real["age"] > 58)  # whose own mean is no middle between smokers and others
        commonest = old["smokes"].float().mean().item()
        assert commonest > 0.9
        got = values(Utility(target="smokes"), rows(2000, "s"), old)["utility"]
        assert got.value == pytest.approx(commonest, abs=0.02)

    def test_a_target_that_has_lost_its_meaning_teaches_nothing(self):
        samples = rows(2000, "s")
        samples["smokes"] = samples["smokes"][torch.randperm(2000, generator=stream(1))]
        real = rows(1000, "t")
        got = values(Utility(target="smokes"), samples, real)["utility"]
        commonest = max(real["smokes"].float().mean().item(), 1 - real["smokes"].float().mean())
        assert got.value <= commonest + 0.05
        assert f"always the commonest category gives {commonest:.2f}" in got.unit

    def test_a_number_is_predicted_with_its_share_of_variance(self):
        got = values(Utility(target="visits"), rows(2000, "s"), rows(1000, "t"))["utility"]
        # visits = age/10 + 2 u, rounded down: Var(age/10) = 1, Var(2u) = 1/3, rounding ≈ 1/12
        assert got.value == pytest.approx(1 / (1 + 1 / 3 + 1 / 12), abs=0.05)
        assert got.low < got.value < got.high

    def test_boosted_trees_learn_what_no_line_can(self):
        """y = [x₁x₂ > 0] has no linear part, and trees have it up to the borders."""
        space = Space({"x": Variable(kind="real", shape=(2,)), "y": Variable(kind="binary")})

        def crossed(n, key):
            x = torch.randn(n, 2, generator=stream(5, key))
            return space.samples(x=x, y=(x.prod(1) > 0).to(torch.uint8))

        sides = [crossed(2000, key) for key in ("s", "t", "h")]
        seen = Observed(sides[0], Reference(sides[1], None, None, sides[1], space), held=sides[2])
        got = Utility(target="y").observe(seen).result()
        assert got["utility"].value < 0.6
        assert got["utility_boosted"].value > 0.95
        assert got["utility_of_real_boosted"].value > 0.95

    def test_boosted_trees_explain_what_a_number_owes_to_a_product(self):
        """z = x₁x₂ + noise of variance 1/4: of the variance 5/4 trees can explain 4/5 at most."""
        space = Space({"x": Variable(kind="real", shape=(2,)), "z": Variable(kind="real")})

        def products(n, key):
            generator = stream(6, key)
            x = torch.randn(n, 2, generator=generator)
            return space.samples(x=x, z=x.prod(1) + 0.5 * torch.randn(n, generator=generator))

        sides = [products(4000, key) for key in ("s", "t", "h")]
        seen = Observed(sides[0], Reference(sides[1], None, None, sides[1], space), held=sides[2])
        got = Utility(target="z").observe(seen).result()
        assert abs(got["utility"].value) < 0.05
        for name in ("utility_boosted", "utility_of_real_boosted"):
            assert 0.65 < got[name].value < 0.83
            assert got[name].low < got[name].value < got[name].high

    def test_one_kind_of_learner_may_be_enough(self):
        got = values(Utility(target="smokes", learners=("linear",)), rows(90, "s"), rows(90, "t"))
        assert got.keys() == {"utility"}

    def test_samples_of_one_category_predict_it_always(self):
        samples, real = rows(50, "s"), rows(400, "t")
        samples["smokes"][:] = 1
        got = values(Utility(target="smokes"), samples, real)
        share = real["smokes"].float().mean().item()
        assert got["utility_boosted"].value == got["utility"].value == pytest.approx(share)

    def test_without_a_target_it_says_so(self):
        assert Utility().obstacle(observed(rows(9, "s"), rows(9, "t"))) == (
            "no target is named; set measure.target to the variable to be predicted"
        )

    def test_samples_that_lack_the_target_are_named(self):
        seen = observed(rows(9, "s").exclude("smokes"), rows(9, "t"))
        assert Utility(target="smokes").obstacle(seen) == "the samples lack the target 'smokes'"


def test_memorisation_of_a_table_needs_no_classifier():
    held, real = rows(500, "held"), rows(500, "real")
    honest = values(Memorisation(), rows(500, "new"), real, held)
    copies = values(Memorisation(), pick(held, slice(400)), real, held)
    assert honest["copies_share"].low <= 0.05 <= honest["copies_share"].high + 0.02
    assert copies["copies_share"].value == 1


PATIENTS = Space(
    {
        "age": Variable(kind="real"),
        "pressure": Variable(kind="real"),
        "income": Variable(kind="real"),
        "town": Variable(kind="categorical", classes=3, names=("Bonn", "Jena", "Ulm")),
    }
)


OPTIONAL = Variable(kind="real", optional=True)


def patients(n, key, income=1.0):
    """Rows whose columns go together; the income's unit is not that of the others."""
    generator = stream(11, key)
    age = 50 + 10 * torch.randn(n, generator=generator)
    pressure = 90 + 0.8 * age + 8 * torch.randn(n, generator=generator)
    earned = 40 + 0.3 * age + 9 * torch.randn(n, generator=generator)
    town = torch.randint(3, (n,), generator=generator)
    return PATIENTS.samples(age=age, pressure=pressure, income=income * earned, town=town)


def repeating(held, fresh, column):
    """Real patients with one column of somebody else."""
    samples = held.clone()
    samples[column] = fresh[column]
    return samples


def remembered(samples, real, held, space=PATIENTS):
    seen = Observed(samples, Reference(real, None, None, real, space), held=held)
    assert not Memorisation().obstacle(seen)
    return Memorisation().observe(seen).result()


class TestAPlantedLeak:
    """Real patients in three of four columns: whichever is new, whatever its unit is."""

    @pytest.mark.parametrize("income", [1.0, 1000.0, 0.001])
    @pytest.mark.parametrize("column", ["age", "pressure", "income", "town"])
    def test_it_is_flagged(self, column, income):
        held, real, fresh = (patients(400, key, income) for key in ("held", "real", "fresh"))
        values = remembered(repeating(held, fresh, column), real, held)
        assert values["partial_copies_share"].value == 1
        assert "repeat a training row" in leak(values)

    @pytest.mark.parametrize("income", [1.0, 1000.0, 0.001])
    def test_an_honest_model_passes(self, income):
        accused = 0
        shares = []
        for k in range(20):
            held, real, fresh = (patients(200, f"{key}{k}", income) for key in "hrf")
            values = remembered(fresh, real, held)
            accused += bool(leak(values))
            shares.append(values["partial_copies_share"].value)
        assert accused <= 1
        # the quantile is that of 200 real rows: its share varies by 0.015 between them
        assert np.mean(shares) == pytest.approx(0.05, abs=0.02)

    def test_a_few_repeated_rows_among_many_are_counted(self):
        held, real, fresh = (patients(800, key) for key in ("held", "real", "fresh"))
        half = repeating(held, fresh, "age")
        samples = torch.cat([pick(half, slice(400)), pick(fresh, slice(400, 800))])
        values = remembered(samples, real, held)
        share = values["partial_copies_share"].value
        assert share == pytest.approx(0.5 + 0.5 * 0.05, abs=0.025)

    def test_missing_values_agree_with_missing_ones(self):
        space = Space({name: PATIENTS[name] for name in PATIENTS} | {"age": OPTIONAL})
        held, real, fresh = (patients(400, key) for key in ("held", "real", "fresh"))
        for rows in (held, real, fresh):
            rows["age"][::3] = math.nan
        leaked = remembered(repeating(held, fresh, "income"), real, held, space)
        assert leak(leaked)
        assert not leak(remembered(fresh, real, held, space))


def test_the_second_distance_leaves_out_the_columns_that_differ_most():
    names = [f"x{k}" for k in range(9)]
    space = Space({name: Variable(kind="real") for name in names})
    ends = torch.tensor([-1.0, 1.0])
    units = space.samples(**{name: ends for name in names})
    row = space.samples(**{name: torch.tensor([k / 4]) for k, name in enumerate(names)})
    zero = space.samples(**{name: torch.zeros(1) for name in names})
    near = NearRows(space, zero, units)
    distances = near.nearness(row)
    assert near.left_out == 2
    assert distances.whole.item() == pytest.approx(math.sqrt(204 / 16))
    assert distances.partial.item() == pytest.approx(math.sqrt((204 - 64 - 49) / 16))


def test_categories_count_by_agreement_whatever_their_numbers_are():
    space = Space({"code": Variable(kind="categorical", classes=200)})
    among = space.samples(code=torch.tensor([0]))
    rows = space.samples(code=torch.tensor([0, 1, 199]))
    assert NearRows(space, among, among).nearness(rows).whole.tolist() == [0, 1, 1]


@pytest.mark.parametrize("factor", [1000.0, 0.001])
@pytest.mark.parametrize("target", ["town", "pressure"])
def test_scaling_one_column_changes_no_table_metric_by_more_than_rounding(
    factor, target, monkeypatch
):
    monkeypatch.setattr(memorisation, "_WORK", 1)  # so that only some rows can be compared
    sides = []
    for key in ("samples", "real", "held"):
        sides.append(PATIENTS.samples(**{k: widened(v) for k, v in patients(300, key).items()}))
    scaled = [side.clone() for side in sides]
    for side in scaled:
        side["income"] = factor * side["income"]
    for metric in (Fidelity(replicates=3), Utility(target=target), Memorisation()):
        before, after = measured_twice(metric, sides, scaled)
        assert before.keys() == after.keys()
        for name in before:
            for part in ("value", "low", "high"):
                expected = pytest.approx(getattr(before[name], part), abs=1e-6)
                assert getattr(after[name], part) == expected, name


def widened(values):
    return values.double() if values.is_floating_point() else values


def measured_twice(metric, *given):
    results = []
    for samples, real, held in given:
        seen = Observed(samples, Reference(real, None, None, real, PATIENTS), held=held)
        results.append(metric.observe(seen).result())
    return results
