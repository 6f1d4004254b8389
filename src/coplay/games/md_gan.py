"""MD-GAN: one generator on a server, a discriminator at every worker, Algorithm 1 of the paper.

One global iteration, with k batches of b samples, N living workers and L steps (numbers as in the paper's Algorithm 1):

    server   generates X^(1) … X^(k); worker n gets X^(g) = X^((n mod k)+1) and X^(d) = X^(((n+1) mod k)+1)        (B2.1)
    worker   takes L discriminator steps on a real batch and X^(d)                                                 (B2.2)
    worker   returns F_n = {∂B̃(X^(g))/∂x_i}, B̃ the generator's loss summed over the batch                          (B2.3)
    server   Δw = 1/(N b) Σ_n Σ_i e_ni ∂x_i/∂w, then one Adam step                                                 (B2.4)

Every m E / b iterations each worker sends its discriminator to another: a derangement, so that nobody ends with two or
none (B2.5). Fewer than two living workers do not swap.

References:
    MD-GAN: Multi-Discriminator Generative Adversarial Networks for Distributed Datasets (C. Hardy, E. Le Merrer,
    B. Sericola, IPDPS 2019), arXiv:1811.03850.

Differs from the paper:
    The paper leaves open what happens to Adam's state at a swap and whether two workers may swap to the same third: here the
    first is ``optimiser_on_swap`` and the second cannot be. Nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, PositiveInt

from coplay.core.errors import ConfigError, PlayerError
from coplay.core.message import COORDINATOR, Message, Part, PlayerLost
from coplay.core.streams import stream
from coplay.games.base import Asker, Game, Row, State, merged
from coplay.games.gan_common import SERVER, WAYS, Told, ask_once, ask_seat, gan, gan_faults, period
from coplay.games.md_gan_seats import serve, serve_together
from coplay.nets.gan_pairs import stackable
from coplay.player import Player


class MdGan(Game):
    """One generator learns from the feedback of discriminators that never leave their data, except to swap places.

    A round is ``local_steps`` global iterations; all players have the same ``acgan`` model, whose ``batch`` is b,
    ``discriminator_steps`` is L and ``loss`` is B̃.

    Args:
        batches: k, at most the number of workers; ``"log"`` is max(1, ⌈ln N⌉).
        swap_every_epochs: E; 0 for never.
        optimiser_on_swap: Adam's state of a discriminator that moves: ``"keep"`` leaves it with the worker, ``"travel"`` sends
            it along (three times the bytes), ``"reset"`` starts it anew.
        side_by_side: How workers that share a process take their steps: ``"loop"``, one after the other; ``"stacked"``, as
            one product over all; ``"by_network"``, stacked where the network allows it; ``"measured"`` tries both at the start
            and keeps the faster, which changes sums of floats, so two runs need not agree to the last bit.
        leaves: Iteration before which a worker leaves with its data, by name.
        leave_evenly: One worker leaves every I/N iterations, the last of the config first, as in the paper's crash experiment.
        joins: Iteration before which a worker joins with a copy of another's discriminator, by name.

    Example:
        >>> MdGan(batches=1).count_of_batches(10), MdGan().count_of_batches(10), MdGan().count_of_batches(1)
        (1, 3, 1)
    """

    citation: ClassVar[tuple[str, ...]] = ("hardy2019mdgan",)
    seats: ClassVar[tuple[str, ...]] = (SERVER,)

    batches: int | Literal["log"] = "log"
    swap_every_epochs: float = Field(default=1.0, ge=0)
    optimiser_on_swap: Literal["keep", "travel", "reset"] = "keep"
    side_by_side: Literal["by_network", "loop", "stacked", "measured"] = "by_network"
    leaves: dict[str, PositiveInt] = Field(default_factory=dict)
    leave_evenly: bool = False
    joins: dict[str, PositiveInt] = Field(default_factory=dict)

    def count_of_batches(self, workers: int) -> int:
        """k for so many living workers; never more than there are."""
        k = max(1, math.ceil(math.log(max(workers, 1)))) if self.batches == "log" else self.batches
        return max(1, min(k, workers))

    # ------------------------------------------------------------------------------------------- before it begins

    def check(self, players: Sequence[Player]) -> None:
        """All players need the same GAN on the same variables, and a full batch of data."""
        workers = [player for player in players if player.name not in self.seats]
        faults = gan_faults(players, self.seats)
        if self.batches != "log" and not 1 <= self.batches <= len(workers):
            faults.append(f"game.batches: k is at most the number of workers, {len(workers)}; got {self.batches}")
        names = {player.name for player in workers}
        for field in ("leaves", "joins"):
            faults += [
                f"game.{field}: there is no player '{name}'; the players are {', '.join(sorted(names))}"
                for name in getattr(self, field)
                if name not in names
            ]
        if names and names == set(self.joins):
            faults.append("game.joins: somebody must be there from the beginning")
        if not faults and self.side_by_side == "stacked" and not stackable(gan(players[0]).half("discriminator")):
            faults.append('game.side_by_side: this discriminator cannot be stacked; choose "by_network" or "loop"')
        if faults:
            raise ConfigError(faults)

    def start(self, players: Sequence[str], seed: int) -> State:
        """All but those who join later."""
        numbers = {"seed": float(seed), **{f"player/{name}": float(i) for i, name in enumerate(players)}}
        return State(tuple(name for name in players if name not in self.joins), numbers=numbers)

    def measured(self, state: State) -> tuple[str, ...]:
        """The generator's."""
        return self.seats

    # ------------------------------------------------------------------------------------------ the coordinator's side

    def play(self, engine: Asker, state: State, round: int) -> tuple[State, Row]:
        """``local_steps`` global iterations."""
        told, swaps = Told(), 0
        row: Row = {}
        if round == 1:
            state, row = self._meet(engine, state, round)
        feedback: dict[str, Part] = {}
        first = (round - 1) * self.local_steps + 1
        for iteration in range(first, first + self.local_steps):
            state, more = self._come_and_go(engine, state, round, iteration)
            row = _merged(row, more)
            if not state.players:  # what the last ones sent before they left still counts, below
                continue
            batches = self._generate(engine, state, round, iteration, feedback, told)
            state, feedback, more = self._feedback(engine, state, round, iteration, batches, told)
            row = _merged(row, more)
            if self._swaps(state, iteration):
                state, more = self._swap(engine, state, round, iteration)
                row, swaps = _merged(row, more), swaps + 1
        if feedback:
            ask = Message("update", COORDINATOR, SERVER, round, {}, feedback)
            told.add([ask_seat(engine, ask, "exchange/feedback")])
        return state, {"players": told.row(), "swaps": swaps} | row

    def _meet(self, engine: Asker, state: State, round: int) -> tuple[State, Row]:
        """Ask everybody's number of samples, and how they take their steps, once."""
        choice = float(WAYS.index(self.side_by_side))
        asks = [Message("meet", COORDINATOR, name, round, {"side_by_side": choice}) for name in state.players]
        answers, lost = ask_once(self, engine, asks)
        known = {f"samples/{answer.sender}": answer.numbers["samples"] for answer in answers}
        stacked = {f"stacked/{answer.sender}": answer.numbers["stacked"] for answer in answers}
        b = {"batch": answers[0].numbers["batch"]}
        state, row = self.lose(State(state.players, state.payload, {**state.numbers, **known, **stacked, **b}), lost)
        tried = {
            answer.sender: {key: answer.numbers[key] for key in ("loop_seconds", "stacked_seconds")}
            for answer in answers
            if "loop_seconds" in answer.numbers
        }
        return state, row | {"stacked": [name for name in state.players if stacked[f"stacked/{name}"]]} | (
            {"tried": tried} if tried else {}
        )

    def _come_and_go(self, engine: Asker, state: State, round: int, iteration: int) -> tuple[State, Row]:
        """Injected losses, by the code path of real ones, and late joiners."""
        leaving = self._leaving(state)
        gone = [name for name in state.players if leaving.get(name) == iteration]
        reason = f"left before iteration {iteration}, as configured"
        state, row = self.lose(state, [PlayerLost(name, "feedback", round, reason) for name in gone])
        if gone:
            row["left"] = dict.fromkeys(gone, iteration)
        for name, when in self.joins.items():
            if when == iteration and name not in state.players and state.players:
                state, more = self._join(engine, state, round, name)
                row = _merged(row, more)
        return state, row

    def _leaving(self, state: State) -> dict[str, int]:
        if not self.leave_evenly:
            return dict(self.leaves)
        names = sorted((k.removeprefix("player/") for k in state.numbers if k.startswith("player/")),
                       key=lambda name: state.numbers[f"player/{name}"])  # fmt: skip
        every = self.rounds * self.local_steps / len(names)
        evenly = {name: round(every * (i + 1)) for i, name in enumerate(reversed(names))}
        return evenly | dict(self.leaves)

    def _generate(
        self, engine: Asker, state: State, round: int, iteration: int, feedback: Mapping[str, Part], told: Told
    ) -> Mapping[str, Part]:
        """The server's side of an iteration: an update by what came back, then new batches for everybody."""
        k = self.count_of_batches(len(state.players))
        numbers = {"iteration": float(iteration), "batches": float(k)}
        for n, name in enumerate(state.players):
            numbers |= {f"g/{name}": float(n % k), f"d/{name}": float((n + 1) % k)}
        ask = Message("generate", COORDINATOR, SERVER, round, numbers, feedback)
        answer = ask_seat(engine, ask, "exchange/feedback")
        told.add([answer])
        return answer.payload

    def _feedback(
        self, engine: Asker, state: State, round: int, iteration: int, batches: Mapping[str, Part], told: Told
    ) -> tuple[State, dict[str, Part], Row]:
        numbers = {"iteration": float(iteration), "batches": float(self.count_of_batches(len(state.players)))}
        asks = []
        for name in state.players:
            how = {"stacked": state.numbers.get(f"stacked/{name}", 0.0)}
            asks.append(Message("feedback", COORDINATOR, name, round, numbers | how, {SERVER: batches[name]}))
        answers, lost = self.alive(engine.ask(asks, "exchange/generated"))
        told.add(answers)
        state, row = self.lose(state, lost)
        return state, {answer.sender: answer.payload[SERVER] for answer in answers}, row

    def _swaps(self, state: State, iteration: int) -> bool:
        """Whether an m E / b-th iteration just ended, m the mean number of samples of the living."""
        if not self.swap_every_epochs or len(state.players) < 2:
            return False
        return iteration % period(state, state.players, self.swap_every_epochs) == 0

    def _swap(self, engine: Asker, state: State, round: int, iteration: int) -> tuple[State, Row]:
        """Everybody sends its discriminator to another, worker to worker."""
        to = derangement(state.players, stream(int(state.numbers["seed"]), "swap", iteration))
        moments = float(self.optimiser_on_swap == "travel")
        asks = [
            Message("give", COORDINATOR, name, round, {f"to/{to[name]}": 1.0, "moments": moments})
            for name in state.players
        ]
        given, lost = self.alive(engine.ask(asks))
        state, row = self.lose(state, lost)
        state, more = self._take(
            engine, state, round, {to[g.sender]: {g.sender: g.payload[to[g.sender]]} for g in given}
        )
        return state, _merged(row, more)

    def _take(
        self, engine: Asker, state: State, round: int, parts: Mapping[str, Mapping[str, Part]]
    ) -> tuple[State, Row]:
        how = {"keep": 0.0, "travel": 1.0, "reset": 2.0}[self.optimiser_on_swap]
        asks = [
            Message("take", COORDINATOR, name, round, {"moments": how}, part)
            for name, part in parts.items()
            if name in state.players
        ]
        return self.lose(state, self.alive(engine.ask(asks, "exchange/swap"))[1])

    def _join(self, engine: Asker, state: State, round: int, name: str) -> tuple[State, Row]:
        """A late worker begins with a copy of a living one's discriminator, drawn by lot."""
        lot = stream(int(state.numbers["seed"]), "join", name)
        donor = state.players[int(torch.randint(len(state.players), (1,), generator=lot))]
        moments = float(self.optimiser_on_swap == "travel")
        ask = Message("give", COORDINATOR, donor, round, {f"to/{name}": 1.0, "moments": moments})
        try:
            given = ask_once(self, engine, [ask])[0][0]
            known = self._meet(engine, State((name,), {}, state.numbers), round)[0].numbers
            # it takes its steps as the others do, whatever a trial of its own would find
            known = {**known, f"stacked/{name}": known[f"stacked/{donor}"]}
            order = sorted((*state.players, name), key=lambda n: known[f"player/{n}"])
            joined, _ = self._take(
                engine, State(tuple(order), state.payload, known), round, {name: {donor: given.payload[name]}}
            )
            return joined, {"joined": [name]}
        except PlayerError as error:  # who is asked alone need not be all that is left
            if self.on_lost == "stop" or state.players == (error.player,):
                raise
            state, row = self.lose(state, [PlayerLost(error.player, error.action, error.round, error.reason)])
            if error.player == name:
                return state, row
            state, more = self._join(engine, state, round, name)  # a copy of somebody else's
            return state, _merged(row, more)

    # --------------------------------------------------------------------------------------------- the players' side

    def serve(self, player: Player, message: Message) -> Message:
        """Answer one request; see ``games/md_gan_seats.py``."""
        return serve(player, message)

    def serve_together(
        self, players: Sequence[Player], messages: Sequence[Message]
    ) -> list[Message | Exception] | None:
        """Feedback of workers that sit side by side: one product over all of them."""
        return serve_together(players, messages)

    @classmethod
    def tiny(cls) -> Self:
        """Two rounds of two iterations."""
        return cls(rounds=2, local_steps=2)


def _merged(row: Row, more: Row) -> Row:
    """As ``merged``; who joined and who left adds up, too."""
    if not more:
        return row
    joined = row.get("joined", []) + more.get("joined", [])
    left = row.get("left", {}) | more.get("left", {})
    return merged(row, more) | ({"joined": joined} if joined else {}) | ({"left": left} if left else {})


def derangement(names: Sequence[str], generator: torch.Generator) -> dict[str, str]:
    """A uniformly drawn permutation without fixed points: to whom each sends.

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
