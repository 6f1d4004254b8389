"""Whether samples are of use: what is learned from them, tried on real rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field
from tensordict import TensorDict

from coplay.core.space import LABEL, Samples, Space, pick
from coplay.metrics.base import Metric, Observed, Stat, Value, share_value
from coplay.metrics.prediction import Boosted, Prediction, are_complete
from coplay.metrics.rows import of_table, spaced

Learner = Literal["linear", "boosted"]

NO_TARGET = "no target is named; set measure.target to the variable to be predicted"
"""Why a run without a target does not measure of what use samples are."""

_REPLICATES = 200
_MOST_HELD = 20_000  # own rows that a prediction is learned from, at most


@dataclass(frozen=True)
class _Trial(Stat):
    space: Space
    target: str
    real: Samples
    generated: Samples
    held: Samples | None
    learners: tuple[Learner, ...]
    held_count: int = 0

    def merge(self, other: _Trial) -> _Trial:
        both = TensorDict.cat([self.generated, other.generated])
        return replace(self, generated=both)

    def result(self) -> dict[str, Value]:
        # trees see the order of rows, which must not depend on how they came in
        values = self._values("utility", of_table(self.generated), "samples")
        if self.held is not None and len(self.held) > 1:
            own = "the player's own real rows"
            if len(self.held) < self.held_count:
                own = f"{len(self.held):,} of {self.held_count:,} of {own}"
            values |= self._values("utility_of_real", of_table(self.held), own)
        return values

    def _values(self, name: str, rows: Samples, learned_from: str) -> dict[str, Value]:
        prediction = Prediction.of(rows, self.real, self.space, self.target)
        values = {}
        if "linear" in self.learners:
            values[name] = self._value(prediction, len(rows), f"learned from {learned_from}")
        if "boosted" in self.learners:
            how = f"learned by boosted trees from {learned_from}"
            values[f"{name}_boosted"] = self._value(Boosted.like(prediction), len(rows), how)
        return values

    def _value(self, prediction: Prediction, n: int, how: str) -> Value:
        y_real = prediction.y_real
        n_real = len(y_real)
        if self.space[self.target].kind in ("real", "count"):
            low, value, high = _explained(prediction)
            unit = f"R² of {self.target} on real rows, {how}"
            return Value(value, unit, "higher", n, n_real, low, high)
        hits = int((prediction.categories() == y_real).sum())
        commonest = np.bincount(y_real.astype(np.int64)).max() / n_real
        unit = (
            f"accuracy of {self.target} on real rows, {how}; always the commonest category gives "
            f"{commonest:.2f}"
        )
        return share_value(hits, n_real, unit, "higher", n, n_real)


def _explained(prediction: Prediction) -> tuple[float, float, float]:
    """Return R² on the real rows, between the ends of its 95 % interval."""
    y_real = prediction.y_real.astype(np.float64)
    errors = prediction.squared_errors()

    def explained(rows: np.ndarray) -> float:
        total = ((y_real[rows] - y_real[rows].mean()) ** 2).sum()
        return float(1 - errors[rows].sum() / total) if total else float("nan")

    rng = np.random.default_rng(0)
    drawn = [explained(rng.integers(0, len(y_real), len(y_real))) for _ in range(_REPLICATES)]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return float(low), explained(np.arange(len(y_real))), float(high)


class Utility(Metric):
    """Train on synthetic, test on real: how well a target is predicted by what samples teach.

    ``utility`` is the accuracy on real rows (R² for a number) of a linear model that was fitted to
    the samples; ``utility_of_real`` is that of the same model fitted to the player's own real rows,
    where these are known, or to those among 20,000 of them, as its unit then says. Samples that
    lack real structure fall behind it. The model is logistic regression for a category and ridge
    regression for a number, on all other variables in standard units. ``utility_boosted`` and
    ``utility_of_real_boosted`` are the same of gradient-boosted trees, which learn what is not
    linear, too. The intervals are Wilson's for accuracy, and over real rows drawn again for R²;
    that the samples vary is not in them.

    Args:
        target: The variable that is predicted; without one, the class.
        learners: By which models: ``linear``, ``boosted`` or both.

    References:
        Real-valued (Medical) Time Series Generation with Recurrent Conditional GANs (C. Esteban,
        S. L. Hyland, G. Rätsch, 2017), arXiv:1706.02633, for the name and the idea.
    """

    meanings: ClassVar[Mapping[str, str]] = {
        "utility": (
            "how well a linear model that learned from samples alone predicts the target on real "
            "rows; 1 is best, and utility of real rows is what to expect"
        ),
        "utility_of_real": (
            "how well a linear model that learned from the player's own real rows predicts the "
            "target on others"
        ),
        "utility_boosted": (
            "how well boosted trees that learned from samples alone predict the target on real "
            "rows; 1 is best"
        ),
        "utility_of_real_boosted": (
            "how well boosted trees that learned from the player's own real rows predict the "
            "target on others"
        ),
    }

    citation: ClassVar[tuple[str, ...]] = ()
    needs_classifier: ClassVar[bool] = False

    target: str | None = None
    learners: tuple[Learner, ...] = Field(default=("linear", "boosted"), min_length=1)

    @property
    def fewest(self) -> int:
        """Two rows on each side."""
        return 2

    def aimed(self, target: str | None) -> Self:
        """Return the metric with a target, where it names none itself."""
        if target is None or self.target is not None:
            return self
        return self.model_copy(update={"target": target})

    def _target(self) -> str:
        return self.target or LABEL

    def obstacle(self, observed: Observed) -> str:
        """Say that the target is missing, or that nothing is left to predict it from."""
        target = self._target()
        reference = observed.reference
        rows = reference.whole
        if target not in reference.space_of_rows or target not in rows.keys():
            if self.target is None:
                return NO_TARGET
            return f"the real rows lack the target {target!r}"
        if target not in observed.samples.keys():
            return f"the samples lack the target {target!r}"
        variable = reference.space_of_rows[target]
        if variable.shape:
            return f"the target {target!r} is no single number"
        if not self._inputs(observed):
            return "samples and real rows have no other variable in common"
        space = reference.space_of_rows
        kept = self._complete(space, target, observed, rows)
        generated = self._complete(space, target, observed, observed.samples)
        return self.want_of_samples(len(generated), len(kept))

    def _inputs(self, observed: Observed) -> list[str]:
        """Return the variables by which the target is predicted: those that all sides have."""
        rows = observed.reference.whole
        sides = [rows, observed.samples]
        if observed.held is not None:
            sides.append(observed.held)
        names = []
        for name in observed.reference.space_of_rows:
            if name != self._target() and all(name in side.keys() for side in sides):
                names.append(name)
        return names

    def _complete(self, space: Space, target: str, observed: Observed, rows: Samples) -> Samples:
        """Return the rows without missing values."""
        chosen = [*self._inputs(observed), target]
        return pick(rows.select(*chosen), are_complete(rows, space.only(chosen)))

    def observe(self, observed: Observed) -> Stat:
        """Keep the rows of all sides, those with missing values left out."""
        target = self._target()
        space = observed.reference.space_of_rows
        rows = self._complete(space, target, observed, observed.reference.whole)
        generated = self._complete(space, target, observed, observed.samples)
        held = observed.held
        count = 0
        if held is not None and target in held.keys():
            chosen = space.only([*self._inputs(observed), target])
            count = int(are_complete(held, chosen).sum())
            held = self._complete(space, target, observed, spaced(held, _MOST_HELD))
        else:
            held = None
        chosen = space.only([name for name in space if name in rows.keys()])
        return _Trial(chosen, target, rows, generated, held, self.learners, count)
