"""Bars and curves as PNG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from coplay.report.figures import INK, MUTED, PALE, canvas, png
from coplay.report.words import number, words

# Okabe and Ito's palette without yellow, which fades on white; told apart also by the colour-blind. Players after the
# sixth have the same colours with hollow markers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_GRID = "#e3e6ea"
_WIDE = 10.0  # inches; the page is 960 CSS pixels wide
_DASHES: tuple[Literal["-", "--", ":"], ...] = ("-", "--", ":")


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#aab2bb")
    axes.tick_params(colors=MUTED, labelsize=8.5, length=3)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _panels(count: int, columns: int, height: float, width: float = _WIDE) -> tuple[Figure, list[Axes]]:
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = canvas(width, height * rows)
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in grid[count:]:
        axes.set_visible(False)
    return figure, list(grid[:count])


@dataclass(frozen=True)
class SharesPanel:
    """Class shares of one player, each of C numbers or None; ``title`` is drawn as it is."""

    title: str
    measured: Sequence[float]
    raw: Sequence[float] | None
    predicted: Sequence[float] | None
    held: Sequence[float] | None


def shares(panels: Sequence[SharesPanel], held: str) -> bytes:
    """Per player: bars measured, markers predicted and raw, what is held pale behind them and called ``held``."""
    width = _WIDE if len(panels) > 1 else 0.6 * _WIDE
    figure, grid = _panels(len(panels), 2 if len(panels) <= 4 else 3, 2.5 if len(panels) <= 4 else 2.1, width)
    for axes, panel in zip(grid, panels, strict=True):
        x = np.arange(len(panel.measured))
        if panel.held is not None:
            axes.bar(x, panel.held, width=0.92, color=PALE)
        axes.bar(x, panel.measured, width=0.56, color=COLOURS[0], alpha=0.85)
        if panel.raw is not None:
            axes.plot(x, panel.raw, "o", markerfacecolor="white", markeredgecolor=INK, markersize=4.5)
        if panel.predicted is not None:
            axes.hlines(panel.predicted, x - 0.44, x + 0.44, color=COLOURS[1], linewidth=2.4)
        axes.set_title(panel.title, loc="left", fontsize=9.5, color=INK, parse_math=False)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))
        _tidy(axes)
    figure.supxlabel("class", fontsize=9, color=MUTED)
    figure.supylabel("share", fontsize=9, color=MUTED)
    keys: list[Patch | Line2D] = [Patch(color=COLOURS[0], alpha=0.85, label="measured, confusion-corrected")]
    if any(panel.raw is not None for panel in panels):
        ring = {"marker": "o", "markerfacecolor": "white", "markeredgecolor": INK}
        keys.append(Line2D([], [], linestyle="", label="measured, raw", **ring))  # type: ignore[arg-type]
    if any(panel.predicted is not None for panel in panels):
        keys.append(Line2D([], [], color=COLOURS[1], linewidth=2.4, label="predicted"))
    if any(panel.held is not None for panel in panels):
        keys.append(Patch(color=PALE, label=held))
    across = 4 if len(panels) > 1 else 2
    figure.legend(handles=keys, loc="outside upper center", ncols=across, frameon=False, fontsize=9)
    return png(figure)


@dataclass(frozen=True)
class Line:
    """One player's values in one game, by round."""

    player: str
    game: str
    rounds: Sequence[int]
    values: Sequence[float]


def curves(
    panels: Mapping[str, Sequence[Line]], titles: Mapping[str, str], players: Sequence[str], games: Sequence[str]
) -> bytes:
    """One panel per quantity, solid lines in the first game, dashed in the second, dotted in others.

    Args:
        panels: Lines by quantity.
        titles: Title by quantity.
        players: Who has a colour; a line of anybody else (a mean, say) is black.
        games: The games, the main one first.
    """
    keys = _keys([line for lines in panels.values() for line in lines], players, games)
    width, columns = (_WIDE, 2 if len(panels) in (2, 4) else 3) if len(panels) > 1 else (0.6 * _WIDE, 1)
    across = 6 if len(panels) > 1 else 4
    height = 2.7 + 0.2 * math.ceil(len(keys) / across) / math.ceil(len(panels) / columns)
    figure, grid = _panels(len(panels), columns, height, width)
    for axes, (quantity, lines) in zip(grid, panels.items(), strict=True):
        for line in lines:
            main = line.game == games[0]
            values = [v if math.isfinite(v) else math.nan for v in line.values]
            colour, face = _colour(line.player, players)
            dash = _DASHES[min(games.index(line.game), 2)]
            wide, size = (1.8, 3.6) if main else (1.3, 2.6)
            mark = "o" if len(values) <= 20 else None
            style: dict[str, Any] = {
                "color": colour,
                "alpha": 1.0 if main else 0.8,
                "marker": mark,
                "markerfacecolor": face,
            }
            axes.plot(line.rounds, values, dash, linewidth=wide, markersize=size, **style)
        axes.set_title(titles[quantity], loc="left", fontsize=9.5, color=INK, parse_math=False)
        rounds = sorted({round for line in lines for round in line.rounds})
        if len(rounds) <= 8:
            axes.set_xticks(rounds)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set_xlabel("round", fontsize=8.5, color=MUTED)
        _tidy(axes)
    figure.legend(handles=keys, loc="outside upper center", ncols=min(len(keys), across), frameon=False, fontsize=9)
    return png(figure)


