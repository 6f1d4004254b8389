"""The verdict of a site: which model is best for it, by how much, and how sure that is."""

import pytest
import torch

from coplay import Space, Variable
from coplay.site.losses import loss_of_prediction, losses_on
from coplay.site.verdict import Losses, verdict

TABLE = Space(
    {"x": Variable(kind="real"), "y": Variable(kind="categorical", classes=2, names=("a", "b"))}
)


def rows(n, flipped=False):
    x = torch.linspace(-2, 2, n)
    y = (x > 0).long()
    return TABLE.samples(x=x, y=1 - y if flipped else y)


def of(better, worse):
    return Losses.means({"isolated": worse, "sample_exchange": better}, "log loss")


def test_a_clearly_better_model_is_named_with_its_gain():
    noise = torch.randn(200, generator=torch.Generator().manual_seed(0)).double()
    result = verdict("north", of(noise, noise + 0.5 + 0.1 * noise.flip(0)))
    assert result.best == "sample_exchange"
    assert result.compared_with == "isolated"
    assert result.low < result.gain < result.high
    assert result.low > 0.45
    assert result.is_certain


def test_equal_models_have_an_interval_of_0_and_alone_comes_first():
    loss = torch.rand(50, generator=torch.Generator().manual_seed(0))
    result = verdict("north", of(loss, loss))
    assert (result.best, result.gain, result.low, result.high) == ("isolated", 0.0, 0.0, 0.0)
    assert str(result).endswith("the difference may be chance.")


@pytest.mark.slow
def test_the_interval_covers_the_true_difference_in_95_of_100_trials():
    generator = torch.Generator().manual_seed(0)
    hits = 0
    trials = 300
    for _ in range(trials):
        noise = torch.randn(2, 100, generator=generator).double()
        result = verdict("north", of(noise[0], noise[0] + noise[1] + 0.3))
        sign = 1 if result.best == "sample_exchange" else -1
        hits += result.low <= sign * 0.3 <= result.high
    # 3 standard errors of a share of 0.95 in 300 trials are 0.038; a bootstrap is a bit narrow
    assert 0.90 <= hits / trials <= 0.99


@pytest.mark.parametrize("n", [3, 10])
def test_equal_models_are_seldom_certain_on_few_rows(n):
    generator = torch.Generator().manual_seed(0)
    certain = 0
    trials = 200
    for _ in range(trials):
        noise = torch.randn(2, n, generator=generator).double()
        certain += verdict("north", of(noise[0], noise[0] + noise[1])).is_certain
    # 0.05 is expected, and its standard error in 200 trials is 0.015
    assert certain / trials < 0.11


def test_one_unit_says_nothing_of_others():
    loss = torch.arange(4).double()
    result = verdict("north", of(loss, loss + 1), torch.zeros(4, dtype=torch.int64))
    assert str(result) == (
        "No model can be called the best for north: the 4 rows kept to choose by are all of one "
        "unit."
    )


def test_rows_of_one_unit_are_drawn_together():
    generator = torch.Generator().manual_seed(0)
    effect = torch.randn(10, generator=generator).double().repeat_interleave(20)
    units = torch.arange(10).repeat_interleave(20)
    base = torch.zeros(200).double()
    by_row = verdict("north", of(base, base + 0.4 + effect))
    by_unit = verdict("north", of(base, base + 0.4 + effect), units)
    # 20 equal rows a unit: the standard error is √20 times that of rows, and Student's interval of
    # 10 units is 1.2 times as wide as that of 200 rows
    ratio = (by_unit.high - by_unit.low) / (by_row.high - by_row.low)
    assert 4.2 < ratio < 6.6


def test_rows_of_one_unit_stay_together_where_incomplete_rows_are_left_out():
    space = Space({"x": Variable(kind="real", optional=True), "y": TABLE["y"]})
    held = space.samples(x=torch.linspace(-2, 2, 80), y=torch.arange(80) // 20 % 2)
    whole = losses_on(held, space, {"isolated": rows(200), "game": rows(200, True)}, "y", {})
    held["x"][::4] = torch.nan
    losses = losses_on(held, space, {"isolated": rows(200), "game": rows(200, True)}, "y", {})
    units = torch.arange(80) // 20
    assert (whole.n, losses.n) == (80, 60)
    by_unit, by_row = verdict("north", losses, units), verdict("north", losses)
    assert by_unit.high - by_unit.low > 2 * (by_row.high - by_row.low)


def test_a_single_model_is_compared_with_nothing():
    result = verdict("north", Losses.means({"isolated": torch.tensor([1.0, 3.0])}, "log loss"))
    assert str(result) == (
        "Only the model learned alone was played for north: log loss is 2 on 2 rows kept for this."
    )


def test_log_p_is_better_when_it_is_higher():
    losses = {"isolated": torch.tensor([3.0, 3.0]), "a": torch.tensor([1.0, 1.0])}
    result = verdict("north", Losses.means(losses, "log p", "higher"))
    assert result.values == {"isolated": -3.0, "a": -1.0}
    assert (result.best, result.gain) == ("a", 2.0)


def test_samples_with_the_wrong_relation_lose_more():
    right = loss_of_prediction(rows(400), rows(40), TABLE, "y").mean()
    wrong = loss_of_prediction(rows(400, flipped=True), rows(40), TABLE, "y").mean()
    assert right < 0.15
    assert wrong > 1


def test_samples_of_one_category_give_the_log_loss_of_laplace():
    one = TABLE.samples(x=torch.zeros(8), y=torch.zeros(8, dtype=torch.long))
    losses = loss_of_prediction(one, rows(2), TABLE, "y")
    assert torch.allclose(losses, -torch.tensor([0.9, 0.1]).double().log())


def test_the_measure_suits_the_variables():
    drawn = {"isolated": rows(50), "a": rows(60)}
    log_p = {"isolated": torch.zeros(20), "a": torch.ones(20)}
    real = rows(20)
    assert losses_on(real, TABLE, drawn, "y", log_p).measure.startswith("log loss of y")
    assert losses_on(real, TABLE, drawn, "x", log_p).measure.startswith("squared error of x")
    assert losses_on(real, TABLE, drawn, None, log_p).measure == "log p in nats per row"
    without = losses_on(real, TABLE, drawn, None, {"a": log_p["a"]})
    assert without.measure == "mean similarity of columns (1 is best)"
    assert losses_on(rows(1), TABLE, drawn, "y", {}) == "only 1 rows were kept to choose by"


def test_fidelity_of_equal_rows_is_1():
    result = verdict("north", losses_on(rows(20), TABLE, {"a": rows(20)}, None, {}))
    assert result.values == {"a": 1.0}


def test_units_stay_together_where_a_kept_row_lacks_a_value():
    space = Space({"x": Variable(kind="real", optional=True), "y": Variable(kind="real")})
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, generator=generator)
    units = torch.arange(40) // 10
    rows = space.samples(x=x, y=x + units)
    incomplete = space.samples(
        x=torch.cat([torch.tensor([torch.nan]), x]), y=rows["y"][[0, *range(40)]]
    )
    samples = {"isolated": space.samples(x=x, y=-x), "game": space.samples(x=x, y=x)}
    expected = verdict("north", losses_on(rows, space, samples, "y", {}), units)
    with_first = torch.cat([units[:1], units])
    assert verdict("north", losses_on(incomplete, space, samples, "y", {}), with_first) == expected
    apart = verdict("north", losses_on(rows, space, samples, "y", {}))
    assert expected.high - expected.low != apart.high - apart.low
