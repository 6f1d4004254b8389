"""What differs between two configs, for errors and notes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], place: str = ""
) -> Iterable[str]:
    """Yield one line per value that differs between two configs.

    Example:
        >>> list(differences({"game": {"rounds": 4}}, {"game": {"rounds": 5}}))
        ['game.rounds: was 4, is 5']
    """
    for key in dict.fromkeys([*before, *after]):
        old = before.get(key)
        new = after.get(key)
        where = f"{place}{key}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, where + ".")
        elif old != new:
            yield f"{where}: was {_or_unset(old)}, is {_or_unset(new)}"


def _or_unset(value: Any) -> Any:
    return "unset" if value is None else value
