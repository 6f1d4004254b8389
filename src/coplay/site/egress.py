"""The record of what left a site: a line for each message, on disk before the message leaves.

Each line holds the digest of the line before, so none can be changed or taken out without being
noticed. That the end is missing a chain cannot show: so each message names the line that it was
written in, and the coordinator refuses an older one (:mod:`coplay.engines.heads`).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coplay.core import storage
from coplay.core.digests import of_values
from coplay.core.errors import EgressError, WriteError
from coplay.core.message import Head

FILE = "egress.jsonl"
"""File, in a site's folder of a game, with a line for each message that left."""

FIRST = "0" * 64
"""What the first line names as the digest of the line before."""

FACTS = "facts"
REPLY = "reply"
LOSS = "loss"
RELEASE = "release"
MENDED = "mended"

PUBLIC = "public"
"""Of a number: what it took, such as operations and seconds; nothing of the rows."""

OF_MODEL = "of the model"
"""Of samples and numbers: what follows from the model, which has learned from the rows."""

PARAMETERS = "parameters of the model"
"""Of tensors that are no samples: networks that travel, or gradients."""

OF_ROWS = "of the rows"
"""Of a number: it was computed from rows that are learned from, and ``[tell]`` names it."""

MEASURED = "of held-out rows"
"""Of a number: it was measured on rows that are held out, and ``[tell]`` names it."""

POST_PROCESSING = "post-processing"
"""Of samples and numbers of a site with a stand-in: they follow from what was paid for before."""

CHARGED = "charged"
"""Of samples of a site whose model learns by DP-SGD: its steps are charged to the budget."""


@dataclass(frozen=True)
class Part:
    """One set of samples in a message that left.

    Args:
        to: For whom.
        variables: What it has.
        count: Number of samples.
        bytes: Size of its tensors.
        kind: What it is, such as :data:`OF_MODEL`.
        sha256: Digest of its variables, types and values.
    """

    to: str
    variables: Sequence[str]
    count: int
    bytes: int
    kind: str
    sha256: str


@dataclass(frozen=True)
class Line:
    """One line of the record: a message that left, or what happened to the record.

    Args:
        what: What it is of: :data:`FACTS`, :data:`REPLY`, :data:`LOSS`, :data:`RELEASE`, or
            :data:`MENDED` after a line that was cut off while it was written.
        number: Its place, from 1.
        at: When it was written, as UTC.
        round: The round.
        to: To whom the message went.
        request: What was asked.
        parts: The samples in it.
        numbers: Of what kind each number in it is, by name.
        text: The words of a loss, or where a release went.
        bytes: Size of the message.
        sha256: Digest of the message, without the end of the record that it names.
        turns: How often the model had learned in the game: which version it is.
        epsilon: What the site had spent of its budget by then; None where nothing is promised.
        before: Digest of the line before.
        digest: Digest of this line.
    """

    what: str
    number: int = 0
    at: str = ""
    round: int = 0
    to: str = ""
    request: str = ""
    parts: Sequence[Part] = ()
    numbers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    bytes: int = 0
    sha256: str = ""
    turns: int = 0
    epsilon: float | None = None
    before: str = FIRST
    digest: str = ""

    def values(self) -> dict[str, Any]:
        """The line as plain values, without its own digest."""
        values = asdict(self)
        del values["digest"]
        plain: dict[str, Any] = json.loads(json.dumps(values))
        return plain

    @property
    def head(self) -> Head:
        """The end of a record that ends with this line."""
        return Head(self.number, self.digest)

    def sealed(self) -> Line:
        """Return the line with its digest."""
        return replace(self, digest=of_values(self.values()))

    def text_of_line(self) -> str:
        """The line as it stands in the file."""
        return json.dumps({**self.values(), "digest": self.digest}) + "\n"

    @classmethod
    def from_text(cls, text: str) -> Line:
        """Read a line.

        Raises:
            ValueError: It is no line of a record, or not the one that was written.
        """
        try:
            values = json.loads(text)
            parts = tuple(Part(**part) for part in values.pop("parts"))
            line = cls(**{**values, "parts": parts})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise ValueError("it is no line of a record") from None
        if line.sealed().digest != line.digest or line.text_of_line() != text + "\n":
            raise ValueError("its digest is not that of its content: it was changed")
        return line


