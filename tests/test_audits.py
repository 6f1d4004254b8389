"""Audits find what is planted, say nothing where nothing is kept, and bound ε from below."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import binom, norm

from coplay import Space, Variable, pick
from coplay.core.errors import DataError
from coplay.metrics.base import wilson
from coplay.report.audit_tables import audit_table
from coplay.run.audit_rows import alike
from coplay.site.audits import membership, one_run
from coplay.site.audits.auditing import AFTERWARDS, Effort, Report, audit
from coplay.site.audits.base import AuditRows, Coins, Side
from coplay.site.audits.intervals import (
    area_interval,
    exact_interval,
    quiet_ranks,
    risk_interval,
    risk_of,
    share_interval,
)
from coplay.site.audits.rows import coins_of_split
from coplay.site.canaries import canaries_of

from . import planted


def figures_of(report, attack, name=None):
    chosen = [each for each in report.figures if each.attack == attack]
    return [each for each in chosen if name is None or each.name == name]


# ------------------------------------------------------------------------------ what is counted


def test_the_area_is_the_share_of_pairs_in_the_right_order():
    generator = planted.seeded("area")
    members = torch.randint(6, (40,), generator=generator).double()
    controls = torch.randint(5, (30,), generator=generator).double()
    pairs = members[:, None] - controls[None]
    expected = (pairs > 0).double().mean() + 0.5 * (pairs == 0).double().mean()
    assert membership.area(members, controls) == pytest.approx(expected.item(), abs=1e-12)


def test_the_interval_of_an_area_holds_one_half_where_mann_and_whitney_see_nothing():
    n, m = 40, 25
    deviation = math.sqrt((n + m + 1) / (12 * n * m))
    for off, holds in ((1.959, True), (1.961, False)):
        low, high = area_interval(0.5 + off * deviation, n, m)
        assert (low <= 0.5 <= high) is holds
    low, high = area_interval(0.3, n, m)
    other_low, other_high = area_interval(0.7, n, m)
    assert (low, high) == pytest.approx((1 - other_high, 1 - other_low))


def test_intervals_of_shares_are_the_known_ones():
    assert share_interval(7, 40) == pytest.approx(wilson(7, 40))
    low, high = exact_interval(7, 40, 0.025)
    assert binom.sf(6, 40, low) == pytest.approx(0.025)
    assert binom.cdf(7, 40, high) == pytest.approx(0.025)


def test_a_risk_is_above_zero_where_the_difference_of_both_rates_is():
    rng = np.random.default_rng(3)
    both = set()
    for _ in range(300):
        n, m = (int(each) for each in rng.integers(5, 80, 2))
        ours = (int(rng.integers(0, n + 1)), n)
        theirs = (int(rng.integers(0, m)), m)
        rate, base = ours[0] / n, theirs[0] / m
        low, _ = share_interval(*ours)
        _, high = share_interval(*theirs)
        # Newcombe's interval of a difference, from Wilson's of both rates
        above = (rate - base) - math.hypot(rate - low, high - base)
        bound, most = risk_interval(ours, theirs)
        assert -1 <= bound <= risk_of(ours, theirs) <= most <= 1
        if abs(above) > 1e-9:
            assert (bound > 0) == (above > 0)
            both.add(above > 0)
    assert both == {True, False}


def test_few_false_alarms_take_many_controls():
    for m in (300, 436, 437, 2000):
        most, least = quiet_ranks(m, 0.01, 0.0125)
        # the (k + 1)-th largest of m has more than 1 % above it if at most k of m lie there
        assert (most is None) == (binom.pmf(0, m, 0.01) > 0.0125)
        if most is not None:
            assert binom.cdf(most, m, 0.01) <= 0.0125 < binom.cdf(most + 1, m, 0.01)
        assert binom.sf(least, m, 0.01) <= 0.0125 < binom.sf(least - 1, m, 0.01)
    value, low, high = membership.true_alarms(torch.ones(500), torch.zeros(400))
    assert (value, low, high) == (1.0, 0.0, 1.0)
    assert membership.true_alarms(torch.ones(500), torch.zeros(500))[1] > 0.98


def test_the_improbability_of_right_guesses_is_that_of_the_theorem():
    assert one_run.improbability(10, 8, 6, math.log(3), 0) == pytest.approx(binom.sf(5, 8, 0.75))
    # of two guesses none is probable with 1/4 and one with 1/2: the worst is one step below
    assert one_run.improbability(10, 2, 2, 0.0, 0.01) == pytest.approx(0.25 + 20 * 0.01 * 0.5)


# ------------------------------------------------------------------------------ what is planted


def attacked(name, kind="table"):
    generator = planted.seeded("planted", name)
    rows = planted.rows(kind, 1000, 500, 300, generator)
    samples = getattr(planted, name)(rows.members.rows, 4000, generator)
    if "image" in samples.keys():
        samples["image"] = samples["image"].clamp(0, 1)
    return audit(rows, samples)


@pytest.mark.parametrize("kind", ["table", "pictures"])
def test_a_kernel_density_of_tiny_bandwidth_is_found_by_both_membership_attacks(kind):
    report = attacked("kernel_density", kind)
    for attack in ("density ratio", "nearest neighbours"):
        (area,) = figures_of(report, attack, "AUC")
        assert area.low >= 0.9, attack
        (quiet,) = figures_of(report, attack, "TPR at 1 % FPR")
        assert quiet.low > 0.01, attack
    if kind == "table":
        (near,) = figures_of(report, "singling out, near rows")
        assert near.low > 0.5
    else:
        assert report.reasons[-1] == "singling out, linkability and inference are of tables"


@pytest.mark.parametrize("name", ["repeating_some", "repeating_among_others"])
def test_one_row_in_a_hundred_that_is_repeated_is_singled_out(name):
    report = attacked(name)
    (equal,) = figures_of(report, "singling out, equal rows")
    assert equal.is_alarming
    assert (equal.hits, equal.hits_control) == (10, 0)
    # few rows do not show on average, which its sentence says
    (area,) = figures_of(report, "nearest neighbours", "AUC")
    assert area.value < 0.6
    assert "cannot show a few rows that are repeated" in area.meaning


def test_rows_repeated_in_three_of_four_columns_are_found():
    report = attacked("repeating_three_columns")
    (area,) = figures_of(report, "nearest neighbours", "AUC")
    assert area.low >= 0.9
    risks = {each.of: each for each in figures_of(report, "inference")}
    assert {of for of, risk in risks.items() if risk.low > 0.3} == {"a", "b", "k"}
    assert risks["c"].high < 0.1, "the fourth column is new"
    assert not figures_of(report, "singling out, equal rows")[0].is_alarming


@pytest.mark.parametrize("kind", ["table", "units", "pictures"])
def test_intervals_of_an_honest_model_hold_chance(kind):
    repetitions = 30
    held = {}
    for repetition in range(repetitions):
        generator = planted.seeded("honest", kind, repetition)
        rows = planted.rows(kind, 200, 100, 60, generator)
        for each in audit(rows, planted.honest(kind, 400, generator)).figures:
            name = (each.attack, each.name, each.of if each.attack == "inference" else "")
            held[name] = held.get(name, 0) + (each.low <= each.chance <= each.high)
    assert len(held) == (4 if kind == "pictures" else 12)
    for name, count in held.items():
        # fewer have a probability of 1/600 where 95 of 100 hold it
        assert count >= 25, (name, count)


def test_rows_of_one_unit_count_once():
    generator = planted.seeded("units")
    rows = planted.rows("units", 200, 100, 60, generator)
    assert len(rows.members.rows) > 400
    for figure in audit(rows, planted.honest("units", 400, generator)).figures:
        assert (figure.n, figure.n_control) == (200, 100)
    members = rows.members
    scores = torch.rand(len(members.rows), generator=generator)
    best = members.by_unit(scores)
    for unit in (0, 57, 199):
        assert best[unit] == scores[members.units == unit].max()
    one = members.one_each("test")
    for unit in (0, 57, 199):
        assert one.rows["a"][unit] in members.rows["a"][members.units == unit]


def test_what_members_and_controls_are_called_decides_nothing():
    """No score may depend on who is a member: swapped sides give the mirrored area."""
    generator = planted.seeded("swap")
    rows = planted.rows("table", 150, 150, 60, generator)
    samples = planted.honest("table", 300, generator)
    swapped = AuditRows.of(rows.space, rows.controls, rows.members, rows.reference)
    first, second = audit(rows, samples), audit(swapped, samples)
    for attack in ("density ratio", "nearest neighbours"):
        one, other = (figures_of(each, attack, "AUC")[0] for each in (first, second))
        assert one.value == pytest.approx(1 - other.value, abs=1e-12)


def test_an_audit_repeats_to_the_bit_and_draws_from_no_common_stream():
    generator = planted.seeded("repeat")
    rows = planted.rows("table", 300, 100, 60, generator)
    samples = planted.honest("table", 2000, generator)
    before = torch.random.get_rng_state(), generator.get_state()
    effort = Effort(100, 500, 1e9)
    reports = [audit(rows, samples, effort).json() for _ in range(2)]
    assert reports[0] == reports[1]
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert torch.equal(generator.get_state(), before[1])
    assert reports[0]["samples"] == 500
    assert {each["n"] for each in reports[0]["figures"]} == {100}
    again = Report.from_json(reports[0])
    assert again.json() == reports[0]


def test_missing_values_agree_with_each_other_and_samples_may_lack_variables():
    space = Space({**{name: TABLE_OF[name] for name in "abc"}, "k": TABLE_OF["k"]})
    generator = planted.seeded("missing")
    parts = []
    for n in (200, 100, 60):
        values = planted.people(n, generator)
        values["a"][: n // 4] = torch.nan
        values["k"][n // 4 : n // 2] = -1
        parts.append(values)
    rows = AuditRows.of(space, Side(parts[0]), Side(parts[1]), parts[2])
    report = audit(rows, planted.people(500, generator).exclude("b"))
    assert {each.of for each in figures_of(report, "inference")} == {"a", "c", "k"}
    assert all(math.isfinite(each.value) for each in report.figures)


TABLE_OF = {
    name: planted.TABLE[name].model_copy(update={"optional": True}) for name in planted.TABLE
}


def test_what_cannot_be_audited_says_why():
    generator = planted.seeded("few")
    rows = planted.rows("table", 8, 9, 5, generator)
    report = audit(rows, planted.people(3, generator))
    assert report.figures == ()
    assert list(report.reasons) == [
        "3 samples are too few: expected at least 10",
        "8 members are too few: expected at least 10",
        "9 control units are too few: expected at least 10",
        "5 reference rows are too few: expected at least 10",
    ]
    others = Space({"other": Variable(kind="real")}).samples(other=torch.zeros(20))
    rows = planted.rows("table", 20, 20, 20, generator)
    expected = ["samples and rows have no variable in common"]
    assert list(audit(rows, others).reasons) == expected


# ------------------------------------------------------------------------------------- one run


def test_the_bound_rarely_exceeds_a_tight_epsilon():
    above = {"guesses": 0, "response": 0, "gaussian": 0}
    sigma = planted.noise_for(1.0, 1e-5)
    for repetition in range(200):
        generator = planted.seeded("tight", repetition)
        is_in = planted.coin_flips(400, generator)
        answers = planted.randomised_response(is_in, 1.0, generator)
        right = int((answers.bool() == is_in).sum())
        above["guesses"] += one_run.refuted_epsilon(400, 400, right) > 1.0
        above["response"] += one_run.bound([answers], is_in) > 1.0
        noisy = is_in + sigma * torch.randn(400, generator=generator)
        above["gaussian"] += one_run.bound([noisy], is_in, 1e-5) > 1.0
    assert all(count <= 18 for count in above.values()), above
    assert above["guesses"] >= 2, "the bound for one way to guess is tight"


def test_the_noise_is_the_smallest_that_keeps_the_promise():
    sigma = planted.noise_for(1.0, 1e-5)
    half = 1 / (2 * sigma)
    delta = norm.cdf(half - sigma) - math.e * norm.cdf(-half - sigma)
    assert delta == pytest.approx(1e-5, rel=1e-6)


def test_noise_that_was_left_out_is_noticed():
    generator = planted.seeded("left out")
    is_in = planted.coin_flips(1000, generator)
    sigma = planted.noise_for(1.0, 1e-5)
    honest = planted.noisy_sum(is_in, 4000, sigma, generator)
    assert one_run.bound([honest], is_in, 1e-5) <= 1.0
    without = planted.noisy_sum(is_in, 4000, 0.0, generator)
    assert one_run.bound([without], is_in, 1e-5) > 1.0


def test_equal_scores_are_no_ground_for_a_guess():
    is_in = torch.tensor([True] * 200 + [False] * 200)
    assert one_run.bound([torch.zeros(400)], is_in) == 0.0


def test_a_memoriser_has_a_bound_and_an_honest_model_has_none():
    generator = planted.seeded("coins")
    rows = planted.rows("table", 600, 600, 100, generator)
    is_in = planted.coin_flips(600, generator)
    heads = int(is_in.sum())
    coins = Coins(torch.arange(heads), torch.arange(600 - heads), replaced=False)
    rows = AuditRows.of(rows.space, rows.members, rows.controls, rows.reference, coins)
    copying = audit(rows, planted.kernel_density(rows.members.rows, 3000, generator))
    honest = audit(rows, planted.honest("table", 3000, generator))
    (bound,) = figures_of(copying, "one run")
    assert bound.low > 2
    assert bound.n + bound.n_control == 600
    assert "one unit added or removed" in bound.meaning
    assert figures_of(honest, "one run")[0].value == 0.0
    # fewer units keep coins that are fair
    fewer = rows.at_most(100).coins
    assert fewer.count == 100
    assert 30 < len(fewer.members) < 70


def test_a_split_at_random_gives_coins_for_replacing_a_unit():
    deviations = []
    for controls in range(20, 400, 10):
        coins = coins_of_split(1000, controls)
        assert len(coins.controls.unique()) == len(coins.controls) <= controls
        deviations.append((len(coins.members) - coins.count / 2) / (coins.count**0.5 / 2))
    assert 0.5 < np.std(deviations) < 1.6
    assert coins_of_split(1000, 5) is None
    assert coins.replaced


def test_coins_leave_whole_units_out_and_the_same_ones_at_every_call():
    units = np.array([f"p{i // 3}" for i in range(900)])
    train = torch.arange(0, 900)
    first, second = (canaries_of(train, units, 0.5, "site 'n'", None) for _ in range(2))
    assert torch.equal(first.train, second.train)
    out = set(units[first.left_out.numpy()])
    assert not out & set(units[first.train.numpy()])
    by_coin = set(units[first.train[first.by_coin].numpy()])
    assert 120 < len(out) + len(by_coin) < 180
    assert abs(len(out) - len(by_coin)) < 40
    draws = np.linspace(0, 0.999, 10)
    given = canaries_of(torch.arange(10), None, 0.4, "site 'n'", draws)
    assert given.left_out.tolist() == [0, 1]
    assert given.by_coin.tolist() == [True, True, *[False] * 6]
    with pytest.raises(DataError, match="site 'n': coins left no row to learn from"):
        canaries_of(torch.arange(2), None, 0.4, "site 'n'", np.zeros(2))


def test_classes_of_members_and_controls_have_equal_shares():
    generator = planted.seeded("alike")
    members = torch.multinomial(torch.tensor([0.7, 0.2, 0.1, 0.0]), 400, True, generator=generator)
    controls = torch.randint(4, (200,), generator=generator)
    ours, theirs = alike(members, controls)
    shares = [torch.bincount(each, minlength=4) / len(each) for each in (members, controls)]
    assert (shares[0] - shares[1]).abs().max() > 0.2
    picked = members[ours], controls[theirs]
    shares = [torch.bincount(each, minlength=4) / len(each) for each in picked]
    assert (shares[0] - shares[1]).abs().max() < 0.02
    assert len(ours) == 400


def test_more_samples_than_an_audit_takes_are_chosen_at_random():
    rows = planted.rows("table", 100, 100, 50, planted.seeded("most"))
    samples = planted.people(AFTERWARDS.samples + 5, planted.seeded("many"))
    report = audit(rows, samples, Effort(50, 300, 1e9))
    assert report.samples == 300
    first = audit(rows, pick(samples, slice(300)), Effort(50, 300, 1e9))
    assert first.figures != report.figures


def test_a_bound_is_at_the_delta_that_is_promised_and_is_compared_with_that_epsilon():
    scores = torch.arange(400.0)
    sides = ({"a": scores[150:]}, {"a": scores[:150]})  # nearly all guesses of the ends are right
    is_in = torch.cat([torch.ones(250), torch.zeros(150)]).bool()
    together = torch.cat([scores[150:], scores[:150]])

    def bound(delta):
        return one_run.bound([together], is_in, delta)

    free = one_run.figure(*sides, None, replaced=False)
    assert (free.value, free.promised, free.breaks_promise) == (bound(1e-5), None, False)
    promise = one_run.Promise(1.0, 1e-3)
    figure = one_run.figure(*sides, promise, replaced=False)
    assert (figure.value, figure.promised) == (bound(1e-3), 1.0)
    assert 1.0 < figure.value < free.value, "more δ refutes less"
    assert figure.breaks_promise
    assert "(δ = 0.001, one unit added or removed)" in figure.meaning
    other = one_run.figure(*sides, promise, replaced=True)
    assert (other.value, other.promised) == (bound(1e-3 * (1 + math.e)), 2.0)
    kept = one_run.figure(*sides, one_run.Promise(9.0, 1e-3), replaced=False)
    assert not kept.breaks_promise
    for each, verdict in (
        (free, "above chance"),
        (figure, "refutes the promise of ε = 1"),
        (kept, "does not refute the promise of ε = 9"),
    ):
        assert audit_table(Report(400, (each,))).rows[0][-1] == verdict
