"""Values as keys of a cache by their identity, where comparing what they hold would cost much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Same(Generic[T]):
    """A value that is equal to itself alone.

    A cache that has it as a key keeps the value alive, so no other can take its place in memory.
    The value must not be changed.

    Args:
        value: Anything.

    Example:
        >>> rows = [1.0]
        >>> Same(rows) == Same(rows), Same(rows) == Same([1.0])
        (True, False)
    """

    value: T

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)
