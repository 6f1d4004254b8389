"""Players in processes of their own, on this machine or over a cluster, by Ray (the extra ``coplay[ray]``).

Every process, a plain Ray actor, holds a group of players; a game's messages for one group travel as one call. What travels is
numpy. Parts of more than 100 KiB stay in the object store of the node that made them and go from process to process by
reference, past the coordinator. The coordinator owns them, so they outlive the process that made them.

A process that dies is answered for by :class:`PlayerLost`, and the game's own rule says what follows. With a ``deadline``,
who is late is left out of this round by :class:`PlayerLate`; each answer belongs to its own call, so a late one can never be
taken for another round's.

All members of a Ray cluster can run code on all others: use it inside one organisation. ``docs/cluster.md`` says what is
protected and what is not. A run's folder must be reachable by every node, since players write their own checkpoints.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, PrivateAttr, field_validator
from tensordict import TensorDict

from coplay.core.errors import EngineError, PartLostError
from coplay.core.memory import keep_freed_memory
from coplay.core.message import COORDINATOR, Message, PlayerDied, PlayerLate, PlayerLost, bytes_of, count_of
from coplay.core.space import Samples, Space, tensors
from coplay.core.streams import single_pools
from coplay.engines.base import Engine, answer_all, failed, grouped
from coplay.games.base import Game
from coplay.player import Player, Restore, Save

_INLINE = 100 * 1024  # bytes; larger parts go from process to process, past the coordinator
_NAMESPACE = "coplay"  # marks a connection as one that coplay made
_STORE = 256 * 2**20  # bytes that parts in flight may take on a local cluster before they go to disk
_IN_CALL = 2**20  # bytes that a local cluster sends with a call; by way of the store they take three times as long
_KNOCK_SECONDS, _REACH_SECONDS = 5.0, 20.0

Arrays = dict[str, np.ndarray]

_resting: list[tuple[Any, Any]] = []
"""Processes of a game that is over, for the next, and what they were started with."""


@dataclass(frozen=True)
class Stored:
    """A payload part in the object store of some node: a :class:`coplay.core.message.Handle`."""

    size_bytes: int
    count: int
    ref: Any
    place: int

    def fetch(self) -> Samples:
        """Bring it here."""
        found = _fetched([self.ref])
        if not found:
            raise PartLostError("a payload part went down with the node that held it")
        return _samples(found[self.ref][self.place])


@dataclass(frozen=True)
class _Kept:
    """In an answer on its way: the part is the call's return value for this group, at this place."""

    size_bytes: int
    count: int
    group: int
    place: int


@dataclass(frozen=True)
class _Seat:
    """What a process needs to make a player; it is sent once, inside one trust domain."""

    name: str
    space: Space
    data: Arrays
    model: Any
    seed: int
    home: Path | None
    unobserved: tuple[str, ...]


