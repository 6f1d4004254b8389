"""``--site NAME=PATH``: the site files of a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coplay.core.errors import ConfigError
from coplay.run.config import Config


def config_with_sites(
    path: Path, overrides: Sequence[str], sites: Sequence[str], *, trust: bool = True
) -> Config:
    """Read a config, and give players the site files that are named.

    Args:
        path: The config.
        overrides: ``key.path=value`` each.
        sites: ``NAME=PATH`` each; a path is taken from the folder of the process.
        trust: Whether classes outside coplay that it names are imported.

    Raises:
        ConfigError: The config is at fault, an entry has no name and path, or two are of one site.
    """
    files: dict[str, Path] = {}
    faults = []
    for text in sites:
        name, equals, file = text.partition("=")
        if not equals or not name or not file:
            faults.append(f"--site {text}: expected NAME=PATH, such as north=a/site.toml")
        elif name in files:
            faults.append(f"--site {text}: the site {name!r} has {files[name]} already")
        files[name] = Path(file).expanduser()
    if faults:
        raise ConfigError(faults)
    config = Config.from_file(path, overrides, trust)
    return config.with_sites(files) if files else config
