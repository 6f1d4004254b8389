"""Class shares of every player as bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coplay.report.bar_plot import BAND
from coplay.report.chart import Chart
from coplay.report.chart_parts import BarPanel, Bars, Key, Look
from coplay.report.colours import COLOURS, HELD, INK

_BY_CHANCE = "95 % by chance"


@dataclass(frozen=True)
class SharesPanel:
    """Class shares of one player.

    Args:
        title: Drawn as it is.
        measured: Measured shares, corrected for confusions, one per class.
        raw: As the domain classifier counts them; None where they were not measured.
        predicted: By theory; None without one.
        private: Of private data; None without any.
        width: By how much chance moves measured shares from predicted ones, one per class; None
            where that is not known.
    """

    title: str
    measured: Sequence[float]
    raw: Sequence[float] | None
    predicted: Sequence[float] | None
    private: Sequence[float] | None
    width: Sequence[float] | None = None


def share_bars(panels: Sequence[SharesPanel], private: str, names: Sequence[str]) -> Chart:
    """Return class shares of every player as a chart.

    Bars are measured shares, lines predicted and rings raw ones; those of private data stand pale
    behind.

    Args:
        panels: One per player, at least one.
        private: What the shares of private data are called.
        names: What the classes are called.
    """
    drawn = []
    kinds: dict[str, Bars] = {}
    for panel in panels:
        bars = _bars(panel, private)
        kinds |= {each.name: each for each in bars}
        # a spread is told apart by its own key
        kinds |= {each.band: each for each in bars if each.spread}
        drawn.append(BarPanel(panel.title, "class", names, bars))
    return Chart(drawn, [_key(label, bars) for label, bars in kinds.items()])


def _bars(panel: SharesPanel, private: str) -> list[Bars]:
    """Return what is drawn of one player, from behind to above."""
    bars = []
    if panel.private is not None:
        bars.append(Bars(private, panel.private, HELD, width=0.92))
    bars.append(Bars("measured, confusion-corrected", panel.measured, COLOURS[0], width=0.56))
    if panel.predicted is not None:
        width = panel.width or ()
        colour = COLOURS[1]
        bars.append(Bars("predicted", panel.predicted, colour, "line", 0.88, 0, width, _BY_CHANCE))
    if panel.raw is not None:
        bars.append(Bars("measured, raw", panel.raw, INK, "ring"))
    return bars


def _key(label: str, bars: Bars) -> Key:
    look = Look(bars.colour, width=2.4)
    if label == bars.band:
        return Key(label, look, is_filled=True, opacity=BAND)
    if bars.mark == "ring":
        return Key(label, Look(bars.colour, "", hollow=True))
    return Key(label, look, has_points=False, is_filled=bars.mark == "bar")
