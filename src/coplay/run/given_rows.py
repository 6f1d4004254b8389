"""Data in memory as a run reads them that goes on with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coplay.data.frames import given_by
from coplay.data.sources.base import Dataset
from coplay.run.config import Config
from coplay.run.schema import agreed_space
from coplay.run.sections import PlayerSection


def reread(config: Config, given: Mapping[str, Any] | None) -> dict[str, Dataset]:
    """Return data in memory as a run reads them that goes on with them.

    Args:
        config: The run's config.
        given: By player, what :func:`play` takes, or a data set.
    """
    agreed = agreed_space(config.variables) if config.variables else None
    read = {}
    for name, data in (given or {}).items():
        section = config.players.get(name, PlayerSection())
        unit = None if section.data is None else section.data.unit
        known = None if agreed is None else {v: agreed[v] for v in agreed}
        categories = categories_of({name: data}, config.measure.target)
        read[name] = given_by(name, data, known, unit, categories).data
    return read


def categories_of(sites: Mapping[str, Any], target: str | None) -> list[str]:
    """Return the target if its numbers are categories: whole ones, and few of them."""
    if target is None:
        return []
    numbers: set[Any] = set()
    for data in sites.values():
        try:
            column = list(data[target])
        except (KeyError, TypeError, IndexError, ValueError, AttributeError):
            continue
        except Exception:  # each library of frames has an error of its own for a missing column
            continue
        numbers |= {each.item() if hasattr(each, "item") else each for each in column}
    is_bool = any(isinstance(each, bool) for each in numbers)
    are_whole = all(isinstance(each, int) or _is_whole(each) for each in numbers)
    few = 20
    return [target] if numbers and are_whole and not is_bool and len(numbers) <= few else []


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()
