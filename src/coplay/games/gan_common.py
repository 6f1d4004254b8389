"""What games between GANs have in common: who may play, what is told of a round, work counted and tried."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence

import torch

from coplay.core.errors import PlayerError
from coplay.core.message import Message, PlayerLate, PlayerLost
from coplay.core.space import Space
from coplay.core.streams import stream
from coplay.games.base import Asker, Game, State
from coplay.games.md_gan_stack import Stack
from coplay.models.acgan import Acgan
from coplay.nets.gan_pairs import stackable
from coplay.nets.training import FLOPS
from coplay.player import Player

SERVER = "server"
"""Name of the seat that holds what all players share."""

_TRIAL_STEPS = 3


class Told:
    """What players report in a round: sums of seconds and operations, means of the rest."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))

    def add(self, answers: Sequence[Message]) -> None:
        """Note the numbers of some answers."""
        for answer in answers:
            for name, value in answer.numbers.items():
                self._sums[answer.sender][name] += value
                self._counts[answer.sender][name] += 1

    def row(self) -> dict[str, dict[str, float]]:
        """By player and name."""
        total = ("seconds_", FLOPS)
        return {
            player: {
                name: value if name.startswith(total) else value / self._counts[player][name]
                for name, value in sums.items()
            }
            for player, sums in self._sums.items()
        }


def gan(player: Player) -> Acgan:
    """The player's model."""
    assert isinstance(player.model, Acgan)
    return player.model


def gan_faults(players: Sequence[Player], seats: Sequence[str]) -> list[str]:
    """What keeps players from playing with one another's networks."""
    faults = []
    workers = [player for player in players if player.name not in seats]
    for player in players:
        if not isinstance(player.model, Acgan):
            whose = (
                f"the seat '{player.name}', which has the config's model,"
                if player.name in seats
                else f"player '{player.name}'"
            )
            faults.append(
                f'{whose} has {player.model.title}; this game needs acgan everywhere: set model = {{ name = "acgan" }}'
            )
    if faults:
        return faults
    for player in workers:
        if player.model != players[-1].model:
            faults.append(
                f"players.{player.name}.model: all must have the settings of the config's model, since networks travel"
            )
        if player.space != players[-1].space:
            faults.append(f"players.{player.name}.variables: all must learn the same variables, since networks travel")
        if player.count < gan(player).batch:
            faults.append(
                f"player '{player.name}' holds {player.count} samples, fewer than a batch of {gan(player).batch}; "
                "give it more, or set model.batch lower"
            )
    return faults


def period(state: State, players: Sequence[str], epochs: float) -> int:
    """m E / b steps, at least one; m is the mean number of samples of these players."""
    m = sum(state.numbers[f"samples/{name}"] for name in players) / len(players)
    return max(1, round(m * epochs / state.numbers["batch"]))


def ask_seat(engine: Asker, ask: Message, purpose: str) -> Message:
    """Ask a seat: without it nothing goes on, so its loss or lateness ends the game whatever ``on_lost`` says."""
    (reply,) = engine.ask([ask], purpose)
    if isinstance(reply, PlayerLost):
        raise PlayerError(reply.player, reply.action, reply.round, reply.reason)
    return reply


def ask_once(game: Game, engine: Asker, asks: Sequence[Message]) -> tuple[list[Message], list[PlayerLost]]:
    """Ask what is asked only once and cannot be done without: who is late with it is lost."""
    replies = engine.ask(asks)
    return game.alive(
        [PlayerLost(r.player, r.action, r.round, r.reason) if isinstance(r, PlayerLate) else r for r in replies]
    )


WAYS = ("by_network", "loop", "stacked", "measured")
"""How workers that share a process may take their steps; messages carry the place in this list."""


def chosen_way(model: Acgan, space: Space, way: int, workers: int) -> dict[str, float]:
    """Whether so many workers take their steps stacked: by rule, or by a short trial on twins that changes nobody."""
    able = stackable(model.half("discriminator"))
    if WAYS[way] != "measured" or not able:
        return {"stacked": float(able and WAYS[way] != "loop")}
    tried = trial(model, space, min(workers, 10))
    return {"stacked": float(tried["stacked_seconds"] < tried["loop_seconds"]), **tried}


def trial(model: Acgan, space: Space, workers: int) -> dict[str, float]:
    """Seconds of a step of so many twins, one after the other and stacked."""
    twins = []
    for i in range(workers):
        twin = model.fresh()
        twin.setup(space, i)
        twins.append(twin)
    b, generator = model.batch, stream(0, "trial")
    low, high = model.wire[next(n for n in model.wire if model.wire[n].kind == "real")].range
    place = twins[0].place
    x = (low + (high - low) * torch.rand(workers, b, *model.shape, generator=generator)).to(place)
    c = torch.randint(model.classes, (workers, b), generator=generator).to(place) if model.classes else None
    each = [None] * workers if c is None else list(c)

    def loop() -> None:
        for twin, image, classes in zip(twins, x, each, strict=True):
            twin.learn_to_judge(image, classes, image, classes)
            twin.feedback(image, classes)

    def together() -> None:
        stack = Stack.of(twins)
        stack.learn_to_judge(torch.cat([x, x], 1), c, c)
        stack.feedback(x, c)[1].cpu()  # waits for a device that computes on its own

    found = {}
    for name, step in (("loop_seconds", loop), ("stacked_seconds", together)):
        step()
        begin = time.perf_counter()
        for _ in range(_TRIAL_STEPS):
            step()
        found[name] = (time.perf_counter() - begin) / _TRIAL_STEPS
    return found
