"""What a message may hold: small descriptions that a game declares, and how they are checked.

A game says for each of its requests, and for the reply to it, which parts the payload has, how many
samples each of them, what lies in their tensors, and which numbers come along
(:class:`Expected`). The checks take nothing for granted: neither that a payload is a mapping, nor
that a tensor is an ordinary one, nor that a count fits into memory. Values of samples cost one
pass.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from tensordict import TensorDict

from coplay.core.contents import AnyTensors, Content, expected_names, sample_set_fault
from coplay.core.plain import shortened
from coplay.core.slices import MANY, Slice, joined_or_whole

LARGEST_NUMBER = 1e25
"""Largest absolute value of a number: operations, nanoseconds and sums of squares are smaller."""

LONGEST_NAME = 1000
MOST_NAMES = 1_000_000

SECONDS = "seconds_"
"""What the names of times begin with that a player booked; every reply may have them."""


@dataclass(frozen=True)
class Limits:
    """The interval in which a number lies, ends included.

    Args:
        low: Smallest value.
        high: Largest value.
        special: Whether infinities and NaN are values too, as for a log p.

    Example:
        >>> Limits(0, 9).fault(-400)
        'a number from 0 to 9, got -400'
        >>> Limits(0, 9).fault(3), Limits(special=True).fault(math.inf)
        ('', '')
    """

    low: float = -LARGEST_NUMBER
    high: float = LARGEST_NUMBER
    special: bool = False

    def fault(self, value: object) -> str:
        """Describe what was expected and what came; empty if the value is right."""
        is_right = False
        if type(value) in (int, float):  # a subclass may lie where it is compared
            assert isinstance(value, int | float)
            is_special = self.special and not math.isfinite(value)
            is_right = is_special or self.low <= value <= self.high
        if is_right:
            return ""
        interval = f"from {self.low:g} to {self.high:g}"
        if self.low == self.high:
            interval = f"{self.low:g}"
        return f"a number {interval}, got {shortened(value)}"


@dataclass(frozen=True)
class Numbers:
    """Which numbers a message has.

    Args:
        limits: Of each, by name.
        needed: Names of those that must be there.
        all_or_none: Whether either all of the names are there or none.
        others: Whether there may be more, under names of the model's own.
        beside: Of those that may be there or not, whatever the others are.
    """

    limits: Mapping[str, Limits] = field(default_factory=dict)
    needed: Collection[str] = ()
    all_or_none: bool = False
    others: bool = False
    beside: Mapping[str, Limits] = field(default_factory=dict)

    def faults(self, numbers: Mapping[str, object]) -> list[str]:
        """List what is wrong with the numbers of a message."""
        faults = []
        for name, value in numbers.items():
            limits = self.limits.get(name, self.beside.get(name))
            if limits is None and name.startswith(SECONDS):
                limits = Limits(low=0)
            if limits is None and not self.others:
                faults.append(f"{expected_names(self.limits, 'number')}, got {shortened(name)}")
                continue
            fault = (limits or Limits()).fault(value)
            if fault:
                faults.append(f"expected for {shortened(name)} {fault}")
        are_some = any(name not in self.beside for name in numbers)
        needed = self.limits if self.all_or_none and are_some else self.needed
        missing = [name for name in needed if name not in numbers]
        if missing:
            faults.append(f"expected numbers called {', '.join(map(repr, missing))}, got none")
        return faults


@dataclass(frozen=True)
class Part:
    """One part of a payload.

    Args:
        content: What lies in it.
        least: Smallest number of samples.
        most: Largest number of samples.
    """

    content: Content
    least: int
    most: int

    @classmethod
    def of(cls, content: Content, count: int) -> Part:
        """Return a part of exactly so many samples."""
        return cls(content, count, count)

    def faults(self, samples: object, handles: tuple[type, ...] = ()) -> list[str]:
        """List what is wrong with a part.

        Args:
            samples: What should be a sample set, or a handle.
            handles: The kinds of handle that may stand for one; only their count is known here.
        """
        if handles and isinstance(samples, handles):
            return self._count_faults(getattr(samples, "count", None))
        if type(samples) is Slice:
            if not samples.fits:
                return ["expected samples of a larger set, got others than it has"]
            samples = samples.fetch()
        fault = sample_set_fault(samples)
        if fault:
            return [fault]
        assert isinstance(samples, TensorDict)
        return self._count_faults(len(samples)) or self.content.faults(samples)

    def _count_faults(self, count: object) -> list[str]:
        if isinstance(count, int) and self.least <= count <= self.most:
            return []
        wanted = f"{self.least}"
        if self.most > self.least:
            wanted += f" to {self.most}"
        return [f"expected {wanted} samples, got {shortened(count)}"]


Checked = dict[tuple[int, int, int, int], tuple[Content, list[str]]]
"""The faults of sample sets by identity of the set and of what it may hold, and by its counts.