class Ray(Engine):
    """Play in processes of their own.

    Args:
        processes: How many; players are dealt out in order, in groups of about equal size, the game's own seats last.
        threads: Threads that torch and scikit-learn use in each.
        gpus: GPUs that each process reserves on its node, for models whose ``device`` is one; 0.5 lets two processes share one.
            With 0 it sees whatever its node has, and nothing is reserved.
        address: ``"host:port"`` of an existing cluster to which this machine belongs; without one a local cluster is started
            that listens on this machine only.
        deadline: Seconds that a process has to answer a request in play; none without. Measuring and checkpoints wait for
            everybody, and so does a process's first answer, since it takes time to start.
        on_late: Who misses the deadline is left out of this round (``"drop"``), or lost (``"fail"``). It is asked again once it
            has worked off what it was late with; all players of a process are late together.
        restart: Whether a process that died is started again, on any node, with its players' last checkpoint; they miss the
            round in which it happened.
        keep_memory: Whether the processes keep freed memory, which is faster.
        start_seconds: How long processes may take to start.

    Example:
        >>> Ray(processes=2, deadline=10)
        Ray(processes=2, threads=1, gpus=0, address=None, deadline=10.0, on_late='drop', restart=False, ...)
    """

    processes: int = Field(default=2, ge=1)
    threads: int = Field(default=1, ge=1)
    gpus: float = Field(default=0, ge=0)
    address: str | None = None
    deadline: float | None = Field(default=None, gt=0)
    on_late: Literal["drop", "fail"] = "drop"
    restart: bool = False
    keep_memory: bool = True
    start_seconds: float = Field(default=120, gt=0)

    _actors: list[Any] = PrivateAttr(default_factory=list)
    _seats: list[list[_Seat]] = PrivateAttr(default_factory=list)
    _group_of: dict[str, int] = PrivateAttr(default_factory=dict)
    _game: Game | None = PrivateAttr(default=None)
    _dead: dict[int, str] = PrivateAttr(default_factory=dict)
    _answered: set[int] = PrivateAttr(default_factory=set)
    _restarted: set[int] = PrivateAttr(default_factory=set)
    _overdue: dict[int, tuple[Any, str]] = PrivateAttr(default_factory=dict)
    _saved: dict[str, int] = PrivateAttr(default_factory=dict)
    _calm: bool = PrivateAttr(default=False)

    @field_validator("address")
    @classmethod
    def _a_place(cls, address: str | None) -> str | None:
        if address is not None and _parsed(address) is None:
            raise ValueError(f"expected 'host:port' of a cluster to which this machine belongs, got {address!r}")
        return address

    # ------------------------------------------------------------------------------------------ processes come and go

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
        self._group_of = {player.name: g for g, group in enumerate(groups) for player in group}
        self._seats = [[_seat(player) for player in group] for group in groups]
        try:
            started = [self._start(ray, g) for g in range(len(groups))]
            self._actors = [actor for actor, _ in started]
            ray.get([ready for _, ready in started], timeout=self.start_seconds)
        except ray.exceptions.GetTimeoutError as error:
            free = ray.available_resources()
            self._end()
            needs, left = f"{self.threads} CPUs", f"{free.get('CPU', 0):g} CPUs"
            if self.gpus:
                needs, left = f"{needs} and {self.gpus:g} GPUs", f"{left} and {free.get('GPU', 0):g} GPUs"
            raise EngineError(
                f"{len(groups)} processes with {needs} each did not start within {self.start_seconds:g} s; "
                f"{left} of the cluster are free now. Take fewer processes, or set engine.start_seconds higher"
            ) from error
        except Exception as error:
            self._end()
            raise EngineError(f"a player's process did not start: {_why(error)}") from error
        self._calm = True

    def _connect(self, ray: Any) -> None:
        if ray.is_initialized():
            return
        _resting.clear()
        common = {"namespace": _NAMESPACE, "log_to_driver": False, "logging_level": "error"}
        try:
            with _own_sigterm():
                if self.address:
                    with _loopback(ray) if _only_here(ray, self.address) else contextlib.nullcontext():
                        _reach(self.address)
                        ray.init(self.address, **common)
                else:
                    with _loopback(ray):  # no CPUs: processes are counted here, and no idle ones are kept ready
                        ray.init(
                            "local", num_cpus=0, include_dashboard=False, object_store_memory=_STORE,
                            _system_config={"max_direct_call_object_size": _IN_CALL}, **common,
                        )  # fmt: skip
                    _hasten_the_end(ray)
        except Exception as error:
            where = f"the cluster at {self.address}" if self.address else "a local cluster"
            raise EngineError(f"cannot reach {where}: {_why(error)}") from error
        with contextlib.suppress(AttributeError):
            ray._private.worker._worker_logs_enabled = False  # who died is told in the row, not on standard output

    def _start(self, ray: Any, g: int) -> tuple[Any, Any]:
        """A process with the players of group g, and what is there once they are ready."""
        actor = self._rested(ray) or ray.remote(_Group).options(**self._options()).remote(
            self.threads, self.keep_memory
        )
        saved = {seat.name: self._saved[seat.name] for seat in self._seats[g] if seat.name in self._saved}
        seats = ray.put(self._seats[g])
        return actor, actor.sit.remote(seats, saved, self._group_of, len(self._seats), self._game)

    def _options(self) -> dict[str, Any]:
        environment = {
            "PYTHONPATH": os.pathsep.join(place for place in sys.path if place),  # a model may lie beside the config
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(self.threads)),
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # who reserves no GPU still sees them
        }
        place = {"num_cpus": self.threads, "scheduling_strategy": "SPREAD"} if self.address else {"num_cpus": 0}
        gpus = {"num_gpus": self.gpus} if self.gpus else {}
        return {"runtime_env": {"env_vars": environment}, "max_restarts": 0, "max_task_retries": 0, **place, **gpus}

    def _rested(self, ray: Any) -> Any:
        """A process of the game before, which has nothing to load any more; None if there is none."""
        while _resting:
            actor, kind = _resting.pop()
            with contextlib.suppress(ray.exceptions.RayError):  # it may have died meanwhile
                if kind == self._kind(ray) and ray.get(actor.ready.remote(), timeout=_KNOCK_SECONDS):
                    return actor
            ray.kill(actor)
        return None

    def _kind(self, ray: Any) -> Any:
        """What a process must have been started with to do for another game."""
        return ray.get_runtime_context().get_worker_id(), self.address, self.keep_memory, self._options()

    def _died(self, ray: Any, g: int, messages: Sequence[Message], error: Exception) -> list[PlayerLost]:
        """A process is gone: its players are lost, or, started again, late."""
        reason = f"its process died ({_why(error)})"
        ray.kill(self._actors[g])
        self._answered.discard(g)
        self._overdue.pop(g, None)
        if not self.restart or g in self._restarted:  # who dies before its first answer would do so for ever
            self._dead[g] = reason
            return [_died(message, reason) for message in messages]
        self._restarted.add(g)
        self._actors[g], _ = self._start(ray, g)
        late: list[PlayerLost] = []
        for m in messages:
            since = f"the checkpoint of round {self._saved[m.receiver]}" if m.receiver in self._saved else "its start"
            late.append(PlayerLate(m.receiver, m.action, m.round, f"{reason} and was started again from {since}"))
        return late

    def close(self) -> None:
        """Let the players go; their processes and a local cluster stay for the run's next game, until :meth:`finish`."""
        ray = sys.modules.get("ray")
        if self._calm and ray is not None and ray.is_initialized():
            for g in [g for g in range(len(self._actors)) if g not in self._dead and g not in self._overdue]:
                self._actors[g].leave.remote()
                _resting.append((self._actors[g], self._kind(ray)))
                self._dead[g] = "the game is over"
        self._end()

    def _end(self) -> None:
        """End the processes that are not at rest, and forget the game."""
        ray = sys.modules.get("ray")
        if ray is not None and ray.is_initialized():
            for g in [g for g in range(len(self._actors)) if g not in self._dead]:
                ray.kill(self._actors[g])
        self._actors, self._seats, self._group_of, self._game, self._calm = [], [], {}, None, False
        self._dead, self._answered, self._restarted, self._overdue, self._saved = {}, set(), set(), {}, {}

    def finish(self) -> None:
        """End all processes and leave the cluster, if coplay joined it; a local one ends."""
        ray = sys.modules.get("ray")
        if ray is not None and ray.is_initialized():
            for actor, _ in _resting:
                ray.kill(actor)
            if ray.get_runtime_context().namespace == _NAMESPACE:
                ray.shutdown()
        _resting.clear()

    # ------------------------------------------------------------------------------------------------ messages travel

    def deliver(self, messages: Sequence[Message], purpose: str) -> list[Message | PlayerLost]:
        """One call per process; answers in the order of the messages."""
        if self._game is None:
            raise RuntimeError("seat the players before asking them")
        by_group: dict[int, list[int]] = {}
        for i, message in enumerate(messages):
            by_group.setdefault(self._group_of[message.receiver], []).append(i)
        self._calm = False  # if this is cut short, nobody knows what the processes are at
        answers = self._call(_ray(), {g: [messages[i] for i in places] for g, places in by_group.items()}, purpose)
        self._calm = True
        found = {i: reply for g, places in by_group.items() for i, reply in zip(places, answers[g], strict=True)}
        return [found[i] for i in range(len(messages))]

    def _call(
        self, ray: Any, asked: Mapping[int, Sequence[Message]], purpose: str
    ) -> dict[int, Sequence[Message | PlayerLost]]:
        """The answers by group."""
        timed = self.deadline is not None and purpose.partition("/")[0] == "exchange"
        busy = self._busy(ray, asked) if timed else {}
        answers: dict[int, Sequence[Message | PlayerLost]] = {}
        calls: dict[int, list[Any]] = {}
        put: dict[int, Stored | Arrays] = {}  # one part for several receivers is stored, or sent in a call, once
        for g, messages in asked.items():
            if g in self._dead:
                answers[g] = [_died(message, self._dead[g]) for message in messages]
            elif g in busy:
                answers[g] = [self._too_late(message, busy[g]) for message in messages]
            else:
                serve = self._actors[g].serve.options(num_returns=len(self._seats) + 2)
                calls[g] = serve.remote([_packed(ray, message, put) for message in messages])
        end = time.monotonic() + self.deadline if timed and self.deadline else None
        for g, returned in calls.items():
            answers[g] = self._collect(ray, g, asked[g], returned, end if g in self._answered else None)
        return answers

    def _busy(self, ray: Any, asked: Collection[int]) -> dict[int, str]:
        """Which processes still work on something they were late with, and on what.

        More work would only make them later. Nobody waits for them, unless there is nobody else to wait for.
        """
        overdue = {g: self._overdue[g] for g in asked if g in self._overdue}
        if overdue:
            alone = all(g in overdue or g in self._dead for g in asked)
            calls = [call for call, _ in overdue.values()]
            done, _ = ray.wait(calls, num_returns=len(calls), timeout=self.deadline if alone else 0, fetch_local=False)
            for g in [g for g, (call, _) in overdue.items() if call in done]:
                del self._overdue[g]
        return {g: f"still busy with {what}" for g, (_, what) in overdue.items() if g in self._overdue}

    def _collect(
        self, ray: Any, g: int, messages: Sequence[Message], returned: Sequence[Any], end: float | None
    ) -> Sequence[Message | PlayerLost]:
        """What came of one call; ``end`` is the moment after which its answer is late."""
        try:
            replies = ray.get(returned[0], timeout=None if end is None else max(0.0, end - time.monotonic()))
        except ray.exceptions.GetTimeoutError:
            self._overdue[g] = (returned[0], f"{messages[0].action} of round {messages[0].round}")
            return [self._too_late(message, f"no answer within {self.deadline:g} s") for message in messages]
        except ray.exceptions.RayTaskError as error:  # the call failed, the process lives
            return [PlayerLost(m.receiver, m.action, m.round, _why(error)) for m in messages]
        except ray.exceptions.RayError as error:
            return self._died(ray, g, messages, error)
        self._answered.add(g)
        self._restarted.discard(g)
        for reply in replies:
            if isinstance(reply, Message) and isinstance(reply.request, Save | Restore):
                self._saved[reply.sender] = reply.round
        seen: dict[int, Samples] = {}
        return [_unpacked(reply, returned[1:], seen) if isinstance(reply, Message) else reply for reply in replies]

    def _too_late(self, message: Message, reason: str) -> PlayerLost:
        kind = PlayerLate if self.on_late == "drop" else PlayerLost
        return kind(message.receiver, message.action, message.round, reason)

    @classmethod
    def tiny(cls) -> Self:
        """Two processes."""
        return cls(processes=2)


