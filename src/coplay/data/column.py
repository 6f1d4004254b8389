"""A variable with its values in both splits, and real numbers in as many bits as they need."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from coplay.core.errors import DataError
from coplay.core.variable import Variable
from coplay.data.words import quoted

EXACT = 2**53
"""Whole numbers up to here are exact in 64-bit floats."""

_AT_ONCE = 1_000_000  # numbers that are looked at at a time

_COARSE = 1e-5
"""Rounding to 32 bits may move a number by this share of its column's range, and no further."""


@dataclass(frozen=True)
class Column:
    """A variable with its values.

    Args:
        variable: What the values are.
        train: Values of the training split, shape (n, …).
        test: Values of the test split, shape (n, …).
        notes: What was converted, in sentences for the reader of the report.
    """

    variable: Variable
    train: Tensor
    test: Tensor
    notes: tuple[str, ...] = ()

    def noted(self, *notes: str) -> Column:
        """Return the column with more notes, which come first."""
        return replace(self, notes=(*notes, *self.notes))


def array_column(variable: Variable, train: np.ndarray, test: np.ndarray) -> Column:
    """Convert arrays to the values of a binary or count variable.

    Args:
        variable: The variable whose values they are.
        train: Values of the training split, shape (n, …).
        test: Values of the test split, shape (n, …).

    Raises:
        DataError: A whole number has more than 63 bits.
    """
    kind = str(variable.dtypes[0]).removeprefix("torch.")
    for values in (train, test):
        if values.dtype == np.uint64 and values.size and values.max() > np.iinfo(np.int64).max:
            raise DataError(f"whole numbers have at most 63 bits here, got {values.max()}")
    return Column(
        variable, torch.from_numpy(train.astype(kind)), torch.from_numpy(test.astype(kind))
    )


def real_column(
    train: np.ndarray, test: np.ndarray, name: str, origin: str, is_exact: bool = False
) -> Column:
    """Convert numbers to a real variable: with 32 bits, or with 64 where 32 would change them.

    32 bits hold seven digits. Whole numbers that they cannot hold exactly, such as dates written
    20230601, are kept with 64 bits, and so are numbers that lie close together far from zero. What
    was 32 bits stays so.

    Args:
        train: Values of the training split, shape (n, …), floats or whole numbers.
        test: Values of the test split.
        name: The variable's name, for the note.
        origin: What errors call the data.
        is_exact: Whether they are kept as they are, such as moments to the second.

    Raises:
        DataError: A whole number is too large for 64-bit floats, or a number for 32-bit ones.

    Example:
        >>> dates = np.array([20230601, 20230602])
        >>> real_column(dates, dates, "date", "x").train.tolist()
        [20230601.0, 20230602.0]
        >>> real_column(np.array([0.5]), np.array([1.5]), "x", "x").train.dtype
        torch.float32
    """
    both = [train, test]
    for values in both:
        _check_exact(values, origin)
        _check_range(values, origin)
    notes: tuple[str, ...] = ()
    kind: type[np.floating] = np.float32
    if is_exact and train.dtype == np.float64:
        kind = np.float64
    elif needs_64_bits(both):
        kind = np.float64
        notes = (f"{quoted(name)}: kept with 64 bits, since 32 would change its numbers",)
    variable = Variable(kind="real", shape=train.shape[1:])
    tensors = [torch.from_numpy(values.astype(kind)) for values in both]
    return Column(variable, tensors[0], tensors[1], notes)


def _check_exact(values: np.ndarray, origin: str) -> None:
    """Refuse whole numbers that even 64-bit floats would change."""
    if values.dtype.kind not in "iu" or not values.size:
        return
    largest = max(abs(int(values.min())), abs(int(values.max())))
    if largest > EXACT:
        raise DataError(
            f"{origin}: whole numbers are exact up to 2**53 = {EXACT:,}, got {largest}; leave them "
            "out if they only name the samples, or read them as classes or texts"
        )


def _check_range(values: np.ndarray, origin: str) -> None:
    """Refuse finite numbers that are infinite in 32 bits, in which networks compute."""
    if values.dtype.kind != "f" or values.dtype in (np.float16, np.float32):
        return
    large = values[np.isfinite(values) & (np.abs(values) > np.finfo(np.float32).max)]
    if large.size:
        raise DataError(
            f"{origin}: expected numbers between ±3.4e38, the range of 32-bit floats, got "
            f"{large.flat[0]:g}"
        )


def needs_64_bits(both: list[np.ndarray]) -> bool:
    """Whether numbers would change when they are stored as 32-bit floats."""
    if all(values.dtype in (np.float16, np.float32) for values in both):
        return False
    low, high, furthest = np.inf, -np.inf, 0.0
    for values in both:
        flat = values.ravel()
        for start in range(0, len(flat), _AT_ONCE):
            part = flat[start : start + _AT_ONCE].astype(np.float64)
            part = part[np.isfinite(part)]
            if not len(part):
                continue
            moved = np.abs(part.astype(np.float32).astype(np.float64) - part)
            if moved[part == np.trunc(part)].any():
                return True
            low, high = min(low, part.min()), max(high, part.max())
            furthest = max(furthest, moved.max())
    return bool(high > low and furthest > _COARSE * (high - low))
