"""Class shares of every player as bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from coplay.report.colours import COLOURS, INK, MUTED, PALE
from coplay.report.figures import plain_style, png
from coplay.report.panels import add_legend, add_panels, set_title, tidy

_MOST_NAMES = 24  # classes; with more, their numbers stand beneath the bars


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


@plain_style
def share_bars(
    panels: Sequence[SharesPanel], private: str, names: Sequence[str] | None = None
) -> bytes:
    """Draw class shares of every player.

    Bars are measured shares, markers predicted and raw ones; those of private data stand pale
    behind.

    Args:
        panels: One per player, at least one.
        private: What the legend calls the shares of private data.
        names: What the classes are called; None where they are called by their numbers.
    """
    few = len(panels) <= 4
    columns = 2 if few else 3
    height = 2.5 if few else 2.1
    figure, grid = add_panels(len(panels), columns, height)
    for axes, panel in zip(grid, panels, strict=True):
        _panel(axes, panel)
        if names is not None and len(names) <= _MOST_NAMES:
            _name_bars(axes, names)
    figure.supxlabel("class", fontsize=9, color=MUTED)
    figure.supylabel("share", fontsize=9, color=MUTED)
    across = 4 if len(panels) > 1 else 2
    add_legend(figure, _keys(panels, private), across)
    return png(figure)


def _name_bars(axes: Axes, names: Sequence[str]) -> None:
    """Write the names of classes beneath their bars, as they are."""
    rotation = 45 if sum(map(len, names)) > 30 else 0
    side = "right" if rotation else "center"
    axes.set_xticks(range(len(names)), names, rotation=rotation, ha=side)
    for label in axes.get_xticklabels():
        label.set_parse_math(False)


def _panel(axes: Axes, panel: SharesPanel) -> None:
    x = np.arange(len(panel.measured))
    if panel.private is not None:
        axes.bar(x, panel.private, width=0.92, color=PALE)
    axes.bar(x, panel.measured, width=0.56, color=COLOURS[0], alpha=0.85)
    if panel.raw is not None:
        axes.plot(x, panel.raw, "o", markerfacecolor="white", markeredgecolor=INK, markersize=4.5)
    if panel.predicted is not None:
        axes.hlines(panel.predicted, x - 0.44, x + 0.44, color=COLOURS[1], linewidth=2.4)
        if panel.width is not None:
            low = np.clip(np.subtract(panel.predicted, panel.width), 0, None)
            high = np.add(panel.predicted, panel.width)
            axes.bar(x, high - low, bottom=low, width=0.88, color=COLOURS[1], alpha=0.25)
    set_title(axes, panel.title)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))
    tidy(axes)


def _keys(panels: Sequence[SharesPanel], private: str) -> list[Patch | Line2D]:
    """Return the legend of what is drawn."""
    keys: list[Patch | Line2D] = []
    keys.append(Patch(color=COLOURS[0], alpha=0.85, label="measured, confusion-corrected"))
    if any(panel.raw is not None for panel in panels):
        ring = Line2D([], [], linestyle="", label="measured, raw", marker="o")
        ring.set_markerfacecolor("white")
        ring.set_markeredgecolor(INK)
        keys.append(ring)
    if any(panel.predicted is not None for panel in panels):
        keys.append(Line2D([], [], color=COLOURS[1], linewidth=2.4, label="predicted"))
    if any(panel.width is not None for panel in panels):
        keys.append(Patch(color=COLOURS[1], alpha=0.25, label="95 % by chance"))
    if any(panel.private is not None for panel in panels):
        keys.append(Patch(color=PALE, label=private))
    return keys
