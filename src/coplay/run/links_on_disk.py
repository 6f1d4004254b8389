"""What a checkpoint holds by link, in a few tensors however many links there are.

These are the samples in flight, and the traffic where it is too much for JSON.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from coplay.core import storage
from coplay.core.errors import PartLostError
from coplay.core.message import Ledger, LinkTraffic, Payload
from coplay.core.nesting import nest, unnest
from coplay.core.slices import MANY, Slice, slices_of
from coplay.core.space import Samples, tensors
from coplay.games.base import Link

_NAMES = "names"  # all names, as JSON text in bytes
_LINKS = "links"  # a row for each link, integers
_GROUP = "group "  # the tensors of sets that are alike and have one sender, one after the other
TRAFFIC = "traffic.safetensors"
"""File of the traffic of many links."""

_MOST_LISTED = 10_000  # links whose traffic is listed in checkpoint.json, where people can read it


def payload_to_tensors(payload: Mapping[Link, Payload]) -> dict[str, Tensor]:
    """Return samples by link as tensors for a file; those lost with their machine are left out.

    Sets of one sender with the same variables, types and shapes are stored one after the other.

    Args:
        payload: Samples by sender and receiver.

    Example:
        >>> payload = {("a", "b"): Samples({"x": torch.ones(2)}, batch_size=[2])}
        >>> sorted(payload_to_tensors(payload))
        ['group 0/x', 'links', 'names']
        >>> payload_from_tensors(payload_to_tensors(payload))["a", "b"]["x"].tolist()
        [1.0, 1.0]
    """
    places: dict[str, int] = {}
    groups: dict[object, list[Samples | Slice]] = {}
    group_of: dict[object, int] = {}
    links = array("q")
    for (sender, receiver), part in payload.items():
        try:
            samples = part if isinstance(part, Samples | Slice) else part.fetch()
        except PartLostError:
            continue
        kind = (sender, _kinds(samples))
        group = group_of.setdefault(kind, len(group_of))
        groups.setdefault(kind, []).append(samples)
        for name in (sender, receiver):
            links.append(places.setdefault(name, len(places)))
        links.extend((_count(samples), group))
    stored = {_NAMES: _as_bytes(list(places)), _LINKS: _rows(links, 4)}
    joined: dict[str, dict[str, Tensor]] = {}
    for group, sets in enumerate(groups.values()):
        columns = joined.setdefault(f"{_GROUP}{group}", {})
        for name in _whole(sets[0]):
            columns[name] = torch.cat([_values(samples, name) for samples in sets])
    return stored | nest(joined)


def payload_from_tensors(stored: Mapping[str, Tensor]) -> dict[Link, Payload]:
    """Return the samples by link from :func:`payload_to_tensors`, in the same order."""
    names = _from_bytes(stored[_NAMES])
    links = stored[_LINKS]
    grouped = unnest(stored)
    rows = links.tolist()
    counts: dict[int, list[int]] = {}
    for _, _, count, group in rows:
        counts.setdefault(group, []).append(count)
    sets = {}
    for group, each in counts.items():
        sets[group] = iter(_divided(grouped[f"{_GROUP}{group}"], each))
    payload: dict[Link, Payload] = {}
    for sender, receiver, _, group in rows:
        payload[names[sender], names[receiver]] = next(sets[group])
    return payload


def _divided(values: Mapping[str, Tensor], counts: list[int]) -> list[Payload]:
    """Return consecutive samples: as parts of one set where they are many, else as sets."""
    parts = slices_of(values, counts)
    if len(parts) >= MANY:
        return list(parts)
    return [part.fetch().clone() for part in parts]


def save_traffic(folder: Path, ledger: Ledger) -> tuple[list[LinkTraffic], str]:
    """Return the traffic by link for ``checkpoint.json``; that of many links gets a file.

    Args:
        folder: The checkpoint's.
        ledger: The traffic by link.

    Returns:
        The links, and an empty text; no links and the digest of their file, where they are many.
    """
    if len(ledger) <= _MOST_LISTED:
        return ledger.links(), ""
    places: dict[str, int] = {}
    rows = array("q")
    for link in ledger:
        for name in (link.purpose, link.sender, link.receiver):
            rows.append(places.setdefault(name, len(places)))
        rows.extend((link.bytes, link.samples))
    stored = {_NAMES: _as_bytes(list(places)), _LINKS: _rows(rows, 5)}
    return [], storage.save_tensors(folder / TRAFFIC, stored, private=True, sync_name=False)


def load_traffic(path: Path, digest: str, remedy: str) -> list[LinkTraffic]:
    """Return the traffic by link that :func:`save_traffic` put into a file.

    Args:
        path: The file.
        digest: Its digest on record.
        remedy: What to do about damage, for the error.

    Raises:
        CheckpointError: It is missing, or is not what was written.
    """
    stored = storage.load_tensors(path, digest, remedy)
    names = _from_bytes(stored[_NAMES])
    links = []
    for purpose, sender, receiver, sent, samples in stored[_LINKS].tolist():
        links.append(LinkTraffic(names[purpose], names[sender], names[receiver], sent, samples))
    return links


def _whole(samples: Samples | Slice) -> Mapping[str, Tensor]:
    return samples.whole if isinstance(samples, Slice) else tensors(samples)


def _count(samples: Samples | Slice) -> int:
    return samples.count if isinstance(samples, Slice) else len(samples)


def _kinds(samples: Samples | Slice) -> tuple[object, ...]:
    """Return what sets have in common that are stored as one: variables, types and shapes."""
    kinds: list[object] = []
    for name, values in _whole(samples).items():
        kinds.append((name, values.dtype, tuple(values.shape[1:])))
    return tuple(kinds)


def _values(samples: Samples | Slice, name: str) -> Tensor:
    if isinstance(samples, Slice):
        return samples.whole[name][samples.start : samples.start + samples.count]
    return samples[name]


def _as_bytes(names: list[str]) -> Tensor:
    return torch.tensor(list(json.dumps(names).encode()), dtype=torch.uint8)


def _from_bytes(stored: Tensor) -> list[str]:
    names: list[str] = json.loads(bytes(stored.tolist()))
    return names


def _rows(numbers: array[int], width: int) -> Tensor:
    return torch.from_numpy(np.array(numbers, dtype=np.int64).reshape(-1, width))
