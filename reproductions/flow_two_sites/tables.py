"""Table and chart of two sites whose players draw sharply."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..charts import Curves, Panel, draw
from ..experiment import Summary
from ..markdown import format_spread, listing, table


def sites_table(summary: Summary) -> str:
    """Fréchet distance in the best round and the last, by family, method and what is learned."""
    rows = []
    for arm, cell in sorted(summary["cells"].items()):
        family, _, rest = arm.partition("/")
        method, what, own_weight = arm_parts(rest)
        best, last = cell["best"], cell["last"]
        minutes = cell["seconds"]["mean"] / 60
        rows.append(
            [
                f"`{family}`",
                method,
                what,
                f"{own_weight:g}",
                listing(cell["seeds"]),
                f"{format_spread(best['fid'], 0)} (round {best['round']})",
                format_spread(last["fid"], 0),
                format_spread(last["other_share"]),
                f"{(1 - own_weight) / (2 - own_weight):.3f}",
                f"{minutes:.1f}",
            ]
        )
    columns = [
        "players",
        "method",
        "what is learned",
        "α",
        "seeds",
        "FID: best round",
        "last round",
        "share of the other's digits",
        "by the weights",
        "minutes of play",
    ]
    return (
        f"{table(columns, rows)}\n\nMeans over both players, 16 rounds, "
        f"{summary['samples']:,} samples a player; "
        f"classifier right on {summary['classifier_accuracy']:.1%}. "
        "`python -m reproductions flow_two_sites --folder FOLDER`."
    )


def arm_parts(rest: str) -> tuple[str, str, float]:
    """Return an arm's method, what is learned and the own weight, from its name's second part.

    Example:
        >>> arm_parts("play, images"), arm_parts("direct, images and classes, own weight 0.3")
        (('play', 'images', 0.1), ('direct', 'images and classes', 0.3))
    """
    method, what, *own_weight = rest.split(", ")
    if not own_weight:
        return method, what, 0.1
    return method, what, float(own_weight[0].removeprefix("own weight "))


def draw_curves(path: Path, summary: Summary) -> None:
    """Draw Fréchet distances over rounds, a panel for each kind of data and own weight."""
    panels: dict[str, Curves] = {}
    for arm, cell in sorted(summary["cells"].items()):
        family, _, rest = arm.partition("/")
        method, what, own_weight = arm_parts(rest)
        curves = panels.setdefault(f"{what}, α = {own_weight:g}", {})
        curves[f"{family}/{method}"] = [(point["round"], point["fid"]) for point in cell["rounds"]]
    draw(path, [Panel(title, "round", "FID", curves) for title, curves in panels.items()])


def headline(summary: Summary) -> tuple[str, str, str]:
    """Return how play of flows develops over rounds."""
    cell = summary["cells"]["flow/play, images"]
    best, last = cell["best"], cell["last"]
    return (
        "two sites, disjoint MNIST digits, rectified flows",
        "none: the experiment is ours",
        f"FID at α = 0.1: {best['fid']['mean']:.0f} in round {best['round']}, "
        f"{last['fid']['mean']:.0f} in round {last['round']}",
    )


TABLES: dict[str, Callable[[Summary], str]] = {"flow_two_sites": sites_table}
