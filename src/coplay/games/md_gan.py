"""MD-GAN: one generator on a server, a discriminator at every worker, Algorithm 1 of the paper.

To read the algorithm first: ``examples/md_gan.py`` has it on one page, as plain loops over torch.

One global iteration, with k batches of b samples, N living workers and L steps (numbers as in the
paper's Algorithm 1):

    server   generates X^(1) … X^(k); worker n gets X^(g) = X^((n mod k)+1)
             and X^(d) = X^(((n+1) mod k)+1)                                                  (B2.1)
    worker   takes L discriminator steps on a real batch and X^(d)                            (B2.2)
    worker   returns F_n = {∂B̃(X^(g))/∂x_i}, B̃ the generator's loss summed over the batch   (B2.3)
    server   Δw = 1/(N b) Σ_n Σ_i e_ni ∂x_i/∂w, then one Adam step                            (B2.4)

Every m E / b iterations each worker sends its discriminator to another: a derangement, so that no
worker ends with two or none (B2.5). Fewer than two living workers do not swap.

References:
    MD-GAN: Multi-Discriminator Generative Adversarial Networks for Distributed Datasets (C. Hardy,
    E. Le Merrer, B. Sericola, IPDPS 2019), arXiv:1811.03850.

Differs from the paper:
    The paper leaves open what happens to Adam's state at a swap, which is ``optimiser_on_swap``
    here, and whether two workers may swap to the same third, which is excluded here. Nothing else
    differs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, PositiveInt

from coplay.core.errors import ConfigError, PlayerError
from coplay.core.expected import Expected
from coplay.core.message import COORDINATOR, Message, Payload, PlayerLost, Request
from coplay.core.streams import stream
from coplay.games import md_gan_expected
from coplay.games.base import Asker, Game, Row, State
from coplay.games.gan_common import (
    SERVER,
    GanState,
    Introduce,
    Introduction,
    RoundTotals,
    SideBySide,
    ask_once,
    ask_seat,
    gan,
    gan_faults,
    sizes_of,
)
from coplay.games.md_gan_seats import (
    REQUESTS,
    Feedback,
    Generate,
    Load,
    OptimizerOnSwap,
    Send,
    Update,
    serve,
    serve_together,
)
from coplay.games.md_gan_stack import stack_key
from coplay.games.party import Party
from coplay.nets.sizes import NetworkSize
from coplay.player import Player


@dataclass(frozen=True)
class MdGanState(GanState):
    """What the coordinator of MD-GAN remembers.

    Args:
        seed: The run's seed.
        order: Names of all players in order, also of those that join later or have left.
        stacked: Whether each worker's steps are taken together with those of its neighbours.
    """

    seed: int = 0
    order: Sequence[str] = ()
    stacked: Mapping[str, bool] = field(default_factory=dict)


class MdGan(Game[MdGanState]):
    """One generator learns from the feedback of discriminators that leave their data only to swap.

    A round is ``local_steps`` global iterations; all players have the same ``acgan`` model, whose
    ``batch`` is b, ``discriminator_steps`` is L and ``loss`` is B̃.

    Args:
        batches: k, at most the number of workers; ``"log"`` is max(1, ⌈ln N⌉).
        swap_every_epochs: E; 0 for never.
        optimiser_on_swap: Adam's state of a discriminator that moves: ``"keep"`` leaves it with the
            worker, ``"travel"`` sends it along (three times the bytes), ``"reset"`` starts it anew.
        side_by_side: How workers that share a process take their steps: ``"loop"``, one after the
            other; ``"stacked"``, as one product over all; ``"by_network"``, stacked where the
            network is a chain of plain layers, and others of coplay's own at once, a thread each;
            ``"measured"`` tries loop and stack at the start and uses the faster, so two runs need
            not agree to the last bit. The first round's record names those that are stacked.
        leaves: Iteration before which a worker leaves with its data, by name.
        leave_evenly: One worker leaves every I/N iterations, the last of the config first, as in
            the paper's crash experiment.
        joins: Iteration before which a worker joins with a copy of another's discriminator, by
            name.

    Example:
        >>> MdGan(batches=1).count_of_batches(10)
        1
        >>> MdGan().count_of_batches(10), MdGan().count_of_batches(1)
        (3, 1)
    """

    citation: ClassVar[tuple[str, ...]] = ("hardy2019mdgan",)
    seats: ClassVar[tuple[str, ...]] = (SERVER,)
    requests: ClassVar[tuple[type[Request], ...]] = REQUESTS
    state_class: ClassVar[type[State]] = MdGanState

    batches: int | Literal["log"] = "log"
    swap_every_epochs: float = Field(default=1.0, ge=0)
    optimiser_on_swap: OptimizerOnSwap = "keep"
    side_by_side: SideBySide = "by_network"
    leaves: dict[str, PositiveInt] = Field(default_factory=dict)
    leave_evenly: bool = False
    joins: dict[str, PositiveInt] = Field(default_factory=dict)

    def count_of_batches(self, workers: int) -> int:
        """Return k for so many living workers; it is never larger than their number."""
        k = math.ceil(math.log(max(workers, 1))) if self.batches == "log" else self.batches
        return max(1, min(k, workers))

    # ----------------------------------------------------------------------------- before it begins

    def check(self, players: Sequence[Party]) -> None:
        """Refuse players without the same GAN on the same variables, or without a full batch."""
        workers = [player for player in players if player.name not in self.seats]
        faults = gan_faults(players, self.seats)
        if self.batches != "log" and not 1 <= self.batches <= len(workers):
            most = f"k is at most the number of workers, {len(workers)}"
            faults.append(f"game.batches: {most}; got {self.batches}")
        names = {player.name for player in workers}
        for setting, given in (("leaves", self.leaves), ("joins", self.joins)):
            for name in given:
                if name not in names:
                    known = ", ".join(sorted(names))
                    faults.append(
                        f"game.{setting}: there is no player '{name}'; the players are {known}"
                    )
        if names and names == set(self.joins):
            faults.append("game.joins: somebody must be there from the beginning")
        if not faults and self.side_by_side == "stacked" and not _share_a_stack(workers):
            faults.append(
                "game.side_by_side: this discriminator cannot be stacked; "
                'choose "by_network" or "loop"'
            )
        if faults:
            raise ConfigError(faults)

    def start(self, players: Sequence[str], seed: int) -> MdGanState:
        """Return the state with all players but those that join later."""
        present = tuple(name for name in players if name not in self.joins)
        return MdGanState(present, seed=seed, order=tuple(players))

    def sampled_from(self, state: MdGanState) -> Sequence[str]:
        """Return the server: its generator is measured."""
        return self.seats

    def network_sizes(self, players: Sequence[Party]) -> Mapping[str, NetworkSize]:
        """Return the sizes of generator and discriminator."""
        return sizes_of(players[0])

    # ----------------------------------------------------------------------- the coordinator's side

    def play(self, engine: Asker, state: MdGanState, round: int) -> tuple[MdGanState, Row]:
        """Play ``local_steps`` global iterations."""
        totals = RoundTotals()
        swaps = 0
        row = Row()
        if round == 1:
            state, row = self._introduce(engine, state, round)
        feedback: dict[str, Payload] = {}
        first = (round - 1) * self.local_steps + 1
        for iteration in range(first, first + self.local_steps):
            state, more = self._come_and_go(engine, state, round, iteration)
            row = row.merged(more)
            if not state.players:  # the feedback that the last ones sent is still used, below
                continue
            batches = self._generate(engine, state, round, iteration, feedback, totals)
            state, feedback, more = self._feedback(engine, state, round, iteration, batches, totals)
            row = row.merged(more)
            if self._swaps(state, iteration):
                state, more = self._swap(engine, state, round, iteration)
                row = row.merged(more)
                swaps += 1
        if feedback:
            ask = Message(Update(iteration), COORDINATOR, SERVER, round, payload=feedback)
            totals.add([ask_seat(engine, ask, "exchange/feedback")])
        return state, Row(totals.by_player(), own={"swaps": swaps}).merged(row)

    def _introduce(self, engine: Asker, state: MdGanState, round: int) -> tuple[MdGanState, Row]:
        """Ask all workers for their numbers of samples and how they take their steps, once."""
        asks = [Message(Introduce(), COORDINATOR, name, round) for name in state.players]
        answers, lost = ask_once(self, engine, asks)
        known = {answer.sender: Introduction.of(answer.numbers) for answer in answers}
        samples = {name: each.samples for name, each in known.items()}
        stacked = {name: each.stacked for name, each in known.items()}
        state = replace(
            state,
            samples={**state.samples, **samples},
            stacked={**state.stacked, **stacked},
            batch=known[answers[0].sender].batch,
        )
        state, row = self.lose(state, lost)
        own: dict[str, object] = {"stacked": [name for name in state.players if stacked[name]]}
        tried = {name: each.tried() for name, each in known.items() if each.tried()}
        if tried:
            own["tried"] = tried
        return state, row.merged(Row(own=own))

    def _come_and_go(
        self, engine: Asker, state: MdGanState, round: int, iteration: int
    ) -> tuple[MdGanState, Row]:
        """Let workers leave, by the code path of real losses, and join."""
        leaving = self._leaving(state)
        gone = [name for name in state.players if leaving.get(name) == iteration]
        reason = f"left before iteration {iteration}, as configured"
        losses = [PlayerLost(name, "feedback", round, reason) for name in gone]
        state, row = self.lose(state, losses)
        row = replace(row, left=dict.fromkeys(gone, iteration))
        for name, when in self.joins.items():
            if when == iteration and name not in state.players and state.players:
                state, more = self._join(engine, state, round, iteration, name)
                row = row.merged(more)
        return state, row

    def _leaving(self, state: MdGanState) -> dict[str, int]:
        """Return the iteration before which each player leaves."""
        if not self.leave_evenly:
            return dict(self.leaves)
        every = self.rounds * self.local_steps / len(state.order)
        leaving = {name: round(every * (i + 1)) for i, name in enumerate(reversed(state.order))}
        return leaving | dict(self.leaves)

    def _generate(
        self,
        engine: Asker,
        state: MdGanState,
        round: int,
        iteration: int,
        feedback: Mapping[str, Payload],
        totals: RoundTotals,
    ) -> Mapping[str, Payload]:
        """Take the server's side of an iteration.

        It updates by the workers' feedback, then generates new batches for all of them.
        """
        k = self.count_of_batches(len(state.players))
        feedback_batch = {name: n % k for n, name in enumerate(state.players)}
        learning_batch = {name: (n + 1) % k for n, name in enumerate(state.players)}
        request = Generate(iteration, k, feedback_batch, learning_batch)
        ask = Message(request, COORDINATOR, SERVER, round, payload=feedback)
        answer = ask_seat(engine, ask, "exchange/feedback")
        totals.add([answer])
        return answer.payload

    def _feedback(
        self,
        engine: Asker,
        state: MdGanState,
        round: int,
        iteration: int,
        batches: Mapping[str, Payload],
        totals: RoundTotals,
    ) -> tuple[MdGanState, dict[str, Payload], Row]:
        """Take the workers' side of an iteration."""
        k = self.count_of_batches(len(state.players))
        asks = []
        for name in state.players:
            request = Feedback(iteration, k, state.stacked.get(name, False))
            asks.append(Message(request, COORDINATOR, name, round, payload={SERVER: batches[name]}))
        answers, lost = self.alive(engine.ask(asks, "exchange/generated"))
        totals.add(answers)
        state, row = self.lose(state, lost)
        return state, {answer.sender: answer.payload[SERVER] for answer in answers}, row

    def _swaps(self, state: MdGanState, iteration: int) -> bool:
        """Whether an m E / b-th iteration just ended; m is the living's mean number of samples."""
        if not self.swap_every_epochs or len(state.players) < 2:
            return False
        return iteration % state.period(state.players, self.swap_every_epochs) == 0

    def _swap(
        self, engine: Asker, state: MdGanState, round: int, iteration: int
    ) -> tuple[MdGanState, Row]:
        """Let every worker send its discriminator to another."""
        to = derangement(state.players, stream(state.seed, "swap", iteration))
        asks = []
        for name in state.players:
            asks.append(Message(Send(to[name], iteration, False), COORDINATOR, name, round))
        answers, lost = self.alive(engine.ask(asks))
        state, row = self.lose(state, lost)
        moving = {}
        for answer in answers:
            receiver = to[answer.sender]
            moving[receiver] = {answer.sender: answer.payload[receiver]}
        state, more = self._load(engine, state, Load(iteration, False), round, moving)
        return state, row.merged(more)

    def _load(
        self,
        engine: Asker,
        state: MdGanState,
        request: Load,
        round: int,
        moving: Mapping[str, Mapping[str, Payload]],
    ) -> tuple[MdGanState, Row]:
        """Send discriminators, by receiver and sender, to the receivers that are still there."""
        asks = []
        for name, discriminator in moving.items():
            if name in state.players:
                asks.append(Message(request, COORDINATOR, name, round, payload=discriminator))
        return self.lose(state, self.alive(engine.ask(asks, "exchange/swap"))[1])

    def _join(
        self, engine: Asker, state: MdGanState, round: int, iteration: int, name: str
    ) -> tuple[MdGanState, Row]:
        """Let a late worker begin with a copy of a living one's discriminator, drawn by lot."""
        lot = stream(state.seed, "join", name)
        donor = state.players[int(torch.randint(len(state.players), (1,), generator=lot))]
        try:
            ask = Message(Send(name, iteration, True), COORDINATOR, donor, round)
            (answer,), _ = ask_once(self, engine, [ask])
            known, _ = self._introduce(engine, replace(state, players=(name,), payload={}), round)
            # it takes its steps as the others do, whatever a trial of its own would prefer
            stacked = {**known.stacked, name: known.stacked[donor]}
            order = sorted((*state.players, name), key=state.order.index)
            joined = replace(known, players=tuple(order), payload=state.payload, stacked=stacked)
            moving = {name: {donor: answer.payload[name]}}
            joined, _ = self._load(engine, joined, Load(iteration, True), round, moving)
            return joined, Row(joined=(name,))
        except PlayerError as error:  # a single player was asked; others may be left
            if self.on_lost == "stop" or tuple(state.players) == (error.player,):
                raise
            loss = PlayerLost(error.player, error.action, error.round, error.reason)
            state, row = self.lose(state, [loss])
            if error.player == name:
                return state, row
            state, more = self._join(engine, state, round, iteration, name)  # a copy of another
            return state, row.merged(more)

    # ---------------------------------------------------------------------------- the players' side

    def serve(self, player: Player, message: Message) -> Message:
        """Answer one request; see ``games/md_gan_seats.py``."""
        return serve(player, message, self.side_by_side, self.optimiser_on_swap)

    def expected_request(self, player: Player, message: Message) -> Expected:
        """Say what a request may hold; see ``games/md_gan_expected.py``."""
        return md_gan_expected.request(self, player, message)

    def expected_reply(self, player: Party, ask: Message) -> Expected:
        """Say what a reply may hold."""
        return md_gan_expected.reply(self, player, ask)

    def serve_together(
        self, players: Sequence[Player], messages: Sequence[Message]
    ) -> list[Message | BaseException] | None:
        """Answer for workers that sit side by side, by one product over all of them."""
        return serve_together(players, messages, self.side_by_side)

    @classmethod
    def tiny(cls) -> Self:
        """Return a game of two rounds of two iterations."""
        return cls(rounds=2, local_steps=2)


def _share_a_stack(workers: Sequence[Party]) -> bool:
    """Whether the discriminators of all workers can be stacked together."""
    keys = {stack_key(gan(worker)) for worker in workers}
    return len(keys) == 1 and None not in keys


def derangement(names: Sequence[str], generator: torch.Generator) -> dict[str, str]:
    """Draw a permutation without fixed points, uniformly: the receiver of each sender.

    Args:
        names: At least two.
        generator: Source of the draw.

    Example:
        >>> derangement(["a", "b"], stream(1))
        {'a': 'b', 'b': 'a'}
    """
    while True:
        order = torch.randperm(len(names), generator=generator).tolist()
        if all(i != j for i, j in enumerate(order)):
            return {name: names[j] for name, j in zip(names, order, strict=True)}
