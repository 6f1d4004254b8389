"""Play conditional on the source: one model learns everybody's data apart, and sends its own alone.

The source of a sample, whose data it comes from, is a hidden categorical variable beside the
others. It is known to each player by who sent the sample, and is never sent. Player i learns
p_i(x | s) from its own data, with s = i and mass M_ii, and from j's samples, with s = j and mass
M_ij; it sends draws with s = i only. So everybody's samples help to learn parameters that sources
share, and what i sends is first-hand: it depends on others' samples by those parameters alone, and
faults do not come back as they do in play. What a player has in the end is the mixture
Σ_s M_is p_i(x | s), as the equilibrium predicts (A3).

A model has to draw the other variables given one of them (``complete``).

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
from pydantic import PrivateAttr
from torch import Tensor

from coplay.core.errors import FAILURES, ConfigError, ModelError
from coplay.core.facts import Facts
from coplay.core.message import Message, Payload
from coplay.core.space import SOURCE, Samples, Space, tensors
from coplay.core.streams import derive, unbiased_counts
from coplay.core.surroundings import own_settings
from coplay.core.variable import Variable
from coplay.games.beside import Beside, learn_mixture, standing_in
from coplay.games.draws import draws_for
from coplay.games.first_hand import FirstHand, FirstHandState, has_own
from coplay.games.first_hand_expected import Turn
from coplay.games.mixtures import Ways
from coplay.games.party import Known, Party, completes
from coplay.models.abilities import Completes
from coplay.models.base import OWN, LocalModel, Mixture, Portion
from coplay.player import Player

_WAY_OUT = "choose a model that has it (conditionals, rectified_flow), or play direct_exchange"


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
        faults = list(filter(None, (_model_fault(each, names) for each in players)))
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
        space = with_source(player.variables, _names(player))
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
        with standing_in(player, _conditional(player, {player.name: 1.0})):
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
                beside.more[name] = torch.tensor(turn.mix.most(name), dtype=torch.float64)
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

    def _mixture(self, player: Player) -> Conditional:
        masses = {}
        for name, mass in Beside.of(player).more.items():
            masses[player.name if name == OWN else name] = mass.item()
        return _conditional(player, masses or {player.name: 1.0})

    @classmethod
    def tiny(cls) -> Self:
        """Return a game of two rounds of one step."""
        return cls(rounds=2, local_steps=1, samples_per_round=20)


def with_source(space: Space, names: Sequence[str]) -> Space:
    """Return a space with the source as a further categorical variable.

    Args:
        space: The variables of a player.
        names: The players in order, which are the source's categories.

    Example:
        >>> with_source(Space({"x": Variable(kind="real")}), ["north", "south"])
        Space(x: real scalar, source: categorical of 2 scalar)
    """
    variables = {name: space[name] for name in space}
    return Space({**variables, SOURCE: Variable(kind="categorical", classes=max(2, len(names)))})


def _names(player: Player) -> Sequence[str]:
    """Return the names of all players, which are the categories of the source."""
    if player.roster is None:
        raise ModelError(f"player '{player.name}' does not know with whom it plays")
    return player.roster.names


def _model_fault(player: Party, names: Sequence[str]) -> str:
    """Say why a player's model cannot be conditioned on the source; empty if it can."""
    whose = f"player '{player.name}': {player.title}"
    if SOURCE in player.variables:
        return (
            f"player '{player.name}': a variable is called '{SOURCE}', which is the name of whose "
            "data a sample comes from; rename it, or play direct_exchange"
        )
    if not completes(player):
        return f"{whose} cannot draw samples given whose data they come from; {_WAY_OUT}"
    if isinstance(player, Known):
        return ""  # it is at home that its model is set up
    try:
        player.model.fresh().setup(with_source(player.variables, names), 0)
    except FAILURES as error:  # a model is foreign code
        return f"{whose} takes no further variable '{SOURCE}' ({error}); {_WAY_OUT}"
    return ""


class Conditional(LocalModel):
    """A model of variables and source, seen as one of the variables alone.

    What it learns gets the source by the name of its portion; what it draws has sources in given
    shares, and leaves them out.
    """

    _model: LocalModel = PrivateAttr()
    _me: str = PrivateAttr()
    _names: tuple[str, ...] = PrivateAttr()
    _masses: dict[str, float] = PrivateAttr()

    @property
    def title(self) -> str:
        """The name of this model in errors."""
        return f"{self._model.title} given the source"

    def source_of(self, portion: str) -> str:
        """Return whose data a portion of a mixture comes from."""
        return self._me if portion.startswith(OWN) else portion.partition(",")[0]

    def setup(self, space: Space, seed: int) -> None:
        """The game sets the model up."""

    def learn(
        self, mixture: Mixture, steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """Learn from portions whose source is known."""
        parts = []
        for part in mixture.parts:
            place = self._names.index(self.source_of(part.name))
            parts.append(replace(part, samples=_of_source(part, place)))
        return self._model.learn(Mixture(tuple(parts)), steps, generator)

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw n samples of the sources in their shares, in random order."""
        masses = torch.tensor(list(self._masses.values()), dtype=torch.float64)
        counts = unbiased_counts(masses / masses.sum(), n, generator)
        places = torch.tensor([self._names.index(name) for name in self._masses])
        sources = places.repeat_interleave(torch.tensor(counts))
        sources = sources[torch.randperm(n, generator=generator)]
        given = Samples({SOURCE: sources}, batch_size=[n])
        assert isinstance(self._model, Completes)
        return self._model.complete(given, generator).exclude(SOURCE)

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the model's state."""
        return self._model.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the model's state."""
        self._model.load_state_dict(state)


class _OfIncomplete(Conditional):
    """The same of a model that learns from samples that lack variables."""

    learns_incomplete: ClassVar[bool] = True


def _conditional(player: Player, masses: Mapping[str, float]) -> Conditional:
    """Return a player's model, to draw from sources of these masses."""
    model = player.model
    conditional = _OfIncomplete() if model.learns_incomplete else Conditional()
    conditional._model = model
    conditional._me = player.name
    conditional._names = tuple(_names(player))
    conditional._masses = dict(masses)
    return conditional


def _of_source(part: Portion, place: int) -> Samples:
    """Return the samples of a portion with their source."""
    count = len(part.samples)
    source = torch.full((count,), place, dtype=torch.int64)
    return Samples({**tensors(part.samples), SOURCE: source}, batch_size=[count])
