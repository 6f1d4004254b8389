"""Tables of very many rows: what is left out of memory changes no bit, and samples are said."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from coplay.core.space import Samples, Space
from coplay.core.variable import Variable
from coplay.metrics.base import Observed, Reference, share_value
from coplay.metrics.memorisation import Memorisation, leak
from coplay.metrics.utility import Utility
from coplay.models import likelihood, many_rows, neural
from coplay.models.autoregressive import Autoregressive
from coplay.models.base import OWN, Mixture, Portion
from coplay.models.mixing import own_portions
from coplay.player import Player
from coplay.site.conforming import conformed
from coplay.site.splitting import split_of

SPACE = Space(
    {
        "dose": Variable(kind="real", optional=True),
        "town": Variable(kind="categorical", classes=5, optional=True),
        "ill": Variable(kind="binary", optional=True),
        "visits": Variable(kind="count"),
    }
)


def rows_of(n: int, seed: int = 0) -> Samples:
    """Return rows of which some lack values, and in which dose and visits go together."""
    rng = np.random.default_rng(seed)
    visits = rng.poisson(4, n)
    dose = torch.from_numpy((rng.normal(visits, 1)).astype(np.float32))
    town = torch.from_numpy(rng.integers(0, 5, n))
    ill = torch.from_numpy((rng.random(n) < 0.3).astype(np.uint8))
    for values, missing, share in ((dose, torch.nan, 0.2), (town, -1, 0.3), (ill, 255, 0.1)):
        values[torch.from_numpy(rng.random(n) < share)] = missing
    return SPACE.samples(dose=dose, town=town, ill=ill, visits=torch.from_numpy(visits))


def learned(rows: Samples, **settings: Any) -> tuple[dict[str, torch.Tensor], list[Any]]:
    """Let a player learn for some turns, also from another's samples that lack a variable."""
    model = Autoregressive.tiny().model_copy(update={"validation": 0.2, **settings})
    player = Player("north", SPACE, rows, model, seed=3)
    received = rows_of(50, seed=9).exclude("town", "ill", "dose")
    numbers = [player.learn({}, {OWN: 1.0}, 5, 1)]
    numbers.append(player.learn({"south": received}, {OWN: 0.5, "south": 0.5}, 5, 2))
    state = {}
    for name, each in model.state_dict().items():
        if not name.startswith("flops/"):  # how many operations a step takes, by what it is called
            state[name] = each.clone()
    return state, numbers


def test_rows_that_become_levels_only_when_drawn_teach_the_same_bits(monkeypatch):
    rows = rows_of(600)
    before, numbers = learned(rows)
    monkeypatch.setattr(many_rows, "_MANY", 10)
    drawn_first, numbers_then = learned(rows)
    assert numbers == numbers_then
    assert before.keys() == drawn_first.keys()
    for name, values in before.items():
        assert torch.equal(values, drawn_first[name]), name


@pytest.mark.parametrize("many", [10, 500_000])
def test_rows_that_are_chosen_teach_the_same_bits_as_copies_of_them(monkeypatch, many):
    monkeypatch.setattr(many_rows, "_MANY", many)
    rows = rows_of(400)
    chosen = own_portions(SPACE, rows)
    assert len(chosen) > 4
    copies = [Portion(part.name, part.whole(), part.weight) for part in chosen]
    states = []
    for parts in (chosen, copies):
        model = Autoregressive.tiny().model_copy(update={"validation": 0.2})
        model.setup(SPACE, seed=1)
        numbers = model.learn(Mixture(tuple(parts)), 5, torch.Generator().manual_seed(1))
        states.append((model.state_dict(), numbers))
    assert states[0][1] == states[1][1]
    for name, values in states[0][0].items():
        assert torch.equal(values, states[1][0][name]), name


