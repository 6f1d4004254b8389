"""The theory where nothing is even: unlike own weights, one-sided listening, unlike letters."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from coplay import Space, Variable
from coplay.core.errors import EquilibriumError
from coplay.models.families import ProductFamily
from coplay.theory import equilibrium
from coplay.theory.gan_costs import (
    MLP_MNIST,
    Pair,
    Setting,
    break_even_batch,
    fl_gan_links,
    md_gan_links,
    orders,
    period,
)

# column sums, row sums of W and own weights all differ
ALPHA = torch.tensor([[0.6, 0.3, 0.1], [0.05, 0.15, 0.8], [0.5, 0.2, 0.3]], dtype=torch.float64)
COINS = ProductFamily(Space({"x": Variable(kind="binary", shape=(2,))}))
OWN = torch.tensor([[0.1, 0.7], [0.4, 0.2], [0.9, 0.55]], dtype=torch.float64)
MOMENTS = torch.tensor([[0.3, 0.6], [0.2, 0.8], [0.5, 0.35]], dtype=torch.float64)


def targets():
    """The best responses to MOMENTS, entry by entry."""
    found = torch.zeros_like(MOMENTS)
    for i in range(3):
        for j in range(3):
            found[i] += ALPHA[i, j] * (OWN[i] if i == j else MOMENTS[j])
    return found


def coins_log(p, q):
    """Σ p log q + (1 − p) log (1 − q), the mean log-likelihood of coins q on coins p."""
    return (p * q.log() + (1 - p) * (1 - q).log()).sum(-1)


def test_best_responses_of_uneven_players_are_their_own_mixtures():
    assert torch.allclose(equilibrium.best_response(ALPHA, OWN, MOMENTS), targets(), atol=1e-14)


def test_the_gap_is_the_divergence_of_the_present_model_from_the_best_response():
    target = targets()
    expected = coins_log(target, target) - coins_log(target, MOMENTS)
    backwards = coins_log(MOMENTS, MOMENTS) - coins_log(MOMENTS, target)
    found = equilibrium.nash_gap(ALPHA, OWN, MOMENTS, COINS)
    assert torch.allclose(found, expected, atol=1e-12)
    assert (found - backwards).abs().max() > 1e-3


def test_the_dual_view_away_from_the_equilibrium_is_its_three_formulas():
    target = targets()
    found = equilibrium.dual_view(ALPHA, OWN, MOMENTS, COINS)
    entropy = -coins_log(MOMENTS, MOMENTS)
    assert torch.allclose(found.entropy, entropy, atol=1e-12)
    assert torch.allclose(found.violation, (target - MOMENTS).abs().max(1).values, atol=1e-12)
    assert torch.allclose(found.duality_gap, coins_log(target, MOMENTS) + entropy, atol=1e-12)


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_gradient_play_takes_so_many_simultaneous_steps(rounds):
    theta = torch.logit(MOMENTS)
    for _ in range(rounds):
        mu = torch.sigmoid(theta)
        response = torch.diag(ALPHA.diag()) @ OWN + (ALPHA - torch.diag(ALPHA.diag())) @ mu
        theta = theta + 0.7 * (response - mu)
    found = equilibrium.gradient_play(ALPHA, OWN, torch.logit(MOMENTS), COINS, 0.7, rounds)
    assert torch.allclose(found, theta, atol=1e-12)


def test_the_influence_matrix_solves_its_own_equation_and_distributes_all_mass():
    m = equilibrium.influence_matrix(ALPHA)
    own = torch.diag(ALPHA.diag())
    assert torch.allclose(m, own + (ALPHA - own) @ m, atol=1e-12)
    assert torch.allclose(m.sum(1), torch.ones(3, dtype=torch.float64), atol=1e-12)
    assert (m - m.T).abs().max() > 0.1


def test_rounds_needed_goes_by_the_players_and_not_by_those_they_listen_to():
    """Powers of W multiplied out; in the last example its rows sum to less than its columns."""
    alpha = torch.tensor([[0.2, 0.8], [0.1, 0.9]], dtype=torch.float64)
    w = torch.tensor([[0.0, 0.8], [0.1, 0.0]], dtype=torch.float64)
    for error in (0.5, 0.79, 0.081, 0.07, 0.0065, 1e-5):
        expected = 1
        while torch.linalg.matrix_power(w, expected).sum(1).max() > error:
            expected += 1
        assert equilibrium.rounds_needed(alpha, error) == expected
    three = torch.tensor([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.55, 0.0, 0.45]])
    # the rows of W sum to 0.6 at most, its first column to 1.15
    assert equilibrium.rounds_needed(three, 0.61) == 1


def test_rounds_needed_counts_from_where_play_starts():
    alpha = torch.full((2, 2), 0.5)
    assert equilibrium.rounds_needed(alpha, 0.01, start=16.0) == 11  # 16 / 2¹¹ < 0.01
    assert equilibrium.rounds_needed(alpha, 0.01, start=0.02) == 1
    assert equilibrium.rounds_needed(alpha, 0.01, start=0.01) == 0
    assert equilibrium.rounds_needed(alpha, 2.0) == 0
    assert equilibrium.rounds_needed(alpha, 0.5) == 1


def test_the_spectral_radius_is_the_largest_size_of_an_eigenvalue():
    """A cycle of three has complex ones; two that listen to each other have ±√(0.8 · 0.1)."""
    cycle = torch.tensor([[0.2, 0.8, 0.0], [0.0, 0.5, 0.5], [0.9, 0.0, 0.1]])
    assert equilibrium.spectral_radius(cycle) == pytest.approx((0.8 * 0.5 * 0.9) ** (1 / 3))
    assert equilibrium.spectral_radius(torch.tensor([[0.2, 0.8], [0.1, 0.9]])) == pytest.approx(
        math.sqrt(0.08)
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.5])
def test_weights_that_are_no_weights_are_named_even_where_sums_are_right(value):
    faulty = torch.tensor([[0.5, 0.5], [1 - value, value]])
    (fault,) = equilibrium.weight_faults(faulty, ["a", "b"])
    assert "row of 'b' has a negative or non-finite weight" in fault


def test_rounded_thirds_are_no_weights_and_single_precision_is():
    assert equilibrium.weight_faults(torch.full((3, 3), 1 / 3)) == []
    rounded = torch.full((3, 3), 0.3333, dtype=torch.float64)
    assert len(equilibrium.weight_faults(rounded)) == 3
    with pytest.raises(EquilibriumError, match=r"row 0 sums to 0\.9999"):
        equilibrium.solve_sparse(sp.csr_matrix(rounded.numpy()), np.ones(3))


def test_as_many_names_as_players_and_as_many_rows_as_columns():
    assert equilibrium.weight_faults(torch.eye(2), ["a"]) == [
        "expected one row per player (1), got 2"
    ]
    assert "square" in equilibrium.weight_faults(torch.ones(2, 3))[0]


def test_a_very_small_own_weight_reaches_data():
    tiny = 1e-9
    alpha = torch.tensor([[0.0, 1.0], [1 - tiny, tiny]], dtype=torch.float64)
    assert equilibrium.reaches_data(alpha) == [True, True]
    one_way = sp.csr_matrix([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    assert equilibrium.reaches_data(one_way) == [True, False, False]


# ----------------------------------------------------------------------------------- sparse weights


def test_sparse_solutions_of_players_with_unlike_own_weights():
    own = np.array([[1.0, -2.0], [0.5, 3.0], [4.0, 0.25]])
    dense = equilibrium.influence_matrix(ALPHA).numpy()
    sparse = sp.csr_matrix(ALPHA.numpy())
    found = equilibrium.solve_sparse(sparse, own, tolerance=1e-12)
    assert np.allclose(found.values, dense @ own, atol=1e-10)
    column = equilibrium.solve_sparse(sparse, own[:, 1], tolerance=1e-12)
    assert column.values.shape == (3,)
    assert np.allclose(column.values, dense @ own[:, 1], atol=1e-10)
    rows = equilibrium.influence_rows(sparse, [2, 0], tolerance=1e-12)
    assert np.allclose(rows.values, dense[[2, 0]], atol=1e-10)


@pytest.mark.parametrize("tolerance", [0.3, 1e-2, 1e-6])
def test_the_bound_holds_for_the_player_that_is_slowest(tolerance):
    """Eight players stand still; a pair with little own weight is far from its end by then."""
    n = 10
    alpha = np.eye(n)
    alpha[0, :2] = 0.02, 0.98
    alpha[1, :2] = 0.95, 0.05
    own = np.zeros(n)
    own[:2] = 1.0, 1.0
    found = equilibrium.solve_sparse(sp.csr_matrix(alpha), own, tolerance=tolerance)
    error = np.abs(found.values - own).max()  # everybody's mixture of ones is one
    assert found.residual <= tolerance
    assert error <= found.error_bound
    w = alpha - np.diag(np.diag(alpha))
    norm = np.linalg.inv(np.eye(n) - w).sum(1).max()
    assert norm * found.residual <= found.error_bound + 1e-12
    assert found.error_bound <= 2 * norm * found.residual + 1e-12


def test_a_player_without_own_weight_does_not_spoil_the_bound():
    """At the first sweep the residual is small, but of (I − W)⁻¹ 1 nothing is known yet."""
    alpha = np.array([[0.0, 1.0, 0.0], [0.0, 0.9, 0.1], [0.0, 0.0, 1.0]])
    found = equilibrium.solve_sparse(sp.csr_matrix(alpha), np.full(3, 0.01), tolerance=0.5)
    assert found.error_bound <= 2 * 2.1 * 0.01


def test_the_residual_is_that_of_the_values():
    own = np.array([1.0, 0.0, 0.0])
    alpha = ALPHA.numpy()
    weights = np.diag(alpha)
    found = equilibrium.solve_sparse(sp.csr_matrix(alpha), own, tolerance=1e-3)
    following = weights * own + (alpha - np.diag(weights)) @ found.values
    assert found.residual == pytest.approx(np.abs(following - found.values).max(), rel=1e-9)


def test_what_a_row_of_influence_lacks_is_its_bound():
    found = equilibrium.influence_rows(sp.csr_matrix(ALPHA.numpy()), [1, 2], tolerance=0.05)
    missing = 1 - found.values.sum(1)
    assert found.error_bound == pytest.approx(np.abs(missing).max(), rel=1e-9)
    assert missing.min() != pytest.approx(missing.max(), rel=0.01)
    # the residual is summed over players: what walks on is the mass that has not been dealt out
    w = ALPHA - torch.diag(ALPHA.diag())
    left = torch.linalg.matrix_power(w, found.iterations).sum(1)[[1, 2]].max().item()
    assert found.residual == pytest.approx(left, rel=1e-9)


def test_negative_sparse_weights_and_sums_other_than_one_are_refused():
    with pytest.raises(EquilibriumError, match="non-negative weights"):
        equilibrium.solve_sparse(sp.csr_matrix([[1.5, -0.5], [0.5, 0.5]]), np.ones(2))
    with pytest.raises(EquilibriumError, match=r"row 1 sums to 0\.9"):
        equilibrium.influence_rows(sp.csr_matrix([[0.5, 0.5], [0.5, 0.4]]), [0])


def test_too_few_sweeps_say_so():
    with pytest.raises(EquilibriumError, match="after 3 sweeps, expected ≤ 1e-08"):
        equilibrium.solve_sparse(sp.csr_matrix(ALPHA.numpy()), np.ones(3), max_iterations=3)


# -------------------------------------------------------------------------------------------- costs


def test_periods_round_to_the_nearest_and_are_never_empty():
    assert period(batch=10, samples=6000, epochs=2.5) == 1500
    assert period(batch=10, samples=97, epochs=1) == 10
    assert period(batch=10, samples=94, epochs=1) == 9
    assert period(batch=100, samples=30, epochs=1) == 1
    assert period(batch=100, samples=150, epochs=0.1) == 1


def test_break_even_with_one_batch_is_where_one_batch_costs_a_pair():
    pair = Pair(generator=600, discriminator=200, sample=8)
    assert break_even_batch(pair, batches=1) == (100.0, 100.0)
    assert break_even_batch(pair, batches=7) == (50.0, 100.0)


def test_traffic_of_a_game_in_which_workers_and_batches_change():
    pair = Pair(generator=600, discriminator=200, sample=8)
    generated, feedback, swaps = md_gan_links(pair, 5, [(3, 1), (2, 2), (4, 3)], swapped=6)
    assert generated.bytes == 4 * 5 * 8 * (3 * 1 + 2 * 2 + 4 * 2)
    assert (generated.times, feedback.times) == (9, 9)
    assert feedback.bytes == 4 * 5 * 8 * 9
    assert (swaps.times, swaps.bytes) == (6, 6 * 4 * 200)
    down, up = fl_gan_links(pair, 3, iterations=25, every=10)
    assert (down.times, up.times) == (9, 6)
    assert (down.bytes, up.bytes) == (9 * 3200, 6 * 3200)


def test_every_line_of_the_papers_tables_by_hand():
    pair = Pair(generator=7, discriminator=11, sample=13)  # |w|, |θ|, d
    n, b, k, m, e, i = 3, 5, 4, 17, 2, 190
    averages = i * b / (m * e)
    expected = [
        (i * b * (13 * n + k * 7), i * b * n * 18 / (m * e)),
        (b * (13 * n + k * 7), n * 18),
        (i * b * 11, i * b * 18),
        (11, 18),
        (2 * b * 13 * n, n * 18),
        (b * 13 * n, n * 18),
        (i, averages),
        (11, 0),
        (averages, 0),
    ]
    found = orders(Setting(pair, n, b, k, m, float(e), i))
    for order, (md_gan, fl_gan) in zip(found, expected, strict=True):
        assert order.md_gan_value == pytest.approx(md_gan), order.what
        assert order.fl_gan_value == pytest.approx(fl_gan), order.what
    assert MLP_MNIST.both == 716_560 + 670_219
