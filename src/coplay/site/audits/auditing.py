"""One audit: all attacks on what samples keep of the rows that a site learned from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor

from coplay.core.space import Samples, pick
from coplay.core.streams import stream
from coplay.core.surroundings import own_settings
from coplay.data.words import counted
from coplay.site.audits import inference, linkability, membership, one_run, singling_out
from coplay.site.audits.attackers import Attackers
from coplay.site.audits.base import AuditRows, Figure, Side
from coplay.site.audits.distances import Distances
from coplay.site.audits.opinion import Attacked

OF_TABLES: Sequence[Callable[[Attacked], list[Figure]]] = (
    singling_out.figures,
    linkability.figures,
    inference.figures,
)
"""The attacks of the European opinion."""

FEWEST = 10
"""Fewer controls, or reference rows, say nothing."""

_FEWEST_SAMPLES = 10
_FEWEST_COINS = 20
_COLUMNS = 64  # of a table, beyond which no column is looked at on its own


@dataclass(frozen=True)
class Effort:
    """How much an audit may take.

    Args:
        units: Most units of each kind that are attacked.
        samples: Most samples that an attacker is given.
        work: Most comparisons of two numbers in one pass over all rows and samples.
    """

    units: int
    samples: int
    work: float


IN_PLAY = Effort(1000, 4000, 4e7)
"""Of a round, in some seconds."""

AFTERWARDS = Effort(4000, 20000, 1e9)
"""Of a finished run, in a minute or two."""


@dataclass(frozen=True)
class Report:
    """What came of an audit.

    Args:
        samples: Number of samples that attackers were given.
        figures: Every number.
        reasons: Why an attack was not tried, in sentences without a full stop.
    """

    samples: int
    figures: Sequence[Figure] = ()
    reasons: Sequence[str] = ()

    def json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "samples": self.samples,
            "figures": [figure.json() for figure in self.figures],
            "reasons": list(self.reasons),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Read what :meth:`json` returned."""
        figures = tuple(Figure(**each) for each in values["figures"])
        return cls(int(values["samples"]), figures, tuple(values["reasons"]))


@dataclass
class _Making:
    figures: list[Figure] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


@own_settings(threads=1)
def audit(
    rows: AuditRows,
    samples: Samples,
    effort: Effort = AFTERWARDS,
    promise: one_run.Promise | None = None,
) -> Report:
    """Attack what samples keep of the rows that were learned from.

    Nothing random of play is touched: what is drawn here comes from streams of the audit's own,
    and the same rows and samples give the same report.

    Args:
        rows: The rows of all kinds.
        samples: What an attacker has; samples that lack some of the variables are compared without
            them.
        effort: How much it may take.
        promise: What the site promises, with which the lower bound on ε is compared; None for
            nothing.

    Example:
        >>> from coplay.core.space import Space
        >>> from coplay.core.variable import Variable
        >>> space = Space({"x": Variable(kind="real", shape=(3,))})
        >>> values = torch.randn(400, 3, generator=stream(1, "example"))
        >>> parts = [space.samples(x=part) for part in values.split(100)]
        >>> rows = AuditRows.of(space, Side(parts[0]), Side(parts[1]), parts[2])
        >>> honest, copying = audit(rows, parts[3]), audit(rows, parts[0])
        >>> [figure.is_alarming for figure in (honest.figures[0], copying.figures[0])]
        [False, True]
    """
    shared = [name for name in rows.space if name in samples.keys()]
    few = _too_few(rows, len(samples), shared)
    if few:
        return Report(len(samples), reasons=few)
    rows = rows.only(shared).at_most(effort.units)
    samples = rows.space.restrict(samples).detach()
    distances = Distances(rows.space, rows.reference)
    attacked = len(rows.members.rows) + len(rows.controls.rows)
    affordable = int(effort.work / (attacked * distances.columns))
    most = max(_FEWEST_SAMPLES, min(effort.samples, affordable))
    if len(samples) > most:
        order = torch.randperm(len(samples), generator=stream(0, "samples of an audit"))
        samples = pick(samples, order[:most])
    made = _Making()
    _membership(rows, samples, distances, promise, made)
    if not distances.is_table:
        made.reasons.append("singling out, linkability and inference are of tables")
    elif distances.columns > _COLUMNS:
        made.reasons.append(
            f"singling out, linkability and inference are tried on up to {_COLUMNS} columns, and "
            f"here are {distances.columns:,}"
        )
    else:
        one_each = Attacked.of(rows, samples)
        for attack in OF_TABLES:
            made.figures += attack(one_each)
    return Report(len(samples), tuple(made.figures), tuple(made.reasons))


def _too_few(rows: AuditRows, samples: int, shared: Sequence[str]) -> list[str]:
    """Say why nothing can be audited."""
    reasons = []
    if not shared:
        reasons.append("samples and rows have no variable in common")
    if samples < _FEWEST_SAMPLES:
        few = counted(samples, "sample")
        reasons.append(f"{few} are too few: expected at least {_FEWEST_SAMPLES}")
    for what, count in (
        ("members", rows.members.count),
        ("control units", rows.controls.count),
        ("reference rows", len(rows.reference)),
    ):
        if count < FEWEST:
            reasons.append(f"{count:,} {what} are too few: expected at least {FEWEST}")
    return reasons


def _membership(
    rows: AuditRows,
    samples: Samples,
    distances: Distances,
    promise: one_run.Promise | None,
    made: _Making,
) -> None:
    """Add both membership attacks, and the bound on ε that follows from them."""
    attackers = Attackers.of(distances, samples, rows.reference)
    members = _by_unit(rows.members, attackers)
    controls = _by_unit(rows.controls, attackers)
    for attack, scores in members.items():
        made.figures += membership.figures(attack, scores, controls[attack])
    coins = rows.coins
    if coins is None or coins.count < _FEWEST_COINS:
        made.reasons.append("a bound on ε takes more units whose membership was left to coins")
        return
    ins = {attack: scores[coins.members] for attack, scores in members.items()}
    outs = {attack: scores[coins.controls] for attack, scores in controls.items()}
    made.figures.append(one_run.figure(ins, outs, promise, coins.replaced))


def _by_unit(side: Side, attackers: Attackers) -> dict[str, Tensor]:
    scores = attackers.scores(side.rows)
    return {attack: side.by_unit(each) for attack, each in scores.items()}
