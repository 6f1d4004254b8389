"""The table that the command line prints of a run: a line per measured model and game."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from coplay.metrics.base import Value
from coplay.report.parts import Table, first_players
from coplay.report.words import (
    Writer,
    aligned,
    heading,
    in_order,
    listed,
    number,
    scalar,
    span,
    write_value,
)
from coplay.run.play import Mean
from coplay.run.result import Result
from coplay.run.together import ALL_ROWS, Together, together
from coplay.run.warnings import warnings_of

LABELS = ("player", "model", "own samples", "game")
"""The columns that say whose scores a line has."""


@dataclass(frozen=True)
class _Line:
    """A line of the table.

    Args:
        labels: Its texts in the columns ``LABELS``.
        scores: By quantity, the value of one model, the mean over several, or the figure for the
            rows of several sites.
        members: How many models a mean is meant to be over.
    """

    labels: Sequence[str]
    scores: Mapping[str, Value] | Mapping[str, Mean] | Mapping[str, Together]
    members: int = 1

    def numbers(self, quantity: str) -> list[float]:
        """Numbers of a cell that are aligned with those of other lines."""
        score = self.scores.get(quantity)
        if isinstance(score, Mean):
            return [score.value] if score.best is None else [score.value, score.best]
        if isinstance(score, Together):
            return [scalar(score.value)]
        return [] if score is None else [scalar(score)]

    def cell(self, quantity: str, write: Writer) -> str:
        """A value with its interval, or a mean with the best; the count where not all have one."""
        score = self.scores.get(quantity)
        if score is None or isinstance(score, Value):
            return write_value(score, write)
        if isinstance(score, Together):
            text = write_value(score.value, write)
        else:
            text = write(score.value)
            if score.best is not None:
                text += f" ({write(score.best)})"
        if len(score.players) < self.members:
            text += f" of {len(score.players)}"
        return text


def table(result: Result) -> Table:
    """Everything measured that is one number, the usual scores first.

    A player that no game measures has no line. A game that measures several models has a last line
    with their means, and the best values in round brackets. ``of 2`` follows a mean where only two
    of them have the quantity, and a dash stands for it once one of them was lost. Where sites told
    what they measured on rows of their own, a line gives it for all these rows together.
    """
    lines = [*_model_lines(result), *_mean_lines(result), *_together_lines(result)]
    quantities = _quantities(result)
    writers = {quantity: _writer(lines, quantity) for quantity in quantities}
    header = [*LABELS]
    header += [heading(quantity, _better(result, quantity)) for quantity in quantities]
    rows = []
    for line in lines:
        cells = [line.cell(quantity, writers[quantity]) for quantity in quantities]
        rows.append([*line.labels, *cells])
    return Table(header, rows)


def _quantities(result: Result) -> list[str]:
    names: list[str] = []
    for play in result.plays.values():
        names += play.quantities
    return in_order(names)


def _model_lines(result: Result) -> list[_Line]:
    """A line per seat or shown player and game; what a player is stands in its first one."""
    shown, _ = first_players(result.players)
    lines = []
    for name in [*result.seats, *shown]:
        count = result.sample_count(name)
        labels = [name, result.model_name(name), number(count)]
        for game, play in result.plays.items():
            if name in result.sampled_from[game]:
                lines.append(_Line([*labels, game], play.last.get(name, {})))
                labels = ["", "", ""]
    return lines


def _mean_lines(result: Result) -> list[_Line]:
    """A line per game that measured several models."""
    lines = []
    for game, play in result.plays.items():
        members = result.sampled_from[game]
        if len(members) < 2 or not play.last:
            continue
        means = {}
        for quantity in play.quantities:
            mean = result.mean(game, quantity)
            if mean is not None:
                means[quantity] = mean
        labels = [f"mean of {len(members)} (best)", "", "", game]
        lines.append(_Line(labels, means, len(members)))
    return lines


def _together_lines(result: Result) -> list[_Line]:
    """A line per game of which sites told values that are of all their rows together."""
    lines = []
    for game, play in result.plays.items():
        figures = {}
        for quantity in play.quantities:
            figure = together(result, game, quantity)
            if figure is not None:
                figures[quantity] = figure
        if figures:
            labels = ["all rows together", "", "", game]
            lines.append(_Line(labels, figures, len(result.sampled_from[game])))
    return lines


def _writer(lines: Sequence[_Line], quantity: str) -> Writer:
    numbers = []
    for line in lines:
        numbers += line.numbers(quantity)
    return aligned(numbers)


def fitted(table: Table, width: int) -> tuple[Table, list[str]]:
    """As many columns of scores as fit into so many characters, and the headings of the rest.

    Example:
        >>> rows = [["city", "hvae", "10", "isolated", "1.0", "2.0 [1.8, 2.2]"]]
        >>> wide = Table([*LABELS, "FID ↓", "domain score ↑"], rows)
        >>> fitted(wide, 70)[0].header[-2:], fitted(wide, 60)[1]
        (['FID ↓', 'domain score ↑'], ['domain score ↑'])
    """
    needs = widths(table)
    fit = len(LABELS)
    while fit < len(needs) and printed_width(needs[: fit + 1]) <= width:
        fit += 1
    return Table(table.header[:fit], [row[:fit] for row in table.rows]), list(table.header[fit:])


def widths(table: Table) -> list[int]:
    """Characters that each column needs: headings of scores may be folded, other cells not."""
    needs = []
    for place, title in enumerate(table.header):
        pieces = title.split() if place >= len(LABELS) else [title]
        pieces += [str(row[place]) for row in table.rows]
        needs.append(max(map(len, pieces)))
    return needs


def printed_width(columns: Sequence[int]) -> int:
    """Characters of a line with columns of these widths, with their frame."""
    return 1 + sum(width + 3 for width in columns)


def notes(result: Result) -> list[str]:
    """What a reader of the table must know.

    Returns:
        Sentences on the data, players without a line, missing means, what was sampled and how it
        was scored, warnings about scores, and how the run ended.
    """
    return [
        *(f"data: {note}" for note in result.record.data.notes),
        *_notes_on_players(result),
        *_notes_on_means(result),
        *_notes_on_scores(result),
        *warnings_of(result),
        *_notes_on_end(result),
    ]


def _notes_on_players(result: Result) -> list[str]:
    names = result.players
    shown, cut = first_players(names)
    sampled: set[str] = set()
    for members in result.sampled_from.values():
        sampled |= set(members)
    if sampled.issuperset(shown):
        return cut
    counts = [result.sample_count(name) for name in names]
    known = [count for count in counts if count is not None]
    each = f", {span(known)} own samples each" if known else ""
    unmeasured = f"{len(names):,} players{each}; those without a line are not measured themselves"
    return [*cut, unmeasured]


def _notes_on_means(result: Result) -> list[str]:
    sentences = []
    for game, play in result.plays.items():
        members = result.sampled_from[game]
        lost = [loss.player for loss in play.lost_among(members)]
        if lost and len(members) > 1:
            why = "over survivors they would compare unlike things"
            sentences.append(f"no means of {game}, since {why}: lost {listed(lost)}")
    return sentences


def _notes_on_scores(result: Result) -> list[str]:
    record = result.record
    classifier = record.classifier
    if classifier is None:
        return _notes_without_classifier(result)
    samples = record.config["measure"]["samples"]
    right = f"right on {classifier.accuracy:.1%} of {classifier.n_test} real test samples"
    sentences = [f"{samples:,} samples of each model; domain classifier {right}"]
    if any(_has_interval(line) for line in _model_lines(result)):
        sentences.append("in square brackets: 95 % intervals")
    main = result.main.name
    if len(result.plays) > 1 and result.predicted(main):
        distance = f"every game's distance is to what {main} predicts"
        sentences.append(f"{distance}: total variation of class shares, 0 to 1")
    return sentences


def _notes_without_classifier(result: Result) -> list[str]:
    """Say that nothing was scored, or how to read what was scored without a classifier."""
    lines = _model_lines(result)
    if not any(line.scores for line in lines):
        unmeasured = result.record.unmeasured
        return [f"nothing was scored: {unmeasured}"] if unmeasured else []
    sentences = []
    if any(_has_interval(line) for line in lines):
        sentences.append("in square brackets: 95 % intervals")
    if _together_lines(result):
        sentences.append(ALL_ROWS)
    return sentences


def _has_interval(line: _Line) -> bool:
    for score in line.scores.values():
        if not isinstance(score, Value) or isinstance(score.value, list):
            continue  # neither has an interval in the table
        if score.low is not None or score.high is not None:
            return True
    return False


def _notes_on_end(result: Result) -> list[str]:
    record = result.record
    ends = [play.early_end for play in result.plays.values() if play.early_end]
    if record.status == "finished":
        return ends
    reason = f": {record.reason}" if record.reason else ""
    return [*ends, f"the run is {record.status}{reason}"]


def _better(result: Result, quantity: str) -> Literal["higher", "lower"] | None:
    """Which direction of a quantity is better; None where neither is."""
    for play in result.plays.values():
        value = play.example(quantity)
        if value is not None:
            return value.better
    return None
