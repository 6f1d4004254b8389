"""Curves like the papers' figures, drawn from the JSON that the experiments collect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.ticker import NullFormatter

from coplay.report.charts import COLOURS
from coplay.report.figures import INK, MUTED, canvas, png


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
    """Panels side by side as one PNG; bars are one standard deviation over seeds each way."""
    figure = canvas(3.6 * len(panels) + 0.4, 3.2)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for place, (name, points) in enumerate(panel.curves.items()):
            heights, errors = ([value[key] for _, value in points] for key in ("mean", "std"))
            style = {
                "color": COLOURS[place % len(COLOURS)],
                "marker": "o",
                "markersize": 3.5,
                "capsize": 2.5,
            }
            axes.errorbar(
                [at for at, _ in points], heights, errors, label=name, linewidth=1.4, **style
            )
        for place, (name, height) in enumerate(panel.levels.items()):
            axes.axhline(
                height,
                label=name,
                color=MUTED,
                linewidth=1.2,
                linestyle=("--", ":", "-.")[place % 3],
            )
        if panel.log:
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(NullFormatter())
        ticks = sorted({at for points in panel.curves.values() for at, _ in points})
        axes.set_xticks(ticks, [f"{at:g}" for at in ticks])
        axes.set_title(panel.title, color=INK, fontsize=10)
        axes.set_xlabel(panel.x, color=MUTED, fontsize=9)
        axes.set_ylabel(panel.y, color=MUTED, fontsize=9)
        axes.tick_params(colors=MUTED, labelsize=8.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(figure))
    print(path)
