"""What an audit is given, and what comes of it: rows of both kinds, and numbers with intervals.

*Members* are rows that the site's model may have learned from, *controls* are rows of the same kind
that no model learned from: they were held out at random before anything was learned, whole units
at a time. Given the samples, both are exchangeable where a model keeps nothing of its members, and
whatever an attack does to both alike then succeeds equally often. *Reference* rows show an attacker
what rows look like of which no model knows; they are never counted. Rows that chose a model may be
reference and are never controls.

Everything is counted by unit: a unit's score is the largest of its rows', or one row stands for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from coplay.core.space import Samples, Space, join, pick
from coplay.core.streams import stream


@dataclass(frozen=True)
class Figure:
    """One number of an audit.

    Args:
        attack: What was tried, such as ``density ratio``.
        name: What was counted, such as ``AUC``.
        value: The number.
        low: Lower end of its 95 % interval.
        high: Its upper end; None for a bound that has only a lower one.
        chance: What it is where the model keeps nothing of its members.
        n: Members that were attacked: units, or rows without units.
        n_control: Controls that were attacked.
        meaning: What it can and cannot show, in a sentence.
        of: The column that it is about; empty for none.
        hits: On how many members the attack succeeded; None where that is not what is counted.
        hits_control: On how many controls.
        promised: The ε that the site promises, of a bound on ε; None for none.
    """

    attack: str
    name: str
    value: float
    low: float
    high: float | None
    chance: float
    n: int
    n_control: int
    meaning: str
    of: str = ""
    hits: int | None = None
    hits_control: int | None = None
    promised: float | None = None

    @property
    def is_alarming(self) -> bool:
        """Whether its whole interval lies above chance."""
        return self.low > self.chance

    @property
    def breaks_promise(self) -> bool:
        """Whether its whole interval lies above what the site promises."""
        return self.promised is not None and self.low > self.promised

    def json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Side:
    """Rows of one kind.

    Args:
        rows: The rows, n of them.
        units: Number of the unit of each, from 0 on, shape (n,); None where each is one of its own.
    """

    rows: Samples
    units: Tensor | None = None

    @property
    def count(self) -> int:
        """Number of units."""
        if self.units is None:
            return len(self.rows)
        return int(self.units.max()) + 1 if len(self.units) else 0

    def by_unit(self, scores: Tensor) -> Tensor:
        """Return the largest score of each unit's rows, shape (units,).

        Args:
            scores: One for each row, shape (n,).
        """
        if self.units is None:
            return scores
        empty = torch.full((self.count,), -torch.inf, dtype=scores.dtype)
        return empty.scatter_reduce(0, self.units, scores, "amax")

    def some(self, units: Tensor) -> Side:
        """Return the rows of some units, which get new numbers in the order in which they come.

        Args:
            units: Numbers of units, none of them twice.
        """
        if self.units is None:
            return Side(pick(self.rows, units))
        place = torch.full((self.count,), -1)
        place[units] = torch.arange(len(units))
        new = place[self.units]
        kept = new >= 0
        return Side(pick(self.rows, kept.nonzero().flatten()), new[kept])

    def one_each(self, purpose: str) -> Side:
        """Return one row of each unit, chosen at random.

        Args:
            purpose: Names the random stream.
        """
        if self.units is None:
            return self
        order = torch.randperm(len(self.rows), generator=stream(0, "one of a unit", purpose))
        first = torch.full((self.count,), len(self.rows))
        first.scatter_reduce_(0, self.units[order], torch.arange(len(order)), "amin")
        return Side(pick(self.rows, order[first]))

    def and_also(self, other: Side) -> Side:
        """Return the rows of both; units of one are none of the other."""
        rows = join([self.rows, other.rows])
        if self.units is None and other.units is None:
            return Side(rows)
        ours = torch.arange(self.count) if self.units is None else self.units
        theirs = torch.arange(other.count) if other.units is None else other.units
        return Side(rows, torch.cat([ours, theirs + self.count]))


@dataclass(frozen=True)
class Coins:
    """Units of which a fair coin decided whether they were learned from.

    Args:
        members: Numbers of those that were, among the members.
        controls: Numbers of those that were not, among the controls.
        replaced: Whether another unit was learned from in the place of each that was not, so that
            two outcomes of a coin differ by two units and not by one.
    """

    members: Tensor
    controls: Tensor
    replaced: bool

    @property
    def count(self) -> int:
        """Number of coins."""
        return len(self.members) + len(self.controls)

    def at_most(self, count: int) -> Coins:
        """Return some of the coins, chosen whatever they showed, so that they stay fair."""
        order = torch.randperm(self.count, generator=stream(0, "coins of an audit"))[:count]
        heads = order[order < len(self.members)]
        tails = order[order >= len(self.members)] - len(self.members)
        return Coins(self.members[heads], self.controls[tails], self.replaced)


@dataclass(frozen=True)
class AuditRows:
    """The rows of an audit.

    Args:
        space: The variables that all have.
        members: Rows that may have been learned from.
        controls: Rows that no model learned from, of the same kind.
        reference: Rows that no model learned from and that are not counted.
        coins: Units whose membership was decided by coins; None for none.
    """

    space: Space
    members: Side
    controls: Side
    reference: Samples
    coins: Coins | None = None

    @classmethod
    def of(
        cls,
        space: Space,
        members: Side,
        controls: Side,
        reference: Samples,
        coins: Coins | None = None,
    ) -> Self:
        """Return the rows with the variables that all of them have."""
        sides = (members.rows, controls.rows, reference)
        known = set.intersection(*(set(map(str, side.keys())) for side in sides))
        shared = [name for name in space if name in known]
        kept = space.only(shared)
        return cls(
            kept,
            replace(members, rows=kept.restrict(members.rows)),
            replace(controls, rows=kept.restrict(controls.rows)),
            kept.restrict(reference),
            coins,
        )

    def only(self, names: Sequence[str]) -> AuditRows:
        """Return the rows with some of the variables."""
        return AuditRows.of(
            self.space.only(names), self.members, self.controls, self.reference, self.coins
        )

    def at_most(self, count: int) -> AuditRows:
        """Return at most so many units of each kind, chosen at random; those of coins come first.

        Args:
            count: The most members, the most controls and the most reference rows.
        """
        coins = None if self.coins is None else self.coins.at_most(count)
        heads, tails = (None, None) if coins is None else (coins.members, coins.controls)
        ours = _chosen(self.members.count, count, "members", heads)
        theirs = _chosen(self.controls.count, count, "controls", tails)
        if coins is not None:  # these are the first of those that were chosen
            first = (torch.arange(len(coins.members)), torch.arange(len(coins.controls)))
            coins = Coins(*first, coins.replaced)
        reference = self.reference
        if len(reference) > count:
            reference = pick(reference, _chosen(len(reference), count, "reference", None))
        return AuditRows(
            self.space, self.members.some(ours), self.controls.some(theirs), reference, coins
        )


def _chosen(total: int, most: int, purpose: str, first: Tensor | None) -> Tensor:
    """Return numbers of units: those that come first, and then others at random."""
    order = torch.randperm(total, generator=stream(0, "units of an audit", purpose))
    if first is None:
        return order[:most].sort().values
    rest = order[~torch.isin(order, first)]
    return torch.cat([first, rest])[:most]


Progress = Callable[[str], None]
"""Is called with what an audit does now."""
