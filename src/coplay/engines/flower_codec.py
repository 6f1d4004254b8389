"""What travels between coordinator and site beside the bytes of a message: an envelope.

An envelope is a few plain values, so that any carrier can take them, and is checked whole before
anything is done with what it holds. What is in it are the bytes of :mod:`coplay.core.codec`.
Nothing here knows Flower.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from coplay.core.errors import MessageError
from coplay.core.facts import PROTOCOL
from coplay.core.plain import Plain, flatten, restored, shortened

MOST_BYTES = 1 << 30
"""Most bytes of one message, both ways."""

LONGEST_REASON = 5000
MOST_PLAYERS = 10_000

_LONGEST_NAME = 200
_MOST = 1 << 62
_HEX = re.compile("[0-9a-f]{16,64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

Kind = Literal["who", "begin", "ask", "name", "facts", "answer", "refused"]

ANSWERS: Mapping[str, tuple[Kind, ...]] = {
    "who": ("name", "refused"),
    "begin": ("facts", "refused"),
    "ask": ("answer", "refused"),
}
"""How each kind of request may be answered."""


@dataclass(frozen=True)
class Envelope:
    """Where a message belongs.

    Args:
        kind: What is asked or answered.
        federation: Digest of what was agreed.
        site: The site that is asked, or answers; empty where nobody knows it yet.
        run: What tells the run from others; empty where nobody knows it yet.
        sitting: What tells one start of the coordinator's engine from others.
        number: Place of the message among those to this site in the sitting, from 1.
        protocol: The version of the bytes inside.
        game: The game's name in the run.
        plays: Whether the game begins, or the player only says what it is.
        opened: When the sitting began, in nanoseconds; later sittings have larger ones.
        threads: Threads that the player uses.
        takers: The players that learn from incomplete samples.
        reason: Why a message was refused, in words.
    """

    kind: Kind
    federation: str
    site: str
    run: str
    sitting: str
    number: int
    protocol: int = PROTOCOL
    game: str = ""
    plays: bool = False
    opened: int = 0
    threads: int = 1
    takers: Sequence[str] = ()
    reason: str = ""

    def plain(self) -> dict[str, Plain]:
        """Return it as plain values by name."""
        return flatten(self)

    @classmethod
    def from_plain(cls, values: object, origin: str) -> Envelope:
        """Read what came, trusting nothing about it.

        Args:
            values: Plain values by name.
            origin: Where they come from, for the error.

        Raises:
            MessageError: They are no envelope; with all faults.

        Example:
            >>> ask = Envelope("who", "0" * 64, "", "1" * 16, "2" * 16, 1)
            >>> Envelope.from_plain(ask.plain(), "a message") == ask
            True
            >>> Envelope.from_plain({**ask.plain(), "number": -1}, "a message")
            Traceback (most recent call last):
            coplay.core.errors.MessageError: a message: number: expected 1 to ..., got -1
        """
        if not isinstance(values, Mapping):
            raise MessageError(f"{origin}: expected an envelope, got {type(values).__name__}")
        # an empty list is left out by some carriers
        envelope = restored(cls, {"takers": [], **values}, origin)
        faults = envelope.faults()
        if faults:
            raise MessageError(f"{origin}: {'; '.join(faults)}")
        return replace(envelope, takers=tuple(envelope.takers))

    def faults(self) -> list[str]:
        """List what is out of bounds."""
        faults = []
        if self.protocol != PROTOCOL:
            faults.append(
                f"protocol: it is written in {shortened(self.protocol)}, and this coplay reads "
                f"{PROTOCOL}; give both the same version of coplay"
            )
        for name, low, high in (("number", 1, _MOST), ("opened", 0, _MOST), ("threads", 1, 256)):
            value = getattr(self, name)
            if not low <= value <= high:
                faults.append(f"{name}: expected {low} to {high}, got {shortened(value)}")
        for name in ("federation", "run", "sitting"):
            value = getattr(self, name)
            may_be_empty = name == "run" or self.kind in ("name", "refused")
            if not (_HEX.fullmatch(value) or (may_be_empty and value == "")):
                faults.append(f"{name}: expected a digest, got {shortened(value)}")
        for name in ("site", "game"):
            value = getattr(self, name)
            if value and not _is_name(value):
                faults.append(f"{name}: expected a name, got {shortened(value)}")
        if len(self.takers) > MOST_PLAYERS:
            faults.append(f"takers: expected at most {MOST_PLAYERS}, got {len(self.takers)}")
        for value in self.takers:
            if not _is_name(value):
                faults.append(f"takers: expected names, got {shortened(value)}")
                break
        if len(self.reason) > LONGEST_REASON:
            faults.append(f"reason: expected at most {LONGEST_REASON} letters")
        return faults

    def answered(self, kind: Kind, site: str, reason: str = "") -> Envelope:
        """Return the envelope of an answer to this one."""
        return Envelope(
            kind,
            self.federation,
            site,
            self.run,
            self.sitting,
            self.number,
            game=self.game,
            reason=reason[:LONGEST_REASON],
        )

    def answer_faults(self, answer: Envelope) -> list[str]:
        """List why another envelope does not answer this one."""
        faults = []
        if answer.kind not in ANSWERS.get(self.kind, ()):
            faults.append(f"kind: got {shortened(answer.kind)} as the answer to {self.kind}")
        if self.site and answer.site != self.site:
            faults.append(
                f"site: expected the answer of '{self.site}', got that of {shortened(answer.site)}"
            )
        for name in ("federation", "run", "sitting", "game", "number"):
            mine, other = getattr(self, name), getattr(answer, name)
            if mine != other:
                faults.append(f"{name}: expected {mine!r}, got {shortened(other)}")
        return faults


def _is_name(text: str) -> bool:
    return len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None


def checked_body(body: object, origin: str, most: int = MOST_BYTES) -> bytes:
    """Return the bytes of a message.

    Args:
        body: What came.
        origin: Where it comes from, for the error.
        most: Most bytes.

    Raises:
        MessageError: It is none, or too large.
    """
    if type(body) is not bytes:
        raise MessageError(f"{origin}: expected bytes, got {type(body).__name__}")
    if len(body) > most:
        raise MessageError(f"{origin}: {len(body):,} bytes, of which {most:,} are accepted")
    return body
