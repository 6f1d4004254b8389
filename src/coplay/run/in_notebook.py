"""A run as a notebook shows it: its scores in a small table, and pictures where it has images."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from contextlib import suppress
from html import escape
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from coplay.core.errors import CheckpointError, RunFolderError
from coplay.run import judging, tidy

if TYPE_CHECKING:
    from coplay.run.play import Play
    from coplay.run.result import Result

_PICTURES = 10
_SIDE = 48  # pixels
_LEFT = "text-align:left;vertical-align:top;padding:2px 8px"
_RIGHT = "text-align:right;vertical-align:top;padding:2px 8px;font-variant-numeric:tabular-nums"


def html(result: Result) -> str:
    """Return the scores of a run, and some samples of each player's, as a piece of HTML."""
    lines = [
        "<div>",
        f"<p><b>{escape(result.config.title)}</b> · {escape(result.record.status)} · "
        f"<code>{escape(str(result.folder))}</code></p>",
        *_table(result),
        *_verdicts(result),
        *_pictures(result.main),
        "</div>",
    ]
    return "\n".join(lines)


def _table(result: Result) -> list[str]:
    """Write the scores, a line per game and player, and why some are missing."""
    rows = tidy.scores(result)
    metrics = list(dict.fromkeys(row["metric"] for row in rows if row["value"] is not None))
    cells: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in rows:
        cells.setdefault((row["game"], row["player"]), {})[row["metric"]] = row
    lines = []
    if metrics:
        lines += ['<div style="overflow-x:auto">', "<table>", "<tr>"]
        lines += [f'<th style="{_LEFT}">{name}</th>' for name in ("game", "player", "round")]
        arrows = _arrows(result)
        lines += [f'<th style="{_RIGHT}">{escape(m)}{arrows.get(m, "")}</th>' for m in metrics]
        lines.append("</tr>")
        for (game, player), by_metric in cells.items():
            round = next(iter(by_metric.values()))["round"]
            names = (game, player, round)
            lines.append("<tr>")
            lines += [f'<td style="{_LEFT}">{escape(str(name))}</td>' for name in names]
            lines += [_cell(by_metric.get(metric)) for metric in metrics]
            lines.append("</tr>")
        lines += ["</table>", "</div>"]
        lines.append("<p><small>In grey: 95 % intervals. – is not measured.</small></p>")
    reasons: dict[str, None] = {}
    for row in rows:
        if row["reason"]:
            reasons[f"{row['metric'] or 'no scores'}: {row['reason']}"] = None
    return [*lines, *(f"<p><small>– {escape(reason)}</small></p>" for reason in reasons)]


def _cell(row: Mapping[str, Any] | None) -> str:
    """Write a value with its interval."""
    if row is None or row["value"] is None:
        return f'<td style="{_RIGHT}">–</td>'
    text = f"{row['value']:.3f}"
    if row["low"] is not None and row["high"] is not None:
        text += f'<br><small style="opacity:0.6">{row["low"]:.3f} to {row["high"]:.3f}</small>'
    return f'<td style="{_RIGHT}">{text}</td>'


def _arrows(result: Result) -> dict[str, str]:
    """Return an arrow in the better direction, by quantity."""
    arrows = {}
    for play in result.plays.values():
        for values in play.last.values():
            for name, value in values.items():
                arrows[name] = {"higher": " ↑", "lower": " ↓"}.get(value.better or "", "")
    return arrows


def _verdicts(result: Result) -> list[str]:
    """Say which model is best for each player whose verdict is here."""
    lines = []
    for player in result.players:
        with suppress(RunFolderError, CheckpointError):
            verdict = judging.best(result, player)
            lines.append(f"<p>{escape(str(verdict))}</p>")
    return lines


def _pictures(play: Play) -> list[str]:
    """Draw some samples of each player, where they are images, a line each."""
    if not play.shown_rounds:
        return []
    lines: list[str] = []
    for player, samples in play.samples(play.shown_rounds[-1]).items():
        for name, values in samples.items():
            if values.ndim == 3 or (values.ndim == 4 and values.shape[1] in (1, 3)):
                drawn = "".join(_picture(image) for image in values[:_PICTURES])
                whose = f"{escape(player)}, {escape(name)}"
                lines.append(f'<tr><td style="{_LEFT}">{whose}</td><td>{drawn}</td></tr>')
    if not lines:
        return []
    title = f"<p>Samples of {escape(play.name)}, round {play.shown_rounds[-1]}:</p>"
    return [title, "<table>", *lines, "</table>"]


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
