"""A Gaussian copula: marginals as they are, and one correlation matrix behind them.

Every number of every variable is a column. Behind a row is a Gaussian z ~ N(0, R); a real value is
x = F⁻¹(Φ(z)) with the column's distribution function F, and a bit, class or count is the value
between whose thresholds z falls (:mod:`coplay.nets.marginals`). The marginals are the weighted
frequencies of the mixture, with one more row spread evenly, so that nothing is impossible. R is
estimated pair by pair from the rows that have both (:mod:`coplay.nets.correlations`).

Given values of a row, the rest is drawn from the conditional Gaussian. Given intervals, z is drawn
in them one by one, each given those before it, with the probability of its interval as a weight
(Geweke, Hajivassiliou & Keane); one of many such draws is picked by its weight. The mean weight is
p(x) without bias, and exact where at most one value is an interval.

References:
    The Synthetic Data Vault (N. Patki, R. Wedge, K. Veeramachaneni, DSAA 2016), for the idea that a
    table is a Gaussian copula.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import torch
from pydantic import Field, PrivateAttr
from tensordict import TensorDict
from torch import Tensor

from coplay.core.errors import ModelError
from coplay.core.space import LABEL, Samples, Space, join
from coplay.core.streams import stream
from coplay.models.base import LocalModel, Mixture
from coplay.models.parts import check_class, in_parts
from coplay.nets import correlations, parameters
from coplay.nets.intervals import DRAWS, by_columns, calibrated, drawn_inside, picked_inside
from coplay.nets.marginals import Marginals, joined, scores

_MOST_COLUMNS = 1000
_UNKNOWN = 2.0  # stands for a correlation that is not known, in a state


class GaussianCopula(LocalModel):
    """A Gaussian copula over the columns of a table: the simple, strong baseline.

    It is fitted afresh in each turn, without steps, from rows with any missing values and from
    parts with different columns. It completes any cells, classifies, and has log p by importance
    weights, exact for real columns.

    Warning:
        Classes are in the order of their numbers: what is more likely in the middle class alone is
        not represented.

    Args:
        bins: Bins of a count or a real number, between quantiles.

    Example:
        >>> from coplay import Variable
        >>> from coplay.models.base import OWN, Portion
        >>> space = Space({"a": Variable(kind="binary"), "x": Variable(kind="real")})
        >>> model = GaussianCopula()
        >>> model.setup(space, seed=1)
        >>> a = torch.tensor([0, 1], dtype=torch.uint8).repeat(50)
        >>> rows = space.samples(a=a, x=a + torch.arange(100) / 1000)
        >>> _ = model.learn(Mixture((Portion(OWN, rows, 1.0),)), 1, torch.Generator())
        >>> ones = space.samples(a=torch.ones(200, dtype=torch.uint8))
        >>> drawn = model.complete(ones, torch.Generator().manual_seed(1))
        >>> (drawn["x"] > 0.5).float().mean() > 0.9
        tensor(True)
    """

    learns_incomplete: ClassVar[bool] = True
    reported_names: ClassVar[tuple[str, ...] | None] = ("shrinkage",)
    citation: ClassVar[tuple[str, ...]] = ("patki2016sdv", "schaefer2005shrinkage")

    bins: int = Field(default=100, ge=4)

    _space: Space = PrivateAttr()
    _marginals: Marginals = PrivateAttr()
    _pairs: Tensor = PrivateAttr()
    _correlation: Tensor = PrivateAttr()

    def setup(self, space: Space, seed: int) -> None:
        """Start with independent columns over their ranges."""
        columns = sum(space[name].size for name in space)
        if columns > _MOST_COLUMNS:
            largest = max(space, key=lambda name: space[name].size)
            raise ModelError(
                f"gaussian_copula takes at most {_MOST_COLUMNS:,} numbers; these variables have "
                f"{columns:,}, most of them '{largest}' ({space[largest]}): leave it out, or "
                "choose a model for images, such as rectified_flow"
            )
        self._space = space
        self._marginals = Marginals(space, self.bins)
        self._correlation = torch.eye(columns, dtype=torch.float64)
        self._pairs = torch.full_like(self._correlation, torch.nan).fill_diagonal_(1.0)

    @property
    def correlation(self) -> Tensor:
        """The correlations of z, columns in the space's order, shape (D, D), float64."""
        return self._correlation.clone()

    # ----------------------------------------------------------------------------------- learning

    def learn(
        self, mixture: Mixture, steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """Fit marginals, then correlations; ``steps`` is ignored.

        What no source has, a column or a pair of columns, stays as it was.
        """
        sources = [part.samples for part in mixture.parts]
        self._marginals.refit(sources, mixture.weights.tolist())
        parts = []
        each = []
        for part in mixture.parts:
            parts.append(self._marginals.intervals(part.samples))
            weight = part.weight / max(1, len(part.samples))
            each.append(torch.full((len(part.samples),), weight, dtype=torch.float64))
        known = joined(parts)
        rows = scores(known)
        weights = torch.cat(each)
        rho, error = correlations.of_pairs(rows, weights, self._marginals.expansion())
        shrunk = correlations.shrinkage(rho, error)
        rho = (rho * (1 - shrunk)).fill_diagonal_(1.0)
        self._pairs = torch.where(rho.isnan(), self._pairs, rho)
        whole = correlations.completed(self._pairs)
        self._correlation = calibrated(whole, known, rows, weights)
        return {"shrinkage": shrunk}

    # --------------------------------------------------------------------------- z given intervals

    def _factor(self, columns: Sequence[int]) -> Tensor:
        """Return the Cholesky factor of the correlations of columns, in their order."""
        return torch.linalg.cholesky(self._correlation[list(columns)][:, list(columns)])

    def log_weights(self, samples: Samples, draws: int, generator: torch.Generator) -> Tensor:
        """log p(x, z) − log q(z | x), in nats and the variables' own units, shape (draws, n).

        All draws are log p(x) itself where no more than one value of a row is an interval.
        """
        order = self._points_first(range(len(self._correlation)))
        factor = self._factor(order)
        every = torch.arange(len(samples)).repeat(draws)
        given = self._marginals.intervals(samples).rows(every, order)
        return drawn_inside(given, factor, generator)[1].reshape(draws, len(samples))

    def _points_first(self, columns: Sequence[int]) -> list[int]:
        """Return columns in an order in which what is known exactly comes first."""
        real = set()
        for name, place in self._marginals.columns.items():
            if self._space[name].kind == "real":
                real |= set(range(place.start, place.stop))
        return sorted(columns, key=lambda column: column not in real)

    # ------------------------------------------------------------------------- drawing, completing

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw z, and the values at it."""
        return self.complete(TensorDict({}, [n]), generator)

    def complete(self, partial: Samples, generator: torch.Generator) -> Samples:
        """Draw what is missing given what is there, from the conditional Gaussian.

        Variables may be absent, and so may single values of them (NaN, -1 or, of bits, 255). What
        is given stays to the last bit.
        """
        parts = []
        for part in in_parts(partial):
            parts.append(self._completed(part, generator))
        return join(parts)

    def _completed(self, part: Samples, generator: torch.Generator) -> Samples:
        intervals = self._marginals.intervals(part)
        z = torch.zeros_like(intervals.low)
        for rows, columns in by_columns(~intervals.low.isnan()):
            columns = self._points_first(columns)
            rest = [d for d in range(z.shape[1]) if d not in columns]
            order = [*columns, *rest]
            factor = self._factor(order)
            given = intervals.rows(rows, columns)
            noise = picked_inside(given, factor, generator)
            free = torch.randn(len(rows), len(rest), generator=generator, dtype=torch.float64)
            z[rows[:, None], torch.tensor(order)] = torch.cat([noise, free], 1) @ factor.T
        values = self._marginals.values_at(torch.special.ndtr(z))
        for name, place in self._marginals.columns.items():
            if name in part.keys():
                there = ~intervals.low[:, place].isnan().reshape(part[name].shape)
                values[name] = torch.where(there, part[name], values[name].to(part[name].dtype))
        return values

    def classify(self, samples: Samples) -> Tensor:
        """p(class | given values), shape (n, C); a given ``"class"`` is ignored.

        Raises:
            ModelError: There is no class.
        """
        check_class("gaussian_copula", self._space)
        parts = []
        generator = stream(0, "classify")
        for part in in_parts(samples):
            parts.append(self._classified(part.exclude(LABEL), generator))
        return torch.cat(parts)

    def _classified(self, part: Samples, generator: torch.Generator) -> Tensor:
        intervals = self._marginals.intervals(part)
        label = self._marginals.columns[LABEL].start
        ends = self._marginals.thresholds(LABEL)
        probabilities = torch.zeros(len(part), len(ends) - 1, dtype=torch.float64)
        for rows, columns in by_columns(~intervals.low.isnan()):
            columns = self._points_first(columns)
            factor = self._factor([*columns, label])
            every = rows.repeat_interleave(DRAWS)
            noise, log_weight = drawn_inside(intervals.rows(every, columns), factor, generator)
            centre = noise @ factor[-1, :-1]
            below = torch.special.ndtr((ends - centre[:, None]) / factor[-1, -1])
            weight = log_weight.reshape(len(rows), DRAWS).softmax(1)
            each = below.diff(dim=1).reshape(len(rows), DRAWS, -1)
            probabilities[rows] = (weight[:, :, None] * each).sum(1)
        return probabilities.float()

    # -------------------------------------------------------------------------------------- state

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return marginals and correlations."""
        marginals = parameters.prefixed("marginals/", self._marginals.state_dict())
        pairs = self._pairs.nan_to_num(_UNKNOWN)
        return {"pairs": pairs, "correlation": self._correlation, **marginals}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        pairs = state["pairs"]
        self._pairs = torch.where(pairs == _UNKNOWN, torch.nan, pairs)
        self._correlation = state["correlation"].clone()
        self._marginals.load_state_dict(parameters.under("marginals/", state))

    @classmethod
    def tiny(cls) -> Self:
        """Return a copula of few bins."""
        return cls(bins=8)
