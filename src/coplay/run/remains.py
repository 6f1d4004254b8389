"""What is left of a site in models: a classifier of its rows against those of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from coplay.core.space import Samples, Space, pick, tensors
from coplay.core.streams import derive, stream
from coplay.metrics.base import NORMAL_975
from coplay.metrics.features import DomainClassifier
from coplay.metrics.prediction import complete_rows
from coplay.run.sampling import load_player

_DRAWN = 2000
_FEWEST = 20  # rows of the site, and of the others


@dataclass(frozen=True)
class Remains:
    """What a classifier calls the site's.

    Args:
        accuracy: Share of rows that it was not trained on that it recognises, the site's and the
            others' counted alike.
        before: Share of each player's samples that are the site's, corrected for what it mistakes.
        after: The same after playing on without it.
        half: Half of the width of the 95 % intervals, by player, the larger of both.
    """

    accuracy: float
    before: Mapping[str, float]
    after: Mapping[str, float]
    half: Mapping[str, float]


def remains(
    before: Path,
    after: Path,
    site: Samples,
    others: Mapping[str, Samples],
    space: Space,
    seed: int,
    trust: bool,
) -> Remains | str:
    """Measure what is left of a site in the models of the others.

    Args:
        before: The run with the site.
        after: The run that played on without it.
        site: Rows of the site.
        others: Rows of the others, by player.
        space: The variables of the site's rows.
        seed: Decides what is random.
        trust: Whether classes outside coplay are imported for models.

    Returns:
        What was measured, or why nothing could be.
    """
    shared = set(site.keys()).intersection(*(rows.keys() for rows in others.values()))
    common = [name for name in space if name in shared]
    if not common:
        return "the site has no variable in common with all others"
    inputs = space.only(common)
    rows = [complete_rows(site, inputs)]
    foreign = [complete_rows(each, inputs) for each in others.values()]
    rows.append(_together(foreign, inputs))
    if min(len(each) for each in rows) < _FEWEST:
        return f"it takes {_FEWEST} rows of the site and of the others without missing values"
    generator = stream(seed, "remains")
    halves = [_halves(each, generator) for each in rows]
    n = min(len(half[0]) for half in halves)
    train = _together([pick(half[0], slice(n)) for half in halves], inputs)
    labels = torch.arange(2).repeat_interleave(n)
    tests = [half[1] for half in halves]
    test = _together(tests, inputs)
    of_test = torch.cat([torch.zeros(len(tests[0])), torch.ones(len(tests[1]))]).long()
    classifier = DomainClassifier(inputs, 2, derive(seed, "remains"))
    classifier.fit(train, labels, test, of_test)
    confusion = classifier.confusion
    accuracy = confusion.diagonal().mean().item()
    if accuracy < 0.6:
        return (
            f"a classifier tells the site's rows from the others' in {accuracy:.0%} of cases only: "
            "where data are that alike, nothing in samples says whose they are"
        )
    values: list[dict[str, float]] = []
    half_widths: dict[str, float] = {}
    for folder in (before, after):
        shares = {}
        for name in others:
            drawn = load_player(folder, name, None, trust).draw(_DRAWN, 0, "remains")
            kept = complete_rows(drawn, inputs)
            calls = classifier.probabilities(kept).argmax(1) == 0
            share, half = _corrected(calls.double().mean().item(), len(kept), confusion, len(test))
            shares[name] = share
            half_widths[name] = max(half, half_widths.get(name, 0.0))
        values.append(shares)
    return Remains(accuracy, values[0], values[1], half_widths)


def _corrected(raw: float, n: int, confusion: Tensor, n_test: int) -> tuple[float, float]:
    """Return the site's share, and half of its 95 % interval, from how often it is called so.

    Example:
        >>> share, half = _corrected(0.5, 10_000, torch.eye(2), 1000)
        >>> share, round(half, 4)
        (0.5, 0.0098)
    """
    hit = confusion[0, 0].item()
    mistaken = confusion[1, 0].item()
    share = min(max((raw - mistaken) / (hit - mistaken), 0.0), 1.0)
    each = n_test / 2
    variance = raw * (1 - raw) / n
    variance += share**2 * hit * (1 - hit) / each
    variance += (1 - share) ** 2 * mistaken * (1 - mistaken) / each
    return share, NORMAL_975 * variance**0.5 / (hit - mistaken)


def _together(parts: Sequence[Samples], space: Space) -> Samples:
    columns: dict[str, list[Tensor]] = {name: [] for name in space}
    for part in parts:
        for name in space:
            columns[name].append(tensors(part)[name])
    return space.samples(**{name: torch.cat(each) for name, each in columns.items()})


def _halves(rows: Samples, generator: torch.Generator) -> tuple[Samples, Samples]:
    order = torch.randperm(len(rows), generator=generator)
    middle = len(rows) // 2
    return pick(rows, order[:middle]), pick(rows, order[middle:])
