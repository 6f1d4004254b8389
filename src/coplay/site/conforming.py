"""Values as a source read them, made to be those of an agreed variable, or named as wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from coplay.core.components import nearest
from coplay.core.errors import DataError
from coplay.core.variable import Variable
from coplay.data.column import EXACT
from coplay.data.tables.booleans import BITS as BITS  # what both callers of this module use
from coplay.data.words import counted, quoted

OTHER = "other"
"""The agreed category that takes those that are too rare to be agreed on."""


@dataclass(frozen=True)
class Conformed:
    """Values of an agreed variable.

    Args:
        values: Shape (n, …); anything in the rows that are wrong.
        wrong: In which rows a value is not one that was agreed, shape (n,).
        nearest: The values with those that are wrong moved to the nearest end of the range; None
            where there is no such end.
        fault: Says of a row what was expected and what it holds.
        notes: What was converted, in sentences.
    """

    values: Tensor
    wrong: Tensor
    nearest: Tensor | None
    fault: Callable[[int], str]
    notes: tuple[str, ...] = field(default=())

    @property
    def settled(self) -> Conformed:
        """The same without what only wrong values need, where there are none.

        Of a large table, what was read and what it became do not fit beside each other.
        """
        if self.wrong.any():
            return self
        nowhere = torch.zeros(1, dtype=torch.bool).expand(len(self.values))
        return Conformed(self.values, nowhere, None, _right, self.notes)


def _right(row: int) -> str:
    """Return what is wrong with a row where nothing is."""
    return ""


def conformed(agreed: Variable, read: Variable, values: Tensor) -> Conformed:
    r"""Make values those of an agreed variable.

    Categories go by their names. Numbers of another type are widened, never rounded; numbers that
    stand for yes and no, or for categories, become these.

    Args:
        agreed: What the values are to be.
        read: What the source took them for.
        values: Shape (n, \*shape).

    Raises:
        DataError: Values of this kind or shape cannot be what was agreed.

    Example:
        >>> tumour = Variable(kind="categorical", classes=2, names=("benign", "malignant"))
        >>> here = Variable(kind="categorical", classes=2, names=("malignant", "benign"))
        >>> conformed(tumour, here, torch.tensor([0, 1])).values.tolist()
        [1, 0]
    """
    if read.shape != agreed.shape:
        raise DataError(f"expected {agreed}, got {read}")
    if agreed.kind == "categorical":
        return _to_categories(agreed, read, values)
    absent = ~read.present(values)
    numbers = _numbers(agreed, read, values)
    result = _to_real(agreed, numbers) if agreed.kind == "real" else _to_whole(agreed, numbers)
    return _with_absent(agreed, result, absent)


def _numbers(agreed: Variable, read: Variable, values: Tensor) -> Tensor:
    """Return values as numbers; categories only if their names are numbers, or yes and no."""
    if read.kind != "categorical":
        return values
    names = read.class_names
    if agreed.kind == "binary":
        places = [_bit(name) for name in names]
    else:
        places = [_whole(name) for name in names]
    if None in places:
        raise DataError(f"expected {agreed}, got the categories {_listed(names)}")
    return torch.tensor(places, dtype=torch.int64)[values]


def _bit(name: str) -> int | None:
    for bit, words in enumerate(BITS):
        if name.lower() in words:
            return bit
    return None


def _whole(name: str) -> int | None:
    return int(name) if name.lstrip("-").isascii() and name.lstrip("-").isdigit() else None


def _to_real(agreed: Variable, numbers: Tensor) -> Conformed:
    values = numbers
    if not values.is_floating_point():
        # 32 bits hold whole numbers up to 2**24
        is_small = not values.numel() or int(values.abs().max()) <= 2**24
        values = values.to(torch.float32 if is_small else torch.float64)
    low, high = agreed.limits(values.dtype)
    outside = (values < low) | (values > high)
    return Conformed(values, _any(outside), values.clamp(low, high), _range_fault(agreed, numbers))


def _to_whole(agreed: Variable, numbers: Tensor) -> Conformed:
    """Return counts, or zeros and ones."""
    low, high = agreed.range
    odd = torch.zeros_like(numbers, dtype=torch.bool)
    if not numbers.is_floating_point():
        whole = numbers.to(torch.int64)
    else:
        rounded = numbers.nan_to_num(0).round()
        odd = (numbers != rounded) | (numbers.abs() > EXACT)
        whole = rounded.clamp(-EXACT, EXACT).to(torch.int64)
    outside = (numbers < low) | (numbers > high)
    wrong = _any(odd | outside)
    moved = None
    if agreed.kind == "count" and not odd.any():
        moved = whole.clamp(min=0)
    dtype = agreed.dtypes[0]
    return Conformed(
        whole.clamp(0, 1 if agreed.kind == "binary" else None).to(dtype),
        wrong,
        moved,
        _range_fault(agreed, numbers),
    )


def _range_fault(agreed: Variable, numbers: Tensor) -> Callable[[int], str]:
    words = {
        "binary": "0 or 1",
        "count": "a whole number from 0 on",
        "real": f"a value in [{agreed.low:g}, {agreed.high:g}]",
    }
    low, high = agreed.range

    def fault(row: int) -> str:
        flat = numbers[row].reshape(-1)
        wrong = (flat < low) | (flat > high)
        if agreed.kind != "real":
            wrong |= flat != flat.round()
        value = flat[wrong][0] if wrong.any() else flat[0]
        return f"expected {words[agreed.kind]}, got {value.item():.12g}"

    return fault


def _with_absent(agreed: Variable, result: Conformed, absent: Tensor) -> Conformed:
    """Put missing values where they are allowed; where they are not, their rows are wrong."""
    if not absent.any():
        return result
    values = result.values.clone()
    if agreed.optional:
        values[absent] = agreed.missing
        moved = None if result.nearest is None else result.nearest.clone()
        if moved is not None:
            moved[absent] = agreed.missing
        return Conformed(values, result.wrong & ~absent, moved, result.fault, result.notes)

    def fault(row: int) -> str:
        return f"expected {agreed}, and the value is missing" if absent[row] else result.fault(row)

    return Conformed(values, result.wrong | absent, None, fault, result.notes)


def _to_categories(agreed: Variable, read: Variable, values: Tensor) -> Conformed:
    """Give categories the numbers of the agreement, by their names."""
    names, places = _named(agreed, read, values)
    number_of = {name: number for number, name in enumerate(agreed.class_names)}
    numbers = np.array([number_of.get(name, -1) for name in names] or [-1], np.int64)
    notes: tuple[str, ...] = ()
    absent = ~read.present(values)
    if OTHER in number_of:
        numbers, notes = _with_other(names, numbers, number_of, places)
    result = torch.from_numpy(numbers[places.clip(0)])
    wrong = _any(result < 0)

    def fault(row: int) -> str:
        bad = places[row].reshape(-1)
        bad = bad[numbers[bad.clip(0)] < 0]
        name = names[int(bad[0])]
        close = nearest(name, agreed.class_names).split(", ")[0]
        return (
            f"expected one of {_listed(agreed.class_names)}, got {quoted(name)}; the nearest is "
            f"{quoted(close)}"
        )

    return _with_absent(agreed, Conformed(result.clamp(min=0), wrong, None, fault, notes), absent)


def _named(agreed: Variable, read: Variable, values: Tensor) -> tuple[list[str], np.ndarray]:
    """Return the names of categories, and for each value its place among them."""
    if read.kind == "categorical":
        return list(read.class_names), values.numpy()
    if read.kind == "binary":
        names = [_as_bit(bit, agreed) for bit in (0, 1)]
        return names, values.to(torch.int64).clamp(0, 1).numpy()
    array = values.numpy()
    is_whole = array.dtype.kind in "iu" or bool((np.nan_to_num(array) % 1 == 0).all())
    if not is_whole:
        raise DataError(f"expected {agreed}, got numbers with fractions")
    distinct, places = np.unique(np.nan_to_num(array), return_inverse=True)
    return [str(int(number)) for number in distinct], places.reshape(array.shape)


def _as_bit(bit: int, agreed: Variable) -> str:
    """Return the agreed category that stands for no or yes."""
    for name in agreed.class_names:
        if name.lower() in BITS[bit]:
            return name
    words = "no" if bit == 0 else "yes"
    raise DataError(
        f"expected the categories {_listed(agreed.class_names)}, got a column of yes and no, and "
        f"none of them is called {words}"
    )


def _with_other(
    names: list[str], numbers: np.ndarray, number_of: Mapping[str, int], places: np.ndarray
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Let names that were not agreed count as ``other``, unless they only differ in case."""
    # a rare "Other" is none of those that are named, and meant by nobody as another spelling
    agreed = {name.casefold().strip() for name in number_of if name != OTHER}
    changed = []
    for place, name in enumerate(names):
        if numbers[place] < 0 and name.casefold().strip() not in agreed:
            changed.append(place)
    numbers = numbers.copy()
    numbers[changed] = number_of[OTHER]
    rows = int(np.isin(places, changed).sum())
    if not rows:
        return numbers, ()
    return numbers, (f"{counted(rows, 'row')} of categories that were not agreed are 'other'",)


def _listed(names: tuple[str, ...]) -> str:
    first = ", ".join(map(quoted, names[:6]))
    return first if len(names) <= 6 else f"{first} and {len(names) - 6} more"


def _any(bad: Tensor) -> Tensor:
    """Return the rows in which any value is bad."""
    return bad.reshape(len(bad), -1).any(1)
