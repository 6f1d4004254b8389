"""What messages of FL-GAN may hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from coplay.core.expected import Expected
from coplay.core.message import Message
from coplay.core.plain import shortened
from coplay.games.base import LEARNED
from coplay.games.fl_gan_requests import Average, Learn, Load, Send
from coplay.games.gan_common import SERVER, Introduce
from coplay.games.gan_expected import (
    introduction,
    networks,
    partners,
    receiver_faults,
    seat_faults,
)
from coplay.games.party import Party
from coplay.nets.gan_builder import HALVES
from coplay.player import Player

if TYPE_CHECKING:
    from coplay.games.fl_gan import FlGan

_ROUNDING = 1e-6  # of weights whose sum is 1


def request(game: FlGan, player: Player, message: Message) -> Expected:
    """Say what a request of FL-GAN may hold."""
    pair = networks(player, HALVES, buffers=game.average_buffers, moments=False)
    match message.request:
        case Introduce():
            return Expected(faults=seat_faults(player, is_server=False))
        case Send(receivers, after):
            faults = receiver_faults(player, receivers, game.seats)
            if player.name != SERVER and tuple(receivers) != (SERVER,):
                faults.append(f"expected as receiver '{SERVER}'")
            # the server hands out before steps are taken, and the workers send after it
            after -= player.name != SERVER
            return Expected(faults=faults + _step_faults(game, message.round, after))
        case Load(after):
            faults = seat_faults(player, is_server=False)
            faults += _step_faults(game, message.round, after)
            return Expected({SERVER: pair}, needed=(SERVER,), faults=faults)
        case Learn(steps, first):
            faults = seat_faults(player, is_server=False)
            faults += _step_faults(game, message.round, first - 1)
            most = message.round * game.local_steps - first + 1
            if not 1 <= steps <= most:
                faults.append(f"steps: expected 1 to {most}, got {steps}")
            return Expected(faults=faults)
        case Average(weights, after):
            faults = seat_faults(player, is_server=True)
            faults += _step_faults(game, message.round, after - 1)
            faults += _weight_faults(player, weights)
            if not message.payload:
                faults.append("expected pairs of networks to average, got none")
            return Expected(dict.fromkeys(weights, pair), faults=faults)
    return Expected(faults=["FL-GAN has no such action"])


def reply(game: FlGan, player: Party, ask: Message) -> Expected:
    """Say what the answer to a request of FL-GAN holds."""
    match ask.request:
        case Introduce():
            return introduction(player)
        case Send(receivers):
            pair = networks(player, HALVES, buffers=game.average_buffers, moments=False)
            parts = dict.fromkeys(receivers, pair)
            return Expected(parts, needed=parts)
        case Learn():
            return Expected(numbers=LEARNED)
    return Expected()


def _step_faults(game: FlGan, round: int, done: int) -> list[str]:
    """Say whether the step after so many lies in its round."""
    first = (round - 1) * game.local_steps + 1
    last = round * game.local_steps
    if first <= done + 1 <= last:
        return []
    return [f"expected steps {first} to {last} in round {round}, got {done + 1}"]


def _weight_faults(player: Player, weights: Mapping[str, float]) -> list[str]:
    """List what is wrong with the weights of an average."""
    faults = []
    known = partners(player, weights, ())
    strange = [name for name in weights if name not in known]
    if strange:
        faults.append(f"weights: expected players of this game, got {shortened(strange[0])}")
    total = sum(weights.values())
    if any(weight <= 0 for weight in weights.values()) or abs(total - 1) > _ROUNDING:
        faults.append(f"weights: expected positive ones with sum 1, got sum {total:g}")
    return faults
