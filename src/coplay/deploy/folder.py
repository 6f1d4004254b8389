"""The folder of a coordinator: what all agreed on, app, proxy, units, and who runs what."""

from __future__ import annotations

import getpass
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from coplay.core import storage
from coplay.core.errors import ConfigError
from coplay.deploy.agreed import agreed_text
from coplay.deploy.app_folder import app_texts
from coplay.deploy.guide import coordinator_guide, site_guide
from coplay.deploy.proxy import ProxyPlace, proxy_text
from coplay.deploy.units import Program, proxy_unit, serve_unit, site_unit, unit_name
from coplay.run.config import Config
from coplay.run.deployment import DeploySection

FEDERATION = "federation.toml"
APP = "app"
PROXY = "proxy"
UNITS = "systemd"
AT_SITES = "/srv/coplay"
"""Where a site's unit expects coplay and the site's folder, until the site writes its own paths."""

FOR_SITES = "for-sites"
"""What every site gets, which is nothing secret."""


@dataclass(frozen=True)
class Founded:
    """The files of a folder, and what is said of them."""

    files: dict[Path, str]
    lines: list[str]

    def write(self) -> None:
        """Write all files."""
        for path, text in self.files.items():
            storage.write_atomically(path, text.encode())


def founded(federation: Path, out: Path) -> Founded:
    """Draft the folder of a coordinator.

    Args:
        federation: The federation's file.
        out: The folder, which must not exist, or be empty.

    Raises:
        ConfigError: The federation cannot be deployed, or the folder is taken; with all faults.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError([f"{out} exists already; name another folder with --out"])
    agreed = agreed_text(federation)
    config = Config.from_toml(agreed, origin=str(federation), trust=False)
    section = config.deploy
    assert section is not None, "the agreed text has the section"
    out = out.resolve()
    files = {out / FEDERATION: agreed}
    app = app_texts(config.name)
    for folder in (out / APP, out / FOR_SITES / APP):
        files.update({folder / path: text for path, text in app.items()})
    files |= _machinery(config, section, out)
    files[out / FOR_SITES / FEDERATION] = agreed
    sites = config.player_names
    files[out / "README.md"] = coordinator_guide(config.name, section, sites, out)
    files[out / FOR_SITES / "README.md"] = site_guide(config.name, section, sites)
    lines = [
        f"{config.name}: {len(sites)} sites ({', '.join(sites)}), reached at "
        f"{section.address}:{section.port}",
        f"written: {out}; README.md there says who runs which command",
        f"next: coplay deploy keys {shlex.quote(str(out / FEDERATION))}",
    ]
    if section.listen in ("127.0.0.1", "::1", "localhost"):
        lines.insert(
            1,
            "the proxy listens on this machine's loopback only, as nothing else was said; for "
            'sites elsewhere write [deploy] address = "the name that they know" and listen = '
            f'"0.0.0.0" into {federation}, and begin again',
        )
    return Founded(files, lines)


def _machinery(config: Config, section: DeploySection, out: Path) -> Mapping[Path, str]:
    """Return the configuration of the proxy and the units."""
    name = config.name
    place = ProxyPlace(out / PROXY, section.keys_folder(out))
    program = _program()
    user = getpass.getuser()
    files = {
        place.file: proxy_text(name, section, place),
        out / UNITS / unit_name(name, "proxy"): proxy_unit(name, place, program, user),
        out / UNITS / unit_name(name, "serve"): serve_unit(name, out, out / "run", program, user),
    }
    there = Program((f"{AT_SITES}/venv/bin/coplay",), program.nginx)
    for site in config.player_names:
        path = out / FOR_SITES / UNITS / unit_name(name, f"site-{site}")
        file = Path(AT_SITES, name, "site.toml")
        files[path] = site_unit(name, site, file, there, "coplay")
    return files


def _program() -> Program:
    """Return how coplay and nginx are called on this machine."""
    coplay = (sys.executable, "-m", "coplay")
    return Program(coplay, Path(shutil.which("nginx") or "/usr/sbin/nginx"))


def folder_of(federation: Path) -> Path:
    """Return the coordinator's folder that a federation's file lies in.

    Raises:
        ConfigError: What 'coplay deploy init' writes is not there.
    """
    home = federation.resolve().parent
    needed = [home / APP / "pyproject.toml", home / PROXY / "nginx.conf"]
    missing = [path for path in needed if not path.exists()]
    if missing:
        raise ConfigError(
            f"{path} is not there; 'coplay deploy init {federation} --out FOLDER' writes a folder "
            "with it, whose federation.toml is the one to serve"
            for path in missing
        )
    return home
