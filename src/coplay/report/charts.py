"""Curves of players and of arms over rounds, and MD-GAN's bytes over the batch size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from coplay.report.axes import whole_ticks
from coplay.report.chart import Chart
from coplay.report.chart_parts import Curve, Dash, Key, Look, Panel
from coplay.report.colours import COLOURS, INK, MUTED
from coplay.report.words import words

_DASHES: tuple[Dash, ...] = ("-", "--", ":", "-.", "- -")
_MIB = 1024**2
_POINTS = 81  # of the lines over the batch size


def _dash(place: int) -> Dash:
    """Return the kind of line of the game, or of the group of arms, at a place."""
    return _DASHES[min(place, len(_DASHES) - 1)]


def _look(colour: int, dash: Dash, width: float) -> Look:
    """Return the look at a place of the palette: points are hollow once the colours repeat."""
    return Look(COLOURS[colour % len(COLOURS)], dash, colour >= len(COLOURS), width)


# ------------------------------------------------------------------------- curves of players


@dataclass(frozen=True)
class Line:
    """One player's values in one game, by round."""

    player: str
    game: str
    rounds: Sequence[int]
    values: Sequence[float]


def curves(
    panels: Mapping[str, Sequence[Line]],
    titles: Mapping[str, str],
    players: Sequence[str],
    games: Sequence[str],
    meanings: Mapping[str, str] | None = None,
) -> Chart:
    """Return one panel per quantity, with one curve per player and game.

    Curves are solid in the first game; each of the next four has a kind of line of its own.

    Args:
        panels: Lines by quantity.
        titles: Title by quantity.
        players: Players with a colour; a line of anybody else (a mean, say) is black.
        games: The games, the main one first.
        meanings: By quantity, what it means.
    """
    several = len({line.game for lines in panels.values() for line in lines}) > 1
    drawn = []
    for quantity, lines in panels.items():
        shown = []
        rounds: set[int] = set()
        for line in lines:
            name = f"{line.player}, {words(line.game)}" if several else line.player
            if not line.player:
                name = f"mean, {words(line.game)}"
            look = _look_of(line, players, games)
            shown.append(Curve(name, line.rounds, line.values, look))
            rounds |= set(line.rounds)
        meaning = (meanings or {}).get(quantity, "")
        ticks = whole_ticks(rounds)
        drawn.append(Panel(titles[quantity], "round", shown, ticks, meaning=meaning))
    return Chart(drawn, _keys(panels, players, games))


def _look_of(line: Line, players: Sequence[str], games: Sequence[str]) -> Look:
    place = games.index(line.game)
    dash = _dash(place)
    width = 1.3 if place else 1.8
    if line.player not in players:
        return Look(INK, dash, width=width)
    return _look(players.index(line.player), dash, width)


def _keys(
    panels: Mapping[str, Sequence[Line]],
    players: Sequence[str],
    games: Sequence[str],
) -> list[Key]:
    """What the colours and the dashes stand for, as far as they are drawn."""
    looks: dict[str, Look] = {}
    by_game: dict[str, set[str]] = {}
    for lines in panels.values():
        for line in lines:
            by_game.setdefault(line.game, set()).add(line.player)
            if line.player in players:
                look = _look_of(line, players, games)
                looks.setdefault(line.player, replace(look, dash="-", width=1.8))
    keys = [Key(player, look) for player, look in looks.items()]
    if len(by_game) > 1:
        for place, game in enumerate(games):
            if game in by_game:
                only_means = by_game[game].isdisjoint(players)
                look = Look(INK if only_means else MUTED, _dash(place))
                label = f"{words(game)}, mean" if only_means else words(game)
                keys.append(Key(label, look, has_points=False))
    return keys


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


def bands(
    panels: Mapping[str, Sequence[Band]],
    titles: Mapping[str, str],
    styles: Mapping[str, tuple[int, int]],
    x_label: str,
    *,
    rounds: bool = False,
    meanings: Mapping[str, str] | None = None,
) -> Chart:
    """Return one panel per quantity: a curve per arm, with a band of one standard deviation.

    Positive values that span more than a factor of thirty are drawn on a logarithmic scale.

    Args:
        panels: Arms by quantity.
        titles: Title by quantity.
        styles: Number of the colour and of the dashes, by arm, in the order of the legend.
        x_label: What the horizontal axis shows.
        rounds: Whether x are rounds, so that ticks stand at those that were measured.
        meanings: By quantity, what it means.
    """
    drawn = []
    for quantity, arms in panels.items():
        shown = []
        measured: set[float] = set()
        for band in arms:
            colour, dash = styles[band.arm]
            look = _look(colour, _dash(dash), 1.3 if band.level else 1.6)
            shown.append(Curve(band.arm, band.x, band.mean, look, band.std, band.level))
            measured |= set(band.x)
        is_log = _spans_decades(arms)
        panel = Panel(
            title=f"{titles[quantity]}, log scale" if is_log else titles[quantity],
            x_label=x_label,
            curves=shown,
            x_ticks=whole_ticks(measured) if rounds else None,
            y_log=is_log,
            meaning=(meanings or {}).get(quantity, ""),
        )
        drawn.append(panel)
    keys = [Key(arm, _look(colour, _dash(dash), 1.6)) for arm, (colour, dash) in styles.items()]
    return Chart(drawn, keys)


def _spans_decades(arms: Sequence[Band]) -> bool:
    values: list[float] = []
    for band in arms:
        values += [value for value in band.mean if math.isfinite(value)]
    return bool(values) and min(values) > 0 and max(values) > 30 * min(values)


# ---------------------------------------------------------------------------------- ingress


def ingress(sample: int, both: int, workers: int, batch: int, shown: int) -> Chart:
    """Return the bytes that arrive in one exchange over the batch size (B4).

    Lines are server and worker, with MD-GAN and with FL-GAN.

    Args:
        sample: d, numbers of one sample.
        both: |w| + |θ|, parameters of both networks.
        workers: N.
        batch: The run's b, marked.
        shown: Batches that a worker gets, min(k, 2).
    """
    cross = both / sample  # the batch size at which both cost a server the same
    decades = math.ceil(math.log10(3 * max(cross, batch)))
    b = [10 ** (decades * place / (_POINTS - 1)) for place in range(_POINTS)]
    md_gan, fl_gan = (0, 1)
    bytes_of = {
        "MD-GAN, server": (lambda size: 4 * size * sample * workers, _look(md_gan, "-", 1.6)),
        "FL-GAN, server": (lambda size: 4.0 * both * workers, _look(fl_gan, "-", 1.6)),
        "MD-GAN, a worker": (lambda size: 4 * shown * size * sample, _look(md_gan, "--", 1.6)),
        "FL-GAN, a worker": (lambda size: 4.0 * both, _look(fl_gan, "--", 1.6)),
    }
    lines = []
    for name, (count, look) in bytes_of.items():
        lines.append(Curve(name, b, [count(size) / _MIB for size in b], look))
    crossings = [4 * both / _MIB, 4 * both * workers / _MIB]
    equal = Curve("as much with both", [cross / shown, cross], crossings, Look(INK, ""))
    panel = Panel(
        title="MiB in one exchange",
        x_label="batch size b",
        curves=[*lines, equal],
        y_log=True,
        x_log=True,
        marked=(batch, f"b = {batch}"),
    )
    return Chart([panel], [Key(line.name, line.look, has_points=False) for line in lines])
