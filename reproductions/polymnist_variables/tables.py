"""Table, chart and headline of players with different variables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..charts import Panel, draw
from ..experiment import Summary
from ..markdown import format_points, format_spread, listing, table


def arms_table(summary: Summary) -> str:
    """Scores of every arm, then the gains between arms."""
    rows = []
    for arm, cell in summary["arms"].items():
        row = [arm, listing(cell["seeds"]), format_spread(cell["accuracy"], 4)]
        for key, digits in (("iou", 3), ("shapes_fid", 1), ("shapes_right", 3)):
            row.append(format_spread(cell[key], digits) if key in cell else "–")
        rows.append(row)
    columns = [
        "arm",
        "seeds",
        "accuracy from the image alone",
        "segmentation, IoU",
        "the other's pairs: FID",
        "of the class they carry",
    ]
    lines = [table(columns, rows), ""]
    for name, gain in summary["gains_in_accuracy"].items():
        lines.append(f"- {name}, seeds {listing(gain['seeds'])}: {format_points(gain, 2)}.")
    if "part_of_the_gain_by_real_data" in summary:
        part = summary["part_of_the_gain_by_real_data"]
        low, high = part["interval"]
        lines.append(
            f"- Synthetic pairs bring {part['mean']:.0%} of the gain over *plain* that real ones "
            f"do (95 % of a bootstrap over seeds and images: {low:.0%} to {high:.0%}; "
            f"seeds {listing(part['seeds'])})."
        )
    data = summary["data"]
    sizes = listing(f"{n:,} for {name}" for name, n in data["sizes"].items())
    lines.append(
        f"\n{data['name']}: {sizes}; {summary['tested']:,} test images. "
        "`python -m reproductions polymnist_variables --folder FOLDER`."
    )
    return "\n".join(lines)


def headline(summary: Summary) -> tuple[str, str, str]:
    """Return the gains by synthetic and by real pairs."""
    gains = summary["gains_in_accuracy"]
    texts = []
    for name in ("synthetic - plain", "real - plain"):
        if name in gains:
            texts.append(f"{format_points(gains[name], 2)} ({name})")
    return (
        "different variables, PolyMNIST",
        "another's synthetic segmentations help a player that has none to classify images",
        "; ".join(texts),
    )


def draw_styles(path: Path, summary: Summary) -> None:
    """Draw accuracies by style; arms of the earlier setting and of one seed are left out."""
    curves = {}
    for arm, styles in summary["accuracy_by_style"].items():
        if not arm.endswith(("unmatched", "starts")):
            curves[arm] = [(float(style), values) for style, values in enumerate(styles)]
    draw(path, [Panel("", "style", "accuracy", curves)])


TABLES: dict[str, Callable[[Summary], str]] = {"polymnist_variables": arms_table}
