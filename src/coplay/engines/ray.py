"""Players in processes of their own, on this machine or over a cluster, by Ray (the extra ``coplay[ray]``).

Every process, a plain Ray actor, holds a group of players; a game's messages for one group travel as one call. What travels is
numpy. Parts of more than 100 KiB stay in the object store of the node that made them and go from player to player by
reference, past the coordinator.

A process that dies is answered for by :class:`PlayerLost`, and the game's own rule says what follows. With a ``deadline``,
who is late is left out of this round by :class:`PlayerLate`; each answer belongs to its own call, so a late one can never be
taken for another round's.

All members of a Ray cluster can run code on all others: use it inside one organisation. ``docs/cluster.md`` says what is
protected and what is not. A run's folder must be reachable by every node, since players write their own checkpoints.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, PrivateAttr
from tensordict import TensorDict

from coplay.engines.base import Engine, answer_all, grouped
from coplay.errors import EngineError
from coplay.games.base import Game
from coplay.memory import keep_freed_memory
from coplay.message import Message, Part, PlayerLate, PlayerLost, part_bytes, part_count
from coplay.models.base import LocalModel
from coplay.player import Player
from coplay.space import Samples, Space, tensors
from coplay.streams import single_pools

_INLINE = 100 * 1024  # Ray sends smaller values with the call, which is faster, and stores larger ones
_NAMESPACE = "coplay"  # marks a local cluster as one that coplay started

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Stored:
    """A payload part in the object store of some node: a :class:`coplay.message.Handle`."""

    size_bytes: int
    count: int
    ref: Any

    def fetch(self) -> Samples:
        """Bring it here."""
        import ray

        return _samples(ray.get(self.ref))


@dataclass(frozen=True)
class _Seat:
    """What a process needs to make a player; it is sent once, inside one trust domain."""

    name: str
    space: Space
    data: Arrays
    model: LocalModel
    seed: int
    home: Path | None


class Ray(Engine):
    """Play in processes of their own.

    Args:
        processes: How many; players are dealt out in order, in groups of about equal size, the game's own seats last.
        threads: Threads that torch and scikit-learn use in each.
        address: Of an existing cluster, ``"auto"`` or ``"ray://host:port"`` or ``"host:port"``; without one a local cluster is
            started that listens on this machine only.
        deadline: Seconds that a player has to answer in play; none without. The first answer has no deadline, since processes
            take time to start.
        on_late: Who misses the deadline is left out of this round (``"drop"``), or lost (``"fail"``).
        restart: Whether a process that died is started again, on any node, with its players' last checkpoint; they miss the
            round in which it happened.
        keep_memory: Whether the processes keep freed memory, which is faster.
        start_seconds: How long processes may take to start.

    Example:
        >>> Ray(processes=2, deadline=10)
        Ray(processes=2, threads=1, address=None, deadline=10.0, on_late='drop', restart=False, keep_memory=True, ...)
    """

    processes: int = Field(default=2, ge=1)
    threads: int = Field(default=1, ge=1)
    address: str | None = None
    deadline: float | None = Field(default=None, gt=0)
    on_late: Literal["drop", "fail"] = "drop"
    restart: bool = False
    keep_memory: bool = True
    start_seconds: float = Field(default=120, gt=0)

    _actors: list[Any] = PrivateAttr(default_factory=list)
    _seats: list[list[_Seat]] = PrivateAttr(default_factory=list)
    _dead: dict[int, str] = PrivateAttr(default_factory=dict)
    _group_of: dict[str, int] = PrivateAttr(default_factory=dict)
    _answered: set[int] = PrivateAttr(default_factory=set)
    _saved: dict[int, int] = PrivateAttr(default_factory=dict)
    _game: Game | None = PrivateAttr(default=None)

    def seat(self, players: Sequence[Player], game: Game) -> None:
        """Start the processes and make the players there.

        Raises:
            EngineError: Ray is not installed, the cluster cannot be reached, or a process does not start.
        """
        ray = _ray()
        self.close()
        self._connect(ray)
        self._game = game
        groups = grouped(list(players), self.processes)
        self._seats = [[_seat(player) for player in group] for group in groups]
        self._group_of = {player.name: g for g, group in enumerate(groups) for player in group}
        self._actors = [self._start(ray, seats) for seats in self._seats]
        try:
            ray.get([actor.ready.remote() for actor in self._actors], timeout=self.start_seconds)
        except Exception as error:
            self.close()
            raise EngineError(f"a player's process did not start: {_first_line(error)}") from error

    def _connect(self, ray: Any) -> None:
        if ray.is_initialized():
            return
        try:
            if self.address:
                ray.init(address=self.address, namespace=_NAMESPACE, log_to_driver=False, logging_level="error")
            else:
                ray.init(
                    num_cpus=max(self.processes, os.cpu_count() or 1),
                    include_dashboard=False,
                    object_store_memory=256 * 2**20,
                    namespace=_NAMESPACE,
                    log_to_driver=False,
                    logging_level="error",
                )
        except Exception as error:
            where = f"the cluster at {self.address!r}" if self.address else "a local cluster"
            raise EngineError(f"cannot reach {where}: {_first_line(error)}") from error

    def _start(self, ray: Any, seats: list[_Seat]) -> Any:
        path = os.pathsep.join(place for place in sys.path if place)
        environment = {
            "PYTHONPATH": path,
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(self.threads)),
        }
        options: dict[str, Any] = {"num_cpus": 0, "max_restarts": 0, "max_task_retries": 0}
        if self.address:
            options |= {"num_cpus": self.threads, "scheduling_strategy": "SPREAD"}
        actor = ray.remote(_Group).options(runtime_env={"env_vars": environment}, **options)
        return actor.remote(ray.put(seats), self._game, self.threads, self.keep_memory)

    def deliver(self, messages: Sequence[Message], purpose: str) -> list[Message | PlayerLost]:
        """One call per process; answers in the order of the messages."""
        ray = _ray()
        if self._game is None:
            raise RuntimeError("seat the players before asking them")
        by_group: dict[int, list[int]] = {}
        for i, message in enumerate(messages):
            by_group.setdefault(self._group_of[message.receiver], []).append(i)
        found: dict[int, Message | PlayerLost] = {}
        calls: dict[Any, int] = {}
        for g, places in by_group.items():
            if g in self._dead:
                found |= {i: _lost(messages[i], self._dead[g]) for i in places}
            else:
                calls[self._actors[g].serve.remote([_encode(messages[i]) for i in places])] = g
        timed = self.deadline is not None and purpose.partition("/")[0] == "exchange"
        end = time.monotonic() + (self.deadline or 0.0)
        for call, g in calls.items():
            places = by_group[g]
            patient = not timed or g not in self._answered
            try:
                answers = ray.get(call, timeout=None if patient else max(0.0, end - time.monotonic()))
            except ray.exceptions.GetTimeoutError:
                found |= {i: self._too_late(messages[i]) for i in places}
            except ray.exceptions.RayError as error:
                found |= dict(zip(places, self._died(ray, g, [messages[i] for i in places], error), strict=True))
            else:
                self._answered.add(g)
                found |= dict(zip(places, map(_decode, answers), strict=True))
                if messages[places[0]].action == "save":
                    self._saved[g] = messages[places[0]].round
        return [found[i] for i in range(len(messages))]

    def _too_late(self, message: Message) -> PlayerLost:
        reason = f"no answer within {self.deadline:g} s"
        kind = PlayerLate if self.on_late == "drop" else PlayerLost
        return kind(message.receiver, message.action, message.round, reason)

    def _died(self, ray: Any, g: int, messages: list[Message], error: Exception) -> list[PlayerLost]:
        """A process is gone: its players are lost, or, started again, late."""
        reason = f"its process died ({_first_line(error)})"
        ray.kill(self._actors[g])
        if not self.restart:
            self._dead[g] = reason
            return [_lost(message, reason) for message in messages]
        self._actors[g] = self._start(ray, self._seats[g])
        self._answered.discard(g)
        since = "from its start"
        if g in self._saved:
            since = f"from the checkpoint of round {self._saved[g]}"
            restores = [Message("restore", "coordinator", seat.name, self._saved[g]) for seat in self._seats[g]]
            self._actors[g].serve.remote([_encode(message) for message in restores])
        return [PlayerLate(m.receiver, m.action, m.round, f"{reason} and was started again {since}") for m in messages]

    def close(self) -> None:
        """End the processes; a local cluster stays for the run's next game, until :meth:`finish`."""
        if self._actors:
            ray = _ray()
            for actor in self._actors:
                ray.kill(actor)
        self._actors, self._seats, self._game = [], [], None
        self._dead, self._group_of, self._answered, self._saved = {}, {}, set(), {}

    def finish(self) -> None:
        """Leave the cluster; a local one ends."""
        ray = _ray()
        if ray.is_initialized() and ray.get_runtime_context().namespace == _NAMESPACE:
            ray.shutdown()

    @classmethod
    def tiny(cls) -> Self:
        """Two processes."""
        return cls(processes=2)


