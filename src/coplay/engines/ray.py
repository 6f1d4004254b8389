"""Players in processes of their own, on this machine or over a cluster, by Ray (``coplay[ray]``).

Every process, a plain Ray actor, holds a group of players; a game's messages for one group travel
as one call. What travels is numpy. Payloads of more than 100 KiB stay in the object store of the
node that made them and go from process to process by reference, past the coordinator. The
coordinator owns them, so they outlive the process that made them.

For the players of a process that dies, the answer is :class:`PlayerLost`, and the game's own rule
says what follows. With a ``deadline``, a late player is left out of this round by
:class:`PlayerLate`; each answer belongs to its own call, so a late one can never be taken for
another round's.

All members of a Ray cluster can run code on all others: use it inside one organisation.
``docs/cluster.md`` says what is protected and what is not. A run's folder must be reachable by
every node, since players write their own checkpoints.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr

from coplay.core.errors import EngineError
from coplay.core.facts import Facts, facts_of_all
from coplay.core.message import Message, PlayerDied, PlayerLate, PlayerLost
from coplay.core.processor import CHOICE
from coplay.core.requests import Restore, Save
from coplay.core.space import Samples
from coplay.engines.base import Engine, grouped, spare
from coplay.engines.ray_cluster import (
    KNOCK_SECONDS,
    NAMESPACE,
    Address,
    connect,
    import_ray,
    not_started,
    reason_of,
)
from coplay.engines.ray_parts import Arrays, Stored, packed, unpacked
from coplay.engines.ray_process import Group, PlayerSpec, known_of, spec_of
from coplay.engines.recipes import Recipe
from coplay.games.base import Game
from coplay.player import Player

_resting: list[tuple[Any, Any]] = []
"""Processes of a game that is over, for the next one, with the options they were started with."""


class Ray(Engine):
    """Play in processes of their own.

    Args:
        processes: Number of processes; players are dealt out in order, in groups of about equal
            size, the game's own seats last.
        threads: Threads that torch and scikit-learn use in each.
        gpus: GPUs that each process reserves on its node, for models whose ``device`` is one; 0.5
            lets two processes share one. With 0 it sees whatever its node has, and nothing is
            reserved.
        address: ``"host:port"`` of an existing cluster to which this machine belongs; without one a
            local cluster is started that listens on this machine only.
        deadline: Seconds that a process has to answer a request in play; None for no limit. There
            is none for measuring and checkpoints, nor for a process's first answer, since it takes
            time to start.
        on_late: A player that misses the deadline is left out of this round (``"drop"``), or lost
            (``"fail"``). It is asked again once it has finished the late request; all players of a
            process are late together.
        restart: Whether a process that died is started again, on any node, with its players' last
            checkpoint; they miss the round in which it happened.
        keep_memory: Whether the processes keep freed memory, which is faster.
        start_seconds: How long processes may take to start. Each loads torch, which takes seconds
            on an idle machine and minutes on a busy one.

    Example:
        >>> Ray(processes=2, deadline=10)
        Ray(processes=2, threads=1, gpus=0, address=None, deadline=10.0, on_late='drop', ...)
    """

    handles: ClassVar[tuple[type, ...]] = (Stored,)

    processes: int = Field(default=2, ge=1)
    threads: int = Field(default=1, ge=1)
    gpus: float = Field(default=0, ge=0)
    address: Address = None
    deadline: float | None = Field(default=None, gt=0)
    on_late: Literal["drop", "fail"] = "drop"
    restart: bool = False
    keep_memory: bool = True
    start_seconds: float = Field(default=600, gt=0)

    _actors: list[Any] = PrivateAttr(default_factory=list)
    _specs: list[list[PlayerSpec | Recipe]] = PrivateAttr(default_factory=list)
    _group_of: dict[str, int] = PrivateAttr(default_factory=dict)
    _dead: dict[int, str] = PrivateAttr(default_factory=dict)
    _answered: set[int] = PrivateAttr(default_factory=set)
    _restarted: set[int] = PrivateAttr(default_factory=set)
    _overdue: dict[int, tuple[Any, str]] = PrivateAttr(default_factory=dict)
    _saved: dict[str, int] = PrivateAttr(default_factory=dict)
    _idle: bool = PrivateAttr(default=False)

    def notes(self, players: int) -> Sequence[str]:
        """Say so if there are more processes than players."""
        return spare("processes", self.processes, players)

    # ---------------------------------------------------------------- starting and ending processes

    def start(self, players: Sequence[Player | Recipe], game: Game) -> None:
        """Start the processes and make the players there.

        Raises:
            EngineError: Ray is not installed, the cluster cannot be reached, or a process does not
                start.
        """
        ray = import_ray()
        self.close()
        self._game = game
        if connect(ray, self.address):
            _resting.clear()
        groups = grouped(list(players), self.processes)
        self._group_of = {}
        self._specs = []
        for g, group in enumerate(groups):
            self._group_of |= {player.name: g for player in group}
            self._specs.append([spec_of(player) for player in group])
        try:
            started = [self._spawn(ray, g) for g in range(len(groups))]
            self._actors = [actor for actor, _ in started]
            ray.get([ready for _, ready in started], timeout=self.start_seconds)
        except ray.exceptions.GetTimeoutError as error:
            free = ray.available_resources()
            self._end()
            need = (self.threads, self.gpus)
            local = self.address is None
            fault = not_started(len(groups), need, self.start_seconds, free, local=local)
            raise EngineError(fault) from error
        except Exception as error:
            self._end()
            raise EngineError(f"a player's process did not start: {reason_of(error)}") from error
        self._idle = True
        elsewhere = [player.name for player in players if not isinstance(player, Player)]
        self.seat(known_of(players, self._described(ray, elsewhere)), game)
        self._acquaint(ray, range(len(self._actors)))

    def describe(self) -> dict[str, Facts]:
        """Return what each player says of itself, in its process."""
        return self._described(import_ray(), list(self._group_of))

    def _described(self, ray: Any, names: Sequence[str]) -> dict[str, Facts]:
        """Ask some players for their facts."""
        asked = {name: self._actors[self._group_of[name]].describe.remote(name) for name in names}
        return facts_of_all(asked, ray.get(list(asked.values())))

    def _acquaint(self, ray: Any, groups: Iterable[int]) -> None:
        """Tell processes which players take incomplete samples."""
        for g in groups:
            self._actors[g].acquaint.remote(self.takers)

    def _spawn(self, ray: Any, g: int) -> tuple[Any, Any]:
        """Return a process with the players of group g, and a reference that waits for them."""
        actor = self._reused_process(ray)
        if actor is None:
            group = ray.remote(Group).options(**self._actor_options())
            actor = group.remote(self.threads, self.keep_memory)
        names = [spec.name for spec in self._specs[g]]
        saved = {name: self._saved[name] for name in names if name in self._saved}
        specs = ray.put(self._specs[g])
        groups = len(self._specs)
        return actor, actor.attach.remote(specs, saved, self._group_of, groups, self._game)

    def _actor_options(self) -> dict[str, Any]:
        # a model may lie beside the config, so a process looks for modules where this one does
        environment = {"PYTHONPATH": os.pathsep.join(place for place in sys.path if place)}
        for library in ("OMP", "OPENBLAS", "MKL"):
            environment[f"{library}_NUM_THREADS"] = str(self.threads)
        if CHOICE in os.environ:
            environment[CHOICE] = os.environ[CHOICE]
        # a process that reserves no GPU still sees them
        environment["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
        options: dict[str, Any] = {
            "runtime_env": {"env_vars": environment},
            "max_restarts": 0,
            "max_task_retries": 0,
            "num_cpus": 0,
        }
        if self.address:
            options["num_cpus"] = self.threads
            options["scheduling_strategy"] = "SPREAD"
        if self.gpus:
            options["num_gpus"] = self.gpus
        return options

    def _reused_process(self, ray: Any) -> Any:
        """Return an idle process of the previous game, where torch is loaded already, or None."""
        while _resting:
            actor, options = _resting.pop()
            fits = options == self._spawn_options(ray)
            with contextlib.suppress(ray.exceptions.RayError):  # it may have died meanwhile
                if fits and ray.get(actor.ready.remote(), timeout=KNOCK_SECONDS):
                    return actor
            ray.kill(actor)
        return None

    def _spawn_options(self, ray: Any) -> Any:
        """The options that a process must have been started with to serve in another game."""
        return (
            ray.get_runtime_context().get_worker_id(),
            self.address,
            self.keep_memory,
            self._actor_options(),
        )

    def _died(
        self, ray: Any, g: int, messages: Sequence[Message], error: Exception
    ) -> list[PlayerLost]:
        """Answer for a process that died: its players are lost or, if it is restarted, late."""
        reason = f"its process died ({reason_of(error)})"
        ray.kill(self._actors[g])
        self._answered.discard(g)
        self._overdue.pop(g, None)
        # a process that was restarted and dies before its first answer would do so for ever
        if not self.restart or g in self._restarted:
            self._dead[g] = reason
            return [_died(message, reason) for message in messages]
        self._restarted.add(g)
        self._actors[g], _ = self._spawn(ray, g)
        self._acquaint(ray, [g])
        late: list[PlayerLost] = []
        for m in messages:
            since = "its start"
            if m.receiver in self._saved:
                since = f"the checkpoint of round {self._saved[m.receiver]}"
            text = f"{reason} and was started again from {since}"
            late.append(PlayerLate(m.receiver, m.action, m.round, text))
        return late

    def close(self) -> None:
        """Release the players.

        Their processes and a local cluster stay for the run's next game, until :meth:`finish`.
        """
        ray = sys.modules.get("ray")
        if self._idle and ray is not None and ray.is_initialized():
            for g, actor in enumerate(self._actors):
                if g in self._dead or g in self._overdue:
                    continue
                actor.leave.remote()
                _resting.append((actor, self._spawn_options(ray)))
                self._dead[g] = "the game is over"
        self._end()

    def _end(self) -> None:
        """End the processes that are not at rest, and forget the game."""
        super().close()
        ray = sys.modules.get("ray")
        if ray is not None and ray.is_initialized():
            for g, actor in enumerate(self._actors):
                if g not in self._dead:
                    ray.kill(actor)
        self._actors = []
        self._specs = []
        self._group_of = {}
        self._idle = False
        self._dead = {}
        self._answered = set()
        self._restarted = set()
        self._overdue = {}
        self._saved = {}

    def finish(self) -> None:
        """End all processes and leave the cluster, if coplay joined it; a local one ends."""
        ray = sys.modules.get("ray")
        if ray is not None and ray.is_initialized():
            for actor, _ in _resting:
                ray.kill(actor)
            if ray.get_runtime_context().namespace == NAMESPACE:
                ray.shutdown()
        _resting.clear()

    # -------------------------------------------------------------------------- delivering messages

    def deliver(self, messages: Sequence[Message], purpose: str) -> list[Message | PlayerLost]:
        """Deliver messages in one call per process; answers are in the order of the messages."""
        if self._game is None:
            raise RuntimeError("start the engine before asking players")
        by_group: dict[int, list[int]] = {}
        for i, message in enumerate(messages):
            by_group.setdefault(self._group_of[message.receiver], []).append(i)
        asked = {}
        for g, places in by_group.items():
            asked[g] = [messages[i] for i in places]
        self._idle = False  # if this is interrupted, the state of the processes is unknown
        replies = self._call(import_ray(), asked, purpose)
        self._idle = True
        answers: dict[int, Message | PlayerLost] = {}
        for g, places in by_group.items():
            answers |= dict(zip(places, replies[g], strict=True))
        return [answers[i] for i in range(len(messages))]

    def _call(
        self, ray: Any, asked: Mapping[int, Sequence[Message]], purpose: str
    ) -> dict[int, Sequence[Message | PlayerLost]]:
        """Return the answers by group."""
        timed = self.deadline is not None and purpose.partition("/")[0] == "exchange"
        busy = self._busy(ray, asked) if timed else {}
        answers: dict[int, Sequence[Message | PlayerLost]] = {}
        calls: dict[int, list[Any]] = {}
        # a part for several receivers is stored, or sent in a call, once
        put: dict[int, Stored | Arrays] = {}
        for g, messages in asked.items():
            if g in self._dead:
                answers[g] = [_died(message, self._dead[g]) for message in messages]
            elif g in busy:
                answers[g] = [self._too_late(message, busy[g]) for message in messages]
            else:
                serve = self._actors[g].serve.options(num_returns=len(self._specs) + 2)
                calls[g] = serve.remote([packed(ray, message, put) for message in messages])
        end = time.monotonic() + self.deadline if timed and self.deadline else None
        for g, returned in calls.items():
            # a process's first answer has no deadline
            end_of_call = end if g in self._answered else None
            answers[g] = self._collect(ray, g, asked[g], returned, end_of_call)
        return answers

    def _busy(self, ray: Any, asked: Collection[int]) -> dict[int, str]:
        """Return the processes that still work on a late request, and on which.

        More work would only make them later. We wait only if every addressed process is overdue.
        """
        overdue = {g: self._overdue[g] for g in asked if g in self._overdue}
        if overdue:
            alone = all(g in overdue or g in self._dead for g in asked)
            calls = [call for call, _ in overdue.values()]
            done, _ = ray.wait(
                calls,
                num_returns=len(calls),
                timeout=self.deadline if alone else 0,
                fetch_local=False,
            )
            for g, (call, _) in overdue.items():
                if call in done:
                    del self._overdue[g]
        busy = {}
        for g, (_, what) in overdue.items():
            if g in self._overdue:
                busy[g] = f"still busy with {what}"
        return busy

    def _collect(
        self,
        ray: Any,
        g: int,
        messages: Sequence[Message],
        returned: Sequence[Any],
        end: float | None,
    ) -> Sequence[Message | PlayerLost]:
        """Return the answers of one call; ``end`` is the moment after which they are late."""
        try:
            timeout = None if end is None else max(0.0, end - time.monotonic())
            replies = ray.get(returned[0], timeout=timeout)
        except ray.exceptions.GetTimeoutError:
            self._overdue[g] = (returned[0], f"{messages[0].action} of round {messages[0].round}")
            reason = f"no answer within {self.deadline:g} s"
            return [self._too_late(message, reason) for message in messages]
        except ray.exceptions.RayTaskError as error:  # the call failed, the process lives
            return [PlayerLost(m.receiver, m.action, m.round, reason_of(error)) for m in messages]
        except ray.exceptions.RayError as error:
            return self._died(ray, g, messages, error)
        self._answered.add(g)
        self._restarted.discard(g)
        for message, reply in zip(messages, replies, strict=True):
            if isinstance(reply, Message) and isinstance(message.request, Save | Restore):
                self._saved[message.receiver] = message.round
        before: dict[int, Samples] = {}
        answers: list[Message | PlayerLost] = []
        for reply in replies:
            if isinstance(reply, Message):
                answers.append(unpacked(reply, returned[1:], before))
            else:
                answers.append(reply)
        return answers

    def _too_late(self, message: Message, reason: str) -> PlayerLost:
        kind = PlayerLate if self.on_late == "drop" else PlayerLost
        return kind(message.receiver, message.action, message.round, reason)

    @classmethod
    def tiny(cls) -> Self:
        """Return an engine with two processes."""
        return cls(processes=2)


def _died(message: Message, reason: str) -> PlayerDied:
    return PlayerDied(message.receiver, message.action, message.round, reason)
