"""Play conditional on the source: one model learns everybody's data apart, and sends its own alone.

The source of a sample, whose data it comes from, is a hidden categorical variable beside the
others. It is known to each player by who sent the sample, and is never sent. Player i learns
p_i(x | s) from its own data, with s = i and mass M_ii, and from j's samples, with s = j and mass
M_ij; it sends draws with s = i only. So everybody's samples help to learn parameters that sources
share, and what i sends is first-hand: it depends on others' samples by those parameters alone, and
faults do not come back as they do in play. What a player has in the end is the mixture
Σ_s M_is p_i(x | s), as the equilibrium predicts (A3).

A model has to draw the other variables given one of them (``complete``), or given its class; the
source is then a variable of its own, or part of the class (:mod:`coplay.games.by_source`).

Differs from the paper: it has no sources. M is that of Game-theoretic distributed learning of
generative models for heterogeneous data collections (D. Schlesinger, B. Flach, 2025),
arXiv:2511.01740.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import ClassVar, Self

import torch

from coplay.core.errors import ConfigError, ModelError
from coplay.core.facts import Facts
from coplay.core.message import Message, Payload
from coplay.core.streams import derive
from coplay.core.surroundings import own_settings
from coplay.games.beside import Beside, learn_mixture, standing_in
from coplay.games.by_source import BySource, by_source, fault_of, way_of
from coplay.games.draws import draws_for
from coplay.games.first_hand import FirstHand, FirstHandState, has_own
from coplay.games.first_hand_expected import Turn
from coplay.games.mixtures import Ways
from coplay.games.party import Party
from coplay.models.base import OWN, LocalModel
from coplay.player import Player


class SourcedExchange(FirstHand[FirstHandState]):
    """Players learn all sources by one model, conditional on the source, and send their own.

    Weights are those of ``sample_exchange``; samples come with mass M_ij, whatever their number.

    Example:
        >>> SourcedExchange(own_weight=0.1).predict(["north", "south"])
        tensor([[0.5263, 0.4737],
                [0.4737, 0.5263]], dtype=torch.float64)
    """

    citation: ClassVar[tuple[str, ...]] = ("schlesinger2025game",)
    numbers_players: ClassVar[bool] = True

    def check(self, players: Sequence[Party]) -> None:
        """Refuse also models that cannot be conditioned on the source."""
        names = [player.name for player in players]
        faults = list(filter(None, (fault_of(each, names) for each in players)))
        if faults:
            raise ConfigError(faults)
        super().check(players)

    def faults_of(self, player: Party, ways: Ways, parties: Mapping[str, Party]) -> list[str]:
        """List why a player's mixture would lack variables."""
        return self.faults_of_mixing(player, ways, parties)

    def equip(self, player: Player) -> None:
        """Set the player's model up on its variables and the source, once."""
        beside = Beside.of(player)
        if beside.space is not None:
            return
        names = _names(player)
        space = way_of(player.model, player.variables, names).space(player.variables, names)
        with own_settings():
            player.model.setup(space, derive(player.seed, "setup", player.name))
        beside.space = space

    def serve(self, player: Player, message: Message) -> Message:
        """Learn from all sources, then draw samples of the own one."""
        turn = message.request
        assert isinstance(turn, Turn)
        beside = Beside.of(player)
        beside.receive(player, message.samples())
        round = message.round
        own = _own(player, beside)
        with standing_in(player, own):
            if round <= self.own_rounds:
                weight = 1.0 if has_own(turn) else 0.0
                numbers = player.learn({}, {OWN: weight}, self.local_steps, round)
            else:
                numbers = learn_mixture(player, turn, beside.samples, self.local_steps, round)
            drawn: dict[str, Payload] = {}
            if player.learned:
                drawn = draws_for(player, turn.draw, round)
        beside.more = {}
        for name in turn.sources:
            if name == OWN or name in beside.samples:
                shares = own.class_shares(player.name if name == OWN else name)
                beside.more[name] = turn.mix.most(name) * shares
        beside.keep(player)
        return message.reply(numbers, drawn)

    def showing(self, player: Player) -> AbstractContextManager[None]:
        """Let the player show the mixture of all sources that it has learned."""
        return standing_in(player, self._mixture(player))

    def finished(self, player: Player, models: Mapping[str, LocalModel]) -> None:
        """Let a player that was loaded from a finished run show its mixture."""
        player.model = self._mixture(player)

    def described(self, facts: Facts) -> Facts:
        """Return the facts of a player whose mixture over sources gives draws alone."""
        return replace(facts, classifies=False, has_log_prob=False)

    def _mixture(self, player: Player) -> BySource:
        masses = {}
        for name, mass in Beside.of(player).more.items():
            masses[player.name if name == OWN else name] = mass
        if not masses:
            return _own(player, Beside.of(player))
        return by_source(player.model, player.variables, _names(player), player.name, masses)

    @classmethod
    def tiny(cls) -> Self:
        """Return a game of two rounds of one step."""
        return cls(rounds=2, local_steps=1, samples_per_round=20)


def _names(player: Player) -> Sequence[str]:
    """Return the names of all players, which are the categories of the source."""
    if player.roster is None:
        raise ModelError(f"player '{player.name}' does not know with whom it plays")
    return player.roster.names


def _own(player: Player, beside: Beside) -> BySource:
    """Return a player's model, to draw from its own source alone."""
    mass = beside.more.get(OWN, torch.ones((), dtype=torch.float64))
    masses = {player.name: mass}
    return by_source(player.model, player.variables, _names(player), player.name, masses)
