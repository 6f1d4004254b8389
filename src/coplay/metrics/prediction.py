"""What samples teach of a target: models of scikit-learn in standard units, tried on real rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coplay.core.scaling import Scaling
from coplay.core.space import Samples, Space, pick

# small, since a run fits many of them; early stopping would take rows away from small tables
_TREES: Mapping[str, Any] = {
    "max_iter": 60,
    "learning_rate": 0.15,
    "max_leaf_nodes": 15,
    "early_stopping": False,
    "random_state": 0,
}


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
        """Return the category that is predicted for each real row, shape (m,)."""
        if len(np.unique(self.y)) < 2:
            return np.full(len(self.x_real), self.y[0])
        predicted: np.ndarray = self._classifier().predict(self.x_real)
        return predicted

    def shares(self, classes: int) -> np.ndarray:
        """Return the probability of each category, shape (m, classes)."""
        shares = np.zeros((len(self.x_real), classes))
        kinds = np.unique(self.y)
        if len(kinds) == 1:
            shares[:, kinds] = 1.0
        else:
            shares[:, kinds] = self._classifier().predict_proba(self.x_real)
        return shares

    def _classifier(self) -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(max_iter=1000).fit(self.x, self.y)

    def _regressor(self) -> Any:
        from sklearn.linear_model import Ridge

        return Ridge(alpha=1.0)

    def squared_errors(self) -> np.ndarray:
        """Return the squared error on each real row, shape (m,)."""
        y = self.y.astype(np.float64)
        scale = y.std() or 1.0
        fitted = self._regressor().fit(self.x, (y - y.mean()) / scale)
        predicted = fitted.predict(self.x_real)
        errors: np.ndarray = (predicted * scale + y.mean() - self.y_real.astype(np.float64)) ** 2
        return errors


class Boosted(Prediction):
    """The same by gradient-boosted trees; a linear model is what :class:`Prediction` has."""

    @classmethod
    def like(cls, prediction: Prediction) -> Boosted:
        """Return the same task for trees."""
        return cls(prediction.x, prediction.y, prediction.x_real, prediction.y_real)

    def _classifier(self) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(**_TREES).fit(self.x, self.y)

    def _regressor(self) -> Any:
        from sklearn.ensemble import HistGradientBoostingRegressor

        return HistGradientBoostingRegressor(**_TREES)
