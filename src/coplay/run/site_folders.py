"""The folder of a site in a run: everything that a player with data of its own keeps.

RUN/sites/NAME/                 for its owner alone (mode 700); a site elsewhere has it there
RUN/sites/NAME/GAME/checkpoints what its model was after a round; models: at the end of the game
RUN/sites/NAME/GAME/site        what it measured itself (NAME.jsonl), what was read (NAME.txt)
RUN/sites/NAME/GAME/egress.jsonl what left it; ingress.jsonl: what it did not take
RUN/sites/NAME/GAME/errors.txt  the words of its errors, which may quote its rows
RUN/sites/NAME/GAME/data.json   a digest of the rows that the game began with
RUN/sites/NAME/verdict.json     which model is best for the site; page.html: its own page

The coordinator reads none of it: a player says whether its rows are the same, and goes back by
itself to the checkpoint that the coordinator names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from coplay.core import storage
from coplay.core.errors import CheckpointError, PrivacyError
from coplay.core.inside import file_name
from coplay.core.player_folder import PlayerFolder
from coplay.core.requests import Save
from coplay.games.base import Game
from coplay.player import Player
from coplay.run.checkpoint import mark_of
from coplay.run.rows import Chain
from coplay.site.egress import FILE as EGRESS
from coplay.site.egress import Record
from coplay.site.holdings import Holdings
from coplay.site.measuring import FOLDER as MEASURED

FOLDER = "sites"
"""Folder, in a run's, of the sites' own folders."""

_DATA = "data.json"


def site_folder(run: Path, player: str) -> Path:
    """Return the folder of what is a site's own in a run."""
    return run / FOLDER / file_name(player)


def site_home(run: Path, player: str, game: str) -> Path:
    """Return the folder of what is a site's own in one game of a run."""
    return site_folder(run, player) / game


@dataclass(frozen=True)
class Beginning:
    """With which model a player at a site begins.

    Args:
        home: The site's folder in a game of another run.
        round: The round after which that model was saved.
        mark: What the coordinator knows the checkpoint of round 0 by that is made of it.
        rules: The game that begins.
        players: Everybody in the run.
    """

    home: Path
    round: int
    mark: str
    rules: Game[Any]
    players: Sequence[str]

    def give(self, player: Player) -> None:
        """Let a player that has saved nothing yet take over the model, and save it.

        Raises:
            CheckpointError: The model is missing or damaged.
            ModelError: It does not fit.
            PrivacyError: The player made a promise, and the model learned from rows without one.
        """
        if player.is_private:
            _check_charged(self.home)
        self.rules.ready(player, self.players)
        file = PlayerFolder(self.home, player.name).last(self.round)
        player.load(file.path, file.read(str(file.note()["model"])))
        player.keep(Save(self.mark), 0)


def _check_charged(home: Path) -> None:
    """Refuse a model of a game in which something left a site without a promise.

    Raises:
        PrivacyError: There was no promise, or no record says so.
    """
    record = Record.read(home / EGRESS)
    if record.lines and not record.fault and all(line.epsilon is not None for line in record.lines):
        return
    raise PrivacyError(
        "the model that the site was to begin with learned from its rows without a promise of "
        "privacy, and draws of it would break the one that is made now; begin with new models, "
        "without --start-from"
    )


@dataclass(frozen=True)
class Earlier:
    """A run with whose models another one begins.

    Args:
        folder: Its folder.
        rounds: The rounds that its players had played, by game.
        run: What tells the new run from others.
    """

    folder: Path
    rounds: Mapping[str, int]
    run: str

    def beginning(
        self, player: str, game: str, rules: Game[Any], players: Sequence[str]
    ) -> Beginning:
        """Return with which model a player at a site begins."""
        home = site_home(self.folder, player, game).absolute()
        mark = mark_at_start(self.run, game)
        return Beginning(home, self.rounds[game], mark, rules, tuple(players))


def make_private(home: Path) -> None:
    """Make a site's folder in a game; nobody else may look into the site's folder."""
    storage.make_folder(home)
    home.parent.chmod(0o700)


def note_rows(home: Path, player: str, held: Holdings, real: Holdings) -> None:
    """Write down which rows a game begins with, unless it has begun.

    Args:
        home: The site's folder in the game.
        player: The site.
        held: What its model learns from, which may be draws of a stand-in.
        real: Its rows.
    """
    path = home / _DATA
    if not path.exists() or not PlayerFolder(home, player).is_begun:
        storage.write_sealed(path, {"rows": held.digest, "real": real.digest}, private=True)


def notes_of_sites(names: Sequence[str]) -> list[str]:
    """Say where it stands what was read at sites with files of their own.

    Args:
        names: These sites.
    """
    if not names:
        return []
    return [
        f"what was read, left out or converted at {', '.join(names)} stands in each site's own "
        f"file, sites/NAME/GAME/{MEASURED}/NAME.txt"
    ]


def rows_since(
    folder: Path, held: Holdings, which: Literal["rows", "real"] = "rows"
) -> Literal["", "same", "changed"]:
    """Say whether a site's rows are those that the games of a run began with.

    Args:
        folder: The site's folder in the run.
        held: Its rows now.
        which: What its model learns from, or its rows behind that.

    Returns:
        An empty text where nothing was written down.
    """
    noted = set()
    for path in folder.glob(f"*/{_DATA}"):
        try:
            noted.add(storage.read_sealed(path).get(which))
        except CheckpointError:
            noted.add(None)  # damaged: nobody can say that they are the same
    if not noted:
        return ""
    return "same" if noted == {held.digest} else "changed"


def mark_at_start(run: str, game: str) -> str:
    """Return what players know a checkpoint of round 0 by."""
    return mark_of(run, game, 0, Chain.begin(game).digest)
