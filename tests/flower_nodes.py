"""Real nodes of Flower on this machine's loopback: a SuperLink, and a SuperNode for each site."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from coplay.deploy.app_folder import app_texts
from coplay.deploy.processes import flower_env, free_port

from .flower_loop import settings_of

ROOT = Path(__file__).parents[1]
SECONDS = 180
APPS = "coplay.run.flower_apps"


def python():
    """Return the Python that has Flower, or skip the test."""
    given = os.environ.get("COPLAY_FLOWER_PYTHON")
    if given:
        return Path(given)
    if importlib.util.find_spec("flwr") is None:
        pytest.skip(
            "flwr is not installed here: COPLAY_FLOWER_PYTHON names a Python that has it, made by "
            "pip install -c constraints-flower.txt 'coplay[flower]'"
        )
    return Path(sys.executable)


def own_process_of(name):
    return f"{name}, its own"


class Nodes:
    """A SuperLink and SuperNodes, each with a folder and a log of its own.

    Args:
        folder: Where these go.
        module: The module with ``server``.
        client: The module with ``client``, which is imported anew for every message.
    """

    def __init__(self, folder, module=APPS, client=APPS):
        self.folder = Path(folder)
        self.bin = python().parent
        self.port = free_port()
        self.processes = {}
        self.sockets = tempfile.TemporaryDirectory(prefix="coplay-")  # paths have to be short
        app = self.folder / "app"
        # what a deployment writes, for a module of the test's, whose app takes one setting more
        for name, text in app_texts("test").items():
            text = text.replace(APPS, client if name.name == "client.py" else module)
            if name.name == "pyproject.toml":
                text += 'rounds = ""\n'
            (app / name).parent.mkdir(parents=True, exist_ok=True)
            (app / name).write_text(text)

    def env(self, name):
        home = self.folder / "flower" / name
        places = [str(ROOT / "src"), str(ROOT), str(ROOT / "benchmarks")]
        return {
            **flower_env(home),
            "PATH": os.pathsep.join([str(self.bin), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join(places),
            "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.05",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }

    def log(self, name):
        return self.folder / f"{name}.log"

    def _start(self, name, command):
        with self.log(name).open("ab") as out:
            self.processes[name] = subprocess.Popen(
                [str(self.bin / command[0]), *command[1:]],
                env=self.env(name),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start_link(self, database=None):
        command = ["flower-superlink", "--insecure", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--disable-runtime-dependency-installation"]
        if database is not None:
            command += ["--database", str(database)]
        self._start("link", command)
        config = f'[superlink]\ndefault = "x"\n\n[superlink.x]\naddress = "127.0.0.1:{self.port}"\n'
        config += "insecure = true\n"
        self.env("cli")
        (self.folder / "flower" / "cli" / "config.toml").write_text(config)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            assert self.processes["link"].poll() is None, self.log("link").read_text()[-3000:]
            time.sleep(0.1)
        raise AssertionError("the SuperLink did not start")

    def start_node(self, name, settings):
        """Start a SuperNode; ``settings`` are texts by name."""
        config = " ".join(f'{key}="{value}"' for key, value in settings.items())
        command = ["flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{self.port}"]
        command += ["--host", "127.0.0.1", "--port", str(free_port()), "--node-config", config]
        self._start(name, command)

    def start_site(self, name, home):
        """Start a SuperNode, and the process that answers for it, as ``coplay site join`` does."""
        socket_of_site = Path(self.sockets.name) / name
        command = ["python", "-m", "coplay.run.flower_process", str(socket_of_site)]
        self._start(own_process_of(name), command)
        self.start_node(name, {**settings_of(home), "process": str(socket_of_site)})

    def ask(self, *words):
        """Call Flower's command line."""
        done = subprocess.run(
            [str(self.bin / "flwr"), *words, "--format", "json"],
            env=self.env("cli"),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert "{" in done.stdout, done.stdout + done.stderr
        return json.loads(done.stdout[done.stdout.index("{") :])

    def begin(self, **config):
        words = " ".join(f"{key}={json.dumps(str(value))}" for key, value in config.items())
        answer = self.ask("run", str(self.folder / "app"), "x", "--run-config", words)
        assert answer.get("success"), answer
        return int(answer["run-id"])

    def status(self, run):
        return str(self.ask("list", "x", "--run-id", str(run))["runs"][0]["status"])

    def finished(self, run, seconds=1200):
        """Wait for the end of a run, and return its status."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status = self.status(run)
            if status.startswith("finished"):
                return status
            time.sleep(3)
        raise AssertionError(f"run {run} did not end: {self.tails()}")

    def kill(self, name):
        """End a process, what it started, and a site's own, without a word."""
        for each in (name, own_process_of(name)):
            process = self.processes.pop(each, None)
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def tails(self, n=2500):
        return {name: self.log(name).read_text()[-n:] for name in [*self.processes]}


@contextlib.contextmanager
def nodes(folder, places, module=APPS, client=APPS):
    """Start a SuperLink and the nodes of sites, and end them; ``places`` are folders by site."""
    made = Nodes(folder, module, client)
    try:
        made.start_link()
        for name, home in places.items():
            made.start_site(name, home)
        yield made
    finally:
        for name in list(made.processes):
            made.kill(name)
        made.sockets.cleanup()
