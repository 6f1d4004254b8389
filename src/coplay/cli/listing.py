"""``coplay list``: components, or one of them with all its settings."""

from __future__ import annotations

import argparse
import inspect
import re
from typing import Any

from coplay.cli.terminal import say
from coplay.core.errors import ConfigError

_SETTING = re.compile(r"^    (\w+): (.*)$")


def add_list(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("list", help="components and their settings")
    parser.add_argument(
        "kind",
        nargs="?",
        metavar="KIND_OR_NAME",
        help="source, partition, game, engine, model or metric; or the name of one of them",
    )
    parser.set_defaults(command=_list)


def _list(given: argparse.Namespace) -> None:
    from coplay.cli.tables import print_components
    from coplay.core.components import FOLDERS, names, nearest
    from coplay.core.plugins import plugins

    if given.kind is None:
        for kind in FOLDERS:
            print_components(kind)
        return
    if given.kind.removesuffix("s") in FOLDERS:
        print_components(given.kind.removesuffix("s"))
        return
    kinds = [kind for kind in FOLDERS if given.kind in names(kind)]
    everything = [*FOLDERS]
    is_declared = False
    for kind in FOLDERS:
        everything += names(kind)
        for plugin in plugins(kind):
            everything.append(plugin.name)
            if plugin.name == given.kind:
                is_declared = True
                say(f"{kind} {plugin.name}")
                say(plugin.title)
    if not kinds and not is_declared:
        known = ", ".join(nearest(given.kind, everything).split(", ")[:6])
        raise ConfigError(
            [f"unknown kind or component {given.kind!r}; known, nearest first: {known}"]
        )
    for kind in kinds:
        for line in described(kind, given.kind):
            say(line)


def described(kind: str, name: str) -> list[str]:
    """Return what a component is, and its settings with types, ranges, defaults and meanings.

    Example:
        >>> described("metric", "fid")[0]
        'metric fid'
    """
    from coplay.core.components import find

    cls: Any = find(kind, name)
    documentation = inspect.getdoc(cls) or ""
    lines = [f"{kind} {name}", documentation.split("\n\n")[0].replace("``", "")]
    meanings = _meanings(cls)
    for key, field in cls.model_fields.items():
        default = "required"
        if not field.is_required():
            default = f"default {field.get_default(call_default_factory=True)!r}"
        limits = ", ".join(map(str, field.metadata))
        type_name = str(field.annotation).removeprefix("<class '").removesuffix("'>")
        type_name = type_name.replace("typing.", "").replace("coplay.", "")
        head = f"  {key}: {type_name}"
        if limits:
            head += f" ({limits})"
        lines += [f"{head}, {default}", f"      {meanings.get(key, '')}"]
    if not cls.model_fields:
        lines.append("  no settings")
    return lines


def _meanings(cls: Any) -> dict[str, str]:
    """Read the meanings of settings from the docstrings of a class and its bases."""
    meanings: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        key = ""
        for line in (inspect.cleandoc(base.__doc__ or "")).splitlines():
            match = _SETTING.match(line)
            if match:
                key = match.group(1)
                meanings[key] = match.group(2).replace("``", "")
            elif key and line.startswith("        "):
                meanings[key] += " " + line.strip().replace("``", "")
            else:
                key = ""
    return meanings
