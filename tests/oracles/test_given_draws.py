"""Samples under conditions have the law that the model has under them."""

import itertools
import math

import pytest
import torch
from scipy import stats
from scipy.integrate import quad

from coplay import Space, Variable
from coplay.core.errors import CoplayError
from coplay.core.rules import Rules
from coplay.core.subset import Subset
from coplay.models.autoregressive import Autoregressive
from coplay.models.base import OWN, LocalModel
from coplay.models.exponential_family import ExponentialFamily
from coplay.player import Player
from coplay.run.given import Asked
from coplay.run.given_draws import draw_given


def learned(space, rows, model, steps=60):
    player = Player("north", space, rows, model, seed=1)
    player.learn({}, {OWN: 1.0}, steps, round=1)
    return player


def drawn(player, given, n, **options):
    conditions = Asked("north", player.variables).conditions(given)
    return draw_given(player, conditions, n, 3, **options)


def one_column(variable, values, **settings):
    space = Space({"x": variable})
    model = Autoregressive(bins=12, hidden=16, blocks=1, **settings)
    return learned(space, space.samples(x=values), model)


def density(player, x):
    tensor = torch.tensor([x], dtype=torch.float64)
    return player.model.log_prob(player.space.samples(x=tensor)).exp().item()


# ------------------------------------------------------------------------- drawn by the model


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (-0.7, 0.4),
        (2.5, math.inf),
        (-math.inf, -2.2),
        (-5, -3),
        (1.0, 6.0),
        (-4.6, -4.0),
        (4.0, 4.5),
    ],
)
def test_a_range_of_a_real_number_has_its_chance_and_law_also_in_the_tails(low, high):
    generator = torch.Generator().manual_seed(1)
    player = one_column(Variable(kind="real"), torch.randn(400, generator=generator))
    edges = [e for e in player.model._bins.edges[0].tolist() if max(low, -60) < e < min(high, 60)]

    def mass(start, end):
        cuts = [start, *(e for e in edges if start < e < end), end]
        pieces = itertools.pairwise(cuts)
        return sum(quad(lambda x: density(player, x), a, b, epsabs=1e-10)[0] for a, b in pieces)

    begin, finish = max(low, -60.0), min(high, 60.0)
    chance = mass(begin, finish)
    samples, record = drawn(player, {"x": (low, high)}, 4000)
    assert record.chance == pytest.approx(chance, rel=1e-5)
    assert (record.restricted, record.rejected_by) == ("x", ())
    x = samples["x"].double()
    assert low <= x.min() <= x.max() <= high
    for quantile in (0.2, 0.5, 0.8):
        place = x.quantile(quantile).item()
        error = 4.5 * math.sqrt(quantile * (1 - quantile) / len(x))
        assert mass(begin, place) / chance == pytest.approx(quantile, abs=error)


@pytest.mark.parametrize(("low", "high"), [(2, 5), (0, 0), (9, math.inf), (3.5, 4.2), (30, 400)])
def test_a_range_of_a_count_has_the_sum_of_its_probabilities(low, high):
    counts = torch.arange(300) % 7 + torch.arange(300) % 4
    player = one_column(Variable(kind="count"), counts)
    every = torch.arange(2000)
    p = player.model.log_prob(player.space.samples(x=every)).exp()
    inside = (every >= low) & (every <= high)
    samples, record = drawn(player, {"x": (low, high)}, 3000)
    if low != high:
        assert record.chance == pytest.approx(p[inside].sum().item(), rel=1e-6)
    law = p * inside / p[inside].sum()
    most = int(samples["x"].max())
    counted = torch.bincount(samples["x"], minlength=2000).double()
    assert most <= high
    error = (3000 * law * (1 - law)).sqrt()
    assert ((counted - 3000 * law).abs() <= 5 * error + 1.5).all()


def test_a_value_that_occurs_again_and_again_is_inside_a_range_or_not():
    generator = torch.Generator().manual_seed(2)
    values = torch.rand(600, generator=generator) + 0.1
    values[::3] = 0.1  # in 32 bits a little more than 0.1
    player = one_column(Variable(kind="real", low=0), values)
    samples, record = drawn(player, {"x": (None, 0.1)}, 500)
    assert record.chance == pytest.approx(1 / 3, abs=0.05)
    assert (samples["x"] == torch.tensor(0.1)).float().mean() > 0.95
    above, rest = drawn(player, {"x": (0.11, None)}, 500)
    assert rest.chance == pytest.approx(2 / 3, abs=0.05)
    assert (above["x"] >= 0.11).all()


