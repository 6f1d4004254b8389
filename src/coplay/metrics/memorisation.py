"""Whether a player generates what it learned from, or something new."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from pydantic import Field
from tensordict import TensorDict
from torch import Tensor

from coplay.core.scaling import Scaling
from coplay.core.space import Samples, Space, pick
from coplay.metrics.base import Metric, Observed, Stat, Value, complete, share_value, wilson
from coplay.metrics.columns import MOST
from coplay.metrics.near_rows import NearRows
from coplay.metrics.rows import even_order, of_table, row_keys, spaced

# Distances are computed for so many rows at a time: 2,000 × 5,000 are 40 MB.
_QUERIES = 2000
_HELD = 5000
_QUANTILE = 0.05
_WORK = 5e8  # operations on numbers, for each side of a table: about a second
_LEAST = 100  # rows that are compared whatever it takes
_MOST_HELD = 100_000  # rows of a table among which the nearest is looked for
_PARTIAL_FROM = 3  # columns; of two, one that agrees says nothing

COPIES = "copies_share"
PARTIAL = "partial_copies_share"


def nearest_distances(
    space: Space, samples: Samples, held: Samples, scaling: Scaling | None = None
) -> Tensor:
    """Return the Euclidean distance of each sample to the nearest held one, shape (n,), float64.

    Args:
        space: The variables to compare, side by side.
        samples: Any samples, n of them.
        held: The samples among which the nearest is looked for, at least one.
        scaling: The scales in which they are compared; None compares numbers as they are.

    Example:
        >>> from coplay import Variable
        >>> space = Space({"x": Variable(kind="real", shape=(2,))})
        >>> held = space.samples(x=torch.tensor([[0.0, 0.0], [9.0, 9.0]]))
        >>> samples = space.samples(x=torch.tensor([[3.0, 4.0], [9.0, 9.0]]))
        >>> nearest_distances(space, samples, held)
        tensor([5., 0.], dtype=torch.float64)
    """
    scaling = scaling or Scaling(space, plain=True)
    nearest = _nearest(scaling, samples, held)
    # the distance itself comes from the difference, so that a copy has exactly 0
    distances = []
    for start in range(0, len(samples), _QUERIES):
        rows = slice(start, start + _QUERIES)
        difference = scaling.vectors(pick(samples, rows), torch.float64)
        difference.sub_(scaling.vectors(pick(held, nearest[rows]), torch.float64))
        distances.append(difference.square_().sum(1).sqrt())
    return torch.cat(distances)


def _nearest(scaling: Scaling, samples: Samples, held: Samples) -> Tensor:
    """Return the position of the held sample that is nearest to each sample, shape (n,)."""
    # far from the origin, products would lose the digits
    middle = scaling.vectors(pick(held, slice(_HELD))).mean(0)
    queries = scaling.vectors(samples).sub_(middle)
    best = torch.full((len(samples),), torch.inf)
    nearest = torch.zeros(len(samples), dtype=torch.long)
    for first in range(0, len(held), _HELD):
        candidates = scaling.vectors(pick(held, slice(first, first + _HELD))).sub_(middle)
        norms = candidates.square().sum(1)
        for start in range(0, len(queries), _QUERIES):
            rows = slice(start, start + _QUERIES)
            # ‖q − p‖² less ‖q‖², which does not change which p is nearest
            least, which = torch.addmm(norms, queries[rows], candidates.T, alpha=-2).min(1)
            is_nearer = least < best[rows]
            best[rows] = torch.where(is_nearer, least, best[rows])
            nearest[rows] = torch.where(is_nearer, first + which, nearest[rows])
    return nearest


@dataclass(frozen=True)
class _Distances(Stat):
    fake: Tensor
    real: Tensor
    of_held: str = ""

    def merge(self, other: _Distances) -> _Distances:
        return replace(self, fake=torch.cat([self.fake, other.fake]))

    def result(self) -> dict[str, Value]:
        values = {COPIES: _share_of_copies(self.fake, self.real, self.of_held)}
        usual = self.real.median().item()
        # half of the real samples may be copies of held ones; there is no ratio to 0
        if usual > 0:
            ratio = self.fake.quantile(0.5).item() / usual
            unit = f"median distance to the training data{self.of_held} over that of real test "
            unit += "samples"
            n, n_real = len(self.fake), len(self.real)
            values["nearest_training_ratio"] = Value(ratio, unit, None, n, n_real)
        return values


@dataclass(frozen=True)
class _Table(Stat):
    """Rows of a table; distances wait for all of them, since time allows for some only."""

    space: Space
    generated: Samples
    real: Samples
    held: Samples
    most: int
    of_held: str = ""

    def merge(self, other: _Table) -> _Table:
        both = TensorDict.cat([self.generated, other.generated])
        return replace(self, generated=both)

    def result(self) -> dict[str, Value]:
        near = NearRows(self.space, self.held, units=self.real)
        affordable = max(_LEAST, near.affordable(_WORK))
        fake = near.nearness(of_table(self.generated, affordable))
        real = near.nearness(of_table(self.real, min(self.most, affordable)))
        values = _Distances(fake.whole, real.whole, self.of_held).result()
        if near.columns >= _PARTIAL_FROM:
            kept = near.columns - near.left_out
            where = f" in the {kept} of {near.columns} columns that agree best"
            where += self.of_held
            values[PARTIAL] = _share_of_copies(fake.partial, real.partial, where)
        return values


def _share_of_copies(fake: Tensor, real: Tensor, where: str) -> Value:
    """Return the share of samples that are nearer than the 5 % quantile of real ones."""
    copies = int((fake < real.quantile(_QUANTILE)).sum())
    unit = f"share of samples nearer to the training data{where} than 95 % of real test samples"
    return share_value(copies, len(fake), unit, "lower", len(fake), len(real))


def leak(values: Mapping[str, Value]) -> str:
    """Say that samples repeat rows that were learned from; empty where they need not.

    A share counts as too large where its 95 % interval lies above that of the 5 % of real rows that
    are as near.

    Args:
        values: What :class:`Memorisation` measured.

    Example:
        >>> near = share_value(60, 100, "", "lower", 100, 400)
        >>> leak({"partial_copies_share": near})
        '0.60 of the samples repeat a training row in most columns, where 0.05 of real rows do'
        >>> leak({"copies_share": share_value(8, 100, "", "lower", 100, 400)})
        ''
    """
    for name, what in ((COPIES, "a training row"), (PARTIAL, "a training row in most columns")):
        value = values.get(name)
        # how many real rows there are may be told in tens, and as none where they are few
        if value is None or value.low is None or not value.n_real:
            continue
        _, usual = wilson(math.ceil(_QUANTILE * value.n_real), value.n_real)
        if value.low > usual:
            share = f"{value.value:.2f} of the samples repeat {what}"
            return f"{share}, where {_QUANTILE:.2f} of real rows do"
    return ""


class Memorisation(Metric):
    """Distances of generated samples to what the player learned from.

    They are compared with those of real test samples, from which no player learns.

    Distances are Euclidean, over all variables that the domain classifier sees, or all where there
    is none, and in standard units, so that no variable rules by its unit, to the nearest sample
    that the player held.
    ``nearest_training_ratio`` is the median of the generated samples over that of the real ones: 1
    where they are as far as unseen samples are, 0 for copies, above 1 for samples unlike the data.
    ``copies_share`` is the share of generated samples that are strictly nearer than the 5 %
    quantile of the real ones: about 0.05 where nothing is remembered.

    In a table a category counts by agreement, and so do missing values; rows are compared by the
    variables that all sides have, and as many as a second of work allows; the nearest is looked for
    among 100,000 rows that were learned from, which the unit says where there were more.
    ``partial_copies_share`` is there for three columns or more. It leaves out, of each pair of
    rows, the quarter of the columns in which they differ most. So it finds rows that repeat a real
    one but for some columns, which ``copies_share`` misses: they are as far away as the new columns
    say. It is about 0.05, too, where nothing is remembered.

    Where many real test samples are themselves copies of held ones, as among a few binary
    variables, nothing can be nearer: ``copies_share`` is 0, and the ratio is left out where the
    real median is 0. A player that holds and generates some of the classes only is naturally nearer
    to its data than the test samples of all classes.

    Args:
        most: At most so many real test samples are compared; the generated ones are all compared,
            but for tables.

    References:
        A Non-Parametric Test to Detect Data-Copying in Generative Models (C. Meehan et al., AISTATS
        2020), arXiv:2004.05675, for comparing with the distances of unseen samples; our two
        summaries are simpler than its test.
    """

    meanings: ClassVar[Mapping[str, str]] = {
        "copies_share": (
            "the share of samples that lie nearer to rows that were learned from than 95 % of "
            "unseen rows do; about 0.05 where nothing is repeated"
        ),
        "partial_copies_share": (
            "the share of samples that, in the columns that agree best, lie nearer to rows that "
            "were learned from than 95 % of unseen rows do; it finds rows that repeat a real one "
            "but for some columns, and is about 0.05 where nothing is repeated"
        ),
        "nearest_training_ratio": (
            "how far samples lie from rows that were learned from, compared with unseen rows; "
            "about 1 where nothing is repeated, 0 for copies"
        ),
    }

    citation: ClassVar[tuple[str, ...]] = ("meehan2020copying",)
    needs_classifier: ClassVar[bool] = False

    most: int = Field(default=2000, ge=1)

    def obstacle(self, observed: Observed) -> str:
        """Say that what the player learned from is not known, or lacks what is compared."""
        held = observed.held
        if held is None or not len(held):
            return "there are no private samples to compare with"
        if _columns(observed):
            return self.want_of_samples(len(observed.samples), len(observed.reference.whole))
        if not complete(held, observed.reference.space):
            return "the private samples lack variables by which samples are compared"
        space = observed.reference.space
        incomplete = [name for name in space if space[name].optional]
        if incomplete:
            return f"distances cannot be taken to rows with missing values of {incomplete[0]!r}"
        return super().obstacle(observed)

    def observe(self, observed: Observed) -> Stat:
        """Measure the distances, or keep the rows of a table for it."""
        held = observed.held
        assert held is not None
        names = _columns(observed)
        if names:
            space = observed.reference.space_of_rows.only(names)
            generated, real = observed.samples.select(*names), observed.reference.whole
            some = spaced(held.select(*names), _MOST_HELD)
            of_held = f" ({len(some):,} of {len(held):,} rows)" if len(some) < len(held) else ""
            return _Table(space, generated, real.select(*names), some, self.most, of_held)
        space = observed.reference.space
        scaling = observed.reference.scaling
        test = observed.reference.test
        chosen = pick(test, even_order(row_keys(test, space))[: self.most])
        fake = nearest_distances(space, observed.samples, held, scaling)
        return _Distances(fake, nearest_distances(space, chosen, held, scaling))


def _columns(observed: Observed) -> list[str]:
    """Return the variables of a table that all sides have; none where an image is among them."""
    space = observed.reference.space_of_rows
    assert observed.held is not None, "they are compared with what was learned from"
    sides = (observed.samples, observed.reference.whole, observed.held)
    shared = set.intersection(*(set(map(str, side.keys())) for side in sides))
    names = [name for name in space if name in shared]
    # what a domain classifier sees of vectors decides their distances
    is_judged = observed.reference.judge is not None
    is_table = not any(space[n].is_image or (is_judged and space[n].shape) for n in names)
    columns = sum(space[name].size for name in names)
    return names if is_table and columns <= MOST else []