def _colour(player: str, players: Sequence[str]) -> tuple[str, str]:
    """Colour of a player's line and of the inside of its markers."""
    if player not in players:
        return INK, INK
    place = players.index(player)
    colour = COLOURS[place % len(COLOURS)]
    return colour, "white" if place >= len(COLOURS) else colour


def _keys(lines: Sequence[Line], players: Sequence[str], games: Sequence[str]) -> list[Line2D]:
    """What the colours and the dashes stand for, as far as they are drawn."""
    keys = []
    for name in dict.fromkeys(line.player for line in lines if line.player in players):
        colour, face = _colour(name, players)
        keys.append(Line2D([], [], color=colour, marker="o", markersize=5, markerfacecolor=face, label=name))
    drawn = [game for game in games if any(line.game == game for line in lines)]
    for game in drawn if len(drawn) > 1 else []:
        means = {line.player for line in lines if line.game == game}.isdisjoint(players)
        said, dash = f"{words(game)}{', mean' if means else ''}", _DASHES[min(games.index(game), 2)]
        keys.append(Line2D([], [], color=INK if means else MUTED, linestyle=dash, label=said))
    return keys


@dataclass(frozen=True)
class Band:
    """One arm's values with their spread over the seeds, lists of one length; ``level`` draws the last value across."""

    arm: str
    x: Sequence[float]
    mean: Sequence[float]
    std: Sequence[float | None]
    level: bool = False


def bands(
    panels: Mapping[str, Sequence[Band]], titles: Mapping[str, str], styles: Mapping[str, tuple[int, int]], x_label: str,
    *, rounds: bool = False,
) -> bytes:  # fmt: skip
    """One panel per quantity, one line per arm, a band of one standard deviation about it.

    Positive values that span more than a factor of thirty are drawn on a logarithmic scale.

    Args:
        panels: Arms by quantity.
        titles: Title by quantity.
        styles: Number of the colour and of the dashes, by arm, in the order of the legend.
        x_label: What the horizontal axis shows.
        rounds: Whether x are rounds, so that ticks stand at those that were measured.
    """
    width, columns = (_WIDE, 2 if len(panels) in (2, 4) else 3) if len(panels) > 1 else (0.6 * _WIDE, 1)
    keys = [_band_key(arm, *style) for arm, style in styles.items()]
    across = max(1, min(len(keys), int(width / (0.75 + 0.072 * max(map(len, styles))))))
    height = 2.7 + 0.2 * math.ceil(len(keys) / across) / math.ceil(len(panels) / columns)
    figure, grid = _panels(len(panels), columns, height, width)
    for axes, (quantity, arms) in zip(grid, panels.items(), strict=True):
        for band in arms:
            _band(axes, band, *styles[band.arm])
        values = [v for band in arms for v in band.mean if math.isfinite(v)]
        log = bool(values) and min(values) > 0 and max(values) > 30 * min(values)
        if log:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(lambda value, _: number(value))
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_title(
            titles[quantity] + (", log scale" if log else ""), loc="left", fontsize=9.5, color=INK, parse_math=False
        )
        axes.set_xlabel(x_label, fontsize=8.5, color=MUTED)
        if rounds:
            axes.set_xticks(_ticks(sorted({int(x) for band in arms for x in band.x})))
        else:
            axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
        _tidy(axes)
    figure.legend(handles=keys, loc="outside upper center", ncols=across, frameon=False, fontsize=9)
    return png(figure)


