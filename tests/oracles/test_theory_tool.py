"""Design, band, echo, unlearning, noise and what is open: closed forms, round trips, simulation."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coplay.core.errors import EquilibriumError
from coplay.core.streams import stream
from coplay.theory import (
    bands,
    barrier,
    design,
    distance,
    echo,
    nearest,
    noise,
    unlearning,
    weights,
)
from coplay.theory.equilibrium import influence_matrix, rounds_needed, spectral_radius
from coplay.theory.identifiability import correlation_interval, frechet_bounds, pairs_apart


def random_weights(n, seed, least=0.05, density=1.0):
    """Random α with own weights from ``least``; rows sum to 1."""
    generator = stream(seed, "theory tool")
    drawn = torch.rand(n, n, generator=generator, dtype=torch.float64)
    drawn = drawn * (torch.rand(n, n, generator=generator) < density)
    own = least + (0.95 - least) * torch.rand(n, generator=generator, dtype=torch.float64)
    drawn.fill_diagonal_(0)
    sums = drawn.sum(1)
    alpha = drawn / sums.clamp(min=1e-300)[:, None] * (1 - own)[:, None]
    own[sums == 0] = 1.0
    alpha.diagonal().copy_(own)
    return alpha


alphas = st.builds(
    random_weights,
    n=st.integers(1, 8),
    seed=st.integers(0, 2**31),
    least=st.floats(0.01, 0.5),
    density=st.sampled_from([0.3, 0.7, 1.0]),
)
some = settings(max_examples=60, deadline=None)


class TestDesign:
    @some
    @given(alphas)
    def test_the_way_back_and_forth_is_exact(self, alpha):
        result = design.design(influence_matrix(alpha), least_own=0.01)
        assert result.exact
        assert result.distance < 1e-10
        assert torch.allclose(result.alpha, alpha, rtol=0, atol=1e-10)

    @some
    @given(
        st.integers(2, 8),
        st.integers(0, 2**31),
        st.floats(0.2, 1),
    )
    def test_keeping_a_share_of_ones_own_can_always_be_reached(self, n, seed, share):
        mixture = torch.rand(n, generator=stream(seed, "p"), dtype=torch.float64) + 0.01
        target = design.common_mixture(share, mixture / mixture.sum())
        result = design.design(target, least_own=1e-4)
        assert result.exact
        assert result.distance < 1e-10
        assert (result.alpha >= 0).all()

    def test_a_third_of_ones_own_by_hand(self):
        # everybody keeps t and shares the rest evenly: α_ii = M_ii − M_ij / (1 − M_ij) · …, solved
        # for two sites: M_01 = (1−a)/(2−a), so that a = 1/2 for M_01 = 1/3
        result = design.design(design.common_mixture(1 / 3, torch.tensor([0.5, 0.5])))
        assert result.alpha.diag().tolist() == pytest.approx([0.5, 0.5], abs=1e-12)

    @pytest.mark.parametrize("seed", range(6))
    def test_what_cannot_be_reached_is_met_as_nearly_as_weights_can(self, seed):
        n = 3 + seed % 4
        generator = stream(seed, "unreachable")
        target = torch.rand(n, n, generator=generator, dtype=torch.float64) ** 2
        target = target / target.sum(1, keepdim=True)
        links = (torch.rand(n, n, generator=generator) < 0.8) | torch.eye(n, dtype=torch.bool)
        result = design.design(target, least_own=0.02, links=links)
        assert not result.exact
        assert result.starts >= 8
        alpha = result.alpha
        assert (alpha >= 0).all()
        assert (alpha[~links] == 0).all()
        assert (alpha.diag() >= 0.02 - 1e-9).all()
        assert torch.allclose(alpha.sum(1), torch.ones(n, dtype=torch.float64), atol=1e-9)
        assert result.optimality < 1e-6
        assert result.distance == pytest.approx((influence_matrix(alpha) - target).norm().item())
        # the conditions of first order, by differences: no shift of weight within a row descends
        for i in range(n):
            for j in np.flatnonzero(links[i]).tolist():
                for k in np.flatnonzero(links[i]).tolist():
                    room = alpha[i, j].item() - (0.02 if i == j else 0)
                    if j == k or room < 1e-5:
                        continue
                    moved = alpha.clone()
                    moved[i, j] -= 1e-6
                    moved[i, k] += 1e-6
                    further = (influence_matrix(moved) - target).square().sum() / 2
                    gained = result.distance**2 / 2 - further.item()
                    assert gained < 1e-6 * 1e-4

    @pytest.mark.parametrize("kind", ["any", "all the same", "few links"])
    def test_so_it_is_for_more_sites_than_are_all_followed_to_the_end(self, kind):
        n = 24
        generator = stream(7, "unreachable")
        target = torch.rand(n, n, generator=generator, dtype=torch.float64) ** 2
        links = torch.ones(n, n, dtype=torch.bool)
        if kind == "all the same":
            target = target[:1].expand(n, n)
        if kind == "few links":
            links = (torch.rand(n, n, generator=generator) < 0.2).fill_diagonal_(True)
            links[0] = links[0] & torch.eye(n, dtype=torch.bool)[0]
        result = design.design(target / target.sum(1, keepdim=True), least_own=0.01, links=links)
        alpha = result.alpha
        assert not result.exact
        assert result.optimality < 1e-6
        assert (alpha >= 0).all()
        assert (alpha[~links] == 0).all()
        assert (alpha.diag() >= 0.01 - 1e-9).all()
        assert torch.allclose(alpha.sum(1), torch.ones(n, dtype=torch.float64), atol=1e-9)

    @pytest.mark.parametrize("seed", range(3))
    def test_behind_a_barrier_descent_ends_where_it_ends_without_one(self, seed, monkeypatch):
        target = torch.rand(7, 7, generator=stream(seed, "barrier"), dtype=torch.float64)
        target = target / target.sum(1, keepdim=True)
        without = design.design(target, least_own=0.05)
        monkeypatch.setattr(nearest, "_FEW", 2)
        behind = design.design(target, least_own=0.05)
        assert behind.optimality < 1e-6
        assert behind.distance == pytest.approx(without.distance, rel=1e-6)

    def test_newtons_steps_go_on_after_the_barrier_is_gone(self, monkeypatch):
        monkeypatch.setattr(nearest, "_FEW", 2)
        monkeypatch.setattr(nearest, "_POLISHED_AFTER", ())
        target = torch.rand(7, 7, generator=stream(3, "barrier"), dtype=torch.float64)
        assert design.design(target / target.sum(1, keepdim=True)).optimality < 1e-6

    def test_behind_a_barrier_slope_and_barrier_balance(self):
        """In every row x (∂f/∂x − ν) = μ for the ν that keeps its sum."""
        target = influence_matrix(random_weights(6, 4)).numpy()
        allowed = np.ones((6, 6), dtype=bool)
        allowed[0, 3] = False
        feasible = distance.Feasible(0.02, allowed)
        begun = distance.Point(feasible.projected(np.eye(6)), target)
        point = barrier.lowered(begun, feasible, 1e-4)
        x = point.alpha - feasible.floor
        assert (x[allowed] > 0).all()
        assert x[0, 3] == 0
        assert point.alpha.sum(1) == pytest.approx(np.ones(6), abs=1e-12)
        for i in range(6):
            free = allowed[i]
            product = x[i, free] * point.gradient[i, free] - 1e-4
            held = (x[i, free] @ product) / (x[i, free] @ x[i, free])
            assert np.abs(product - held * x[i, free]).max() < 1e-4 / 2

    def test_a_least_own_weight_of_one_leaves_nothing_to_choose(self, monkeypatch):
        monkeypatch.setattr(nearest, "_FEW", 2)
        result = design.design(torch.full((3, 3), 1 / 3), least_own=1.0)
        assert torch.equal(result.alpha, torch.eye(3, dtype=torch.float64))

    def test_the_slope_and_its_change_are_those_of_the_distance(self):
        alpha = random_weights(4, 3).numpy()
        target = influence_matrix(random_weights(4, 4)).numpy()
        step = random_weights(4, 5).numpy() - alpha
        point = distance.Point(alpha, target)
        sides = [distance.Point(alpha + h * step, target) for h in (1e-5, -1e-5)]
        along = (sides[0].value - sides[1].value) / 2e-5
        assert (point.gradient * step).sum() == pytest.approx(along, rel=1e-6)
        turned = (sides[0].gradient - sides[1].gradient) / 2e-5
        assert np.allclose(point.curvature(step), turned, rtol=1e-5, atol=1e-7)

    def test_everybody_with_the_common_mixture_alone_is_a_limit_that_keeps_the_least_own_weight(
        self,
    ):
        target = torch.full((3, 3), 1 / 3)
        result = design.design(target, least_own=0.05)
        assert not result.exact
        assert result.alpha.diag().min().item() == pytest.approx(0.05, abs=1e-9)

    @pytest.mark.parametrize(
        ("target", "least", "fault"),
        [
            ([[0.5, 0.6], [0.5, 0.5]], 0.01, "row 0 sums to 1.1, expected 1"),
            ([[1.5, -0.5], [0.5, 0.5]], 0.01, "row 0 has a negative or non-finite share"),
            ([[0.5, 0.5]], 0.01, "one mixture of all sites per site, got shape"),
            ([[1.0, 0.0], [0.0, 1.0]], 0.0, "a least own weight above 0 and at most 1, got 0"),
        ],
    )
    def test_a_wish_that_is_none(self, target, least, fault):
        with pytest.raises(EquilibriumError, match=fault):
            design.design(torch.tensor(target), least_own=least)


class TestBand:
    @some
    @given(alphas, st.integers(1, 4))
    def test_the_covariance_rests(self, alpha, classes):
        n = len(alpha)
        w = alpha - torch.diag(alpha.diag())
        half = torch.rand(classes, n, n, dtype=torch.float64, generator=stream(n, "D"))
        added = half @ half.mT
        covariance = bands.resting_covariance(w, added)
        assert torch.allclose(covariance, w @ covariance @ w.T + added, rtol=1e-11, atol=1e-13)

    @some
    @given(alphas)
    def test_by_edges_it_is_the_same(self, alpha):
        n = len(alpha)
        data = torch.rand(n, 3, dtype=torch.float64, generator=stream(n, "data"))
        expected = bands.share_deviations(alpha, data, 500)
        shares = (influence_matrix(alpha) @ data).numpy()
        for i in range(n):
            one = bands.deviations_of(weights.by_edges(alpha), i, shares, 500)
            assert np.allclose(one, expected[i], rtol=1e-5, atol=1e-12)

    def test_play_of_counts_has_the_predicted_spread(self):
        """Counts are drawn as the game draws them: n α_ij of the sender's present model."""
        n = 400
        alpha = torch.tensor(
            [[0.4, 0.2, 0.2, 0.2], [0.1, 0.5, 0.4, 0], [0.25] * 4, [0, 0, 0.5, 0.5]]
        )
        data = torch.tensor([0.9, 0.1, 0.5, 0.0])
        expected = bands.share_deviations(alpha, data[:, None], n)[:, 0].numpy()
        rng = np.random.default_rng(5)
        weight = alpha.double().numpy()
        asked = np.rint(weight * n).astype(int)
        share = np.tile((influence_matrix(alpha) @ data.double()).numpy(), (20_000, 1))
        for _ in range(40):
            following = np.tile(weight.diagonal() * data.numpy(), (len(share), 1))
            for i in range(4):
                for j in range(4):
                    if i != j and asked[i, j]:
                        following[:, i] += rng.binomial(asked[i, j], share[:, j]) / n
            share = following
        assert share.std(0) == pytest.approx(expected, rel=0.03)

    def test_nobody_with_data_is_refused(self):
        deaf = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        with pytest.raises(EquilibriumError):
            bands.share_deviations(deaf, torch.ones(2, 1), 10)
        with pytest.raises(EquilibriumError):
            bands.deviations_of(deaf, 0, np.ones((2, 1)), 10)

    def test_what_is_counted_adds_to_the_band(self):
        width = bands.band_width(torch.tensor(0.0), torch.tensor(0.5), 100)
        assert width.item() == pytest.approx(1.96 * 0.05, rel=1e-4)


