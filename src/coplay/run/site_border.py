"""The border of a site in a game, made of what its own file says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from coplay.player import Player
from coplay.site.border import SiteBorder
from coplay.site.egress import FILE, Egress

if TYPE_CHECKING:
    from coplay.run.own_data import OwnData


def guard(player: Player, own: OwnData, home: Path | None) -> None:
    """Give a player with a site file a border, and write down what it says of itself.

    Args:
        player: The player.
        own: What it is built from.
        home: The site's folder in the game; None where nothing is to be written.

    Raises:
        EgressError: The record of what left is damaged, or cannot be written.
    """
    if home is None or not own.has_site_file:
        return
    border = SiteBorder(home, player.space, own.accepts, Egress(home / FILE))
    border.facts(player.facts())
    player.border = border
