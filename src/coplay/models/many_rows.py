"""What a model of columns does with very many rows: it looks at batches, and never at all of them.

A site of ten million rows has no memory for a second copy of them, and a turn draws some thousand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from coplay.core.space import Samples, Space
from coplay.models.base import Mixture, Portion

_MANY = 500_000
"""Rows of a mixture from which on only those that are drawn are made ready."""

_FITTED_ON = 200_000
"""Rows of a source that units are fitted on, at most."""

_FITTED_ON_ALL = 250_000
"""Rows of all sources that units are fitted on, about."""

_AT_ONCE = 50_000
"""Rows that are looked at at a time."""


def are_many(mixture: Mixture) -> bool:
    """Whether a mixture has so many rows that only those that are drawn are made ready."""
    return sum(map(len, mixture.parts)) > _MANY


def fitted_on(mixture: Mixture) -> list[Samples]:
    """Return, of each source, evenly spaced rows that bins are fitted on; all where they are few.

    Example:
        >>> from coplay.core.variable import Variable
        >>> space = Space({"x": Variable(kind="count")})
        >>> rows = space.samples(x=torch.arange(450_000))
        >>> fitted_on(Mixture((Portion("own data", rows, 1.0),)))[0]["x"][:3].tolist()
        [0, 3, 6]
    """
    total = sum(map(len, mixture.parts))
    of_all = -(-total // _FITTED_ON_ALL) if total > _MANY else 1
    chosen = []
    for part in mixture.parts:
        step = max(of_all, -(-len(part) // _FITTED_ON))
        if step == 1 and part.rows is None and part.without is None:
            chosen.append(part.samples)
        else:
            chosen.append(part.picked(torch.arange(0, len(part), step)))
    return chosen


def presences(space: Space, part: Portion) -> Iterator[Tensor]:
    """Where rows of a source have a value: 0 where they do and -1 where not, shape (n, D).

    Args:
        space: The variables, whose D numbers are the columns.
        part: The source.
    """
    sizes = [space[name].size for name in space]
    for start in range(0, len(part), _AT_ONCE):
        rows = part.picked(torch.arange(start, min(start + _AT_ONCE, len(part))))
        columns = []
        for name, size in zip(space, sizes, strict=True):
            there = torch.zeros(len(rows), size, dtype=torch.bool)
            if name in rows.keys():
                values = rows[name].reshape(len(rows), size)
                is_real = space[name].kind == "real"
                there = ~values.isnan() if is_real else values != space[name].missing
            columns.append(there)
        yield torch.cat(columns, 1).to(torch.int16) - 1


def side_by_side(space: Space, sources: Mapping[str, Samples]) -> Samples:
    """Join samples that lack unlike variables; what one lacks is missing in its rows.

    Args:
        space: The variables.
        sources: At least one.

    Example:
        >>> from coplay.core.variable import Variable
        >>> space = Space({"a": Variable(kind="count"), "b": Variable(kind="binary")})
        >>> one, two = space.samples(a=torch.tensor([3])), space.samples(a=torch.tensor([4]))
        >>> two["b"] = torch.tensor([1], dtype=torch.uint8)
        >>> side_by_side(space, {"one": one, "two": two})["b"].tolist()
        [255, 1]
    """
    joined = {}
    for name in space:
        v = space[name]
        parts = []
        for samples in sources.values():
            if name in samples.keys():
                parts.append(samples[name])
            else:
                parts.append(torch.full((len(samples), *v.shape), v.missing, dtype=v.dtypes[0]))
        joined[name] = torch.cat(parts)
    return space.samples(**joined)