class TestEcho:
    @some
    @given(alphas)
    def test_a_bias_played_to_rest_is_the_echo(self, alpha):
        n = len(alpha)
        w = alpha - torch.diag(alpha.diag())
        rest = torch.zeros(n, n, dtype=torch.float64)  # column i: i's model adds 1 in every round
        for _ in range(rounds_needed(alpha, 1e-13) + 1):
            rest = w @ rest + torch.eye(n, dtype=torch.float64)
        both = echo.echo(alpha)
        assert torch.allclose(both.own, rest.diag(), rtol=1e-10)
        assert torch.allclose(both.all, rest.sum(1), rtol=1e-10)
        edges = weights.by_edges(alpha)
        assert np.allclose(echo.echo_of_all(edges), both.all, rtol=1e-8)
        assert np.allclose(echo.echo_of_one(edges, n - 1), rest[:, n - 1], rtol=1e-8, atol=1e-9)

    @pytest.mark.parametrize(("own", "factor"), [(0.4, 1.25), (0.1, 3.1)])
    def test_four_sites_with_even_weights(self, own, factor):
        alpha = torch.full((4, 4), (1 - own) / 3, dtype=torch.float64).fill_diagonal_(own)
        assert echo.echo(alpha).own[0].item() == pytest.approx(factor, rel=0.01)
        assert echo.echo(alpha).all.tolist() == pytest.approx([1 / own] * 4)

    @some
    @given(alphas, st.floats(1e-4, 0.5))
    def test_rounds_by_edges_are_those_by_powers(self, alpha, error):
        assert echo.rounds_within(weights.by_edges(alpha), error) == (
            max(rounds_needed(alpha, error), 1),
            True,
        )

    def test_an_error_that_is_met_exactly_is_met(self):
        even = torch.full((2, 2), 0.5, dtype=torch.float64)
        assert echo.rounds_within(even, 0.25) == (2, True)
        assert echo.rounds_within(even, 0.2499) == (3, True)

    def test_many_rounds_are_a_bound_and_called_so(self):
        alpha = torch.tensor([[1e-3, 1 - 1e-3], [1 - 1e-3, 1e-3]], dtype=torch.float64)
        rounds, exact = echo.rounds_within(alpha, 1e-3)
        assert not exact
        assert rounds_needed(alpha, 1e-3) <= rounds <= 2 * rounds_needed(alpha, 1e-3)
        assert spectral_radius(alpha) ** rounds <= 1e-3


