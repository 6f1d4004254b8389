"""What players of first-hand samples are asked, and what their messages may hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csgraph

from coplay.core.contents import InSpace
from coplay.core.expected import Expected, Part
from coplay.core.history import Roster
from coplay.core.message import Message, Request
from coplay.core.plain import shortened
from coplay.games.base import LEARNED, received_samples
from coplay.games.mixtures import Mix
from coplay.games.party import Party
from coplay.games.weighted import time_faults
from coplay.models.base import OWN
from coplay.player import Player

if TYPE_CHECKING:
    from coplay.games.first_hand import FirstHand

_ROUNDING = 1e-6


@dataclass(frozen=True)
class Turn(Request):
    """Learn from your own data and from first-hand samples of others, then draw such samples.

    Args:
        sources: From whom to learn; ``OWN`` for the own data.
        masses: The mass of each source in the mixture or, with ``variables``, of each source for
            one variable after the other.
        draw: Number of samples to draw, by receiver.
        variables: The variables whose masses differ; empty where each source has one mass.
        through: By whom samples that come along are passed on, by their origin; those of others
            come from these themselves.
    """

    sources: Sequence[str]
    masses: Sequence[float]
    draw: Mapping[str, int]
    variables: Sequence[str] = ()
    through: Mapping[str, str] = field(default_factory=dict)

    @property
    def passed_on_by(self) -> Mapping[str, str]:
        """By whom parts of the payload are passed on, by the name of their first sender."""
        return self.through

    @classmethod
    def of(cls, mix: Mix, draw: Mapping[str, int], through: Mapping[str, str]) -> Turn:
        """Ask for a turn with a mixture."""
        masses = []
        for place in range(len(mix.variables) or 1):
            masses += [each[place] for each in mix.masses.values()]
        return cls(tuple(mix.masses), tuple(masses), draw, mix.variables, through)

    @property
    def mix(self) -> Mix:
        """The mixture to learn from."""
        n = len(self.sources)
        each = {source: tuple(self.masses[i::n]) for i, source in enumerate(self.sources)}
        return Mix(each, tuple(self.variables))


def request(game: FirstHand[Any], player: Player, message: Message) -> Expected:
    """Say what a turn may hold: samples of players that this one learns from by (A2)."""
    turn = message.request
    assert isinstance(turn, Turn)
    n = game.samples_per_round
    partners = Partners.of(game, player, message)
    draws_now = turn.draw if not game.may_make_up(player, message.round) else {}
    faults = [*_mass_faults(player, turn, partners), *time_faults(game, draws_now, message)]
    for to, count in turn.draw.items():
        if to not in partners.listeners:
            faults.append(f"draw: expected players that give it weight, got {shortened(to)}")
        elif not 1 <= count <= n:
            faults.append(f"draw: expected 1 to {n} samples for {to!r}, got {count}")
    faults += _way_faults(game, turn, message, partners)
    part = Part(received_samples(player), 1, n)
    return Expected(dict.fromkeys(partners.origins, part), faults=faults)


def _mass_faults(player: Player, turn: Turn, partners: Partners) -> list[str]:
    """List what is wrong with the mixture."""
    faults = []
    strange = [name for name in turn.sources if name not in (OWN, *partners.origins)]
    if strange:
        faults.append(f"sources: expected players that reach it, got {shortened(strange[0])}")
    unknown = [name for name in turn.variables if name not in player.variables]
    if unknown:
        faults.append(f"variables: expected its own, got {shortened(unknown[0])}")
    for what, names in (("sources", turn.sources), ("variables", turn.variables)):
        if len(set(names)) < len(names):
            faults.append(f"{what}: expected each name once")
    columns = len(turn.variables) or 1
    expected = len(turn.sources) * columns
    if len(turn.masses) != expected:
        faults.append(f"masses: expected {expected}, got {len(turn.masses)}")
        return faults
    table = np.array(turn.masses, dtype=np.float64).reshape(columns, -1)
    if (table < 0).any() or (table > 1 + _ROUNDING).any():
        faults.append("masses: expected numbers from 0 to 1, got others")
    elif (table.sum(1) > 1 + _ROUNDING).any():
        faults.append(f"masses: expected a sum of at most 1, got {table.sum(1).max():g}")
    return faults


def _way_faults(
    game: FirstHand[Any], turn: Turn, message: Message, partners: Partners
) -> list[str]:
    """List what is wrong with who passes samples on: both origin and sender are checked."""
    faults = []
    strange = [name for name in turn.through if name not in message.payload]
    if strange:
        faults.append(f"through: expected origins that come along, got {shortened(strange[0])}")
    for origin in message.payload:
        sender = turn.through.get(origin)
        if origin in partners.speakers:
            if sender is not None:
                faults.append(f"through: '{origin}' has a link of its own, nobody passes it on")
        elif origin in partners.origins and not game.relay:
            faults.append(f"expected samples of players with a link, got those of '{origin}'")
        elif origin in partners.origins and sender not in partners.speakers:
            faults.append(
                f"through: expected a player with a link as sender of what '{origin}' drew, "
                f"got {shortened(sender)}"
            )
    return faults


def reply(player: Party, ask: Message) -> Expected:
    """Say what the answer to a turn may hold: all that was to be drawn, or nothing.

    First-hand samples have the variables that the player's data have.
    """
    assert isinstance(ask.request, Turn)
    names = [name for name in player.space if name not in player.unobserved]
    content = InSpace(player.space.only(names), names)
    parts = {to: Part.of(content, count) for to, count in ask.request.draw.items()}
    return Expected(parts, all_or_none=True, numbers=LEARNED)


@dataclass(frozen=True)
class Partners:
    """With whom a player has to do.

    Args:
        speakers: To whom it gives weight.
        listeners: Those that give weight to it.
        origins: From whom a path of weights leads to it, one step or more.
    """

    speakers: frozenset[str]
    listeners: frozenset[str]
    origins: tuple[str, ...]

    @classmethod
    def of(cls, game: FirstHand[Any], player: Player, message: Message) -> Partners:
        """Return the partners of a player; where it knows no others, all that a message names."""
        roster = player.roster
        if roster is None or player.name not in roster.places:
            turn = message.request
            assert isinstance(turn, Turn)
            names = {*turn.sources, *turn.draw, *message.payload, *turn.through.values()}
            some = names - {player.name, OWN}
            return cls(frozenset(some), frozenset(some), tuple(sorted(some)))
        return roster.once(("partners", player.name), lambda: cls._in(game, player, roster))

    @classmethod
    def _in(cls, game: FirstHand[Any], player: Player, roster: Roster) -> Partners:
        names = roster.names
        alpha = roster.once("alpha", lambda: game.sparse_weights(game.start(names, player.seed)))
        me = roster.places[player.name]
        speaks = np.flatnonzero(alpha[[me]].toarray()[0] > 0).tolist()
        listens = np.flatnonzero(alpha[:, [me]].toarray()[:, 0] > 0).tolist()
        reached = csgraph.breadth_first_order(alpha > 0, me, return_predecessors=False)
        return cls(
            frozenset(names[j] for j in speaks if j != me),
            frozenset(names[j] for j in listens if j != me),
            tuple(names[j] for j in sorted(reached.tolist()) if j != me),
        )
