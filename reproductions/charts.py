"""Curves like the papers' figures, drawn from the summary of an experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from coplay.report.colours import COLOURS, INK, MUTED
from coplay.report.figures import canvas, png

Curves = dict[str, Sequence[tuple[float, Mapping[str, Any]]]]
"""By name, points (x, {"mean": …, "std": …})."""

_DASHES = ("--", ":", "-.")


@dataclass(frozen=True)
class Panel:
    """One diagram.

    Args:
        title: Above it.
        x: Label of the horizontal axis.
        y: Label of the vertical axis.
        curves: By name, points (x, {"mean": …, "std": …}).
        levels: By name, a height that does not depend on x, drawn across.
        log: Whether x is on a logarithmic scale.
    """

    title: str
    x: str
    y: str
    curves: Mapping[str, Sequence[tuple[float, Mapping[str, Any]]]]
    levels: Mapping[str, float] = field(default_factory=dict)
    log: bool = False


def draw(path: Path, panels: Sequence[Panel]) -> None:
    """Draw panels side by side as one PNG.

    Bars are one standard deviation over seeds each way.

    Args:
        path: The file.
        panels: At least one.
    """
    height = 4.0 if any(map(_is_crowded, panels)) else 3.2
    figure = canvas(3.6 * len(panels) + 0.4, height)
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, panel in zip(all_axes, panels, strict=True):
        _draw_curves(axes, panel)
        _draw_frame(axes, panel)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(figure))
    print(path)


def _draw_curves(axes: Axes, panel: Panel) -> None:
    for place, (name, points) in enumerate(panel.curves.items()):
        axes.errorbar(
            [x for x, _ in points],
            [value["mean"] for _, value in points],
            [value["std"] for _, value in points],
            label=name,
            linewidth=1.4,
            color=COLOURS[place % len(COLOURS)],
            marker="o",
            markersize=3.5,
            capsize=2.5,
        )
    for place, (name, height) in enumerate(panel.levels.items()):
        dashes = _DASHES[place % len(_DASHES)]
        axes.axhline(height, label=name, color=MUTED, linewidth=1.2, linestyle=dashes)


def _draw_frame(axes: Axes, panel: Panel) -> None:
    if panel.log:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    ticks = sorted({x for points in panel.curves.values() for x, _ in points})
    axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    axes.set_title(panel.title, color=INK, fontsize=10)
    axes.set_xlabel(panel.x, color=MUTED, fontsize=9)
    axes.set_ylabel(panel.y, color=MUTED, fontsize=9)
    axes.tick_params(colors=MUTED, labelsize=8.5)
    axes.spines[["top", "right"]].set_visible(False)
    legend = axes.legend(frameon=False, fontsize=8)
    if _is_crowded(panel):
        legend.set_ncols(2)
        legend.set_loc("upper center")
        legend.set_bbox_to_anchor((0.5, -0.18), transform=axes.transAxes)


def _is_crowded(panel: Panel) -> bool:
    """Whether a legend would lie on curves, so that it has to stand beneath them."""
    return len(panel.curves) + len(panel.levels) > 4
