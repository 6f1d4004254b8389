"""Table and chart of two sites whose players draw sharply."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..charts import Panel, draw
from ..experiment import Summary
from ..markdown import format_spread, listing, table


def sites_table(summary: Summary) -> str:
    """Fréchet distance in the best round and the last, by family, method and what is learned."""
    rows = []
    for arm, cell in sorted(summary["cells"].items()):
        family, _, rest = arm.partition("/")
        method, _, what = rest.partition(", ")
        best, last = cell["best"], cell["last"]
        minutes = cell["seconds"]["mean"] / 60
        rows.append(
            [
                f"`{family}`",
                method,
                what,
                listing(cell["seeds"]),
                f"{format_spread(best['fid'], 0)} (round {best['round']})",
                format_spread(last["fid"], 0),
                format_spread(last["other_share"]),
                f"{minutes:.1f}",
            ]
        )
    columns = [
        "players",
        "method",
        "what is learned",
        "seeds",
        "FID: best round",
        "last round",
        "share of the other's digits",
        "minutes of play",
    ]
    return (
        f"{table(columns, rows)}\n\nMeans over both players, α = 0.1, 16 rounds, "
        f"{summary['samples']:,} samples a player; the share that theory predicts is 0.474; "
        f"classifier right on {summary['classifier_accuracy']:.1%}. "
        "`python -m reproductions flow_two_sites --folder FOLDER`."
    )


def draw_curves(path: Path, summary: Summary) -> None:
    """Draw Fréchet distances over rounds, a panel for images alone and one with classes."""
    panels = []
    for what in ("images", "images and classes"):
        curves = {}
        for arm, cell in sorted(summary["cells"].items()):
            name, _, learned = arm.partition(", ")
            if learned == what:
                curves[name] = [(point["round"], point["fid"]) for point in cell["rounds"]]
        if curves:
            panels.append(Panel(what, "round", "FID", curves))
    draw(path, panels)


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
