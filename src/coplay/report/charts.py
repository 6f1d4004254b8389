"""Curves of players and of arms, stacked bars, and MD-GAN's bytes over the batch size, as PNG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from coplay.core.text import visible
from coplay.report.figures import INK, MUTED, canvas, plain_style, png
from coplay.report.panels import (
    COLOURS,
    NARROW,
    WIDE,
    add_legend,
    add_panels,
    figure_width,
    set_title,
    tidy,
)
from coplay.report.words import number, words

_PART_COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#b9c0c8")  # of stacked bars
_DASHES: tuple[Literal["-", "--", ":"], ...] = ("-", "--", ":")
_MARKED = 20  # a line with more points has no markers
_MIB = 1024**2


def _curve_panels(count: int, keys: int, across: int) -> tuple[Figure, list[Axes]]:
    """Panels for curves, with room for a legend of so many keys, ``across`` in a line."""
    columns = 3
    if count == 1:
        columns = 1
    elif count in (2, 4):
        columns = 2
    legend = 0.2 * math.ceil(keys / across)
    height = 2.7 + legend / math.ceil(count / columns)
    return add_panels(count, columns, height)


def _finite(values: Iterable[float]) -> np.ndarray:
    """Values with a gap where one is no finite number."""
    array = np.array(list(values), dtype=float)
    return np.where(np.isfinite(array), array, math.nan)


def _face(place: int) -> str:
    """Colour inside the markers of the curve at a place: hollow once the colours repeat."""
    return "white" if place >= len(COLOURS) else COLOURS[place]


# ------------------------------------------------------------------------- curves of players


@dataclass(frozen=True)
class Line:
    """One player's values in one game, by round."""

    player: str
    game: str
    rounds: Sequence[int]
    values: Sequence[float]


@plain_style
def curves(
    panels: Mapping[str, Sequence[Line]],
    titles: Mapping[str, str],
    players: Sequence[str],
    games: Sequence[str],
) -> bytes:
    """Draw one panel per quantity, one line per player and game.

    Lines are solid in the first game, dashed in the second, dotted in others.

    Args:
        panels: Lines by quantity.
        titles: Title by quantity.
        players: Players with a colour; a line of anybody else (a mean, say) is black.
        games: The games, the main one first.
    """
    keys = _keys(panels, players, games)
    across = 6 if len(panels) > 1 else 4
    figure, grid = _curve_panels(len(panels), len(keys), across)
    for axes, (quantity, lines) in zip(grid, panels.items(), strict=True):
        rounds: set[int] = set()
        for line in lines:
            _draw_line(axes, line, players, games)
            rounds |= set(line.rounds)
        set_title(axes, titles[quantity])
        if len(rounds) <= 8:
            axes.set_xticks(sorted(rounds))
        else:
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set_xlabel("round", fontsize=8.5, color=MUTED)
        tidy(axes)
    add_legend(figure, keys, min(len(keys), across))
    return png(figure)


def _draw_line(axes: Axes, line: Line, players: Sequence[str], games: Sequence[str]) -> None:
    is_main = line.game == games[0]
    colour, face = _colours(line.player, players)
    axes.plot(
        line.rounds,
        _finite(line.values),
        _dash(line.game, games),
        color=colour,
        alpha=1.0 if is_main else 0.8,
        linewidth=1.8 if is_main else 1.3,
        marker="o" if len(line.values) <= _MARKED else None,
        markersize=3.6 if is_main else 2.6,
        markerfacecolor=face,
    )


def _dash(game: str, games: Sequence[str]) -> Literal["-", "--", ":"]:
    return _DASHES[min(games.index(game), 2)]


def _colours(player: str, players: Sequence[str]) -> tuple[str, str]:
    """Colour of a player's line and of the inside of its markers."""
    if player not in players:
        return INK, INK
    place = players.index(player)
    return COLOURS[place % len(COLOURS)], _face(place)


def _keys(
    panels: Mapping[str, Sequence[Line]],
    players: Sequence[str],
    games: Sequence[str],
) -> list[Line2D]:
    """What the colours and the dashes stand for, as far as they are drawn."""
    drawn: dict[str, None] = {}
    by_game: dict[str, set[str]] = {}
    for lines in panels.values():
        for line in lines:
            by_game.setdefault(line.game, set()).add(line.player)
            if line.player in players:
                drawn[line.player] = None
    keys = [_player_key(name, players) for name in drawn]
    if len(by_game) > 1:
        for game in games:
            if game in by_game:
                only_means = by_game[game].isdisjoint(players)
                keys.append(_game_key(game, games, only_means))
    return keys


