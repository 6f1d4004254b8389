"""The Flower app that travels: three small texts that import coplay where it is installed."""

from __future__ import annotations

from pathlib import Path

from coplay.core.inside import file_name
from coplay.core.text import visible

SERVER = "server"
CLIENT = "client"

_PROJECT = """\
# The Flower app of the federation {shown}. It holds no code of its own: what plays is the coplay
# that each party has installed. A site runs this app and no other.
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{project}"
version = "1.0.0"
description = "coplay over Flower"
dependencies = []

[tool.hatch.build.targets.wheel]
packages = ["coplay_app"]

[tool.flwr.app]
publisher = "coplay"

[tool.flwr.app.components]
serverapp = "coplay_app.server:app"
clientapp = "coplay_app.client:app"

# What 'coplay serve' says of a run; the keys have to be here already.
[tool.flwr.app.config]
federation = ""
out = ""
resume = ""
nodes = ""
failure = ""
"""

_PACKAGE = '''\
"""What Flower loads of coplay."""
'''

_SHIM = '''\
"""The {side} app of coplay."""

from coplay.run.flower_apps import {name} as app

__all__ = ["app"]
'''


def app_texts(federation: str) -> dict[Path, str]:
    """Return the files of the app, by their paths inside its folder.

    The same name gives the same bytes, so that a site can tell this app from any other.

    Args:
        federation: Name of the federation.
    """
    return {
        Path("pyproject.toml"): _PROJECT.format(
            shown=visible(federation), project=_project_name(federation)
        ),
        Path("coplay_app/__init__.py"): _PACKAGE,
        Path("coplay_app/server.py"): _SHIM.format(side="coordinator's", name=SERVER),
        Path("coplay_app/client.py"): _SHIM.format(side="site's", name=CLIENT),
    }


def _project_name(federation: str) -> str:
    """Return a name that Flower takes: lower-case letters, digits and hyphens.

    Example:
        >>> _project_name("Three.Hospitals")
        'coplay-three-hospitals'
    """
    plain = file_name(federation).lower()
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in plain)
    return f"coplay-{kept.strip('-') or 'federation'}"
