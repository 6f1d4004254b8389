"""What a comparison shows, in plain words and with the numbers that matter most."""

from __future__ import annotations

from collections.abc import Sequence

from coplay.comparison.arms import Arm, Comparison
from coplay.comparison.caveats import Caveat
from coplay.comparison.spread import Spread
from coplay.comparison.tables import format_spread
from coplay.report.brought import LEADING, about
from coplay.report.words import Writer, aligned, words


def paragraph(comparison: Comparison, notes: Sequence[Caveat]) -> str:
    """Say which arms have the best and the worst score; empty where nothing leading was measured.

    Args:
        comparison: The arms.
        notes: What to know before comparing.

    Returns:
        Sentences, such as *Of 3 arms, pooled has the lowest FID, 24.1 ± 0.8 over 3 seeds, …*
    """
    for quantity in LEADING:
        scores = _scores(comparison, quantity)
        if scores:
            return " ".join(_sentences(comparison, quantity, scores, notes))
    return ""


def _scores(comparison: Comparison, quantity: str) -> dict[str, Spread]:
    """Return the scores of a quantity that has a better direction, the best arm first."""
    example = comparison.quantities.get(quantity)
    if example is None or example.better is None:
        return {}
    scores = []
    for arm in comparison.arms:
        spread = _score(arm, quantity)
        if spread is not None and spread.mean == spread.mean:  # NaN is not equal to itself
            scores.append((arm.label, spread))
    is_descending = example.better == "higher"
    return dict(sorted(scores, key=lambda item: item[1].mean, reverse=is_descending))


def _score(arm: Arm, quantity: str) -> Spread | None:
    return arm.score(quantity) if quantity in arm.quantities else None


def _sentences(
    comparison: Comparison, quantity: str, scores: dict[str, Spread], notes: Sequence[Caveat]
) -> list[str]:
    example = comparison.quantities[quantity]
    write = aligned([spread.mean for spread in scores.values()])
    name = words(quantity)
    (best, first), *_ = scores.items()
    *_, (worst, last) = scores.items()
    lowest, highest = "lowest", "highest"
    if example.better == "higher":
        lowest, highest = highest, lowest
    which = " that have one" if len(scores) < len(comparison.arms) else ""
    if len(scores) == 1:
        sentences = [f"The {name} of {best} is {_written(first, write)}."]
    else:
        sentences = [
            f"Of {len(scores)} arms{which}, {best} has the {lowest} {name}, "
            f"{_written(first, write)}, and {worst} the {highest}, {_written(last, write)}."
        ]
    sentences.append(about(quantity, example))
    if any(spread.std is not None for spread in scores.values()):
        sentences.append(
            "± is one standard deviation over seeds; a difference of that size may be chance."
        )
    else:
        sentences.append("Each arm has one seed, so how far chance moves it is not known.")
    if any(quantity in note.quantities for note in notes):
        sentences.append("Notes beneath the scores say what cannot be compared.")
    return sentences


def _written(spread: Spread, write: Writer) -> str:
    count = len(spread.values)
    seeds = f" over {count} seeds" if count > 1 else ""
    return f"{format_spread(spread, write)}{seeds}"
