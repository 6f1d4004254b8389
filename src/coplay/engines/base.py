"""The contract of an engine: start with players, carry messages to them, count what travels."""

from __future__ import annotations

import traceback
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from pydantic import PrivateAttr

from coplay.core.components import Component
from coplay.core.message import (
    Ledger,
    LinkTraffic,
    Message,
    Payload,
    PlayerLate,
    PlayerLost,
    bytes_of,
    count_of,
)
from coplay.games.base import Game
from coplay.player import Player

T = TypeVar("T")


def answer(game: Game, player: Player, message: Message) -> Message | PlayerLost:
    """One player's answer to one message; any failure inside the player becomes a :class:`PlayerLost`.

    A model is foreign code, so whatever it raises is caught here, where player, action and round are known.
    """
    try:
        reply = player.serve(message)
        if reply is not None:
            player.take_seconds()  # measuring and saving are booked by the run, not by the player
            return reply
        return _with_seconds(player, game.serve(player, message))
    except Exception as error:
        return failed(player, message, error)


def _with_seconds(player: Player, reply: Message) -> Message:
    """Add the time that the player booked since it was last asked."""
    return replace(reply, numbers={**reply.numbers, **player.take_seconds()})


def answer_all(
    game: Game, players: Sequence[Player], messages: Sequence[Message]
) -> list[Message | PlayerLost]:
    """The answers of players that sit side by side, together where the game knows how, else one after the other."""
    try:
        together = game.serve_together(players, messages)
    except Exception as error:
        return [
            failed(player, message, error)
            for player, message in zip(players, messages, strict=True)
        ]
    if together is None:
        return [
            answer(game, player, message) for player, message in zip(players, messages, strict=True)
        ]
    answers: list[Message | PlayerLost] = []
    for player, message, result in zip(players, messages, together, strict=True):
        if isinstance(result, Exception):
            answers.append(failed(player, message, result))
        else:
            answers.append(_with_seconds(player, result))
    return answers


def grouped(players: Sequence[T], groups: int) -> list[list[T]]:
    """Deal players out in order, in at most so many groups of about equal size.

    Example:
        >>> grouped(["a", "b", "c"], 2), grouped(["a"], 2)
        ([['a', 'b'], ['c']], [['a']])
    """
    if not players:
        return []
    parts = torch.arange(len(players)).tensor_split(min(groups, len(players)))
    return [[players[i] for i in part] for part in parts]


def failed(player: Player, message: Message, error: Exception) -> PlayerLost:
    """What stands in for an answer that failed; the traceback stays in the player's own folder."""
    where = f"{message.action}, round {message.round}"
    player.note_error(where, "".join(traceback.format_exception(error)))
    reason = str(error) if str(error) else type(error).__name__
    if not type(error).__module__.startswith("coplay."):
        reason = f"{type(error).__name__}: {reason}"
        if player.home is not None:
            reason += f" (traceback in {player.home / 'errors.txt'})"
    return PlayerLost(player.name, message.action, message.round, reason)


class Engine(Component):
    """A place where players sit. Engines know only ``Player``, ``Game.serve`` and ``Message``.

    Subclasses give ``start``, ``deliver`` and ``close``; counting what travels is common to all.
    """

    _late: list[PlayerLate] = PrivateAttr(default_factory=list)
    _ledger: Ledger = PrivateAttr(default_factory=Ledger)

    @property
    def ledger(self) -> Ledger:
        """Payload that travelled so far, per purpose and link."""
        return self._ledger

    def start_ledger(self, links: Sequence[LinkTraffic]) -> None:
        """Go on counting from what travelled before."""
        self._ledger = Ledger(links)

    def ask(
        self, messages: Sequence[Message], purpose: str = "exchange"
    ) -> list[Message | PlayerLost]:
        """Deliver messages and return the answers in the order of the messages.

        A payload of a request is counted on the link from the player it came from (its name in the payload) to
        the receiver of the message; that it may pass through the coordinator is the engine's affair. Payloads of answers
        are counted only when they are addressed to the sender of the request, else when they are routed on.

        Args:
            messages: At most one per player.
            purpose: Heading under which the ledger counts: ``"exchange"`` or ``"evaluation"``.
        """
        replies = self.deliver(messages, purpose)
        self._late += [reply for reply in replies if isinstance(reply, PlayerLate)]
        for message, reply in zip(messages, replies, strict=True):
            for sender, payload in message.payload.items():
                self._count(purpose, sender, message.receiver, payload)
            if isinstance(reply, Message) and message.sender in reply.payload:
                self._count(purpose, reply.sender, message.sender, reply.payload[message.sender])
        return replies

    def _count(self, purpose: str, sender: str, receiver: str, payload: Payload) -> None:
        self._ledger.add(
            purpose, sender, receiver, bytes=bytes_of(payload), samples=count_of(payload)
        )

    @abstractmethod
    def start(self, players: Sequence[Player], game: Game) -> None:
        """Take the players and the game whose ``serve`` answers for them."""

    @abstractmethod
    def deliver(self, messages: Sequence[Message], purpose: str) -> list[Message | PlayerLost]:
        """Carry each message to its receiver; answers come in the order of the messages, whoever is first."""

    def take_late(self) -> list[PlayerLate]:
        """Who was late since this was last asked."""
        late, self._late = self._late, []
        return late

    def finish(self) -> None:
        """Let go of what outlives a game, such as a cluster; after the last game of a run."""

    @abstractmethod
    def close(self) -> None:
        """Let the players go; closing twice does no harm."""
