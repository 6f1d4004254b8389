"""What a site accepts of what is sent to it: portions beyond its policy are dropped, and noted.

The gate (:mod:`coplay.engines.gate`) refuses a malformed message whole, and that is a loss at once.
Here it is about portions that are well formed and beyond what the site wants: too many, too large,
of other variables, or with values that it does not believe.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, PositiveInt, field_validator
from torch import Tensor

from coplay.core import storage
from coplay.core.components import Section, nearest
from coplay.core.errors import ConfigError
from coplay.core.message import Message, Payload, bytes_of, count_of
from coplay.core.plain import shortened
from coplay.core.space import Samples, Space, tensors

FILE = "ingress.jsonl"
"""File, in a site's folder of a game, with a line for each portion that was dropped."""


class Policy(Section):
    """What a site accepts of one sender in a round.

    Args:
        variables: Names of the agreed variables that samples may have; None for any.
        count: Most samples; None for any number.
        bytes: Most bytes; None for any number.
        ranges: Smallest and largest value by variable, where the site believes less than was
            agreed.
        strikes: After so many portions beyond all this, nothing more is taken of a sender.
    """

    variables: tuple[str, ...] | None = Field(default=None, min_length=1)
    count: PositiveInt | None = None
    bytes: PositiveInt | None = None
    ranges: dict[str, tuple[float, float]] = Field(default_factory=dict)
    strikes: PositiveInt = 3

    @field_validator("ranges")
    @classmethod
    def _are_intervals(
        cls, ranges: dict[str, tuple[float, float]]
    ) -> dict[str, tuple[float, float]]:
        for name, (low, high) in ranges.items():
            if not low <= high:
                raise ValueError(f"{name}: expected two numbers in order, got [{low:g}, {high:g}]")
        return ranges

    def check(self, site: str, space: Space) -> None:
        """Refuse names that were not agreed, and ranges of what has none.

        Args:
            site: The site's name.
            space: The agreed variables.

        Raises:
            ConfigError: With all faults.
        """
        faults = []
        for name in dict.fromkeys([*(self.variables or ()), *self.ranges]):
            if name not in space:
                faults.append(
                    f"site {site!r}: [accepts] names {name!r}, which was not agreed; agreed, "
                    f"nearest first: {nearest(name, space)}"
                )
            elif name in self.ranges and space[name].kind not in ("real", "count"):
                faults.append(
                    f"site {site!r}: [accepts] ranges has {name!r}, which is {space[name].kind} "
                    "and has no range"
                )
        if faults:
            raise ConfigError(faults)


@dataclass(frozen=True)
class Dropped:
    """A portion that came and was not taken: a line of the site's file.

    Args:
        at: When, as UTC.
        round: The round.
        sender: Whose samples they were.
        request: With which request they came.
        order: Its place in the round.
        count: Number of samples.
        bytes: Size of their tensors.
        reason: Why they were dropped, in words.
        is_strike: Whether the portion itself was beyond the policy, or its sender was left out.
    """

    at: str
    round: int
    sender: str
    request: str
    order: int
    count: int
    bytes: int
    reason: str
    is_strike: bool


@dataclass(frozen=True)
class _Strike:
    """A portion beyond the policy; the same one again, after a resume, is one strike."""

    sender: str
    round: int
    request: str
    order: int