def moments_played(alphas, data):
    """Play of moments: everybody refits α_ii φ̄_i + Σ α_ij μ_j, after rounds alone."""
    moments = data.copy()
    for alpha in alphas:
        dense = alpha.toarray()
        own = np.diag(dense.diagonal())
        moments = own @ data + (dense - own) @ moments
    return moments


class TestUnlearning:
    @some
    @given(alphas, st.integers(0, 12))
    def test_shares_are_those_of_play_with_a_warm_up(self, alpha, warmup):
        edges = weights.by_edges(alpha)
        n = len(alpha)
        alphas = [weights.admitted(edges, (t + 1) / (warmup + 1)) for t in range(warmup)]
        alphas += [edges] * 5
        data = torch.rand(n, 3, dtype=torch.float64, generator=stream(n, "phi")).numpy()
        shares = unlearning.followed_shares(alphas, n)
        assert np.abs(shares @ data - moments_played(alphas, data)).max() < 1e-12
        assert np.abs(shares.sum(1) - 1).max() < 1e-12

    @some
    @given(st.integers(3, 7), st.integers(0, 2**31), st.integers(0, 6), st.integers(0, 9))
    def test_what_is_left_of_a_site_is_what_play_has_of_it(self, n, seed, before, after):
        alpha = random_weights(n, seed)
        edges = weights.by_edges(alpha)
        gone = seed % n
        stay = [i for i in range(n) if i != gone]
        data = np.eye(n)
        moments = moments_played([edges] * before, data)
        left = weights.among(edges, stay)
        dense = left.toarray()
        own = np.diag(dense.diagonal())
        played = moments[stay]
        shares = unlearning.without_site(unlearning.followed_shares([edges] * before, n), gone)
        for _ in range(after):
            played = own @ data[stay] + (dense - own) @ played
            shares = unlearning.round_of_shares(left, shares)
        assert np.abs(shares[:, -1] - played[:, gone]).max() < 1e-12
        assert np.abs(shares[:, :-1] - played[:, stay]).max() < 1e-12
        first = unlearning.without_site(unlearning.followed_shares([edges] * before, n), gone)
        rounds, largest = unlearning.rounds_to_forget(left, first[:, -1], 0.001)
        share = first[:, -1]
        for t in range(rounds):
            assert share.max() >= 0.001, t
            share = (dense - own) @ share
        assert share.max() == pytest.approx(largest, abs=1e-15)
        assert largest < 0.001

    def test_a_player_without_any_source_keeps_what_it_knows(self):
        frozen = sp.csr_matrix(np.array([[0.5, 0.5], [0.0, 0.0]]))
        after = unlearning.round_of_shares(frozen, np.array([[0.6, 0.0, 0.4], [0.0, 0.8, 0.2]]))
        assert after[1].tolist() == [0.0, 0.8, 0.2]
        with pytest.raises(EquilibriumError, match="player 1 hears nobody with data"):
            unlearning.rounds_to_forget(frozen, np.array([0.4, 0.2]), 0.01)


