"""Table, chart and headline of two sites with disjoint MNIST digits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..charts import Panel, draw
from ..experiment import Summary
from ..markdown import format_spread, listing, table

DIGITS = ("all", "own", "other")
FORMS = (
    "images",
    "images and latents",
    "images with originals",
    "images and latents with originals",
)


def sites_table(summary: Summary) -> str:
    """Shares of the other's digits and Fréchet distances, by form and own weight."""
    cells = sorted(summary["cells"].values(), key=_order)
    rows = [_row(cell) for cell in cells]
    first = next(iter(summary["cells"].values()))
    floors = [format_spread(first["over_players"][f"floor_{d}"], 0) for d in DIGITS]
    empty = ["", "", ""]
    rows.append(["real training digits", "", listing(first["seeds"]), *empty, *floors])
    columns = [
        "what travels",
        "own weight α",
        "seeds",
        "share of the other's digits: predicted",
        "site with 0–4",
        "site with 5–9",
        "FID to all digits",
        "to own",
        "to the other's",
    ]
    data = summary["data"]
    return (
        f"{table(columns, rows)}\n\n{data['name']}: {data['train']:,} digits dealt out, "
        f"{data['test']:,} to measure against, of which own and other are half: columns of FID "
        f"compare with their floor, not with each other. {summary['samples']:,} samples a player; "
        "FID is the mean over both players, of two pooled models the better; classifier right on "
        f"{first['classifier_accuracy']['mean']:.1%}. "
        "`python -m reproductions mnist_two_sites --folder FOLDER`."
    )


def _order(cell: Mapping[str, Any]) -> tuple[str, float]:
    """By form and own weight; pooled models have none."""
    return cell["form"], cell.get("own_weight", 2)


def _row(cell: Mapping[str, Any]) -> list[str]:
    own = "–"
    predicted = "–"
    if "own_weight" in cell:
        own = f"{cell['own_weight']:g}"
        predicted = f"{cell['predicted']:.3f}"
    shares = [format_spread(cell["class_shares"][site]) for site in ("low", "high")]
    distances = [format_spread(cell["over_players"][f"fid_{digits}"], 0) for digits in DIGITS]
    return [cell["form"], own, listing(cell["seeds"]), predicted, *shares, *distances]


def headline(summary: Summary) -> tuple[str, str, str]:
    """Return how far shares and distances are from theory and from a pooled model."""
    cells = [cell for cell in summary["cells"].values() if "own_weight" in cell]
    errors = []
    for cell in cells:
        for site in ("low", "high"):
            errors.append(abs(cell["class_shares"][site]["mean"] - cell["predicted"]))
    distances = []
    for cell in sorted(cells, key=_order):
        if cell["own_weight"] == 0.1:
            mean = cell["over_players"]["fid_all"]["mean"]
            distances.append(f"{mean:.0f} by {cell['form']}")
    pooled = summary["cells"].get("pooled")
    if pooled:
        distances.append(f"{pooled['over_players']['fid_all']['mean']:.0f} pooled")
    return (
        "two sites, disjoint MNIST digits",
        "with a small own weight both sites come near a model of all digits",
        f"shares within {max(errors):.3f} of theory; FID to all digits at α = 0.1: "
        f"{', '.join(distances)}",
    )


def draw_fid(path: Path, summary: Summary) -> None:
    """Draw Fréchet distances over own weights, a panel for each form."""
    cells = summary["cells"]
    # With own weight 1 nothing travels, in either form.
    alone = cells.get("images/1")
    levels = {}
    if "pooled" in cells:
        levels["pooled, to all"] = cells["pooled"]["over_players"]["fid_all"]["mean"]
    panels = []
    for form in FORMS:
        by_weight = {}
        for cell in cells.values():
            if cell["form"] == form and "own_weight" in cell:
                by_weight[cell["own_weight"]] = cell
        is_curve = len(by_weight) > 1
        if alone:
            by_weight[1.0] = alone
        points = sorted(by_weight.items())
        curves = {}
        for digits in DIGITS:
            key = f"fid_{digits}"
            curves[f"to {digits} digits"] = [(own, c["over_players"][key]) for own, c in points]
        if is_curve:
            panels.append(Panel(form, "own weight α", "FID", curves, levels))
    if panels:
        draw(path, panels)


TABLES: dict[str, Callable[[Summary], str]] = {"mnist_two_sites": sites_table}
