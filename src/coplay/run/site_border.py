"""The border of a site in a game, made of what its own file says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from coplay.player import Player
from coplay.site.border import SiteBorder
from coplay.site.egress import CHARGED, FILE, OF_MODEL, POST_PROCESSING, Egress

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
    record = Egress(home / FILE, lambda: spent(own))
    border = SiteBorder(home, player.space, own.accepts, record, _kind_of_model(own))
    border.facts(player.facts())
    player.border = border


def spent(own: OwnData) -> float | None:
    """Return the ε that a site has spent; None where nothing is promised.

    Raises:
        PrivacyError: The file of what was spent is damaged.
    """
    return None if own.privacy is None else own.privacy.budget.spent().epsilon


def _kind_of_model(own: OwnData) -> str:
    """Return what it is that follows from a site's model."""
    if own.privacy is None:
        return OF_MODEL
    has_stand_in = own.privacy.settings.stand_in is not None
    return POST_PROCESSING if has_stand_in else CHARGED
