"""Approval at a site: a person looks at what would leave before anything does."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coplay.core import storage
from coplay.core.components import name_of
from coplay.core.errors import ConfigError
from coplay.run.config import Config
from coplay.run.site_file import SiteFile
from coplay.site.holdings import Holdings

if TYPE_CHECKING:
    from coplay.run.own_data import OwnData

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


@dataclass(frozen=True)
class Approval:
    """What was approved of a site that holds its messages back until then.

    Args:
        rows: Digest of the rows that it had then; empty where nothing is approved.
        advice: What its people type to look at what would leave, and to approve it.
    """

    rows: str
    advice: str


def approve(path: Path, file: SiteFile, config: Config, held: Holdings) -> Path:
    """Write down that a site file was approved, and return where.

    Args:
        path: The site file.
        file: What it says.
        config: The federation.
        held: The rows of the site; other ones are to be approved anew.
    """
    target = path.resolve().parent / APPROVED
    values = {"site": file.name, "digest": digest_of(file, config), "rows": held.digest}
    # a digest of rows helps to guess at them, so it is for the site's own people
    storage.write_atomically(target, (json.dumps(values, indent=1) + "\n").encode(), private=True)
    return target


def approval_of(config: Config, name: str) -> Approval | None:
    """Return what was approved of a site; None for one that holds nothing back.

    Args:
        config: The federation.
        name: A site with a file.
    """
    file = config.site_files[name]
    if not file.hold:
        return None
    path = Path(config.players[name].site or "")
    try:
        values = json.loads((path.resolve().parent / APPROVED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        values = None
    rows = ""
    if isinstance(values, dict) and isinstance(values.get("rows"), str):
        is_same = values.get("site") == file.name and values.get("digest") == digest_of(
            file, config
        )
        rows = values["rows"] if is_same else ""
    federation = "FEDERATION" if config.file is None else _shown(config.file)
    given = f"{_shown(path)} --federation {federation}"
    return Approval(
        rows,
        f"look at what would leave with 'coplay site preview {given}', then "
        f"'coplay site approve {given}'",
    )


def check_held(config: Config) -> None:
    """Refuse sites whose messages are held back until somebody approves.

    Args:
        config: The federation.

    Raises:
        ConfigError: Somebody has to look at them first; with the commands to type.
    """
    faults = []
    for name in config.site_files:
        approval = approval_of(config, name)
        if approval is not None and not approval.rows:
            faults.append(_held_back(name, approval))
    if faults:
        raise ConfigError(faults)


def check_approved_rows(name: str, approval: Approval | None, held: Holdings) -> None:
    """Refuse to play with other rows than those that were there when the site was approved.

    Args:
        name: The site.
        approval: What was approved; None for a site that holds nothing back.
        held: Its rows.

    Raises:
        ConfigError: They are others.
    """
    if approval is not None and approval.rows != held.digest:
        others = ""
        if approval.rows:
            others = ", and its rows are others than those that were approved"
        raise ConfigError([_held_back(name, approval, others)])


def _held_back(name: str, approval: Approval, others: str = "") -> str:
    return (
        f"site {name!r} holds its messages back until they are approved there{others}: "
        f"{approval.advice}"
    )


def check_read_rows(sites: Mapping[str, OwnData]) -> None:
    """Refuse other rows than those that were approved, of sites that were read in this process.

    Raises:
        ConfigError: With all sites that have such rows.
    """
    faults: list[str] = []
    for name, own in sites.items():
        try:
            if own.held is not None:
                check_approved_rows(name, own.approval, own.held)
        except ConfigError as error:
            faults += error.problems
    if faults:
        raise ConfigError(faults)


def _shown(path: Path) -> str:
    """Write a path as one types it: from this folder, if it lies below."""
    full = path.expanduser().resolve()
    return shlex.quote(
        str(full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full)
    )


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
