"""A run as a notebook shows it: its scores in a small table, and pictures where it has images."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from coplay.run import tidy

if TYPE_CHECKING:
    from coplay.run.play import Play
    from coplay.run.result import Result

_PICTURES = 10
_SIDE = 48  # pixels


def html(result: Result) -> str:
    """Return the scores of a run, and some samples of each player's, as a piece of HTML."""
    lines = [
        "<div>",
        f"<p><b>{escape(result.config.title)}</b> · {escape(result.record.status)} · "
        f"<code>{escape(str(result.folder))}</code></p>",
        *_table(result),
        *_pictures(result.main),
        "</div>",
    ]
    return "\n".join(lines)


def _table(result: Result) -> list[str]:
    """Write the scores, a line per game and player."""
    rows = tidy.scores(result)
    metrics = list(dict.fromkeys(row["metric"] for row in rows if row["metric"]))
    reasons: dict[str, None] = {}
    lines = ["<table>", "<tr><th>game</th><th>player</th>"]
    lines += [f"<th>{escape(metric)}</th>" for metric in metrics]
    lines.append("</tr>")
    for play in result.plays:
        for player in dict.fromkeys(row["player"] for row in rows if row["game"] == play):
            cells = {
                row["metric"]: row for row in rows if (row["game"], row["player"]) == (play, player)
            }
            lines.append(f"<tr><td>{escape(play)}</td><td>{escape(player)}</td>")
            for metric in metrics:
                row = cells.get(metric)
                if row is None or row["value"] is None:
                    lines.append("<td>–</td>")
                    continue
                title = ""
                if row["low"] is not None and row["high"] is not None:
                    title = f' title="{row["low"]:.3g} to {row["high"]:.3g}"'
                lines.append(f"<td{title}>{row['value']:.3g}</td>")
            lines.append("</tr>")
    lines.append("</table>")
    for row in rows:
        if row["reason"]:
            reasons[f"{row['metric'] or 'scores'}: {row['reason']}"] = None
    lines += [f"<p><small>– {escape(reason)}</small></p>" for reason in reasons]
    return lines


def _pictures(play: Play) -> list[str]:
    """Draw some samples of each player, where they are images."""
    if not play.shown_rounds:
        return []
    lines: list[str] = []
    for player, samples in play.samples(play.shown_rounds[-1]).items():
        for name, values in samples.items():
            if values.ndim == 3 or (values.ndim == 4 and values.shape[1] in (1, 3)):
                drawn = "".join(_picture(image) for image in values[:_PICTURES])
                lines.append(f"<p>{escape(player)}, {escape(name)}: {drawn}</p>")
    return lines


def _picture(image: Tensor) -> str:
    """Draw one image as a PNG in the page."""
    from PIL import Image

    values = image.double().clamp(0, 1).mul(255).round().to(torch.uint8).numpy()
    if values.ndim == 3:
        values = values[0] if len(values) == 1 else values.transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    style = f"image-rendering:pixelated;width:{_SIDE}px"
    return f'<img alt="a sample" style="{style}" src="data:image/png;base64,{data}"> '
