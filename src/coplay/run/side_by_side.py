"""Games of one run that play at the same time, each in a process of its own.

No game knows of another, so the bits are those of games that play one after the other. The run's
process plays nothing meanwhile: it holds the folder's lock, reports the progress of all, and ends
the others when one fails.

A process is forked, so that nothing is loaded or built again: with one thread of torch nothing of
the child waits for threads that a fork does not copy (:mod:`coplay.core.forks`). Games with more
threads, with models on a GPU, or on another system than Linux play one after the other.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Protocol, TypeVar

import torch

from coplay.core.errors import ConfigError, EngineError
from coplay.core.text import visible
from coplay.engines.base import Engine
from coplay.games.base import Game
from coplay.run.progress import Progress

MOST = "COPLAY_GAMES_AT_ONCE"
"""Environment variable: most games at the same time where ``engine.games_at_once`` is 0."""

_SET_SIGNAL_OF_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG of prctl(2)


class _Named(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def game(self) -> Game: ...


G = TypeVar("G", bound=_Named)


@dataclass(frozen=True)
class _Step:
    """A game's progress; the game goes on when the run's process has reported it."""

    what: str
    done: int
    of: int


@dataclass(frozen=True)
class _Failure:
    """An error that ended a game: its type, arguments and fields, pickled, and its traceback."""

    pickled: bytes
    trace: str

    @classmethod
    def of(cls, error: BaseException) -> _Failure:
        trace = "".join(traceback.format_exception(error))
        try:
            pickled = pickle.dumps((type(error), error.args, error.__dict__))
            _error_from(pickled)
        except Exception:  # a foreign error may hold anything
            words = f"{type(error).__name__}: {error}"
            pickled = pickle.dumps((RuntimeError, (words,), {}))
        return cls(pickled, trace)

    def error(self) -> BaseException:
        """The error, with the traceback of where it was raised as a note."""
        error = _error_from(self.pickled)
        error.add_note(f"Raised in a game's own process:\n{visible(self.trace)}")
        return error


def _error_from(pickled: bytes) -> BaseException:
    kind, arguments, fields = pickle.loads(pickled)  # of this process's own child
    error = kind.__new__(kind, *arguments)  # many errors take other arguments than they keep
    assert isinstance(error, BaseException)
    error.__dict__.update(fields)
    return error


def games_at_once(engine: Engine, games: int) -> int:
    """Return how many games of a run play at the same time.

    Args:
        engine: Where they run.
        games: How many there are.

    Raises:
        ConfigError: The environment asks for an impossible number.

    Example:
        >>> from coplay.engines.local import Local
        >>> games_at_once(Local(games_at_once=2), 3), games_at_once(Local(threads=2), 3)
        (2, 1)
    """
    asked = int(getattr(engine, "games_at_once", 1))
    if games < 2 or asked == 1 or not _can_fork(int(getattr(engine, "threads", 1))):
        return 1
    return min(asked or _most_here(), games)


def _most_here() -> int:
    """Return how many games play at the same time where the config leaves it open.

    There may be two for each core, which then share it: three equal games on two cores end together
    after 1.5 times the time of one, and in turns after twice that.

    Raises:
        ConfigError: The environment says something else than a number from 1 on.
    """
    wanted = os.environ.get(MOST, "")
    if not wanted:
        cores = len(os.sched_getaffinity(0))
        return 1 if cores == 1 else 2 * cores
    if not wanted.isdecimal() or int(wanted) < 1:
        raise ConfigError([f"{MOST}={wanted}: expected a whole number, 1 or more"])
    return int(wanted)


def _can_fork(threads: int) -> bool:
    """Whether a game may play in a process that is forked from this one."""
    if sys.platform != "linux" or threads > 1:
        return False
    return not (torch.cuda.is_initialized() or multiprocessing.current_process().daemon)


def play_side_by_side(
    games: list[G], play: Callable[[G, Progress], None], at_once: int, progress: Progress
) -> None:
    """Play games at the same time, those that take longest first.

    Whatever ends this function ends the processes of all games: each has its last checkpoint.

    Args:
        games: What to play; each is taken out of the list when it begins.
        play: Plays one of them.
        at_once: Most games at the same time.
        progress: Called with the progress of every game, here and not in its process.

    Raises:
        EngineError: A game's process was killed.
        CoplayError: A game failed; the error has the type and the text that it had there.
    """
    games.sort(key=_work, reverse=True)
    running: dict[Connection, _Playing] = {}
    try:
        while games or running:
            while games and len(running) < at_once:
                playing = _Playing.begin(games.pop(0), play)
                running[playing.pipe] = playing
            for pipe in wait(list(running)):
                assert isinstance(pipe, Connection)
                if running[pipe].goes_on(progress):
                    continue
                running.pop(pipe).end()
    finally:
        for playing in running.values():
            playing.end()


def _work(game: _Named) -> int:
    """Return about how much there is to do in a game, in steps."""
    return game.game.rounds * game.game.local_steps


@dataclass(frozen=True)
class _Playing:
    """A game that plays in a process of its own."""

    name: str
    process: ForkProcess
    pipe: Connection

    @classmethod
    def begin(cls, game: G, play: Callable[[G, Progress], None]) -> _Playing:
        here, there = multiprocessing.Pipe()
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()  # else the child would write the rest once more
        process = multiprocessing.get_context("fork").Process(
            target=_play_in_child,
            args=(game, play, there, os.getpid()),
            name=f"coplay {game.name}",
            daemon=True,
        )
        process.start()
        there.close()
        return cls(game.name, process, here)

    def goes_on(self, progress: Progress) -> bool:
        """Take what the game says, and return whether it has not ended.

        Raises:
            EngineError: Its process was killed.
            BaseException: What it failed with.
        """
        with self._alive():
            message = self.pipe.recv()
        if isinstance(message, _Failure):
            raise message.error()
        if message is None:
            return False
        progress(message.what, message.done, message.of)
        with self._alive():
            self.pipe.send(None)
        return True

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, ConnectionError) as error:
            self.process.join()
            code = self.process.exitcode or 0
            end = f"ended with code {code}"
            if code < 0:
                end = f"was killed by {signal.Signals(-code).name}"
            raise EngineError(
                f"the process that played '{self.name}' {end}; 'coplay resume' goes on from its "
                "last checkpoint. If memory was short, --set engine.games_at_once=1 plays one game "
                "after the other"
            ) from error

    def end(self) -> None:
        """End the process: all that counts was written before, at any moment."""
        self.process.kill()
        self.process.join()
        self.process.close()
        self.pipe.close()


def _play_in_child(
    game: G, play: Callable[[G, Progress], None], pipe: Connection, parent: int
) -> None:
    """Play one game here, and tell the run's process how it goes."""
    _die_with(parent)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the run's process answers
    # what stands in their place may wait for a thread that a fork does not copy
    sys.stdout = sys.__stdout__
    sys.stderr = sys.__stderr__

    def report(what: str, done: int, of: int) -> None:
        pipe.send(_Step(what, done, of))
        pipe.recv()

    end: _Failure | None = None
    try:
        play(game, report)
    except BaseException as error:
        end = _Failure.of(error)
    pipe.send(end)


def _die_with(parent: int) -> None:
    """Let the system kill this process when its parent ends, however it ends."""
    ctypes.CDLL(None).prctl(_SET_SIGNAL_OF_PARENTS_DEATH, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before
        os._exit(1)
