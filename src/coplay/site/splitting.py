"""Which rows of a site are learned from, which are scored on, and which choose its model.

Usually whole units are drawn until their rows are the share that was asked for; a row more may then
change the purpose of every other. Where a promise is made for a row more or less, each unit is for
a purpose that follows from the unit alone (:func:`steady_split_of`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from coplay.core.errors import DataError
from coplay.core.streams import stream
from coplay.data.words import counted

_MOST_HELD_OUT = 40_000
"""Rows that are held out where their number is not given by a test split."""


@dataclass(frozen=True)
class Split:
    """Positions of a site's rows by what they are for, each in ascending order.

    Args:
        train: To learn from.
        scored: To score on.
        chosen_on: To choose the best model for the site by.
        note: Why fewer are held out than was asked for; empty where as many are.
    """

    train: Tensor
    scored: Tensor
    chosen_on: Tensor
    note: str = ""

    def __str__(self) -> str:
        """What is done with how many rows."""
        held_out = len(self.scored) + len(self.chosen_on)
        return (
            f"{counted(len(self.train), 'row')} to learn from, {held_out:,} held out: "
            f"{len(self.scored):,} to score on and {len(self.chosen_on):,} to choose a model by; "
            f"the same rows in every run{self.note}"
        )


def split_of(
    n: int, share: float, units: np.ndarray | None, tests: np.ndarray | None, site: str
) -> Split:
    """Split the rows of a site, the same way at every call.

    Rows of one unit are for one purpose only.

    Args:
        n: Number of rows.
        share: Share of them that is held out, but no more than 40,000 rows: measuring on more takes
            long and tells no more.
        units: What each row belongs to, shape (n,); None where each row is one of its own.
        tests: Which rows are held out, shape (n,); None where ``share`` of all are drawn.
        site: What errors call it.

    Raises:
        DataError: There are too few rows to hold any out, or a unit lies on both sides.

    Example:
        >>> split = split_of(10, 0.4, None, None, "site 'north'")
        >>> len(split.train), len(split.scored), len(split.chosen_on)
        (6, 2, 2)
        >>> split_of(2, 0.4, None, None, "site 'north'")
        Traceback (most recent call last):
        coplay.core.errors.DataError: site 'north': 2 rows are too few to hold any out: expected ...
    """
    groups = np.arange(n) if units is None else np.unique(units, return_inverse=True)[1]
    note = ""
    if tests is None:
        if share * n > _MOST_HELD_OUT:
            note = f" ({_MOST_HELD_OUT:,} are enough, where held_out = {share:g} would be more)"
            share = _MOST_HELD_OUT / n
        held_out = _drawn(groups, share, _what(groups, units), site)
    else:
        held_out = tests
        _check_sides(groups, tests, units, site)
    held_groups = np.unique(groups[held_out])
    if len(held_groups) < 2 or held_out.all():
        of = "" if units is None else f" (of {counted(len(held_groups), 'unit')})"
        raise DataError(
            f"{site}: {counted(int(held_out.sum()), 'row')} to test on{of} is too little: expected "
            "at least two, one to score on and one to choose a model by, and others to learn from"
        )
    scored = np.isin(groups, _half(held_groups, groups))
    places = [torch.from_numpy(np.flatnonzero(rows)) for rows in _parts(held_out, scored)]
    return Split(places[0], places[1], places[2], note)


def steady_split_of(
    units: Sequence[bytes], share: float, tests: np.ndarray | None, site: str
) -> Split:
    """Split the rows of a site so that a unit more or less changes no other unit's purpose.

    Args:
        units: What each row belongs to, in a few bytes.
        share: Chance of a unit to be held out, where ``tests`` does not say it.
        tests: Which rows are held out, shape (n,); None where they are drawn.
        site: What errors call it.

    Raises:
        DataError: Nothing is left for one of the purposes, or a unit lies on both sides.

    Example:
        >>> units = [f"p{i}".encode() for i in range(100)]
        >>> one, two = (steady_split_of(u, 0.2, None, "site") for u in (units, units[1:]))
        >>> set((two.train + 1).tolist()) <= set(one.train.tolist())
        True
    """
    places = {unit: place_of(unit) for unit in set(units)}
    drawn = np.array([places[unit] for unit in units])
    held_out = drawn < share
    scored = drawn < share / 2
    if tests is not None:
        _, groups = np.unique(np.array(units), return_inverse=True)
        _check_sides(groups, tests, np.array(units), site)
        held_out = tests
        scored = drawn < 0.5
    parts = _parts(held_out, scored)
    if not all(part.any() for part in parts):
        raise DataError(
            f"{site}: there are too few rows to learn from, to score on and to choose a model by; "
            "expected some for each, and at best fifty units or more"
        )
    train, scored_on, chosen_on = (torch.from_numpy(np.flatnonzero(part)) for part in parts)
    return Split(train, scored_on, chosen_on)


def place_of(unit: bytes, purpose: bytes = b"held out") -> float:
    """Return a number in [0, 1) that follows from a unit alone."""
    digest = hashlib.sha256(purpose + b"\0" + unit).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _parts(held_out: np.ndarray, scored: np.ndarray) -> Sequence[np.ndarray]:
    return ~held_out, held_out & scored, held_out & ~scored


def _what(groups: np.ndarray, units: np.ndarray | None) -> str:
    """Write how many rows there are, and of how many units."""
    rows = counted(len(groups), "row")
    return rows if units is None else f"{rows} of {counted(len(set(units)), 'unit')}"


def _drawn(groups: np.ndarray, share: float, what: str, site: str) -> np.ndarray:
    """Choose whole groups at random until their rows are the share, at least two of them."""
    count = int(groups.max(initial=-1)) + 1
    if count < 3:
        verb = "is" if len(groups) == 1 else "are"
        raise DataError(
            f"{site}: {what} {verb} too few to hold any out: expected at least three, one to learn "
            "from, one to score on and one to choose a model by"
        )
    order = torch.randperm(count, generator=stream(0, "held out at a site")).numpy()
    sizes = np.bincount(groups)[order]
    wanted = share * len(groups)
    # the rows of the groups before one are fewer than wanted as long as it is needed
    needed = int((np.cumsum(sizes) - sizes < wanted - 0.5).sum())
    chosen = order[: min(max(needed, 2), count - 1)]
    return np.isin(groups, chosen)


def _half(held: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Choose about half of the groups that are held out, by their rows."""
    order = torch.randperm(len(held), generator=stream(0, "scored at a site")).numpy()
    sizes = np.bincount(groups)[held[order]]
    before = np.cumsum(sizes) - sizes
    needed = int((before < sizes.sum() / 2).sum())
    return held[order[: min(max(needed, 1), len(held) - 1)]]


def _check_sides(
    groups: np.ndarray, tests: np.ndarray, units: np.ndarray | None, site: str
) -> None:
    """Refuse a test split with rows of units that are learned from."""
    both = np.intersect1d(groups[tests], groups[~tests])
    if len(both):
        assert units is not None, "a row of its own lies on one side"
        raise DataError(
            f"{site}: {counted(len(both), 'unit')} of the rows to test on "
            f"{'has' if len(both) == 1 else 'have'} other rows that are learned from; put all rows "
            "of a unit on one side, or leave the test split out, so that coplay holds units out"
        )