class _Group:
    """The process's side: some players and the game that answers for them."""

    def __init__(self, threads: int, keep_memory: bool) -> None:
        if keep_memory:
            keep_freed_memory()
        torch.set_num_threads(threads)
        self.threads = threads
        self.leave()

    def ready(self) -> int:
        """The number of the process."""
        return os.getpid()

    def leave(self) -> None:
        """Let the players go."""
        self.players: dict[str, Player] = {}
        self.fault: Exception | None = None
        gc.collect()

    def sit(
        self, seats: Sequence[_Seat], saved: Mapping[str, int], group_of: Mapping[str, int], groups: int, game: Game
    ) -> None:
        """Make the players, with the checkpoints they have."""
        self.group_of, self.groups, self.game = group_of, groups, game
        try:
            for seat in seats:
                data = _samples(seat.data)
                player = Player(seat.name, seat.space, data, seat.model, seat.seed, seat.home, seat.unobserved)
                self.players[seat.name] = player
                if seat.name in saved:
                    player.serve(Message(Restore(), COORDINATOR, seat.name, saved[seat.name]))
        except Exception as error:
            self.fault = error  # who started this process in the middle of a game does not wait for it
            raise

    def serve(self, messages: Sequence[Message]) -> list[Any]:
        """Answer what one call brings.

        Returns:
            The answers, then for each group and for the coordinator the large parts that are meant for it.
        """
        if self.fault is not None:
            raise self.fault
        large: list[list[Arrays]] = [[] for _ in range(self.groups + 1)]
        players = [self.players[message.receiver] for message in messages]
        try:
            asked = _received(messages)
            with single_pools(self.threads):
                found = answer_all(self.game, players, asked)
            kept: dict[tuple[int, int], _Kept | Arrays] = {}
            replies = [self._sorted(r, large, kept) if isinstance(r, Message) else r for r in found]
        except Exception as error:  # the way here or back failed, for all alike
            replies = [failed(*both, error) for both in zip(players, messages, strict=True)]
            large = [[] for _ in large]
        return [replies, *large]

    def _sorted(
        self, reply: Message, large: list[list[Arrays]], kept: dict[tuple[int, int], _Kept | Arrays]
    ) -> Message:
        """An answer as it travels: small parts as numpy, large ones laid out for the group they are meant for."""
        payload: dict[str, Any] = {}
        for name, part in reply.payload.items():
            assert isinstance(part, TensorDict)
            small = bytes_of(part) <= _INLINE
            g = self.groups if small else self.group_of.get(name, self.groups)  # small ones go by the coordinator
            if (id(part), g) not in kept:  # one part for several players travels once
                kept[id(part), g] = _arrays(part) if small else _Kept(bytes_of(part), count_of(part), g, len(large[g]))
                if not small:
                    large[g].append(_arrays(part))
            payload[name] = kept[id(part), g]
        return replace(reply, payload=payload)


