"""Inference: all columns of a row but one are known, and the nearest sample says the other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from coplay.core.space import Samples
from coplay.site.audits.base import Figure
from coplay.site.audits.distances import Pairs
from coplay.site.audits.opinion import Attacked, figure

INFERENCE = "inference"
WORST = "inference, worst column"

_MOST = 16  # columns that are guessed
_RIGHT = 0.1  # standard units within which the guess of a number is right
_PARTIAL_FROM = 3  # known columns; of two, one that agrees says nothing

_MEANING = (
    "by how much more often the nearest sample in all other columns, but for the one that differs "
    "most, gives a member's {what} right than a control's; it shows what samples tell of members "
    "beyond the population, and cannot show what a better guesser would learn"
)
_WORST = "{meaning}; this is the largest of {tries} columns, and its interval allows for that"


def guessed(attacked: Attacked, rows: Samples, secrets: Sequence[int]) -> Tensor:
    """Return which columns of which rows are guessed right, shape (secrets, n).

    Args:
        attacked: The samples, and how rows are compared.
        rows: The rows, n of them, at least one.
        secrets: Places of the columns that are guessed.
    """
    parts = []
    for pairs in attacked.distances.pairs(rows, attacked.samples):
        parts.append(torch.stack([_hits(pairs, place) for place in secrets]))
    return torch.cat(parts, 1)


def _hits(pairs: Pairs, secret: int) -> Tensor:
    """Return of which rows the nearest sample in the other columns has the secret one."""
    known = pairs.total - pairs.columns[secret]
    if len(pairs.columns) > _PARTIAL_FROM:
        others = [each for place, each in enumerate(pairs.columns) if place != secret]
        worst = others[0]
        for each in others[1:]:
            worst = torch.maximum(worst, each)
        known = known - worst
    # what is left of equal numbers is rounding of the sum
    known = torch.where(known > 1e-6 * pairs.total, known, 0.0)
    nearest = known.argmin(1, keepdim=True)
    return pairs.columns[secret].gather(1, nearest).flatten() <= _RIGHT**2


def figures(attacked: Attacked) -> list[Figure]:
    """Return the risk of the worst column, and then of each."""
    columns = attacked.distances.columns
    if columns < 2:
        return []
    step = max(1, -(-columns // _MOST))
    secrets = list(range(0, columns, step))
    names = [attacked.distances.names[place] for place in secrets]
    members = guessed(attacked, attacked.members, secrets)
    controls = guessed(attacked, attacked.controls, secrets)
    risks = []
    for place, name in enumerate(names):
        meaning = _MEANING.format(what=name)
        risk = figure(INFERENCE, members[place], controls[place], meaning, name)
        if risk is not None:
            risks.append((risk, place))
    if not risks:
        return []
    worst, place = max(risks, key=lambda pair: pair[0].value)
    meaning = _WORST.format(meaning=_MEANING.format(what=worst.of), tries=len(names))
    widened = figure(WORST, members[place], controls[place], meaning, worst.of, len(names))
    assert widened is not None, "some controls withstand"
    return [widened, *(risk for risk, _ in risks)]
