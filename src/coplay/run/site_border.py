"""The border of a site in a game, made of what its own file says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from coplay.core.digests import of_bytes
from coplay.core.errors import CoplayError, EgressError, PrivacyError, SiteError
from coplay.core.message import COORDINATOR
from coplay.player import Player
from coplay.site.border import LONGEST_TEXT, SiteBorder
from coplay.site.egress import CHARGED, FILE, LOSS, OF_MODEL, POST_PROCESSING, Egress, Line, Record

if TYPE_CHECKING:
    from coplay.run.own_data import OwnData


def guard(player: Player, own: OwnData, home: Path | None, goes_on: bool = False) -> None:
    """Give a player with a site file a border, and write down what it says of itself.

    Args:
        player: The player.
        own: What it is built from.
        home: The site's folder in the game; None where nothing is to be written.
        goes_on: Whether what it says of itself has left before, and does not again.

    Raises:
        EgressError: The record of what left is damaged, or cannot be written.
        PrivacyError: The file of what was spent is damaged, or older than the record.
    """
    if home is None or not own.has_site_file:
        return
    _check_spent(own, home)
    record = Egress(home / FILE, lambda: spent(own))
    border = SiteBorder(home, player.space, own.accepts, record, _kind_of_model(own))
    if not goes_on:
        border.facts(player.facts())
    player.border = border


def _check_spent(own: OwnData, home: Path) -> None:
    """Refuse a file of what was spent that says less than the record of what left.

    Raises:
        PrivacyError: It does.
    """
    if own.privacy is None:
        return
    before = [line.epsilon for line in Record.read(home / FILE).lines if line.epsilon is not None]
    now = own.privacy.budget.spent().epsilon
    if before and now < max(before):
        raise PrivacyError(
            f"site '{own.name}': ε = {max(before):.4g} was spent when something left it in this "
            f"game, and {own.privacy.budget.path} says {now:.4g}: it is an old copy; restore the "
            "last one"
        )


def record_facts(player: Player, own: OwnData, home: Path) -> None:
    """Write down what a player says of itself before any game, in the record of the first.

    Args:
        player: The player, without a folder.
        own: What it is built from.
        home: The site's folder in the first game.

    Raises:
        EgressError: The record of what left is damaged, or cannot be written.
    """
    guard(player, own, home)
    player.border = None


def record_refusal(own: OwnData, home: Path, reason: str, round: int = 0) -> None:
    """Write down that a message was refused before a player saw it, and what was said of it.

    Args:
        own: What the site's player is built from.
        home: The site's folder in the game.
        reason: What leaves.
        round: The message's round, as far as it is known.

    Raises:
        EgressError: The record of what left is damaged, or cannot be written.
    """
    content = reason.encode()
    line = Line(
        LOSS,
        round=round,
        to=COORDINATOR,
        request="refused",
        text=reason[:LONGEST_TEXT],
        bytes=len(content),
        sha256=of_bytes(content),
    )
    Egress(home / FILE, lambda: spent(own)).write(line)


@contextlib.contextmanager
def words_recorded(own: OwnData, home: Path) -> Iterator[None]:
    """Write down what others are told of a player that cannot be made, before they are told.

    Args:
        own: What the player was to be built from.
        home: The site's folder in the game.

    Raises:
        SiteError: What was raised inside; where it cannot be written down, that and no more.
    """
    try:
        yield
    except SiteError as error:
        if not own.has_site_file:
            raise
        raise _written(own, home, error) from None


def _written(own: OwnData, home: Path, error: SiteError) -> SiteError:
    """Write the words of an error into the record, and return what may leave."""
    content = str(error).encode()
    line = Line(
        LOSS,
        to=COORDINATOR,
        request="describe",
        text=str(error)[:LONGEST_TEXT],
        bytes=len(content),
        sha256=of_bytes(content),
    )
    try:
        Egress(home / FILE, lambda: spent(own)).write(line)
    except EgressError as refused:
        return SiteError(f"site '{own.name}': {refused}")
    except CoplayError:  # the file of what was spent is damaged
        return SiteError(f"site '{own.name}': what it has spent cannot be read, so nothing leaves")
    return error


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
