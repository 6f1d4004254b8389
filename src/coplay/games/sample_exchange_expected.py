"""What players of the cooperative game are asked, and what its messages may hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import scipy.sparse as sp

from coplay.core.contents import InSpace
from coplay.core.expected import Expected, Limits, Numbers, Part
from coplay.core.message import Message, Request
from coplay.core.plain import shortened
from coplay.games.base import LEARNED, received_samples
from coplay.games.originals import COPIES
from coplay.games.party import Party
from coplay.games.weighted import time_faults
from coplay.player import Player

if TYPE_CHECKING:
    from coplay.games.sample_exchange import SampleExchange


@dataclass(frozen=True)
class Turn(Request):
    """Learn from your own data and from the attached samples, then draw for the others.

    Args:
        own: Weight of the own data: α_ii, or a number of samples as soon as samples of others are
            attached; those weigh as many as they are.
        draw: Number of samples to draw, by receiver.
        living: Names of the living players in order, with ``originals``; else empty.
        started: Names of all players of the beginning in order, with ``originals``; else empty.
    """

    own: float
    draw: Mapping[str, int]
    living: Sequence[str] = ()
    started: Sequence[str] = ()


def request(game: SampleExchange, player: Player, message: Message) -> Expected:
    """Say what a turn may hold: samples of players that this one weighs."""
    turn = message.request
    assert isinstance(turn, Turn)
    senders, receivers = _partners(game, player, message)
    if turn.living:
        senders = {name: senders[name] for name in turn.living if name in senders}
        receivers = {name: receivers[name] for name in turn.living if name in receivers}
    n = game.samples_per_round
    faults = time_faults(game, turn.draw, message)
    if not 0 <= turn.own <= n:
        faults.append(f"own: expected a weight from 0 to {n}, got {turn.own:g}")
    for to, count in turn.draw.items():
        if to not in receivers:
            faults.append(f"draw: expected players that give it weight, got {shortened(to)}")
        elif not 1 <= count <= receivers[to]:
            faults.append(f"draw: expected 1 to {receivers[to]} samples for {to!r}, got {count}")
    faults += _names_faults(game, player, turn, message)
    # a player that needs every variable leaves out what lacks one, until it lacks none any more
    content = replace(received_samples(player), needed=[])
    parts = {name: Part(content, 1, most) for name, most in senders.items()}
    return Expected(parts, faults=faults)


def reply(player: Party, ask: Message) -> Expected:
    """Say what the answer to a turn may hold: all that was to be drawn, or nothing.

    Variables that the player's data lack may be missing, as long as nobody has taught it.
    """
    assert isinstance(ask.request, Turn)
    content = InSpace(player.space, list(player.space))
    # a player whose data lack variables may send what it has, to those that learn from it
    known = [name for name in player.space if name not in player.unobserved]
    partly = InSpace(player.space, known)
    takers = () if player.roster is None else player.roster.take_incomplete
    parts = {}
    for to, count in ask.request.draw.items():
        parts[to] = Part.of(partly if to in takers else content, count)
    shares = {COPIES + name: Limits(0, 1) for name in ask.payload}
    numbers = Numbers({**LEARNED.limits, **shares}, others=True)
    to_some = bool(player.unobserved) and not set(parts) <= set(takers)
    return Expected(parts, all_or_none=not to_some, numbers=numbers)


def _partners(
    game: SampleExchange, player: Player, message: Message
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Return the players to which a player gives weight, and those that give weight to it.

    Where it does not know the others, all that the message names may be partners.

    Returns:
        Both with the largest number of samples that goes from the one to the other.
    """
    roster = player.roster
    n = game.samples_per_round
    if roster is None or player.name not in roster.places:
        assert isinstance(message.request, Turn)
        senders = {name: n for name in message.payload if name != player.name}
        return senders, {name: n for name in message.request.draw if name != player.name}
    names = roster.names
    alpha = roster.once("alpha", lambda: game.sparse_weights(game.start(names, player.seed)))
    by_receiver = roster.once("alpha by receiver", lambda: sp.csc_matrix(alpha))
    own = roster.once("own weights", lambda: alpha.diagonal().tolist())
    me = roster.places[player.name]

    def partners() -> tuple[Mapping[str, int], Mapping[str, int]]:
        senders = {}
        for j, weight in _others(alpha, me):
            senders[names[j]] = _most(game, weight, own[me])
        receivers = {}
        for i, weight in _others(by_receiver, me):
            receivers[names[i]] = _most(game, weight, own[i])
        return senders, receivers

    return roster.once(("partners", player.name), partners)


def _most(game: SampleExchange, weight: float, own: float) -> int:
    """Return the largest number of samples for a weight α_ij of a player with α_ii.

    It is n·α_ij, rounded up. Where a game goes on without those it loses, weights grow, at most
    until i has nobody but j.
    """
    if game.on_lost == "continue":
        weight /= weight + own
    # a share that is whole but for rounding errors is that number
    share = game.samples_per_round * weight
    return min(game.samples_per_round, math.ceil(share * (1 - 1e-12)))


def _others(alpha: sp.csr_matrix | sp.csc_matrix, me: int) -> list[tuple[int, float]]:
    """Return places and values of the positive entries in a player's row or column but its own."""
    entries = slice(alpha.indptr[me], alpha.indptr[me + 1])
    pairs = zip(alpha.indices[entries].tolist(), alpha.data[entries].tolist(), strict=True)
    return [(place, weight) for place, weight in pairs if weight > 0 and place != me]


def _names_faults(game: SampleExchange, player: Player, turn: Turn, message: Message) -> list[str]:
    """List what is wrong with the names that come along with ``originals``."""
    if not turn.living and not turn.started:
        if game.originals and message.payload:
            return ["living: expected the names of the living players, got none"]
        return []
    if not game.originals:
        return ["living and started: expected none without originals"]
    faults = []
    if player.roster is not None and tuple(turn.started) != player.roster.names:
        faults.append("started: expected all players of the game, in order")
    order = {name: i for i, name in enumerate(turn.started)}
    places = [order.get(name, -1) for name in turn.living]
    if -1 in places or places != sorted(set(places)) or len(order) < len(turn.started):
        faults.append("living: expected some of those that started, each once and in order")
    if player.name not in turn.living:
        faults.append(f"living: expected '{player.name}' among them")
    return faults
