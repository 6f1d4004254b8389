"""Components: the folder is the registry, and a component's class is its own config section.

``game.name = "sample_exchange"`` names the one class that ``games/sample_exchange.py`` defines;
``"my_pkg.mod:Cls"`` names a class of the user's, and so does a name that an installed package
declares (:mod:`coplay.core.plugins`). A new model, game, engine, metric, source or partition is one
new file in its folder.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from coplay.core.errors import FAILURES, ComponentError
from coplay.core.plugins import plugin_class, plugins

FOLDERS = {
    "source": "coplay.data.sources",
    "partition": "coplay.data.partitions",
    "game": "coplay.games",
    "engine": "coplay.engines",
    "model": "coplay.models",
    "metric": "coplay.metrics",
    "stand_in": "coplay.site.stand_ins",
}
"""Kind of component to the package whose modules are its registry."""

BASES = {
    "source": "Source",
    "partition": "Partition",
    "game": "Game",
    "engine": "Engine",
    "model": "LocalModel",
    "metric": "Metric",
    "stand_in": "StandIn",
}
"""Kind of component to the name of its base class."""


READING: Mapping[str, bool] = {"imports": False}
"""Context of a validation that imports nothing outside coplay."""


def may_import(info: ValidationInfo) -> bool:
    """Whether a validation may import classes outside coplay; only :data:`READING` forbids it."""
    return info.context is None or bool(info.context.get("imports", True))


_CODE = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")  # "package.module:Name"


def texts_in(value: Any) -> list[str]:
    """Return all texts in a plain value, the keys of mappings left out.

    Example:
        >>> texts_in({"file": "t.npz", "rows": [1, "a"]})
        ['t.npz', 'a']
    """
    if isinstance(value, str):
        return [value]
    inner: Iterable[Any] = ()
    if isinstance(value, Mapping):
        inner = value.values()
    elif isinstance(value, list | tuple):
        inner = value
    texts: list[str] = []
    for item in inner:
        texts += texts_in(item)
    return texts


def nearest(name: str, known: Iterable[str]) -> str:
    """List the known names, the nearest to ``name`` first.

    Example:
        >>> nearest("roudns", ["local_steps", "rounds"])
        'rounds, local_steps'
    """

    def distance(other: str) -> tuple[float, str]:
        return -difflib.SequenceMatcher(None, name, other).ratio(), other

    return ", ".join(sorted(known, key=distance)) or "none"


class Section(BaseModel):
    """A frozen part of a config; the error for an unknown key lists the nearest known ones."""

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
                    # pydantic's own words lack the value; ours and those of our validators have it
                    message = f"{message[0].lower()}{message[1:]}, got {item['input']!r}"
                kind = PydanticCustomError("coplay", message)
                details.append({"type": kind, "loc": item["loc"], "input": item["input"]})
            raise ValidationError.from_exception_data(cls.__name__, details) from None


class Component(Section):
    """Base of everything that a config names: the fields are its settings.

    ``citation`` lists BibTeX keys of ``coplay.cli.citations`` for what the class implements.
    """

    citation: ClassVar[tuple[str, ...]] = ()

    def __eq__(self, other: object) -> bool:
        """Compare class and settings; what an instance has learned or counted does not matter."""
        if not isinstance(other, Component) or type(self) is not type(other):
            return False
        return self._settings() == other._settings()

    def __hash__(self) -> int:
        return hash((type(self), repr(self._settings())))

    def _settings(self) -> dict[str, Any]:
        """Return the fields, without attributes that an instance set itself (named ``_…``)."""
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    @classmethod
    def tiny(cls) -> Self:
        """Return the smallest sensible instance, for the contract tests and the documentation."""
        return cls()

    def fresh(self) -> Self:
        """Return a new instance with the same settings, which shares nothing with this one."""
        # what coplay's own settings name was imported before, or must not be
        context = READING if type(self).__module__.startswith("coplay.") else None
        return type(self).model_validate(self.model_dump(exclude_unset=True), context=context)

    def outside(self) -> list[str]:
        """Names of code outside coplay that the settings name and that using them would run.

        Every text of the form ``"package.module:Name"`` counts, whatever it is for.
        """
        return [text for text in texts_in(self._settings()) if _CODE.fullmatch(text)]


def names(kind: str) -> list[str]:
    """Return the names of all components of a kind that coplay ships, sorted.

    Args:
        kind: A key of :data:`FOLDERS`, such as ``"model"``.

    Raises:
        ComponentError: There is no such kind.

    Example:
        >>> "sample_exchange" in names("game")
        True
    """
    package = importlib.import_module(_folder(kind))
    shipped = []
    for info in pkgutil.iter_modules(package.__path__):
        if info.name == "base":
            continue
        module = importlib.import_module(f"{FOLDERS[kind]}.{info.name}")
        if _own_class(module, kind):
            shipped.append(info.name)
    return sorted(shipped)


def find(kind: str, name: str) -> type:
    """Return the class of a component; one outside coplay is imported.

    Args:
        kind: A key of :data:`FOLDERS`.
        name: The module's name in that folder, a name that an installed package declares, or
            ``"package.module:Class"``.

    Raises:
        ComponentError: No component has that name; the message lists the known names, nearest
            first. It is a ``ValueError`` too.

    Example:
        >>> find("game", "sample_exchange").__name__
        'SampleExchange'
    """
    full = full_name(kind, name)
    if ":" in full:
        cls = imported(full, kind)
        if not inspect.isclass(cls):
            raise ComponentError(
                f"the {kind} {full!r} is no class but {type(cls).__name__}; expected "
                "'package.module:Class'"
            )
        return cls
    if ships(kind, name):
        own = _own_class(importlib.import_module(f"{FOLDERS[kind]}.{name}"), kind)
        if own is not None:
            return own
    package, dot, attribute = name.rpartition(".")
    # with a dot it was probably meant as a class of the user's, so that is spelled out
    instead = f"{package}:{attribute}" if dot else "package.module:Class"
    known = [*names(kind), *(plugin.name for plugin in plugins(kind))]
    raise ComponentError(
        f"unknown {kind} {name!r}; known, nearest first: {nearest(name, known)} "
        f"(a class of your own: {instead!r})"
    )


def ships(kind: str, name: str) -> bool:
    """Whether coplay itself has a module for a component of this name; nothing is imported.

    Example:
        >>> ships("game", "sample_exchange"), ships("game", "my_pkg.games:Mine")
        (True, False)
    """
    # look before importing: finding one component must not load the others, which may need extras
    module = f"{_folder(kind)}.{name}"
    return name.isidentifier() and name != "base" and importlib.util.find_spec(module) is not None


def full_name(kind: str, name: str) -> str:
    """Return ``"package.module:Class"`` for a name that an installed package declares.

    Any other name stays as it is, one of coplay's own in any case. Nothing is imported.

    Args:
        kind: A key of :data:`FOLDERS`.
        name: As in :func:`find`.

    Raises:
        ComponentError: Packages declare different classes under the name.

    Example:
        >>> full_name("model", "acgan"), full_name("model", "my_pkg.models:Mine")
        ('acgan', 'my_pkg.models:Mine')
    """
    if ":" in name or ships(kind, name):
        return name
    return plugin_class(kind, name) or name


def _folder(kind: str) -> str:
    """Return the package of a kind.

    Raises:
        ComponentError: There is no such kind.
    """
    if kind not in FOLDERS:
        raise ComponentError(
            f"unknown kind {kind!r}; known, nearest first: {nearest(kind, FOLDERS)}"
        )
    return FOLDERS[kind]


def imported(name: str, kind: str = "class") -> Any:
    """Import the object that ``"package.module:Name"`` names.

    Args:
        name: Module and attribute, separated by a colon.
        kind: What the object is to be, for the error.

    Raises:
        ComponentError: The import fails; the message says why, and which folders were searched.

    Example:
        >>> imported("math:pi")
        3.141592653589793
    """
    module_name, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except FAILURES as error:  # of a user's module; a script without a guard ends with SystemExit
        reason = f"{type(error).__name__}: {error}{_import_advice(module_name, error)}"
        # the cause stays: its words are those of foreign code, which may not be told to others
        raise ComponentError(
            f"cannot import the {kind} {name!r} ({reason}); expected 'package.module:Class'"
        ) from error


def _import_advice(module_name: str, error: BaseException) -> str:
    """Return what to add to an import error; empty where the error speaks for itself."""
    if module_name == "__main__":
        return "; a class of a script is known to that script only, put it in a module of its own"
    if isinstance(error, AttributeError) and module_name in sys.modules:
        # another module of that name may come first, such as code.py of the standard library
        place = getattr(sys.modules[module_name], "__file__", None) or "no file"
        return f"; the module is {place}, the first of that name"
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    # another module, which the named one imports, may be missing too: the path is not to blame then
    if missing and module_name.startswith(missing):
        folders = _searched_folders()
        return f"; looked among the installed packages and in {folders}, PYTHONPATH=FOLDER adds one"
    return ""


def _searched_folders() -> str:
    """List the folders where modules are looked for, without those of installed packages."""
    # a dict and not a set, to keep the order of sys.path
    folders = dict.fromkeys(str(Path(p).resolve()) for p in sys.path if not p.endswith(".zip"))
    own = [folder for folder in folders if not folder.startswith((sys.prefix, sys.base_prefix))]
    return " and ".join(own) or "no folder else"


def name_of(kind: str, component: object) -> str:
    """Return the name under which a config finds this component's class again."""
    cls = type(component)
    folder, _, module = cls.__module__.rpartition(".")
    if folder == FOLDERS[kind]:
        return module
    return f"{cls.__module__}:{cls.__qualname__}"


def _own_class(module: Any, kind: str) -> type | None:
    """Return the public component class that a module of a registry folder defines itself."""
    base = getattr(importlib.import_module(f"{FOLDERS[kind]}.base"), BASES[kind])
    for cls in vars(module).values():
        own = inspect.isclass(cls) and cls.__module__ == module.__name__ and issubclass(cls, base)
        if own and not cls.__name__.startswith("_") and not inspect.isabstract(cls):
            return cls
    return None
