"""How payloads travel between processes.

Small ones travel as numpy with the call, large ones by the object store of their node. Torch
tensors are pickled, which takes two to ten times as long, so what travels is numpy. The coordinator
owns what is stored, so that it outlives the process that made it: what an actor puts into the store
itself dies with the actor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict

from coplay.core.errors import PartLostError
from coplay.core.message import Message, bytes_of, count_of
from coplay.core.space import Samples, tensors

INLINE_BYTES = 100 * 1024
"""Larger payloads go from process to process, past the coordinator."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Stored:
    """A payload in the object store of some node: a :class:`coplay.core.message.Handle`.

    Args:
        size_bytes: Size of the payload.
        count: Number of its samples.
        ref: Ray's reference to a list of payloads.
        place: Position in that list.
    """

    size_bytes: int
    count: int
    ref: Any
    place: int

    def fetch(self) -> Samples:
        """Fetch the samples to this process.

        Raises:
            PartLostError: They were lost with the node that held them.
        """
        values = fetched([self.ref])
        if not values:
            raise PartLostError("a payload went down with the node that held it")
        return to_samples(values[self.ref][self.place])


@dataclass(frozen=True)
class Kept:
    """A large payload of an answer on its way.

    It lies in the call's return value for a group, at a position in that list.
    """

    size_bytes: int
    count: int
    group: int
    place: int


def packed(ray: Any, message: Message, put: dict[int, Stored | Arrays]) -> Message:
    """Return a request as it travels.

    References stay as they are, small payloads are numpy, large ones are stored.

    Args:
        ray: The module.
        message: The request.
        put: What was packed before, by identity: a payload for several receivers is stored, or sent
            in a call, once.
    """
    payload: dict[str, Any] = {}
    for name, part in message.payload.items():
        if not isinstance(part, TensorDict):
            payload[name] = part
            continue
        if id(part) not in put:
            arrays = to_arrays(part)
            if bytes_of(part) <= INLINE_BYTES:
                put[id(part)] = arrays
            else:
                put[id(part)] = Stored(bytes_of(part), count_of(part), ray.put([arrays]), 0)
        payload[name] = put[id(part)]
    return replace(message, payload=payload)


def laid_out(
    reply: Message,
    group_of: Mapping[str, int],
    large: list[list[Arrays]],
    before: dict[tuple[int, int], Kept | Arrays],
) -> Message:
    """Return an answer as it travels.

    Small payloads are numpy, large ones are laid out for the group they are meant for.

    Args:
        reply: The answer.
        group_of: Number of each player's group.
        large: By group, and last for the coordinator, the large payloads; they are added to.
        before: What was laid out before: a payload for several players of a group travels once.
    """
    payload: dict[str, Any] = {}
    coordinator = len(large) - 1
    for name, part in reply.payload.items():
        assert isinstance(part, TensorDict)
        is_small = bytes_of(part) <= INLINE_BYTES
        g = coordinator if is_small else group_of.get(name, coordinator)
        if (id(part), g) not in before:
            arrays = to_arrays(part)
            if is_small:
                before[id(part), g] = arrays
            else:
                before[id(part), g] = Kept(bytes_of(part), count_of(part), g, len(large[g]))
                large[g].append(arrays)
        payload[name] = before[id(part), g]
    return replace(reply, payload=payload)


def unpacked(reply: Message, large: Sequence[Any], before: dict[int, Samples]) -> Message:
    """Return an answer as the game expects it; one payload for several receivers is one again.

    Args:
        reply: The answer as it travelled.
        large: References to the large payloads, by group and last for the coordinator.
        before: What was unpacked before, by identity.
    """
    payload: dict[str, Any] = {}
    for name, part in reply.payload.items():
        if isinstance(part, Kept):
            payload[name] = Stored(part.size_bytes, part.count, large[part.group], part.place)
            continue
        if id(part) not in before:
            before[id(part)] = to_samples(part)  # type: ignore[arg-type]
        payload[name] = before[id(part)]
    return replace(reply, payload=payload)


def received(messages: Sequence[Message]) -> list[Message]:
    """Return requests with all payloads in this process, without those lost with their node."""
    parts: list[Any] = []
    for message in messages:
        parts += message.payload.values()
    stored = {(part.ref, part.place) for part in parts if isinstance(part, Stored)}
    values = fetched(list({ref for ref, _ in stored}))
    # a payload for several players of this process is one object, so that it is checked once
    here: dict[Any, Samples] = {}
    for ref, place in stored:
        if ref in values:
            here[ref, place] = to_samples(values[ref][place])
    for part in parts:
        if not isinstance(part, Stored) and id(part) not in here:
            here[id(part)] = to_samples(part)
    complete = []
    for message in messages:
        payload = {}
        for name, part in message.payload.items():
            key = (part.ref, part.place) if isinstance(part, Stored) else id(part)
            if key in here:
                payload[name] = here[key]
        complete.append(replace(message, payload=payload))
    return complete


def fetched(refs: Sequence[Any]) -> dict[Any, list[Arrays]]:
    """Return the values of references, without those whose node is gone."""
    import ray

    if not refs:
        return {}
    try:
        return dict(zip(refs, ray.get(list(refs)), strict=True))
    except ray.exceptions.ObjectLostError:
        if len(refs) == 1:
            return {}
    values: dict[Any, list[Arrays]] = {}
    for ref in refs:  # one by one, to learn which of them are lost
        values |= fetched([ref])
    return values


def to_arrays(samples: Samples) -> Arrays:
    """Return samples as numpy arrays that share their memory."""
    return {name: tensor.detach().numpy() for name, tensor in tensors(samples).items()}


def to_samples(arrays: Arrays) -> Samples:
    """Return arrays as samples; copied, since they are read-only and models may work in place."""
    values = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    return TensorDict(values, batch_size=[len(next(iter(values.values())))])
