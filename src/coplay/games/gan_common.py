"""What games between GANs have in common.

That is which players fit, what they report in a round, and how workers take their steps.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from coplay.core.errors import PlayerError
from coplay.core.message import Message, PlayerLate, PlayerLost, Request
from coplay.core.space import Space
from coplay.core.streams import stream
from coplay.games.base import Asker, Game, S, State
from coplay.games.md_gan_stack import Stack, stack_key
from coplay.games.party import Party, has_model
from coplay.models.acgan import Acgan
from coplay.nets.gan_builder import HALVES
from coplay.nets.sizes import NetworkSize
from coplay.nets.training import FLOPS
from coplay.player import Player

SERVER = "server"
"""Name of the seat that holds what all players share."""

_TRIAL_STEPS = 3

SideBySide = Literal["by_network", "loop", "stacked", "measured"]
"""How workers that share a process may take their steps."""


@dataclass(frozen=True)
class Introduce(Request):
    """Describe yourself before the first round."""

    # the number of samples is told as the site file says
    tells_of_rows: ClassVar[bool] = False


@dataclass(frozen=True)
class Introduction:
    """How a player describes itself before the first round.

    Args:
        samples: Number of its private samples, as it tells it.
        batch: b, the size of its batches.
        stacked: Whether workers of one process take their steps together, as one product.
        loop_seconds: Seconds of a step one after the other, where both ways were tried.
        stacked_seconds: Seconds of a step together, where both ways were tried.
    """

    samples: int
    batch: int
    stacked: bool = False
    loop_seconds: float | None = None
    stacked_seconds: float | None = None

    def numbers(self) -> dict[str, float]:
        """Return the introduction as the numbers of a message."""
        numbers = {
            "samples": float(self.samples),
            "batch": float(self.batch),
            "stacked": float(self.stacked),
        }
        return numbers | self.tried()

    def tried(self) -> dict[str, float]:
        """Seconds of a step, one after the other and together; empty where it was not tried."""
        if self.loop_seconds is None or self.stacked_seconds is None:
            return {}
        return {"loop_seconds": self.loop_seconds, "stacked_seconds": self.stacked_seconds}

    @classmethod
    def of(cls, numbers: Mapping[str, float]) -> Introduction:
        """Build an introduction from what :meth:`numbers` returned."""
        return cls(
            int(numbers["samples"]),
            int(numbers["batch"]),
            bool(numbers.get("stacked", 0.0)),
            numbers.get("loop_seconds"),
            numbers.get("stacked_seconds"),
        )


@dataclass(frozen=True)
class GanState(State):
    """What the coordinator of GANs remembers.

    Args:
        samples: Number of private samples by player, also of those that are gone.
        batch: b, the size of all workers' batches; 0 before it is known.
    """

    samples: Mapping[str, int] = field(default_factory=dict)
    batch: int = 0

    def period(self, players: Sequence[str], epochs: float) -> int:
        """Return m E / b steps, at least one; m is these players' mean number of samples."""
        m = sum(self.samples[name] for name in players) / len(players)
        return max(1, round(m * epochs / self.batch))


class RoundTotals:
    """What players report in a round: sums of seconds and operations, means of the rest."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))

    def add(self, answers: Sequence[Message]) -> None:
        """Add the numbers of some answers."""
        for answer in answers:
            for name, value in answer.numbers.items():
                self._sums[answer.sender][name] += value
                self._counts[answer.sender][name] += 1

    def by_player(self) -> dict[str, dict[str, float]]:
        """Return the totals by player and name."""
        return {player: self._totals(player) for player in self._sums}

    def _totals(self, player: str) -> dict[str, float]:
        totals = {}
        for name, value in self._sums[player].items():
            is_sum = name.startswith(("seconds_", FLOPS))
            totals[name] = value if is_sum else value / self._counts[player][name]
        return totals


def gan(player: Party) -> Acgan:
    """Return the player's model."""
    model = player.model
    assert isinstance(model, Acgan)
    return model


