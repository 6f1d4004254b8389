"""FL-GAN: every worker trains a whole GAN on its own data, and a server averages the pairs (B3).

Every E epochs, m E / b steps:

    server → workers   the pair (G, D), N (|w| + |θ|) numbers
    worker             m E / b steps of the GAN on its own data
    workers → server   their pairs, N (|w| + |θ|) numbers
    server             the mean, weighted by the number of samples

References:
    Communication-Efficient Learning of Deep Networks from Decentralized Data (H. B. McMahan et al.,
    AISTATS 2017), arXiv:1602.05629, applied to the pair as MD-GAN's paper does (arXiv:1811.03850).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field

from coplay.core.errors import ConfigError, ModelError
from coplay.core.expected import Expected
from coplay.core.message import COORDINATOR, Message, Payload, Request
from coplay.games import fl_gan_expected
from coplay.games.base import Asker, Game, Row, State
from coplay.games.fl_gan_requests import Average, Learn, Load, Send
from coplay.games.gan_common import (
    SERVER,
    GanState,
    Introduce,
    Introduction,
    RoundTotals,
    ask_once,
    ask_seat,
    gan,
    gan_faults,
    sizes_of,
)
from coplay.games.party import Party
from coplay.models.base import OWN
from coplay.nets.gan_builder import HALVES
from coplay.nets.sizes import NetworkSize
from coplay.player import Player


class FlGan(Game[GanState]):
    """Whole GANs learn at the workers and are averaged every few epochs.

    A round is ``local_steps`` steps of every worker's GAN, so equal numbers mean equal generator
    updates in all games. The time to average is counted in steps, wherever in a round it falls.
    The server's last average is measured.

    Args:
        average_every_epochs: E, by the mean number of samples of those that began.
        optimiser_on_average: ``"keep"`` Adam's state at the workers, or ``"reset"`` it.
        average_buffers: Whether buffers, such as those of batch normalisation, are averaged too;
            otherwise the server's never change, and workers use their own.

    Example:
        >>> FlGan().sampled_from(GanState(("a", "b")))
        ('server',)
    """

    citation: ClassVar[tuple[str, ...]] = ("mcmahan2017communication", "hardy2019mdgan")
    seats: ClassVar[tuple[str, ...]] = (SERVER,)
    requests: ClassVar[tuple[type[Request], ...]] = (Introduce, Send, Load, Learn, Average)
    state_class: ClassVar[type[State]] = GanState

    average_every_epochs: float = Field(default=1.0, gt=0)
    optimiser_on_average: Literal["keep", "reset"] = "keep"
    average_buffers: bool = True

    def check(self, players: Sequence[Party]) -> None:
        """Refuse players without the same GAN on the same variables, or without a full batch."""
        faults = gan_faults(players, self.seats)
        if faults:
            raise ConfigError(faults)

    def ends_with_nothing(self, players: Sequence[Party]) -> str:
        """Say so if the game ends before the server averages for the first time."""
        counts = {each.name: each.told_count for each in players if each.name not in self.seats}
        samples = {name: count for name, count in counts.items() if count is not None}
        if not samples or len(samples) < len(counts):
            return ""
        state = GanState(tuple(samples), samples=samples, batch=gan(players[0]).batch)
        first = state.period(list(samples), self.average_every_epochs)
        steps = self.rounds * self.local_steps
        if steps >= first:
            return ""
        return (
            "average_every_epochs of fl_gan: the server averages for the first time after "
            f"{first:,} steps, and the game has {steps:,} (rounds × local_steps), so that it would "
            "end with nothing; expected at least as many: raise one of the two, or set "
            f"average_every_epochs = {self.average_every_epochs * steps / first:.2g} or less"
        )

    def start(self, players: Sequence[str], seed: int) -> GanState:
        """Return a state that knows the players' names, and not yet their numbers of samples."""
        return GanState(tuple(players))

    def sampled_from(self, state: GanState) -> Sequence[str]:
        """Return the server: its average is measured."""
        return self.seats

    def network_sizes(self, players: Sequence[Party]) -> Mapping[str, NetworkSize]:
        """Return the sizes of both networks."""
        return sizes_of(players[0])

    # ----------------------------------------------------------------------- the coordinator's side

    def play(self, engine: Asker, state: GanState, round: int) -> tuple[GanState, Row]:
        """Let all workers take ``local_steps`` steps, interrupted where it is time to average."""
        totals = RoundTotals()
        averages = 0
        row = Row()
        if round == 1:
            state, row = self._introduce(engine, state, round)
        every = state.period(list(state.samples), self.average_every_epochs)
        done = (round - 1) * self.local_steps
        end = round * self.local_steps
        while done < end:
            if done % every == 0:
                state, more = self._hand_out(engine, state, round, done)
                row = row.merged(more)
            steps = min(end, (done // every + 1) * every) - done
            request = Learn(steps, done + 1)
            asks = [Message(request, COORDINATOR, name, round) for name in state.players]
            answers, lost = self.alive(engine.ask(asks))
            totals.add(answers)
            state, more = self.lose(state, lost)
            row = row.merged(more)
            done += steps
            if done % every == 0:
                state, more = self._average(engine, state, round, done)
                row = row.merged(more)
                averages += 1
        return state, Row(totals.by_player(), own={"averages": averages}).merged(row)

    def _introduce(self, engine: Asker, state: GanState, round: int) -> tuple[GanState, Row]:
        """Ask all workers for their numbers of samples, once."""
        asks = [Message(Introduce(), COORDINATOR, name, round) for name in state.players]
        answers, lost = ask_once(self, engine, asks)
        known = {answer.sender: Introduction.of(answer.numbers) for answer in answers}
        samples = {name: each.samples for name, each in known.items()}
        batch = known[answers[0].sender].batch
        return self.lose(replace(state, samples=samples, batch=batch), lost)

    def _hand_out(
        self, engine: Asker, state: GanState, round: int, done: int
    ) -> tuple[GanState, Row]:
        """Send the server's pair to all workers, after so many steps."""
        ask = Message(Send(tuple(state.players), done), COORDINATOR, SERVER, round)
        pairs = ask_seat(engine, ask, "exchange").payload
        asks = []
        for name in state.players:
            pair = {SERVER: pairs[name]}
            asks.append(Message(Load(done), COORDINATOR, name, round, payload=pair))
        return self.lose(state, self.alive(engine.ask(asks, "exchange/average"))[1])

    def _average(
        self, engine: Asker, state: GanState, round: int, done: int
    ) -> tuple[GanState, Row]:
        """Let the server average all pairs after so many steps, weighted by numbers of samples."""
        send = Send((SERVER,), done)
        asks = [Message(send, COORDINATOR, name, round) for name in state.players]
        answers, lost = self.alive(engine.ask(asks))
        state, row = self.lose(state, lost)
        if not answers:  # all are late: the server keeps its last average
            return state, row
        pairs: dict[str, Payload] = {answer.sender: answer.payload[SERVER] for answer in answers}
        total = sum(state.samples[name] for name in pairs)
        weights = {name: state.samples[name] / total for name in pairs}
        ask = Message(Average(weights, done), COORDINATOR, SERVER, round, payload=pairs)
        ask_seat(engine, ask, "exchange/average")
        return state, row

    # ---------------------------------------------------------------------------- the players' side

    def serve(self, player: Player, message: Message) -> Message:
        """Answer one request."""
        model = gan(player)
        match message.request:
            case Introduce():
                return message.reply(Introduction(player.told_count or 0, model.batch).numbers())
            case Send(receivers):
                pair = model.export(HALVES, buffers=self.average_buffers)
                return message.reply(payload=dict.fromkeys(receivers, pair))
            case Load():
                for sender, pair in message.samples().items():
                    model.take(pair, f"player '{sender}'", self.optimiser_on_average)
                return message.reply()
            case Learn(steps, first):
                return message.reply(player.learn({}, {OWN: 1.0}, steps, first))
            case Average(weights):
                pairs = message.samples()
                shares = [weights[name] for name in pairs]
                if len(pairs) < len(weights):  # some were lost with the machine that stored them
                    shares = [share / sum(shares) for share in shares]
                model.average_of(list(pairs.values()), torch.tensor(shares, dtype=torch.float64))
                player.learned = True
                return message.reply()
        raise ModelError(f"FL-GAN has no action {message.action!r}")

    def expected_request(self, player: Player, message: Message) -> Expected:
        """Say what a request may hold; see ``games/fl_gan_expected.py``."""
        return fl_gan_expected.request(self, player, message)

    def expected_reply(self, player: Party, ask: Message) -> Expected:
        """Say what a reply may hold."""
        return fl_gan_expected.reply(self, player, ask)

    @classmethod
    def tiny(cls) -> Self:
        """Return a game of two rounds of two steps."""
        return cls(rounds=2, local_steps=2)
