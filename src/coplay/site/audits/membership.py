"""Membership: how well an attacker tells rows that were learned from those that were held out."""

from __future__ import annotations

import torch
from torch import Tensor

from coplay.site.audits.attackers import MEANINGS
from coplay.site.audits.base import Figure
from coplay.site.audits.intervals import LEVEL, area_interval, exact_interval, quiet_ranks

AREA = "AUC"
QUIET = "TPR at 1 % FPR"
_RATE = 0.01


def roc(members: Tensor, controls: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ROC curve: rates of false and of true alarms at every threshold.

    Args:
        members: Scores of members, shape (n,).
        controls: Scores of controls, shape (m,).

    Returns:
        Two tensors of as many numbers, from 0 to 1; in between the curve is straight.

    Example:
        >>> false, true = roc(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 2.0]))
        >>> false.tolist(), true.tolist()
        ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    thresholds = torch.cat([members, controls]).unique().flip(0)
    rates = []
    for scores in (controls, members):
        below = torch.searchsorted(scores.sort().values.contiguous(), thresholds.contiguous())
        rate = 1 - below.double() / len(scores)
        rates.append(torch.cat([torch.zeros(1, dtype=torch.float64), rate]))
    return rates[0], rates[1]


def area(members: Tensor, controls: Tensor) -> float:
    """Return the area under the ROC curve: how often a member scores higher than a control.

    Example:
        >>> area(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 2.0]))
        0.875
    """
    false, true = roc(members, controls)
    return torch.trapezoid(true, false).item()


def true_alarms(members: Tensor, controls: Tensor) -> tuple[float, float, float]:
    """Return the rate of true alarms at 1 % false ones, with its 95 % interval.

    The interval takes into account that the threshold is chosen on the controls: its lower end is
    the rate at a threshold that surely has at most 1 % false alarms, which takes about 440 controls
    (with fewer it is 0), its upper end that at a threshold that surely has as many.

    Args:
        members: Scores of members, shape (n,).
        controls: Scores of controls, shape (m,).

    Example:
        >>> true_alarms(torch.ones(300), torch.zeros(300))[0]
        1.0
    """
    n, m = len(members), len(controls)
    tail = (1 - LEVEL) / 4  # at either end: half for the threshold, half for the count
    ordered = controls.sort(descending=True).values

    def hits(k: int) -> int:
        return int((members > ordered[k]).sum())

    most, least = quiet_ranks(m, _RATE, tail)
    value = hits(int(_RATE * m)) / n
    low = 0.0 if most is None else exact_interval(hits(most), n, tail)[0]
    # scores that equal the threshold may be called members at random
    at_least = n if least is None else int((members >= ordered[least]).sum())
    high = exact_interval(at_least, n, tail)[1]
    return value, min(low, value), max(high, value)


def figures(attack: str, members: Tensor, controls: Tensor) -> list[Figure]:
    """Return the area and the rate of true alarms at few false ones of one attack.

    Args:
        attack: Its name.
        members: Scores of the members, one a unit.
        controls: Scores of the controls.
    """
    n, m = len(members), len(controls)
    whole = area(members, controls)
    low, high = area_interval(whole, n, m)
    way = MEANINGS[attack]
    by_area = (
        f"how often a member scores higher than a control, for an attacker who goes by {way} (0.5 "
        "is guessing); it shows what is kept on average over all rows, and cannot show a few rows "
        "that are repeated, or what a stronger attacker achieves"
    )
    quiet, least, most = true_alarms(members, controls)
    by_rate = (
        "the share of members that are named when 1 % of the controls are named wrongly (0.01 is "
        "guessing); it shows whether some rows are surely kept, and cannot show that with fewer "
        "than about 440 controls, where its interval begins at 0"
    )
    return [
        Figure(attack, AREA, whole, low, high, 0.5, n, m, by_area),
        Figure(attack, QUIET, quiet, least, most, _RATE, n, m, by_rate),
    ]
