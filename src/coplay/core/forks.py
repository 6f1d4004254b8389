"""What a process must know that was forked from another.

A fork copies memory but no threads. If torch's threads had been used before it, the child's first
operation that wants more than one of them waits for ever; with one thread nothing waits. Processes
that are spawned begin anew and may have as many as they like.
"""

from __future__ import annotations

import os

import torch

from coplay.core.errors import EngineError


class Ancestry:
    """How many threads torch may have had in this process, and in the one it was forked from.

    That is a property of the process, and so there is one of it, :data:`ANCESTRY`.
    """

    def __init__(self) -> None:
        self._most = 1
        self.threads_of_parent = 1
        if hasattr(os, "register_at_fork"):  # Windows does not fork
            os.register_at_fork(before=self._note_present, after_in_child=self._begin)

    def note(self, threads: int) -> None:
        """Note that torch is going to use so many threads."""
        self._most = max(self._most, threads)

    def _note_present(self) -> None:
        self.note(torch.get_num_threads())

    def _begin(self) -> None:
        self.threads_of_parent = max(self.threads_of_parent, self._most)
        self._most = 1

    @property
    def lost_threads(self) -> bool:
        """Whether torch may wait for threads that were left in another process."""
        return self.threads_of_parent > 1

    def check(self, threads: int) -> None:
        """Refuse more than one thread where torch would wait for ever.

        Raises:
            EngineError: It would.
        """
        if threads > 1 and self.lost_threads:
            raise EngineError(
                f"engine.threads = {threads}: this process was forked from one whose torch had "
                f"{self.threads_of_parent} threads. A fork does not copy threads, and torch would "
                'wait for them for ever. Start it by multiprocessing.get_context("spawn"), or set '
                "engine.threads = 1"
            )


ANCESTRY = Ancestry()
"""That of this process."""
