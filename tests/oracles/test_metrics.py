"""Metrics on closed forms."""

import pytest
import torch

from coplay.metrics.class_shares import corrected, total_variation
from coplay.metrics.domain_score import score_sums
from coplay.metrics.fid import Moments, frechet_distance
from coplay.streams import stream


def test_fid_of_gaussians_with_equal_covariance_is_the_squared_distance_of_means():
    x = torch.randn(3000, 5, generator=stream(1), dtype=torch.float64)
    shift = torch.tensor([1.0, -2.0, 0.0, 0.5, 3.0], dtype=torch.float64)
    found = frechet_distance(Moments.of(x), Moments.of(x + shift))
    assert found == pytest.approx(shift.square().sum().item(), rel=1e-6)


def test_fid_of_scaled_features_is_the_squared_difference_of_deviations():
    x = torch.randn(4000, 3, generator=stream(1), dtype=torch.float64)
    x -= x.mean(0)
    sigma = torch.cov(x.T)
    found = frechet_distance(Moments.of(x), Moments.of(2 * x))  # tr(Σ + 4Σ − 2·2Σ) = tr Σ
    assert found == pytest.approx(sigma.trace().item(), rel=1e-6)


def test_domain_score_of_extremes():
    constant = torch.tensor([[0.2, 0.8]]).repeat(10, 1)
    assert score_sums(constant).result()["domain_score"].value == pytest.approx(1)
    assert score_sums(torch.eye(7)).result()["domain_score"].value == pytest.approx(7)
    assert score_sums(torch.eye(4)[[0, 0, 1, 1]]).result()["domain_score"].value == pytest.approx(2)


def test_correction_inverts_the_confusion():
    confusion = torch.tensor([[0.9, 0.1, 0.0], [0.05, 0.9, 0.05], [0.0, 0.2, 0.8]], dtype=torch.float64)
    truth = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    assert torch.allclose(corrected(confusion.T @ truth, confusion), truth, atol=1e-9)


def test_correction_never_leaves_the_simplex():
    confusion = torch.tensor([[0.9, 0.1], [0.1, 0.9]], dtype=torch.float64)
    found = corrected(torch.tensor([1.0, 0.0]), confusion)
    assert torch.allclose(found, torch.tensor([1.0, 0.0], dtype=torch.float64), atol=1e-6)


def test_total_variation():
    assert total_variation(torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.0, 0.5, 0.5])) == pytest.approx(0.5)
