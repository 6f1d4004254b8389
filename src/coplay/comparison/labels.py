"""Labels of arms: configs as dotted keys, the keys that differ, and texts made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from coplay.core.errors import ConfigError
from coplay.run.result import Result

Settings = Mapping[str, Any]
"""Dotted keys of a config and their values."""

_IGNORED = ("seed", "title", "name", "compare")  # keys that may differ within an arm
_LONGEST_LABEL = 44  # characters; if a label is longer, all arms get letters
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def settings_of(runs: Sequence[Result]) -> list[dict[str, Any]]:
    """Return the settings that decide to which arm each run belongs.

    Runs need not carry the same games along. A setting of such a game is left out if all runs
    that carry the game agree on it.

    Args:
        runs: The runs to be compared.

    Returns:
        One mapping per run, in the same order; see :func:`flat`.
    """
    settings = [flat(config) for config in _configs(runs)]
    keys = dict.fromkeys(key for values in settings for key in values if key.startswith("compare."))
    common = {key for key in keys if _carriers_agree(key, settings, runs)}
    return [_without(values, common) for values in settings]


def _configs(runs: Sequence[Result]) -> list[Mapping[str, Any]]:
    """Return the config of each run, with today's defaults for settings newer than the run.

    If any of them is no longer valid, all are taken as recorded, so that they stay comparable.
    """
    try:
        return [run.config.to_dict() for run in runs]
    except ConfigError:
        return [run.record.config for run in runs]


def _carriers_agree(key: str, settings: Sequence[Settings], runs: Sequence[Result]) -> bool:
    """Whether all runs that carry a game along have the same value for one of its settings."""
    game = key.split(".")[1]
    values = set()
    for own, run in zip(settings, runs, strict=True):
        if game in run.plays:
            values.add(json.dumps(own.get(key)))
    return len(values) < 2


def _without(settings: Settings, keys: set[str]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in keys}


# ------------------------------------------------------------------------------- dotted keys


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dotted keys of a config and their values, without seed, title and name.

    Of the games carried along, the settings are included, but not the list of their names.

    Args:
        config: A config as plain values.

    Example:
        >>> flat({"seed": 1, "players": {"a": {}}, "measure": {"metrics": [{"name": "fid"}]}})
        {'players': ['a'], 'measure.metrics': ['fid']}
        >>> flat({"compare": ["isolated", {"name": "fl_gan", "average_every_epochs": 2}]})
        {'compare.fl_gan.average_every_epochs': 2}
    """
    settings: dict[str, Any] = {}
    for entry in config.get("compare", ()):
        if isinstance(entry, Mapping):
            game = entry["name"].rpartition(":")[2]  # as the run calls it
            _flatten_component(f"compare.{game}", entry, settings)
    for key, value in config.items():
        if key == "players" and isinstance(value, Mapping):
            settings[key] = list(value)
        if key not in _IGNORED:
            _flatten(key, value, settings)
    return settings


def _flatten(place: str, value: Any, settings: dict[str, Any]) -> None:
    """Add a value and everything in it under its place."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _flatten(f"{place}.{key}", inner, settings)
    elif _are_components(value):
        settings[place] = [component["name"] for component in value]
        for component in value:
            _flatten_component(f"{place}.{component['name']}", component, settings)
    else:
        settings[place] = value


def _flatten_component(
    place: str,
    component: Mapping[str, Any],
    settings: dict[str, Any],
) -> None:
    """Add the settings of a component under its place, but not its name, which the place says."""
    for key, inner in component.items():
        if key != "name":
            _flatten(f"{place}.{key}", inner, settings)


def _are_components(value: Any) -> bool:
    """Whether a value is a list of components, such as metrics."""
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(item, Mapping) and "name" in item for item in value)


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """Shorten each dotted key to its shortest end that no other key has.

    A component is called by its kind.

    Args:
        keys: Dotted keys.

    Returns:
        The short key by dotted key.

    Example:
        >>> short = short_keys(["game.own_weight", "model.name", "players.city.model.name"])
        >>> list(short.values())
        ['own_weight', 'model', 'city.model']
    """
    parts = {key: key.removesuffix(".name").split(".") for key in keys}
    short = {}
    for key, own in parts.items():
        others = [other for name, other in parts.items() if name != key]
        length = 1
        while length < len(own) and any(other[-length:] == own[-length:] for other in others):
            length += 1
        short[key] = ".".join(own[-length:])
    return short


def value_text(value: Any) -> str:
    """Write a value of a config as a label shows it.

    Args:
        value: A plain value.

    Example:
        >>> value_text(0.3), value_text(None), value_text("sklearn.mixture:GaussianMixture")
        ('0.3', 'unset', 'GaussianMixture')
        >>> value_text(["a", "b"])
        'a+b'
    """
    if value is None:
        return "unset"
    if isinstance(value, str):
        return value.rpartition(":")[2]
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return "+".join(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


# ------------------------------------------------------------------------------------ labels


def differing_keys(settings: Sequence[Settings]) -> list[str]:
    """Return the keys whose values are not the same in all settings.

    Args:
        settings: At least one mapping.

    Example:
        >>> differing_keys([{"a": 1, "b": 2}, {"a": 1, "b": 3}])
        ['b']
    """
    first = settings[0]
    keys = dict.fromkeys(key for values in settings for key in values)
    differing = []
    for key in keys:
        if any(values.get(key) != first.get(key) for values in settings):
            differing.append(key)
    return differing


def labels(settings: Sequence[Settings]) -> list[str]:
    """Return one label per mapping, made of what differs; letters if those would be too long.

    Args:
        settings: At least one mapping.

    Returns:
        Labels in the same order, no two alike; an empty one if there is a single mapping.

    Example:
        >>> labels([{"game.own_weight": 0.1, "players": 2}, {"game.own_weight": 0.3, "players": 2}])
        ['own_weight=0.1', 'own_weight=0.3']
    """
    differing = differing_keys(settings)
    names = short_keys([key for key in differing if not _is_implied(key, settings, differing)])
    texts = [_label(values, names) for values in settings]
    are_unique = len(set(texts)) == len(texts)
    if are_unique and max(map(len, texts)) <= _LONGEST_LABEL:
        return texts
    return [_letters(place) for place in range(len(texts))]


def _label(settings: Settings, names: Mapping[str, str]) -> str:
    """Write a label with the values of some keys, under their short names."""
    parts = []
    for key, name in names.items():
        # A component without this setting leaves it out.
        if key in settings or _component(key, names) is None:
            parts.append(f"{name}={value_text(settings.get(key))}")
    return ", ".join(parts)


def _component(key: str, keys: Iterable[str]) -> str | None:
    """Return the key that names the innermost component of a setting, if it is among the keys."""
    owners = []
    for name in keys:
        is_component = name.endswith(".name") and name != key
        if is_component and key.startswith(name.removesuffix("name")):
            owners.append(name)
    return max(owners, key=len, default=None)


def _is_implied(key: str, settings: Sequence[Settings], differing: Sequence[str]) -> bool:
    """Whether a value follows from the component that was chosen, such as its default."""
    component = _component(key, differing)
    if component is None:
        return False
    first: dict[Any, Any] = {}  # the first value by component
    for values in settings:
        value = values.get(key)
        if first.setdefault(values.get(component), value) != value:
            return False
    return True


def _letters(place: int) -> str:
    """Return A, B, …, Z, AA, AB, … by place, from 0."""
    leading = ""
    if place >= len(_LETTERS):
        leading = _letters(place // len(_LETTERS) - 1)
    return leading + _LETTERS[place % len(_LETTERS)]
