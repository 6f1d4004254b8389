"""Components of installed packages: a package declares a name, and a config may use it.

A package outside coplay has in its ``pyproject.toml``::

    [project.entry-points."coplay.models"]
    my_model = "my_package.models:MyModel"

``model = "my_model"`` then stands for ``model = "my_package.models:MyModel"``, and is trusted or
refused like it. What packages declare is read as text: nothing of theirs is imported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from coplay.core.errors import ComponentError

GROUPS = {
    "source": "coplay.sources",
    "partition": "coplay.partitions",
    "game": "coplay.games",
    "engine": "coplay.engines",
    "model": "coplay.models",
    "metric": "coplay.metrics",
    "stand_in": "coplay.stand_ins",
}
"""Kind of component to the group of entry points in which packages declare theirs."""


@dataclass(frozen=True)
class Plugin:
    """A component that an installed package declares.

    Args:
        name: What configs call it.
        class_name: The class as ``"package.module:Class"``.
        package: The package and its version, as they are installed.
    """

    name: str
    class_name: str
    package: str

    @property
    def title(self) -> str:
        """What it is, as far as can be said without importing it."""
        return f"{self.class_name} of {self.package}; imported where a config names it"


def plugins(kind: str) -> list[Plugin]:
    """Return what installed packages declare of a kind, by name; nothing of them is imported.

    Args:
        kind: A key of :data:`GROUPS`.

    Example:
        >>> [plugin.name for plugin in plugins("partition")]
        []
    """
    declared = {_plugin(each) for each in entry_points(group=GROUPS[kind])}
    return sorted(declared, key=lambda plugin: (plugin.name, plugin.class_name, plugin.package))


def plugin_class(kind: str, name: str) -> str | None:
    """Return the class that a package declares under a name; None if none does.

    Args:
        kind: A key of :data:`GROUPS`.
        name: What a config calls it.

    Raises:
        ComponentError: Packages declare different classes under the name.
    """
    declared = [plugin for plugin in plugins(kind) if plugin.name == name]
    classes = {plugin.class_name for plugin in declared}
    if len(classes) > 1:
        raise ComponentError(
            f"expected one {kind} called {name!r}, and installed packages declare several: "
            f"{listed(declared)}. Name the class that you mean in its place, or uninstall the "
            "other package"
        )
    return declared[0].class_name if declared else None


def listed(declared: Sequence[Plugin]) -> str:
    """Return classes with the packages that declare them, as a text."""
    return " and ".join(f"{plugin.class_name} (of {plugin.package})" for plugin in declared)


def _plugin(point: EntryPoint) -> Plugin:
    package = "an unknown package"
    if point.dist is not None:
        package = f"{point.dist.name} {point.dist.version}"
    # value may end with extras, which name no code
    return Plugin(point.name, f"{point.module}:{point.attr}", package)
