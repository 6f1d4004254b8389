"""Approval at a site: a person looks at what would leave before anything does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from coplay.core import storage
from coplay.core.components import name_of
from coplay.core.errors import ConfigError
from coplay.run.config import Config
from coplay.run.site_file import SiteFile

APPROVED = "approved.json"
"""File beside a site file that says what was approved there."""

_ASKED = ("name", "variables", "model", "game", "compare", "measure", "reference")
"""What a federation asks of a site: of its model too, for some models give rows away."""


def digest_of(file: SiteFile, config: Config) -> str:
    """Return the digest of what a person approves: the site file and what the federation asks.

    Args:
        file: The site file as it is read.
        config: The federation.
    """
    asked = config.to_dict()
    parts = [
        file.model_dump(mode="json", exclude={"hold"}),
        {key: asked.get(key) for key in _ASKED},
        sorted(config.player_names),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def approve(path: Path, file: SiteFile, config: Config) -> Path:
    """Write down that a site file was approved, and return where."""
    target = path.resolve().parent / APPROVED
    storage.write_json(target, {"site": file.name, "digest": digest_of(file, config)})
    return target


def check_held(config: Config) -> None:
    """Refuse sites whose messages are held back until somebody approves.

    Args:
        config: The federation.

    Raises:
        ConfigError: Somebody has to look at them first; with the commands to type.
    """
    faults = []
    for name, file in config.site_files.items():
        path = Path(config.players[name].site or "")
        if not file.hold or _is_approved(path, file, config):
            continue
        faults.append(
            f"site {name!r} holds its messages back until they are approved there: look at what "
            f"would leave with 'coplay site preview {path} --federation FEDERATION', then "
            f"'coplay site approve {path} --federation FEDERATION'"
        )
    if faults:
        raise ConfigError(faults)


def check_accepted(config: Config) -> None:
    """Refuse a federation that asks a site for more than its file accepts.

    Raises:
        ConfigError: It does; with all that is refused.
    """
    faults = []
    for name, file in config.site_files.items():
        accepts = file.accepts
        for game in (config.game, *config.carried):
            title = name_of("game", game)
            if accepts.games is not None and title not in accepts.games:
                listed = ", ".join(accepts.games) or "none"
                faults.append(f"site {name!r} accepts the games {listed}, and not {title}")
            if accepts.rounds is not None and game.rounds > accepts.rounds:
                faults.append(
                    f"site {name!r} accepts {accepts.rounds} rounds, and {title} has {game.rounds}"
                )
            samples = getattr(game, "samples_per_round", 0)
            if accepts.samples is not None and samples > accepts.samples:
                faults.append(
                    f"site {name!r} draws at most {accepts.samples} samples for one receiver, and "
                    f"{title} may ask for {samples}"
                )
    if faults:
        raise ConfigError(faults)


def _is_approved(path: Path, file: SiteFile, config: Config) -> bool:
    approved = path.resolve().parent / APPROVED
    try:
        values = json.loads(approved.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    same = {"site": file.name, "digest": digest_of(file, config)}
    return isinstance(values, dict) and values == same
