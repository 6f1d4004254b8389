"""Singling out: a sample describes one row of the population, and no other."""

from __future__ import annotations

import torch
from torch import Tensor

from coplay.core.space import join
from coplay.site.audits.base import Figure
from coplay.site.audits.opinion import Attacked, figure

EQUAL = "singling out, equal rows"
NEAR = "singling out, near rows"

_QUANTILE = (
    0.05  # of the distances of reference rows to their nearest sample: what is nearer is near
)

_MEANING = (
    "by how much more often a member than a control is the only row that some sample describes (0 "
    "is what the population gives away); it shows rows that are repeated, {how}, and cannot show "
    "rows that are repeated in some columns only"
)


def singled_out(attacked: Attacked, near: float) -> tuple[Tensor, Tensor]:
    """Return which members and which controls are the only row near some sample.

    Args:
        attacked: The rows of both kinds, and the samples.
        near: Distance, in standard units, within which a sample describes a row.
    """
    both = join([attacked.members, attacked.controls])
    described = []
    for pairs in attacked.distances.pairs(both, attacked.samples):
        described.append(pairs.total <= near**2)
    within = torch.cat(described)
    alone = within & (within.sum(0) == 1)
    hit = alone.any(1)
    return hit[: len(attacked.members)], hit[len(attacked.members) :]


def figures(attacked: Attacked) -> list[Figure]:
    """Return the risk by equal rows, and by near ones where there are numbers."""
    usual = attacked.distances.profile(attacked.reference, attacked.samples).whole
    near = usual.quantile(_QUANTILE).item()
    made = []
    ways = [(EQUAL, 0.0, "to the last digit")]
    if near > 0:
        ways.append((NEAR, near, "nearly or to the last digit"))
    for attack, distance, how in ways:
        members, controls = singled_out(attacked, distance)
        made.append(figure(attack, members, controls, _MEANING.format(how=how)))
    return [each for each in made if each is not None]
