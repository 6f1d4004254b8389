"""Ten thousand changed messages at the decoder of each side, envelopes and bytes alike.

What is accepted keeps to the space and the policy; what is not is refused with a reason, ends
nothing and changes nothing.
"""

import json
import math
import random
import resource
import struct
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from coplay.core.codec import (
    reply_from_bytes,
    reply_to_bytes,
    request_from_bytes,
    request_to_bytes,
)
from coplay.core.errors import MessageError
from coplay.core.history import History, Roster
from coplay.core.message import COORDINATOR, Message, PlayerLost
from coplay.core.space import tensors
from coplay.engines.flower_carrier import Fault, Parcel
from coplay.engines.flower_codec import Envelope
from coplay.engines.flower_link import Presence
from coplay.engines.gate import checked_reply, refusal
from coplay.games.sample_exchange import SampleExchange, Turn
from coplay.player import REQUESTS
from coplay.run.flower_site import Sitting, check_ask
from coplay.run.own_data import SiteRecipe, own_data
from coplay.site.ingress import Ingress, Policy

from .flower_loop import Loop, deployed, linked, site_at

PIECES = 10
EACH = 10_000 // PIECES
START = struct.Struct("<4sIQ")
MOST = 300_000
POLICY = Policy(count=40, ranges={"mean radius": (0.0, 60.0)})


class Table:
    """One site and its coordinator, with an honest request and an honest answer."""

    def __init__(self, folder):
        federation, places = deployed(folder, {"compare": []})
        self.site = site_at(places["north"])
        self.site.most_bytes = MOST
        self.link = linked(Loop(places), federation)
        self.link.begin(list(places))
        self.link.most_bytes = MOST
        for node, name in enumerate(places, start=1):
            self.link.sites[name] = Presence(node)
        config = self.site.config
        self.game = config.game
        assert isinstance(self.game, SampleExchange)
        own = own_data(config, None, {})["north"]
        self.player = SiteRecipe(own, config.seed, None).build()
        self.player.roster = Roster(config.player_names)
        self.player.roster.take_incomplete = frozenset(config.player_names)
        self.ingress = Ingress(folder, self.player.space, POLICY)
        self.envelope = Envelope(
            "ask",
            self.link.federation,
            "north",
            self.link.run,
            self.link.sitting,
            5,
            game="sample_exchange",
            takers=("east", "north", "south"),
        )
        self.sitting = Sitting(
            self.link.run,
            self.link.sitting,
            1,
            4,
            "sample_exchange",
            takers=["east", "north", "south"],
        )
        payload = {}
        for place, name in enumerate(("south", "east")):
            payload[name] = drawn(self.player.space, 12 + place, place)
        self.ask = Message(Turn(0.5, {"south": 6}), COORDINATOR, "north", 3, payload=payload)
        self.body = request_to_bytes(self.ask)
        sent = {"south": drawn(self.player.space, 6, 7)}
        self.reply = self.ask.reply({"loss": 0.5}, sent)
        self.answered = reply_to_bytes(self.reply)

    def enters(self, values, body):
        """Return what a site would let its player see; raise or return a loss for the rest."""
        ask = Envelope.from_plain(values, "a message")
        content = self.site.checked(ask, body)
        check_ask(ask, self.sitting, self.sitting.number)
        message = request_from_bytes(content, (*REQUESTS, *self.game.requests), "a request")
        self.player.history = History(2)
        loss = refusal(self.game, self.player, message)
        if loss is not None:
            return loss
        entered, dropped = self.ingress.enters(message)
        self.ingress.restored(0)  # or a sender would be left out after some portions
        self.ingress._strikes = {}
        assert all(dropped.values())
        return entered

    def returns(self, values, body):
        """Return what a coordinator would let its game see."""
        got = self.link._opened(self.envelope, "north", Parcel(1, values, body))
        if isinstance(got, Fault):
            raise MessageError(got.reason)
        answer = reply_from_bytes(got[1], self.ask)
        return checked_reply(self.game, self.player, self.ask, answer)


