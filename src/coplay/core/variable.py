"""One named quantity of a space: its kind, shape and range, and the names of its classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

Kind = Literal["binary", "categorical", "count", "real"]

# What a variable of each kind is stored as. One byte per bit or class keeps messages small and is
# exact.
_DTYPES: Mapping[str, tuple[torch.dtype, ...]] = {
    "binary": (torch.uint8,),
    "categorical": (torch.int64,),
    "count": (torch.int64,),
    "real": (torch.float32, torch.float64),
}

# Missing values lie among the values, so that slices, mixtures, checkpoints and messages carry them
# without a second tensor that one of them could forget.
_MISSING: Mapping[str, float] = {
    "binary": 255,
    "categorical": -1,
    "count": -1,
    "real": math.nan,
}


class Variable(BaseModel):
    """One named quantity of a space.

    Args:
        kind: ``binary`` (0 or 1), ``categorical`` (0 … classes-1), ``count`` (0, 1, 2, …) or
            ``real``.
        shape: Shape of one sample, without the first axis; ``()`` for a number.
        classes: Number of classes, for ``categorical`` only.
        low: Smallest allowed value of a ``real`` variable.
        high: Largest allowed value of a ``real`` variable.
        names: What the classes are called, in the order of their numbers, for ``categorical`` only;
            None where they are called by their numbers.
        unit: What one of it is, such as ``mm``; empty where there is none.
        optional: Whether it may be missing in some rows. A missing value is NaN in a real variable,
            -1 in a categorical one or a count, and 255 in a binary one.

    Example:
        >>> v = Variable(kind="binary", shape=(8, 8))
        >>> v.size, v.is_image, v.channels
        (64, True, 1)
        >>> pet = Variable(kind="categorical", classes=2, names=("cat", "dog"))
        >>> pet.class_names, Variable(kind="categorical", classes=2).class_names
        (('cat', 'dog'), ('0', '1'))
        >>> dose = Variable(kind="real", low=0, optional=True)
        >>> dose.present(torch.tensor([1.5, float("nan")])).tolist()
        [True, False]
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    shape: tuple[int, ...] = ()
    classes: int | None = Field(default=None, ge=2)
    low: float = -math.inf
    high: float = math.inf
    names: tuple[str, ...] | None = None
    unit: str = ""
    optional: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Variable:
        if (self.kind == "categorical") != (self.classes is not None):
            raise ValueError(
                f"classes must be given exactly for a categorical variable; got {self}"
            )
        if self.kind != "real" and (self.low != -math.inf or self.high != math.inf):
            raise ValueError(f"low and high belong to real variables only; got {self}")
        if self.names is not None and not len(set(self.names)) == len(self.names) == self.classes:
            raise ValueError(
                f"names must be as many different texts as there are classes; got {self} and "
                f"{len(self.names)} names"
            )
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """What each class is called; empty for a variable that is not categorical."""
        if self.names is not None:
            return self.names
        return tuple(map(str, range(self.classes or 0)))

    @property
    def size(self) -> int:
        """Number of values in one sample."""
        return math.prod(self.shape)

    @property
    def is_image(self) -> bool:
        """Whether one sample is an image: shape (H, W), (1, H, W) or (3, H, W), not of classes.

        Counts may be an image, such as photons per pixel; a model that takes only bits or real
        numbers says so by its ``kinds``. A map of classes is none: its numbers have no order.
        """
        return self.channels > 0

    @property
    def channels(self) -> int:
        """Channels of an image, 1 for shape (H, W); 0 for a variable that is no image."""
        if self.kind == "categorical":
            return 0
        if len(self.shape) == 2:
            return 1
        if len(self.shape) == 3 and self.shape[0] in (1, 3):
            return self.shape[0]
        return 0

    @property
    def dtypes(self) -> tuple[torch.dtype, ...]:
        """The types a tensor of this variable may have; the first is the usual one."""
        return _DTYPES[self.kind]

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest allowed value."""
        if self.kind == "binary":
            return 0, 1
        if self.kind == "categorical":
            return 0, (self.classes or 0) - 1
        if self.kind == "count":
            return 0, math.inf
        return self.low, self.high

    def limits(self, dtype: torch.dtype) -> tuple[float, float]:
        """Return the range as values of a type hold it.

        The end 0.3 is a little more in 32 bits, and a value of 0.3 is inside.

        Example:
            >>> share = Variable(kind="real", low=0, high=0.3)
            >>> share.limits(torch.float32)[1] > 0.3, share.limits(torch.float64)[1] > 0.3
            (True, False)
        """
        low, high = self.range
        if dtype != torch.float32:
            return low, high
        ends = torch.tensor([low, high], dtype=dtype).tolist()
        return min(low, ends[0]), max(high, ends[1])

    @property
    def missing(self) -> float:
        """The value that stands for a missing one where the variable is optional."""
        return _MISSING[self.kind]

    def present(self, values: Tensor) -> Tensor:
        r"""Return in which rows a value is there, shape (n,).

        Args:
            values: Shape (n, \\*shape).
        """
        if not self.optional:
            return torch.ones(len(values), dtype=torch.bool)
        rows = values.reshape(len(values), -1)
        absent = rows.isnan() if self.kind == "real" else rows == self.missing
        return ~absent.all(1)

    def __str__(self) -> str:
        shape = "×".join(map(str, self.shape)) or "scalar"
        kind = f"categorical of {self.classes}" if self.kind == "categorical" else self.kind
        low, high = self.range
        is_limited = self.kind == "real" and (low, high) != (-math.inf, math.inf)
        limits = f" in [{low:g}, {high:g}]" if is_limited else ""
        unit = f" {self.unit}" if self.unit else ""
        optional = ", may be missing" if self.optional else ""
        return f"{kind} {shape}{limits}{unit}{optional}"

    def fault(self, values: Tensor, quote: bool = True) -> str | None:
        r"""Say what is wrong with ``values`` of shape (n, \\*shape), or return None."""
        if values.dtype not in self.dtypes:
            names = [str(dtype).removeprefix("torch.") for dtype in self.dtypes]
            return f"type {' or '.join(names)}, got {values.dtype}"
        if tuple(values.shape[1:]) != self.shape:
            return f"shape (n, {', '.join(map(str, self.shape))}), got {tuple(values.shape)}"
        if self.optional:
            values = values[self.present(values)]
        if not values.numel():
            return None
        low, high = self.limits(values.dtype)
        least, most = (end.item() for end in values.aminmax())
        # values that are right cost one pass; only wrong ones get a closer look
        if low <= least and most <= high and math.isfinite(least) and math.isfinite(most):
            return None
        if values.is_floating_point():
            bad = ~torch.isfinite(values)
            if bad.any():
                return f"finite values, got {int(bad.sum())} NaN or infinite ones in {_rows(bad)}"
        bad = (values < low) | (values > high)
        one = f"{values[bad][0].item():g}" if quote else "another one"
        return f"values in [{low:g}, {high:g}], got {one} in {_rows(bad)}"


def _rows(bad: Tensor) -> str:
    """Name the rows with a fault: the first, and how many."""
    rows = bad.flatten(1).any(1) if bad.dim() > 1 else bad
    count = int(rows.sum())
    first = int(rows.nonzero()[0])
    return f"row {first}" if count == 1 else f"{count} rows, first {first}"
