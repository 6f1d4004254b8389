"""What audits beside a site's files say, in sentences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

AUDIT = "audit.json"
"""File, in a site's folder of a run, of its audits."""


def audit_lines(folder: Path) -> list[str]:
    """Return each figure of a site's audits with its interval, in a sentence; empty without any.

    Args:
        folder: The site's folder in the run.
    """
    path = folder / AUDIT
    if not path.exists():
        return []
    try:
        lines = []
        for audit in json.loads(path.read_text(encoding="utf-8"))["audits"]:
            lines += _lines_of(audit)
        return lines
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return [f"{AUDIT} cannot be read; 'coplay audit RUN' writes it anew"]


def _lines_of(audit: dict[str, Any]) -> list[str]:
    """Return the sentences of the audit of one game."""
    game = str(audit.get("game", ""))
    lines = []
    for figure in audit.get("figures", ()):
        lines.append(_line_of(game, figure))
    for reason in audit.get("reasons", ()):
        lines.append(f"{game}: {reason}")
    return lines


def _line_of(game: str, figure: dict[str, Any]) -> str:
    of = f" of {figure['of']}" if figure.get("of") else ""
    interval = f"at least {_short(figure['low'])}"
    if figure.get("high") is not None:
        interval = f"95 % interval {_short(figure['low'])} to {_short(figure['high'])}"
    text = (
        f"{game}: {figure['attack']}{of}, {figure['name']}: {_short(figure['value'])} ({interval}; "
        f"{_short(figure['chance'])} by chance)"
    )
    if figure.get("promised") is not None:
        text += f", where ε = {_short(figure['promised'])} is promised"
    meaning = str(figure.get("meaning", ""))
    return f"{text}. {meaning}" if meaning else text


def _short(value: float) -> str:
    return f"{float(value):.3g}"
