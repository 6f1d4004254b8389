"""Messages changed so that they must not be accepted: each mutation is harmful by what it does.

They know nothing of the gate. ``bad_request`` and ``bad_reply`` make one bad message of an honest
one; which kinds of harm there are follows from what the honest message has.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace

import torch
from tensordict import TensorDict

from coplay.core.message import COORDINATOR, Message, PlayerDied, PlayerLate, PlayerLost, Request
from coplay.games import (
    distillation,
    first_hand_expected,
    fl_gan,
    isolated,
    md_gan_seats,
    sample_exchange,
)
from coplay.player import Evaluate, Gain, Restore


class Bomb(Exception):
    """What hostile objects raise; it must never come out."""


class BadDict(dict):
    """A dictionary that cannot be read."""

    def items(self):
        raise Bomb

    def __iter__(self):
        raise Bomb

    def __len__(self):
        raise Bomb


class BadMapping(Mapping):
    """A mapping that goes on for ever."""

    def __getitem__(self, name):
        return 1.0

    def __iter__(self):
        while True:
            yield "x"

    def __len__(self):
        return 1


class BadText(str):
    """A text that is equal to every other."""

    def __eq__(self, other):
        return True

    def __hash__(self):
        return hash("p0")


class Hostile:
    """It raises whatever is done with it."""

    def __getattr__(self, name):
        raise Bomb

    def __eq__(self, other):
        raise Bomb

    def __hash__(self):
        raise Bomb

    def __repr__(self):
        raise Bomb

    def __len__(self):
        raise Bomb

    def __float__(self):
        raise Bomb


class Handle:
    """A payload that nobody can fetch."""

    size_bytes = -1
    count = 20

    def fetch(self):
        raise Bomb


class Special(torch.Tensor):
    """A tensor of a class of the sender's own."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        raise Bomb


STRANGERS = ("stranger", BadText("p1"), "", "a\nb", "x" * 5000, 7, None, Hostile())
NOT_ROUNDS = (0, -1, 10**9, 1.0, True, None, "2", math.nan, Hostile())
NO_MAPPINGS = (None, 3, [("a", 1.0)], "abc", BadDict(a=1.0), BadMapping(), Hostile())
BAD_NUMBERS = (math.nan, None, "much", 1e300, True, [1.0], Hostile())
OTHER_GAMES = (
    isolated.Turn(),
    sample_exchange.Turn(0.5, {}),
    first_hand_expected.Turn((), (), {}),
    distillation.Turn(()),
    fl_gan.Learn(1, 1),
    fl_gan.Average({}, 0),
    md_gan_seats.Update(1),
    Request(),
)


def one_of(random, values):
    return values[random.randrange(len(values))]


# --------------------------------------------------------------------------------------- payloads


def lying(samples):
    """A sample set whose batch size says nothing of its tensors."""
    bad = samples.clone()
    bad._batch_size = torch.Size([1 if len(samples) > 1 else 3])
    return bad


def with_tensor(samples, name, tensor):
    """The sample set with another tensor, whatever TensorDict thinks of it."""
    bad = samples.clone()
    bad._tensordict[name] = tensor
    return bad


def bad_tensors(x, rows):
    """Return tensors that are no samples, like x in one way or another."""
    bad = [
        x.to(torch.complex64),
        x.to(torch.float16),
        x.to(torch.int16),
        x.to_sparse(),
        torch.quantize_per_tensor(x.float(), 0.1, 0, torch.quint8),
        x.float().clone().requires_grad_(),
        x.float().clone().as_subclass(Special),
        x.to("meta"),
        x.unsqueeze(-1),
        x.flatten(0) if x.dim() > 1 and x[0].numel() > 1 else x[:, None],
        x[:-1],
        torch.cat([x, x]),
        x.sum(),
        TensorDict({"deep": x}, [rows]),
        "text",
        None,
    ]
    if x.is_floating_point():
        for value in (math.nan, math.inf, -math.inf, 1e30, -1e30):
            poisoned = x.clone()
            poisoned.view(-1)[-1] = value
            bad.append(poisoned)
    else:
        bad += [x + 200, x.clone().fill_(255 if x.dtype == torch.uint8 else -1)]
    return bad


