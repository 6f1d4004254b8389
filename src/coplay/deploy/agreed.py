"""What all parties of a federation agree on, without anybody's path: the file for all."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import tomli_w

from coplay.core.components import name_of
from coplay.core.errors import ConfigError
from coplay.games.base import Game
from coplay.run.config import Config
from coplay.run.deployment import DeploySection
from coplay.run.foreign import unread_class

_SITE = re.compile(r"\s*site\s*=")


def agreed_text(path: Path) -> str:
    """Return a federation's file without the paths that simulations need, and with ``[deploy]``.

    Comments and order stay where a path stands on a line of its own.

    Args:
        path: The file.

    Raises:
        ConfigError: It cannot be read, or is nothing that can be deployed; with all faults.
    """
    config = Config.from_file(path, trust=False)
    faults = faults_of(config, may_have_paths=True)
    if faults:
        raise ConfigError(f"{path}: {fault}" for fault in faults)
    text = path.read_text(encoding="utf-8")
    values = tomllib.loads(text)
    wanted = _without_paths(values)
    wanted.setdefault("name", config.name)
    wanted.setdefault("deploy", _plain(config.deploy or DeploySection()))
    edited = _edited(text, values, wanted)
    return edited if _reads_as(edited, wanted) else tomli_w.dumps(wanted)


def faults_of(config: Config, may_have_paths: bool = False) -> list[str]:
    """Say why a federation cannot be deployed.

    Args:
        config: The federation.
        may_have_paths: Whether it may name site files, as for a simulation.
    """
    faults = []
    if not config.variables:
        faults.append(
            "[variables]: expected the agreed variables, since each site must know what its "
            "columns are to be; 'coplay init' writes them"
        )
    for name, player in config.players.items():
        if player.site is not None and not may_have_paths:
            faults.append(
                f"players.{name}.site: a path of one party in the file of all; 'coplay deploy "
                "init' writes a file without"
            )
        if player.data is not None:
            faults.append(
                f"players.{name}.data: where the data of {name} are is its own affair: write them "
                "into its site file, and leave them out here"
            )
    names = {unread_class(game) or name_of("game", game) for game in played(config)}
    if "md_gan" in names:
        faults.append(
            "game: md_gan sends a message per iteration, tens of thousands in all, and between "
            "organisations each takes about 5 s; play sample_exchange, fl_gan or distillation, or "
            "md_gan inside one organisation (engine 'local' or 'ray')"
        )
    if "pooled" in names:
        faults.append("compare: pooled needs all rows in one place, which a deployment has not")
    return faults


def played(config: Config) -> list[Game]:
    """Return all games of a federation."""
    return [config.game, *config.carried]


def _without_paths(values: dict[str, Any]) -> dict[str, Any]:
    """Return a federation without the paths of its sites' files."""
    players = values.get("players")
    if not isinstance(players, dict):
        return dict(values)
    kept = {}
    for name, section in players.items():
        kept[name] = {key: value for key, value in section.items() if key != "site"}
    return {**values, "players": kept}


def _edited(text: str, values: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Return the text with lines taken out and put at its end."""
    kept = []
    of_player = False
    for line in text.splitlines():
        if line.lstrip().startswith("["):
            of_player = line.replace(" ", "").startswith("[players.")
        if not (of_player and _SITE.match(line)):
            kept.append(line)
    name = [] if "name" in values else [tomli_w.dumps({"name": wanted["name"]}).rstrip()]
    text = "\n".join([*name, *kept]).rstrip() + "\n"
    if "deploy" not in values:
        text += f"\n# Where the sites reach the coordinator.\n{_section(wanted['deploy'])}"
    return text


def _section(deploy: dict[str, Any]) -> str:
    return tomli_w.dumps({"deploy": deploy})


def _plain(section: DeploySection) -> dict[str, Any]:
    return section.model_dump(mode="json", exclude_none=True)


def _reads_as(text: str, wanted: dict[str, Any]) -> bool:
    """Whether an edited text says what it is to say."""
    try:
        return tomllib.loads(text) == wanted
    except tomllib.TOMLDecodeError:
        return False
