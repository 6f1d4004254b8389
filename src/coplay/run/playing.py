"""A game from a session of Python, on data that are in memory."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from coplay.core.components import Component, name_of
from coplay.core.errors import ConfigError
from coplay.core.space import LABEL
from coplay.data.frames import Given, given_by, with_common_words
from coplay.data.sources.memory import Missing
from coplay.games.base import Game
from coplay.models.base import LocalModel
from coplay.run.config import Config
from coplay.run.federation import Federation
from coplay.run.given_rows import categories_of
from coplay.run.progress import Progress
from coplay.run.python_instead import instead_of
from coplay.run.result import Result
from coplay.run.schema import VariableSection, agreed_space

FOR_BITS = "symmetric_hvae"
"""The model where all sites have images of black and white, and none is named."""

FOR_IMAGES = "conv_hvae"
"""The model where all have other images, with or without classes."""

FOR_IMAGES_AND_MORE = "conditionals"
"""The model for images beside other variables; it learns from rows that lack some."""

FOR_TABLES: Mapping[str, Any] = {"name": "autoregressive", "validation": 0.1}
"""The model for everything else; it learns from rows that lack variables, and stops early."""


def play(
    sites: Mapping[str, Any],
    *,
    game: str | Game | Mapping[str, Any] = "sample_exchange",
    model: str | LocalModel | Mapping[str, Any] | None = None,
    variables: Mapping[str, VariableSection | Mapping[str, Any]] | Sequence[str] | None = None,
    target: str | None = None,
    rounds: int | None = None,
    folder: str | Path | None = None,
    seed: int = 1,
    unit: str | None = None,
    missing: Missing = "refuse",
    report: Progress | None = None,
    **settings: Any,
) -> Result:
    """Play a game between sites whose data are in memory.

    Columns are read as those of a table file: numbers, yes and no, and a few different texts become
    variables; dates become days, identifiers and free text are left out, and a note says so. Sites
    may have different columns: a variable that a site lacks is learned from the others.

    Args:
        sites: By the name of each site a frame (pandas, polars or pyarrow), a dictionary of arrays
            or tensors, a pair (X, y) of arrays, or a :class:`~coplay.Dataset`.
        game: A game, its name, or a section with its name and settings.
        model: A model, its name, or a section with its name and settings; without one,
            ``symmetric_hvae`` or ``conv_hvae`` where all have images, ``conditionals`` for images
            beside other variables, else ``autoregressive``.
        variables: The agreed variables by name, or just the names of those that are learned;
            without them, all that sites have.
        target: The variable that a model trained on samples is to predict; numbers in its column
            are taken as categories if they are whole and there are 20 of them or fewer.
        rounds: Number of rounds; without it, the game's own.
        folder: A new or empty folder for the run; without it, the first of ``runs/GAME``,
            ``runs/GAME-2``, … that does not exist, below the current folder.
        seed: Decides everything random.
        unit: Column that names what a row belongs to, such as a patient; it is no variable.
        missing: What becomes of rows with a missing value: ``refuse`` the data, ``drop rows``, or
            ``keep`` them, for models that learn from incomplete samples.
        report: A function that is called with the progress.
        **settings: Further sections of a config, such as ``compare``, ``measure`` and ``engine``.

    Returns:
        The finished run; ``result.folder`` is where it lies.

    Raises:
        ConfigError: A setting is at fault; with all faults.
        DataError: Data cannot be read, or contradict each other.

    Example:
        >>> import tempfile
        >>> north = {"dose": [0.1, 0.4, 0.9, 0.2] * 10, "ok": [True, False, False, True] * 10}
        >>> south = {"dose": [0.3, 0.5, 0.7, 0.8] * 10}
        >>> result = play({"north": north, "south": south}, rounds=2,
        ...               folder=tempfile.mkdtemp())
        >>> result.sample("south", 3)["ok"].dtype
        dtype('bool')
    """
    _check_sites(sites, settings)
    agreed, learned = _variables(variables)
    given = _given(sites, agreed, unit, target, missing)
    game_section = _section("game", game)
    if rounds is not None:
        game_section["rounds"] = rounds
    values: dict[str, Any] = {"seed": seed, "compare": ["isolated"], **settings}
    if game_section["name"] == "isolated" and "compare" not in settings:
        values["compare"] = []
    values["game"] = game_section
    values["model"] = _section("model", model or _usual_model(given))
    if agreed:
        values["variables"] = {name: each.model_dump() for name, each in agreed.items()}
    if target is not None:
        values["measure"] = {**values.get("measure", {}), "target": target}
    values["players"] = {}
    for name, each in given.items():
        values["players"][name] = _player(each, agreed, learned, unit)
    config = Config.from_dict(values)
    _check_target(target, given)
    home = Path(folder) if folder is not None else _free(config)
    rows = {name: each.data for name, each in given.items()}
    return Federation(config, rows).run(home, report)


def _check_sites(sites: Any, settings: Mapping[str, Any]) -> None:
    """Refuse what is no mapping from names to data, and settings that files have alone."""
    if not isinstance(sites, Mapping) or not sites:
        raise ConfigError(["sites: expected data by the name of each site, such as {'north': df}"])
    odd = [name for name in sites if not isinstance(name, str)]
    if odd:
        raise ConfigError([f"sites: expected names that are texts, got {odd[0]!r}"])
    if faults := instead_of(settings):
        raise ConfigError(faults)


def _player(
    given: Given,
    agreed: Mapping[str, VariableSection],
    learned: Sequence[str],
    unit: str | None,
) -> dict[str, Any]:
    """Return the section of one player."""
    data: dict[str, Any] = {"source": _section("source", given.source)}
    if unit is not None:
        data["unit"] = unit
    if agreed:
        data["lacks"] = [v for v in agreed if v not in given.data.space]
    return {"data": data, "variables": list(learned)} if learned else {"data": data}


def _variables(
    variables: Mapping[str, VariableSection | Mapping[str, Any]] | Sequence[str] | None,
) -> tuple[dict[str, VariableSection], list[str]]:
    """Return the agreed variables, and the names of those that are learned."""
    if variables is None:
        return {}, []
    if isinstance(variables, str):
        raise ConfigError([f"variables: expected several names, got {variables!r}; write a list"])
    if not isinstance(variables, Mapping):
        return {}, list(variables)
    values = {}
    for name, each in variables.items():
        plain = each.model_dump() if isinstance(each, VariableSection) else each
        values[name] = plain
    return Config.from_dict({"variables": values}).variables, []


def _given(
    sites: Mapping[str, Any],
    agreed: Mapping[str, VariableSection],
    unit: str | None,
    target: str | None,
    missing: Missing,
) -> dict[str, Given]:
    """Read the data of all sites."""
    if missing not in get_args(Missing):
        listed = ", ".join(map(repr, get_args(Missing)))
        raise ConfigError([f"missing: expected one of {listed}, got {missing!r}"])
    space = agreed_space(agreed) if agreed else None
    known = None if space is None else {name: space[name] for name in space}
    categories = categories_of(sites, target)
    given = {
        name: given_by(name, data, known, unit, categories, missing) for name, data in sites.items()
    }
    return with_common_words(given)


def _check_target(target: str | None, given: Mapping[str, Given]) -> None:
    """Refuse a target that no site has.

    Raises:
        ConfigError: It is none's.
    """
    if target is None or any(target in each.data.space for each in given.values()):
        return
    known: dict[str, None] = {}
    for each in given.values():
        known |= dict.fromkeys(each.data.space)
    listed = ", ".join(map(repr, known))
    raise ConfigError([f"target: no site has a variable {target!r}; there are {listed}"])


def _usual_model(given: Mapping[str, Given]) -> dict[str, Any]:
    """Return the section of the model that plays where none is named."""
    spaces = [each.data.space for each in given.values()]
    variables = {name: space[name] for space in spaces for name in space}
    images = [name for name in variables if variables[name].is_image]
    if images and all(set(space) == set(variables) for space in spaces):
        if all(variable.kind == "binary" for variable in variables.values()):
            return {"name": FOR_BITS}
        if set(variables) <= {images[0], LABEL}:
            return {"name": FOR_IMAGES}
    if images:
        return {"name": FOR_IMAGES_AND_MORE, "hidden": 32}
    return dict(FOR_TABLES)


def _section(kind: str, component: str | Component | Mapping[str, Any]) -> dict[str, Any]:
    """Return a component as a section of a config."""
    if isinstance(component, str):
        return {"name": component}
    if isinstance(component, Component):
        values = component.model_dump(mode="json", exclude_none=True)
        return {"name": name_of(kind, component), **values}
    if not isinstance(component, Mapping):
        raise ConfigError([f"{kind}: expected a {kind}, its name or a section, got {component!r}"])
    if "name" not in component:
        raise ConfigError([f"{kind}: expected a section with a name, got {dict(component)!r}"])
    return dict(component)


def _free(config: Config) -> Path:
    """Return the first folder below ``runs`` that does not exist, called after the game."""
    name = config.name
    if "name" not in config.model_fields_set:
        name = name_of("game", config.game).rpartition(":")[2]
    wanted = Path("runs") / name
    for number in itertools.count(2):
        if not wanted.exists():
            return wanted
        wanted = wanted.with_name(f"{name}-{number}")
    raise AssertionError("there is no last number")
