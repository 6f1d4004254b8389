"""Whether samples are copies of the rows that a player learned from; no score says so.

A model that repeats its training rows looks real to every score that compares with real samples.
So wherever a player's rows are at hand, the samples among them are counted: rows that are equal to
a training row, and, where there are numbers, rows that are far nearer to one than real rows are.
Rows of a few bits or classes coincide honestly. Held-out rows, from which no player learned, show
how often, and so do training rows that are equal to another training row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from coplay.core.scaling import Scaling
from coplay.core.space import LABEL, Samples, Space, pick
from coplay.metrics.base import wilson
from coplay.metrics.memorisation import nearest_distances
from coplay.metrics.rows import even_order, row_keys

_NEAR = 0.2  # of the median distance of held-out rows: what is nearer counts as a near-copy
_FEWEST = 3  # copies that are no accident where rows never coincide
_LIKELY = 20  # held-out rows from which they say how often rows coincide
_COMPARED = 1000  # samples, at most, whose nearest training row is looked for
_WORK = 1e10  # products, at most, for that


@dataclass(frozen=True)
class Matches:
    """How many of some rows match a training row.

    Args:
        hits: Number of rows that do.
        n: Number of rows that were looked at.
    """

    hits: int
    n: int

    @property
    def share(self) -> tuple[float, float]:
        """The 95 % interval of the share that matches; from 0 to 1 where nothing was looked at."""
        return wilson(self.hits, self.n) if self.n else (0.0, 1.0)

    def __str__(self) -> str:
        return f"{self.hits:,} of {self.n:,}"


@dataclass(frozen=True)
class Copies:
    """How many samples are copies of training rows, and how many held-out rows are.

    Args:
        equal: Samples that are equal to a training row.
        equal_real: Held-out rows that are.
        repeated: Training rows that are equal to another one.
        near: Samples that are much nearer to a training row than held-out rows usually are; none
            were looked at where there are no numbers to be near by.
        near_real: Held-out rows that are.
        discrete: Whether all variables are bits, classes or counts, which coincide by chance.
    """

    equal: Matches
    equal_real: Matches
    repeated: Matches
    near: Matches
    near_real: Matches
    discrete: bool

    @property
    def any(self) -> bool:
        """Whether any sample is a copy, or all but one."""
        return self.equal.hits + self.near.hits > 0

    @property
    def warning(self) -> str:
        """Say that samples are copies of training rows; empty if there are no more than usual."""
        if self._are_too_many(self.equal, self.equal_real):
            whole = f"{self.equal} samples are copies of its training rows"
            return f"{whole} ({self._usual(self.equal_real)})"
        if self._are_too_many(self.near, self.near_real):
            whole = f"{self.near} samples are all but copies of its training rows"
            return f"{whole} ({self._usual(self.near_real)})"
        return ""

    def _are_too_many(self, generated: Matches, real: Matches) -> bool:
        """Whether more samples match than real rows would."""
        usual = real
        if real.n < _LIKELY:
            usual = self.repeated
        if self.discrete and self.repeated.n:
            # rows of a player with some classes only coincide more often than all held-out rows
            usual = max(usual, self.repeated, key=lambda matches: matches.share[1])
        # equal continuous rows are no chance; near ones may be, where rows lie close together
        is_no_chance = generated is self.equal and not self.discrete
        if is_no_chance and not (usual.hits or self.repeated.hits):
            return generated.hits >= _FEWEST
        return generated.share[0] > usual.share[1]

    def _usual(self, real: Matches) -> str:
        if real.n:
            return f"held-out rows: {real}"
        return f"training rows that another one equals: {self.repeated}"


class TrainingRows:
    """The rows that a player learned from, ready to be compared with samples again and again.

    Args:
        held: The training rows, at least one.
        real: Held-out rows; they may have more variables.
        space: The variables.

    Example:
        >>> from coplay import Variable
        >>> space = Space({"x": Variable(kind="real")})
        >>> rows = space.samples(x=torch.arange(40.0))
        >>> held_out = space.samples(x=torch.arange(40.0) + 0.5)
        >>> training = TrainingRows(rows, held_out, space)
        >>> training.copies_among(space.samples(x=torch.tensor([7.0, 8.0, 9.0, 9.5]))).warning
        '3 of 4 samples are copies of its training rows (held-out rows: 0 of 40)'
    """

    def __init__(self, held: Samples, real: Samples, space: Space) -> None:
        self._held = held
        self._real = real
        self._space = space
        self._compared: _Compared | None = None

    def copies_among(self, samples: Samples) -> Copies | None:
        """Count copies among samples; None where nothing but a class can be compared."""
        names = []
        for name in self._space:
            if name != LABEL and name in samples.keys() and name in self._held.keys():
                names.append(name)
        if not names:
            return None
        space = self._space.only(names)
        compared = self._compared
        if compared is None or compared.space != space:
            compared = _Compared(self._held, self._real, space)
            self._compared = compared
        near, near_real = compared.near(samples)
        return Copies(
            equal=compared.equal(samples),
            equal_real=compared.equal_real,
            repeated=compared.repeated,
            near=near,
            near_real=near_real,
            discrete=compared.discrete,
        )


class _Compared:
    """Training and held-out rows with the variables that samples have, too.

    Args:
        held: The training rows.
        real: The held-out rows.
        space: The variables that are compared.
    """

    def __init__(self, held: Samples, real: Samples, space: Space) -> None:
        self.space = space
        self.held = space.restrict(held)
        complete = all(name in real.keys() for name in space)
        self.real = space.restrict(real) if complete and len(real) else None
        self.discrete = all(space[name].kind != "real" for name in space)

    @cached_property
    def _keys(self) -> Tensor:
        return _keys(self.held, self.space)

    @cached_property
    def _scaling(self) -> Scaling:
        scaling = Scaling(self.space)
        scaling.follow([self.held], [1.0])
        return scaling

    def equal(self, samples: Samples) -> Matches:
        """Count rows that are equal to a training row."""
        keys = _keys(samples, self.space).numpy()
        return Matches(int(np.isin(keys, self._keys.numpy()).sum()), len(keys))

    @cached_property
    def equal_real(self) -> Matches:
        """Count held-out rows that are equal to a training row."""
        return Matches(0, 0) if self.real is None else self.equal(self.real)

    @cached_property
    def repeated(self) -> Matches:
        """Count training rows that are equal to another one."""
        _, inverse, counts = self._keys.unique(return_inverse=True, return_counts=True)
        return Matches(int((counts[inverse] > 1).sum()), len(self._keys))

    def near(self, samples: Samples) -> tuple[Matches, Matches]:
        """Count samples and held-out rows that are all but equal to a training row."""
        if self.discrete or self.real is None or len(self.real) < _LIKELY:
            return Matches(0, 0), Matches(0, 0)
        usual = self._real_distances
        limit = _NEAR * usual.median().item()
        distances = self._distances(samples)
        generated = Matches(int((distances < limit).sum()), len(distances))
        return generated, Matches(int((usual < limit).sum()), len(usual))

    @cached_property
    def _real_distances(self) -> Tensor:
        assert self.real is not None
        return self._distances(self.real)

    def _distances(self, samples: Samples) -> Tensor:
        """Return the distance to the nearest training row, for as many rows as time allows."""
        size = sum(self.space[name].size for name in self.space)
        most = int(_WORK / max(1, size * len(self.held)))
        rows = self.space.restrict(samples)
        chosen = even_order(row_keys(rows, self.space))[: min(_COMPARED, max(_LIKELY, most))]
        return nearest_distances(self.space, pick(rows, chosen), self.held, self._scaling)


def _keys(samples: Samples, space: Space) -> Tensor:
    """Return one number per row by its values, whatever their type, shape (n,)."""
    columns = {}
    for name in space:
        values = samples[name]
        if values.is_floating_point():
            # one type for all, and one zero
            values = values.to(torch.float32) + 0.0
        columns[name] = values
    return row_keys(space.samples(**columns), space)


def warned(copies: Sequence[tuple[str, Copies]]) -> list[str]:
    """Return the warnings of several players, each with its name.

    Example:
        >>> none = Matches(0, 0)
        >>> many = Copies(Matches(588, 2000), Matches(3, 497), none, none, none, discrete=True)
        >>> warned([("north", many)])
        ['north: 588 of 2,000 samples are copies of its training rows (held-out rows: 3 of 497)']
    """
    return [f"{player}: {each.warning}" for player, each in copies if each.warning]