def _player_key(player: str, players: Sequence[str]) -> Line2D:
    colour, face = _colours(player, players)
    key = Line2D([], [], color=colour, marker="o", markersize=5, label=player)
    key.set_markerfacecolor(face)
    return key


def _game_key(game: str, games: Sequence[str], only_means: bool) -> Line2D:
    label = words(game)
    colour = MUTED
    if only_means:
        label += ", mean"
        colour = INK
    return Line2D([], [], color=colour, linestyle=_dash(game, games), label=label)


# --------------------------------------------------------------------------- bands of arms


@dataclass(frozen=True)
class Band:
    """The values of one arm with their spread over the seeds; lists of one length.

    Args:
        arm: Its label.
        x: Where the values stand.
        mean: Means over the seeds.
        std: Standard deviations over the seeds; None of a single seed.
        level: Whether only the last value is drawn, across the panel.
    """

    arm: str
    x: Sequence[float]
    mean: Sequence[float]
    std: Sequence[float | None]
    level: bool = False


@plain_style
def bands(
    panels: Mapping[str, Sequence[Band]],
    titles: Mapping[str, str],
    styles: Mapping[str, tuple[int, int]],
    x_label: str,
    *,
    rounds: bool = False,
) -> bytes:
    """Draw one panel per quantity: a line per arm, with a band of one standard deviation about it.

    Positive values that span more than a factor of thirty are drawn on a logarithmic scale.

    Args:
        panels: Arms by quantity.
        titles: Title by quantity.
        styles: Number of the colour and of the dashes, by arm, in the order of the legend.
        x_label: What the horizontal axis shows.
        rounds: Whether x are rounds, so that ticks stand at those that were measured.
    """
    keys = [_band_key(arm, colour, dash) for arm, (colour, dash) in styles.items()]
    key_width = 0.75 + 0.072 * max(map(len, styles))  # inches of the longest label, about
    across = max(1, min(len(keys), int(figure_width(len(panels)) / key_width)))
    figure, grid = _curve_panels(len(panels), len(keys), across)
    for axes, (quantity, arms) in zip(grid, panels.items(), strict=True):
        for band in arms:
            _draw_band(axes, band, *styles[band.arm])
        title = titles[quantity]
        if _spans_decades(arms):
            title += ", log scale"
            _use_log_scale(axes)
        set_title(axes, title)
        axes.set_xlabel(visible(x_label), fontsize=8.5, color=MUTED)
        if rounds:
            axes.set_xticks(_ticks(arms))
        else:
            axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
        tidy(axes)
    add_legend(figure, keys, across)
    return png(figure)


def _spans_decades(arms: Sequence[Band]) -> bool:
    values: list[float] = []
    for band in arms:
        values += [value for value in band.mean if math.isfinite(value)]
    return bool(values) and min(values) > 0 and max(values) > 30 * min(values)


def _use_log_scale(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: number(value))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _draw_band(axes: Axes, band: Band, colour: int, dash: int) -> None:
    shade = COLOURS[colour % len(COLOURS)]
    mean = _finite(band.mean)
    std = np.array(list(band.std), dtype=float)  # None becomes NaN
    std[~np.isfinite(std)] = 0.0  # no spread is known, none is drawn
    if band.level:
        axes.axhline(mean[-1], color=shade, linestyle=_DASHES[dash], linewidth=1.3, alpha=0.8)
        if std[-1]:
            low = mean[-1] - std[-1]
            axes.axhspan(low, mean[-1] + std[-1], color=shade, alpha=0.1, linewidth=0)
        return
    axes.plot(
        band.x,
        mean,
        _DASHES[dash],
        color=shade,
        linewidth=1.6,
        marker="o" if len(mean) <= _MARKED else None,
        markersize=3.4,
        markerfacecolor=_face(colour),
    )
    if std.any():
        axes.fill_between(band.x, mean - std, mean + std, color=shade, alpha=0.15, linewidth=0)


def _band_key(arm: str, colour: int, dash: int) -> Line2D:
    return Line2D(
        [],
        [],
        color=COLOURS[colour % len(COLOURS)],
        linestyle=_DASHES[dash],
        marker="o",
        markersize=4,
        markerfacecolor=_face(colour),
        label=arm,
    )


