"""The cooperative game: each player learns from its own data and from samples of others' models.

``examples/cooperative_game.py`` has the algorithm on one page, as plain loops over torch.

Utility of player i, with weights α_ij ≥ 0, Σ_j α_ij = 1:

    U_i(θ) = α_ii E_{x~π_i}[log p_θi(x)] + Σ_{j≠i} α_ij E_{x~p_θj}[log p_θi(x)]                (A1)

Play is simultaneous: in round t every player learns from its own data and from the samples that the
others drew at the end of round t−1. :mod:`coplay.theory.equilibrium` computes what the equilibrium
predicts.

References:
    Game-theoretic distributed learning of generative models for heterogeneous data collections
    (D. Schlesinger, B. Flach, 2025), arXiv:2511.01740.

Differs from the paper:
    The authors draw fresh samples for every gradient step; here players exchange once a round and
    take ``local_steps`` on what they received, because a message costs more than a sample.
    ``fresh_every_rounds``, ``own_rounds``, ``warmup_rounds`` and ``originals`` are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
import scipy.sparse as sp
import torch
from pydantic import Field
from torch import Tensor

from coplay.core.errors import ConfigError
from coplay.core.expected import Expected
from coplay.core.message import COORDINATOR, Message, Payload, Request
from coplay.core.same import Same
from coplay.core.space import Samples
from coplay.core.streams import stream, unbiased_counts
from coplay.games import sample_exchange_expected
from coplay.games.base import Asker, Row, State
from coplay.games.draws import ByLink, draws_for
from coplay.games.originals import Shares, shares_of, without_copies
from coplay.games.party import Party
from coplay.games.sample_exchange_expected import Turn
from coplay.games.topologies import weights_admitted
from coplay.games.weighted import WeightedGame, WeightedState
from coplay.models.base import OWN
from coplay.player import Player
from coplay.theory import weights


@dataclass(frozen=True)
class ExchangeState(WeightedState):
    """What the coordinator remembers between two rounds.

    Args:
        own_counts: n·α_ii, rounded as the samples in flight were, by player.
    """

    own_counts: Mapping[str, int] = field(default_factory=dict)


class SampleExchange(WeightedGame[ExchangeState]):
    """Players exchange synthetic samples, never data or parameters.

    Args:
        samples_per_round: n; player i receives n·α_ij samples from j each time fresh ones are
            drawn.
        fresh_every_rounds: Draw fresh samples every so many rounds and reuse them in between; 1 is
            always fresh.
        own_rounds: Rounds at the start in which every player learns from its own data alone, so
            that none learns from untrained models. The equilibrium does not depend on it.
        warmup_rounds: Rounds after these over which the others' mass grows evenly to its full
            value; 0 admits them at once.
        originals: Whether players put their own data in the place of what they recognise as copies
            of them (O), which leaves the equilibrium as it is and keeps errors from coming back.
            Every player has to receive samples from all others, on the same variables.

    Example:
        >>> game = SampleExchange(own_weight=0.3)
        >>> game.predict(["north", "south"])
        tensor([[0.5882, 0.4118],
                [0.4118, 0.5882]], dtype=torch.float64)
    """

    citation: ClassVar[tuple[str, ...]] = ("schlesinger2025game",)
    requests: ClassVar[tuple[type[Request], ...]] = (Turn,)
    state_class: ClassVar[type[State]] = ExchangeState

    warmup_rounds: int = Field(default=0, ge=0)
    originals: bool = False

    def check(self, players: Sequence[Party]) -> None:
        """With originals, refuse players without data, without a weight, or of other variables."""
        if not self.originals:
            return
        names = [player.name for player in players]
        first = players[0]
        alpha = self.edges(names, first.seed)
        without = len(names) ** 2 - alpha.count_nonzero()
        faults = []
        if without:
            more = f" and {without - 3} more" if without > 3 else ""
            silent = [f"'{names[j]}' for '{names[i]}'" for i, j in _silent(alpha, 3)]
            faults.append(
                "game.originals: everybody needs data and has to hear everybody, to tell copies of "
                f"them from what others know; the weight is 0 of {', '.join(silent)}{more}"
            )
        for player in players:
            if player.unobserved:
                faults.append(
                    f"game.originals: the data of '{player.name}' lack "
                    f"{', '.join(player.unobserved)}, and cannot take the place of samples that "
                    "have it"
                )
            elif player.variables != first.variables:
                faults.append(
                    f"game.originals: player '{player.name}' learns {player.variables}, and "
                    f"'{first.name}' {first.variables}; to recognise copies, all variables are "
                    "compared"
                )
        if faults:
            raise ConfigError(faults)

    def play(self, engine: Asker, state: ExchangeState, round: int) -> tuple[ExchangeState, Row]:
        """Play one round: every player learns, then draws for those that weigh its samples."""
        alpha = self.sparse_weights(state)
        own_weights = alpha.diagonal().tolist()
        drawing = self.draws_in(round)
        counts = self._counts(alpha, state, round) if drawing else {}
        draws = _by_sender(counts)
        inboxes: dict[str, dict[str, Payload]] = {}
        if round > self.own_rounds:
            # in player order, whatever the order of arrival: random draws depend on the order
            inboxes = ByLink.of(state.payload).by_receiver(state.players)
        living: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        if self.originals and round > self.own_rounds:
            living = (tuple(state.players), tuple(state.started))
        asks = []
        for name, own_weight in zip(state.players, own_weights, strict=True):
            received = inboxes.get(name, {})
            own = float(state.own_counts.get(name, 0)) if received else own_weight
            request = Turn(own, draws.get(name, {}), *living)
            asks.append(Message(request, COORDINATOR, name, round, payload=received))
        answers, lost = self.alive(engine.ask(asks))

        payload = state.payload  # the old samples again, or fresh ones
        if drawing:
            payload = ByLink({answer.sender: answer.payload for answer in answers})
        own_counts = {name: count.get(name, 0) for name, count in counts.items()}
        state = replace(state, payload=payload, own_counts={**state.own_counts, **own_counts})
        state, row = self.lose(state, lost)
        return state, Row.of(answers).merged(row)

    def serve(self, player: Player, message: Message) -> Message:
        """Learn from own and received samples, then draw what the others will use."""
        request = message.request
        assert isinstance(request, Turn)
        received = _of_use(player, message.samples())
        weights = {sender: float(len(samples)) for sender, samples in received.items()}
        weights[OWN] = request.own
        copies: dict[str, float] = {}
        if self.originals and received:
            shares = self._shares(request, player.seed, message.round)
            received, weights, copies = without_copies(player, shares, received, message.round)
        numbers = player.learn(received, weights, self.local_steps, message.round)
        drawn: dict[str, Payload] = {}
        # a player that has not learned yet draws nothing
        if player.learned:
            receivers = self._receivers(player, request, bool(received), message.round)
            drawn = draws_for(player, receivers, message.round)
        return message.reply({**numbers, **copies}, drawn)

    def _receivers(
        self, player: Player, request: Turn, has_received: bool, round: int
    ) -> Mapping[str, int]:
        """Return for whom a player draws how much.

        One whose data lack variables sends what it has to those that learn from it, for others may
        lack variables as well. In a simulation from one pool it waits until they have come, unless
        nothing at all has come when it could have.
        """
        if not player.unlearned:
            return request.draw
        waits = not player.schema and (has_received or round <= self.own_rounds)
        knows_nothing = len(player.unlearned) == len(player.variables)
        if waits or knows_nothing or player.roster is None:
            return {}
        takers = player.roster.take_incomplete
        return {to: n for to, n in request.draw.items() if to in takers}

    def expected_request(self, player: Player, message: Message) -> Expected:
        """Samples come along of players that this one weighs; it draws for those that weigh it."""
        return sample_exchange_expected.request(self, player, message)

    def expected_reply(self, player: Party, ask: Message) -> Expected:
        """All that was to be drawn comes back or, before the player has learned, nothing."""
        return sample_exchange_expected.reply(player, ask)

    def admitted(self, alpha: Tensor, round: int) -> Tensor:
        """Return α in a round of the warm-up, with part of the others' mass given to own data."""
        return weights.dense(self._admitted(weights.by_edges(alpha), round))

    def _admitted(self, alpha: sp.csr_matrix, round: int) -> sp.csr_matrix:
        share = min(1.0, max(0, round - self.own_rounds) / (self.warmup_rounds + 1))
        return weights_admitted(Same(alpha), share)

    def _shares(self, request: Turn, seed: int, round: int) -> Shares:
        """Compute the weights by which a player recognises copies, on its own side."""
        alpha = self._admitted(self._living_weights(request.living, request.started, seed), round)
        return shares_of(tuple(request.living), tuple(request.started), Same(alpha))

    def _counts(
        self, alpha: sp.csr_matrix, state: ExchangeState, round: int
    ) -> dict[str, dict[str, int]]:
        """Return, for each receiver i, how many of its n samples come from each of its sources.

        The counts are n·α_ij, rounded without bias, the own count included, and they are the
        weights: samples are not weighted again. With originals the weights are those of (O), and
        the full numbers are drawn from the first round on.
        """
        wanted = alpha if self.originals else self._admitted(alpha, round + 1)
        names = list(state.players)
        counts = {}
        for receiver, start, end in zip(names, wanted.indptr, wanted.indptr[1:], strict=False):
            row = torch.from_numpy(wanted.data[start:end])
            if row.any():
                generator = stream(state.seed, "counts", round, receiver)
                each = unbiased_counts(row, self.samples_per_round, generator)
                sources = [names[j] for j in wanted.indices[start:end].tolist()]
                counts[receiver] = dict(zip(sources, each, strict=True))
        return counts

    @classmethod
    def tiny(cls) -> Self:
        """Return a game of two rounds of one step."""
        return cls(rounds=2, local_steps=1, samples_per_round=20)


def _of_use(player: Player, received: dict[str, Samples]) -> dict[str, Samples]:
    """Return the samples from which a player can learn: with all variables, if it needs them."""
    if player.learns_incomplete:
        return received
    useful = {}
    for sender, samples in received.items():
        if all(name in samples.keys() for name in player.variables):
            useful[sender] = samples
    return useful


def _by_sender(counts: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Return how many samples each player is to draw, by receiver, from the counts by receiver."""
    draws: dict[str, dict[str, int]] = {}
    for receiver, sources in counts.items():
        for sender, count in sources.items():
            if count and sender != receiver:
                draws.setdefault(sender, {})[receiver] = count
    return draws


def _silent(alpha: sp.csr_matrix, most: int) -> list[tuple[int, int]]:
    """Return the first places of α without weight, row by row."""
    places: list[tuple[int, int]] = []
    for i in range(alpha.shape[0]):
        row = alpha[[i]].toarray()[0]
        places += [(i, j) for j in np.flatnonzero(row == 0).tolist()]
        if len(places) >= most:
            break
    return places[:most]
