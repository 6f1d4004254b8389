"""Processes that a command starts, each with a log, and ends again with itself."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coplay.core import storage
from coplay.core.errors import EngineError

GRACE_SECONDS = 20.0
"""How long a process may take to end before it is killed."""

POLL_SECONDS = 0.05
"""How often Flower looks for the next task of its own processes."""

_PR_SET_PDEATHSIG = 1


@dataclass
class Child:
    """A process that was started.

    Args:
        name: What it is, for messages.
        process: The process.
        log: File of everything that it says.
        grace: Seconds that it may take to end before it is made to.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    grace: float = GRACE_SECONDS
    code: int | None = field(default=None, init=False)
    _interrupted: bool = field(default=False, init=False)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        self.code = self.process.poll()
        return self.code is None

    def last_lines(self, n: int = 8) -> str:
        """Return the last lines of its log."""
        with contextlib.suppress(OSError):
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
            return "\n".join(line for line in lines[-n:] if line.strip())
        return ""

    def interrupt(self) -> None:
        """Ask it to end, once, and do not wait."""
        if self.is_running and not self._interrupted:
            self._interrupted = True
            self._send(signal.SIGINT)

    def stop(self) -> None:
        """End it and what it started, kindly first."""
        self.interrupt()
        self._wait(self.grace)
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if self.is_running:
                self._send(sign)
                self._wait(5.0)
        self.end_now()  # those of its own group that outlived it, such as an app that it ran

    def end_now(self) -> None:
        """End it without waiting; what it started ends with it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGTERM)

    def _send(self, sign: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            self.process.send_signal(sign)

    def _wait(self, seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)


def start(name: str, command: Sequence[str], env: Mapping[str, str], log: Path) -> Child:
    """Start a process in a group of its own, which ends when this one does, however it does.

    Args:
        name: What it is, for messages.
        command: The command.
        env: Its environment.
        log: File that what it says is added to, for its owner only.

    Raises:
        EngineError: There is no such program.
    """
    storage.make_folder(log.parent)
    with open(log, "ab", opener=storage.opened_privately) as out:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(env),
                start_new_session=True,
                preexec_fn=_at_start(),
            )
        except OSError as error:
            raise EngineError(f"cannot start {name} ({command[0]}): {error.strerror}") from error
    return Child(name, process, log)


def start_again(name: str, command: Sequence[str], env: Mapping[str, str], log: Path) -> Child:
    """Start a process with a log of its own; that of the last start is kept beside it.

    No more than these two are kept, so that a process that keeps ending does not fill the disk.

    Args:
        name: As in :func:`start`.
        command: As in :func:`start`.
        env: As in :func:`start`.
        log: File that what it says goes to; the last start's is then called ``NAME.before.log``.

    Raises:
        EngineError: There is no such program.
    """
    if log.exists():
        log.replace(log.with_suffix(".before.log"))
    return start(name, command, env, log)


@contextlib.contextmanager
def together() -> Iterator[list[Child]]:
    """Give a list of processes, the last of which is the first to be ended at the end."""
    children: list[Child] = []
    try:
        yield children
    finally:
        impatience: KeyboardInterrupt | None = None
        for child in reversed(children):
            try:
                child.stop()
            except KeyboardInterrupt as error:  # a second Ctrl-C shortens this, and leaves nobody
                impatience = error
                child.end_now()
        if impatience is not None:
            raise impatience


def flower_env(home: Path) -> dict[str, str]:
    """Return the environment of Flower's processes: a home of their own, and no calls home.

    Args:
        home: Folder of Flower's settings and state, for its owner only.
    """
    storage.make_folder(home)
    home.chmod(0o700)
    programs = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": os.pathsep.join([programs, os.environ.get("PATH", "")]),
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": str(POLL_SECONDS),
        "PYTHONUNBUFFERED": "1",
        # what Flower prints is read again: no lines cut to the width of a terminal
        "COLUMNS": "200",
        "NO_COLOR": "1",
    }


def program(name: str, remedy: str) -> str:
    """Return the path of a program, beside this Python first.

    Raises:
        EngineError: There is none.
    """
    beside = Path(sys.executable).parent
    path = shutil.which(name, path=os.pathsep.join([str(beside), os.environ.get("PATH", "")]))
    path = path or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
    if path is None:
        raise EngineError(f"the program {name} is not installed: {remedy}")
    return path


def flower_program(name: str) -> str:
    """Return the path of one of Flower's programs.

    Raises:
        EngineError: Flower is not installed.
    """
    return program(name, "pip install 'coplay[flower]' -c constraints-flower.txt")


def free_port() -> int:
    """Return a port of this machine's loopback that nobody uses now."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


def is_answered(host: str, port: int, seconds: float = 0.5) -> bool:
    """Whether somebody listens at a port."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), seconds):
        return True
    return False


def _at_start() -> Callable[[], None]:
    """Return what a new process does first: it can be asked to end, and ends with its parent."""
    # the second on Linux alone; elsewhere it outlives a parent that is killed
    libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None

    def begin() -> None:
        # what a shell runs in the background ignores SIGINT, and so would what it starts
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return begin
