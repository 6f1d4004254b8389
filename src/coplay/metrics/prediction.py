"""What samples teach of a target: linear models in standard units, tried on real rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from coplay.core.scaling import Scaling
from coplay.core.space import Samples, Space, pick

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression


def are_complete(samples: Samples, space: Space) -> Tensor:
    """Return which rows have no missing value, shape (n,).

    Args:
        samples: The rows, which have all variables of the space.
        space: The variables that are looked at.
    """
    complete = torch.ones(len(samples), dtype=torch.bool)
    for name in space:
        complete &= space[name].present(samples[name])
    return complete


def complete_rows(samples: Samples, space: Space) -> Samples:
    """Return the rows without missing values, of the variables of a space."""
    return pick(space.restrict(samples), are_complete(samples, space))


@dataclass(frozen=True)
class Prediction:
    """A target as numbers, beside all other variables in standard units.

    Args:
        x: Inputs of the samples that are learned from, shape (n, D).
        y: Their target, shape (n,).
        x_real: Inputs of the real rows, in the units of the samples, shape (m, D).
        y_real: Their target, shape (m,).
    """

    x: np.ndarray
    y: np.ndarray
    x_real: np.ndarray
    y_real: np.ndarray

    @classmethod
    def of(cls, learned_from: Samples, real: Samples, space: Space, target: str) -> Prediction:
        """Take samples apart into a target and what it is predicted by.

        Args:
            learned_from: Samples without missing values.
            real: Real rows without missing values.
            space: The variables that both have.
            target: One of them.
        """
        inputs = space.only([name for name in space if name != target])
        scaling = Scaling(inputs)
        scaling.follow([inputs.restrict(learned_from)], [1.0])
        x = scaling.vectors(inputs.restrict(learned_from), torch.float64).numpy()
        x_real = scaling.vectors(inputs.restrict(real), torch.float64).numpy()
        middle = x.mean(0)
        spread = np.where(x.std(0) > 0, x.std(0), 1.0)
        y, y_real = (side[target].numpy() for side in (learned_from, real))
        return cls((x - middle) / spread, y, (x_real - middle) / spread, y_real)

    def categories(self) -> np.ndarray:
        """Return the category that logistic regression predicts for each real row, shape (m,)."""
        if len(np.unique(self.y)) < 2:
            return np.full(len(self.x_real), self.y[0])
        predicted: np.ndarray = self._logistic().predict(self.x_real)
        return predicted

    def shares(self, classes: int) -> np.ndarray:
        """Return the probability of each category by logistic regression, shape (m, classes)."""
        shares = np.zeros((len(self.x_real), classes))
        kinds = np.unique(self.y)
        if len(kinds) == 1:
            shares[:, kinds] = 1.0
        else:
            shares[:, kinds] = self._logistic().predict_proba(self.x_real)
        return shares

    def _logistic(self) -> LogisticRegression:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(max_iter=1000).fit(self.x, self.y)

    def squared_errors(self) -> np.ndarray:
        """Return the squared error of ridge regression on each real row, shape (m,)."""
        from sklearn.linear_model import Ridge

        y = self.y.astype(np.float64)
        scale = y.std() or 1.0
        predicted = Ridge(alpha=1.0).fit(self.x, (y - y.mean()) / scale).predict(self.x_real)
        errors: np.ndarray = (predicted * scale + y.mean() - self.y_real.astype(np.float64)) ** 2
        return errors
