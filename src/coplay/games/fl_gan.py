"""FL-GAN: every worker trains a whole GAN on its own data, a server averages the pairs (B3).

Every E epochs, m E / b steps:

    server → workers   the pair (G, D), N (|w| + |θ|) numbers
    worker             m E / b steps of the GAN on its own data
    workers → server   their pairs, N (|w| + |θ|) numbers
    server             the mean, weighted by the number of samples

References:
    Communication-Efficient Learning of Deep Networks from Decentralized Data (H. B. McMahan et al., AISTATS 2017),
    arXiv:1602.05629, applied to the pair as MD-GAN's paper does (arXiv:1811.03850).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field

from coplay.core.errors import ConfigError, ModelError
from coplay.core.message import COORDINATOR, Message, Part
from coplay.games.base import Asker, Game, Row, State, merged
from coplay.games.gan_common import SERVER, Told, ask_once, ask_seat, gan, gan_faults, period
from coplay.models.base import OWN
from coplay.nets.gan_builder import Half
from coplay.player import Player

_PAIR: tuple[Half, Half] = ("generator", "discriminator")


class FlGan(Game):
    """Whole GANs learn at the workers and are averaged every few epochs.

    A round is ``local_steps`` steps of every worker's GAN, so equal numbers mean equal generator updates in all games; when to
    average is counted in steps and falls where it falls inside rounds. What is measured is the server's last average.

    Args:
        average_every_epochs: E, by the mean number of samples of the living.
        optimiser_on_average: ``"keep"`` Adam's state at the workers, or ``"reset"`` it.
        average_buffers: Whether buffers, such as those of batch normalisation, are averaged too; otherwise the server's are
            those it began with, and workers keep their own.

    Example:
        >>> FlGan().measured(State(("a", "b")))
        ('server',)
    """

    citation: ClassVar[tuple[str, ...]] = ("mcmahan2017communication", "hardy2019mdgan")
    seats: ClassVar[tuple[str, ...]] = (SERVER,)

    average_every_epochs: float = Field(default=1.0, gt=0)
    optimiser_on_average: Literal["keep", "reset"] = "keep"
    average_buffers: bool = True

    def check(self, players: Sequence[Player]) -> None:
        """All players need the same GAN on the same variables, and a full batch of data."""
        faults = gan_faults(players, self.seats)
        if faults:
            raise ConfigError(faults)

    def start(self, players: Sequence[str], seed: int) -> State:
        """Nothing is known of anybody's data yet."""
        return State(tuple(players))

    def measured(self, state: State) -> tuple[str, ...]:
        """The average's."""
        return self.seats

    # ------------------------------------------------------------------------------------------ the coordinator's side

    def play(self, engine: Asker, state: State, round: int) -> tuple[State, Row]:
        """``local_steps`` steps of everybody, cut where it is time to average."""
        told, averages = Told(), 0
        row: Row = {}
        if round == 1:
            asks = [Message("meet", COORDINATOR, name, round) for name in state.players]
            answers, gone = ask_once(self, engine, asks)
            known = {f"samples/{answer.sender}": answer.numbers["samples"] for answer in answers}
            state, row = self.lose(State(state.players, numbers={**known, "batch": answers[0].numbers["batch"]}), gone)
        began = [name.removeprefix("samples/") for name in state.numbers if name.startswith("samples/")]
        every = period(state, began, self.average_every_epochs)
        done, end = (round - 1) * self.local_steps, round * self.local_steps
        while done < end:
            if done % every == 0:  # to everybody, the pair to begin with
                ask = Message("give", COORDINATOR, SERVER, round, self._to(state.players))
                pair = ask_seat(engine, ask, "exchange").payload
                reset = {"reset": float(self.optimiser_on_average == "reset")}
                asks = [
                    Message("take", COORDINATOR, name, round, reset, {SERVER: pair[name]}) for name in state.players
                ]
                state, more = self.lose(state, self.alive(engine.ask(asks, "exchange/average"))[1])
                row = merged(row, more)
            steps = min(end, (done // every + 1) * every) - done
            numbers = {"steps": float(steps), "step": float(done + 1)}
            answers, gone = self.alive(
                engine.ask([Message("learn", COORDINATOR, name, round, numbers) for name in state.players])
            )
            told.add(answers)
            state, more = self.lose(state, gone)
            row = merged(row, more)
            done += steps
            if done % every == 0:
                state, more = self._average(engine, state, round)
                row = merged(row, more)
                averages += 1
        return state, {"players": told.row(), "averages": averages} | row

    def _to(self, receivers: Sequence[str]) -> dict[str, float]:
        return {f"to/{name}": 1.0 for name in receivers} | {"buffers": float(self.average_buffers)}

    def _average(self, engine: Asker, state: State, round: int) -> tuple[State, Row]:
        asks = [Message("give", COORDINATOR, name, round, self._to([SERVER])) for name in state.players]
        given, lost = self.alive(engine.ask(asks))
        state, row = self.lose(state, lost)
        if not given:  # all are late: the last average stays
            return state, row
        parts: Mapping[str, Part] = {answer.sender: answer.payload[SERVER] for answer in given}
        total = sum(state.numbers[f"samples/{name}"] for name in parts)
        weights = {f"weight/{name}": state.numbers[f"samples/{name}"] / total for name in parts}
        ask_seat(engine, Message("average", COORDINATOR, SERVER, round, weights, parts), "exchange/average")
        return state, row

    # --------------------------------------------------------------------------------------------- the players' side

    def serve(self, player: Player, message: Message) -> Message:
        """Answer one request."""
        model, begin = gan(player), time.perf_counter()
        if message.action == "meet":
            return message.reply({"samples": float(player.count), "batch": float(model.batch)})
        if message.action == "give":
            pair = model.export(_PAIR, buffers=bool(message.numbers["buffers"]))
            return message.reply({}, dict.fromkeys(message.group("to"), pair))
        if message.action == "take":
            how: Any = "reset" if message.numbers["reset"] else "keep"
            for sender, part in message.samples().items():
                model.take(part, f"player '{sender}'", how)
            return message.reply()
        if message.action == "average":
            came, weights = message.samples(), message.group("weight")
            model.average_of(list(came.values()), torch.tensor([weights[name] for name in came], dtype=torch.float64))
            player.learned = True
            return message.reply()
        if message.action != "learn":
            raise ModelError(f"FL-GAN has no action {message.action!r}")
        steps, first = int(message.numbers["steps"]), int(message.numbers["step"])
        numbers = player.learn({}, {OWN: 1.0}, steps, first)  # the first step's number names the random stream
        return message.reply(numbers | {"seconds_learning": time.perf_counter() - begin})

    @classmethod
    def tiny(cls) -> Self:
        """Two rounds of two steps."""
        return cls(rounds=2, local_steps=2)
