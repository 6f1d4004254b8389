"""Clusters of samples, as a hidden class for networks that have no other."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor

_MOST_VALUES = 8_000_000  # that are clustered at a time
_LEAST_ROWS = 50
"""Rows a cluster; with fewer, a cluster would stand for single rows and a network repeat them."""


class Clusters:
    """Centroids of k-means, each under a number that stays when they are fitted anew.

    Args:
        count: The most clusters.

    Example:
        >>> clusters = Clusters(2)
        >>> clusters.fit(torch.tensor([[0.0], [10.0]]).repeat(60, 1), torch.ones(120))
        >>> a, b, c = clusters.of(torch.tensor([[1.0], [9.0], [-2.0]])).tolist()
        >>> a != b, a == c
        (True, True)
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.centroids = torch.zeros(0, 0)  # shape (m, D)
        self.numbers = torch.zeros(0, dtype=torch.int64)  # of the centroids, shape (m,)

    def fit(self, rows: Tensor, weights: Tensor) -> None:
        """Fit the centroids to weighted rows; what they are close to keeps its number.

        Args:
            rows: Shape (n, D).
            weights: Shape (n,).
        """
        stride = -(-rows.numel() // _MOST_VALUES)
        rows = rows[::stride]
        weights = weights[::stride]
        distinct = len(rows.unique(dim=0))
        count = min(self.count, distinct, max(1, len(rows) // _LEAST_ROWS))
        # a function of the rows alone, so that no seed has to be stored; sums over several threads
        # would differ in their last bits from run to run
        means = KMeans(count, n_init=1, random_state=0)
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            means.fit(rows.numpy(), sample_weight=weights.numpy())
        centroids = torch.from_numpy(means.cluster_centers_).float()
        self.numbers = self._renumbered(centroids)
        self.centroids = centroids

    def _renumbered(self, centroids: Tensor) -> Tensor:
        """Give new centroids the numbers of the old ones that are nearest, and free ones else."""
        numbers = np.full(len(centroids), -1)
        if len(self.centroids):
            old, new = linear_sum_assignment(torch.cdist(self.centroids, centroids).numpy())
            numbers[new] = self.numbers.numpy()[old]
        free = [i for i in range(self.count) if i not in set(numbers.tolist())]
        numbers[numbers < 0] = free[: int((numbers < 0).sum())]
        return torch.from_numpy(numbers)

    def of(self, rows: Tensor) -> Tensor:
        """Return the number of each row's cluster, shape (n,); :attr:`count` before any fit."""
        if not len(self.centroids):
            return torch.full((len(rows),), self.count, device=rows.device)
        nearest = torch.cdist(rows.cpu(), self.centroids).argmin(1)
        return self.numbers[nearest].to(rows.device)

    def state_dict(self) -> dict[str, Tensor]:
        """Return centroids and their numbers."""
        return {"centroids": self.centroids, "numbers": self.numbers}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        self.centroids = state["centroids"].clone()
        self.numbers = state["numbers"].clone()