def _ticks(arms: Sequence[Band], most: int = 7) -> list[int]:
    """Measured rounds to write on an axis: all, or some at about equal steps, and the last."""
    measured: set[int] = set()
    for band in arms:
        measured |= {int(x) for x in band.x}
    latest_first = sorted(measured, reverse=True)
    step = max(1, math.ceil(len(latest_first) / most))
    return latest_first[::step][::-1]


# ---------------------------------------------------------------------- stacked bars, ingress


@plain_style
def stacked(bars: Mapping[str, Mapping[str, float]], unit: str) -> bytes:
    """Draw a row per entry: the share that each part has of the total, which stands at the end.

    Args:
        bars: By row and part, how much; not negative.
        unit: Unit of the total.
    """
    parts: dict[str, None] = {}
    for bar in bars.values():
        parts |= dict.fromkeys(bar)
    colours = dict.fromkeys(parts, MUTED)
    colours |= dict(zip(parts, _PART_COLOURS, strict=False))
    figure = canvas(WIDE * 0.9, 0.75 + 0.42 * len(bars))
    axes = figure.add_subplot()
    for row, bar in enumerate(bars.values()):
        _stack(axes, row, bar, colours)
        total = visible(f"{number(sum(bar.values()), 3)} {unit}")
        axes.text(1.01, row, total, va="center", fontsize=9, color=INK)
    axes.set_yticks(range(len(bars)), [visible(words(name)) for name in bars])
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_xlim(0, 1.12)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9, colors=INK)
    keys = [Patch(color=colour, label=part) for part, colour in colours.items()]
    add_legend(figure, keys, len(keys))
    return png(figure)


def _stack(axes: Axes, row: int, bar: Mapping[str, float], colours: Mapping[str, str]) -> None:
    """One row of stacked bars, from 0 to 1; wide enough parts say their share."""
    total = sum(bar.values()) or 1.0
    left = 0.0
    for place, (part, colour) in enumerate(colours.items()):
        share = bar.get(part, 0.0) / total
        axes.barh(row, share, left=left, height=0.62, color=colour)
        if share > 0.06:
            ink = "white" if place == 0 else INK  # the first colour is dark
            middle = left + share / 2
            text = axes.text(middle, row, f"{share:.0%}", ha="center", va="center", fontsize=8.5)
            text.set_color(ink)
        left += share


@plain_style
def ingress(sample: int, both: int, workers: int, batch: int, shown: int) -> bytes:
    """Draw the bytes that arrive in one exchange over the batch size (B4).

    Lines are server and worker, with MD-GAN and with FL-GAN.

    Args:
        sample: d, numbers of one sample.
        both: |w| + |θ|, parameters of both networks.
        workers: N.
        batch: The run's b, marked.
        shown: Batches that a worker gets, min(k, 2).
    """
    figure = canvas(NARROW, 3.2)
    axes = figure.add_subplot()
    cross = both / sample  # the batch size at which both cost a server the same
    b = np.geomspace(1, 10 ** math.ceil(math.log10(3 * max(cross, batch))), 200)
    md_gan, fl_gan = COLOURS[:2]
    lines = {
        "MD-GAN, server": (4 * b * sample * workers, md_gan, "-"),
        "FL-GAN, server": (np.full_like(b, 4 * both * workers), fl_gan, "-"),
        "MD-GAN, a worker": (4 * shown * b * sample, md_gan, "--"),
        "FL-GAN, a worker": (np.full_like(b, 4 * both), fl_gan, "--"),
    }
    for label, (values, colour, dash) in lines.items():
        axes.plot(b, values / _MIB, dash, color=colour, linewidth=1.6, label=label)
    crossings = [4 * both * workers / _MIB, 4 * both / _MIB]
    axes.plot([cross, cross / shown], crossings, "o", color=INK, markersize=4)
    axes.axvline(batch, color=MUTED, linewidth=1)
    axes.annotate(
        f"b = {batch}",
        (batch, 1),
        (4, -4),
        ("data", "axes fraction"),
        "offset points",
        va="top",
        fontsize=8.5,
        color=MUTED,
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: number(value, 2))
    axes.xaxis.set_major_formatter(lambda value, _: number(value))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("batch size b", fontsize=8.5, color=MUTED)
    axes.set_ylabel("MiB an exchange", fontsize=8.5, color=MUTED)
    tidy(axes)
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    return png(figure)
