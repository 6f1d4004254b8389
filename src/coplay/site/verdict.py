"""Which of the models that were played is best for a site, on rows that it kept for this alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import torch
from scipy.special import ndtri, stdtrit
from torch import Tensor

from coplay.core.streams import stream

ALONE = "isolated"
"""The game in which a site learns alone."""

REPLICATES = 1000
"""How often rows are drawn again for an interval."""

_LEVEL = 0.95


@dataclass(frozen=True)
class Losses:
    """What each model loses on rows that were kept to choose by.

    Args:
        of_rows: From places of rows to one loss by model, in the order of ``names``; lower is
            better.
        names: The games that the models come from.
        n: Number of rows.
        measure: What is measured, in words.
        better: Which direction of the measure is better.
        offset: The measure is ``offset`` plus the loss, or minus it where higher is better.
        replicates: How often rows are drawn again.
        kept: Which of the site's rows these are, shape (all rows,); None if none is left out.
    """

    of_rows: Callable[[Tensor], Tensor]
    names: tuple[str, ...]
    n: int
    measure: str
    better: str = "lower"
    offset: float = 0.0
    replicates: int = REPLICATES
    kept: Tensor | None = None

    @classmethod
    def means(cls, by_name: Mapping[str, Tensor], measure: str, better: str = "lower") -> Self:
        """Return losses that are means over rows.

        Args:
            by_name: Loss of each row, shape (n,), by game.
            measure: What is measured, in words.
            better: Which direction of the measure is better.
        """
        each = torch.stack([losses.double() for losses in by_name.values()])
        names = tuple(by_name)
        return cls(lambda rows: each[:, rows].mean(1), names, each.shape[1], measure, better)

    def value(self, loss: float) -> float:
        """Return the measure of a loss."""
        return self.offset + loss if self.better == "lower" else self.offset - loss


@dataclass(frozen=True)
class Verdict:
    """Which model is best for a site, by how much.

    Args:
        player: The site.
        best: The game whose model is best for it; empty where that cannot be said.
        measure: By what, in words.
        better: Which direction of the measure is better.
        n: Number of rows that it was chosen on.
        values: The measure by game.
        compared_with: The game with which the best is compared: ``isolated``, or the second best.
        gain: By how much the best is better than that.
        low: Lower end of the gain's 95 % interval.
        high: Its upper end.
        reason: Why nothing can be said.
        notes: Which games are not among those compared, and why; sentences without a full stop.
    """

    player: str
    best: str = ""
    measure: str = ""
    better: str = "lower"
    n: int = 0
    values: Mapping[str, float] = field(default_factory=dict)
    compared_with: str = ""
    gain: float = 0.0
    low: float = 0.0
    high: float = 0.0
    reason: str = ""
    notes: Sequence[str] = ()

    @property
    def is_certain(self) -> bool:
        """Whether the whole interval of the gain is above 0."""
        return bool(self.compared_with) and self.low > 0

    def __str__(self) -> str:
        """The verdict in plain sentences."""
        return " ".join([self._decision, *(f"{note}." for note in self.notes)])

    @property
    def _decision(self) -> str:
        """The verdict without the notes."""
        if self.reason:
            return f"No model can be called the best for {self.player}: {self.reason}."
        value = f"{self.measure} is {self.values[self.best]:.3g} on {self.n:,} rows kept for this"
        if not self.compared_with:
            return f"Only {_model(self.best)} was played for {self.player}: {value}."
        other = _model(self.compared_with)
        gain = (
            f"{self.gain:.2g} better than that of {other} "
            f"(95 % interval {self.low:.2g} to {self.high:.2g})"
        )
        if self.is_certain:
            return f"The best for {self.player} is {_model(self.best)}: {value}, {gain}."
        return (
            f"The best for {self.player} seems to be {_model(self.best)}: {value}, {gain}; the "
            "difference may be chance."
        )

    def json(self) -> dict[str, Any]:
        """Return the verdict as the site's file stores it."""
        return asdict(self)