def drawn(space, n, seed):
    generator = torch.Generator().manual_seed(seed)
    values = {}
    for name in space:
        if space[name].kind == "real":
            values[name] = torch.rand(n, generator=generator)
        else:
            values[name] = torch.randint(2, (n,), generator=generator)
    return space.samples(**values)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return Table(tmp_path_factory.mktemp("sites"))


# ------------------------------------------------------------------------------------ mutations


def parts_of(body):
    mark, protocol, length = START.unpack_from(body)
    end = START.size + length
    return [mark, protocol, length], json.loads(body[START.size : end]), load(body[end:])


def joined(start, header, arrays):
    text = json.dumps(header).encode()
    mark, protocol, length = start
    return START.pack(mark, protocol, len(text) if length is None else length) + text + save(arrays)


STRANGE = (-1, 0, 3, 1 << 80, 0.5, math.nan, True, None, "", "x" * 6000, "a/b\n", [], [1], {}, b"x")


def changed_envelope(values, random):
    name = random.choice(list(values))
    act = random.random()
    if act < 0.1:
        return {key: value for key, value in values.items() if key != name}
    if act < 0.2:
        return {**values, f"{name}x": 1}
    if act < 0.4 and isinstance(values[name], str):
        return {**values, name: values[name][:-1] + random.choice("0x/ \n")}
    return {**values, name: random.choice(STRANGE)}


def changed_bytes(body, random):
    act = random.random()
    place = random.randrange(len(body))
    if act < 0.25:
        return body[:place]
    if act < 0.4:
        return body + random.randbytes(random.choice([1, 100, MOST]))
    if act < 0.9:
        flipped = bytearray(body)
        for _ in range(random.choice([1, 1, 8])):
            flipped[random.randrange(len(body))] ^= 1 << random.randrange(8)
        return bytes(flipped)
    return random.choice([b"", b"\x80\x04.", random.randbytes(50), "text", None, bytearray(body)])


def changed_header(body, random):
    start, header, arrays = parts_of(body)
    start[2] = None
    act = random.random()
    if act < 0.15:
        start[random.randrange(3)] = random.choice([b"CPLX", b"XXXX"]) if random.random() < 0 else 7
        if not isinstance(start[0], bytes):
            start[0] = b"PLYC"
        return joined(start, header, arrays)
    name = random.choice(list(header))
    value = header[name]
    if isinstance(value, list) and value and act < 0.6:
        value = list(value)
        value[random.randrange(len(value))] = random.choice(
            ["north", "west", -1, 0, 9, 1 << 40, None, 0.5]
        )
        return joined(start, {**header, name: value}, arrays)
    if isinstance(value, dict):
        value = {**value, random.choice(["own", "x", "draw.values"]): random.choice([-5, 1e9, "x"])}
        return joined(start, {**header, name: value}, arrays)
    strange = [each for each in STRANGE if not isinstance(each, bytes)]
    return joined(start, {**header, name: random.choice(strange)}, arrays)


def changed_tensor(body, random):
    start, header, arrays = parts_of(body)
    start[2] = None
    name = random.choice(list(arrays))
    array = arrays[name].copy()
    floats = array.dtype.kind == "f"
    act = random.randrange(8)
    if act == 0:
        array = array.astype(random.choice([np.float64, np.float16, np.int8, np.uint32, bool]))
    elif act == 1:
        array = array[: random.randrange(len(array))]
    elif act == 2:
        array = np.concatenate([array] * random.choice([2, 60]))
    elif act == 3:
        array = array[:, None]
    elif act == 4 and floats:
        array[random.randrange(len(array))] = random.choice([np.nan, np.inf, -np.inf, 1e30, -1])
    elif act == 4:
        array[random.randrange(len(array))] = random.choice([-1, 2, 100])
    elif act == 5:
        arrays[f"{random.randrange(9)}.{random.randrange(9)}"] = array
    elif act == 6:
        del arrays[name]
        return joined(start, header, arrays)
    else:  # more samples of everything than is agreed or accepted
        arrays = {each: np.concatenate([values] * 5) for each, values in arrays.items()}
        header["rows"] = [rows * 5 for rows in header["rows"]]
        return joined(start, header, arrays)
    return joined(start, header, {**arrays, name: array})