def bad_part(random, samples, counted=True):
    """Return something that must not be taken for this part of a payload.

    Args:
        random: Source of the choice.
        samples: The honest part.
        counted: Whether its number of samples is agreed on.
    """
    n = len(samples)
    whole = (
        None,
        3,
        {name: samples[name] for name in samples.keys()},
        Handle(),
        Hostile(),
        TensorDict({}, [n]),
        TensorDict(dict(samples.items()), []),
        TensorDict({"deep": samples}, [n]),
        lying(samples),
        samples[:0],
    )
    if counted:
        whole += (torch.cat([samples] * 60),)
    if random.random() < 0.3:
        return one_of(random, whole)
    name = one_of(random, sorted(samples.keys()))
    return with_tensor(samples, name, one_of(random, bad_tensors(samples[name], n)))


# --------------------------------------------------------------------------------------- requests


def bad_fields(request, random, me):
    """Return requests of the same kind with one field that cannot be meant."""
    bad = []
    for item in dataclasses.fields(request):
        value = getattr(request, item.name)
        values = [Hostile(), object(), TensorDict({}, [0])]
        if isinstance(value, Mapping):
            values += [BadDict(value), BadMapping(), ["p0"], 3, {3: 1}, {None: None}]
            for name in value:
                for number in (math.nan, -5, 10**12, "3", None, True, 2.5 + 1j):
                    values.append({**value, name: number})
            if value:
                entry = next(iter(value.values()))
                values += [{**value, "stranger": entry}, {**value, me: entry}]
                values += [{**value, "a\nb": entry}, {**value, "x" * 5000: entry}]
        elif isinstance(value, bool):
            values += [None, 2, "true"]
        elif isinstance(value, int):
            values += [-1, 10**12, 2.5, "3", None, True, math.nan, -(10**30)]
        elif isinstance(value, float):
            values += [-1.0, 1e12, "0.5", None, math.nan, math.inf, 10**400]
        elif isinstance(value, str):
            values += ["stranger", me, 3, None, "a\nb", ["p0"]]
        else:
            values += ["p0", 3, None, [3], ("stranger",), (me, me), {"p0": 1}, range(10**9)]
        bad += [replace(request, **{item.name: each}) for each in values]
    return bad


def bad_request(ask, known, random, past, others):
    """Return one bad message made of an honest request.

    Args:
        ask: The honest one, which comes next.
        known: The kinds of request of its game.
        random: Source of the choice.
        past: What this player has accepted before.
        others: Honest requests to others.
    """
    me = ask.receiver
    kinds = ["receiver", "sender", "round", "numbers", "action", "payload", "fields", "type"]
    if ask.payload:
        kinds += ["part"] * 6 + ["origin"] * 2
    if dataclasses.fields(ask.request):
        kinds += ["fields"] * 4
    kinds += ["replay"] * 2 * bool(past) + ["other"] * 2 * bool(others)
    match one_of(random, kinds):
        case "receiver":
            names = [other.receiver for other in others if other.receiver != me]
            return replace(ask, receiver=one_of(random, [*names, *STRANGERS]))
        case "sender":
            return replace(ask, sender=one_of(random, [me, "Coordinator", *STRANGERS]))
        case "round":
            rounds = [*NOT_ROUNDS]
            earlier = [each.round for each in past if each.round < ask.round]
            return replace(ask, round=one_of(random, [*rounds, *earlier[-1:] * 4]))
        case "numbers":
            some = [{"loss": 1.0}, {"loss": math.nan}, {3: 1.0}, *NO_MAPPINGS]
            return replace(ask, numbers=one_of(random, some))
        case "action":
            foreign = [each for each in OTHER_GAMES if type(each) not in known]
            weights = {"stranger": math.nan}
            asked = [Evaluate(10**12, 2), Evaluate(-1, 2), Evaluate(5, 10**12), Evaluate(5, 0)]
            asked += [Gain(10**12, 2, 0.5, {}), Gain(1, 2, math.nan, {}), Gain(1, 2, 0.5, weights)]
            asked += [Evaluate, Hostile(), None, "turn"]
            return replace(ask, request=one_of(random, [*foreign, *asked]))
        case "payload":
            return replace(ask, payload=one_of(random, NO_MAPPINGS))
        case "fields":
            bad = bad_fields(ask.request, random, me)
            return replace(ask, request=one_of(random, bad)) if bad else None
        case "type":
            return one_of(random, [None, 3, Hostile(), ask.request, SimpleNamespace(**vars(ask))])
        case "part":
            name = one_of(random, sorted(ask.payload))
            counted = not isinstance(ask.request, Evaluate | Gain)
            part = bad_part(random, ask.payload[name], counted)
            return replace(ask, payload={**ask.payload, name: part})
        case "origin":
            part = next(iter(ask.payload.values()))
            names = ["stranger", me, COORDINATOR, "", "a\nb", 3, None]
            return replace(ask, payload={**ask.payload, one_of(random, names): part})
        case "replay":
            return one_of(random, past)
        case "other":
            return one_of(random, [other for other in others if other.receiver != me] or [None])
    raise AssertionError


