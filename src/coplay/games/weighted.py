"""Games whose players weigh one another by α (A1), from which the equilibrium follows (A2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Self

import scipy.sparse as sp
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from torch import Tensor
from typing_extensions import TypeVar  # the standard library's has defaults from Python 3.13 on

from coplay.core.errors import ConfigError
from coplay.core.message import Message, PlayerLost
from coplay.core.same import Same
from coplay.games.base import MOST_IN_M, Game, Row, State
from coplay.games.topologies import Topology, even_weights, faultless, given_weights, weights_among
from coplay.theory import equilibrium, weights

_BY_RULE = {"own_weight", "topology", "neighbours"}  # the fields that give α by a rule


@dataclass(frozen=True)
class WeightedState(State):
    """What the coordinator remembers between two rounds.

    Args:
        seed: The run's seed.
        started: Names of all players of the beginning, in order.
    """

    seed: int = 0
    started: Sequence[str] = ()


W = TypeVar("W", bound=WeightedState, default=Any)


class WeightedGame(Game[W], Generic[W]):
    """A game with weights α.

    The weights α come from ``alpha`` as a full matrix, or from ``own_weight`` with the rest spread
    evenly over the neighbours in ``topology``.

    Args:
        alpha: Full weight matrix, one row per player in config order, rows sum to 1. Excludes the
            next three.
        own_weight: α_ii of every player, in [0, 1].
        topology: Which players receive samples from which: ``complete``, ``ring``, ``star`` (the
            first player is the hub) or ``random_regular`` (every player has ``neighbours`` of them,
            drawn from the run's seed).
        neighbours: Number of neighbours, for ``random_regular``.
        samples_per_round: n, of which a player receives shares from others each time fresh ones are
            drawn.
        fresh_every_rounds: Draw fresh samples every so many rounds; 1 is always fresh.
        own_rounds: Rounds at the start in which every player learns from its own data alone.
    """

    alpha: tuple[tuple[float, ...], ...] | None = None
    own_weight: float = Field(default=0.3, ge=0, le=1)
    topology: Topology = "complete"
    neighbours: int = Field(default=2, ge=1)
    samples_per_round: int = Field(default=2000, ge=1)
    fresh_every_rounds: int = Field(default=1, ge=1)
    own_rounds: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _one_source_of_weights(self) -> Self:
        doubled = _BY_RULE & self.model_fields_set
        if self.alpha is not None and doubled:
            raise ValueError(f"give either alpha or {', '.join(sorted(doubled))}, not both")
        return self

    @model_serializer(mode="wrap")
    def _only_what_counts(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        if self.alpha is None:
            return values
        return {name: value for name, value in values.items() if name not in _BY_RULE}

    def shared_with(self, kind: type | None, own: Mapping[str, Any]) -> dict[str, Any]:
        """Return also weights, links, samples and rounds of own learning, to a game that has them.

        Weights and links belong together: a game that sets one of them takes none over.
        """
        shared = super().shared_with(kind, own)
        if kind is None or not issubclass(kind, WeightedGame):
            return shared
        names = {"samples_per_round", "fresh_every_rounds", "own_rounds", "relay"}
        if not (_BY_RULE | {"alpha"}) & set(own):
            names |= _BY_RULE | {"alpha"}
        if own.get("one_shot"):  # its one exchange is when it says
            names.remove("own_rounds")
        for name in sorted(names & self.model_fields_set & set(kind.model_fields)):
            shared[name] = getattr(self, name)
        return shared

    def weights(self, players: Sequence[str], seed: int = 0) -> Tensor:
        """Return the weight matrix α, shape (N, N), float64.

        Raises:
            ConfigError: Rows do not sum to 1, the size is wrong, the topology is impossible for so
                many players, or some players are left without data.
        """
        return weights.dense(self.edges(players, seed))

    def edges(self, players: Sequence[str], seed: int) -> sp.csr_matrix:
        """Return α by its edges."""
        n = len(players)
        if self.alpha is None:
            alpha = even_weights(self.topology, n, self.neighbours, seed, self.own_weight)
        else:
            widths = {len(row) for row in self.alpha}
            if widths != {n} or len(self.alpha) != n:
                expected = f"expected {n} rows of {n} weights, one per player"
                got = f"{len(self.alpha)} rows of {' or '.join(map(str, sorted(widths)))}"
                raise ConfigError([f"game.alpha: {expected}; got {got}"])
            alpha = given_weights(Same(self.alpha))
        if not faultless(Same(alpha)):
            place = "own_weight" if self.alpha is None else "alpha"
            faults = equilibrium.weight_faults(alpha, players)
            raise ConfigError([f"game.{place}: {fault}" for fault in faults])
        return alpha

    def draws_in(self, round: int) -> bool:
        """Whether fresh samples are drawn at the end of a round."""
        since = round - self.own_rounds  # 0 in the round that draws the first samples to be sent
        return since >= 0 and since % self.fresh_every_rounds == 0 and round < self.rounds

    def predict(self, players: Sequence[str], seed: int = 0) -> Tensor:
        """Return the influence matrix M of (A2)."""
        return equilibrium.influence_matrix(self.weights(players, seed))

    def predicted_shares(self, players: Sequence[str], seed: int, shares: Tensor) -> Tensor | None:
        """Return M times the shares; M is not formed where many players have few edges."""
        if len(players) <= MOST_IN_M:
            return super().predicted_shares(players, seed, shares)
        return equilibrium.equilibrium_moments(self.edges(players, seed), shares)

    def needs_data(self, players: Sequence[str], seed: int = 0) -> list[str]:
        """Return the players whose own weight is positive."""
        own = self.edges(players, seed).diagonal().tolist()
        return [name for name, weight in zip(players, own, strict=True) if weight > 0]

    def start(self, players: Sequence[str], seed: int) -> W:
        """Return the state before the first round, with nothing in flight."""
        self.edges(players, seed)
        kind: type[Any] = self.state_class
        return kind(tuple(players), seed=seed, started=tuple(players))

    def lose(self, state: W, lost: Sequence[PlayerLost]) -> tuple[W, Row]:
        """Re-normalise α over the living, and report the new M.

        A player that lost its last source is frozen.
        """
        after, row = super().lose(state, lost)
        if not lost:
            return after, row
        alpha = self.sparse_weights(after)
        sums = weights.row_sums(alpha).tolist()
        frozen = [name for name, total in zip(after.players, sums, strict=True) if not total]
        row = replace(row, frozen=frozen)
        if equilibrium.weight_faults(alpha):
            return after, row
        if len(after.players) > MOST_IN_M:
            return after, replace(row, weights=alpha)
        return after, replace(row, influence=equilibrium.influence_matrix(weights.dense(alpha)))

    def mixture_weights(self, state: W) -> Tensor:
        """Return α of the living."""
        return weights.dense(self.sparse_weights(state))

    def sparse_weights(self, state: W) -> sp.csr_matrix:
        """Return α of the living by its edges, rows re-normalised.

        A row of zeros is that of a player that lost its last source.
        """
        return self._living_weights(state.players, state.started, state.seed)

    def _living_weights(
        self, living: Sequence[str], started: Sequence[str], seed: int
    ) -> sp.csr_matrix:
        return weights_among(Same(self.edges(started, seed)), tuple(living), tuple(started))


def time_faults(game: WeightedGame[Any], draw: Mapping[str, int], message: Message) -> list[str]:
    """List what a turn asks for or brings that does not belong into its round.

    Args:
        game: The game.
        draw: How many samples are to be drawn, by receiver.
        message: The turn, with samples of others.
    """
    faults = []
    if message.payload and message.round <= game.own_rounds:
        faults.append(
            f"expected no samples in rounds of own learning, 1 to {game.own_rounds}, "
            f"got {len(message.payload)} parts"
        )
    if draw and not game.draws_in(message.round):
        faults.append(f"draw: expected none in round {message.round}, nobody learns from them")
    return faults