@dataclass(frozen=True)
class Record:
    """What a file of a record holds.

    Args:
        path: The file.
        lines: The lines that are whole and in order.
        size: Bytes of these.
        torn: Bytes after the last whole line, of one that was cut off while it was written.
        fault: What is wrong with the line after these; empty if the chain is whole.
    """

    path: Path
    lines: Sequence[Line]
    size: int
    torn: int = 0
    fault: str = ""

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read a record; one that is not there has no lines.

        Raises:
            EgressError: The system refuses to read it.
        """
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            raise EgressError(f"cannot read {path}: {storage.reason_of(error)}") from error
        whole, _, _ = content.rpartition(b"\n")
        pieces = whole.split(b"\n") if b"\n" in content else []
        lines: list[Line] = []
        size = 0
        before = FIRST
        for number, piece in enumerate(pieces, start=1):
            try:
                line = Line.from_text(piece.decode("ascii"))
                _check_place(line, number, before)
            except ValueError as error:  # also of bytes that are no text
                what = "it is no text" if isinstance(error, UnicodeDecodeError) else str(error)
                return cls(path, lines, size, fault=f"line {number}: {what}")
            lines.append(line)
            size += len(piece) + 1
            before = line.digest
        return cls(path, lines, size, torn=len(content) - size)

    @property
    def head(self) -> Head | None:
        """The end of the record; None for one without lines."""
        return self.lines[-1].head if self.lines else None

    def check(self) -> None:
        """Refuse a record that is damaged.

        Raises:
            EgressError: It says which line.
        """
        if self.fault:
            # the last parts of the path say which it is; where it lies is nobody else's business
            place = "/".join(self.path.parts[-4:])
            raise EgressError(
                f"its egress record ({place}) is damaged at {self.fault}. The {len(self.lines)} "
                "lines before it are whole; nothing leaves the site until the file is restored "
                "from a copy"
            )

    def missing(self, known: Head) -> str:
        """Say why a record is not one that has this line in it; empty if it may be.

        Args:
            known: A line that the record once had, as somebody else knows it.
        """
        if known.lines > len(self.lines):
            return (
                f"its end is missing: line {known.lines} is known elsewhere, and it has "
                f"{len(self.lines)} lines"
            )
        if self.lines[known.lines - 1].digest != known.digest:
            return f"line {known.lines} is another than the one that is known elsewhere"
        return ""


def _check_place(line: Line, number: int, before: str) -> None:
    """Refuse a line that is not the next one.

    Raises:
        ValueError: It is not.
    """
    if line.number != number:
        raise ValueError(f"it has the number {line.number}: lines are missing or out of order")
    if line.before != before:
        raise ValueError("it follows another line than the one before it")


class Egress:
    """Writes the record of one site in one game.

    Args:
        path: The file; it is made with the first line.
        spent: Returns what the site has spent of its budget; None where nothing is promised.

    Raises:
        EgressError: The file is damaged or cannot be read.

    Example:
        >>> import tempfile
        >>> egress = Egress(Path(tempfile.mkdtemp()) / FILE)
        >>> egress.write(Line(LOSS, round=2, text="no memory")).lines
        1
        >>> [line.text for line in Record.read(egress.path).lines]
        ['no memory']
    """

    def __init__(self, path: Path, spent: Callable[[], float | None] = lambda: None) -> None:
        self.path = path
        self.spent = spent
        record = Record.read(path)
        record.check()
        self._last = record.head
        self._size = record.size
        self._turns: dict[int, int] = {}
        """How often the model had learned at the end of each round."""
        for line in record.lines:
            self._turns[line.round] = line.turns
        self.turns = record.lines[-1].turns if record.lines else 0
        """How often the model has learned in this game."""
        if record.torn:
            self._mend(record.torn)

    def _mend(self, torn: int) -> None:
        """Cut off a line that was cut off while it was written, since nothing of it has left."""
        with _refusals(self.path):
            os.truncate(self.path, self._size)
        text = f"{torn} bytes of a line were cut off; its message has not left"
        self.write(Line(MENDED, text=text))

    def restored(self, round: int) -> None:
        """Go back with the model to the end of a round; the record keeps all that left since."""
        self._turns = {each: turns for each, turns in self._turns.items() if each <= round}
        self.turns = max(self._turns.values(), default=0)

    def write(self, line: Line) -> Head:
        """Add a line, and return the end of the record when it is safe on disk.

        Args:
            line: What left; its place, time, version, budget and digests are filled in.

        Raises:
            EgressError: It cannot be written; the file is as it was before.
        """
        last = self._last or Head(0, FIRST)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        line = replace(
            line,
            number=last.lines + 1,
            at=now,
            turns=self.turns,
            epsilon=self.spent(),
            before=last.digest,
        ).sealed()
        self._append(line.text_of_line().encode("ascii"))
        self._last = line.head
        self._turns[line.round] = self.turns
        return line.head

    def _append(self, content: bytes) -> None:
        is_new = self._size == 0
        with _refusals(self.path):
            if is_new:
                storage.make_folder(self.path.parent)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            number = os.open(self.path, flags, 0o600)
            try:
                self._check_size(os.fstat(number).st_size)
                _write_all(number, content, self._size)
            finally:
                os.close(number)
            if is_new:
                storage.sync_folder(self.path.parent)
        self._size += len(content)

    def _check_size(self, size: int) -> None:
        """Refuse to go on with a file that somebody else has changed.

        Raises:
            EgressError: It has another length than it was left with.
        """
        if size != self._size:
            raise EgressError(
                f"its egress record was changed by something else ({size} bytes, expected "
                f"{self._size}), so nothing leaves; 'coplay egress verify' says what is wrong"
            )


def _write_all(number: int, content: bytes, size: int) -> None:
    """Write all of a line and wait until it is on disk; leave nothing of one that is not."""
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(number, rest) :]
        os.fsync(number)
    except OSError:
        with contextlib.suppress(OSError):  # else the next one that opens it mends it
            os.ftruncate(number, size)
        raise


@contextlib.contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Turn a refusal of the system into words that may leave: they name no folder of the site."""
    try:
        yield
    except (OSError, WriteError) as error:
        reason = storage.reason_of(error if isinstance(error, OSError) else error.__cause__)
        raise EgressError(
            f"its egress record ({path.name}) cannot be written, so nothing leaves: {reason}; "
            "make room or give permission at the site, then go on"
        ) from error
