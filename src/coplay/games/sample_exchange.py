"""The cooperative game: every player learns from its own data and from samples of the others' models.

Utility of player i, with weights α_ij ≥ 0, Σ_j α_ij = 1:

    U_i(θ) = α_ii E_{x~π_i}[log p_θi(x)] + Σ_{j≠i} α_ij E_{x~p_θj}[log p_θi(x)]                              (A1)

Play is simultaneous: in round t every player learns from its own data and from the samples the others drew at the end of
round t−1. What the equilibrium predicts is computed by :mod:`coplay.theory.equilibrium`.

References:
    Game-theoretic distributed learning of generative models for heterogeneous data collections
    (D. Schlesinger, B. Flach, 2025), arXiv:2511.01740.

Differs from the paper:
    The authors draw fresh samples for every gradient step; here players exchange once a round and take ``local_steps``
    on what they received, because a message costs more than a sample. ``fresh_every_rounds``, ``own_rounds``,
    ``warmup_rounds`` and ``originals`` are ours.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import networkx as nx
import torch
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from torch import Tensor

from coplay.core.errors import ConfigError
from coplay.core.message import COORDINATOR, Message, PlayerLost
from coplay.core.space import Samples, pick
from coplay.core.streams import derive, stream, unbiased_counts
from coplay.games.base import Asker, Game, Row, State
from coplay.games.originals import Origins
from coplay.models.base import OWN
from coplay.player import Player
from coplay.theory import equilibrium

Topology = Literal["complete", "ring", "star", "random_regular"]

_SPREAD = {"own_weight", "topology", "neighbours"}  # the fields that give α by a rule


class SampleExchange(Game):
    """Players exchange synthetic samples, never data or parameters.

    The weights α come from ``alpha`` as a full matrix, or from ``own_weight`` with the rest spread evenly over the
    neighbours in ``topology``.

    Args:
        alpha: Full weight matrix, one row per player in config order, rows sum to 1. Excludes the next three.
        own_weight: α_ii of every player, in [0, 1].
        topology: Who listens to whom: ``complete``, ``ring``, ``star`` (the first player is the hub) or
            ``random_regular`` (every player has ``neighbours`` of them, drawn from the run's seed).
        neighbours: Number of neighbours, for ``random_regular``.
        samples_per_round: n; player i receives n·α_ij samples from j each time fresh ones are drawn.
        fresh_every_rounds: Draw fresh samples every so many rounds and reuse them in between; 1 is always fresh.
        own_rounds: Rounds at the start in which everybody learns from own data alone, so that nobody learns from peers
            that know nothing yet. The equilibrium does not depend on it.
        warmup_rounds: Rounds after these over which the others' mass grows evenly to its full value; 0 admits them at once.
        originals: Whether players put their own data in the place of what they recognise as copies of them (O), which leaves
            the equilibrium as it is and keeps faults from coming back. Everybody has to hear everybody, on the same variables.

    Example:
        >>> game = SampleExchange(own_weight=0.3)
        >>> game.predict(["north", "south"])
        tensor([[0.5882, 0.4118],
                [0.4118, 0.5882]], dtype=torch.float64)
    """

    citation: ClassVar[tuple[str, ...]] = ("schlesinger2025game",)

    alpha: tuple[tuple[float, ...], ...] | None = None
    own_weight: float = Field(default=0.3, ge=0, le=1)
    topology: Topology = "complete"
    neighbours: int = Field(default=2, ge=1)
    samples_per_round: int = Field(default=2000, ge=1)
    fresh_every_rounds: int = Field(default=1, ge=1)
    own_rounds: int = Field(default=1, ge=1)
    warmup_rounds: int = Field(default=0, ge=0)
    originals: bool = False

    @model_validator(mode="after")
    def _one_source_of_weights(self) -> Self:
        doubled = _SPREAD & self.model_fields_set
        if self.alpha is not None and doubled:
            raise ValueError(f"give either alpha or {', '.join(sorted(doubled))}, not both")
        return self

    @model_serializer(mode="wrap")
    def _only_what_counts(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        return values if self.alpha is None else {k: v for k, v in values.items() if k not in _SPREAD}

    def weights(self, players: Sequence[str], seed: int = 0) -> Tensor:
        """The weight matrix α, shape (N, N), float64.

        Raises:
            ConfigError: Rows do not sum to 1, the size is wrong, the topology is impossible for so many players, or some
                players are left without data.
        """
        if self.alpha is not None:
            widths = {len(row) for row in self.alpha}
            if widths != {len(players)} or len(self.alpha) != len(players):
                raise ConfigError(
                    [f"game.alpha: expected {len(players)} rows of {len(players)} weights, one per player; "
                     f"got {len(self.alpha)} rows of {' or '.join(map(str, sorted(widths)))}"]
                )  # fmt: skip
            alpha = torch.tensor(self.alpha, dtype=torch.float64)
        else:
            alpha = spread(self._adjacency(len(players), seed), self.own_weight)
        faults = equilibrium.weight_faults(alpha, list(players))
        if faults:
            place = "own_weight" if self.alpha is None else "alpha"
            raise ConfigError([f"game.{place}: {fault}" for fault in faults])
        return alpha

    def _adjacency(self, n: int, seed: int) -> Tensor:
        if self.topology == "ring":
            graph = nx.cycle_graph(n)
        elif self.topology == "star":
            graph = nx.star_graph(n - 1)
        elif self.topology == "random_regular":
            if self.neighbours >= n or n * self.neighbours % 2:
                raise ConfigError(
                    [f"game.neighbours: a random regular graph of {n} players needs fewer than {n} neighbours each and an "
                     f"even product of the two; got {self.neighbours}"]
                )  # fmt: skip
            graph = nx.random_regular_graph(self.neighbours, n, seed=derive(seed, "topology"))
        else:
            graph = nx.complete_graph(n)
        graph.remove_edges_from(list(nx.selfloop_edges(graph)))  # a ring of one listens to nobody
        return torch.from_numpy(nx.to_numpy_array(graph, nodelist=range(n))).double()

    def predict(self, players: Sequence[str], seed: int = 0) -> Tensor:
        """The influence matrix M of (A2)."""
        return equilibrium.influence_matrix(self.weights(players, seed))

    def needs_data(self, players: Sequence[str], seed: int = 0) -> list[str]:
        """All that listen to themselves."""
        own = self.weights(players, seed).diag()
        return [name for name, weight in zip(players, own, strict=True) if weight > 0]

    def check(self, players: Sequence[Player]) -> None:
        """With originals, everybody needs data, has to hear everybody and learns the same variables."""
        if not self.originals:
            return
        names, first = [player.name for player in players], players[0]
        alpha = self.weights(names, first.seed)
        silent = [f"'{names[j]}' for '{names[i]}'" for i, j in (alpha == 0).nonzero().tolist()]
        faults = []
        if silent:
            more = f" and {len(silent) - 3} more" if len(silent) > 3 else ""
            faults.append(
                "game.originals: everybody needs data and has to hear everybody, to tell copies of them from what others know; "
                f"the weight is 0 of {', '.join(silent[:3])}{more}"
            )
        for player in players:
            if player.unobserved:
                faults.append(
                    f"game.originals: the data of '{player.name}' lack {', '.join(player.unobserved)}, and cannot take the "
                    "place of samples that have it"
                )
            elif player.variables != first.variables:
                faults.append(
                    f"game.originals: player '{player.name}' learns {player.variables}, and '{first.name}' {first.variables}; "
                    "who tells copies compares all variables"
                )
        if faults:
            raise ConfigError(faults)

    def start(self, players: Sequence[str], seed: int) -> State:
        """Nothing is in flight before the first round."""
        self.weights(players, seed)
        return State(tuple(players), numbers={"seed": seed, **{f"player/{name}": i for i, name in enumerate(players)}})

    def play(self, engine: Asker, state: State, round: int) -> tuple[State, Row]:
        """One round: everybody learns, then draws for those who listen."""
        seed = int(state.numbers["seed"])
        alpha = self._living_weights(state, seed)
        listening = round > self.own_rounds
        since = round - self.own_rounds  # 0 is the round that draws the first samples anybody will hear
        drawing = since >= 0 and since % self.fresh_every_rounds == 0 and round < self.rounds
        # in player order, whatever the order of arrival: the order decides the order of random draws
        inbox = {
            to: {name: state.payload[f"{name}>{to}"] for name in state.players if f"{name}>{to}" in state.payload}
            for to in state.players
        }
        # the counts are n·α_ij, own count included, and they are the weights: nothing is weighted again
        # with originals the weights are (O)'s, and all that will ever be heard is worth drawing at once
        asked = alpha if self.originals else self.admitted(alpha, round + 1)
        counts = self._counts(asked, state.players, seed, round) if drawing else {}
        now = self.admitted(alpha, round)
        shares = self._shares(now, state) if self.originals and listening else {}
        asks = []
        for i, name in enumerate(state.players):
            own = state.numbers.get(f"own/{name}", 0.0) if listening and inbox[name] else alpha[i, i].item()
            numbers: dict[str, float] = {"steps": self.local_steps, "weight/own": own}
            numbers |= {f"draw/{to}": count[name] for to, count in counts.items() if to != name and count[name]}
            if shares:
                numbers |= shares | {f"alpha/{k}": w for k, w in zip(state.players, now[i].tolist(), strict=True)}
            asks.append(Message("turn", COORDINATOR, name, round, numbers, inbox[name] if listening else {}))
        answers, lost = self.alive(engine.ask(asks))

        payload = {} if drawing else dict(state.payload)  # fresh ones, or the old ones again
        for answer in answers:
            payload |= {f"{answer.sender}>{to}": part for to, part in answer.payload.items()}
        own_counts = {f"own/{name}": float(count[name]) for name, count in counts.items()}
        after, row = self.lose(State(state.players, payload, {**state.numbers, **own_counts}), lost)
        return after, {"players": {answer.sender: dict(answer.numbers) for answer in answers}} | row

    def serve(self, player: Player, message: Message) -> Message:
        """Learn from own and received samples, then draw what the others will use."""
        begin = time.perf_counter()
        received = message.samples()
        weights = {sender: float(len(samples)) for sender, samples in received.items()}
        weights[OWN] = message.numbers["weight/own"]
        copies: dict[str, float] = {}
        if self.originals and received:
            received, weights, copies = _without_copies(player, message, received)
        numbers = player.learn(received, weights, int(message.numbers["steps"]), message.round) | copies
        middle = time.perf_counter()
        drawn = {}
        if player.learned and not player.untaught:  # who has heard nothing yet has nothing to say
            drawn = {to: player.draw(int(n), message.round, to) for to, n in message.group("draw").items()}
        numbers |= {"seconds_learning": middle - begin, "seconds_sampling": time.perf_counter() - middle}
        return message.reply(numbers, drawn)

    def lose(self, state: State, lost: Sequence[PlayerLost]) -> tuple[State, Row]:
        """α is re-normalised over the living; who lost its last source is frozen; the new M is stated."""
        after, row = super().lose(state, lost)
        if lost:
            alpha = self._living_weights(after, int(state.numbers["seed"]))
            row["frozen"] = [name for name, weights in zip(after.players, alpha, strict=True) if not weights.any()]
            if not equilibrium.weight_faults(alpha):
                row["influence"] = equilibrium.influence_matrix(alpha).tolist()
        return after, row

    def mixture_weights(self, state: State) -> Tensor:
        """α of the living."""
        return self._living_weights(state, int(state.numbers["seed"]))

    def _living_weights(self, state: State, seed: int) -> Tensor:
        """α of those who are left, rows re-normalised; a row of zeros is a player that lost its last source."""
        names = _started(state)
        alpha = self.weights(names, seed)
        kept = [names.index(name) for name in state.players]
        alpha = alpha[kept][:, kept]
        return torch.nan_to_num(alpha / alpha.sum(1, keepdim=True))

    def admitted(self, alpha: Tensor, round: int) -> Tensor:
        """α in a round of the warm-up: the others' mass is scaled down and goes to the player's own data."""
        share = min(1.0, max(0, round - self.own_rounds) / (self.warmup_rounds + 1))
        own = alpha.diag()
        scaled = share * alpha
        held_back = (1 - share) * (alpha.sum(1) - own)
        return scaled - torch.diag(scaled.diag()) + torch.diag(own + held_back)

    def _shares(self, alpha: Tensor, state: State) -> dict[str, float]:
        """M_jk by ``share/j/k``, for j among the living; who is gone has the share 0."""
        found = {f"share/{j}/{k}": 0.0 for j in state.players for k in _started(state)}
        for j, row in zip(state.players, equilibrium.influence_matrix(alpha).tolist(), strict=True):
            found |= {f"share/{j}/{k}": share for k, share in zip(state.players, row, strict=True)}
        return found

    def _counts(self, alpha: Tensor, players: Sequence[str], seed: int, round: int) -> dict[str, dict[str, int]]:
        """For each receiver i, how many of its n samples come from whom: n·α_ij, rounded without bias."""
        found = {}
        for row, receiver in zip(alpha, players, strict=True):
            if row.any():
                counts = unbiased_counts(row, self.samples_per_round, stream(seed, "counts", round, receiver))
                found[receiver] = dict(zip(players, counts, strict=True))
        return found

    @classmethod
    def tiny(cls) -> Self:
        """Two rounds of one step."""
        return cls(rounds=2, local_steps=1, samples_per_round=20)


def _started(state: State) -> list[str]:
    """Who was there in the beginning, in order."""
    numbers = {key.removeprefix("player/"): i for key, i in state.numbers.items() if key.startswith("player/")}
    return sorted(numbers, key=lambda name: numbers[name])


def _without_copies(
    player: Player, message: Message, received: Mapping[str, Samples]
) -> tuple[dict[str, Samples], dict[str, float], dict[str, float]]:
    """What is received without copies of the player's own data, the weights of (O), and the share of copies by sender.

    Until all the others are heard at once for the first time, everything, by the weights of (A1).
    """
    me, round = player.name, message.round
    alpha = message.group("alpha")
    shares = {j: message.group(f"share/{j}") for j in alpha}
    origins = Origins(player.variables, list(shares[me]), derive(player.seed, "origins", me))
    if player.kept:
        origins.load_state_dict(player.kept)
    elif set(received) == set(alpha) - {me}:
        mine = player.draw(max(map(len, received.values())), round, me)
        origins.fit({me: mine, **received}, stream(player.seed, "origins", me))
        player.kept = dict(origins.state_dict())
    else:
        return dict(received), {OWN: alpha[me], **{j: alpha[j] for j in received}}, {}
    weights, found, copies = {OWN: shares[me][me]}, {}, {}
    for j, samples in received.items():
        chance = torch.rand(len(samples), generator=stream(player.seed, "copies", round, me, j), dtype=torch.float64)
        copied = chance < origins.copies(samples, me, shares[j])
        found[j] = pick(samples, ~copied)
        weights[j] = alpha[j] * (1 - shares[j][me])
        copies[f"copies/{j}"] = copied.double().mean().item()
    return found, weights, copies


def spread(adjacency: Tensor, own_weight: float) -> Tensor:
    """α with ``own_weight`` on the diagonal and the rest spread evenly over the neighbours.

    A player without neighbours keeps all the weight.

    Example:
        >>> spread(torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), 0.5)
        tensor([[0.5000, 0.2500, 0.2500],
                [0.5000, 0.5000, 0.0000],
                [0.0000, 0.0000, 1.0000]], dtype=torch.float64)
    """
    degree = adjacency.double().sum(1, keepdim=True)
    alpha = torch.where(degree > 0, (1 - own_weight) * adjacency.double() / degree.clamp_min(1), 0.0)
    return alpha + torch.diag(1 - alpha.sum(1))
