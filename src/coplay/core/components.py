"""Components: the folder is the registry, and a component's class is its own config section.

``game.name = "sample_exchange"`` is the one class that ``games/sample_exchange.py`` defines; ``"my_pkg.mod:Cls"`` is the
user's. A new model, game, engine, metric, source or partition is one new file in its folder.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

FOLDERS = {
    "source": "coplay.data.sources",
    "partition": "coplay.data.partitions",
    "game": "coplay.games",
    "engine": "coplay.engines",
    "model": "coplay.models",
    "metric": "coplay.metrics",
}
"""Kind of component to the package whose modules are its registry."""

BASES = {
    "source": "Source",
    "partition": "Partition",
    "game": "Game",
    "engine": "Engine",
    "model": "LocalModel",
    "metric": "Metric",
}
"""Kind of component to the name of its base class."""


def nearest(name: str, known: Iterable[str]) -> str:
    """List the known names, the nearest to ``name`` first.

    Example:
        >>> nearest("roudns", ["local_steps", "rounds"])
        'rounds, local_steps'
    """
    return (
        ", ".join(sorted(known, key=lambda k: (-difflib.SequenceMatcher(None, name, k).ratio(), k)))
        or "none"
    )


class Section(BaseModel):
    """A frozen part of a config whose unknown keys are answered with the nearest known ones."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, ignored_types=()
    )

    @model_validator(mode="wrap")
    @classmethod
    def _name_nearest_key(cls, values: Any, handler: ValidatorFunctionWrapHandler) -> Self:
        try:
            return handler(values)
        except ValidationError as error:
            details: list[InitErrorDetails] = []
            for item in error.errors():
                message = item["msg"].removeprefix("Value error, ")
                if item["type"] == "extra_forbidden" and len(item["loc"]) == 1:
                    known = nearest(str(item["loc"][0]), cls.model_fields)
                    message = f"unknown key; known, nearest first: {known}"
                elif item["type"] not in ("coplay", "value_error", "missing"):
                    message = f"{message[0].lower()}{message[1:]}, got {item['input']!r}"
                kind = PydanticCustomError("coplay", message)
                details.append({"type": kind, "loc": item["loc"], "input": item["input"]})
            raise ValidationError.from_exception_data(cls.__name__, details) from None


class Component(Section):
    """Base of everything that a config names: its fields are the settings, its class is found by name.

    ``citation`` lists BibTeX keys of ``coplay.cli.citations`` for what the class implements.
    """

    citation: ClassVar[tuple[str, ...]] = ()

    def __eq__(self, other: object) -> bool:
        """Same class, same settings; what an instance has learned or counted does not matter."""
        return (
            isinstance(other, Component)
            and type(self) is type(other)
            and self._settings() == other._settings()
        )

    def __hash__(self) -> int:
        return hash((type(self), repr(self._settings())))

    def _settings(self) -> dict[str, Any]:
        """The fields; attributes that an instance gave itself, whose names begin with an underscore, are none."""
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    @classmethod
    def tiny(cls) -> Self:
        """The smallest sensible instance, for the contract tests and the documentation."""
        return cls()

    def fresh(self) -> Self:
        """A new instance with the same settings, which shares nothing with this one."""
        return type(self).model_validate(self.model_dump(exclude_unset=True))


def names(kind: str) -> list[str]:
    """Names of all components of a kind that coplay ships.

    Args:
        kind: A key of :data:`FOLDERS`, such as ``"model"``.

    Example:
        >>> "sample_exchange" in names("game")
        True
    """
    package = importlib.import_module(FOLDERS[kind])
    found = []
    for module in pkgutil.iter_modules(package.__path__):
        if module.name != "base" and _own_class(
            importlib.import_module(f"{FOLDERS[kind]}.{module.name}"), kind
        ):
            found.append(module.name)
    return sorted(found)


def find(kind: str, name: str) -> type:
    """The class of a component.

    Args:
        kind: A key of :data:`FOLDERS`.
        name: The module's name in that folder, or ``"package.module:Class"``.

    Raises:
        ValueError: There is none; the message lists the known names, the nearest first.

    Example:
        >>> find("game", "sample_exchange").__name__
        'SampleExchange'
    """
    if ":" in name:
        found = imported(name, kind)
        if not inspect.isclass(found):
            raise ValueError(f"the {kind} {name!r} is no class but {type(found).__name__}")
        return found
    module = f"{FOLDERS[kind]}.{name}"
    # look before importing: finding one component must not load the others, which may need extras
    there = name.isidentifier() and name != "base" and importlib.util.find_spec(module) is not None
    own = _own_class(importlib.import_module(module), kind) if there else None
    if own is None:
        package, dot, attribute = name.rpartition(".")
        instead = f"{package}:{attribute}" if dot else "package.module:Class"
        raise ValueError(
            f"unknown {kind} {name!r}; known, nearest first: {nearest(name, names(kind))} (a class of your own: {instead!r})"
        )
    return own


def imported(name: str, kind: str = "class") -> Any:
    """What ``"package.module:Name"`` names.

    Args:
        name: Where it is.
        kind: What it is to be, for the error.

    Raises:
        ValueError: It cannot be imported; the message says why and where was looked.

    Example:
        >>> imported("math:pi")
        3.141592653589793
    """
    module_name, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except Exception as error:  # a user's module may fail in any way
        why = f"{type(error).__name__}: {error}"
        if module_name == "__main__":
            why += (
                "; a class of a script is known to that script only, put it in a module of its own"
            )
        elif (
            isinstance(error, ModuleNotFoundError)
            and error.name
            and module_name.startswith(error.name)
        ):
            why += f"; looked among the installed packages and in {_looked_in()}, PYTHONPATH=FOLDER adds one"
        raise ValueError(
            f"cannot import the {kind} {name!r} ({why}); expected 'package.module:Class'"
        ) from None


def _looked_in() -> str:
    """The folders beside the installed packages where modules are looked for."""
    folders = dict.fromkeys(
        str(Path(place).resolve()) for place in sys.path if not place.endswith(".zip")
    )
    own = [place for place in folders if not place.startswith((sys.prefix, sys.base_prefix))]
    return " and ".join(own) or "no folder else"


def name_of(kind: str, component: object) -> str:
    """The name under which a config finds this component's class again."""
    cls = type(component)
    folder, _, module = cls.__module__.rpartition(".")
    return module if folder == FOLDERS[kind] else f"{cls.__module__}:{cls.__qualname__}"


def _own_class(module: Any, kind: str) -> type | None:
    """The public component class that a module of a registry folder defines itself, if it does."""
    base = getattr(importlib.import_module(f"{FOLDERS[kind]}.base"), BASES[kind])
    for cls in vars(module).values():
        own = inspect.isclass(cls) and cls.__module__ == module.__name__ and issubclass(cls, base)
        if own and not cls.__name__.startswith("_") and not inspect.isabstract(cls):
            return cls
    return None
