"""Linkability: two parts of a row are known apart, and a sample says that they belong together."""

from __future__ import annotations

import torch
from torch import Tensor

from coplay.core.space import Samples
from coplay.site.audits.base import Figure
from coplay.site.audits.opinion import Attacked, figure

LINKABILITY = "linkability"

_FEWEST = 2  # columns

_MEANING = (
    "by how much more often one sample is the nearest to both halves of a member's row than of a "
    "control's ({ours}; {theirs}); it shows what samples link by these halves, and cannot show "
    "what is linked by others"
)


def linked(attacked: Attacked, rows: Samples, first: list[int], second: list[int]) -> Tensor:
    """Return of which rows one sample is the nearest in both parts, shape (n,).

    Args:
        attacked: The samples, and how rows are compared.
        rows: The rows, n of them.
        first: Places of the columns of one part.
        second: Those of the other.
    """
    hits = []
    for pairs in attacked.distances.pairs(rows, attacked.samples):
        is_nearest = []
        for part in (first, second):
            total = torch.stack([pairs.columns[place] for place in part]).sum(0)
            is_nearest.append(total == total.amin(1, keepdim=True))
        hits.append((is_nearest[0] & is_nearest[1]).any(1))
    return torch.cat(hits)


def figures(attacked: Attacked) -> list[Figure]:
    """Return the risk; none for a single column, or where it succeeds on every control."""
    columns = attacked.distances.columns
    if columns < _FEWEST:
        return []
    # neighbours in a table often belong together, so every other column is in the other half
    first, second = list(range(0, columns, 2)), list(range(1, columns, 2))
    names = attacked.distances.names
    meaning = _MEANING.format(ours=_listed(names, first), theirs=_listed(names, second))
    members = linked(attacked, attacked.members, first, second)
    controls = linked(attacked, attacked.controls, first, second)
    risk = figure(LINKABILITY, members, controls, meaning)
    return [] if risk is None else [risk]


def _listed(names: list[str], places: list[int]) -> str:
    """Write the names of columns, or how many there are."""
    if len(places) > 4:
        return f"{len(places)} columns"
    return ", ".join(names[place] for place in places)