class Ingress:
    """Measures what enters one site in one game.

    Args:
        home: The site's folder in the game.
        space: The variables of the site's samples.
        policy: What it accepts.
    """

    def __init__(self, home: Path, space: Space, policy: Policy) -> None:
        self.path = home / FILE
        self.space = space
        self.policy = policy
        self._round = 0
        self._count: Counter[str] = Counter()
        """Samples by sender in this round."""
        self._bytes: Counter[str] = Counter()
        self._strikes: dict[_Strike, None] = dict.fromkeys(_strikes_in(self.path))

    def restored(self, round: int) -> None:
        """Go back to the end of a round: what was dropped later will come again."""
        kept = [strike for strike in self._strikes if strike.round <= round]
        self._strikes = dict.fromkeys(kept)
        self._round = 0

    def plain(self) -> dict[str, Any]:
        """Return what it has measured, for a player that is made anew for each message."""
        return {
            "round": self._round,
            "count": dict(self._count),
            "bytes": dict(self._bytes),
            "strikes": [list(astuple(strike)) for strike in self._strikes],
        }

    def take(self, values: Mapping[str, Any]) -> None:
        """Take up what :meth:`plain` returned."""
        self._round = values["round"]
        self._count = Counter(values["count"])
        self._bytes = Counter(values["bytes"])
        self._strikes = {_Strike(*strike): None for strike in values["strikes"]}

    def enters(self, message: Message) -> tuple[Message, Mapping[str, str]]:
        """Return a request without the portions beyond the policy, and why each was dropped.

        Raises:
            WriteError: What was dropped cannot be written down.
        """
        if message.round != self._round:
            self._round = message.round
            self._count.clear()
            self._bytes.clear()
        accepted: dict[str, Payload] = {}
        dropped: dict[str, str] = {}
        for sender, portion in message.payload.items():
            reason = self._reason(sender, portion)
            if reason:
                dropped[sender] = reason
                self._note(message, sender, portion, reason)
            else:
                accepted[sender] = portion
        if not dropped:
            return message, dropped
        return replace(message, payload=accepted), dropped

    def _reason(self, sender: str, portion: Payload) -> str:
        """Say why a portion is dropped; empty if it is accepted."""
        strikes = self.strikes_of(sender)
        if strikes >= self.policy.strikes:
            return f"it is left out after {strikes} portions beyond what is accepted"
        self._count[sender] += count_of(portion)
        self._bytes[sender] += bytes_of(portion)
        most = self.policy.count
        if most is not None and self._count[sender] > most:
            return f"{self._count[sender]:,} samples in a round, of which {most:,} are accepted"
        most = self.policy.bytes
        if most is not None and self._bytes[sender] > most:
            return f"{self._bytes[sender]:,} bytes in a round, of which {most:,} are accepted"
        samples = portion if isinstance(portion, Samples) else portion.fetch()
        return self._fault(samples)

    def strikes_of(self, sender: str) -> int:
        """Return how many portions of a sender were beyond the policy."""
        return sum(strike.sender == sender for strike in self._strikes)

    def _fault(self, samples: Samples) -> str:
        """Say which variable or value of samples is not accepted; empty if all are."""
        for name, values in tensors(samples).items():
            if self.policy.variables is not None and name not in self.policy.variables:
                return f"variable {shortened(name)} is not accepted"
            low, high = self.policy.ranges.get(name, (-math.inf, math.inf))
            fault = _range_fault(self._present(name, values), low, high)
            if fault:
                return f"variable {shortened(name)}: {fault}"
        return ""

    def _present(self, name: str, values: Tensor) -> Tensor:
        """Return the values that are there."""
        if name in self.space and values.shape[1:] == self.space[name].shape:
            return values[self.space[name].present(values)]
        return values[~values.isnan()]  # of others nobody here knows what a missing value is

    def _note(self, message: Message, sender: str, portion: Payload, reason: str) -> None:
        """Write down what was dropped."""
        is_strike = self.strikes_of(sender) < self.policy.strikes
        if is_strike:
            strike = _Strike(sender, message.round, message.action, message.request.order)
            self._strikes.setdefault(strike)
        line = Dropped(
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            round=message.round,
            sender=sender,
            request=message.action,
            order=message.request.order,
            count=count_of(portion),
            bytes=bytes_of(portion),
            reason=reason,
            is_strike=is_strike,
        )
        _append(self.path, json.dumps(asdict(line)) + "\n")


def _range_fault(values: Tensor, low: float, high: float) -> str:
    """Say which values are not finite or out of range; empty if none are."""
    if not values.numel():
        return ""
    if values.is_floating_point() and not bool(torch.isfinite(values).all()):
        return "values that are not finite"
    least = float(values.min())
    most = float(values.max())
    if low <= least and most <= high:
        return ""
    got = least if least < low else most
    return f"{got:g} is outside {low:g} to {high:g}, which is accepted"


def _append(path: Path, text: str) -> None:
    """Add a line to a private file, safe on disk.

    Raises:
        WriteError: The system refuses.
    """
    try:
        storage.make_folder(path.parent)
        with open(path, "a", encoding="utf-8", opener=storage.opened_privately) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise storage.cannot_write(path, error) from error


def read_dropped(path: Path) -> list[Dropped]:
    """Return the portions that were dropped; a line that was cut off while it was written is none.

    Args:
        path: The file, which need not exist.
    """
    lines = []
    try:
        texts = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    for text in texts:
        try:
            lines.append(Dropped(**json.loads(text)))
        except (ValueError, TypeError, RecursionError):
            continue
    return lines


def _strikes_in(path: Path) -> list[_Strike]:
    """Return the strikes that were written down, and end a line that was cut off."""
    try:
        content = path.read_bytes()
    except OSError:
        return []
    if content and not content.endswith(b"\n"):
        _append(path, "\n")
    strikes = []
    for line in read_dropped(path):
        if line.is_strike:
            strikes.append(_Strike(line.sender, line.round, line.request, line.order))
    return strikes
