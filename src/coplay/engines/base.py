"""The contract of an engine: it starts with players, delivers messages and counts what travels."""

from __future__ import annotations

import traceback
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, TypeVar

import torch
from pydantic import PrivateAttr

from coplay.core import storage
from coplay.core.components import Component
from coplay.core.errors import (
    FAILURES,
    CoplayError,
    SiteError,
    StateError,
    errors_of,
    shareable,
    unsaid,
    withheld,
)
from coplay.core.expected import Checked
from coplay.core.facts import Facts
from coplay.core.history import Roster
from coplay.core.keeping import ERRORS
from coplay.core.measures import FLOPS
from coplay.core.message import (
    Head,
    Ledger,
    LinkTraffic,
    Message,
    Payload,
    PlayerLate,
    PlayerLost,
    PlayerUnsaved,
    bytes_of,
    count_of,
)
from coplay.core.requests import SHOWING, Judge, Measure
from coplay.core.telling import EVERYTHING
from coplay.core.text import visible
from coplay.engines.borders import admitted, recorded
from coplay.engines.gate import checked_reply, refusal, unknown_receivers
from coplay.engines.heads import Heads
from coplay.engines.recipes import Recipe
from coplay.games.base import Game
from coplay.games.party import Party
from coplay.player import Player

T = TypeVar("T")


def answer(game: Game, player: Player, message: Message) -> Message | PlayerLost:
    """Answer one message for one player; a failure inside it becomes a :class:`PlayerLost`.

    A model is foreign code, so whatever it raises is caught here, where player, action and round
    are known. A request that the player may not be asked now is refused before anything changes
    (:mod:`coplay.engines.gate`).
    """
    return answer_all(game, [player], [message], together=False)[0]


def _answer_accepted(game: Game, player: Player, message: Message) -> Message | PlayerLost:
    try:
        game.equip(player)
        with game.showing(player) if isinstance(message.request, SHOWING) else nullcontext():
            reply = player.serve(message)
        if reply is not None:
            player.take_seconds()  # measuring and saving are booked by the run, not by the player
            return _watched(player, _told(player, reply))
        return _watched(player, _with_seconds(player, game.serve(player, message)))
    except FAILURES as error:
        loss = failed(player, message, error)
        if player.is_private and isinstance(message.request, Measure | Judge):
            # whether something can be measured on rows follows from them, and may not show
            return _watched(player, message.reply())
        return loss


def _told(player: Player, reply: Message) -> Message:
    """Take out the numbers that the player does not tell; costs are no secret."""
    if player.tell is EVERYTHING or not reply.request.tells_of_rows:
        return reply
    player.log.add(reply.round, reply.numbers)  # the player may read them all
    kept = {}
    for name, number in reply.numbers.items():
        if name == FLOPS or player.tell.tells(name):
            kept[name] = number
    return replace(reply, numbers=kept)


def _with_seconds(player: Player, reply: Message) -> Message:
    """Add the time that the player booked since its last answer."""
    if not isinstance(reply, Message) or not isinstance(reply.numbers, dict):
        return reply  # a game of the user's own may return anything; the coordinator's gate says so
    reply = _told(player, reply)
    spent = player.take_seconds()
    if player.is_private:  # how long something takes may depend on rows
        return reply
    seconds = {name: player.tell.seconds_of(each) for name, each in spent.items()}
    return replace(reply, numbers={**reply.numbers, **seconds})


def answer_all(
    game: Game, players: Sequence[Player], messages: Sequence[Message], together: bool = True
) -> list[Message | PlayerLost]:
    """Answer for players of one process: together where the game can, else one after the other.

    Args:
        game: The rules.
        players: The players.
        messages: What each of them is asked.
        together: Whether the game may answer for all of them at once.
    """
    pairs = list(zip(players, messages, strict=True))
    checked: Checked = {}  # messages to players of one process may share what they carry
    losses: list[PlayerLost | None] = []
    accepted: list[tuple[Player, Message]] = []
    for player, message in pairs:
        admittance = refusal(game, player, message, checked) or admitted(game, player, message)
        if isinstance(admittance, Message):
            losses.append(None)
            accepted.append((player, admittance))
        else:
            losses.append(admittance)
    if together:
        answered = _answer_all_accepted(game, accepted)
    else:
        answered = [_answer_accepted(game, player, message) for player, message in accepted]
    rest = iter(answered)
    answers = [next(rest) if loss is None else loss for loss in losses]
    final = []
    for (player, message), each in zip(pairs, answers, strict=True):
        final.append(recorded(game, player, message, each))
    return final


