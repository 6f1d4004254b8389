"""The contract of a game: the coordinator's side ``start`` and ``play``, the player's side ``serve``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from pydantic import Field
from torch import Tensor

from coplay.core.components import Component
from coplay.core.errors import PlayerError
from coplay.core.message import Message, Part, PlayerLate, PlayerLost
from coplay.player import Player


@dataclass(frozen=True)
class State:
    """What the coordinator knows between two rounds; an explicit value, so that every game can be resumed.

    Args:
        players: Names of the living players, in order.
        payload: Samples in flight, by link ``"sender>receiver"`` or in the game's own naming.
        numbers: Small values, such as counters.
    """

    players: tuple[str, ...]
    payload: Mapping[str, Part] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)

    def without(self, lost: Collection[str]) -> State:
        """The state with some players and everything from or to them gone."""
        if not lost:
            return self
        payload = {link: part for link, part in self.payload.items() if not set(link.split(">")) & set(lost)}
        return State(tuple(name for name in self.players if name not in lost), payload, self.numbers)


Row = dict[str, Any]
"""The record of one round: JSON values by name."""


def merged(row: Row, more: Row) -> Row:
    """A record and what was told later; losses of both are kept.

    Example:
        >>> merged({"lost": {"a": 1}, "x": 1}, {"lost": {"b": 2}})
        {'lost': {'a': 1, 'b': 2}, 'x': 1}
    """
    lost = row.get("lost", {}) | more.get("lost", {})
    return row | more | ({"lost": lost} if lost else {})


class Asker(Protocol):
    """The part of an engine that a game uses."""

    def ask(self, messages: Sequence[Message], purpose: str = "exchange") -> list[Message | PlayerLost]:
        """Deliver the messages and return the answers in the same order."""
        ...


class Game(Component):
    """Rules of play, and nothing about where the players are.

    A subclass gives ``start``, ``play`` and ``serve``. State is passed explicitly; a game object holds settings only.

    Args:
        rounds: Number of rounds.
        local_steps: Learning steps per player and round, for models that learn in steps.
        on_lost: What to do when a player fails: ``"stop"`` the run with its last checkpoint intact, or
            ``"continue"`` without that player.
    """

    pools_data: ClassVar[bool] = False
    """Whether every player is given everybody's data: a ceiling that only a simulation has."""

    seats: ClassVar[tuple[str, ...]] = ()
    """Names of further players, without data, that the game needs, such as a server; they have the config's ``model``."""

    rounds: int = Field(default=40, ge=1)
    local_steps: int = Field(default=100, ge=1)
    on_lost: Literal["stop", "continue"] = "stop"

    @abstractmethod
    def start(self, players: Sequence[str], seed: int) -> State:
        """The state before the first round.

        Raises:
            ConfigError: The settings do not fit these players.
        """

    @abstractmethod
    def play(self, engine: Asker, state: State, round: int) -> tuple[State, Row]:
        """Play round ``round`` (1, 2, …) and return the new state and a record of what happened."""

    def lose(self, state: State, lost: Sequence[PlayerLost]) -> tuple[State, Row]:
        """Go on without some players: the state without them, and what the record says about it."""
        report = {loss.player: {"action": loss.action, "reason": loss.reason} for loss in lost}
        return state.without([loss.player for loss in lost]), {"lost": report} if lost else {}

    @abstractmethod
    def serve(self, player: Player, message: Message) -> Message:
        """The player's side: answer one request. Only what is in the answer leaves the player."""

    def serve_together(
        self, players: Sequence[Player], messages: Sequence[Message]
    ) -> Sequence[Message | Exception] | None:
        """The same for players that sit side by side and were asked at the same time, where that is faster.

        Returns:
            One answer, or what went wrong, per player; None to be asked one by one.
        """
        return None

    def check(self, players: Sequence[Player]) -> None:
        """Refuse players with whom the game cannot be played, before it begins; seats included.

        Raises:
            ConfigError: With all faults.
        """

    def players_of(self, players: Sequence[str]) -> Sequence[str]:
        """Which of a config's players play."""
        return players

    def measured(self, state: State) -> tuple[str, ...]:
        """Names of those whose samples are measured."""
        return state.players

    def needs_data(self, players: Sequence[str], seed: int = 0) -> list[str]:
        """Names of the players that cannot play without private data."""
        return list(players)

    def predict(self, players: Sequence[str], seed: int = 0) -> Tensor | None:
        """Row i: the shares of each site's data that theory predicts in player i's model; None if there is no theory."""
        return None

    def mixture_weights(self, state: State) -> Tensor | None:
        """Row i: what player i's utility (A1) weighs its own data and the others' samples by; None if it has no such utility."""
        return None

    def alive(self, replies: Sequence[Message | PlayerLost]) -> tuple[list[Message], list[PlayerLost]]:
        """Part the answers from the losses, or stop at the first loss if the settings say so; who is late is in neither.

        Raises:
            PlayerError: A player was lost and ``on_lost`` is ``"stop"``, or nobody is left.
        """
        late = [reply for reply in replies if isinstance(reply, PlayerLate)]
        lost = [reply for reply in replies if isinstance(reply, PlayerLost) and reply not in late]
        answers = [reply for reply in replies if isinstance(reply, Message)]
        if lost and (self.on_lost == "stop" or not (answers or late)):
            first = lost[0]
            raise PlayerError(first.player, first.action, first.round, first.reason)
        return answers, lost
