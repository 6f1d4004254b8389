"""The file of a game's rows: one line per round, each sealed together with those before it.

A row's seal is a digest of its text and of the seal before, so that a row that is damaged, missing,
doubled or in another place does not fit. A checkpoint names the number of the rows that it counts
and their digest, in which times are left out: two runs of one config then have equal checkpoints.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coplay.core import remedies, storage
from coplay.core.digests import of_bytes, of_values
from coplay.core.errors import CheckpointError
from coplay.run.round_record import RoundRecord

FILE = "rows.jsonl"
"""Name of the file in the folder of its game."""

_SEALED = re.compile(r'(\{.*), "seal": "([0-9a-f]{64})"\}', re.DOTALL)


@dataclass
class Chain:
    """The digests of some rows, one after the other.

    Args:
        seal: Of the last row and all before it.
        digest: Of all rows, without times.
        count: Number of rows.
    """

    seal: str
    digest: str
    count: int = 0

    @classmethod
    def begin(cls, game: str) -> Chain:
        """Return the chain of no rows."""
        start = of_bytes(game.encode())
        return cls(start, start)

    def line(self, values: dict[str, Any]) -> str:
        """Return a row as the line that comes next."""
        body = json.dumps(values)[:-1]
        self.seal = of_bytes((self.seal + body).encode())
        self._count(values)
        return f'{body}, "seal": "{self.seal}"}}\n'

    def check(self, line: str) -> dict[str, Any]:
        """Return the row of the line that comes next.

        Raises:
            ValueError: It is not the line that was written in this place.
        """
        match = _SEALED.fullmatch(line)
        if match is None:
            raise ValueError("it has no seal")
        body, seal = match.groups()
        if of_bytes((self.seal + body).encode()) != seal:
            raise ValueError("it does not fit the rows before it")
        self.seal = seal
        values: dict[str, Any] = json.loads(body + "}")
        self._count(values)
        return values

    def _count(self, values: dict[str, Any]) -> None:
        self.count += 1
        timeless = {name: value for name, value in values.items() if name not in _TIMES}
        self.digest = of_bytes((self.digest + of_values(timeless)).encode())


_TIMES = ("seconds", "elapsed")
"""Fields of a row that differ between two runs of the same bits."""


@dataclass(frozen=True)
class Counted:
    """What a checkpoint says of the rows.

    Args:
        rounds: Number of rows that it counts.
        digest: Their digest, without times.
    """

    rounds: int
    digest: str


@dataclass
class Rows:
    """The rows of a game.

    Args:
        home: The game's folder.
        chain: Digests of the rows so far.
        records: The rows, as far as they were read.
    """

    home: Path
    chain: Chain = field(init=False)
    records: list[RoundRecord] = field(default_factory=list)
    _texts: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chain = Chain.begin(self.home.name)

    @property
    def path(self) -> Path:
        """The file."""
        return self.home / FILE

    @classmethod
    def read(cls, home: Path, counted: Counted | None = None, only_counted: bool = False) -> Rows:
        """Read the rows of a game.

        A line without an end, which a killed run may leave, is no row where no checkpoint counts
        it.

        Args:
            home: The game's folder.
            counted: What the last checkpoint says of them; None without one.
            only_counted: Whether to leave out the rows after the checkpoint.

        Raises:
            CheckpointError: A row is missing, or is not what was written.
        """
        rows = cls(home)
        rounds = counted.rounds if counted else 0
        lines = rows._lines()
        for place, line in enumerate(lines[:rounds] if only_counted else lines, start=1):
            rows._take(place, line, rounds)
            if counted and place == rounds and rows.chain.digest != counted.digest:
                fault = f"its first {rounds} rows are not those that the checkpoint counts"
                raise storage.damaged(rows.path, fault, remedies.rows(home.parent))
        if len(rows.records) < rounds:
            fault = f"{len(rows.records)} whole rows, the checkpoint counts {rounds}"
            raise storage.damaged(rows.path, fault, remedies.rows(home.parent))
        return rows

    def _lines(self) -> list[bytes]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CheckpointError(f"cannot read {self.path}: {error.strerror or error}") from error
        return content.split(b"\n")[:-1]

    def _take(self, place: int, line: bytes, counted: int) -> None:
        try:
            self.records.append(RoundRecord.from_json(self.chain.check(line.decode())))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            advise = remedies.rows if place <= counted else remedies.rows_after_checkpoint
            remedy = advise(self.home.parent)
            raise storage.damaged(self.path, f"row {place}: {error}", remedy) from error
        self._texts.append(line + b"\n")

    def append(self, record: RoundRecord) -> None:
        """Write a row after the others.

        Raises:
            WriteError: The system refused.
        """
        line = self.chain.line(record.json())
        try:
            storage.make_folder(self.home)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise storage.cannot_write(self.path, error) from error

    def check_shown(self) -> None:
        """Compare the samples that the rows show with their digests.

        Raises:
            CheckpointError: A file is missing, or is not what was written.
        """
        for record in self.records:
            if record.shown is not None:
                path = storage.shown_file(self.home, record.round)
                storage.read_bytes(path, record.shown, remedies.play_again(self.home.parent))

    def rewrite(self) -> None:
        """Write the file with the rows that were read, and no others."""
        storage.write_atomically(self.path, b"".join(self._texts))

    def sync(self) -> None:
        """Wait until all rows are safe on disk.

        Raises:
            WriteError: The system refused.
        """
        try:
            with self.path.open("rb") as file:
                os.fsync(file.fileno())
            storage.sync_folder(self.home)
        except OSError as error:
            raise storage.cannot_write(self.path, error) from error
