"""The table that the command line prints of a run: a line per game and whoever it measures, as many scores as fit."""

from __future__ import annotations

from collections.abc import Callable

from coplay.report.headline import better, held, mean_and_best, model_name, scalars
from coplay.report.parts import Table, first_players
from coplay.report.words import aligned, number, span, words
from coplay.run.result import Result

_ARROWS = {"higher": " ↑", "lower": " ↓"}
LABELS = ("player", "model", "own samples", "game")
"""The columns that say whose scores a line has."""


def table(result: Result) -> Table:
    """Everything measured that is one number, the usual scores first; whoever no game measures has no line.

    In a game that measures several, a last line has their mean, and their best in brackets.
    """
    quantities = list(dict.fromkeys(q for play in result.plays.values() for q in scalars(play)))
    shown, _ = first_players(result.players)
    chosen: list[tuple[list[str], dict[str, list[float]]]] = []
    for name in [*result.seats, *shown]:
        games = [game for game in result.plays if name in result.measured[game]]
        for place, game in enumerate(games):
            found = result.plays[game].last.get(name, {})
            chosen.append(
                (
                    [*(_who(result, name) if place == 0 else ["", "", ""]), game],
                    {q: [float(found[q]["value"])] for q in quantities if q in found},
                )
            )
    for game, play in result.plays.items():
        several = [play.last[name] for name in result.measured[game] if name in play.last]
        if len(several) > 1:
            line: dict[str, list[float]] = {}
            for q in quantities:
                values = [float(found[q]["value"]) for found in several if q in found]
                if len(values) == len(several):
                    mean, best = mean_and_best(values, better(play, q))
                    line[q] = [mean] if best is None else [mean, best]
            chosen.append(([f"mean of {len(several)} (best)", "", "", game], line))
    write = {q: aligned(v for _, values in chosen for v in values.get(q, [])) for q in quantities}
    header = [*LABELS, *(f"{words(q)}{_ARROWS.get(_direction(result, q) or '', '')}" for q in quantities)]
    rows = [[*labels, *(_cell(values.get(q), write[q]) for q in quantities)] for labels, values in chosen]
    return Table(header, rows)


def fitted(table: Table, width: int) -> tuple[Table, list[str]]:
    """As many columns of scores as fit into so many characters, and the headings of the rest.

    Example:
        >>> wide = Table([*LABELS, "FID ↓", "domain score ↑"], [["city", "hvae", "10", "isolated", "1.0", "2.0"]])
        >>> fitted(wide, 60)[0].header, fitted(wide, 50)[1]
        (['player', 'model', 'own samples', 'game', 'FID ↓', 'domain score ↑'], ['domain score ↑'])
    """
    columns = [[str(row[place]) for row in table.rows] for place in range(len(table.header))]
    needs = [
        max(map(len, [*(heading.split() if place >= len(LABELS) else [heading]), *column])) + 3
        for place, (heading, column) in enumerate(zip(table.header, columns, strict=True))
    ]
    fit = len(LABELS)
    while fit < len(needs) and 1 + sum(needs[: fit + 1]) <= width:
        fit += 1
    return Table(table.header[:fit], [row[:fit] for row in table.rows]), list(table.header[fit:])


def notes(result: Result) -> list[str]:
    """What a reader of the table must know: who is not in it, what was sampled, what judged, how the run ended."""
    names, found = result.players, []
    shown, cut = first_players(names)
    found += cut
    unmeasured = [name for name in shown if not any(name in result.measured[game] for game in result.plays)]
    if unmeasured:
        sizes = [size for name in names if (size := held(result, name)) is not None]
        each = f", {span(sizes)} own samples each" if sizes else ""
        found.append(f"{len(names):,} players{each}; those without a line are not measured themselves")
    classifier = result.record.get("classifier")
    if classifier:
        found.append(
            f"{result.record['config']['measure']['samples']:,} samples of each model; domain classifier right on "
            f"{classifier['accuracy']:.1%} of {classifier['n_test']} real test samples"
        )
    elif result.record.get("unmeasured"):
        found.append(f"nothing was scored: {result.record['unmeasured']}")
    if classifier and len(result.plays) > 1 and result.predicted(result.main.name):
        found.append(
            f"every game's distance is to what {result.main.name} predicts: total variation of class shares, 0 to 1"
        )
    if result.record["status"] != "finished":
        reason = f": {result.record['reason']}" if "reason" in result.record else ""
        found.append(f"the run is {result.record['status']}{reason}")
    return found


def _who(result: Result, name: str) -> list[str]:
    size = held(result, name)
    return [name, model_name(result, name), "–" if size is None else number(size)]


def _cell(values: list[float] | None, write: Callable[[float | None], str]) -> str:
    if not values:
        return "–"
    value, *best = values
    return f"{write(value)} ({write(best[0])})" if best else write(value)


def _direction(result: Result, quantity: str) -> str | None:
    return next(better(play, quantity) for play in result.plays.values() if quantity in scalars(play))
