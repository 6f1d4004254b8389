"""How well each column, and the worst pairs of columns, of samples match real rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from coplay.core.space import Samples
from coplay.metrics.base import Value
from coplay.metrics.memorisation import leak
from coplay.metrics.table_view import REAL, TableView
from coplay.report.parts import ChartPicture, PageSection, Picture, Table
from coplay.report.table_charts import pictures
from coplay.report.words import aligned, sentence_case, words, write_value
from coplay.run.play import Play
from coplay.run.result import Result

_BESIDE = 6  # players that have a column of their own; more are summed up
_COLUMNS = 40  # rows of a table of columns
_PAIRS = 10  # rows of a table of pairs
_PANELS = 18  # columns that are drawn


@dataclass
class _Similarity:
    """One statistic of one column or pair of columns.

    Args:
        of: Names of the columns.
        statistic: Its name.
        values: By player.
    """

    of: tuple[str, ...]
    statistic: str
    values: dict[str, Value] = field(default_factory=dict)

    @property
    def numbers(self) -> dict[str, float]:
        """The values as numbers, by player."""
        numbers = {}
        for name, value in self.values.items():
            assert not isinstance(value.value, list)
            numbers[name] = float(value.value)
        return numbers

    @property
    def mean(self) -> float:
        """The mean over players."""
        return math.fsum(self.numbers.values()) / len(self.values)

    @property
    def worst(self) -> tuple[str, float]:
        """The player with the lowest value, and that value."""
        return min(self.numbers.items(), key=lambda item: item[1])


def section(result: Result) -> PageSection | None:
    """Return a table of columns for each game, and one of pairs; None where none was measured."""
    tables = []
    data: dict[str, Any] = {}
    for game, play in result.plays.items():
        similarities = _similarities(play)
        if not similarities:
            continue
        columns = [each for each in similarities if len(each.of) == 1]
        pairs = [each for each in similarities if len(each.of) > 1]
        members = [name for name in result.parties if name in play.last]
        tables.append(_columns_table(game, columns, members))
        if pairs:
            tables.append(_pairs_table(game, pairs))
        data[game] = [
            {"of": list(each.of), "statistic": each.statistic, "values": each.numbers}
            for each in similarities
        ]
    pictures = _pictures(result)
    if not tables and not pictures:
        return None
    text = _leaks(result)
    if not tables:
        return PageSection("columns", "Column by column", text, pictures=pictures)
    text += [
        "KSComplement: 1 less the largest gap between the distributions of a number. TVComplement: "
        "what the shares of categories have in common. CorrelationSimilarity: 1 less half the "
        "difference of two correlations. ContingencySimilarity: what the shares of pairs of "
        "categories have in common, numbers in tenths of the real rows. All lie from 0 to 1, and 1 "
        "is best."
    ]
    return PageSection("columns", "Column by column", text, tables, pictures, data=data)


def _leaks(result: Result) -> list[str]:
    """Name the players whose samples repeat rows that they learned from."""
    sentences = []
    for game, play in result.plays.items():
        for name, values in play.last.items():
            repeated = leak(values)
            if repeated:
                sentences.append(f"{name} in {words(game)}: {repeated}.")
    return sentences


def _pictures(result: Result) -> list[Picture | ChartPicture]:
    """Draw the columns of each game's samples, beside real rows where the run has some."""
    space = result.record.data.space
    if any(space[name].is_image or space[name].shape for name in space):
        return []
    real = result.real_samples()
    made: list[Picture | ChartPicture] = []
    for game, play in result.plays.items():
        rounds = play.shown_rounds
        drawn = play.samples(rounds[-1]) if rounds else {}
        players = [name for name in result.parties if name in drawn][:_BESIDE]
        tables = {REAL: _rows(real)} if real else {}
        tables |= {name: _rows(drawn[name]) for name in players}
        if not players:
            continue
        of = f"{sentence_case(words(game))} after round {rounds[-1]}"
        made += pictures(TableView.of(space, tables), f"columns-{game}", of, _PANELS)
    return made


def _rows(values: Mapping[str, Tensor]) -> Samples:
    return Samples(dict(values), batch_size=[len(next(iter(values.values())))])


def _similarities(play: Play) -> list[_Similarity]:
    """Return what was measured of columns and pairs, the worst on average first."""
    by_name: dict[str, _Similarity] = {}
    for player, values in play.last.items():
        for name, value in values.items():
            if value.of:
                one = by_name.setdefault(name, _Similarity(value.of, value.unit))
                one.values[player] = value
    return sorted(by_name.values(), key=lambda each: (each.mean, each.of))


def _columns_table(game: str, columns: Sequence[_Similarity], players: Sequence[str]) -> Table:
    """A line per column, the worst first: by player, or summed up where there are many."""
    are_beside = len(players) <= _BESIDE
    header = ["column", "statistic", *(players if are_beside else ("mean", "lowest", "player"))]
    write = aligned([0.0])
    rows = []
    for each in columns[:_COLUMNS]:
        cells = [each.of[0], each.statistic]
        if are_beside:
            cells += [write_value(each.values.get(name), write) for name in players]
        else:
            name, lowest = each.worst
            cells += [write(each.mean), write(lowest), name]
        rows.append(cells)
    cut = ""
    if len(columns) > _COLUMNS:
        cut = f" The worst {_COLUMNS} of {len(columns):,} are shown; report.json has them all."
    caption = f"{sentence_case(words(game))}: columns of samples, the worst first.{cut}"
    return Table(header, rows, caption)


def _pairs_table(game: str, pairs: Sequence[_Similarity]) -> Table:
    """The pairs that any player's samples meet worst."""
    write = aligned([0.0])
    met = []
    for each in pairs:
        for name, number in each.numbers.items():
            met.append((number, each, name))
    met.sort(key=lambda item: (item[0], item[1].of, item[2]))
    rows = []
    for number, each, name in met[:_PAIRS]:
        rows.append([" and ".join(each.of), each.statistic, name, write(number)])
    caption = (
        f"{sentence_case(words(game))}: the pairs of columns that samples meet worst, of the ten "
        "worst of each player."
    )
    return Table(["pair", "statistic", "player", "value"], rows, caption)
