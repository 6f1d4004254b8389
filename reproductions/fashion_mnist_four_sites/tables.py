"""Tables, chart and headline of four unequal sites of Fashion-MNIST."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..charts import Panel, draw
from ..experiment import Summary
from ..markdown import format_points, format_spread, listing, table

PLAYERS = ("tiny", "small", "middle", "large")
OPTIMAL = "optimal"
OURS = "cooperative with residuals"
METHODS = (
    "discriminative",
    "distillation",
    "symmetric",
    "cooperative",
    "symmetric with residuals",
    "cooperative with residuals",
    "direct",
    "symmetric with flows",
    "cooperative with flows",
    "direct with flows",
)
DRAWN = ("discriminative", "distillation", "symmetric", "cooperative", OURS, "direct")
"""The methods in the chart, where they were played with more than one number of images."""

WITHOUT_PLAY = ("discriminative", "distillation", "symmetric")
COMPARED: Mapping[str, Sequence[str]] = {
    "cooperative": (*WITHOUT_PLAY, "symmetric with residuals"),
    "cooperative with residuals": (*WITHOUT_PLAY, "cooperative", "symmetric with residuals"),
    "direct": (*WITHOUT_PLAY, "cooperative"),
    "cooperative with flows": (*WITHOUT_PLAY, "cooperative", "symmetric with flows"),
    "direct with flows": (*WITHOUT_PLAY, "symmetric with flows", "cooperative with flows"),
}
"""With which other methods each is compared, seed by seed."""


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
    """A row for each pair of methods, columns for each number of images: at the end, in time."""
    pairs: dict[str, None] = {}
    for differences in by_images.values():
        pairs |= dict.fromkeys(differences)
    rows = []
    for pair in pairs:
        cells = []
        for differences in by_images.values():
            difference = differences.get(pair)
            cells.append(_points(difference))
            cells.append(_points(difference["at_equal_seconds"] if difference else None))
        rows.append([pair.replace(" - ", " over "), *cells])
    columns = ["points of …"]
    for images in by_images:
        columns += [f"{images} images", "at equal seconds"]
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
        if OURS in cells:
            mean = cells[OURS]["accuracy"]["mean"]
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
    for method in DRAWN:
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