def verdict(player: str, losses: Losses, units: Tensor | None = None) -> Verdict:
    """Choose the model with the lowest loss, and say by how much.

    The interval is that of a paired bootstrap: rows, or units of rows, are drawn again, the same
    ones for both models; it is widened where they are few. With several models to compare it is
    widened, too (Bonferroni), since the best of many looks better than it is.

    Args:
        player: The site.
        losses: What the models lose.
        units: Number of the unit of each of the site's rows, also of those that the losses leave
            out, shape (all rows,); None where each row is one of its own.

    Example:
        >>> by_game = {"isolated": torch.tensor([1.0, 2.0, 3.0]),
        ...            "sample_exchange": torch.tensor([0.5, 1.5, 2.5])}
        >>> print(verdict("north", Losses.means(by_game, "log loss")))
        The best for north is the model of 'sample_exchange': log loss is 1.5 on 3 rows kept for
        this, 0.5 better than that of the model learned alone (95 % interval 0.5 to 0.5).
    """
    if units is not None and losses.kept is not None:
        units = units[losses.kept]
    if units is not None and len(units.unique()) == 1:
        reason = f"the {losses.n:,} rows kept to choose by are all of one unit"
        return Verdict(player, n=losses.n, reason=reason)
    names = losses.names
    whole = losses.of_rows(torch.arange(losses.n))
    known = [place for place, loss in enumerate(whole.tolist()) if np.isfinite(loss)]
    if not known:
        return Verdict(player, n=losses.n, reason=f"{losses.measure} could not be computed")
    # alone first: where models are equal, the one that needs nobody else
    order = sorted(known, key=lambda place: (whole[place].item(), names[place] != ALONE))
    best = order[0]
    values = {names[place]: losses.value(whole[place].item()) for place in known}
    result = Verdict(player, names[best], losses.measure, losses.better, losses.n, values)
    if len(order) == 1:
        return result
    alone = [place for place in known if names[place] == ALONE and place != best]
    other = alone[0] if alone else order[1]
    gain = (whole[other] - whole[best]).item()
    low, high = _interval(losses, best, other, units, len(known) - 1, gain)
    return Verdict(
        player,
        names[best],
        losses.measure,
        losses.better,
        losses.n,
        values,
        names[other],
        gain,
        low,
        high,
    )


def _interval(
    losses: Losses, best: int, other: int, units: Tensor | None, comparisons: int, gain: float
) -> tuple[float, float]:
    """Return the interval of the other model's loss above the best one's, around that gain.

    Rows drawn again vary less than rows of other draws, and few of them do not show by how much. So
    the interval is widened as Student's is against the normal one, after T. Hesterberg, What
    Teachers Should Know About the Bootstrap (2015), section 5.3; without that, one in four verdicts
    between equal models would be certain on three units.
    """
    groups = torch.arange(losses.n) if units is None else units
    kinds, codes = groups.unique(return_inverse=True)
    order = codes.argsort(stable=True)
    sizes = codes.bincount(minlength=len(kinds))
    rows_of = order.split(sizes.tolist())
    generator = stream(0, "verdict")
    gains = []
    for _ in range(losses.replicates):
        drawn = torch.randint(len(kinds), (len(kinds),), generator=generator)
        rows = drawn if units is None else torch.cat([rows_of[k] for k in drawn.tolist()])
        loss = losses.of_rows(rows)
        gains.append((loss[other] - loss[best]).item())
    tail = (1 - _LEVEL) / 2 / comparisons
    low, high = np.nanquantile(gains, [tail, 1 - tail])
    wider = _widening(len(kinds), tail)
    return gain - wider * (gain - float(low)), gain + wider * (float(high) - gain)


def _widening(n: int, tail: float) -> float:
    """Return by what factor the interval of n units is too narrow.

    Example:
        >>> round(_widening(3, 0.025), 2), round(_widening(1000, 0.025), 2)
        (2.69, 1.0)
    """
    return float(stdtrit(n - 1, tail) / ndtri(tail) * np.sqrt(n / (n - 1)))


def _model(game: str) -> str:
    return "the model learned alone" if game == ALONE else f"the model of '{game}'"
