"""A process that holds some players and the game that answers for them: a plain Ray actor."""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from coplay.core.errors import FAILURES, CoplayError, MessageError
from coplay.core.facts import Facts
from coplay.core.history import Roster
from coplay.core.memory import keep_freed_memory
from coplay.core.message import COORDINATOR, Message, PlayerLost
from coplay.core.plain import Plain
from coplay.core.requests import Restore
from coplay.core.rules import Rules
from coplay.core.space import Space
from coplay.core.streams import single_pools
from coplay.engines.base import answer_all, failed, told_error
from coplay.engines.borders import recorded
from coplay.engines.gate import acquaint, checked_reply
from coplay.engines.ray_parts import Arrays, Kept, laid_out, received, to_arrays, to_samples
from coplay.engines.recipes import Recipe
from coplay.games.base import Game
from coplay.games.party import Known, Party
from coplay.player import Player


@dataclass(frozen=True)
class PlayerSpec:
    """What a process needs to make a player; it is sent once, inside one trust domain.

    Args:
        name: Of the player.
        space: The variables that it learns.
        data: Its private samples.
        model: Its model, not yet set up.
        seed: The run's seed.
        home: Folder of its checkpoints, absolute; None for none.
        unobserved: Variables that it does not observe.
    """

    name: str
    space: Space
    data: Arrays
    model: Any
    seed: int
    home: Path | None
    unobserved: tuple[str, ...]
    rules: Rules

    @classmethod
    def of(cls, player: Player) -> PlayerSpec:
        """Return what it takes to make a player again in another process."""
        home = None
        if player.home is not None:
            home = player.home.absolute()  # the process may work in another folder
        return cls(
            player.name,
            player.own_space,
            to_arrays(player.private_data),
            player.model.fresh(),
            player.seed,
            home,
            player.unobserved,
            player.rules,
        )

    def build(self) -> Player:
        """Make the player."""
        data = to_samples(self.data)
        player = Player(
            self.name, self.space, data, self.model, self.seed, self.home, self.unobserved
        )
        player.rules = self.rules
        return player


def spec_of(player: Player | Recipe) -> PlayerSpec | Recipe:
    """Return what it takes to make a player in another process."""
    return PlayerSpec.of(player) if isinstance(player, Player) else player


def home_of(spec: PlayerSpec | Recipe) -> Path | None:
    """Return where a player writes what is its own; None for one that writes nothing."""
    return spec.home if isinstance(spec, PlayerSpec) else None


def known_of(players: Sequence[Player | Recipe], facts: Mapping[str, Facts]) -> list[Party]:
    """Return players as the coordinator knows them: those made here, and the facts of others.

    Args:
        players: Everybody in the game.
        facts: Of those that were not made here, by name.
    """
    parties: list[Party] = []
    for player in players:
        if isinstance(player, Player):
            parties.append(player)
        else:
            parties.append(Known(facts[player.name], player.seed))
    return parties


def _by_value(answer: Message | PlayerLost) -> Message | PlayerLost:
    """Return an answer whose parts of larger sets are sets of their own."""
    if isinstance(answer, PlayerLost):
        return answer
    return replace(answer, payload=answer.samples())


class Group:
    """Some players and the game that answers for them.

    Args:
        threads: Threads that torch and scikit-learn use.
        keep_memory: Whether the process keeps freed memory.
    """

    fault: CoplayError | None
    """What the next call reports, since nobody waited for the one that met it."""

    def __init__(self, threads: int, keep_memory: bool) -> None:
        if keep_memory:
            keep_freed_memory()
        torch.set_num_threads(threads)
        self.threads = threads
        self.leave()

    def ready(self) -> int:
        """Return the number of the process, as a sign that it is there."""
        return os.getpid()

    def acquaint(self, take_incomplete: Sequence[str]) -> None:
        """Note which players, here and elsewhere, learn from incomplete samples."""
        try:
            acquaint(self.roster, take_incomplete)
        except MessageError as error:
            self.fault = error  # nobody waits for this call, so the next one reports it

    def describe(self, name: str) -> dict[str, Plain]:
        """Return what a player says of itself."""
        if self.fault is not None:
            raise self.fault
        try:
            return self.players[name].facts().plain()
        except FAILURES as error:  # a model is foreign code
            fault = told_error(name, error, self.players[name].home)
        raise fault

    def leave(self) -> None:
        """Release the players."""
        self.players: dict[str, Player] = {}
        self.roster = Roster([])
        self.fault = None
        gc.collect()

    def attach(
        self,
        specs: Sequence[PlayerSpec | Recipe],
        saved: Mapping[str, int],
        group_of: Mapping[str, int],
        groups: int,
        game: Game,
    ) -> None:
        """Make the players, with the checkpoints they have.

        Args:
            specs: The players.
            saved: Round of the last checkpoint, by player; the others begin at their start.
            group_of: Number of every player's group, also of those elsewhere.
            groups: Number of groups.
            game: The rules.
        """
        self.group_of = group_of
        self.groups = groups
        self.game = game
        self.roster = Roster([name for name in group_of if name not in game.seats])
        try:
            for spec in specs:
                player = spec.build()
                player.roster = self.roster
                self.players[spec.name] = player
                if spec.name in saved:
                    game.equip(player)
                    player.serve(Message(Restore(), COORDINATOR, spec.name, saved[spec.name]))
        except FAILURES as error:
            self.players.clear()
            fault = told_error(spec.name, error, home_of(spec))
        else:
            return
        # raised outside of the handler, so that the words of the error do not travel with it; and
        # no call waits for a process that is restarted in a game, so the next one reports this
        self.fault = fault
        raise fault

    def serve(self, messages: Sequence[Message]) -> list[Any]:
        """Answer the messages of one call.

        Returns:
            The answers, then for each group and for the coordinator the large payloads that are
            meant for it.
        """
        if self.fault is not None:
            raise self.fault
        large: list[list[Arrays]] = [[] for _ in range(self.groups + 1)]
        players = [self.players[message.receiver] for message in messages]
        try:
            requests = received(messages)
            with single_pools(self.threads):
                answers = [_by_value(a) for a in answer_all(self.game, players, requests)]
            before: dict[tuple[int, int], Kept | Arrays] = {}
            replies: list[Message | PlayerLost] = []
            for player, request, answer in zip(players, requests, answers, strict=True):
                # here, since the coordinator sees nothing of large payloads but their counts
                checked = checked_reply(self.game, player, request, answer)
                if isinstance(checked, Message):
                    checked = laid_out(checked, self.group_of, large, before)
                replies.append(checked)
        except Exception as error:  # payloads could not be fetched or sent, so all have failed
            pairs = zip(players, messages, strict=True)
            replies = []
            for player, message in pairs:
                loss = failed(player, message, error)
                replies.append(recorded(self.game, player, message, loss))
            large = [[] for _ in large]
        return [replies, *large]