# ----------------------------------------------------------------------------------------------- parts and references


def _packed(ray: Any, message: Message, put: dict[int, Stored | Arrays]) -> Message:
    """A request as it travels: references as they are, small parts as numpy, large ones stored; each once."""
    payload: dict[str, Any] = {}
    for name, part in message.payload.items():
        if not isinstance(part, TensorDict):
            payload[name] = part
        else:
            if id(part) not in put:
                small, arrays = bytes_of(part) <= _INLINE, _arrays(part)
                put[id(part)] = arrays if small else Stored(bytes_of(part), count_of(part), ray.put([arrays]), 0)
            payload[name] = put[id(part)]
    return replace(message, payload=payload)


def _unpacked(reply: Message, large: Sequence[Any], seen: dict[int, Samples]) -> Message:
    """An answer as the game sees it; what was one part for several receivers is one again."""
    payload: dict[str, Any] = {}
    for name, part in reply.payload.items():
        if isinstance(part, _Kept):
            payload[name] = Stored(part.size_bytes, part.count, large[part.group], part.place)
        else:
            if id(part) not in seen:
                seen[id(part)] = _samples(part)  # type: ignore[arg-type]
            payload[name] = seen[id(part)]
    return replace(reply, payload=payload)


def _received(messages: Sequence[Message]) -> list[Message]:
    """Requests with everything brought here; a part that went down with its node is left out."""
    parts: list[Any] = [part for message in messages for part in message.payload.values()]
    stored = {(part.ref, part.place): part for part in parts if isinstance(part, Stored)}
    values = _fetched(list({ref for ref, _ in stored}))
    brought = {key: _samples(values[key[0]][key[1]]) for key in stored if key[0] in values}

    small: dict[int, Samples] = {}

    def here(part: Any) -> Samples | None:
        if isinstance(part, Stored):
            return brought.get((part.ref, part.place))
        if id(part) not in small:
            small[id(part)] = _samples(part)
        return small[id(part)]

    asked = []
    for message in messages:
        found = {name: here(part) for name, part in message.payload.items()}
        asked.append(replace(message, payload={name: part for name, part in found.items() if part is not None}))
    return asked


