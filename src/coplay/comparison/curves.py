"""Pictures of the scores of all arms over rounds, payload and seconds of play."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coplay.comparison.arms import Arm, Comparison
from coplay.comparison.spread import Curve
from coplay.comparison.tables import unit_of
from coplay.metrics.base import Value
from coplay.report import charts
from coplay.report.charts import Band
from coplay.report.meanings import meaning
from coplay.report.parts import ChartPicture, PageSection
from coplay.report.words import direction, in_order, sentence_case, words

_DRAWN = 12  # arms


@dataclass(frozen=True)
class _Axis:
    """A horizontal axis that scores are drawn over.

    Args:
        name: Its name in files.
        label: Its label in the picture.
        factor: Its numbers are divided by this.
        numbers: A function that returns its numbers of a curve.
        caption: How to read the picture.
    """

    name: str
    label: str
    factor: float
    numbers: Callable[[Curve], Sequence[float]]
    caption: str


def section(comparison: Comparison) -> PageSection:
    """Draw every quantity over rounds, over payload and over seconds of play.

    Args:
        comparison: The arms; the first twelve that have curves are drawn.
    """
    title = "Over rounds, payload and time"
    arms = [arm for arm in comparison.arms if arm.curves][:_DRAWN]
    if not arms:
        return PageSection("curves", title, ["Nothing was measured."], is_empty=True)
    quantities = []
    for quantity in in_order(comparison.quantities):
        if any(quantity in arm.curves for arm in arms):
            quantities.append(quantity)
    titles = {name: _title(name, comparison.quantities[name]) for name in quantities}
    styles = _styles(arms)
    pictures = []
    for axis in _axes(comparison, arms):
        panels = {name: _bands(arms, name, axis) for name in quantities}
        chart = charts.bands(
            panels,
            titles,
            styles,
            axis.label,
            rounds=axis.name == "round",
            meanings={name: sentence_case(meaning(name)) for name in quantities},
        )
        pictures.append(ChartPicture(f"curves-{axis.name}", chart, axis.caption))
    return PageSection("curves", title, pictures=pictures)


def _title(quantity: str, example: Value) -> str:
    if example.better is None:
        return words(quantity)
    return f"{words(quantity)} ({direction(example.better)})"


def _axes(comparison: Comparison, arms: Sequence[Arm]) -> list[_Axis]:
    """Return the axes, without payload where nothing travelled."""
    most = max(curve.bytes[-1] for arm in arms for curve in arm.curves.values())
    bands = "bands are one standard deviation over seeds, where there are two or more"
    common = f"Means over players and seeds; {bands}."
    if len(comparison.arms) > len(arms) == _DRAWN:
        common += f" The first {_DRAWN} of {len(comparison.arms)} arms are drawn."
    rounds = _Axis(
        name="round",
        label="round",
        factor=1.0,
        numbers=lambda curve: curve.rounds,
        caption=f"Scores at the measured rounds. {common}",
    )
    size, unit = unit_of("bytes_", most)
    payload = _Axis(
        name="bytes",
        label=f"payload exchanged per run ({unit})",
        factor=size,
        numbers=lambda curve: curve.bytes,
        caption="The same over payload exchanged by all players. An arm in which nothing travels "
        "is a level line at its last value. The ledger counts what was exchanged up to each "
        "measured round.",
    )
    seconds = _Axis(
        name="seconds",
        label="seconds of play",
        factor=1.0,
        numbers=lambda curve: curve.seconds,
        caption="The same over seconds of learning, sampling and exchange, added up over players; "
        "evaluation and bookkeeping are left out.",
    )
    return [rounds, payload, seconds] if most else [rounds, seconds]


def _bands(arms: Sequence[Arm], quantity: str, axis: _Axis) -> list[Band]:
    """Return the curves of one quantity over one axis, one per arm that has the quantity."""
    bands = []
    for arm in arms:
        if quantity in arm.curves:
            bands.append(_band(arm, arm.curves[quantity], axis))
    return bands


def _band(arm: Arm, curve: Curve, axis: _Axis) -> Band:
    sent = arm.costs["bytes_exchange"]
    nothing_travels = sent is None or sent.mean == 0
    numbers = [number / axis.factor for number in axis.numbers(curve)]
    is_level = axis.name == "bytes" and nothing_travels
    return Band(arm.label, numbers, curve.mean, curve.std, is_level)


def _styles(arms: Sequence[Arm]) -> dict[str, tuple[int, int]]:
    """Choose a colour and a kind of line for each arm, as numbers by label.

    Colours tell settings apart and lines tell games apart; where all settings are the same,
    colours tell games apart, too.
    """
    settings = list(dict.fromkeys(arm.settings for arm in arms))
    games = list(dict.fromkeys(arm.game for arm in arms))
    styles = {}
    for arm in arms:
        game = games.index(arm.game)
        colour = game if len(settings) == 1 else settings.index(arm.settings)
        styles[arm.label] = (colour, game)
    return styles
