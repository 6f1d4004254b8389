"""A release in the record of what left a site, written down before its folder has its name."""

from __future__ import annotations

from pathlib import Path

from coplay.core.digests import of_bytes
from coplay.core.errors import EgressError
from coplay.player import Player
from coplay.run.egress_records import spent_of
from coplay.run.result import Result
from coplay.run.site_folders import site_home
from coplay.site import egress
from coplay.site.egress import Egress, Line, Part


def note_release(
    result: Result, player: Player, game: str, n: int, samples: Path, folder: str
) -> None:
    """Write down that samples are handed on, where the player's site keeps a record.

    Args:
        result: The run.
        player: Whose model drew them.
        game: The game that it was learned in.
        n: Number of samples.
        samples: The file with the samples.
        folder: What the folder is called that is handed on.

    Raises:
        EgressError: The record is damaged or missing, or cannot be written.
    """
    path = site_home(result.folder, player.name, game) / egress.FILE
    if not path.exists():
        section = result.config.players.get(player.name)
        if section is not None and section.site is not None:
            raise EgressError(
                f"{path} is missing, the record of what left {player.name}, so nothing is handed "
                "on; restore it from a copy"
            )
        return
    epsilon = spent_of(result.folder, player.name)
    content = samples.read_bytes()
    kind = egress.OF_MODEL if epsilon is None else egress.POST_PROCESSING
    part = Part(
        to="whoever is given it",
        variables=list(player.variables),
        count=n,
        bytes=len(content),
        kind=kind,
        sha256=of_bytes(content),
    )
    line = Line(
        egress.RELEASE,
        to=part.to,
        request="release",
        parts=(part,),
        text=f"{n:,} samples in the folder {folder}",
        bytes=len(content),
        sha256=part.sha256,
    )
    Egress(path, lambda: epsilon).write(line)
