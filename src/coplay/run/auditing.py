"""Audits of a finished run: what samples of a player keep of the rows that it learned from.

RUN/sites/NAME/audit.json, mode 600   the audits of a player, the last one of each game
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coplay.core import storage
from coplay.core.components import nearest
from coplay.core.errors import RunFolderError
from coplay.core.surroundings import own_settings
from coplay.run.audit_rows import audit_rows
from coplay.run.result import Result
from coplay.run.sampling import load_player
from coplay.run.site_file import SiteFile
from coplay.run.site_folders import site_folder
from coplay.run.watching import promise_of
from coplay.site.audits.auditing import AFTERWARDS, Report, audit
from coplay.site.audits.one_run import Promise
from coplay.site.judging import write_privately

FILE = "audit.json"
"""File, in a player's own folder of a run, of its audits afterwards."""

SMOKE_ALARM = (
    "memorisation (copies_share and partial_copies_share) is a smoke alarm: where it rings, "
    "samples repeat rows; where it is silent, nothing follows, since distances do not predict "
    "whether members can be told from others. An audit shows what its own attackers achieve "
    "against control rows; what they do not achieve, stronger ones may"
)
"""What the metric is worth beside audits."""

_FEWEST = 4000  # samples that are drawn
_EACH = 5  # samples for each member, so that most of what is repeated turns up


@dataclass(frozen=True)
class PlayerAudit:
    """The audit of one player's samples after a game.

    Args:
        player: Whose rows were attacked.
        game: The game.
        samples_of: Whose model drew the samples: the player's, or that of a seat for everybody.
        report: What came of it.
    """

    player: str
    game: str
    samples_of: str
    report: Report

    def json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"game": self.game, "samples_of": self.samples_of, **self.report.json()}


def audit_player(
    result: Result, player: str, game: str | None = None, n: int | None = None
) -> PlayerAudit:
    """Draw samples of a player's model and attack its rows with them.

    Args:
        result: The run.
        player: The player's name.
        game: The game; the main one by default.
        n: How many samples are drawn; by default five for each member, and at least 4,000.

    Raises:
        RunFolderError: There is no such game or player, or its rows or its model are elsewhere.
        CoplayError: Rows or model cannot be read.
    """
    game = game or result.main.name
    if game not in result.plays:
        raise RunFolderError(
            f"{result.folder} has no game {game!r}; it has {', '.join(result.plays)}"
        )
    if player not in result.players:
        known = nearest(player, result.players)
        raise RunFolderError(
            f"{result.folder} has no player {player!r}; known, nearest first: {known}"
        )
    givers = result.sampled_from[game]
    giver = player if player in givers else givers[0]
    drawer = load_player(result.folder, giver, game, result.trust)
    rows = audit_rows(result, player, game)
    count = n or min(AFTERWARDS.samples, max(_FEWEST, _EACH * len(rows.members.rows)))
    with own_settings(threads=1):
        samples = drawer.draw(count, 0, "audit")
    promise = _promise(result, player)
    return PlayerAudit(player, game, giver, audit(rows, samples, promise=promise))


def _promise(result: Result, player: str) -> Promise | None:
    """Return what a player promises, as its site file says now."""
    site = result.config.players[player].site
    if site is None:
        return None
    return promise_of(SiteFile.from_file(Path(site).expanduser(), trust=False).privacy)


def write_audit(result: Result, made: PlayerAudit) -> Path:
    """Write an audit into the player's own folder, in the place of the last one of its game.

    Args:
        result: The run.
        made: The audit.

    Returns:
        The file.
    """
    others = [each for each in read_audits_of(result, made.player) if each.game != made.game]
    audits = [each.json() for each in [*others, made]]
    content = {"player": made.player, "audits": audits, "memorisation": SMOKE_ALARM}
    path = audit_file(result, made.player)
    write_privately(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    return path


def audit_file(result: Result, player: str) -> Path:
    """Return the file of a player's audits."""
    return site_folder(result.folder, player) / FILE


def read_audits_of(result: Result, player: str) -> Sequence[PlayerAudit]:
    """Return the audits of a player that were made after the run; empty without any.

    Raises:
        CheckpointError: The file is damaged.
    """
    path = audit_file(result, player)
    if not path.exists():
        return []
    try:
        audits = []
        for values in json.loads(path.read_text(encoding="utf-8"))["audits"]:
            report = Report.from_json(values)
            audits.append(PlayerAudit(player, values["game"], values["samples_of"], report))
        return audits
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise storage.damaged(path, error, "'coplay audit RUN' writes it anew") from error