class _Group:
    """The process's side: some players and the game that answers for them."""

    def __init__(self, seats: list[_Seat], game: Game, threads: int, keep_memory: bool) -> None:
        if keep_memory:
            keep_freed_memory()
        torch.set_num_threads(threads)
        self.game, self.threads = game, threads
        self.players = {
            seat.name: Player(seat.name, seat.space, _samples(seat.data), seat.model.fresh(), seat.seed, seat.home)
            for seat in seats
        }

    def ready(self) -> int:
        """The number of the process."""
        return os.getpid()

    def serve(self, messages: list[Message]) -> list[Message | PlayerLost]:
        """Answer what one call brings."""
        asked = [replace(m, payload={name: _part(part) for name, part in m.payload.items()}) for m in messages]
        with single_pools(self.threads):
            found = answer_all(self.game, [self.players[message.receiver] for message in asked], asked)
        stored: dict[int, Any] = {}  # one part for several receivers is stored once
        return [_encode(reply, stored) if isinstance(reply, Message) else reply for reply in found]


def _encode(message: Message, stored: dict[int, Any] | None = None) -> Message:
    """A message as it travels: parts as numpy, or by reference where they are large and this is a player's process."""
    payload: dict[str, Any] = {}
    for name, part in message.payload.items():
        if not isinstance(part, TensorDict):
            payload[name] = part
        elif stored is not None and part_bytes(part) > _INLINE:
            if id(part) not in stored:
                import ray

                stored[id(part)] = Stored(part_bytes(part), part_count(part), ray.put(_arrays(part)))
            payload[name] = stored[id(part)]
        else:
            payload[name] = _arrays(part)
    return replace(message, payload=payload)


