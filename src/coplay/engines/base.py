"""The contract of an engine: it starts with players, delivers messages and counts what travels."""

from __future__ import annotations

import traceback
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from pydantic import PrivateAttr

from coplay.core.components import Component
from coplay.core.errors import shareable
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
from coplay.core.text import visible
from coplay.games.base import Game
from coplay.player import Player

T = TypeVar("T")


def answer(game: Game, player: Player, message: Message) -> Message | PlayerLost:
    """Answer one message for one player; a failure inside it becomes a :class:`PlayerLost`.

    A model is foreign code, so whatever it raises is caught here, where player, action and round
    are known.
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
    """Add the time that the player booked since its last answer."""
    return replace(reply, numbers={**reply.numbers, **player.take_seconds()})


def answer_all(
    game: Game, players: Sequence[Player], messages: Sequence[Message]
) -> list[Message | PlayerLost]:
    """Answer for players of one process: together where the game can, else one after the other."""
    pairs = list(zip(players, messages, strict=True))
    try:
        together = game.serve_together(players, messages)
    except Exception as error:
        return [failed(player, message, error) for player, message in pairs]
    if together is None:
        return [answer(game, player, message) for player, message in pairs]
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
    dealt = []
    for part in torch.arange(len(players)).tensor_split(min(groups, len(players))):
        dealt.append([players[i] for i in part])
    return dealt


def failed(player: Player, message: Message, error: Exception) -> PlayerLost:
    """Make the loss that replaces a failed answer; the traceback stays in the player's folder."""
    where = f"{message.action}, round {message.round}"
    player.note_error(where, visible("".join(traceback.format_exception(error))))
    reason = shareable(error)
    if not reason:
        # a model is foreign code: its words may quote private data, and stay with the player
        reason = f"{type(error).__name__}, whose text stays with the player"
        if player.home is not None:
            reason += f" (traceback in {player.home / 'errors.txt'})"
    return PlayerLost(player.name, message.action, message.round, reason)


class Engine(Component):
    """A place where players run. Engines know only ``Player``, ``Game.serve`` and ``Message``.

    Subclasses define ``start``, ``deliver`` and ``close``; counting what travels is common to all.
    """

    _late: list[PlayerLate] = PrivateAttr(default_factory=list)
    _ledger: Ledger = PrivateAttr(default_factory=Ledger)

    @property
    def ledger(self) -> Ledger:
        """The payload that has travelled so far, per purpose and link."""
        return self._ledger

    def start_ledger(self, links: Sequence[LinkTraffic]) -> None:
        """Continue counting from what has travelled before."""
        self._ledger = Ledger(links)

    def ask(
        self, messages: Sequence[Message], purpose: str = "exchange"
    ) -> list[Message | PlayerLost]:
        """Deliver messages and return the answers in the order of the messages.

        A payload of a request is counted on the link from its origin (its name in the payload) to
        the receiver of the message; whether it passes through the coordinator is the engine's
        affair. Payloads of answers are counted here only if they are addressed to the sender of the
        request; others are counted when they are routed on.

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
        size = bytes_of(payload)
        self._ledger.add(purpose, sender, receiver, bytes=size, samples=count_of(payload))

    @abstractmethod
    def start(self, players: Sequence[Player], game: Game) -> None:
        """Start with these players and the game whose ``serve`` answers for them."""

    @abstractmethod
    def deliver(self, messages: Sequence[Message], purpose: str) -> list[Message | PlayerLost]:
        """Deliver each message to its receiver, and return answers in the order of the messages."""

    def take_late(self) -> list[PlayerLate]:
        """Return the players that were late since the last call."""
        late = self._late
        self._late = []
        return late

    def finish(self) -> None:
        """Release what outlives a game, such as a cluster; called after the last game of a run."""

    @abstractmethod
    def close(self) -> None:
        """Release the players; closing twice does no harm."""
