"""What messages of MD-GAN may hold."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from coplay.core.contents import Form, InSpace, Tensors
from coplay.core.expected import Expected, Limits, Numbers, Part
from coplay.core.message import Message
from coplay.core.plain import shortened
from coplay.games.gan_common import SERVER, Introduce, gan
from coplay.games.gan_expected import (
    COUNT,
    introduction,
    networks,
    partners,
    receiver_faults,
    seat_faults,
)
from coplay.games.md_gan_seats import (
    FEEDBACK,
    Feedback,
    Generate,
    GeneratedBatches,
    Load,
    Send,
    Update,
)
from coplay.games.party import Party
from coplay.nets.gan_builder import PairBuilder
from coplay.nets.plain_layers import stackable
from coplay.nets.training import FLOPS
from coplay.player import Player

if TYPE_CHECKING:
    from coplay.games.md_gan import MdGan

T = TypeVar("T")

_UPDATED = Numbers({FLOPS: COUNT})
_JUDGED = Numbers(
    {"discriminator_loss": Limits(), "generator_loss": Limits(), FLOPS: COUNT},
    needed=(FLOPS,),  # whether losses leave a site is its own choice
)


def request(game: MdGan, player: Player, message: Message) -> Expected:
    """Say what a request of MD-GAN may hold."""
    match message.request:
        case Introduce():
            return Expected(faults=seat_faults(player, is_server=False))
        case Send(receiver, iteration, joining):
            faults = receiver_faults(player, [receiver], ())
            faults += _joining_faults(game, receiver, iteration, joining)
            faults += _iteration_faults(game, message.round, iteration)
            return Expected(faults=faults + seat_faults(player, is_server=False))
        case Load(iteration, joining):
            moments = game.optimiser_on_swap == "travel"
            part = networks(player, ["discriminator"], buffers=True, moments=moments)
            faults = _iteration_faults(game, message.round, iteration)
            faults += _joining_faults(game, player.name, iteration, joining)
            if len(message.payload) > 1:
                faults.append(f"expected one discriminator, got {len(message.payload)}")
            others = partners(player, message.payload, ())
            return Expected(dict.fromkeys(others, part), faults=faults)
        case Generate() as request:
            parts, faults = _feedback_parts(player, message)
            return Expected(parts, faults=faults + _batch_faults(game, player, message, request))
        case Update(iteration):
            parts, faults = _feedback_parts(player, message)
            faults += _iteration_faults(game, message.round, iteration)
            return Expected(parts, faults=faults)
        case Feedback() as request:
            faults = seat_faults(player, is_server=False)
            faults += _iteration_faults(game, message.round, request.iteration)
            faults += _feedback_faults(game, player, request)
            part = _generated(player, request.batches)
            return Expected({SERVER: part}, needed=(SERVER,), faults=faults)
    return Expected(faults=["MD-GAN has no such action"])


def reply(game: MdGan, player: Party, ask: Message) -> Expected:
    """Say what the answer to a request of MD-GAN holds."""
    match ask.request:
        case Introduce():
            return introduction(player)
        case Send(receiver):
            moments = game.optimiser_on_swap == "travel"
            part = networks(player, ["discriminator"], buffers=True, moments=moments)
            return Expected({receiver: part}, needed=(receiver,))
        case Generate() as request:
            part = _generated(player, request.batches)
            parts = dict.fromkeys(request.feedback_batch, part)
            return Expected(parts, needed=parts, numbers=_UPDATED)
        case Update():
            return Expected(numbers=_UPDATED)
        case Feedback():
            return _once(player, "feedback", lambda: _judged(player))
    return Expected()


def _generated(player: Party, batches: int) -> Part:
    """Return the part in which X^(g) travels and, if it is another, X^(d)."""
    model = gan(player)
    count = model.batch * min(2, batches)
    return _once(
        player,
        ("generated", count),
        lambda: Part.of(InSpace(model.wire, list(model.wire)), count),
    )


def _judged(player: Party) -> Expected:
    """Return what comes back with feedback."""
    model = gan(player)
    form = Form(model.shape, _image_type(model.builder))
    part = Part.of(Tensors({FEEDBACK: form}), model.batch)
    return Expected({SERVER: part}, needed=(SERVER,), numbers=_JUDGED)


def _once(player: Party, key: Hashable, make: Callable[[], T]) -> T:
    """Return what is the same for all players of a process, since all have the same settings."""
    return make() if player.roster is None else player.roster.once(key, make)


@lru_cache(maxsize=16)
def _image_type(builder: PairBuilder) -> torch.dtype:
    return builder.check()


@lru_cache(maxsize=16)
def _can_be_stacked(builder: PairBuilder) -> bool:
    return stackable(builder.without_memory("discriminator"))


def _iteration_faults(game: MdGan, round: int, iteration: int) -> list[str]:
    """Say whether an iteration lies in its round."""
    first = (round - 1) * game.local_steps + 1
    last = round * game.local_steps
    if first <= iteration <= last:
        return []
    return [f"iteration: expected {first} to {last} in round {round}, got {iteration}"]


def _joining_faults(game: MdGan, name: str, iteration: int, joining: bool) -> list[str]:
    """Say whether a player that is said to join does so before this iteration."""
    if not joining or game.joins.get(name) == iteration:
        return []
    when = "does not join" if name not in game.joins else f"joins at {game.joins[name]}"
    return [f"joining: expected false at iteration {iteration}, {shortened(name)} {when}"]


def _feedback_faults(game: MdGan, player: Player, request: Feedback) -> list[str]:
    """List what is wrong with what a worker is asked for."""
    faults = []
    most = request.batches
    if player.roster is not None:
        most = game.count_of_batches(len(player.roster.names))
    if not 1 <= request.batches <= most:
        faults.append(f"batches: expected 1 to {most}, got {request.batches}")
    able = game.side_by_side != "loop" and _can_be_stacked(gan(player).builder)
    if request.stacked and not able:
        faults.append("stacked: expected false, this discriminator takes its steps alone")
    return faults


def _batch_faults(game: MdGan, player: Player, message: Message, request: Generate) -> list[str]:
    """List what is wrong with the batches that the server is asked for."""
    faults = seat_faults(player, is_server=True)
    faults += _iteration_faults(game, message.round, request.iteration)
    names = list(request.feedback_batch)
    workers = partners(player, names, ())
    strange = [name for name in names if name not in workers]
    if not names or strange:
        faults.append("feedback_batch: expected workers of this game")
        return faults
    k = game.count_of_batches(len(names))
    if request.batches != k:
        faults.append(f"batches: expected {k} for {len(names)} workers, got {request.batches}")
    for_feedback = {name: n % k for n, name in enumerate(names)}
    for_learning = {name: (n + 1) % k for n, name in enumerate(names)}
    if request.feedback_batch != for_feedback or request.learning_batch != for_learning:
        faults.append(
            "feedback_batch, learning_batch: expected the workers dealt to batches in turn"
        )
    return faults


def _feedback_parts(player: Player, message: Message) -> tuple[dict[str, Part], list[str]]:
    """Return the parts in which the workers' feedback comes, and what is wrong with asking now."""
    faults = seat_faults(player, is_server=True)
    pending = player.pending
    if not isinstance(pending, GeneratedBatches):
        if message.payload:
            faults.append("expected no feedback before batches were generated")
        return {}, faults
    of_batch = [_feedback_on(images) for images in pending.images]
    parts = {name: of_batch[j] for name, j in pending.feedback_batch.items()}
    return parts, faults


def _feedback_on(images: Tensor) -> Part:
    form = Form(tuple(images.shape[1:]), images.dtype)
    return Part.of(Tensors({FEEDBACK: form}), len(images))