def _decode(reply: Message | PlayerLost) -> Message | PlayerLost:
    if isinstance(reply, PlayerLost):
        return reply
    parts: Mapping[str, Part] = {
        name: part if isinstance(part, Stored) else _samples(part)  # type: ignore[arg-type]
        for name, part in reply.payload.items()
    }
    return replace(reply, payload=parts)


def _part(part: Any) -> Samples:
    return part.fetch() if isinstance(part, Stored) else _samples(part)


def _arrays(samples: Samples) -> Arrays:
    return {name: tensor.detach().numpy() for name, tensor in tensors(samples).items()}


def _samples(arrays: Arrays) -> Samples:
    """Arrays come read-only, and models may work in place, so they are copied."""
    values = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    return TensorDict(values, batch_size=[len(next(iter(values.values())))])


def _seat(player: Player) -> _Seat:
    data = _arrays(player.private_data)
    return _Seat(player.name, player.variables, data, player.model.fresh(), player.seed, player.home)


def _lost(message: Message, reason: str) -> PlayerLost:
    return PlayerLost(message.receiver, message.action, message.round, reason)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def _ray() -> Any:
    """Ray, bound to this machine and silent, if it is installed.

    Raises:
        EngineError: It is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise EngineError("the engine 'ray' needs Ray, which is not installed: pip install 'coplay[ray]'")
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # binds a local cluster to loopback
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    return ray