class TestNoise:
    @some
    @given(alphas)
    def test_drawn_once_it_is_mixed_as_the_data_are(self, alpha):
        n = len(alpha)
        deviations = torch.arange(1, n + 1, dtype=torch.float64)
        variance = influence_matrix(alpha) @ torch.diag(deviations**2) @ influence_matrix(alpha).T
        assert torch.allclose(noise.noise_once(alpha, deviations), variance.diag().sqrt())

    def test_both_are_those_of_play(self):
        alpha = random_weights(4, 11)
        deviations = torch.tensor([2.0, 1.0, 0.5, 3.0], dtype=torch.float64)
        rng = np.random.default_rng(0)
        w = (alpha - torch.diag(alpha.diag())).numpy()
        own = alpha.diag().numpy()
        once = own * deviations.numpy() * rng.standard_normal((20_000, 4))
        for anew in (False, True):
            x = np.zeros((20_000, 4))
            for _ in range(60):
                if anew:
                    once = own * deviations.numpy() * rng.standard_normal((20_000, 4))
                x = x @ w.T + once
            predicted = (noise.noise_anew if anew else noise.noise_once)(alpha, deviations)
            assert x.std(0) == pytest.approx(predicted.numpy(), rel=0.03)

    @some
    @given(alphas)
    def test_drawn_anew_it_never_is_more(self, alpha):
        ones = torch.ones(len(alpha), dtype=torch.float64)
        assert (noise.noise_anew(alpha, ones) <= noise.noise_once(alpha, ones) + 1e-12).all()

    @pytest.mark.parametrize("epsilon", [0.01, 0.5, 3.0, 20.0])
    def test_noise_of_a_budget_spends_exactly_its_delta(self, epsilon):
        """δ is the mass by which one output's density exceeds e^ε times the neighbour's."""
        deviation = noise.gaussian_noise(epsilon, 1e-3)
        x = np.linspace(-12 * deviation - 1, 12 * deviation + 2, 400_001)
        p = np.exp(-((x - 1) ** 2) / (2 * deviation**2)) / (deviation * np.sqrt(2 * np.pi))
        q = np.exp(-(x**2) / (2 * deviation**2)) / (deviation * np.sqrt(2 * np.pi))
        excess = np.maximum(p - np.exp(epsilon) * q, 0)
        assert np.trapezoid(excess, x) == pytest.approx(1e-3, rel=1e-4)

    def test_it_is_less_than_the_usual_bound_where_that_holds(self):
        for epsilon in (0.05, 0.3, 0.99):
            usual = np.sqrt(2 * np.log(1.25 / 1e-5)) / epsilon
            assert 0.5 * usual < noise.gaussian_noise(epsilon, 1e-5) < usual

    def test_very_large_and_very_small_budgets_end(self):
        # δ of no more than e^(−ε) needs about s = 1/√(2ε) for large ε
        assert noise.gaussian_noise(1e4, 1e-5) == pytest.approx(1 / np.sqrt(2e4), rel=0.05)
        assert noise.gaussian_noise(1e-6, 1e-5) > 1e3

    @pytest.mark.parametrize("budget", [(0.0, 0.1), (-1.0, 0.1), (1.0, 0.0), (1.0, 1.0)])
    def test_a_budget_that_is_none(self, budget):
        with pytest.raises(ValueError, match="expected epsilon above 0 and delta between 0 and 1"):
            noise.gaussian_noise(*budget)


