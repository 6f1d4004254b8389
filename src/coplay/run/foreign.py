"""What a config names outside coplay: code, data and clusters, looked at without importing any.

A config that came from somebody else is read without its code. A class outside coplay then stays
what the config says of it, a name with settings, and whatever would need the class is refused.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, get_origin

from coplay.core.components import BASES, FOLDERS, READING, Component, texts_in
from coplay.core.errors import ConfigError, TrustError
from coplay.models.estimator import KNOWN_ESTIMATORS, Estimator

if TYPE_CHECKING:
    from coplay.run.config import Config
    from coplay.run.site_file import SiteData


class Unread(Component):
    """A component whose class is outside coplay and was not imported.

    Args:
        class_name: The class as ``"package.module:Class"``.
        class_settings: Its settings as the config has them.
    """

    class_name: str
    class_settings: dict[str, Any]

    @property
    def title(self) -> str:
        """The class, as the config names it."""
        return self.class_name

    def outside(self) -> list[str]:
        """The class."""
        return [self.class_name]

    def fresh(self) -> Self:
        """Itself: it learns nothing."""
        return self


def unread(kind: str, name: str, settings: Mapping[str, Any]) -> Component:
    """Return what stands for a class outside coplay in a config that is only read.

    Args:
        kind: A key of :data:`coplay.core.components.FOLDERS`.
        name: The class as ``"package.module:Class"``.
        settings: Its settings, which nobody has checked.

    Example:
        >>> model = unread("model", "payload:Model", {"size": 3})
        >>> model.class_name, model.class_settings
        ('payload:Model', {'size': 3})
        >>> model.setup(None, 1)
        Traceback (most recent call last):
        coplay.core.errors.TrustError: payload:Model is code from outside coplay, ...
    """
    if kind == "model" and name in KNOWN_ESTIMATORS:
        return Estimator(estimator=name, arguments=dict(settings))
    cls = _class_for(kind)
    # what every component of the kind has, such as the rounds of a game
    shared = {key: value for key, value in settings.items() if key in _base(kind).model_fields}
    values = {**shared, "class_name": name, "class_settings": dict(settings)}
    return cls.model_validate(values, context=READING)


def unread_class(component: object) -> str | None:
    """Return the class that a component stands for without having been imported, or None."""
    return component.class_name if isinstance(component, Unread) else None


def _base(kind: str) -> type[Component]:
    base: type[Component] = getattr(importlib.import_module(f"{FOLDERS[kind]}.base"), BASES[kind])
    return base


@cache
def _class_for(kind: str) -> type[Component]:
    """Return a class of a kind that refuses all that such a component does."""

    def refuse(self: Unread, *_: object, **__: object) -> NoReturn:
        raise TrustError(
            f"{self.class_name} is code from outside coplay, which was not imported; it is where "
            "you trust it: --trust, or trust=True"
        )

    base: Any = _base(kind)
    refused = dict.fromkeys(base.__abstractmethods__, refuse)
    namespace = {"__module__": __name__, "__doc__": Unread.__doc__, **refused}
    made: type[Component] = type(base)(f"Unread{BASES[kind]}", (Unread, base), namespace)
    return made


# ------------------------------------------------------------------------- what a config names


def _components(config: Config) -> Iterator[tuple[str, Component]]:
    """Yield every component of a config with its place."""
    yield "data.source", config.data.source
    yield "data.partition", config.data.partition
    yield "model", config.model
    for name, player in config.players.items():
        if player.model is not None:
            yield f"players.{name}.model", player.model
        if player.data is not None:
            yield from _sources(f"players.{name}.data", player.data)
    yield from _models_of_sites(config)
    yield "game", config.game
    for game in config.carried:
        yield "compare", game
    for metric in config.measure.metrics or ():
        yield "measure.metrics", metric
    yield "engine", config.engine


def _models_of_sites(config: Config) -> Iterator[tuple[str, Component]]:
    """Yield the models that site files name; a file that cannot be read names none."""
    with contextlib.suppress(ConfigError):
        for name, file in config.site_files.items():
            if file.model is not None:
                yield f"players.{name}.site: model", file.model


def _sources(place: str, data: SiteData) -> Iterator[tuple[str, Component]]:
    """Yield the sources of a player's own data with their places."""
    yield f"{place}.source", data.source
    if data.test is not None:
        yield f"{place}.test", data.test


def code_of(component: Component) -> list[str]:
    """Return the names of all code outside coplay that using a component would run.

    Example:
        >>> from coplay.models.acgan import Acgan
        >>> code_of(Acgan(generator="my_nets:generator"))
        ['my_nets:generator']
    """
    cls = type(component)
    names = list(component.outside())
    if cls.__module__.partition(".")[0] != "coplay":
        names.insert(0, f"{cls.__module__}:{cls.__qualname__}")
    return names


def code_in(config: Config) -> list[str]:
    """Return all code outside coplay that playing a config would run, each with its place.

    Estimators of scikit-learn that are known to run no code of others are left out.
    """
    lines = []
    for place, component in _components(config):
        lines += [f"{place}: {name}" for name in code_of(component)]
    return list(dict.fromkeys(lines))


def places_in(config: Config) -> list[str]:
    """Return the files, folders, data sets and clusters that playing a config would use.

    These are all texts among the settings of sources and of the engine, but the defaults, and site
    files.
    """
    lines = []
    components: dict[str, Component] = {"data.source": config.data.source}
    components["engine"] = config.engine
    for name, player in config.players.items():
        if player.data is not None:
            components |= dict(_sources(f"players.{name}.data", player.data))
        if player.site is not None:
            lines.append(f"players.{name}.site: {player.site}")
    for place, component in components.items():
        for key, value in _chosen(component).items():
            lines += [f"{place}.{key}: {text}" for text in texts_in(value)]
    return lines


def _chosen(component: Component) -> dict[str, Any]:
    """Return the settings of a component that are not the defaults."""
    if isinstance(component, Unread):
        return component.class_settings
    chosen = {}
    for key, field in type(component).model_fields.items():
        value = getattr(component, key)
        if get_origin(field.annotation) is Literal:  # one of a few words, which lead nowhere
            continue
        if field.is_required() or value != field.get_default(call_default_factory=True):
            chosen[key] = value
    return chosen


def refuse_unread(config: Config) -> None:
    """Refuse to play a config that was read without the code that it names.

    Raises:
        TrustError: It was, and it names some.
    """
    code = [] if config.imported else code_in(config)
    if code:
        refuse("was read without code from outside coplay, which it names", code, "the config")


def refuse(what: str, lines: Sequence[str], whose: str) -> NoReturn:
    """Refuse to use what somebody else's config names.

    Args:
        what: What would happen, such as "runs code from outside coplay".
        lines: What it would happen to.
        whose: The run.

    Raises:
        TrustError: Always.
    """
    listed = "\n".join(f"  - {line}" for line in lines)
    raise TrustError(
        f"{whose} {what}:\n{listed}\n"
        "if you know where that comes from and want it, say --trust (in Python: trust=True); "
        "--code FOLDER names a folder in which classes lie"
    )