The content is kept with them, so that no other can get its identity.
"""

ANY_PART = Part(AnyTensors(), 0, 2**62)
"""A part of a game that declares no more."""


@dataclass(frozen=True)
class Expected:
    """What a message may hold.

    Args:
        parts: The parts of its payload by name; None for any.
        needed: Names of the parts that must be there.
        all_or_none: Whether the payload has either all parts or none.
        numbers: Its numbers.
        numbers_alone: Whether there may be numbers without a part.
        faults: What is wrong with the values of the request itself, in words.

    Example:
        >>> Expected(numbers=Numbers({"loss": Limits()})).faults_in({"loss": math.nan}, {})
        ["expected for 'loss' a number from -1e+25 to 1e+25, got nan"]
    """

    parts: Mapping[str, Part] | None = field(default_factory=dict)
    needed: Collection[str] = ()
    all_or_none: bool = False
    numbers: Numbers = Numbers()
    numbers_alone: bool = True
    faults: Sequence[str] = ()

    def faults_in(
        self,
        numbers: Mapping[str, object],
        payload: Mapping[str, object],
        preposition: str = "for",
        handles: tuple[type, ...] = (),
        checked: Checked | None = None,
    ) -> list[str]:
        """List all faults of a message's numbers and payload.

        Args:
            numbers: Its numbers, of which :func:`plain_faults` has nothing to say.
            payload: Its payload, likewise.
            preposition: How the payload's names relate to it: ``"for"``, or ``"received from"``.
            handles: The kinds of handle that may stand for a sample set.
            checked: What was checked of messages that live as long as this one, and may share
                sample sets with it; what is checked now is added.
        """
        faults = [*self.faults, *self.numbers.faults(numbers)]
        known = {} if checked is None else checked
        faults += self._payload_faults(payload, preposition, handles, known)
        needed: Collection[str] = self.needed
        if numbers and not payload and not self.numbers_alone:
            needed = list(self.parts or {})
        if self.all_or_none and payload:
            needed = list(self.parts or {})
        missing = [name for name in needed if name not in payload]
        if missing:
            names = ", ".join(shortened(name) for name in missing[:5])
            faults.append(f"expected samples {preposition} {names}, got none")
        return faults

    def _payload_faults(
        self,
        payload: Mapping[str, object],
        preposition: str,
        handles: tuple[type, ...],
        checked: Checked,
    ) -> list[str]:
        """List what is wrong with the parts of a payload."""
        if len(payload) < MANY and self.parts is not None and payload.keys() <= self.parts.keys():
            parts = {name: self.parts[name] for name in payload}
            return _faults_one_by_one(parts, payload, preposition, handles, checked)
        faults = []
        alike: dict[int, dict[str, Part]] = {}  # by what they hold
        for name in payload:
            part = ANY_PART if self.parts is None else self.parts.get(name)
            if part is None:
                expected = expected_names(self.parts or {}, "part", preposition)
                faults.append(f"{expected}, got one {preposition} {shortened(name)}")
            else:
                alike.setdefault(id(part.content), {})[name] = part
        for parts in alike.values():
            if not _are_right_together(parts, payload):
                faults += _faults_one_by_one(parts, payload, preposition, handles, checked)
        return faults


ANYTHING = Expected(parts=None, numbers=Numbers(others=True))
"""For a game that declares no more: ordinary tensors, finite numbers."""


def _are_right_together(parts: Mapping[str, Part], payload: Mapping[str, object]) -> bool:
    """Whether many sets of the same content are right, looked at as one; False for few.

    Args:
        parts: What is expected of each, by name; all have the same content.
        payload: What came.
    """
    if len(parts) < MANY:
        return False
    whole = joined_or_whole([payload[name] for name in parts])
    if whole is None or sample_set_fault(whole):
        return False
    for name, part in parts.items():
        count = _count(payload[name])
        if not part.least <= count <= part.most:
            return False
    return not next(iter(parts.values())).content.faults(whole)


def _count(samples: object) -> int:
    assert isinstance(samples, Slice | TensorDict)
    return samples.count if isinstance(samples, Slice) else len(samples)


def _faults_one_by_one(
    parts: Mapping[str, Part],
    payload: Mapping[str, object],
    preposition: str,
    handles: tuple[type, ...],
    checked: Checked,
) -> list[str]:
    """List what is wrong with sets, each looked at by itself."""
    faults = []
    for name, part in parts.items():
        samples = payload[name]
        # one payload for several receivers is one object, and is looked at once
        key = (id(samples), id(part.content), part.least, part.most)
        if key not in checked:
            checked[key] = (part.content, part.faults(samples, handles))
        for fault in checked[key][1]:
            faults.append(f"samples {preposition} player {shortened(name)}: {fault}")
    return faults


def plain_faults(numbers: object, payload: object) -> list[str]:
    """List why numbers and payload of a message cannot be read; empty if they can."""
    faults = [_mapping_fault(numbers, "numbers"), _mapping_fault(payload, "parts")]
    return [fault for fault in faults if fault]


def _mapping_fault(values: object, what: str) -> str:
    """Describe what is wrong with what should be a mapping from short names; empty if nothing is.

    Only Python's own mappings are accepted: those of other classes may do anything when they are
    read.
    """
    if type(values) not in (dict, MappingProxyType):
        return f"expected {what} by name, got {type(values).__name__}"
    assert isinstance(values, dict | MappingProxyType)
    if len(values) > MOST_NAMES:
        return f"expected at most {MOST_NAMES} {what}, got {len(values)}"
    for name in values:
        if type(name) is not str or not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
            return (
                f"expected {what} by name, a text of 1 to {LONGEST_NAME} characters in one line, "
                f"got {shortened(name)}"
            )
    return ""
