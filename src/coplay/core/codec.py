"""Messages as bytes, for carriers between organisations: nothing is pickled, nothing trusted.

The bytes are a mark, the number of the protocol, a header in JSON, and tensors as safetensors:

    4 bytes        ``CPLY``
    4 bytes        protocol, little-endian
    8 bytes        length of the header, little-endian
    header         what is asked or answered: plain values and the names of what follows
    the rest       tensors, called by their places in the header

What comes out of a carrier is read with every type checked, and is then still a stranger's: the
gate (:mod:`coplay.engines.gate`) says whether it is what the rules expect.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from safetensors.numpy import load, save
from tensordict import TensorDict

from coplay.core.errors import MessageError
from coplay.core.facts import PROTOCOL, Facts
from coplay.core.message import (
    Head,
    Message,
    Payload,
    PlayerDied,
    PlayerLate,
    PlayerLost,
    PlayerUnsaved,
    Request,
    request_from_plain,
    request_to_plain,
)
from coplay.core.plain import flatten, restored, shortened
from coplay.core.space import Samples, tensors

MARK = b"CPLY"
"""What the bytes of every message begin with."""

_START = struct.Struct("<4sIQ")
_REQUEST = "request"
_NUMBERS = "numbers"
_FACTS = "facts"
_LOSSES: Mapping[str, type[PlayerLost]] = {
    "lost": PlayerLost,
    "late": PlayerLate,
    "died": PlayerDied,
    "unsaved": PlayerUnsaved,
}


@dataclass(frozen=True)
class _Head:
    """What is asked or answered, without numbers and tensors.

    A reply names its request by action and place in the round, since whoever asked has the rest.
    Sample sets are listed once, although a set may be for several.
    """

    kind: Literal["request", "reply", "loss"]
    sender: str
    receiver: str
    round: int
    action: str
    order: int = 0
    reason: str = ""
    lost_as: str = ""  # what kind of loss
    parts: Sequence[str] = ()  # names in the payload
    sets: Sequence[int] = ()  # place of the sample set of each part
    rows: Sequence[int] = ()  # of each sample set
    widths: Sequence[int] = ()  # number of variables of each sample set
    variables: Sequence[str] = ()  # of all sample sets, one after the other
    lines: int | None = None  # of the record of what left the sender, where it keeps one
    last: str | None = None  # digest of the last of them


@dataclass
class _Sets:
    """Sample sets, each once, and which part of a payload is which."""

    parts: list[str] = field(default_factory=list)
    sets: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    variables: list[str] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, payload: Mapping[str, Payload]) -> _Sets:
        """Lay a payload out; references are fetched."""
        sets = cls()
        places: dict[int, int] = {}
        for name, part in payload.items():
            if id(part) not in places:
                places[id(part)] = len(sets.rows)
                sets._add(part if isinstance(part, TensorDict) else part.fetch())
            sets.parts.append(name)
            sets.sets.append(places[id(part)])
        return sets

    def _add(self, samples: Samples) -> None:
        place = len(self.rows)
        values = tensors(samples)
        for column, (name, tensor) in enumerate(values.items()):
            self.variables.append(name)
            # in memory of its own: safetensors writes an array as if its rows lay side by side
            self.arrays[f"{place}.{column}"] = np.ascontiguousarray(tensor.detach().numpy())
        self.rows.append(len(samples))
        self.widths.append(len(values))


def request_to_bytes(message: Message) -> bytes:
    """Write a request for a carrier.

    Args:
        message: What is asked; samples that it refers to are fetched.

    Example:
        >>> from coplay.core.requests import Evaluate
        >>> ask = Message(Evaluate(5, 1), "coordinator", "north", 3)
        >>> request_from_bytes(request_to_bytes(ask), [Evaluate], "a message") == ask
        True
    """
    sets = _Sets.of(message.payload)
    head = _head("request", message, sets)
    plain = request_to_plain(message.request)
    return _joined(flatten(head) | {_REQUEST: plain}, message.numbers, sets)


def request_from_bytes(data: bytes, known: Iterable[type[Request]], origin: str) -> Message:
    """Read what :func:`request_to_bytes` wrote, or anything else.

    Args:
        data: What came.
        known: The kinds of request that are allowed.
        origin: Where the bytes come from, for the error.

    Raises:
        MessageError: They are no request of a known kind.
    """
    values, numbers, rest = _parted(data, origin)
    plain = values.pop(_REQUEST, None)
    head = restored(_Head, values, origin)
    if head.kind != "request" or type(plain) is not dict:
        raise MessageError(f"{origin}: expected a request, got a {head.kind} without one")
    request = request_from_plain(plain, known, origin)
    payload = _payload(head, rest, origin)
    return Message(request, head.sender, head.receiver, head.round, numbers, payload)


def reply_to_bytes(answer: Message | PlayerLost) -> bytes:
    """Write an answer for a carrier: a reply, or the loss in its place.

    Args:
        answer: What a player answered; samples that it refers to are fetched.

    Raises:
        MessageError: Its numbers are none, or its payload cannot be written.
    """
    if isinstance(answer, PlayerLost):
        return _joined(flatten(_head_of_loss(answer)), {}, _Sets())
    sets = _Sets.of(answer.payload)
    return _joined(flatten(_head("reply", answer, sets)), answer.numbers, sets)


def reply_from_bytes(data: bytes, ask: Message) -> Message | PlayerLost:
    """Read what :func:`reply_to_bytes` wrote, or anything else.

    Args:
        data: What came.
        ask: The request that it should answer.

    Raises:
        MessageError: The bytes are no answer, or that to another request.
    """
    origin = f"the answer of player '{ask.receiver}'"
    values, numbers, rest = _parted(data, origin)
    head = restored(_Head, values, origin)
    if head.kind == "loss":
        kind = _LOSSES.get(head.lost_as)
        if kind is None:
            known = ", ".join(_LOSSES)
            raise MessageError(
                f"{origin}: expected a loss of kind {known}, got {shortened(head.lost_as)}"
            )
        return kind(head.sender, head.action, head.round, head.reason, _end(head, origin))
    if head.kind != "reply":
        raise MessageError(f"{origin}: expected a reply or a loss, got a {head.kind}")
    expected = (ask.action, ask.request.order)
    if (head.action, head.order) != expected:
        raise MessageError(
            f"{origin}: expected that to {_named(*expected)}, "
            f"got that to {_named(head.action, head.order)}"
        )
    payload = _payload(head, rest, origin)
    end = _end(head, origin)
    return Message(ask.request, head.sender, head.receiver, head.round, numbers, payload, end)


def facts_to_bytes(facts: Facts) -> bytes:
    """Write what a player says of itself for a carrier."""
    return _joined({_FACTS: facts.plain()}, {}, _Sets())


def facts_from_bytes(data: bytes, name: str) -> Facts:
    """Read what :func:`facts_to_bytes` wrote, or anything else.

    Args:
        data: What came.
        name: The player that was asked.

    Raises:
        MessageError: The bytes are no facts, or those of another.
    """
    origin = f"the facts of player '{name}'"
    values, _, _ = _parted(data, origin)
    plain = values.get(_FACTS)
    if type(plain) is not dict:
        raise MessageError(f"{origin}: expected facts, got {shortened(list(values))}")
    return Facts.from_plain(plain, name)


def _head_of_loss(loss: PlayerLost) -> _Head:
    """Return a loss with its kind: one that is late stays in the game, and one that died does not.

    A kind of somebody else's travels as the nearest of coplay's own.
    """
    own = next(kind for kind in type(loss).__mro__ if kind in _LOSSES.values())
    name = next(name for name, kind in _LOSSES.items() if kind is own)
    return _Head(
        "loss",
        loss.player,
        "",
        loss.round,
        loss.action,
        reason=loss.reason,
        lost_as=name,
        **_of_record(loss.head),
    )


def _of_record(end: Head | None) -> dict[str, Any]:
    """Return how the end of a sender's record stands in the header; empty where it keeps none."""
    return {} if end is None else {"lines": end.lines, "last": end.digest}


