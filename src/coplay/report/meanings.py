"""What scores mean, from the metrics themselves: on hover, and in one line beneath a table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from coplay.core.components import find, names
from coplay.core.measures import OF_REAL_ROWS
from coplay.metrics.base import Metric, Value
from coplay.report.parts import Term
from coplay.report.words import direction, heading, sentence_case, span
from coplay.run.measuring import MEANINGS


@cache
def meanings() -> dict[str, str]:
    """Return what each value is that coplay measures, by its name."""
    known = dict(MEANINGS)
    for name in names("metric"):
        metric = find("metric", name)
        assert issubclass(metric, Metric)
        known |= metric.meanings
    return known


def meaning(quantity: str) -> str:
    """Return what a value is, in words that go on after "it is"; empty for one that is not ours.

    Example:
        >>> meaning("precision")
        'the share of samples that lie where real rows do; 1 is best'
    """
    return meanings().get(quantity, "")


def term(quantity: str, values: Sequence[Value], mark: str = "") -> Term:
    """Return a score's entry beneath a table: what it is, its unit, direction and counts.

    Args:
        quantity: Its name.
        values: Values of it, at least one.
        mark: What its heading ends with.

    Example:
        >>> print(term("precision", [Value(0.5, "share of samples", "higher", 90, 40)]).detail)
        Higher is better. Unit: share of samples, n = 90 generated samples against n_real = 40.
    """
    first = values[0]
    real = ""
    if any(value.n_real for value in values):
        real = f" against n_real = {span(value.n_real for value in values)}"
    generated = ""
    if any(value.n for value in values):
        kind = "real rows to learn from" if quantity in OF_REAL_ROWS else "generated samples"
        generated = f", n = {span(value.n for value in values)} {kind}"
    sentences = [direction(first.better), f"unit: {first.unit}{generated}{real}"]
    detail = " ".join(f"{sentence_case(sentence)}." for sentence in sentences if sentence)
    return Term(f"{heading(quantity, first.better)}{mark}", meaning(quantity), detail)