def gan_faults(players: Sequence[Party], seats: Sequence[str]) -> list[str]:
    """Return what keeps players from playing with one another's networks."""
    faults = []
    for player in players:
        if not has_model(player, Acgan):
            whose = f"player '{player.name}'"
            if player.name in seats:
                whose = f"the seat '{player.name}', which has the config's model,"
            faults.append(
                f"{whose} has {player.title}; this game needs acgan everywhere: set "
                'model = { name = "acgan" }'
            )
    if faults:
        return faults
    workers = [player for player in players if player.name not in seats]
    for player in workers:
        if player.model != players[-1].model:
            faults.append(
                f"players.{player.name}.model: all must have the settings of the config's model, "
                "since networks travel"
            )
        if player.space != players[-1].space:
            faults.append(
                f"players.{player.name}.variables: all must learn the same variables, since "
                "networks travel"
            )
        batch = gan(player).batch
        if player.told_count is None:
            faults.append(
                f"player '{player.name}' does not tell how many samples it holds, by which rounds "
                'are counted in this game; its site file may: [tell] count = "tens"'
            )
        elif player.told_count < batch:
            faults.append(
                f"player '{player.name}' holds {player.told_count} samples, fewer than a batch of "
                f"{batch}; give it more, or set model.batch lower"
            )
    return faults


def ask_seat(engine: Asker, ask: Message, purpose: str) -> Message:
    """Ask a seat, without which the game cannot go on.

    Its loss or lateness ends the game, whatever ``on_lost`` says.
    """
    (reply,) = engine.ask([ask], purpose)
    if isinstance(reply, PlayerLost):
        raise PlayerError(reply.player, reply.action, reply.round, reply.reason)
    return reply


def ask_once(
    game: Game[S], engine: Asker, asks: Sequence[Message]
) -> tuple[list[Message], list[PlayerLost]]:
    """Ask for what is needed and asked only once: a player that is late with it is lost."""
    replies: list[Message | PlayerLost] = []
    for reply in engine.ask(asks):
        if isinstance(reply, PlayerLate):
            replies.append(PlayerLost(reply.player, reply.action, reply.round, reply.reason))
        else:
            replies.append(reply)
    return game.alive(replies)


def introduction(player: Player, way: SideBySide, workers: int) -> Introduction:
    """Describe a player, and decide whether so many workers of one process step stacked.

    This is decided by rule, or by a short trial on twins that changes no player.
    """
    model = gan(player)
    able = stack_key(model) is not None
    samples = player.told_count or 0
    if way != "measured" or not able:
        return Introduction(samples, model.batch, able and way != "loop")
    twins = _twins(model, player.space, min(workers, 10))
    if len({stack_key(twin) for twin in twins}) > 1:  # another seed may give another network
        return Introduction(samples, model.batch)
    loop_seconds, stacked_seconds = trial(twins)
    stacked = stacked_seconds < loop_seconds
    return Introduction(samples, model.batch, stacked, loop_seconds, stacked_seconds)


def _twins(model: Acgan, space: Space, workers: int) -> list[Acgan]:
    """Return so many models with the settings of one."""
    twins = []
    for i in range(workers):
        twin = model.fresh()
        twin.setup(space, i)
        twins.append(twin)
    return twins


def trial(twins: Sequence[Acgan]) -> tuple[float, float]:
    """Measure the seconds of a step of twins: one after the other, and stacked."""
    model = twins[0]
    workers = len(twins)
    b = model.batch
    generator = stream(0, "trial")
    image = next(name for name in model.wire if model.wire[name].kind == "real")
    low, high = model.wire[image].range
    place = model.place
    x = (low + (high - low) * torch.rand(workers, b, *model.shape, generator=generator)).to(place)
    c = None
    each: list[Tensor | None] = [None] * workers
    if model.classes:
        c = torch.randint(model.classes, (workers, b), generator=generator).to(place)
        each = list(c)

    def loop() -> None:
        for twin, images, classes in zip(twins, x, each, strict=True):
            twin.learn_to_judge(images, classes, images, classes)
            twin.feedback(images, classes)

    def together() -> None:
        stack = Stack.of(twins)
        stack.learn_to_judge(torch.cat([x, x], 1), c, c)
        stack.feedback(x, c)[1].cpu()  # waits for a device that computes on its own

    return _seconds(loop), _seconds(together)


def _seconds(step: Callable[[], None]) -> float:
    """Mean seconds of a step, after one that is not counted."""
    step()
    began = time.perf_counter()
    for _ in range(_TRIAL_STEPS):
        step()
    return (time.perf_counter() - began) / _TRIAL_STEPS


def sizes_of(player: Party) -> dict[str, NetworkSize]:
    """Return the sizes of both halves of a player's GAN."""
    model = gan(player)
    return {half: model.builder.size(half) for half in HALVES}