def categories_and_bits():
    space = Space({"c": Variable(kind="categorical", classes=4), "b": Variable(kind="binary")})
    generator = torch.Generator().manual_seed(4)
    c = torch.multinomial(torch.tensor([0.5, 0.05, 0.35, 0.1]), 800, True, generator=generator)
    b = torch.rand(800, generator=generator) < torch.tensor([0.8, 0.3, 0.4, 0.1])[c]
    rows = space.samples(c=c, b=b.to(torch.uint8))
    player = learned(space, rows, Autoregressive(hidden=16, blocks=1), 300)
    every = space.samples(
        c=torch.arange(4).repeat_interleave(2), b=torch.tensor([0, 1] * 4, dtype=torch.uint8)
    )
    return player, player.model.log_prob(every).exp().view(4, 2)


def shares(samples):
    cells = 2 * samples["c"] + samples["b"].long()
    return torch.bincount(cells, minlength=8).double().view(4, 2) / len(samples)


def assert_law(samples, law):
    error = (law * (1 - law) / len(samples)).sqrt()
    assert ((shares(samples) - law).abs() <= 4.5 * error).all()


def test_a_set_of_levels_is_drawn_first_and_the_rest_given_it():
    player, p = categories_and_bits()
    samples, record = drawn(player, ["c=1|3"], 8000)
    allowed = torch.tensor([0.0, 1, 0, 1])[:, None]
    assert_law(samples, p * allowed / (p * allowed).sum())
    assert record.chance == pytest.approx((p * allowed).sum().item(), rel=1e-5)
    assert (record.drawn, record.accepted, record.rate) == (8000, 8000, 1.0)


def test_of_several_conditions_the_rarest_is_drawn_and_others_are_kept_by_rejection():
    space = Space({name: Variable(kind="real") for name in "xy"})
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(1500, generator=generator)
    y = x + 0.5 * torch.randn(1500, generator=generator)
    model = Autoregressive(bins=20, hidden=32, blocks=1)
    player = learned(space, space.samples(x=x, y=y), model, 400)
    samples, record = drawn(player, ["y=-0.5..0.2", "x=0.9.."], 2000)
    assert (record.restricted, record.rejected_by) == ("x", ("y",))
    assert (samples["x"] >= 0.9).all()
    assert ((samples["y"] >= -0.5) & (samples["y"] <= 0.2)).all()
    # the same law by rejection alone, from draws whose order begins with x
    partial = player.space.samples(x=torch.zeros(0))
    first = model.complete_within(
        partial.new_empty(60_000).exclude("x"), "x", Subset(), torch.Generator().manual_seed(9)
    )
    holds = (first["x"] >= 0.9) & (first["y"] >= -0.5) & (first["y"] <= 0.2)
    assert stats.ks_2samp(first["x"][holds], samples["x"]).pvalue > 1e-4
    assert stats.ks_2samp(first["y"][holds], samples["y"]).pvalue > 1e-4
    all_of_x = first["x"] >= 0.9
    rate = (holds.sum() / all_of_x.sum()).item()
    error = math.sqrt(rate * (1 - rate) * (1 / record.drawn + 1 / int(all_of_x.sum())))
    assert record.rate == pytest.approx(rate, abs=4.5 * error)


def test_a_value_is_given_to_a_model_that_completes_to_its_last_bit():
    space = Space({"x": Variable(kind="real"), "b": Variable(kind="binary")})
    generator = torch.Generator().manual_seed(6)
    b = torch.tensor([0, 1], dtype=torch.uint8).repeat(200)
    x = 4.0 * b + torch.randn(400, generator=generator)
    player = learned(space, space.samples(x=x, b=b), Autoregressive(bins=12, hidden=16), 300)
    samples, record = drawn(player, ["x=4.123456789012"], 1000)
    assert samples["x"].unique().tolist() == [4.123456789012]
    assert record.completed == ("x",)
    assert samples["b"].double().mean() > 0.9
    single, _ = drawn(player, ["x=4.1"], 10)
    assert single["x"].dtype == torch.float32
    ones, _ = drawn(player, ["b=yes"], 2000)
    assert ones["b"].unique().tolist() == [1]
    assert ones["x"].mean().item() == pytest.approx(4.0, abs=0.4)


# --------------------------------------------------------------------------------- by rejection


def test_rejection_gives_the_gaussian_conditional_and_its_rate():
    space = Space({name: Variable(kind="real") for name in "xy"})
    generator = torch.Generator().manual_seed(7)
    x = 10 + 2 * torch.randn(3000, generator=generator)
    y = 5 + 1.5 * (x - 10) + torch.randn(3000, generator=generator)
    rows = space.samples(x=x, y=y)
    player = learned(space, rows, ExponentialFamily(), 1)
    (mx, my), cov = (f(torch.stack([x, y]).double()) for f in (lambda z: z.mean(1), torch.cov))
    cov = cov * (2999 / 3000)
    low, high = 7.0, 11.0
    law = stats.truncnorm((low - my) / cov[1, 1].sqrt(), (high - my) / cov[1, 1].sqrt(),
                          my, cov[1, 1].sqrt())  # fmt: skip
    slope = (cov[0, 1] / cov[1, 1]).item()
    n = 6000
    samples, record = drawn(player, {"y": (low, high)}, n)
    assert stats.kstest(samples["y"].double().numpy(), law.cdf).pvalue > 1e-4
    mean = mx.item() + slope * (law.mean() - my.item())
    spread = math.sqrt((cov[0, 0] - slope * cov[0, 1]).item() + slope**2 * law.var())
    assert samples["x"].double().mean().item() == pytest.approx(
        mean, abs=4.5 * spread / math.sqrt(n)
    )
    assert samples["x"].double().std().item() == pytest.approx(spread, rel=0.04)
    rate = stats.norm.cdf(high, my, cov[1, 1].sqrt()) - stats.norm.cdf(low, my, cov[1, 1].sqrt())
    error = math.sqrt(rate * (1 - rate) / record.drawn)
    assert record.rate == pytest.approx(rate, abs=4.5 * error)
    assert record.rejected_by == ("y",)
    assert record.accepted >= n


