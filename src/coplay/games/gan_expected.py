"""What messages of both games between GANs may hold: introductions, and networks."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from coplay.core.expected import Expected, Limits, Numbers, Part
from coplay.core.plain import shortened
from coplay.games.gan_common import SERVER, gan
from coplay.games.party import Party
from coplay.nets.gan_builder import Half

COUNT = Limits(low=0)
"""A count, or seconds."""


def networks(player: Party, halves: Sequence[Half], *, buffers: bool, moments: bool) -> Part:
    """Return the part in which networks like the player's own travel."""
    return Part.of(gan(player).builder.forms(halves, buffers=buffers, moments=moments), 1)


def introduction(player: Party) -> Expected:
    """Say what the answer to an introduction holds."""
    batch = gan(player).batch
    samples = Limits(low=1)
    if player.told_count is not None:
        samples = Limits(player.told_count, player.told_count)
    limits = {
        "samples": samples,
        "batch": Limits(batch, batch),
        "stacked": Limits(0, 1),
        "loop_seconds": COUNT,
        "stacked_seconds": COUNT,
    }
    return Expected(numbers=Numbers(limits, needed=("samples", "batch", "stacked")))


def receiver_faults(player: Party, receivers: Sequence[str], seats: Collection[str]) -> list[str]:
    """List what is wrong with the names of those that networks are to be sent to."""
    own = "others, each once"
    if len(set(receivers)) == len(receivers) and player.name not in receivers:
        strange = [name for name in receivers if name not in partners(player, receivers, seats)]
        if not strange:
            return []
        own = f"players of this game, got {shortened(strange[0])}"
    return [f"expected as receivers {own}"]


def partners(player: Party, named: Collection[str], seats: Collection[str]) -> set[str]:
    """Return the other players and seats or, where they are not known, all that are named."""
    known = set(named)
    if player.roster is not None:
        known = {*player.roster.names, *seats}
    return known - {player.name}


def seat_faults(player: Party, *, is_server: bool) -> list[str]:
    """Say whether a worker is asked what only the server is, or the other way round."""
    if (player.name == SERVER) == is_server:
        return []
    return [f"expected this request at {'the server' if is_server else 'a worker'}"]
