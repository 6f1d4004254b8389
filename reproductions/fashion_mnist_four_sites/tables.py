"""Tables, chart and headline of four unequal sites of Fashion-MNIST."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..charts import Panel, draw
from ..experiment import Summary
from ..markdown import format_points, format_spread, listing, table

PLAYERS = ("tiny", "small", "middle", "large")
METHODS = (
    "discriminative",
    "distillation",
    "symmetric",
    "cooperative",
    "symmetric with residuals",
    "cooperative with residuals",
    "symmetric with flows",
    "cooperative with flows",
)
COOPERATIVE = ("cooperative", "cooperative with residuals")
OPTIMAL = "optimal"


def sites_tables(summary: Summary) -> str:
    """Accuracies of every method, then differences to both cooperative ones."""
    rows = []
    for images, cells in summary["images_per_class"].items():
        rows += [_row(images, method, cell) for method, cell in cells.items()]
    if OPTIMAL in summary:
        rows.append(_row("all 60,000", OPTIMAL, summary[OPTIMAL]))
    columns = ["images per class and site", "method", "seeds", "mean of four", *PLAYERS]
    return (
        f"{table(columns, rows)}\n\n{differences_table(summary['paired_differences'])}\n\n"
        f"{summary['data']}. Mean ± standard deviation over seeds; differences ± their standard "
        "error, paired by seed, and by player in the JSON. "
        "`python -m reproductions fashion_mnist_four_sites --folder FOLDER`."
    )


def _row(images: str, method: str, cell: Mapping[str, Any]) -> list[str]:
    by_player = [format_spread(values) for values in cell["by_player"].values()]
    mean = format_spread(cell["accuracy"])
    return [images, method, listing(cell["seeds"]), mean, *by_player]


def differences_table(by_images: Mapping[str, Mapping[str, Any]]) -> str:
    """A row for each method that is compared, a column for each that it is compared with."""
    ones: dict[str, None] = {}
    others: dict[str, None] = {}
    for differences in by_images.values():
        for name in differences:
            one, other = name.split(" - ")
            ones[one] = None
            others[other] = None
    rows = []
    for images, differences in by_images.items():
        for one in ones:
            at_end = []
            at_equal_seconds = []
            for other in others:
                difference = differences.get(f"{one} - {other}")
                at_end.append(_points(difference))
                timed = difference["at_equal_seconds"] if difference else None
                at_equal_seconds.append(_points(timed))
            rows.append([images, one, *at_end])
            rows.append(["", "at equal seconds", *at_equal_seconds])
    columns = ["images", "points of …", *[f"over {other}" for other in others]]
    return table(columns, rows)


def _points(difference: Mapping[str, Any] | None) -> str:
    if difference is None:
        return ""
    return format_points(difference, 2, with_unit=False)


def headline(summary: Summary) -> tuple[str, str, str]:
    """Return accuracies of *cooperative* beside others, by number of images."""
    each = []
    for images, cells in summary["images_per_class"].items():
        differences = summary["paired_differences"].get(images, {})
        if "cooperative - symmetric" not in differences:
            continue
        gain = format_points(differences["cooperative - symmetric"], 2)
        mean = cells["cooperative"]["accuracy"]["mean"]
        line = f"{images} images per class: {mean:.3f}, {gain} over *symmetric*"
        beside = []
        if COOPERATIVE[1] in cells:
            mean = cells[COOPERATIVE[1]]["accuracy"]["mean"]
            beside.append(f"with residuals (ours) {mean:.3f}")
        if "distillation" in cells:
            beside.append(f"*distillation* {cells['distillation']['accuracy']['mean']:.3f}")
        if beside:
            line += f"; {', '.join(beside)}"
        each.append(line)
    return (
        "four unequal sites, Fashion-MNIST",
        "*cooperative* players classify best, with little data most",
        ". ".join(each),
    )


def draw_accuracy(path: Path, summary: Summary) -> None:
    """Draw accuracies over the number of images: mean of four, the weakest and the strongest."""
    panels = [
        _panel("mean of four", summary, lambda cell: cell["accuracy"]),
        _panel(PLAYERS[0], summary, lambda cell: cell["by_player"][PLAYERS[0]]),
        _panel(PLAYERS[-1], summary, lambda cell: cell["by_player"][PLAYERS[-1]]),
    ]
    draw(path, panels)


def _panel(
    title: str,
    summary: Summary,
    accuracy: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> Panel:
    """One diagram.

    Args:
        title: Its title.
        summary: The summary.
        accuracy: The accuracy in a cell that is drawn.
    """
    curves = {}
    for method in METHODS:
        points = []
        for images, cells in summary["images_per_class"].items():
            if method in cells:
                points.append((int(images), accuracy(cells[method])))
        if len(points) > 1:  # one number of images makes no curve
            curves[method] = points
    levels = {}
    if OPTIMAL in summary:
        levels[OPTIMAL] = accuracy(summary[OPTIMAL])["mean"]
    return Panel(title, "images per class and site", "test accuracy", curves, levels, log=True)


TABLES: dict[str, Callable[[Summary], str]] = {"fashion_four_sites": sites_tables}