def test_of_many_rows_no_levels_are_kept(monkeypatch):
    monkeypatch.setattr(many_rows, "_MANY", 10)
    converted = []
    real = Autoregressive._as_levels

    def noted(self: Autoregressive, samples: Samples) -> Samples:
        converted.append(len(samples))
        return real(self, samples)

    monkeypatch.setattr(Autoregressive, "_as_levels", noted)
    learned(rows_of(5000), batch=16)
    aside = max(converted)
    assert aside <= 0.2 * 5000
    assert sorted(converted)[len(converted) // 2] <= 16


def patterns_by_comparing(rows: Samples) -> dict[str, list[int]]:
    """Return which rows have which pattern, by comparing all rows with all patterns."""
    names = [name for name in SPACE if SPACE[name].optional]
    present = torch.stack([SPACE[name].present(rows[name]) for name in names], 1)
    distinct = sorted({tuple(each) for each in present.tolist()}, reverse=True)
    expected = {}
    for there in distinct:
        lacking = [name for name, has in zip(names, there, strict=True) if not has]
        title = f"{OWN} without {', '.join(lacking)}" if lacking else OWN
        places = [i for i, each in enumerate(present.tolist()) if tuple(each) == there]
        expected[title] = places
    return expected


def test_portions_of_own_rows_say_which_rows_they_are_and_copy_none():
    rows = rows_of(400)
    parts = own_portions(SPACE, rows)
    assert {part.name: part.rows.tolist() for part in parts} == patterns_by_comparing(rows)
    assert [part.name for part in parts] == list(patterns_by_comparing(rows))
    assert sum(part.weight for part in parts) == pytest.approx(1)
    for part in parts:
        assert part.samples["visits"].data_ptr() == rows["visits"].data_ptr()


@pytest.mark.parametrize("columns", [14, 15, 28, 29, 70])
def test_patterns_of_very_many_columns_are_told_apart_in_one_order(columns):
    rng = np.random.default_rng(columns)
    space = Space({f"x{i}": Variable(kind="count", optional=True) for i in range(columns)})
    drawn = torch.from_numpy(rng.integers(0, 3, (12, columns)))[rng.integers(0, 12, 300)]
    values = torch.where(drawn == 0, -1, drawn)
    rows = space.samples(**{f"x{i}": values[:, i] for i in range(columns)})
    distinct, which = (values >= 0).unique(dim=0, return_inverse=True)
    expected = [(which == k).nonzero().squeeze(1).tolist() for k in reversed(range(len(distinct)))]
    assert [part.rows.tolist() for part in own_portions(space, rows)] == expected


def test_a_choice_of_a_choice_of_rows_is_one_of_the_samples():
    rows = SPACE.samples(visits=torch.arange(10))
    part = Portion("south", rows, 0.5).only(torch.tensor([9, 7, 5, 3])).only(torch.tensor([2, 0]))
    assert part.whole()["visits"].tolist() == [5, 9]
    assert part.picked(torch.tensor([1]))["visits"].tolist() == [9]
    assert len(part) == 2
    samples, weights = Mixture((part, Portion("west", rows[:1], 0.5))).weighted()
    assert samples["visits"].tolist() == [5, 9, 0]
    assert weights.tolist() == [0.25, 0.25, 0.5]


@pytest.mark.parametrize("left_out", [[0], [3], [0, 1, 4], [2, 3], [0, 1, 2, 3, 4]])
def test_rows_that_are_left_out_are_drawn_by_nobody(left_out):
    rows = SPACE.samples(visits=torch.arange(10, 20))
    chosen = torch.tensor([9, 7, 5, 3, 1, 0])
    rest = [19, 17, 15, 13, 11, 10]
    for place in reversed(left_out):
        del rest[place]
    part = Portion("south", rows, 0.5, chosen).all_but(torch.tensor(left_out))
    assert len(part) == len(rest)
    assert part.whole()["visits"].tolist() == rest
    for place, value in enumerate(rest):
        assert part.picked(torch.tensor([place]))["visits"].tolist() == [value]
    assert part.all_but(torch.tensor([0])).whole()["visits"].tolist() == rest[1:]
    drawn = Mixture((part,)).batch(50, torch.Generator().manual_seed(1))
    assert set(drawn["visits"].tolist()) <= set(rest)


def test_a_model_that_takes_no_choice_of_rows_gets_the_rows_alone():
    part = Portion("south", rows_of(10), 1.0).only(torch.tensor([4, 2]))
    assert part.fit_for(Autoregressive.tiny()) is part
    copied = part.fit_for(SimpleNamespace(takes_rows=False))
    assert copied.rows is None
    assert copied.samples["visits"].tolist() == part.whole()["visits"].tolist()


def test_what_playing_on_would_gain_is_measured_on_the_rows_of_a_portion_alone():
    space = Space({"bit": Variable(kind="binary")})
    bits = space.samples(bit=torch.tensor([0, 0, 0, 1], dtype=torch.uint8))
    model = Autoregressive.tiny()
    model.setup(space, seed=1)
    model.learn(Mixture((Portion(OWN, bits, 1.0),)), 1, torch.Generator().manual_seed(1))
    gained = []
    for part in (Portion(OWN, bits, 1.0, torch.tensor([3])), Portion(OWN, bits[3:], 1.0)):
        twin = model.fresh()
        twin.setup(space, seed=1)
        generator = torch.Generator().manual_seed(2)
        gained.append(likelihood.gain(model, twin, Mixture((part,)), 5, 2, generator))
    assert gained[0] == gained[1]
    assert gained[0].n == 1


def test_no_more_than_so_many_samples_are_set_aside_of_all_sources_together(monkeypatch):
    monkeypatch.setattr(neural, "_MOST_ASIDE", 30)
    model = Autoregressive.tiny().model_copy(update={"validation": 0.2})
    model.setup(SPACE, seed=1)
    few, many = rows_of(100, seed=1), rows_of(200, seed=2)
    mixture = Mixture((Portion(OWN, many, 0.5), Portion("south", few, 0.5)))
    learned_from, aside = model._set_aside(mixture)
    assert [len(part) for part in aside.parts] == [20, 10]
    assert [len(part) for part in learned_from.parts] == [180, 90]
    everything = [
        *learned_from.parts[0].whole()["visits"].tolist(),
        *aside.parts[0].samples["visits"].tolist(),
    ]
    assert sorted(everything) == sorted(many["visits"].tolist())


def test_bins_are_fitted_on_evenly_spaced_rows_of_all_sources():
    space = Space({"x": Variable(kind="count")})
    rows = space.samples(x=torch.arange(300_000))
    parts = [Portion(f"p{i}", rows, 0.25) for i in range(3)]
    chosen = many_rows.fitted_on(Mixture((*parts, Portion("few", rows[:50], 0.25))))
    assert [len(each) for each in chosen] == [75_000] * 3 + [13]
    parts = [Portion(f"p{i}", rows[:50_000], 0.1) for i in range(9)]
    chosen = many_rows.fitted_on(Mixture((*parts, Portion("few", rows[:50], 0.1))))
    assert [len(each) for each in chosen] == [50_000] * 9 + [50]
    assert chosen[0] is parts[0].samples


def test_of_a_large_table_no_more_rows_are_held_out_than_are_of_use():
    split = split_of(1_000_000, 0.2, None, None, "site 'north'")
    assert (len(split.train), len(split.scored), len(split.chosen_on)) == (960_000, 20_000, 20_000)
    assert "(40,000 are enough, where held_out = 0.2 would be more)" in str(split)
    small = split_of(10_000, 0.2, None, None, "site 'north'")
    assert len(small.train) == 8_000
    assert "enough" not in str(small)


def test_values_that_are_right_leave_nothing_behind_of_what_was_read():
    agreed = Variable(kind="real", low=0, high=10)
    read = torch.tensor([1.0, 2.0, 30.0])
    wrong = conformed(agreed, Variable(kind="real"), read)
    assert wrong.settled is wrong
    right = conformed(agreed, Variable(kind="real"), read[:2]).settled
    assert right.values.tolist() == [1.0, 2.0]
    assert right.nearest is None
    assert right.wrong.tolist() == [False, False]


@pytest.fixture(scope="module")
def observed() -> Observed:
    space = Space({name: Variable(kind="real") for name in "abcd"} | {"y": Variable(kind="binary")})
    rng = np.random.default_rng(0)

    def rows(n: int) -> Samples:
        y = (rng.random(n) < 0.5).astype(np.uint8)
        values = {name: torch.from_numpy(rng.normal(y, 1).astype(np.float32)) for name in "abcd"}
        return space.samples(**values, y=torch.from_numpy(y))

    real = rows(200)
    reference = Reference(real, None, None, real, space)
    return Observed(rows(200), reference, held=rows(300))


def test_a_score_of_some_of_the_training_rows_says_so(monkeypatch, observed):
    metric = Memorisation()
    whole = metric.observe(observed).result()
    assert all("300" not in value.unit for value in whole.values())
    monkeypatch.setattr("coplay.metrics.memorisation._MOST_HELD", 100)
    some = metric.observe(observed).result()
    assert some.keys() == whole.keys()
    assert all("(100 of 300 rows)" in value.unit for value in some.values())
    # among a third of the rows the nearest is farther away, for samples and for real rows
    assert some["copies_share"].n == whole["copies_share"].n


def test_a_leak_is_not_looked_for_where_real_rows_are_told_as_none():
    share = share_value(60, 100, "", "lower", n=100, n_real=400)
    assert "0.60 of the samples repeat" in leak({"copies_share": share})
    assert leak({"copies_share": replace(share, n_real=0)}) == ""


def test_a_prediction_learned_from_some_of_the_own_rows_says_so(monkeypatch, observed):
    metric = Utility(target="y", learners=("linear",))
    whole = metric.observe(observed).result()["utility_of_real"]
    assert (whole.n, "of 300" in whole.unit) == (300, False)
    monkeypatch.setattr("coplay.metrics.utility._MOST_HELD", 60)
    some = metric.observe(observed).result()["utility_of_real"]
    assert some.n == 60
    assert "60 of 300 of the player's own real rows" in some.unit
