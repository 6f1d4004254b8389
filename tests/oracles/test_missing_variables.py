"""Sites that see some of the columns: what they determine is learned, and the rest is named."""

import itertools
import math

import numpy as np
import pytest
import torch

from coplay.nets.together import Together
from coplay.theory.completion import mattering, possible_correlations

NAN = float("nan")


def partial(size, known):
    matrix = torch.full((size, size), NAN, dtype=torch.float64).fill_diagonal_(1.0)
    for (i, j), value in known.items():
        matrix[i, j] = matrix[j, i] = value
    return matrix


class TestPossibleCorrelations:
    def test_by_one_variable_it_is_the_closed_form(self):
        low, high = possible_correlations(partial(3, {(0, 1): 0.8, (1, 2): 0.6}), 0, 2)
        assert (low, high) == pytest.approx((0.48 - 0.48, 0.48 + 0.48), abs=1e-6)

    @pytest.mark.parametrize("angles", [(0.3, 0.5, 1.2), (0.9, 1.0, 1.1), (1.5, 0.2, 0.1)])
    def test_along_a_path_angles_add(self, angles):
        """Vectors of unit length: neighbours have these angles, the ends the sum at most."""
        known = {(k, k + 1): math.cos(angle) for k, angle in enumerate(angles)}
        widest = math.pi if sum(angles) > math.pi else sum(angles)
        least = max(0.0, 2 * max(angles) - sum(angles))
        low, high = possible_correlations(partial(4, known), 0, 3)
        assert (low, high) == pytest.approx((math.cos(widest), math.cos(least)), abs=1e-6)

    def test_around_a_cycle_both_ways_count(self):
        known = {(0, 1): 0.6, (1, 2): 0.8, (2, 3): -0.3, (0, 3): 0.5}
        one = (0.48 - 0.48, 0.48 + 0.48)
        width = math.sqrt((1 - 0.3**2) * (1 - 0.5**2))
        other = (-0.15 - width, -0.15 + width)
        low, high = possible_correlations(partial(4, known), 0, 2)
        both = (max(one[0], other[0]), min(one[1], other[1]))
        assert (low, high) == pytest.approx(both, abs=1e-6)

    def test_a_variable_that_determines_one_leaves_nothing_open(self):
        low, high = possible_correlations(partial(3, {(0, 1): 1.0, (1, 2): 0.5}), 0, 2)
        assert (low, high) == pytest.approx((0.5, 0.5), abs=1e-4)

    def test_correlations_of_no_distribution_have_none(self):
        known = {(0, 1): 0.9, (1, 2): 0.9, (2, 3): 0.9, (0, 3): -0.9}
        assert possible_correlations(partial(4, known), 0, 2) is None

    def test_nothing_known_leaves_all_open(self):
        assert possible_correlations(partial(2, {}), 0, 1) == pytest.approx((-1, 1), abs=1e-7)

    def test_what_hangs_on_one_side_does_not_matter(self):
        known = {(0, 1): 0.6, (1, 2): 0.8, (0, 3): 0.5, (3, 4): 0.2, (1, 3): 0.3}
        assert mattering(partial(5, known), 0, 2) == [0, 1, 2]

    def test_ends_are_possible_and_what_is_beyond_is_not(self):
        """By a search over the one other entry that is open."""
        known = {(0, 1): 0.7, (1, 2): -0.4, (2, 3): 0.6, (0, 3): 0.3}
        matrix = partial(4, known)
        low, high = possible_correlations(matrix, 0, 2)
        for value, is_possible in (
            (low + 1e-4, True),
            (high - 1e-4, True),
            (low - 1e-4, False),
            (high + 1e-4, False),
        ):
            trial = matrix.numpy().copy()
            trial[0, 2] = trial[2, 0] = value
            least = []
            for other in np.linspace(-1, 1, 20_001):
                trial[1, 3] = trial[3, 1] = other
                least.append(np.linalg.eigvalsh(trial)[0])
            assert (max(least) >= -1e-9) == is_possible


class TestTogether:
    def test_every_pair_of_a_tree_is_drawn_one_given_the_other(self):
        together = Together(4)
        for pair in ((0, 1), (1, 2), (1, 3)):
            levels = torch.full((1, 4), -1)
            levels[0, list(pair)] = 2
            together.follow(levels)
        for first in itertools.permutations(range(4)):
            order = together.order(first, [])
            assert order[0] == first[0]
            for place, column in enumerate(order[1:], 1):
                assert together.pairs[column][order[:place]].sum() == 1

    def test_what_is_given_decides_too(self):
        """Of a chain 0 - 1 - 2 with 0 given, 1 comes before 2."""
        together = Together(3)
        together.follow(torch.tensor([[0, 1, -1], [-1, 0, 3]]))
        assert together.order([2, 1], [0]) == [1, 2]

    def test_rows_with_everything_make_the_order_that_of_chance(self):
        together = Together(3)
        together.follow(torch.tensor([[0, 4, -1]]))
        assert not together.all_of(torch.ones(3, dtype=torch.bool))
        together.follow(torch.tensor([[1, 0, 0]]))
        assert together.all_of(torch.ones(3, dtype=torch.bool))
        assert together.order([2, 0, 1], []) == [2, 0, 1]