class TestOpen:
    def test_pairs_that_nobody_observes_together(self):
        observed = [["a", "b"], ["b", "c"], ["d"]]
        assert pairs_apart(observed, ["a", "b", "c", "d"]) == [
            ("a", "c"),
            ("a", "d"),
            ("b", "d"),
            ("c", "d"),
        ]

    @some
    @given(st.integers(0, 2**31), st.integers(2, 4), st.integers(2, 4), st.integers(1, 4))
    def test_every_joint_lies_within_frechets_bounds(self, seed, a, b, c):
        joint = torch.rand(c, a, b, generator=stream(seed, "joint"), dtype=torch.float64) ** 3
        joint = joint / joint.sum()
        given = joint.sum((1, 2))
        p = joint.sum(2) / given[:, None]
        q = joint.sum(1) / given[:, None]
        low, high = frechet_bounds(p, q, given)
        assert (low <= joint.sum(0) + 1e-12).all()
        assert (joint.sum(0) <= high + 1e-12).all()
        wide_low, wide_high = frechet_bounds(joint.sum((0, 2)), joint.sum((0, 1)))
        assert (wide_low <= low + 1e-12).all(), "a third variable narrows"
        assert (wide_high >= high - 1e-12).all()

    def test_frechets_bounds_are_reached(self):
        low, high = frechet_bounds(torch.tensor([0.7, 0.3]), torch.tensor([0.6, 0.4]))
        assert low[0, 0].item() == pytest.approx(0.3)
        assert high[0, 0].item() == pytest.approx(0.6)

    @some
    @given(st.integers(0, 2**31), st.integers(0, 4))
    def test_at_the_ends_of_the_interval_the_matrix_is_just_semidefinite(self, seed, others):
        n = others + 2
        half = torch.randn(n, n + 2, generator=stream(seed, "R"), dtype=torch.float64)
        covariance = half @ half.T
        scale = covariance.diag().rsqrt()
        r = covariance * scale[:, None] * scale
        low, high = correlation_interval(r[0, 2:], r[1, 2:], r[2:, 2:])
        assert low - 1e-9 <= r[0, 1].item() <= high + 1e-9
        for end, beyond in ((low, -1e-3), (high, 1e-3)):
            for value, least in ((end, -1e-9), (end + beyond, None)):
                r[0, 1] = r[1, 0] = value
                smallest = torch.linalg.eigvalsh(r)[0].item()
                assert smallest > least if least is not None else smallest < 0
