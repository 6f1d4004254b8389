"""How well samples of a table have the distribution of real rows: each variable, each pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np
from pydantic import Field
from tensordict import TensorDict

from coplay.core.space import Samples, Space, pick
from coplay.metrics.base import Metric, Observed, Stat, Value, normal_interval
from coplay.metrics.columns import MOST, TableColumn, table_columns
from coplay.metrics.rows import of_table

_BINS = 10
_LISTED = 10  # pairs that are recorded one by one: those that are met worst


def ks_complement(real: np.ndarray, generated: np.ndarray) -> float:
    """Return 1 − sup |F − G| for the empirical distributions of two sets of numbers.

    Args:
        real: Shape (n,), at least one number.
        generated: Shape (m,), at least one number.

    Example:
        >>> ks_complement(np.array([1.0, 2.0]), np.array([1.0, 2.0]))
        1.0
        >>> ks_complement(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
        0.5
    """
    ends = np.concatenate([real, generated])
    below = np.searchsorted(np.sort(real), ends, side="right") / len(real)
    below_generated = np.searchsorted(np.sort(generated), ends, side="right") / len(generated)
    return float(1 - np.abs(below - below_generated).max())


def tv_complement(real: np.ndarray, generated: np.ndarray) -> float:
    """Return 1 − ½ Σ |p − q| for the shares of categories.

    Args:
        real: Counts of the categories.
        generated: Counts of the same categories.

    Example:
        >>> tv_complement(np.array([3, 1]), np.array([2, 2]))
        0.75
    """
    difference = real / real.sum() - generated / generated.sum()
    return float(max(0.0, 1 - np.abs(difference).sum() / 2))


def column_similarity(real: TableColumn, generated: TableColumn) -> float:
    """Compare one column over the rows in which it is present; NaN where there is none."""
    ours, theirs = real.values[real.present], generated.values[generated.present]
    if not len(ours) or not len(theirs):
        return float("nan")
    if not real.categories:
        return ks_complement(ours, theirs)
    counts = [
        np.bincount(values.astype(np.int64), minlength=real.categories) for values in (ours, theirs)
    ]
    return tv_complement(counts[0], counts[1])


def pair_similarity(
    real: tuple[TableColumn, TableColumn], generated: tuple[TableColumn, TableColumn]
) -> float:
    """Compare how two columns go together, over the rows in which both are present.

    Of two numbers it is 1 − |ρ − ρ'| / 2 with Pearson's correlations. Otherwise it is the
    complement of the total variation of the joint shares, with numbers in tenths of the real rows.

    Returns:
        NaN where it cannot be said: without rows, or where a number does not vary.
    """
    pairs = []
    for first, second in (real, generated):
        both = first.present & second.present
        pairs.append((first.values[both], second.values[both]))
    if not len(pairs[0][0]) or not len(pairs[1][0]):
        return float("nan")
    if not real[0].categories and not real[1].categories:
        correlations = [_correlation(*pair) for pair in pairs]
        return 1 - abs(correlations[0] - correlations[1]) / 2
    joint = []
    codes = [_coded(real[k], pairs[0][k], pairs[1][k]) for k in (0, 1)]
    sizes = [int(np.concatenate(code).max()) + 1 for code in codes]
    for side in (0, 1):
        cells = codes[0][side] * sizes[1] + codes[1][side]
        joint.append(np.bincount(cells, minlength=sizes[0] * sizes[1]))
    return tv_complement(joint[0], joint[1])


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    if len(first) < 2 or not first.std() or not second.std():
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _coded(
    column: TableColumn, real: np.ndarray, generated: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the category of each value, or the tenth of the real ones that a number lies in."""
    if column.categories:
        return real.astype(np.int64), generated.astype(np.int64)
    edges = np.unique(np.quantile(real, np.linspace(0, 1, _BINS + 1)[1:-1]))
    return np.searchsorted(edges, real), np.searchsorted(edges, generated)


@dataclass(frozen=True)
class _Rows(Stat):
    space: Space
    real: Samples
    generated: Samples
    replicates: int

    def merge(self, other: _Rows) -> _Rows:
        both = TensorDict.cat([self.generated, other.generated])
        return _Rows(self.space, self.real, both, self.replicates)

    def result(self) -> dict[str, Value]:
        # rows are drawn again by their places, which must not depend on the order they came in
        real, generated = of_table(self.real), of_table(self.generated)
        ours = {column.name: column for column in table_columns(self.space, real)}
        theirs = {column.name: column for column in table_columns(self.space, generated)}
        names = [name for name in ours if name in theirs]
        columns = [(ours[name], theirs[name]) for name in names]
        values = self._of_columns(columns)
        return values | self._of_pairs(columns)

    def _of_columns(self, columns: Sequence[tuple[TableColumn, TableColumn]]) -> dict[str, Value]:
        def similarities(rows: _Choice) -> np.ndarray:
            return np.array([column_similarity(*rows.pick(pair)) for pair in columns])

        each = similarities(_ALL)
        values = {}
        for (real, _), similarity in zip(columns, each, strict=True):
            statistic = "TVComplement" if real.categories else "KSComplement"
            if np.isfinite(similarity):
                name = f"{statistic} {real.name}"
                values[name] = self._value(similarity, statistic, of=(real.name,))
        if not values:
            return {}
        unit = (
            f"mean of KSComplement and TVComplement over {len(values)} columns, 1 is best"
            f"{self._left_out(values)}"
        )
        spread = self._spread(lambda rows: _mean(similarities(rows)))
        mean = self._value(_mean(each), unit, spread)
        return {"column_fidelity": mean} | values

    def _left_out(self, values: Mapping[str, Value]) -> str:
        """Say which variables are in no value, and why; empty if all are."""
        columns = [value.of[0] for value in values.values()]
        reasons = []
        for name in self.space:
            if any(column == name or column.startswith(f"{name}[") for column in columns):
                continue
            if name not in self.real.keys():
                reasons.append(f"the real rows lack {name!r}")
            elif name not in self.generated.keys():
                reasons.append(f"the samples lack {name!r}")
            elif self.space[name].is_image:
                reasons.append(f"{name!r} is an image")
            else:
                reasons.append(f"every value of {name!r} is missing")
        return "".join(f"; {reason}" for reason in reasons)

    def _of_pairs(self, columns: Sequence[tuple[TableColumn, TableColumn]]) -> dict[str, Value]:
        pairs = list(combinations(range(len(columns)), 2))

        def similarities(rows: _Choice) -> np.ndarray:
            chosen = [rows.pick(pair) for pair in columns]
            each = []
            for i, j in pairs:
                real, generated = (chosen[i][0], chosen[j][0]), (chosen[i][1], chosen[j][1])
                each.append(pair_similarity(real, generated))
            return np.array(each)

        each = similarities(_ALL) if pairs else np.zeros(0)
        known = np.flatnonzero(np.isfinite(each))
        if not len(known):
            return {}
        unit = (
            f"mean of CorrelationSimilarity and ContingencySimilarity over {len(known)} pairs of "
            "columns, 1 is best"
        )
        # pairs are many, and their mean hardly varies: a few replicates show how much
        few = self.replicates if len(pairs) <= 50 else min(self.replicates, 10)
        spread = self._spread(lambda rows: _mean(similarities(rows)), few)
        values = {"pair_fidelity": self._value(_mean(each), unit, spread)}
        for place in known[np.argsort(each[known], kind="stable")][:_LISTED].tolist():
            first, second = (columns[k][0] for k in pairs[place])
            is_correlation = not first.categories and not second.categories
            kind = "CorrelationSimilarity" if is_correlation else "ContingencySimilarity"
            of = (first.name, second.name)
            values[f"{kind} {first.name}, {second.name}"] = self._value(each[place], kind, of=of)
        return values

    def _spread(self, statistic: Callable[[_Choice], float], replicates: int = 0) -> float:
        """Return the standard error of a statistic over rows drawn again."""
        rng = np.random.default_rng(0)
        drawn = []
        for _ in range(replicates or self.replicates):
            real = rng.integers(0, len(self.real), len(self.real))
            generated = rng.integers(0, len(self.generated), len(self.generated))
            drawn.append(statistic(_Choice(real, generated)))
        return float(np.nanstd(drawn, ddof=1))

    def _value(
        self, similarity: float, unit: str, error: float | None = None, of: tuple[str, ...] = ()
    ) -> Value:
        low = high = None
        if error is not None:
            ends = normal_interval(similarity, error)
            low, high = max(0.0, ends[0]), min(1.0, ends[1])
        n, n_real = len(self.generated), len(self.real)
        return Value(float(similarity), unit, "higher", n, n_real, low, high, of)


@dataclass(frozen=True)
class _Choice:
    """Rows drawn again from both sides; None for all as they are."""

    real: np.ndarray | None = None
    generated: np.ndarray | None = None

    def pick(self, pair: tuple[TableColumn, TableColumn]) -> tuple[TableColumn, TableColumn]:
        real, generated = pair
        if self.real is None or self.generated is None:
            return pair
        return (
            TableColumn(real.name, real.values[self.real], real.categories),
            TableColumn(generated.name, generated.values[self.generated], generated.categories),
        )


_ALL = _Choice()


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


class Fidelity(Metric):
    """Whether the samples of a table are distributed like real rows.

    ``column_fidelity`` is the mean over columns of KSComplement (numbers: 1 − sup |F − G|) and
    TVComplement (categories: 1 − ½ Σ |p − q|). ``pair_fidelity`` is the mean over pairs of columns
    of CorrelationSimilarity (two numbers: 1 − |ρ − ρ'| / 2) and ContingencySimilarity (otherwise:
    TVComplement of the joint shares, numbers in tenths of the real rows). Both lie in [0, 1], and 1
    is best; finite sets of rows of one distribution stay below it. Each column is recorded, and the
    ten pairs that are met worst. Images are left out; missing values are left out by row.

    The intervals are those of a normal distribution with the standard error over rows drawn again:
    they say how much a value varies with the rows, at these numbers of rows.

    Args:
        replicates: How often rows are drawn again.

    References:
        The names and the definitions are those of SDMetrics (docs.sdv.dev/sdmetrics), but for the
        bins: there they are of equal width.
    """

    meanings: ClassVar[Mapping[str, str]] = {
        "column_fidelity": (
            "how well samples meet the distribution of each column, the mean over columns; 1 is "
            "best, and finite tables stay a little below it"
        ),
        "pair_fidelity": (
            "how well samples meet the way two columns go together, the mean over pairs; 1 is "
            "best, and finite tables stay a little below it"
        ),
    }

    citation: ClassVar[tuple[str, ...]] = ()
    needs_classifier: ClassVar[bool] = False

    replicates: int = Field(default=20, ge=2, le=10_000)

    @property
    def fewest(self) -> int:
        """Two rows on each side."""
        return 2

    def obstacle(self, observed: Observed) -> str:
        """Say that there is no table, or too large a one."""
        rows = observed.reference.whole
        names = [name for name in observed.reference.space_of_rows if name in rows.keys()]
        shared = [name for name in names if name in observed.samples.keys()]
        if not shared:
            return "samples and real rows have no variable in common"
        space = observed.reference.space_of_rows.only(shared)
        columns = table_columns(space, pick(rows, slice(1)))
        if not columns:
            return "it compares numbers and categories, and the variables are images"
        if len(columns) > MOST:
            return f"it compares at most {MOST} columns, and there are {len(columns):,}"
        return self.want_of_samples(len(observed.samples), len(rows))

    def observe(self, observed: Observed) -> Stat:
        """Keep the rows of both sides."""
        reference = observed.reference
        return _Rows(reference.space_of_rows, reference.whole, observed.samples, self.replicates)