def mutated(values, body, random):
    act = random.random()
    if act < 0.25:
        return changed_envelope(values, random), body
    if act < 0.5:
        return values, changed_bytes(body, random)
    change = changed_header if act < 0.75 else changed_tensor
    return values, change(body, random)


def keeps_to(space, samples):
    """Whether samples lie in a space, without asking the space; unknown variables are dropped."""
    for name, values in tensors(samples).items():
        if name not in space:
            continue
        if values.dim() != 1 or len(values) != len(samples):
            return False
        low, high = space[name].range
        present = values[~values.isnan()] if values.is_floating_point() else values
        if not bool(torch.isfinite(present).all()):
            return False
        if present.numel() and not (low <= float(present.min()) and float(present.max()) <= high):
            return False
    return True


def accepted_or_reason(gate, values, body):
    """Return what a gate accepts, or the reason in words why it does not."""
    try:
        got = gate(values, body)
    except MessageError as error:
        return str(error)
    return got.reason if isinstance(got, PlayerLost) else got


def names_a_reason(reason):
    return 10 < len(reason) < 6000 and "Traceback" not in reason


@pytest.mark.parametrize("piece", range(PIECES))
def test_no_changed_request_breaks_space_or_policy(table, piece):
    rng = random.Random(100 + piece)
    values = table.envelope.plain()
    accepted = 0
    for _ in range(EACH):
        envelope, body = mutated(values, table.body, rng)
        got = accepted_or_reason(table.enters, envelope, body)
        if isinstance(got, str):
            assert names_a_reason(got)
            continue
        accepted += 1
        assert (got.sender, got.receiver) == (COORDINATOR, "north")
        for samples in got.samples().values():
            assert keeps_to(table.player.space, samples)
            assert len(samples) <= POLICY.count
            if "mean radius" in samples.keys():
                assert float(samples["mean radius"].max()) <= 60
    assert accepted < 0.4 * EACH
    assert isinstance(table.enters(values, table.body), Message)


@pytest.mark.parametrize("piece", range(PIECES))
def test_no_changed_answer_breaks_the_space(table, piece):
    rng = random.Random(200 + piece)
    values = table.envelope.answered("answer", "north").plain()
    accepted = 0
    for _ in range(EACH):
        envelope, body = mutated(values, table.answered, rng)
        got = accepted_or_reason(table.returns, envelope, body)
        if isinstance(got, str):
            assert names_a_reason(got)
            continue
        accepted += 1
        assert (got.sender, got.receiver, got.round) == ("north", COORDINATOR, 3)
        assert set(got.payload) == {"south"}
        for samples in got.samples().values():
            assert len(samples) == 6
            assert keeps_to(table.player.space, samples)
        assert all(math.isfinite(number) for number in got.numbers.values())
    assert accepted < 0.4 * EACH
    assert isinstance(table.returns(values, table.answered), Message)


def test_an_envelope_says_all_that_is_wrong_with_it(table):
    with pytest.raises(MessageError, match=r"number: expected 1 to .*; threads: expected 1 to 256"):
        Envelope.from_plain({**table.envelope.plain(), "number": 0, "threads": 0}, "a message")
    other = replace(table.envelope.answered("answer", "south"), number=4)
    faults = table.envelope.answer_faults(other)
    assert faults == [
        "site: expected the answer of 'north', got that of 'south'",
        "number: expected 5, got 4",
    ]


def test_what_a_changed_message_takes_of_memory_is_bounded(table):
    rng = random.Random(5)
    tracemalloc.start()
    for _ in range(200):
        envelope, body = mutated(table.envelope.plain(), table.body, rng)
        accepted_or_reason(table.enters, envelope, body)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 60 * MOST


def test_a_large_message_is_refused_before_it_is_read(table):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MessageError, match="of which 300,000 are accepted"):
        table.enters(table.envelope.plain(), bytes(MOST + 1))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
