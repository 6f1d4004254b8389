"""The process of a site's own whose forks answer its messages, kept running."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coplay.deploy.processes import Child, start_again

AGAIN_SECONDS = 15.0
"""Between two starts of it."""


@dataclass
class OwnProcess:
    """The process whose forks answer a site's messages, started again when it has ended.

    Args:
        place: Its socket.
        log: File of what it says.
    """

    place: Path
    log: Path
    _child: Child | None = None
    _started: float = -AGAIN_SECONDS

    def look(self) -> None:
        """Start it unless it runs, and not again at once: messages are answered without it too."""
        if sys.platform != "linux":  # elsewhere a fork of what has imported torch may crash
            return
        running = self._child is not None and self._child.is_running
        if running or time.monotonic() - self._started < AGAIN_SECONDS:
            return
        self._started = time.monotonic()
        command = [sys.executable, "-m", "coplay.run.flower_process", str(self.place)]
        self._child = start_again("the site's own process", command, os.environ, self.log)

    def stop(self) -> None:
        """End it, and the forks that still answer."""
        if self._child is not None:
            self._child.stop()


@contextlib.contextmanager
def own_process(home: Path) -> Iterator[OwnProcess]:
    """Give a site a process of its own, which is not started yet, and end it.

    Args:
        home: The site's private folder.
    """
    # a socket's path has at most about a hundred characters, so it does not lie in the home
    with tempfile.TemporaryDirectory(prefix="coplay-") as folder:
        process = OwnProcess(Path(folder) / "messages", home / "process.log")
        try:
            yield process
        finally:
            process.stop()