def _answer_all_accepted(
    game: Game, pairs: Sequence[tuple[Player, Message]]
) -> list[Message | PlayerLost]:
    if not pairs:
        return []
    try:
        together = game.serve_together(
            [player for player, _ in pairs], [message for _, message in pairs]
        )
    except FAILURES as error:
        return [failed(player, message, error) for player, message in pairs]
    if together is None:
        return [_answer_accepted(game, player, message) for player, message in pairs]
    answers: list[Message | PlayerLost] = []
    for (player, message), result in zip(pairs, together, strict=True):
        if isinstance(result, BaseException):
            answers.append(failed(player, message, result))
        else:
            answers.append(_watched(player, _with_seconds(player, result)))
    return answers


def _watched(player: Player, reply: Message) -> Message:
    """Let the player's own side look at what leaves."""
    if player.watching is not None and isinstance(reply, Message):
        player.watching.noted(reply)
    return reply


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


def spare(setting: str, count: int, players: int) -> tuple[str, ...]:
    """Return a sentence if an engine was to have more groups than there are players.

    Example:
        >>> spare("processes", 8, 4)
        ('engine.processes = 8, but there are 4 players and seats: there were 4 processes',)
    """
    if count <= players:
        return ()
    given = f"engine.{setting} = {count}, but there are {players} players and seats"
    return (f"{given}: there were {players} {setting}",)


def failed(player: Player, message: Message, error: BaseException) -> PlayerLost:
    """Make the loss that replaces a failed answer; the traceback stays in the player's folder."""
    where = f"{message.action}, round {message.round}"
    player.note_error(where, visible("".join(traceback.format_exception(error))))
    kind = PlayerLost
    if isinstance(error, StateError):
        kind = PlayerUnsaved
        error = error.__cause__ or error
    # a model is foreign code: its words may quote private data, and stay with the player
    reason = shareable(error) or _withheld(player, error)
    if player.is_private:
        reason = unsaid(player.name, error, player.home)
    return kind(player.name, message.action, message.round, reason)


def _withheld(player: Player, error: BaseException) -> str:
    """Say of what kind an error is and where its words are."""
    kind = f"{type(error).__name__}, whose text stays with the player"
    if player.home is None:
        return kind
    # where the folder of a site lies is nobody else's business
    where = errors_of(player.home) if player.measures else player.home / ERRORS
    return f"{kind} (traceback in {where})"


def told_error(name: str, error: BaseException, home: Path | None, words: str = "") -> CoplayError:
    """Return what others may know of an error of which a player could not be made.

    Args:
        name: The player's name.
        error: The error; its words go to the player's own folder, if it has one.
        home: That folder; None for a player that writes nothing, or has written it down.
        words: What others are told; without it what may be shared of the error.
    """
    if isinstance(error, SiteError):
        return error
    if home is not None:
        text = visible("".join(traceback.format_exception(error)))
        storage.append_privately(home / ERRORS, f"{name}\n{text}\n")
    return SiteError(words or shareable(error) or withheld(name, error, home))