def _band(axes: Axes, band: Band, colour: int, dash: int) -> None:
    shade, face = COLOURS[colour % len(COLOURS)], "white" if colour >= len(COLOURS) else COLOURS[colour % len(COLOURS)]
    mean = np.array([v if math.isfinite(v) else math.nan for v in band.mean])
    std = np.array([0.0 if s is None or not math.isfinite(s) else s for s in band.std])
    if band.level:
        axes.axhline(mean[-1], color=shade, linestyle=_DASHES[dash], linewidth=1.3, alpha=0.8)
        if std[-1]:
            axes.axhspan(mean[-1] - std[-1], mean[-1] + std[-1], color=shade, alpha=0.1, linewidth=0)
        return
    mark = "o" if len(mean) <= 20 else None
    axes.plot(
        band.x, mean, _DASHES[dash], color=shade, linewidth=1.6, marker=mark, markersize=3.4, markerfacecolor=face
    )
    if std.any():
        axes.fill_between(band.x, mean - std, mean + std, color=shade, alpha=0.15, linewidth=0)


def _band_key(arm: str, colour: int, dash: int) -> Line2D:
    shade = COLOURS[colour % len(COLOURS)]
    face = "white" if colour >= len(COLOURS) else shade
    return Line2D(
        [], [], color=shade, linestyle=_DASHES[dash], marker="o", markersize=4, markerfacecolor=face, label=arm
    )


def _ticks(rounds: Sequence[int], most: int = 7) -> list[int]:
    """Measured rounds to write on an axis: all, or some at about equal steps, the last among them."""
    step = math.ceil(len(rounds) / most) if rounds else 1
    return list(rounds[::-1][::step][::-1])


def stacked(bars: Mapping[str, Mapping[str, float]], unit: str) -> bytes:
    """Per row, what share of its total each part has; the total stands at the end."""
    parts = list(dict.fromkeys(part for bar in bars.values() for part in bar))
    colours = dict(zip(parts, ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#b9c0c8"), strict=False))
    figure = canvas(_WIDE * 0.9, 0.75 + 0.42 * len(bars))
    axes = figure.add_subplot()
    for row, bar in enumerate(bars.values()):
        total, left = sum(bar.values()) or 1.0, 0.0
        for part in parts:
            share = bar.get(part, 0.0) / total
            axes.barh(row, share, left=left, height=0.62, color=colours.get(part, MUTED))
            if share > 0.06:
                colour = "white" if part == parts[0] else INK
                axes.text(left + share / 2, row, f"{share:.0%}", ha="center", va="center", fontsize=8.5, color=colour)
            left += share
        axes.text(1.01, row, f"{number(sum(bar.values()), 3)} {unit}", va="center", fontsize=9, color=INK)
    axes.set_yticks(range(len(bars)), [words(name) for name in bars])
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_xlim(0, 1.12)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9, colors=INK)
    keys = [Patch(color=colours.get(part, MUTED), label=part) for part in parts]
    figure.legend(handles=keys, loc="outside upper center", ncols=len(keys), frameon=False, fontsize=9)
    return png(figure)


def ingress(sample: int, both: int, workers: int, batch: int, shown: int) -> bytes:
    """Bytes that arrive in one exchange over the batch size, at the server and at a worker, with MD-GAN and FL-GAN (B4).

    Args:
        sample: d.
        both: |w| + |θ|.
        workers: N.
        batch: The run's b, marked.
        shown: Batches that a worker gets, min(k, 2).
    """
    figure = canvas(0.6 * _WIDE, 3.2)
    axes = figure.add_subplot()
    cross = both / sample
    b = np.geomspace(1, 10 ** math.ceil(math.log10(3 * max(cross, batch))), 200)
    lines = {
        "MD-GAN, server": (4 * b * sample * workers, COLOURS[0], "-"),
        "FL-GAN, server": (np.full_like(b, 4 * both * workers), COLOURS[1], "-"),
        "MD-GAN, a worker": (4 * shown * b * sample, COLOURS[0], "--"),
        "FL-GAN, a worker": (np.full_like(b, 4 * both), COLOURS[1], "--"),
    }
    for label, (values, colour, dash) in lines.items():
        axes.plot(b, values / 1024**2, dash, color=colour, linewidth=1.6, label=label)
    axes.plot([cross, cross / shown], [4 * both * workers / 1024**2, 4 * both / 1024**2], "o", color=INK, markersize=4)
    axes.axvline(batch, color=MUTED, linewidth=1)
    axes.annotate(f"b = {batch}", (batch, 1), (4, -4), ("data", "axes fraction"), "offset points", va="top", fontsize=8.5,
                  color=MUTED)  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: number(value, 2))
    axes.xaxis.set_major_formatter(lambda value, _: number(value))
    axes.set_xlabel("batch size b", fontsize=8.5, color=MUTED)
    axes.set_ylabel("MiB an exchange", fontsize=8.5, color=MUTED)
    _tidy(axes)
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    return png(figure)
