"""Flower's SuperLink at the coordinator, and what it is asked by Flower's own command line."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from coplay.core import storage
from coplay.core.errors import EngineError
from coplay.deploy import keys
from coplay.deploy.processes import Child, flower_env, flower_program, is_answered, start

_CONNECTION = "coordinator"
_HOST = "127.0.0.1"
_FIRST_SECONDS = 120.0
"""How long a SuperLink may take to answer after its start."""

_CALL_SECONDS = 120.0


@dataclass(frozen=True)
class SuperLink:
    """A SuperLink on this machine's loopback, with TLS and registered keys.

    Args:
        port: Its port.
        keys: Folder of the certificates and of the sites' public keys.
        home: Folder of Flower's settings and logs, for its owner only.
    """

    port: int
    keys: Path
    home: Path

    def start(self) -> Child:
        """Start it and wait until it answers.

        Raises:
            EngineError: Flower is not installed, the port is taken, or it ends at once.
        """
        command = [
            *(flower_program("flower-superlink"), "--host", _HOST, "--port", str(self.port)),
            *("--ssl-ca-certfile", str(self.keys / keys.AUTHORITY)),
            *("--ssl-certfile", str(self.keys / keys.SERVER)),
            *("--ssl-keyfile", str(self.keys / keys.SERVER_KEY)),
            "--enable-supernode-auth",
            "--disable-runtime-dependency-installation",
        ]
        if is_answered(_HOST, self.port):
            raise EngineError(
                f"port {self.port} of this machine is taken, and Flower's SuperLink needs it: end "
                "what listens there, or say another [deploy] link_port"
            )
        env = flower_env(self.home)
        self.write_connection()
        child = start("Flower's SuperLink", command, env, self.home / "superlink.log")
        end = time.monotonic() + _FIRST_SECONDS
        while not is_answered(_HOST, self.port):
            if not child.is_running or time.monotonic() > end:
                child.stop()
                raise EngineError(
                    f"Flower's SuperLink did not start; {child.log} ends with:\n"
                    f"{child.last_lines()}"
                )
            time.sleep(0.2)
        return child

    def register(self, site: str) -> int:
        """Register a site's public key, and return the number of its node."""
        path = self.keys / keys.SITES / f"{site}.pub"
        answer = self._ask("supernode", "register", str(path), _CONNECTION, "--name", site)
        return int(answer["node-id"])

    def status_of_nodes(self) -> dict[int, str]:
        """Return whether each registered node is ``registered``, ``online`` or ``offline``."""
        answer = self._ask("supernode", "list", _CONNECTION)
        return {int(node["node-id"]): str(node["status"]) for node in answer["nodes"]}

    def begin(self, app: Path, config: Mapping[str, str]) -> int:
        """Begin a run of an app, and return its number.

        Args:
            app: Folder of the app.
            config: Texts by key of the app's own config.
        """
        words = " ".join(f"{key}={json.dumps(value)}" for key, value in config.items())
        answer = self._ask("run", str(app), _CONNECTION, "--run-config", words)
        return int(answer["run-id"])

    def status_of_run(self, run: int) -> str:
        """Return ``pending``, ``starting``, ``running`` or ``finished:…``."""
        answer = self._ask("list", _CONNECTION, "--run-id", str(run))
        return str(answer["runs"][0]["status"])

    def end(self, run: int) -> None:
        """End a run that is not over."""
        self._ask("stop", str(run), _CONNECTION)

    def write_connection(self) -> None:
        """Write down for Flower's command line where the SuperLink is."""
        settings = {
            "superlink": {
                "default": _CONNECTION,
                _CONNECTION: {
                    "address": f"{_HOST}:{self.port}",
                    "root-certificates": str(self.keys / keys.AUTHORITY),
                },
            }
        }
        path = self.home / "config.toml"
        storage.write_atomically(path, tomli_w.dumps(settings).encode(), private=True)

    def _ask(self, *words: str) -> Any:
        """Call Flower's command line.

        Raises:
            EngineError: It says no, or nothing that can be read.
        """
        done = subprocess.run(
            [flower_program("flwr"), *words, "--format", "json"],
            env=flower_env(self.home),
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=_CALL_SECONDS,
            check=False,
        )
        what = " ".join(words[:2])
        try:
            answer = json.loads(done.stdout[done.stdout.index("{") :])
        except ValueError:
            said_by_flower = (done.stderr or done.stdout).strip()
            raise EngineError(f"'flwr {what}' failed: {said_by_flower}") from None
        if not answer.get("success"):
            reason = str(answer.get("error-message", answer)).strip()
            raise EngineError(f"'flwr {what}' failed: {reason}")
        return answer
