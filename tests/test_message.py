"""Requests of plain values, which any engine can carry.

A carrier need not be trusted: values of another type are refused.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pytest

from coplay.core.errors import MessageError
from coplay.core.message import Message, Request, request_from_plain, request_to_plain
from coplay.player import REQUESTS, Evaluate, Gain, Restore, Save


@dataclass(frozen=True)
class Everything(Request):
    """One field of every kind."""

    flag: bool
    count: int
    weight: float
    name: str
    how: Literal["keep", "travel"]
    names: Sequence[str]
    pair: tuple[int, ...]
    shares: Mapping[str, float]
    perhaps: float | None = None


WHOLE = Everything(True, 3, 0.5, "north", "keep", ("a", "b"), (1, 2), {"a": 0.25, "b": 0.75}, 1.5)


@pytest.mark.parametrize(
    "request_",
    [
        WHOLE,
        Everything(False, 0, 0.0, "", "travel", (), (), {}),
        Evaluate(4, 2),
        Gain(1, 2, 0.5, {"own": 0.5}),
        Save(),
        Restore(),
    ],
)
def test_a_request_comes_back_from_its_plain_values(request_):
    plain = request_to_plain(request_)
    for value in plain.values():
        scalars = value if isinstance(value, list) else [value]
        assert all(isinstance(scalar, bool | int | float | str) for scalar in scalars)
    again = request_from_plain(json.loads(json.dumps(plain)), [Everything, *REQUESTS], "a message")
    assert again == request_
    assert type(again) is type(request_)


def test_a_whole_number_may_stand_for_a_float_and_nothing_else_for_anything():
    plain = request_to_plain(WHOLE) | {"weight": 1}
    weight = request_from_plain(plain, [Everything], "a message").weight
    assert (weight, type(weight)) == (1.0, float)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flag", 1),
        ("flag", "true"),
        ("count", 3.0),
        ("count", True),
        ("count", "3"),
        ("weight", True),
        ("weight", math.nan),
        ("weight", math.inf),
        ("weight", "0.5"),
        ("name", 3),
        ("name", b"north"),
        ("how", "reset"),
        ("how", 0),
        ("names", "ab"),
        ("names", ["a", 1]),
        ("pair", [1, 2.5]),
        ("pair", 1),
        ("shares.keys", ["a"]),
        ("shares.keys", ["a", "a"]),
        ("shares.keys", [1, 2]),
        ("shares.values", [0.25, math.nan]),
        ("shares.values", {"a": 1.0}),
        ("perhaps", "much"),
        ("unheard_of", 1),
        ("__class__", "os.system"),
    ],
)
def test_values_of_another_type_are_refused_with_their_name(name, value):
    plain = request_to_plain(WHOLE) | {name: value}
    with pytest.raises(MessageError, match=name.partition(".")[0].strip("_")):
        request_from_plain(plain, [Everything], "a message of player 'north'")


def test_all_faults_are_named_at_once():
    plain = {"action": "everything", "flag": 7, "shares.keys": [], "shares.values": [], "extra": 1}
    words = (
        "a message of player 'north' is no valid Everything: "
        ".*flag: expected true or false, got 7.*count is missing"
    )
    with pytest.raises(MessageError, match=words) as error:
        request_from_plain(plain, [Everything], "a message of player 'north'")
    assert "'extra' is unknown here" in str(error.value)
    assert "perhaps" not in str(error.value), "an optional value may be absent"


@pytest.mark.parametrize("action", ["fly", None, 3, ["save"]])
def test_only_known_requests_are_built(action):
    with pytest.raises(MessageError, match="known: evaluate, finish, gain, judge, measure, "):
        request_from_plain({"action": action}, REQUESTS, "a message")


def test_a_reply_answers_its_request():
    ask = Message(WHOLE, "coordinator", "north", 4)
    reply = ask.reply({"loss": 1.0})
    assert (reply.request, reply.sender, reply.receiver, reply.round) == (
        WHOLE,
        "north",
        "coordinator",
        4,
    )
    assert reply.action == "everything"