def _end(head: _Head, origin: str) -> Head | None:
    """Return the end of a sender's record; None where it names none.

    Raises:
        MessageError: It is none.
    """
    if head.lines is None and head.last is None:
        return None
    end = Head(head.lines or 0, head.last or "")
    if end.fault:
        raise MessageError(f"{origin}: the end of its egress record: {end.fault}")
    return end


def _named(action: str, order: int) -> str:
    return f"{shortened(action)} at place {order}"


def _head(kind: Literal["request", "reply"], message: Message, sets: _Sets) -> _Head:
    return _Head(
        kind,
        message.sender,
        message.receiver,
        message.round,
        message.action,
        message.request.order,
        parts=sets.parts,
        sets=sets.sets,
        rows=sets.rows,
        widths=sets.widths,
        variables=sets.variables,
        **_of_record(message.head),
    )


def _joined(values: Mapping[str, object], numbers: Mapping[str, float], sets: _Sets) -> bytes:
    """Return header and tensors as bytes.

    Raises:
        MessageError: A number is none.
    """
    wrong = [name for name, value in numbers.items() if type(value) not in (int, float)]
    if wrong:
        got = shortened(numbers[wrong[0]])
        raise MessageError(f"number {shortened(wrong[0])}: expected a number, got {got}")
    header = json.dumps({**values, _NUMBERS: dict(numbers)}).encode()
    return _START.pack(MARK, PROTOCOL, len(header)) + header + save(sets.arrays)


