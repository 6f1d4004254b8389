"""Processes that a command starts end with it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from coplay.core.errors import EngineError
from coplay.deploy.processes import free_port, is_answered, start, together

SLEEPER = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"

PARENT = """
import os, sys, time
from pathlib import Path
from coplay.deploy.processes import start
child = start("sleeper", [sys.executable, "-c", {code!r}], os.environ, Path({log!r}))
print(child.process.pid, flush=True)
time.sleep(600)
"""


def started(code, tmp_path):
    return start("sleeper", [sys.executable, "-c", code], os.environ, tmp_path / "log")


def is_gone(pid, seconds=30.0):
    """Whether a process has ended in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        with open(f"/proc/{pid}/stat") as file:
            if file.read().rpartition(")")[2].split()[0] == "Z":
                return True
        time.sleep(0.1)
    return False


def failed(children, *begun):
    """Hold processes and fail."""
    with together() as held:
        held += begun
        children += begun
        raise ValueError("mine")


def interrupted_twice(children, *begun):
    """Hold processes and be interrupted, and again while the last of them is waited for."""
    with together() as held:
        held += begun
        children += begun
        time.sleep(1.0)  # until the last one is deaf
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.alarm(1)
        raise KeyboardInterrupt


def test_all_end_after_an_error(tmp_path):
    children = []
    with pytest.raises(ValueError, match="mine"):
        failed(children, started(SLEEPER, tmp_path), started(SLEEPER, tmp_path))
    assert [child.is_running for child in children] == [False, False]


def test_a_second_ctrl_c_leaves_nobody(tmp_path):
    children = []
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted_twice(children, started(SLEEPER, tmp_path), started(DEAF, tmp_path))
    assert time.monotonic() - begin < 15, "the deaf one was waited for"
    assert [is_gone(child.process.pid) for child in children] == [True, True]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells children")
def test_a_parent_that_is_killed_leaves_nobody(tmp_path):
    text = PARENT.format(code=SLEEPER, log=str(tmp_path / "log"))
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    assert is_gone(pid)


def test_a_program_that_is_not_there_is_named(tmp_path):
    with pytest.raises(EngineError, match="cannot start the proxy"):
        start("the proxy", [str(tmp_path / "nginx")], {}, tmp_path / "log")


def test_a_log_is_for_its_owner_alone_and_is_added_to(tmp_path):
    for text in ("one", "two"):
        child = start(text, [sys.executable, "-c", f"print({text!r})"], {}, tmp_path / "log")
        child.process.wait(60)
    assert (tmp_path / "log").read_text() == "one\ntwo\n"
    assert (tmp_path / "log").stat().st_mode & 0o077 == 0
    assert not is_answered("127.0.0.1", free_port())


def test_a_child_of_a_background_job_can_be_asked_to_end(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does with "command &"
    try:
        child = started(SLEEPER, tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    time.sleep(0.5)  # until Python handles it
    child.interrupt()
    try:
        assert child.process.wait(20) != 0
    finally:
        child.process.kill()
