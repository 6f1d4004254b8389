"""Data in memory as a run reads them that goes on with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coplay.core.components import nearest
from coplay.core.errors import ConfigError
from coplay.data.frames import given_by
from coplay.data.sources.base import Dataset
from coplay.data.sources.memory import Memory
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
    known = None if agreed is None else {v: agreed[v] for v in agreed}
    categories = categories_of(given or {}, config.measure.target)
    read = {}
    for name, data in (given or {}).items():
        section = config.players.get(name, PlayerSection())
        unit = None if section.data is None else section.data.unit
        source = None if section.data is None else section.data.source
        missing = source.missing if isinstance(source, Memory) else "refuse"
        read[name] = given_by(name, data, known, unit, categories, missing).data
    return read


def check_given(config: Config, given: Mapping[str, Any]) -> None:
    """Refuse data in memory for nobody, or for a player that is dealt its rows from a pool.

    Args:
        config: The run's config.
        given: Data by player.

    Raises:
        ConfigError: With all such names.
    """
    faults = []
    for name in given:
        if name not in config.players:
            known = nearest(name, config.players)
            faults.append(f"given: no player {name!r}; known, nearest first: {known}")
        elif not config.players[name].has_own_data:
            faults.append(
                f"given: player {name!r} is dealt its rows from the pool; a section players."
                f"{name}.data in the config says that it has data of its own"
            )
    if faults:
        raise ConfigError(faults)


def categories_of(sites: Mapping[str, Any], target: str | None) -> list[str]:
    """Return the columns that are categories even where they hold numbers.

    They are those that a frame of any site calls so, and the target if its numbers are whole and
    few.
    """
    names: dict[str, None] = {}
    for data in sites.values():
        names |= dict.fromkeys(_called_categories(data))
    if target is not None and _has_few_whole_numbers(sites, target):
        names[target] = None
    return list(names)


def _called_categories(data: Any) -> list[str]:
    """Return the columns that a frame calls categories; none if it is no frame."""
    import narwhals as nw

    try:
        schema = nw.from_native(data, eager_only=True).schema
    except (
        Exception
    ):  # each library has errors of its own; whoever reads the data says what is wrong
        return []
    kinds = (nw.Categorical, nw.Enum)
    return [str(name).strip() for name, kind in schema.items() if kind in kinds]


def _has_few_whole_numbers(sites: Mapping[str, Any], target: str) -> bool:
    numbers: set[Any] = set()
    for data in sites.values():
        try:
            column = list(data[target])
        except (KeyError, TypeError, IndexError, ValueError, AttributeError):
            continue
        except Exception:  # each library of frames has an error of its own for a missing column
            continue
        plain = [_plain(each) for each in column]
        numbers |= {each for each in plain if not _is_missing(each)}
    is_bool = any(isinstance(each, bool) for each in numbers)
    are_whole = all(isinstance(each, int) or _is_whole(each) for each in numbers)
    few = 20
    return bool(numbers) and are_whole and not is_bool and len(numbers) <= few


def _plain(value: Any) -> Any:
    for name in ("item", "as_py"):  # of numpy and torch, and of pyarrow
        if hasattr(value, name):
            return getattr(value, name)()
    return value


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ == "NAType" or value != value


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()