def _fetched(refs: Sequence[Any]) -> dict[Any, list[Arrays]]:
    """What references stand for; without those whose node is gone."""
    import ray

    if not refs:
        return {}
    try:
        return dict(zip(refs, ray.get(list(refs)), strict=True))
    except ray.exceptions.ObjectLostError:
        return {} if len(refs) == 1 else {k: v for ref in refs for k, v in _fetched([ref]).items()}


def _arrays(samples: Samples) -> Arrays:
    return {name: tensor.detach().numpy() for name, tensor in tensors(samples).items()}


def _samples(arrays: Arrays) -> Samples:
    """Arrays come read-only, and models may work in place, so they are copied."""
    values = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    return TensorDict(values, batch_size=[len(next(iter(values.values())))])


def _seat(player: Player) -> _Seat:
    home = None if player.home is None else player.home.absolute()  # a process may stand in another folder
    data = _arrays(player.private_data)
    return _Seat(player.name, player.variables, data, player.model.fresh(), player.seed, home, player.unobserved)


def _died(message: Message, reason: str) -> PlayerDied:
    return PlayerDied(message.receiver, message.action, message.round, reason)


# ------------------------------------------------------------------------------------------------------------ Ray itself


def _ray() -> Any:
    """Ray, silent, if it is installed.

    Raises:
        EngineError: It is not.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers; read when it is imported
    try:
        import ray
    except ImportError as error:
        raise EngineError("the engine 'ray' needs Ray, which is not installed: pip install 'coplay[ray]'") from error
    return ray


@contextlib.contextmanager
def _loopback(ray: Any) -> Iterator[None]:
    """Let what is started here listen on this machine only; Ray has a switch for it, under a strange name."""
    name, constants = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", ray._private.ray_constants
    before, allowed = os.environ.get(name), constants.ENABLE_RAY_CLUSTER
    os.environ[name], constants.ENABLE_RAY_CLUSTER = (
        "0",
        False,
    )  # for what is started, and here, where it was read already
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = allowed
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _hasten_the_end(ray: Any) -> None:
    """If this process is killed, its cluster dies with it, all but Ray's agents: they try for a minute to tell a dead head.

    They do not where the node's log says that it ended on purpose, so it says so from the beginning.
    """
    with contextlib.suppress(AttributeError, OSError):
        log = Path(ray._private.worker._global_node.get_logs_dir_path()) / "raylet.out"
        with log.open("a") as file:
            file.write("coplay: without its coordinator this node ends as if Raylet received SIGTERM\n")


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep our answer to SIGTERM, which ``ray.init`` takes away; without one of ours, Ray's is better than none."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if callable(before) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _parsed(address: str) -> tuple[str, int] | None:
    host, _, port = address.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdecimal() and "/" not in host else None


def _only_here(ray: Any, address: str) -> bool:
    """Whether a cluster is of those that listen on this machine only: for Ray, "localhost" is the machine's name outside."""
    host, port = _parsed(address) or ("", 0)
    if host not in ("localhost", "127.0.0.1", "::1"):
        return False
    try:
        socket.create_connection((ray.util.get_node_ip_address(), port), _KNOCK_SECONDS).close()
    except OSError:
        return True
    return False


def _reach(address: str) -> None:
    """See whether a cluster answers, in a process that can be given up: Ray would try for minutes.

    Raises:
        EngineError: None does.
    """
    try:
        socket.create_connection(_parsed(address) or ("", 0), _KNOCK_SECONDS).close()
    except OSError as error:
        raise EngineError(f"nobody listens there ({error})") from error
    probe = [sys.executable, "-c", "import sys, ray; ray._raylet.GcsClient(address=sys.argv[1])", address]
    try:
        subprocess.run(probe, capture_output=True, check=True, timeout=_REACH_SECONDS)
    except subprocess.SubprocessError as error:
        raise EngineError(
            "who listens there does not answer as the head of a Ray cluster; give the port of 'ray start --head --port', "
            "and the same RAY_AUTH_MODE and TLS settings as there"
        ) from error


def _why(error: Exception) -> str:
    """The line of an error of Ray's that says what happened: the first, or the last of a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    if len(lines) > 1 and ("creation task" in lines[0] or "ray::" in lines[0]):
        return lines[-1].removeprefix("coplay.core.errors.")
    return lines[0] if isinstance(error, EngineError) else f"{type(error).__name__}: {lines[0]}"
