"""The theory against closed forms, against itself, and against play."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from coplay import Space, Variable
from coplay.core.errors import EquilibriumError
from coplay.core.streams import stream
from coplay.models.exponential_family import ExponentialFamily
from coplay.models.families import ProductFamily
from coplay.theory import equilibrium, sparse
from coplay.theory.sparse import influence_by_edges
from coplay.theory.weights import by_edges, dense, even, with_diagonal

SPACES = {
    "bernoulli": Space({"x": Variable(kind="binary", shape=(3,))}),
    "categorical": Space({"x": Variable(kind="categorical", shape=(2,), classes=4)}),
    "poisson": Space({"x": Variable(kind="count", shape=(3,))}),
    "gaussian": Space({"x": Variable(kind="real", shape=(3,))}),
    "product": Space(
        {
            "bit": Variable(kind="binary"),
            "lab": Variable(kind="real", shape=(2,)),
            "n": Variable(kind="count"),
        }
    ),
}


def weights(n, seed, own=True):
    """Random positive weights (so W is primitive for n > 2); rows sum to 1."""
    alpha = torch.rand(n, n, generator=stream(seed, "alpha"), dtype=torch.float64) + 0.05
    if not own:
        alpha[0, 0] = 0
    return alpha / alpha.sum(1, keepdim=True)


def family_and_moments(name, n, seed=0):
    """A family and the data moments of n sites, inside the marginal polytope."""
    family = ProductFamily(SPACES[name])
    g = stream(seed, name)
    moments = []
    for _ in range(n):
        values = {}
        for key in SPACES[name]:
            v = SPACES[name][key]
            shape = (200, *v.shape)
            if v.kind == "real":
                values[key] = torch.randn(
                    shape, generator=g, dtype=torch.float64
                ) * 1.5 + torch.randn((), generator=g)
            elif v.kind == "binary":
                values[key] = (
                    torch.rand(shape, generator=g) < torch.rand((), generator=g) * 0.8 + 0.1
                ).to(torch.uint8)
            else:
                values[key] = torch.randint(v.classes or 6, shape, generator=g)
        moments.append(family.features(SPACES[name].samples(**values)).mean(0))
    return family, torch.stack(moments)


class TestInfluence:
    @pytest.mark.parametrize("own", [0.1, 0.3, 0.5, 1.0])
    def test_two_players_closed_form(self, own):
        m = equilibrium.influence_matrix(
            torch.tensor([[own, 1 - own], [1 - own, own]], dtype=torch.float64)
        )
        assert m[0, 1].item() == pytest.approx((1 - own) / (2 - own), abs=1e-12)

    def test_even_weights_keep_the_mean_and_scale_deviations(self):
        n = 5
        own = 0.3
        alpha = torch.full((n, n), (1 - own) / (n - 1), dtype=torch.float64).fill_diagonal_(own)
        data = torch.randn(n, 3, generator=stream(1), dtype=torch.float64)
        moments = equilibrium.equilibrium_moments(alpha, data)
        assert torch.allclose(moments.mean(0), data.mean(0), atol=1e-12)
        factor = own * (n - 1) / (n - own)
        assert torch.allclose(moments - moments.mean(0), factor * (data - data.mean(0)), atol=1e-12)

    def test_rows_are_absorption_probabilities(self):
        """M_ij is the probability that a walk from i ends at j.

        It moves by α, and stops at j with probability α_jj.
        """
        alpha = weights(4, 3)
        rng = np.random.default_rng(1)
        m = equilibrium.influence_matrix(alpha)
        ends = np.zeros(4)
        for _ in range(20_000):
            here = 0
            while (there := rng.choice(4, p=alpha[here].numpy())) != here:
                here = there
            ends[here] += 1
        assert np.abs(ends / 20_000 - m[0].numpy()).max() < 4 * np.sqrt(0.25 / 20_000)

    def test_permuting_players_permutes_the_result(self):
        alpha = weights(5, 2)
        p = torch.tensor([3, 1, 4, 0, 2])
        m = equilibrium.influence_matrix(alpha)
        assert torch.allclose(equilibrium.influence_matrix(alpha[p][:, p]), m[p][:, p], atol=1e-12)

    def test_own_weight_one_is_isolated_learning(self):
        assert torch.equal(
            equilibrium.influence_matrix(torch.eye(3)), torch.eye(3, dtype=torch.float64)
        )


class TestExistence:
    @pytest.mark.parametrize(
        ("alpha", "reached"),
        [
            ([[0, 1], [1, 0]], [False, False]),
            ([[0, 1], [0.5, 0.5]], [True, True]),
            ([[0.5, 0.5, 0], [0, 0, 1], [0, 1, 0]], [True, False, False]),
            ([[0, 1, 0], [0, 0, 1], [0.5, 0, 0.5]], [True, True, True]),
        ],
    )
    def test_reachability_decides_and_agrees_with_the_spectral_radius(self, alpha, reached):
        alpha = torch.tensor(alpha, dtype=torch.float64)
        assert equilibrium.reaches_data(alpha) == reached
        assert (equilibrium.spectral_radius(alpha) < 1 - 1e-12) == all(reached)

    def test_players_without_data_are_named(self):
        faults = equilibrium.weight_faults(
            torch.tensor([[0.5, 0.5, 0], [0, 0, 1], [0, 1, 0]]), ["a", "b", "c"]
        )
        assert len(faults) == 1
        assert "'b', 'c'" in faults[0]

    def test_faulty_rows_are_all_named(self):
        faults = equilibrium.weight_faults(torch.tensor([[0.5, 0.6], [-0.5, 1.5]]), ["a", "b"])
        assert len(faults) == 2
        with pytest.raises(EquilibriumError, match=r"'0' sums to 1.1"):
            equilibrium.influence_matrix(torch.tensor([[0.5, 0.6], [0.5, 0.5]]))


@pytest.mark.parametrize("name", SPACES)
class TestFamilies:
    def test_iterated_best_response_of_real_models_reaches_the_closed_form(self, name):
        _, own = family_and_moments(name, 4)
        alpha = weights(4, 1, own=False)
        models = []
        for i in range(4):
            models.append(ExponentialFamily())
            models[i].setup(SPACES[name], i)
        for _ in range(equilibrium.rounds_needed(alpha, 1e-11, start=100.0)):
            targets = equilibrium.best_response(
                alpha, own, torch.stack([m.moments for m in models])
            )
            for model, target in zip(models, targets, strict=True):
                model.best_response(target)
        expected = equilibrium.equilibrium_moments(alpha, own)
        assert (torch.stack([m.moments for m in models]) - expected).abs().max() < 1e-9

    def test_nash_gap_is_zero_at_the_equilibrium_and_positive_elsewhere(self, name):
        family, own = family_and_moments(name, 4)
        alpha = weights(4, 1)
        at = equilibrium.equilibrium_moments(alpha, own)
        assert equilibrium.nash_gap(alpha, own, at, family).abs().max() <= 1e-8
        gaps = equilibrium.nash_gap(alpha, own, own, family)
        assert (gaps > 1e-6).all()

    def test_no_deviation_from_the_best_response_gains(self, name):
        """The gap is what the best response gains; any other move gains less."""
        family, own = family_and_moments(name, 3)
        alpha = weights(3, 5)
        target = equilibrium.best_response(alpha, own, own)
        best = family.utility(target, target)
        g = stream(2)
        for _ in range(20):
            mix = torch.rand(3, 1, generator=g, dtype=torch.float64)
            other = mix * target + (1 - mix) * own  # stays inside the marginal polytope
            assert (family.utility(target, other) <= best + 1e-10).all()

    def test_dual_view_closes_at_the_equilibrium_only(self, name):
        family, own = family_and_moments(name, 4)
        alpha = weights(4, 1)
        at = equilibrium.dual_view(alpha, own, equilibrium.equilibrium_moments(alpha, own), family)
        assert at.violation.max() < 1e-10
        assert at.duality_gap.abs().max() < 1e-8
        assert equilibrium.dual_view(alpha, own, own, family).violation.min() > 1e-3

    def test_small_step_gradient_play_reaches_the_same_point(self, name):
        if name in ("gaussian", "product"):
            pytest.skip(
                "second moments of a Gaussian need so small a step that it would take minutes"
            )
        family, own = family_and_moments(name, 3)
        alpha = weights(3, 1)
        start = family.natural(own)
        theta = equilibrium.gradient_play(alpha, own, start, family, step=0.2, rounds=4000)
        assert (family.mean(theta) - equilibrium.equilibrium_moments(alpha, own)).abs().max() < 1e-8

    def test_mean_of_natural_is_the_identity(self, name):
        family, own = family_and_moments(name, 3)
        assert torch.allclose(family.mean(family.natural(own)), own, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["bernoulli", "categorical", "poisson"])
def test_nash_gap_is_finite_on_the_border(name):
    """Pixels that are always 0, or always 1, and classes that a site never sees."""
    family, _ = family_and_moments(name, 2)
    own = {
        "bernoulli": [[0.0, 1.0, 0.2], [0.0, 1.0, 1.0]],
        "categorical": [[1.0, 0.0, 0.0, 0.5, 0.5, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]],
        "poisson": [[0.0, 2.0, 1.0], [0.0, 0.0, 3.0]],
    }[name]
    own = torch.tensor(own, dtype=torch.float64)
    alpha = weights(2, 1)
    at = equilibrium.equilibrium_moments(alpha, own)
    assert equilibrium.nash_gap(alpha, own, at, family).abs().max() <= 1e-8
    assert equilibrium.dual_view(alpha, own, at, family).duality_gap.abs().max() <= 1e-8
    # infinite where a site never saw what it hears
    assert (equilibrium.nash_gap(alpha, own, own, family) > 0.01).all()


@pytest.mark.parametrize("name", SPACES)
def test_utility_is_the_primal_formula(name):
    family, own = family_and_moments(name, 3)
    theta = family.natural(own)
    expected = (theta * own.flip(0)).sum(-1) - family.log_partition(theta)
    assert torch.allclose(family.utility(own.flip(0), own), expected, rtol=1e-9)


def test_rounds_needed_for_no_error_is_refused():
    with pytest.raises(EquilibriumError, match="above 0"):
        equilibrium.rounds_needed(weights(3, 1), 0.0)


def test_gradient_play_of_a_gaussian_reaches_the_same_point():
    """One real variable, moderate moments: here small steps are quick."""
    family = ProductFamily(Space({"x": Variable(kind="real")}))
    own = torch.tensor([[0.3, 1.2], [-0.5, 1.0]], dtype=torch.float64)
    alpha = weights(2, 4)
    theta = equilibrium.gradient_play(
        alpha, own, family.natural(own), family, step=0.05, rounds=8000
    )
    assert (family.mean(theta) - equilibrium.equilibrium_moments(alpha, own)).abs().max() < 1e-8


class TestContraction:
    @pytest.mark.parametrize("seed", range(5))
    def test_late_rounds_contract_at_the_spectral_radius(self, seed):
        alpha = weights(6, seed)
        own = torch.zeros(6, 2, dtype=torch.float64)
        error = torch.randn(6, 2, generator=stream(seed, "start"), dtype=torch.float64)
        sizes = []
        for _ in range(60):
            error = equilibrium.best_response(alpha, own, error)
            sizes.append(error.norm().item())
        rate = (sizes[59] / sizes[29]) ** (1 / 30)
        assert rate == pytest.approx(equilibrium.spectral_radius(alpha), rel=0.05)

    def test_rounds_needed_is_enough_and_not_too_much(self):
        alpha = weights(5, 1)
        rounds = equilibrium.rounds_needed(alpha, 1e-6)
        w = alpha - torch.diag(alpha.diag())
        assert torch.linalg.matrix_power(w, rounds).sum(1).max() <= 1e-6
        assert torch.linalg.matrix_power(w, rounds - 1).sum(1).max() > 1e-6


class TestSparse:
    def random(self, n=300, neighbours=6, own=0.2):
        rng = np.random.default_rng(1)
        rows = np.repeat(np.arange(n), neighbours)
        columns = (rows + rng.integers(1, n, n * neighbours)) % n
        w = sp.csr_matrix((rng.random(n * neighbours), (rows, columns)), shape=(n, n))
        w = sp.diags((1 - own) / np.asarray(w.sum(1)).ravel()) @ w
        return (w + own * sp.eye(n)).tocsr()

    def test_agrees_with_the_dense_solution_within_its_bound(self):
        alpha = self.random()
        own = np.random.default_rng(2).random((300, 3))
        dense = equilibrium.equilibrium_moments(
            torch.from_numpy(alpha.toarray()), torch.from_numpy(own)
        ).numpy()
        for tolerance in (1e-3, 1e-8):
            solution = equilibrium.solve_sparse(alpha, own, tolerance=tolerance)
            assert solution.residual <= tolerance
            assert np.abs(solution.values - dense).max() <= solution.error_bound + 1e-12
            assert solution.error_bound <= 20 * tolerance

    def test_rows_of_the_influence_matrix(self):
        alpha = self.random()
        dense = equilibrium.influence_matrix(torch.from_numpy(alpha.toarray())).numpy()
        rows = equilibrium.influence_rows(alpha, [0, 17])
        assert np.abs(rows.values - dense[[0, 17]]).sum(1).max() <= rows.error_bound + 1e-12
        assert rows.error_bound < 1e-7

    def test_without_data_in_reach_it_refuses(self):
        with pytest.raises(EquilibriumError, match="2 players reach nobody"):
            equilibrium.solve_sparse(sp.csr_matrix([[0.0, 1.0], [1.0, 0.0]]), np.ones(2))


# --------------------------------------------------------------------------- very small own weights


def exact_influence(alpha):
    """M in rational numbers, by Gauss and Jordan; a diagonal of I − W is what its row sums to."""
    n = len(alpha)
    own = [Fraction(alpha[i, i].item()) for i in range(n)]
    rows = []
    for i in range(n):
        row = [-Fraction(alpha[i, j].item()) for j in range(n)]
        row[i] = own[i] - sum(row[:i] + row[i + 1 :])
        unit = [own[i] if j == i else Fraction(0) for j in range(n)]
        rows.append(row + unit)
    for k in range(n):
        pivot = rows[k][k]
        rows[k] = [value / pivot for value in rows[k]]
        for i in range(n):
            if i != k:
                factor = rows[i][k]
                pairs = zip(rows[i], rows[k], strict=True)
                rows[i] = [value - factor * other for value, other in pairs]
    return torch.tensor([[float(value) for value in row[n:]] for row in rows], dtype=torch.float64)


@pytest.mark.parametrize("smallest", [1e-3, 1e-6, 1e-12, 1e-18, 1e-30])
def test_small_own_weights_give_every_digit_dense_and_by_edges(smallest):
    """Also where one player of a group has all the data, and where some have none."""
    generator = torch.Generator().manual_seed(1)
    w = torch.rand(6, 6, generator=generator, dtype=torch.float64) + 0.1
    w.fill_diagonal_(0)
    own = smallest * torch.tensor([1.0, 2.5, 0.0, 3.0, 0.7, 0.0], dtype=torch.float64)
    alpha = (1 - own)[:, None] * w / w.sum(1, keepdim=True) + torch.diag(own)
    expected = exact_influence(alpha)
    assert torch.allclose(equilibrium.influence_matrix(alpha), expected, rtol=1e-11, atol=0)
    shares = torch.rand(6, 3, generator=generator, dtype=torch.float64)
    for form in (alpha, by_edges(alpha)):
        moments = equilibrium.equilibrium_moments(form, shares)
        assert torch.allclose(moments, expected @ shares, rtol=1e-11, atol=0)
    rows = torch.from_numpy(influence_by_edges(by_edges(alpha), [1, 4]))
    assert torch.allclose(rows, expected[[1, 4]], rtol=1e-11, atol=0)


def test_a_small_own_weight_of_all_is_that_number():
    """1 minus seven parts of the rest is another one in the fourth digit."""
    neighbours = with_diagonal(*np.nonzero(1 - np.eye(8)), 8)
    assert set(even(neighbours, 1e-12).diagonal().tolist()) == {1e-12}
    m = equilibrium.influence_matrix(dense(even(neighbours, 1e-12)))
    assert torch.allclose(m, torch.full_like(m, 1 / 8), rtol=1e-10, atol=0)


def test_many_players_far_from_data_are_warned_of(monkeypatch):
    monkeypatch.setattr(sparse, "MOST_ELIMINATED", 3)
    alpha = even(with_diagonal(*np.nonzero(1 - np.eye(4)), 4), 1e-9)
    with pytest.warns(UserWarning, match=r"more than 10000 steps from data .* 1e-09"):
        equilibrium.equilibrium_moments(alpha, torch.eye(4, dtype=torch.float64))
