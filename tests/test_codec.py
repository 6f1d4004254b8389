"""Messages as bytes: what was written comes back, and of a stranger's bytes nothing is believed."""

from __future__ import annotations

import json
import math
import random
import struct
from dataclasses import dataclass

import pytest
import torch
from safetensors.numpy import save
from tensordict import TensorDict

from coplay import Message
from coplay.core.codec import (
    facts_from_bytes,
    reply_from_bytes,
    reply_to_bytes,
    request_from_bytes,
    request_to_bytes,
)
from coplay.core.errors import MessageError
from coplay.core.facts import PROTOCOL
from coplay.core.message import (
    COORDINATOR,
    PlayerDied,
    PlayerLate,
    PlayerLost,
    PlayerUnsaved,
    Request,
)
from coplay.core.requests import Evaluate, Gain
from coplay.core.slices import Slice
from coplay.games.sample_exchange import Turn

KNOWN = (Evaluate, Gain, Turn)
START = struct.Struct("<4sIQ")


def samples(n=3):
    values = {
        "dose": torch.tensor([0.1, -0.0, math.nan, 1e-45, math.inf])[:n],
        "wide": torch.arange(float(2 * n), dtype=torch.float64).view(2, n).t(),
        "class": torch.arange(n),
        "bits": torch.ones(n, 2, 2, dtype=torch.uint8),
        "none": torch.zeros(n, 0),
    }
    return TensorDict(values, [n])


def ask(**more):
    return Message(Turn(0.5, {"south": 3}), COORDINATOR, "north", 7, **more)


@dataclass(frozen=True)
class Step(Request):
    """A request that comes more than once in a round."""

    number: int

    @property
    def order(self):
        return self.number


def same(one, other):
    """Whether two sample sets agree in names, order, types and every bit."""
    assert list(one.keys()) == list(other.keys())
    for name in one.keys():
        assert one[name].dtype == other[name].dtype
        assert one[name].shape == other[name].shape
        assert one[name].contiguous().numpy().tobytes() == other[name].numpy().tobytes()


@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_request_comes_back_to_the_bit(n):
    message = ask(payload={"south": samples(n), "": samples(n)})
    again = request_from_bytes(request_to_bytes(message), KNOWN, "a message")
    assert again.request == message.request
    assert (again.sender, again.receiver, again.round) == (COORDINATOR, "north", 7)
    for name in message.payload:
        same(message.payload[name], again.payload[name])


def test_numbers_keep_type_and_bits():
    numbers = {"n": 3, "loss": 0.1 + 0.2, "log_p": -math.inf, "low": math.nan, "tiny": 5e-324}
    again = reply_from_bytes(reply_to_bytes(ask().reply(numbers)), ask()).numbers
    assert {name: repr(value) for name, value in again.items()} == {
        name: repr(value) for name, value in numbers.items()
    }


def test_a_set_for_several_travels_once_and_a_part_of_a_larger_set_alone():
    large = torch.arange(100_000.0)
    shared = TensorDict({"x": large}, [len(large)])
    part = Slice({"x": large}, 5, 2)
    message = ask().reply(payload={"a": shared, "b": shared, "c": part})
    data = reply_to_bytes(message)
    assert len(data) < large.nbytes + 2000
    again = reply_from_bytes(data, ask()).payload
    assert again["a"] is again["b"]
    assert again["c"]["x"].tolist() == large[5:7].tolist()
    again["a"]["x"].zero_()  # it may be written to, unlike the bytes that came
    assert large[-1] == 99_999


@pytest.mark.parametrize("kind", [PlayerLost, PlayerLate, PlayerDied, PlayerUnsaved])
def test_a_loss_comes_back_as_the_kind_that_it_is(kind):
    loss = kind("north", "turn", 7, "no memory — really")
    again = reply_from_bytes(reply_to_bytes(loss), ask())
    assert (type(again), again) == (kind, loss)


def test_a_loss_of_a_strange_kind_is_refused():
    data = framed({**HEAD, "kind": "loss", "lost_as": "asleep"})
    expected = "expected a loss of kind lost, late, died, unsaved, got 'asleep'"
    with pytest.raises(MessageError, match=expected):
        reply_from_bytes(data, ask())


def test_an_answer_to_another_request_is_refused():
    first, second = (Message(Step(place), COORDINATOR, "north", 7) for place in (1, 2))
    data = reply_to_bytes(first.reply())
    assert reply_from_bytes(data, first) == first.reply()
    with pytest.raises(
        MessageError, match="expected that to 'step' at place 2, got that to 'step'"
    ):
        reply_from_bytes(data, second)
    with pytest.raises(
        MessageError, match="expected that to 'turn' at place 0, got that to 'step'"
    ):
        reply_from_bytes(data, ask())