class Engine(Component):
    """A place where players run. Engines know only ``Player``, ``Game.serve`` and ``Message``.

    Subclasses define ``start``, ``deliver`` and ``close``; the gate that every reply passes and
    counting what travels are common to all.

    Example:
        >>> from coplay import find
        >>> find("engine", "local")(threads=2).threads
        2
    """

    handles: ClassVar[tuple[type, ...]] = ()
    """The kinds of handle that this engine puts in the place of samples."""

    sites_elsewhere: ClassVar[bool] = False
    """Whether each player's data lie where nothing of this machine reaches."""

    _game: Game | None = PrivateAttr(default=None)
    _seated: dict[str, Party] = PrivateAttr(default_factory=dict)
    _late: list[PlayerLate] = PrivateAttr(default_factory=list)
    _ledger: Ledger = PrivateAttr(default_factory=Ledger)
    _heads: Heads = PrivateAttr(default_factory=Heads)

    @property
    def ledger(self) -> Ledger:
        """The payload that has travelled so far, per purpose and link."""
        return self._ledger

    @property
    def parties(self) -> Mapping[str, Party]:
        """Everybody in the game by name, as the coordinator knows them."""
        return self._seated

    @property
    def heads(self) -> Mapping[str, Head]:
        """The ends of the records of what left the sites that keep one, by player."""
        return self._heads.known

    def start_heads(self, known: Mapping[str, Head]) -> None:
        """Refuse records of sites that end before these."""
        self._heads = Heads(known)

    def start_ledger(self, links: Sequence[LinkTraffic]) -> None:
        """Continue counting from what has travelled before."""
        self._ledger = Ledger(links)

    def ask(
        self, messages: Sequence[Message], purpose: str = "exchange"
    ) -> list[Message | PlayerLost]:
        """Deliver messages and return the answers in the order of the messages.

        A payload of a request is counted on the link from its origin (its name in the payload), or
        from the player that passed it on, to the receiver of the message; whether it passes through
        the coordinator is the engine's affair. Payloads of answers are counted here only if they
        are addressed to the sender of the request; others are counted when they are routed on.

        Every reply is checked against its request (:mod:`coplay.engines.gate`). In the place of a
        bad one stands the loss of the player that was asked, and nothing of it is counted.

        Args:
            messages: At most one per player.
            purpose: Heading under which the ledger counts: ``"exchange"`` or ``"evaluation"``.
        """
        replies = self._checked(messages, purpose)
        self._late += [reply for reply in replies if isinstance(reply, PlayerLate)]
        for message, reply in zip(messages, replies, strict=True):
            passed_on_by = message.request.passed_on_by if message.payload else {}
            for origin, payload in message.payload.items():
                sender = passed_on_by.get(origin, origin)
                self._count(purpose, sender, message.receiver, payload)
            if isinstance(reply, Message) and message.sender in reply.payload:
                self._count(purpose, reply.sender, message.sender, reply.payload[message.sender])
        return replies

    def _checked(self, messages: Sequence[Message], purpose: str) -> list[Message | PlayerLost]:
        """Deliver messages to those that are there, and check their replies."""
        losses = unknown_receivers(messages, self._seated) if self._seated else {}
        known = [message for i, message in enumerate(messages) if i not in losses]
        replies = iter(self.deliver(known, purpose) if known else [])
        checked: list[Message | PlayerLost] = []
        for i, message in enumerate(messages):
            if i in losses:
                checked.append(losses[i])
                continue
            player = self._seated.get(message.receiver)
            reply = next(replies, None)
            answer = checked_reply(self._game, player, message, reply, self.handles)
            checked.append(self._heads.checked(message, answer))
        return checked

    def _count(self, purpose: str, sender: str, receiver: str, payload: Payload) -> None:
        size = bytes_of(payload)
        self._ledger.add(purpose, sender, receiver, bytes=size, samples=count_of(payload))

    @abstractmethod
    def start(self, players: Sequence[Player | Recipe], game: Game) -> None:
        """Start with these players and the game whose ``serve`` answers for them.

        A subclass makes players of recipes where they are to play, and then calls
        :meth:`seat` with what is known of each.
        """

    def seat(self, parties: Sequence[Party], game: Game) -> None:
        """Note what replies are checked by.

        Args:
            parties: Everybody in the game, as the coordinator knows them.
            game: The rules.
        """
        self._game = game
        self._seated = {party.name: party for party in parties}
        names = [name for name in self._seated if name not in game.seats]
        roster = Roster(names, self.takers)
        for party in parties:
            party.roster = roster

    @property
    def takers(self) -> list[str]:
        """The players whose models learn from samples that lack variables, without seats."""
        assert self._game is not None, "asked of an engine that plays"
        takers = [party.name for party in self._seated.values() if party.learns_incomplete]
        return [name for name in takers if name not in self._game.seats]

    @abstractmethod
    def describe(self) -> dict[str, Facts]:
        """Return what each player says of itself, by name.

        Raises:
            MessageError: What came are no facts, or those of another.
        """

    @abstractmethod
    def deliver(self, messages: Sequence[Message], purpose: str) -> list[Message | PlayerLost]:
        """Deliver each message to its receiver, and return answers in the order of the messages."""

    def take_late(self) -> list[PlayerLate]:
        """Return the players that were late since the last call."""
        late = self._late
        self._late = []
        return late

    def notes(self, players: int) -> Sequence[str]:
        """Return sentences for the reader of the report, of settings that had less effect.

        Args:
            players: The most players and seats that a game of the run has.
        """
        return ()

    def finish(self) -> None:
        """Release what outlives a game, such as a cluster; called after the last game of a run."""

    @abstractmethod
    def close(self) -> None:
        """Release the players; closing twice does no harm. A subclass calls this too."""
        self._game = None
        self._seated = {}
