"""Runs of one process play one after the other, under settings of torch that are theirs.

Torch has one number of threads, one global generator and one default type for all threads of a
process: two runs at once would change each other's numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from coplay.core.forks import ANCESTRY
from coplay.core.streams import single_pools
from coplay.core.surroundings import Turns, own_settings, settings_restored
from coplay.engines.base import Engine
from coplay.run.progress import Progress, silent

_PLAYING = Turns()

_THREADS = 1
"""Threads for what is loaded, predicted and measured: an engine sets its own for play."""


@contextlib.contextmanager
def playing_alone(engine: Engine, report: Progress | None) -> Iterator[Progress]:
    """Wait until no other thread of this process plays, then play inside the block.

    Args:
        engine: Where the run plays.
        report: What is called with the progress, also when another run is waited for.

    Yields:
        What to call with the progress: it may change nothing of torch.

    Raises:
        EngineError: The process was forked, and torch would wait for threads that it lost.
    """
    report = report or silent

    def report_only(what: str, done: int, of: int) -> None:
        with settings_restored():
            report(what, done, of)

    threads = int(getattr(engine, "threads", 1))
    ANCESTRY.check(threads)
    with _PLAYING.taken(lambda: report("another run's end", 0, 1)):
        ANCESTRY.note(threads)
        with own_settings(_THREADS), single_pools(_THREADS):
            yield report_only