def framed(header, tensors=b"", protocol=PROTOCOL):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return START.pack(b"CPLY", protocol, len(text)) + text + (tensors or save({}))


HEAD = {
    "kind": "reply",
    "sender": "north",
    "receiver": COORDINATOR,
    "round": 7,
    "action": "turn",
    "order": 0,
    "reason": "",
    "parts": [],
    "lost_as": "",
    "sets": [],
    "rows": [],
    "widths": [],
    "variables": [],
}
ONE = {"parts": ["a"], "sets": [0], "rows": [2], "widths": [1], "variables": ["x"]}
TWO_ROWS = save({"0.0": torch.zeros(2).numpy()})


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "expected a message of coplay, got 0 other bytes"),
        (b"GET / HTTP/1.1\r\n\r\n", "expected a message of coplay, got 18 other bytes"),
        (framed({}, protocol=9), f"written in protocol 9, and this coplay reads {PROTOCOL}"),
        (START.pack(b"CPLY", PROTOCOL, 1 << 60), "expected a header of 1152921504606846976 bytes"),
        (framed(b"[" * 100_000), "its header is no JSON object"),
        (framed(b"\xff\xfe"), "its header is no JSON object"),
        (framed([1]), "its header is no JSON object"),
        (framed(b'{"round": ' + b"9" * 10_000 + b"}"), "its header is no JSON object"),
        (framed({}), "kind is missing"),
        (framed({**HEAD, "more": 1}), "'more' is unknown here"),
        (framed({**HEAD, "kind": "request"}), "expected a reply or a loss, got a request"),
        (framed({**HEAD, "round": 7.0}), "round: expected a whole number, got 7.0"),
        (framed({**HEAD, "numbers": {"loss": "low"}}), "expected numbers by name"),
        (framed({**HEAD, "numbers": {"loss": True}}), "expected numbers by name"),
        (framed(HEAD, b"junk"), "its tensors cannot be read"),
        (framed(HEAD, TWO_ROWS), "1 tensors are in no sample set"),
        (framed({**HEAD, **ONE}), "'x' is no tensor of 2 rows"),
        (framed({**HEAD, **ONE, "rows": [3]}, TWO_ROWS), "'x' is no tensor of 3 rows"),
        (framed({**HEAD, **ONE, "rows": [-1]}, TWO_ROWS), "its header contradicts itself"),
        (framed({**HEAD, **ONE, "sets": [1]}, TWO_ROWS), "its header contradicts itself"),
        (framed({**HEAD, **ONE, "widths": [2]}, TWO_ROWS), "its header contradicts itself"),
        (framed({**HEAD, **ONE, "parts": ["a", "a"], "sets": [0, 0]}, TWO_ROWS), "contradicts"),
        (framed({**HEAD, **ONE, "parts": []}, TWO_ROWS), "its header contradicts itself"),
    ],
)
def test_strange_answers_are_refused_in_words(data, fault):
    with pytest.raises(MessageError, match=r"^the answer of player 'north'") as caught:
        reply_from_bytes(data, ask())
    assert fault in str(caught.value)


def test_a_count_of_rows_costs_no_memory_before_it_is_checked():
    huge = {**HEAD, **ONE, "rows": [1 << 60]}
    with pytest.raises(MessageError, match="is no tensor of"):
        reply_from_bytes(framed(huge, TWO_ROWS), ask())


def test_an_unknown_action_is_refused_by_name():
    data = request_to_bytes(ask())
    with pytest.raises(MessageError, match="asks 'turn', which nobody knows here; known: evaluate"):
        request_from_bytes(data, [Evaluate], "a message")


def test_what_is_no_number_is_not_written():
    with pytest.raises(MessageError, match="number 'loss': expected a number, got 'low'"):
        reply_to_bytes(ask().reply({"loss": "low"}))


def test_bytes_that_were_changed_on_the_way_are_refused_or_still_a_message():
    """Nothing but a MessageError comes out, whichever byte changed."""
    generator = random.Random(3)
    message = ask(numbers={"n": 3}, payload={"south": samples(), "east": samples(1)})
    request = request_to_bytes(message)
    reply = reply_to_bytes(message.reply({"loss": 0.5}, message.payload))
    refused = 0
    for _ in range(1500):
        for data in (request, reply):
            changed = bytearray(data)
            for _ in range(generator.randint(1, 3)):
                changed[generator.randrange(len(changed))] = generator.randrange(256)
            cut = bytes(changed[: generator.choice([len(changed), generator.randrange(len(data))])])
            try:
                if data is request:
                    assert type(request_from_bytes(cut, KNOWN, "a message")) is Message
                else:
                    assert type(reply_from_bytes(cut, message)) in (Message, PlayerLost)
            except MessageError:
                refused += 1
            with pytest.raises(MessageError):
                facts_from_bytes(cut, "north")
    assert 1000 < refused < 3000
