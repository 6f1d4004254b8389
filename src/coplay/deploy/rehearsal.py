"""All parties of a deployment on one machine, each in its own folder, by their own commands."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from coplay.core import storage
from coplay.core.errors import ConfigError, EngineError, RunFolderError
from coplay.deploy import keys
from coplay.deploy.folder import FOR_SITES, founded
from coplay.deploy.processes import Child, free_port, start, together
from coplay.run.config import Config
from coplay.run.deployment import DeploySection

COORDINATOR = "coordinator"
LIMIT_SECONDS = 3600.0
END_SECONDS = 90.0


def rehearse(config: Config, federation: Path, out: Path, tell: Callable[[str], None]) -> list[str]:
    """Play a federation that names site files as if its parties were organisations.

    Flower's SuperLink, the proxy and the SuperNodes run on loopback with certificates and keys made
    for the rehearsal, at free ports. Each party that goes on is the command that people would type.

    Args:
        config: The federation.
        federation: Its file.
        out: A folder for all parties, which must not exist.
        tell: Called with each command, and with what the parties say.

    Returns:
        Where the coordinator's report and each site's page are.

    Raises:
        ConfigError: A player has no site file.
        EngineError: A command failed.
    """
    without = [name for name, player in config.players.items() if player.site is None]
    if without:
        raise ConfigError(
            f"players.{name}.site: expected the path of a site file, so that this site can be "
            "played here"
            for name in without
        )
    if out.exists():
        raise RunFolderError(f"{out} exists already; name another folder with --out")
    out = out.resolve()
    storage.make_folder(out)
    home = out / COORDINATOR
    agreed = home / "federation.toml"
    typed = Typist(tell)
    now = dt.datetime.now(dt.UTC)
    ports = out / "federation.toml"
    storage.write_atomically(ports, with_ports(federation).encode())
    typed.show("deploy", "init", ports, "--out", home)
    founded(ports, home).write()
    typed.show("deploy", "keys", agreed)
    keys.write_coordinator_keys(home / "keys", config.name, [DeploySection().address], now)
    for name, player in config.players.items():
        found_site(name, Path(player.site or ""), out / name, home)
        typed.show("deploy", "keys", "--site", name, "--out", out / name)
        keys.write_site_keys(name, out / name)
        shutil.copy(out / name / f"{name}.pub", home / "keys" / keys.SITES)
    with together() as children:
        for name in config.player_names:
            folder = out / name
            children.append(typed.begin(name, "site", "join", folder / "site.toml", log=folder))
        run = home / "run"
        serving = typed.begin(COORDINATOR, "serve", agreed, "--out", run, log=home)
        children.append(serving)
        _follow(serving, children, tell)
        for child in children:
            child.interrupt()
    pages = [out / name / "private" / "sites" / name / "page.html" for name in config.player_names]
    missing = [str(page) for page in pages if not page.exists()]
    if missing:
        raise EngineError(f"no page was written: {', '.join(missing)}")
    sites = [f"page of {n}: {p}" for n, p in zip(config.player_names, pages, strict=True)]
    return [f"report of the coordinator: {run / 'report.html'}", *sites]


class Typist:
    """Shows what people would type, and calls coplay as they would where a party goes on."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def show(self, *words: object) -> None:
        """Show a command whose work is done here, where coplay need not be loaded anew."""
        self._tell(f"$ coplay {' '.join(map(str, words))}")

    def begin(self, name: str, *words: object, log: Path) -> Child:
        """Begin a command that goes on."""
        self.show(*words)
        child = start(name, self._command(words), os.environ, log / "output.log")
        child.grace = END_SECONDS  # it ends what it started itself, and a site writes its page
        return child

    @staticmethod
    def _command(words: Sequence[object]) -> list[str]:
        return [sys.executable, "-m", "coplay", *map(str, words)]


def with_ports(federation: Path) -> str:
    """Return the federation with ports that are free, on loopback, and full paths of site files."""
    values: dict[str, Any] = tomllib.loads(federation.read_text(encoding="utf-8"))
    values.setdefault("name", federation.stem)
    section = DeploySection(port=free_port(), link_port=free_port())
    values["deploy"] = section.model_dump(mode="json")
    for player in values["players"].values():
        player["site"] = str((federation.resolve().parent / player["site"]).resolve())
    return tomli_w.dumps(values)


def found_site(name: str, file: Path, folder: Path, coordinator: Path) -> None:
    """Give a site a folder of its own, with what the coordinator hands out."""
    storage.make_folder(folder)
    folder.chmod(0o700)
    shutil.copytree(coordinator / FOR_SITES / "app", folder / "app")
    shutil.copy(coordinator / FOR_SITES / "federation.toml", folder)
    shutil.copy(coordinator / "keys" / keys.AUTHORITY, folder)
    values = tomllib.loads(file.read_text(encoding="utf-8"))
    home = file.resolve().parent
    for place in ("source", "test"):
        source = values["data"].get(place)
        for key in ("file", "folder") if isinstance(source, dict) else ():
            if key in source:
                source[key] = str(home / Path(source[key]).expanduser())
    values["connection"] = {
        "federation": "federation.toml",
        "authority": keys.AUTHORITY,
        "key": f"{name}.key",
        "app": "app",
        "home": "private",
    }
    storage.write_atomically(folder / "site.toml", tomli_w.dumps(values).encode())


def _follow(serving: Child, children: Sequence[Child], tell: Callable[[str], None]) -> None:
    """Show what the parties say until the coordinator has ended.

    Raises:
        EngineError: It failed, or took too long.
    """
    shown = dict.fromkeys([child.name for child in children], 0)
    begin = time.monotonic()
    while True:
        running = serving.is_running
        for child in children:
            lines = child.log.read_text(encoding="utf-8", errors="replace").splitlines()
            for line in lines[shown[child.name] :]:
                tell(f"{child.name}: {line}")
            shown[child.name] = len(lines)
        if not running:
            break
        if time.monotonic() - begin > LIMIT_SECONDS:
            raise EngineError(f"the rehearsal took more than {LIMIT_SECONDS / 60:.0f} minutes")
        time.sleep(1.0)
    if serving.code:
        raise EngineError(f"the coordinator ended with {serving.code}")
