"""The kernel distance between features of generated and of real test samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from coplay.metrics.base import Metric, Observed, Stat, Value, normal_interval
from coplay.metrics.rows import even_order, row_keys


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return the kernel of every pair of rows, shape (m, n)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def squared_mmd(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Estimate the squared maximum mean discrepancy without bias, with its standard error.

    The kernel is (x·y/F + 1)³. The standard error is that of the two-sample jackknife, which leaves
    out one row at a time, of x and of y. On average it is rather too large than too small (Efron
    and Stein 1981), most so where both distributions are equal.

    Args:
        x: Rows of one distribution, shape (m, F), at least three.
        y: Rows of the other, shape (n, F), at least three.

    Example:
        With equal rows nothing varies: the estimate is 1 + (1 + 1)³ − 2 · 1.

        >>> squared_mmd(torch.zeros(4, 1), torch.ones(3, 1))
        (7.0, 0.0)
    """
    x = x.double()
    y = y.double()
    m = len(x)
    n = len(y)
    within_x = _kernel(x, x).fill_diagonal_(0)
    within_y = _kernel(y, y).fill_diagonal_(0)
    between = _kernel(x, y)
    x_total = within_x.sum()
    y_total = within_y.sum()
    between_total = between.sum()
    x_mean = x_total / (m * (m - 1))
    y_mean = y_total / (n * (n - 1))
    estimate = x_mean + y_mean - 2 * between_total / (m * n)
    # the estimates with one row left out follow from the sums over its row: no kernel is computed
    # again
    x_left = (x_total - 2 * within_x.sum(1)) / ((m - 1) * (m - 2))
    y_left = (y_total - 2 * within_y.sum(1)) / ((n - 1) * (n - 2))
    without_x = x_left + y_mean - 2 * (between_total - between.sum(1)) / ((m - 1) * n)
    without_y = x_mean + y_left - 2 * (between_total - between.sum(0)) / (m * (n - 1))
    variance = (m - 1) * without_x.var(correction=0) + (n - 1) * without_y.var(correction=0)
    return estimate.item(), variance.sqrt().item()


@dataclass(frozen=True)
class _Features(Stat):
    fake: Tensor
    keys: Tensor
    real: Tensor
    most: int

    def merge(self, other: _Features) -> _Features:
        fake = torch.cat([self.fake, other.fake])
        keys = torch.cat([self.keys, other.keys])
        return _Features(fake, keys, self.real, self.most)

    def result(self) -> dict[str, Value]:
        fake = self.fake[even_order(self.keys)[: self.most]]
        estimate, error = squared_mmd(fake, self.real)
        low, high = normal_interval(estimate, error)
        unit = "squared kernel distance of features"
        return {"kid": Value(estimate, unit, "lower", len(fake), len(self.real), low, high)}


class Kid(Metric):
    """Kernel distance to the real test split on the domain classifier's features.

    It is unbiased at any number of samples: the squared maximum mean discrepancy with the kernel
    (x·y/F + 1)³; being unbiased, it may fall a little below 0. Its 95 % interval is ± 1.96 standard
    errors of the jackknife, over generated and real samples. It is rather too wide where both
    agree, and too narrow for a hundred samples of one feature, where the estimate is far from
    normal. The feature net is ours, so values compare only within one run's classifier.

    Args:
        most: At most so many generated and so many real samples are compared, for time and memory
            grow with the square.

    References:
        Demystifying MMD GANs (M. Bińkowski et al., ICLR 2018), arXiv:1801.01401.
        The Jackknife Estimate of Variance (B. Efron, C. Stein, Annals of Statistics 9, 1981), for
        the interval.
    """

    meanings: ClassVar[Mapping[str, str]] = {
        "kid": (
            "how far samples lie from real rows in what the domain classifier sees in them, at "
            "any number of samples; about 0 where the two are alike"
        ),
    }

    citation: ClassVar[tuple[str, ...]] = ("binkowski2018kid",)

    most: int = Field(default=2000, ge=3)

    @property
    def fewest(self) -> int:
        """Three: leaving one sample out must leave at least two."""
        return 3

    def observe(self, observed: Observed) -> Stat:
        """Keep the features of generated and of real samples."""
        space = observed.reference.classifier.space
        test = observed.reference.test
        chosen = even_order(row_keys(test, space))[: self.most]
        real = observed.reference.test_features[chosen]
        return _Features(observed.features, row_keys(observed.samples, space), real, self.most)
