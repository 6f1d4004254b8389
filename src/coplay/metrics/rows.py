"""An order of samples that depends on nothing but the samples.

It is for metrics that use only some of the samples, or train on them.

Samples that were observed together or apart, in whatever order, come out in the same order. It
looks random, so the first samples in it are a fair choice.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

from coplay.core.space import Samples, pick

# 2⁶⁴ over the golden ratio: its multiples, modulo 2⁶⁴, are spread evenly
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def row_keys(samples: Samples, names: Iterable[str]) -> Tensor:
    """Return one number per sample that depends on its values only, shape (n,), int64.

    Args:
        samples: The samples, n of them.
        names: The variables to use.

    Example:
        >>> samples = Samples({"x": torch.tensor([1.0, 2.0, 1.0])}, batch_size=[3])
        >>> a, b, c = row_keys(samples, ["x"]).tolist()
        >>> a == c, a == b
        (True, False)
    """
    n = len(samples)
    columns = []
    for name in names:
        values = samples[name].detach().cpu().reshape(n, -1).contiguous()
        columns.append(values.numpy().view(np.uint8))
    digests = bytearray()
    for i in range(n):
        row = b"".join([column[i].tobytes() for column in columns])
        digests += blake2b(row, digest_size=8).digest()
    return torch.from_numpy(np.frombuffer(digests, dtype=np.int64).copy())


def even_order(keys: Tensor) -> Tensor:
    """Return positions of the samples in an order that depends on their keys only, shape (n,).

    Copies of a sample are spread evenly over the order, so that its beginning has its share of
    them.

    Args:
        keys: Keys of the samples by :func:`row_keys`, shape (n,).

    Example:
        >>> samples = Samples({"x": torch.tensor([0, 1]).repeat(500)}, batch_size=[1000])
        >>> keys = row_keys(samples, ["x"])
        >>> 98 <= (even_order(keys)[:200] % 2).sum() <= 102
        tensor(True)
    """
    unsigned = keys.numpy().view(np.uint64)
    order = np.argsort(unsigned, kind="stable")
    ordered = unsigned[order]
    position = np.arange(len(order))
    is_first = np.append(True, ordered[1:] != ordered[:-1])[: len(order)]
    # 0 for the first of equal samples, then 1, 2, …
    copy = position - np.maximum.accumulate(np.where(is_first, position, 0))
    # each copy moves on by the golden ratio; the sum is modulo 2⁶⁴
    moved = ordered + copy.astype(np.uint64) * _GOLDEN
    return torch.from_numpy(order[np.argsort(moved, kind="stable")])


def spaced(rows: Samples, most: int) -> Samples:
    """Return at most so many rows, evenly spaced; all where there are no more.

    Example:
        >>> rows = Samples({"x": torch.arange(10)}, batch_size=[10])
        >>> spaced(rows, 4)["x"].tolist(), spaced(rows, 10) is rows
        ([0, 2, 5, 7], True)
    """
    if len(rows) <= most:
        return rows
    return pick(rows, torch.arange(most) * len(rows) // most)


def of_table(rows: Samples, most: int | None = None) -> Samples:
    """Return rows of a table, or some, in an order that the units of their columns do not change.

    The order depends on the place of each value among those of its column, and on nothing else.

    Args:
        rows: The rows.
        most: How many are returned at most; None for all.

    Example:
        >>> ages = torch.tensor([31.0, 52.0, 47.0, 23.0])
        >>> in_years = of_table(Samples({"age": ages}, batch_size=[4]))
        >>> in_days = of_table(Samples({"age": 365 * ages}, batch_size=[4]))
        >>> (in_days["age"] / 365).tolist() == in_years["age"].tolist()
        True
    """
    names = sorted(str(name) for name in rows.keys())
    places = {}
    for name in names:
        values = rows[name].detach().reshape(len(rows), -1).numpy()
        columns = []
        for column in values.T:
            _, inverse = np.unique(column, return_inverse=True)
            columns.append(inverse.reshape(-1))
        places[name] = torch.from_numpy(np.stack(columns, 1).astype(np.int64))
    ranked = Samples(places, batch_size=[len(rows)])
    return pick(rows, even_order(row_keys(ranked, names))[:most])
