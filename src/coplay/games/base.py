"""The contract of a game: ``start`` and ``play`` at the coordinator, ``serve`` at the player."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Literal, Protocol, Self

import scipy.sparse as sp
from pydantic import Field
from torch import Tensor
from typing_extensions import TypeVar  # the standard library's has defaults from Python 3.13 on

from coplay.core.components import Component
from coplay.core.contents import InSpace
from coplay.core.errors import PlayerError
from coplay.core.expected import ANYTHING, Expected, Limits, Numbers
from coplay.core.facts import Facts
from coplay.core.history import Roster
from coplay.core.message import Message, Payload, PlayerLate, PlayerLost, Request
from coplay.core.plain import Plain, flatten, restored
from coplay.games.party import Party
from coplay.models.base import LocalModel
from coplay.nets.sizes import NetworkSize
from coplay.nets.training import FLOPS
from coplay.player import Player
from coplay.theory.weights import by_edges

MOST_IN_M = 512
"""Most players for which M (A2) is computed as a whole: it has N² entries and takes N³ steps."""

Link = tuple[str, str]
"""Sender and receiver of what is in flight."""


@dataclass(frozen=True)
class State:
    """What the coordinator knows between two rounds.

    It is an explicit value, so that every game can be resumed. A game that remembers more declares
    it in a subclass, whose further fields are plain values with a default (see
    :mod:`coplay.core.plain`).

    Args:
        players: Names of the living players, in order.
        payload: Samples in flight, by sender and receiver.

    Example:
        >>> State(("north", "south")).without(["south"]).players
        ('north',)
    """

    players: Sequence[str]
    payload: Mapping[Link, Payload] = field(default_factory=dict)

    def without(self, lost: Collection[str]) -> Self:
        """Return the state without some players and without everything from or to them."""
        if not lost:
            return self
        left = tuple(name for name in self.players if name not in lost)
        payload = {link: part for link, part in self.payload.items() if not set(link) & set(lost)}
        return replace(self, players=left, payload=payload)

    def known(self) -> dict[str, Plain]:
        """Return everything but the payload, as plain values for a checkpoint."""
        return flatten(self, without=("payload",))

    @classmethod
    def from_known(cls, values: Mapping[str, object], payload: Mapping[Link, Payload]) -> Self:
        """Build a state from what :meth:`known` returned and the payload.

        Raises:
            MessageError: The values are not those of this kind of state.
        """
        return restored(cls, values, "the checkpoint", given={"payload": payload})


S = TypeVar("S", bound=State, default=Any)


@dataclass(frozen=True)
class Row:
    """What a game reports of one round, or of a part of it.

    Args:
        players: Numbers that the players' models reported, by player (or seat) and name.
        lost: Players that were lost, by name.
        frozen: Players that have neither data nor a living source; None where no player was lost.
        influence: M of (A2) among the living after a loss, shape (N, N); None where no player was
            lost, without theory, or for more than :data:`MOST_IN_M` players.
        weights: α among the living after a loss, for more players than that.
        joined: Players that joined.
        left: Players that left as configured, with the iteration before which they did.
        own: What only this game reports, such as its number of swaps; plain JSON values.

    Example:
        >>> Row(own={"swaps": 1}).merged(Row(joined=("late",))).joined
        ('late',)
    """

    players: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    lost: Mapping[str, PlayerLost] = field(default_factory=dict)
    frozen: Sequence[str] | None = None
    influence: Tensor | None = None
    weights: sp.csr_matrix | None = None
    joined: Sequence[str] = ()
    left: Mapping[str, int] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)

    def merged(self, more: Row) -> Row:
        """Return this row with a later one; where both have a value, the later one counts."""
        return Row(
            players={**self.players, **more.players},
            lost={**self.lost, **more.lost},
            frozen=self.frozen if more.frozen is None else more.frozen,
            influence=self.influence if more.influence is None else more.influence,
            weights=self.weights if more.weights is None else more.weights,
            joined=(*self.joined, *more.joined),
            left={**self.left, **more.left},
            own={**self.own, **more.own},
        )

    @classmethod
    def of(cls, answers: Sequence[Message], **own: Any) -> Row:
        """Return the row that holds the numbers of some answers.

        Args:
            answers: At most one of each player.
            own: What only this game reports.
        """
        return cls({answer.sender: dict(answer.numbers) for answer in answers}, own=own)


class Asker(Protocol):
    """The part of an engine that a game uses."""

    @property
    def parties(self) -> Mapping[str, Party]:
        """Everybody in the game by name, as the coordinator knows them."""
        ...

    def ask(
        self, messages: Sequence[Message], purpose: str = "exchange"
    ) -> list[Message | PlayerLost]:
        """Deliver the messages and return the answers in the same order."""
        ...


class Game(Component, Generic[S]):
    """Rules of play, and nothing about where the players are.

    A subclass defines ``start``, ``play`` and ``serve``, and declares its requests and its state.
    State is passed explicitly; a game object holds settings only, and both sides have it: settings
    are never sent.

    Args:
        rounds: Number of rounds, at most.
        minutes: Minutes of play after which the game ends, to about a round.
        until_steady: Whether it ends when samples differ no more from round to round than their
            draw does (:mod:`coplay.run.stopping`).
        local_steps: Learning steps per player and round, for models that learn in steps.
        on_lost: What to do when a player fails: ``"stop"`` the run with its last checkpoint intact,
            or ``"continue"`` without that player.

    Example:
        >>> from coplay import find
        >>> game = find("game", "sample_exchange")(own_weight=0.5, rounds=8)
        >>> game.predict(["north", "south"])
        tensor([[0.6667, 0.3333],
                [0.3333, 0.6667]], dtype=torch.float64)
    """

    requests: ClassVar[tuple[type[Request], ...]] = ()
    """The kinds of request that the coordinator's side sends to the players."""

    state_class: ClassVar[type[State]] = State
    """The kind of state that ``start`` and ``play`` return."""

    pools_data: ClassVar[bool] = False
    """Whether every player is given the data of all: a ceiling that only a simulation has."""

    changes_draws: ClassVar[bool] = True
    """Whether a player's samples, or those of a seat, come out otherwise than without the game."""

    seats: ClassVar[tuple[str, ...]] = ()
    """Names of further parties, without data, that the game needs, such as a server.

    They have the config's ``model``.
    """

    rounds: int = Field(default=40, ge=1)
    minutes: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    until_steady: bool = False
    local_steps: int = Field(default=100, ge=1)
    on_lost: Literal["stop", "continue"] = "stop"

    def shared_with(self, kind: type | None, own: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that a game takes over that is carried along with this one.

        Args:
            kind: The class of what is carried along; None where it is not imported.
            own: The settings that it has of its own.
        """
        common = ("rounds", "minutes", "until_steady", "local_steps", "on_lost")
        return {name: getattr(self, name) for name in common}

    @abstractmethod
    def start(self, players: Sequence[str], seed: int) -> S:
        """Return the state before the first round.

        Raises:
            ConfigError: The settings do not fit these players.
        """

    @abstractmethod
    def play(self, engine: Asker, state: S, round: int) -> tuple[S, Row]:
        """Play round ``round`` (1, 2, …) and return the new state and a row of what happened."""

    def lose(self, state: S, lost: Sequence[PlayerLost]) -> tuple[S, Row]:
        """Go on without some players: return the state without them, and the row of the losses."""
        left = state.without([loss.player for loss in lost])
        return left, Row(lost={loss.player: loss for loss in lost})

    @abstractmethod
    def serve(self, player: Player, message: Message) -> Message:
        """Answer one request on the player's side. Only what is in the answer leaves the player."""

    def equip(self, player: Player) -> None:
        """Make a player ready for this game on its own side; called before every answer."""

    def ready(self, player: Player, players: Sequence[str]) -> None:
        """Equip a player that is to take over what it learned in this game, outside of play.

        Args:
            player: The player.
            players: Everybody in the run, seats included.
        """
        names = [name for name in players if name not in self.seats]
        player.roster = Roster(self.players_of(names))
        self.equip(player)

    def showing(self, player: Player) -> AbstractContextManager[None]:
        """Let a player's samples be those that it has of this game, while it is measured.

        They are its model's, unless the game says otherwise.
        """
        return nullcontext()

    shows_others: ClassVar[bool] = False
    """Whether what a player shows after a run needs the models of others, where they are."""

    numbers_players: ClassVar[bool] = False
    """Whether models know players by their places, so that others in their places are not known."""

    def finished(self, player: Player, models: Mapping[str, LocalModel]) -> None:
        """Let a player that was loaded from a finished run draw what it has of this game.

        Args:
            player: The player, with what it learned.
            models: Models of others by name, with ``shows_others``, as far as they are at hand.
        """

    def described(self, facts: Facts) -> Facts:
        """Return what a player is in this game, from what it says of itself."""
        return facts

    def expected_request(self, player: Player, message: Message) -> Expected:
        """Say what one of this game's requests may hold, as the player may be asked it now.

        It is called on the player's side, before anything changes, with a request whose fields have
        the right types. A game that does not declare it accepts ordinary tensors from anybody.
        """
        return ANYTHING

    def expected_reply(self, player: Party, ask: Message) -> Expected:
        """Say what the reply to one of this game's requests may hold.

        It is called at the coordinator, where of a player only what it said of itself is known.
        """
        return ANYTHING

    def serve_together(
        self, players: Sequence[Player], messages: Sequence[Message]
    ) -> Sequence[Message | BaseException] | None:
        """Answer for players of one process that were asked at the same time, if that is faster.

        Returns:
            One answer, or the error, per player; None to be asked one by one.
        """
        return None

    def check(self, players: Sequence[Party]) -> None:
        """Refuse players with whom the game cannot be played, before it begins; seats included.

        Raises:
            ConfigError: With all faults.
        """

    def players_of(self, players: Sequence[str]) -> Sequence[str]:
        """Return the names of the players that take part in this game."""
        return players

    def ends_with_nothing(self, players: Sequence[Party]) -> str:
        """Say why there would be nothing to draw at the end, and what to do; empty if there is.

        Args:
            players: Everybody who takes part.
        """
        return ""

    def sampled_from(self, state: S) -> Sequence[str]:
        """Return the names of the players, or seats, whose samples are measured."""
        return state.players

    def needs_data(self, players: Sequence[str], seed: int = 0) -> list[str]:
        """Return the names of the players that cannot play without private data."""
        return list(players)

    def predict(self, players: Sequence[str], seed: int = 0) -> Tensor | None:
        """Predict the shares of all sites' data in player i's model, row i; None without theory."""
        return None

    def predicted_shares(self, players: Sequence[str], seed: int, shares: Tensor) -> Tensor | None:
        """Predict the class shares in player i's model, row i; None without theory.

        Args:
            players: Names of all N players.
            seed: The run's seed.
            shares: Class shares of their data, shape (N, C).
        """
        influence = self.predict(players, seed)
        return None if influence is None else influence @ shares

    def mixture_weights(self, state: S) -> Tensor | None:
        """Return player i's weights of own data and others' samples in its utility (A1), as row i.

        None for a game without such a utility.
        """
        return None

    def sparse_weights(self, state: S) -> sp.csr_matrix | None:
        """Return :meth:`mixture_weights` by its edges (:mod:`coplay.theory.weights`).

        A game with sparse weights defines this one too, so that a run costs its edges.
        """
        alpha = self.mixture_weights(state)
        return None if alpha is None else by_edges(alpha)

    def lessons(self, players: Sequence[Party], seed: int) -> sp.csr_matrix | None:
        """Return the shares in which players learn from one another in a round; None without."""
        return self.sparse_weights(self.start([player.name for player in players], seed))

    def remarks(self, players: Sequence[Party]) -> list[str]:
        """Return sentences on what settings mean that is hardly meant, for check and report."""
        return []

    def network_sizes(self, players: Sequence[Party]) -> Mapping[str, NetworkSize]:
        """Return the sizes of the networks that travel, by name; empty where none do."""
        return {}

    def alive(
        self, replies: Sequence[Message | PlayerLost]
    ) -> tuple[list[Message], list[PlayerLost]]:
        """Split replies into answers and losses, or stop at the first loss if the settings say so.

        Late players appear in neither.

        Raises:
            PlayerError: A player was lost and ``on_lost`` is ``"stop"``, or no player is left.
        """
        late = [reply for reply in replies if isinstance(reply, PlayerLate)]
        lost = [reply for reply in replies if isinstance(reply, PlayerLost) and reply not in late]
        answers = [reply for reply in replies if isinstance(reply, Message)]
        if lost and (self.on_lost == "stop" or not (answers or late)):
            first = lost[0]
            raise PlayerError(first.player, first.action, first.round, first.reason)
        return answers, lost


LEARNED = Numbers({FLOPS: Limits(low=0)}, others=True)
"""What a player reports of learning: numbers of its model's own."""


def received_samples(player: Player) -> InSpace:
    """Return what samples of others must be for a player to learn from them.

    Variables that it does not know are dropped (A5), and so are latents unlike its own.
    """
    needed = [] if player.model.learns_incomplete else list(player.variables)
    latents = [name for name in player.space if name not in player.variables]
    return InSpace(player.space, needed, others=True, loose=latents)