P = torch.tensor([[0.02, 0.18], [0.25, 0.05], [0.1, 0.1], [0.01, 0.29]]).double()


class Known(LocalModel):
    """A model whose joint law of c and b is a table."""

    def setup(self, space, seed):
        pass

    def learn(self, mixture, steps, generator):
        return {}

    def sample(self, n, generator):
        cells = torch.multinomial(P.flatten(), n, True, generator=generator)
        return Space(VARIABLES).samples(c=cells // 2, b=(cells % 2).to(torch.uint8))

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


VARIABLES = {"c": Variable(kind="categorical", classes=4), "b": Variable(kind="binary")}


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        (["b=no"], [[1, 0], [1, 0], [1, 0], [1, 0]]),
        (["c=0|3"], [[1, 1], [0, 0], [0, 0], [1, 1]]),
        (["c=0|3", "b=false"], [[1, 0], [0, 0], [0, 0], [1, 0]]),
        ({"c": (1, 2), "b": True}, [[0, 0], [0, 1], [0, 1], [0, 0]]),
    ],
)
def test_rejection_gives_the_conditional_law_of_a_table(given, allowed):
    space = Space(VARIABLES)
    player = Player("north", space, space.empty(), Known(), seed=1)
    samples, record = drawn(player, given, 9000)
    law = P * torch.tensor(allowed)
    chance = law.sum().item()
    assert len(samples) == 9000
    assert_law(samples, law / chance)
    error = math.sqrt(chance * (1 - chance) / record.drawn)
    assert record.rate == pytest.approx(chance, abs=4.5 * error)


def test_a_condition_that_is_too_rare_stops_and_says_how_rare_and_what_to_do():
    space = Space(VARIABLES)
    player = Player("north", space, space.empty(), Known(), seed=1)
    with pytest.raises(CoplayError) as raised:
        drawn(player, ["c=3", "b=0"], 5000, most=100_000)
    text = str(raised.value)
    assert "of 10,000 draws of player 'north' fulfil it (c=3 in 30" in text
    assert "too few for 5,000 samples; widen the rarest condition, ask for at most about" in text
    needed = int(text.partition("(--most ")[2].partition(";")[0])
    assert needed == pytest.approx(1.2 * 5000 / 0.01, rel=0.3)
    samples, record = drawn(player, ["c=3", "b=0"], 5000, most=needed)
    assert len(samples) == 5000
    assert record.drawn <= needed


def test_a_value_of_a_real_number_is_refused_where_only_rejection_is_left():
    space = Space({"x": Variable(kind="real")})
    player = learned(space, space.samples(x=torch.linspace(-2, 2, 50)), ExponentialFamily(), 1)
    with pytest.raises(CoplayError, match=r"given x=1: .* never hit it exactly; give a range, su"):
        drawn(player, ["x=1"], 10)


def test_the_same_seed_draws_the_same_samples():
    space = Space(VARIABLES)
    player = Player("north", space, space.empty(), Known(), seed=1)
    one, again = (drawn(player, ["b=0"], 50)[0] for _ in range(2))
    assert one["c"].tolist() == again["c"].tolist()


def test_what_is_drawn_under_conditions_keeps_the_rules_too():
    """A sum is put right after it was drawn, and must then lie where it was asked to."""
    space = Space({name: Variable(kind="real") for name in ("a", "b", "sum")})
    generator = torch.Generator().manual_seed(1)
    a, b = torch.rand(2, 300, generator=generator)
    model = Autoregressive(bins=8, hidden=16, blocks=1)
    player = learned(space, space.samples(a=a, b=b, sum=a + b), model)
    player.rules = Rules.of(["a + b = sum", "a < b"], space)
    samples, record = drawn(player, {"sum": (0.5, 1.0)}, 500)
    assert torch.allclose(samples["a"] + samples["b"], samples["sum"], atol=1e-6)
    assert (samples["a"] < samples["b"]).all()
    assert 0.5 <= samples["sum"].min() <= samples["sum"].max() <= 1.0
    assert record.accepted < record.drawn
