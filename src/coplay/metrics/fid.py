"""The Fréchet distance between features of generated and of real test samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from coplay.metrics.base import Metric, Observed, Stat, Value


@dataclass(frozen=True)
class Moments:
    """Sums that determine mean and covariance.

    Args:
        first: Σ f, shape (F,).
        second: Σ f fᵀ, shape (F, F).
        n: Number of samples.
    """

    first: Tensor
    second: Tensor
    n: int

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """Sum features of shape (n, F)."""
        f = features.double()
        return cls(f.sum(0), f.T @ f, len(f))

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.first + other.first, self.second + other.second, self.n + other.n)


def frechet_distance(real: Moments, fake: Moments) -> float:
    """Return ‖μ_r − μ_f‖² + tr(Σ_r + Σ_f − 2 (Σ_r Σ_f)^½).

    Torchmetrics computes it from our sums, so samples need not be kept.

    Example:
        >>> generator = torch.Generator().manual_seed(1)
        >>> x = torch.randn(5000, 2, generator=generator, dtype=torch.float64)
        >>> round(frechet_distance(Moments.of(x), Moments.of(x + 3.0)), 6)
        18.0
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    identity = nn.Identity()
    identity.num_features = len(real.first)  # type: ignore[assignment]
    distance = FrechetInceptionDistance(feature=identity)
    for kind, moments in (("real", real), ("fake", fake)):
        setattr(distance, f"{kind}_features_sum", moments.first)
        setattr(distance, f"{kind}_features_cov_sum", moments.second)
        setattr(distance, f"{kind}_features_num_samples", torch.tensor(moments.n))
    distance.orig_dtype = torch.float64
    distance._update_count = 1  # so that it does not warn that no sample was added
    return max(0.0, distance.compute().item())


@dataclass(frozen=True)
class MomentPair(Stat):
    """Moments of real and of generated samples; their Fréchet distance is reported as ``name``."""

    real: Moments
    fake: Moments
    name: str

    def merge(self, other: MomentPair) -> MomentPair:
        """Add the sums of the generated samples; the real samples are the same in both."""
        return MomentPair(self.real, self.fake + other.fake, self.name)

    def result(self) -> dict[str, Value]:
        """Return the distance."""
        distance = frechet_distance(self.real, self.fake)
        unit = "squared feature distance"
        return {self.name: Value(distance, unit, "lower", self.fake.n, self.real.n)}


class Fid(Metric):
    """Fréchet distance to the real test split on the domain classifier's features.

    The feature net is ours, so values compare only within one run's classifier, and only at equal
    sample counts.

    References:
        GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium (M. Heusel
        et al., NeurIPS 2017), arXiv:1706.08500.
    """

    meanings: ClassVar[Mapping[str, str]] = {
        "fid": (
            "how far samples lie from real rows in what the domain classifier sees in them; 0 "
            "where the two are alike"
        ),
    }

    citation: ClassVar[tuple[str, ...]] = ("heusel2017fid",)

    @property
    def fewest(self) -> int:
        """Two, for a covariance."""
        return 2

    def observe(self, observed: Observed) -> Stat:
        """Sum features and their products."""
        real = Moments.of(observed.reference.test_features)
        return MomentPair(real, Moments.of(observed.features), "fid")
