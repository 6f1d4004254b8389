"""Audits while a game is played, on what was sent; their file is the site's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coplay.core import storage
from coplay.core.errors import FAILURES, SpaceError
from coplay.core.inside import file_name
from coplay.core.message import Message
from coplay.core.number_log import drop_from
from coplay.core.requests import Finish, Judge, Restore, Save
from coplay.core.space import Samples, join
from coplay.site.audits.auditing import IN_PLAY, Report, audit
from coplay.site.audits.one_run import Promise
from coplay.site.audits.rows import rows_of
from coplay.site.holdings import Holdings
from coplay.site.rounds import read_lines

AUDITS = ".audits.jsonl"
"""How the file ends, beside that of what was measured, of the audits of rounds."""


def audits_path(folder: Path, name: str) -> Path:
    """Return the file of a site's audits, in the folder of what it measured itself."""
    return folder / f"{file_name(name)}{AUDITS}"


@dataclass(frozen=True)
class RoundAudit:
    """The audit of what was sent in one round.

    Args:
        game: The game.
        round: The round.
        report: What came of it.
    """

    game: str
    round: int
    report: Report


class Auditor:
    """Audits what one player sends, in every so many rounds and the last.

    Samples of a round are collected, whomever they are for, and attacked once the round is over.
    An audit that fails says so in its file and ends no run.

    Args:
        holdings: The site's rows.
        every_rounds: How often; at least 1.
        path: The site's own file of audits.
        promise: What the site promises; None for nothing.
    """

    def __init__(
        self, holdings: Holdings, every_rounds: int, path: Path, promise: Promise | None = None
    ) -> None:
        self.holdings = holdings
        self.every_rounds = every_rounds
        self.path = path
        self.promise = promise
        self._round = 0
        self._sent: list[Samples] = []

    @property
    def collected(self) -> tuple[int, Sequence[Samples]]:
        """The round, and the samples of it that are not attacked yet."""
        return self._round, self._sent

    def take(self, round: int, sent: Sequence[Samples]) -> None:
        """Take up what :attr:`collected` was."""
        self._round = round
        self._sent = list(sent)

    def noted(self, reply: Message) -> None:
        """Take up the samples of an answer, and audit a round that is over."""
        match reply.request:
            case Restore():
                self._sent = []
                drop_from(self.path, reply.round + 1)
                return
            case Save() | Judge() | Finish():
                is_last = not isinstance(reply.request, Save)
                self._write(is_last)
                return
        sent = self._samples(reply)
        if not sent:
            return
        if reply.round != self._round:
            self._write(False)
            self._sent = []
            self._round = reply.round
        self._sent += sent

    def _samples(self, reply: Message) -> list[Samples]:
        """Return the sample sets of an answer; weights of networks and the like are none."""
        space = self.holdings.space
        samples = []
        for each in reply.samples().values() if reply.payload else ():
            known = [name for name in space if name in each.keys()]
            if not known or not len(each):
                continue
            try:
                samples.append(space.only(known).check(each.select(*known).detach(), "sent"))
            except SpaceError:  # something of the name of a variable
                continue
        return samples

    def _write(self, is_last: bool) -> None:
        """Audit what was sent in the round so far, if it is time."""
        if not self._sent or (self._round % self.every_rounds and not is_last):
            return
        try:
            report = audit(rows_of(self.holdings), _together(self._sent), IN_PLAY, self.promise)
        except FAILURES as error:
            # the words of an error may quote a row; the file is the site's own
            report = Report(0, reasons=[f"it failed with {type(error).__name__}: {error}"])
        self._sent = []
        line = json.dumps({"round": self._round, **report.json()}, ensure_ascii=False)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        drop_from(self.path, self._round)
        storage.append_privately(self.path, line + "\n")


def _together(sent: list[Samples]) -> Samples:
    """Return all samples with the variables that each set has."""
    names = set(map(str, sent[0].keys()))
    for each in sent[1:]:
        names &= set(map(str, each.keys()))
    return join([each.select(*sorted(names)) for each in sent])


def read_audits(game: str, path: Path) -> list[RoundAudit]:
    """Read the audits of a game's rounds, one a line.

    Args:
        game: The game's name.
        path: The file, which need not be there.

    Raises:
        CheckpointError: It is damaged.
    """
    if not path.exists():
        return []
    return read_lines(path, lambda line: _audit(game, line))


def _audit(game: str, line: dict[str, Any]) -> RoundAudit:
    round = int(line.pop("round"))
    return RoundAudit(game, round, Report.from_json(line))
