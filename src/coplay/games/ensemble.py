"""An ensemble: everybody learns its own data alone, and what it has is draws of all, mixed by M.

Nobody learns from anybody. Player i's samples are draws of its own model and samples that the
others drew of theirs, in the shares that the equilibrium predicts, p_i = Σ_j M_ij π_j (A3). It is
the bar for every claim that learning from one another helps: where a site needs samples, it gets
them without a second model's faults.

What it cannot give: a model of the mixture, so neither classes of samples, nor log p, nor what
incomplete samples lack; draws without the others, beyond the set of samples that lies at a player;
variables that a site's data lack, since nobody draws them together with the site's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from pydantic import PrivateAttr
from torch import Tensor

from coplay.core.errors import ModelError
from coplay.core.facts import Facts
from coplay.core.message import Message, Payload
from coplay.core.space import Samples, Space, join, pick
from coplay.core.streams import unbiased_counts
from coplay.games.beside import Beside, standing_in
from coplay.games.draws import draws_for
from coplay.games.first_hand import FirstHand, FirstHandState, has_own
from coplay.games.first_hand_expected import Turn
from coplay.games.mixtures import Ways
from coplay.games.party import Party
from coplay.models.base import OWN, LocalModel, Mixture
from coplay.player import Player


class Ensemble(FirstHand[FirstHandState]):
    """Players show draws of all models of own data, mixed by the influence matrix.

    Each of n samples comes from j's model with the share M_ij, rounded without bias. Those of
    others are the last that came; a player that shows more than it has of them shows some twice.
    From the folder of a run that has all models, samples are drawn anew. Weights are those of
    ``sample_exchange``.

    Example:
        >>> Ensemble(own_weight=0.1).predict(["north", "south"])
        tensor([[0.5263, 0.4737],
                [0.4737, 0.5263]], dtype=torch.float64)
    """

    citation: ClassVar[tuple[str, ...]] = ("schlesinger2025game",)
    shows_others: ClassVar[bool] = True

    def faults_of(self, player: Party, ways: Ways, parties: Mapping[str, Party]) -> list[str]:
        """List why a player's mixture would lack variables."""
        return self.faults_of_mixing(player, ways, parties)

    def serve(self, player: Player, message: Message) -> Message:
        """Learn from own data, keep what others drew, and draw for them."""
        turn = message.request
        assert isinstance(turn, Turn)
        beside = Beside.of(player)
        beside.receive(player, message.samples())
        beside.more = {}
        weight = 1.0 if has_own(turn) else 0.0
        numbers = player.learn({}, {OWN: weight}, self.local_steps, message.round)
        drawn: dict[str, Payload] = {}
        if player.learned and player.count:
            drawn = draws_for(player, turn.draw, message.round)
        mix = turn.mix
        beside.more = {
            name: torch.tensor(mix.most(name), dtype=torch.float64) for name in mix.masses
        }
        beside.keep(player)
        if beside.samples:  # also one without data shows what the others drew
            player.learned = True
        return message.reply(numbers, drawn)

    def showing(self, player: Player) -> AbstractContextManager[None]:
        """Let the player show the mix of its own draws and those of others."""
        return standing_in(player, self.mixed(player, {}))

    def described(self, facts: Facts) -> Facts:
        """Return the facts of a player that ends without a model of the mixture."""
        return replace(facts, classifies=False, has_log_prob=False)

    def mixed(self, player: Player, models: Mapping[str, LocalModel]) -> Mixed:
        """Return what a player's samples are drawn by.

        Args:
            player: It has learned, or was loaded.
            models: Models of others that are at hand, by name; their samples are drawn anew.
        """
        beside = Beside.of(player)
        sources: dict[str, Source] = {}
        for name, mass in beside.more.items():
            source = Source(mass.item(), models.get(name), beside.samples.get(name))
            if name == OWN:
                source = replace(source, model=player.model)
            if source.model is not None or source.samples is not None:
                sources[name] = source
        return Mixed.of(player, sources or {OWN: Source(1.0, player.model)})

    def finished(self, player: Player, models: Mapping[str, LocalModel]) -> None:
        """Let a player that was loaded from a finished run show its mix."""
        player.model = self.mixed(player, models).without_repeating()

    @classmethod
    def tiny(cls) -> Self:
        """Return a game of two rounds of one step."""
        return cls(rounds=2, local_steps=1, samples_per_round=20)


@dataclass(frozen=True)
class Source:
    """Where a part of a mix comes from.

    Args:
        mass: Its share.
        model: What draws it; None where only samples are at hand.
        samples: Samples that were drawn before.
    """

    mass: float
    model: LocalModel | None = None
    samples: Samples | None = None


class Mixed(LocalModel):
    """Samples of several sources, in their shares; it learns nothing."""

    _space: Space = PrivateAttr()
    _sources: dict[str, Source] = PrivateAttr(default_factory=dict)
    _title: str = PrivateAttr(default="ensemble")
    _repeats: bool = PrivateAttr(default=True)

    @classmethod
    def of(cls, player: Player, sources: Mapping[str, Source]) -> Self:
        """Return the mix of a player's sources."""
        mixed = cls()
        mixed._space = player.variables
        mixed._sources = dict(sources)
        mixed._title = f"ensemble of {player.model.title}"
        return mixed

    def without_repeating(self) -> Self:
        """Refuse from now on to draw more than there is, rather than to show samples twice."""
        self._repeats = False
        return self

    @property
    def title(self) -> str:
        """The name of this model in errors."""
        return self._title

    @property
    def masses(self) -> dict[str, float]:
        """The share of each source, before sources that are not at hand are left out."""
        return {name: source.mass for name, source in self._sources.items()}

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw n samples, in random order.

        Raises:
            ModelError: It does not repeat, and has too few samples of a source without a model.
        """
        masses = torch.tensor([source.mass for source in self._sources.values()])
        counts = unbiased_counts(masses.double() / masses.sum(), n, generator)
        parts = []
        for (name, source), count in zip(self._sources.items(), counts, strict=True):
            if count:
                parts.append(self._space.restrict(self._drawn(name, source, count, generator)))
        return pick(join(parts), torch.randperm(n, generator=generator))

    def _drawn(self, name: str, source: Source, count: int, generator: torch.Generator) -> Samples:
        if source.model is not None:
            return source.model.sample(count, generator)
        assert source.samples is not None
        there = len(source.samples)
        if count > there and not self._repeats:
            most = int(there / source.mass * sum(self.masses.values()))
            raise ModelError(
                f"{self.title}: of '{name}' {there} samples are here, and {count} are needed; ask "
                f"for at most {most}, or play with larger samples_per_round"
            )
        # each sample once, then each a second time, and so on
        times = -(-count // there)
        rows = torch.cat([torch.randperm(there, generator=generator) for _ in range(times)])
        return pick(source.samples, rows[:count])

    def setup(self, space: Space, seed: int) -> None:
        """There is nothing to set up."""

    def learn(self, mixture: Mixture, steps: int, generator: torch.Generator) -> dict[str, float]:
        """Refuse to learn.

        Raises:
            ModelError: Always.
        """
        raise ModelError(f"{self.title}: nobody learns from the samples of an ensemble")

    def state_dict(self) -> Mapping[str, Tensor]:
        """It has no state of its own."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """There is nothing to restore."""