# ---------------------------------------------------------------------------------------- replies


def bad_reply(ask, reply, random, others):
    """Return one bad answer made of an honest one.

    Args:
        ask: What was asked.
        reply: The honest answer.
        random: Source of the choice.
        others: Honest answers of others to the same kind of request.
    """
    kinds = ["sender", "receiver", "round", "request", "numbers", "payload", "type", "loss"]
    if reply.payload:
        kinds += ["part"] * 8 + ["part for"] * 2
    if reply.numbers:
        kinds += ["number"] * 4
    kinds += ["other"] * bool(others)
    match one_of(random, kinds):
        case "sender":
            names = [other.sender for other in others]
            return replace(reply, sender=one_of(random, [*names, COORDINATOR, *STRANGERS]))
        case "receiver":
            return replace(reply, receiver=one_of(random, [reply.sender, *STRANGERS]))
        case "round":
            return replace(reply, round=one_of(random, [reply.round + 1, *NOT_ROUNDS]))
        case "request":
            asked = [Restore(), Request(), Hostile(), None, "turn", BadDict(), Evaluate]
            return replace(reply, request=one_of(random, asked))
        case "numbers":
            return replace(reply, numbers=one_of(random, NO_MAPPINGS))
        case "number":
            name = one_of(random, sorted(reply.numbers))
            bad = [*BAD_NUMBERS, math.inf, -math.inf]
            if name.startswith(("seconds_", "flops", "samples", "batch")):
                bad += [-400.0] * 4
            if name in ("samples", "batch"):
                bad += [1e12, 0.5]
            if name in ("log_p", "low", "high", "value", "error"):
                bad = [None, "much", [1.0], Hostile()]
            more = {one_of(random, [3, "", "a\nb", "x" * 5000, None]): 1.0}
            changed = {**reply.numbers, name: one_of(random, bad)}
            numbers = one_of(random, [changed, changed, changed, {**reply.numbers, **more}])
            return replace(reply, numbers=numbers)
        case "payload":
            return replace(reply, payload=one_of(random, NO_MAPPINGS))
        case "type":
            of_me = [None, 3, "lost", {}, [], Bomb(), Hostile(), reply.payload, Message]
            return one_of(random, [*of_me, SimpleNamespace(**vars(reply))])
        case "loss":
            innocent = [other.sender for other in others]
            kind = one_of(random, [PlayerLost, PlayerDied, PlayerLate])
            player = one_of(random, [*innocent, *STRANGERS])
            return kind(player, ask.action, ask.round, "gone")
        case "part":
            name = one_of(random, sorted(reply.payload))
            part = bad_part(random, reply.payload[name])
            return replace(reply, payload={**reply.payload, name: part})
        case "part for":
            part = next(iter(reply.payload.values()))
            names = ["stranger", reply.sender, "", "a\nb", 3, None]
            more = {**reply.payload, one_of(random, names): part}
            fewer = dict(list(reply.payload.items())[1:])
            # nothing at all is what a player sends that has not learned yet
            return replace(reply, payload=fewer if fewer and random.random() < 0.5 else more)
        case "other":
            return one_of(random, others)
    raise AssertionError
