"""Progress with the time that is left: a bar on a terminal, a line now and then in a file."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from coplay.core.text import visible

_QUIET_SECONDS = 5.0


class ProgressReport:
    """What a federation calls as ``report(what, done, of)``.

    On a terminal every game has a bar; elsewhere each has a line at most every five seconds.

    Example:
        ``with ProgressReport() as report: Federation(config).run(folder, report)``
    """

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr)
        self._bars: Progress | None = None
        if self._console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description:>18}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self._console,
            )
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, tuple[float, int]] = {}
        self._spoke: dict[str, float] = {}  # when, by what

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars:
            self._bars.stop()

    def __call__(self, what: str, done: int, of: int) -> None:
        """Show that ``done`` of ``of`` rounds are finished."""
        what = visible(what, lines=False)
        if self._bars:
            if what not in self._tasks:
                self._tasks[what] = self._bars.add_task(what, total=of)
            self._bars.update(self._tasks[what], completed=done)
            return
        now = time.monotonic()
        begin, first = self._began.setdefault(what, (now, done))
        if done == of or now - self._spoke.get(what, 0.0) > _QUIET_SECONDS:
            self._spoke[what] = now
            left = ""
            if first < done < of:
                seconds = (now - begin) / (done - first) * (of - done)
                left = f", about {seconds:.0f} s left"
            self._console.print(Text(f"{what}: {done} of {of}{left}"))