def _parted(data: bytes, origin: str) -> tuple[dict[str, Any], dict[str, float], bytes]:
    """Return the header's values, the numbers, and the bytes of the tensors.

    Raises:
        MessageError: The bytes do not begin as a message does.
    """
    if len(data) < _START.size or data[: len(MARK)] != MARK:
        raise MessageError(f"{origin}: expected a message of coplay, got {len(data)} other bytes")
    _, protocol, length = _START.unpack_from(data)
    if protocol != PROTOCOL:
        raise MessageError(
            f"{origin}: it is written in protocol {protocol}, and this coplay reads {PROTOCOL}; "
            "give both the same version of coplay"
        )
    end = _START.size + length
    if end > len(data):
        raise MessageError(
            f"{origin}: expected a header of {length} bytes, got {len(data) - _START.size}"
        )
    try:
        values = json.loads(data[_START.size : end])
    except (ValueError, RecursionError):
        values = None
    if type(values) is not dict:
        raise MessageError(f"{origin}: its header is no JSON object")
    numbers = values.pop(_NUMBERS, {})
    is_right = type(numbers) is dict
    if not is_right or any(type(value) not in (int, float) for value in numbers.values()):
        raise MessageError(f"{origin}: expected numbers by name, got {shortened(numbers)}")
    return values, numbers, data[end:]


def _payload(head: _Head, data: bytes, origin: str) -> dict[str, Payload]:
    """Return the sample sets by part; a set for several is one object.

    Raises:
        MessageError: The header does not say what the tensors are.
    """
    try:
        arrays = load(data)
    except Exception:  # a stranger's bytes: safetensors raises several kinds
        raise MessageError(f"{origin}: its tensors cannot be read") from None
    _check_layout(head, origin)
    sets = []
    names = iter(head.variables)
    for place, (rows, width) in enumerate(zip(head.rows, head.widths, strict=True)):
        values = {}
        for column in range(width):
            name = next(names)
            array = arrays.pop(f"{place}.{column}", None)
            if array is None or array.ndim == 0 or len(array) != rows or name in values:
                raise MessageError(f"{origin}: {shortened(name)} is no tensor of {rows} rows")
            # cloned into torch's own memory: sums may depend on how memory is aligned
            values[name] = torch.from_numpy(array.copy()).clone()
        sets.append(TensorDict(values, batch_size=[rows]))
    if arrays:
        raise MessageError(f"{origin}: {len(arrays)} tensors are in no sample set")
    return {name: sets[place] for name, place in zip(head.parts, head.sets, strict=True)}


def _check_layout(head: _Head, origin: str) -> None:
    """Refuse a header whose lists contradict each other.

    Raises:
        MessageError: They do.
    """
    are_equal = len(head.parts) == len(head.sets) and len(head.rows) == len(head.widths)
    is_counted = min([*head.widths, *head.rows], default=0) >= 0
    is_named = sum(head.widths) == len(head.variables) and len(set(head.parts)) == len(head.parts)
    is_there = set(head.sets) == set(range(len(head.rows)))
    if not (are_equal and is_counted and is_named and is_there):
        raise MessageError(f"{origin}: its header contradicts itself")
