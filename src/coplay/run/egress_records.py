"""The records of what left and entered sites, where a folder has them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from coplay.core.errors import CheckpointError, EgressError, RunFolderError
from coplay.core.inside import file_name, refuse_pipes
from coplay.core.message import Head
from coplay.run.known_heads import HEADS, read_heads
from coplay.run.site_folders import FOLDER
from coplay.site import ingress
from coplay.site.egress import FILE, RELEASE, Line, Record
from coplay.site.ingress import Dropped


@dataclass(frozen=True)
class SiteRecord:
    """The record of one site in one game.

    Args:
        player: The site, by the name of its folder.
        game: The game, by the name of its folder.
        record: What left.
        known: The line that the coordinator knows last; None where its folder is not here, or
            names none.
        dropped: The portions that came and were dropped.
    """

    player: str
    game: str
    record: Record
    known: Head | None = None
    dropped: tuple[Dropped, ...] = ()

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines that are whole and in order."""
        return tuple(self.record.lines)

    @property
    def title(self) -> str:
        """The site and the game, in words."""
        return f"{self.player}, {self.game}"

    def fault(self, head: Head | None = None) -> str:
        """Say what is wrong with the record; empty if nothing is.

        Args:
            head: A line that somebody else knows; else the one that the coordinator knows.
        """
        if self.record.fault:
            whole = len(self.record.lines)
            return f"{self.record.path}: {self.record.fault}; the {whole} lines before it are whole"
        known = head or self.known
        missing = "" if known is None else self.record.missing(known)
        return f"{self.record.path}: {missing}" if missing else ""

    @property
    def verdict(self) -> str:
        """What can be said of a record without a fault."""
        end = self.record.head
        if end is None:
            return f"{self.title}: no line"
        text = f"{self.title}: the chain of {end.lines} lines is whole; its end is {_text(end)}"
        if self.record.torn:
            text += (
                f"; after it stand {self.record.torn} bytes of a line that was cut off while it "
                "was written, of which nothing has left"
            )
        if self.known is None:
            return f"{text}; that nothing is missing after it only shows who knows a later line"
        return f"{text}; the coordinator knows line {self.known.lines}, and it is in it"


def _text(head: Head) -> str:
    return f"{head.lines}:{head.digest}"


def head_from(text: str) -> Head:
    """Read the end of a record as ``verify`` writes it, such as ``12:9f86d0…``.

    Raises:
        EgressError: It is none.
    """
    lines, _, digest = text.partition(":")
    head = Head(int(lines) if lines.isdecimal() and lines.isascii() else 0, digest.strip())
    if head.fault:
        raise EgressError(f"--end {text}: {head.fault}; expected it as 'egress verify' prints it")
    return head


def records_in(folder: Path, player: str | None = None) -> list[SiteRecord]:
    """Return the records of sites in a folder, in order of site and game.

    Args:
        folder: That of a run, of a site in a run, or of a site in a game.
        player: A site, if not all.

    Raises:
        RunFolderError: There are none; it says which sites there are.
        EgressError: A record cannot be read.
        CheckpointError: What the coordinator knows is damaged.
    """
    if not folder.is_dir():
        raise RunFolderError(f"{folder} does not exist; expected the folder of a run or of a site")
    refuse_pipes(folder)
    whole = folder.resolve()
    paths = []
    for pattern in (FILE, f"*/{FILE}", f"{FOLDER}/*/*/{FILE}"):
        paths += sorted(whole.glob(pattern))
    # beside a file with the record of a game lies its chain in the coordinator's folder, if here
    for path in sorted(whole.glob(f"*/{HEADS}")):
        paths += _missing_records(path.parent, paths)
    if not paths:
        raise RunFolderError(
            f"{folder} has no record of what left a site: there is one where a player has a site "
            f"file, in RUN/{FOLDER}/NAME/GAME/{FILE}"
        )
    records = [_record(path) for path in paths]
    if player is None:
        return records
    of_player = [each for each in records if each.player == file_name(player)]
    if not of_player:
        listed = ", ".join(dict.fromkeys(each.player for each in records))
        raise RunFolderError(f"{folder} has no record of {player!r}; there is one of {listed}")
    return of_player


def _missing_records(game: Path, present: list[Path]) -> list[Path]:
    """Return where records should be that the coordinator knows a line of, and are not.

    Only of sites that have a folder here: a site elsewhere has its record there.
    """
    missing = []
    for name in read_heads(game):
        site = game.parent / FOLDER / file_name(name)
        path = site / game.name / FILE
        if site.is_dir() and path not in present:
            missing.append(path)
    return missing


def _record(path: Path) -> SiteRecord:
    """Read a record, what was dropped, and which line of it the coordinator knows."""
    home = path.parent
    player = home.parent.name
    known = None
    run = home.parent.parent
    if run.name == FOLDER:
        for name, head in read_heads(run.parent / home.name).items():
            if file_name(name) == player:
                known = head
    dropped = tuple(ingress.read_dropped(home / ingress.FILE))
    return SiteRecord(player, home.name, Record.read(path), known, dropped)


def spent_of(run: Path, player: str) -> float | None:
    """Return what a site had spent of its budget when something left it last.

    Args:
        run: The run's folder.
        player: The site.

    Returns:
        None where nothing is promised, or no record is here.
    """
    last: Line | None = None
    for each in records_of(run, player):
        for line in each.lines:
            if line.what != RELEASE and (last is None or line.at >= last.at):
                last = line
    return None if last is None else last.epsilon


def records_of(run: Path, player: str) -> list[SiteRecord]:
    """Return the records of a site in a run; none where they are not here or cannot be read."""
    try:
        return records_in(run, player)
    except (RunFolderError, EgressError, CheckpointError):
        return []
