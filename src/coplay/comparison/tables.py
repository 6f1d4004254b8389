"""Tables of a comparison: scores and costs, as mean ± standard deviation over seeds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from coplay.comparison.arms import Arm, Comparison
from coplay.comparison.caveats import Caveat
from coplay.comparison.spread import Spread
from coplay.metrics.base import Value
from coplay.report.meanings import term
from coplay.report.parts import Cell, Table, Term
from coplay.report.words import Writer, aligned, heading, in_order, words, write_value

# ----------------------------------------------------------------------------------- scores


@dataclass(frozen=True)
class _Score:
    """A cell of the table of scores.

    Args:
        spread: The score over seeds.
        single: The measured value, if the score is no mean but a single value.
    """

    spread: Spread
    single: Value | None


@dataclass(frozen=True)
class _Line:
    """A row of the table of scores.

    Args:
        name: The arm, or the arm and a player of it.
        seeds: Number of seeds of the arm.
        scores: Scores by quantity, where there are any.
    """

    name: str
    seeds: int
    scores: Mapping[str, _Score]


def score_table(
    comparison: Comparison,
    caveats: Sequence[Caveat],
    by_player: bool = False,
) -> Table:
    """Build the table of scores of every arm, or of every player in every arm.

    A score is the mean ± standard deviation over seeds; a single measured value has its interval.

    Args:
        comparison: The arms.
        caveats: What to know before comparing; a star marks the columns that one concerns.
        by_player: Whether there is one row per player, and not per arm.
    """
    quantities = in_order(comparison.quantities)
    starred = {quantity for caveat in caveats for quantity in caveat.quantities}
    lines = _lines(comparison, by_player)
    header = ["player" if by_player else "arm", "seeds"]
    columns = [[line.name for line in lines], [str(line.seeds) for line in lines]]
    for quantity in quantities:
        star = " *" if quantity in starred else ""
        header.append(heading(quantity, comparison.quantities[quantity].better) + star)
        columns.append(_score_column(lines, quantity))
    rows: list[Sequence[Cell]] = list(zip(*columns, strict=True))
    caption = _score_caption(comparison, lines, by_player)
    return Table(header, rows, caption, terms=_terms(comparison, starred))


def _lines(comparison: Comparison, by_player: bool) -> list[_Line]:
    lines = []
    for arm in comparison.arms:
        seeds = len(arm.runs)
        if not by_player:
            lines.append(_Line(arm.label, seeds, _scores(arm)))
            continue
        for player in arm.players:
            scores = _scores(arm, player)
            if scores:
                lines.append(_Line(f"{arm.label}: {player}", seeds, scores))
    return lines


def _scores(arm: Arm, player: str | None = None) -> dict[str, _Score]:
    """Return the scores of an arm, or of a player in it, by quantity."""
    scores = {}
    for quantity in arm.quantities:
        spread = arm.score(quantity) if player is None else arm.player_score(player, quantity)
        if spread is not None:
            scores[quantity] = _Score(spread, arm.single_value(quantity, player))
    return scores


def _score_column(lines: Sequence[_Line], quantity: str) -> list[str]:
    """Write the scores of one quantity; a dash where there is none."""
    scores = [line.scores.get(quantity) for line in lines]
    write = aligned([score.spread.mean for score in scores if score is not None])
    cells = []
    for line, score in zip(lines, scores, strict=True):
        cells.append("–" if score is None else _score_text(score, write, line.seeds))
    return cells


def _score_text(score: _Score, write: Writer, seeds: int) -> str:
    """Write a score, with its number of seeds in brackets where some of the arm have none."""
    text = format_spread(score.spread, write)
    if score.single is not None:
        text = write_value(score.single, write)
    count = len(score.spread.values)
    if count == seeds:
        return text
    noun = "seed" if count == 1 else "seeds"
    return f"{text} ({count} {noun})"


def _shows_interval(line: _Line) -> bool:
    """Whether a row has a single value with an interval."""
    for score in line.scores.values():
        value = score.single
        if value is not None and (value.low is not None or value.high is not None):
            return True
    return False


def _score_caption(comparison: Comparison, lines: Sequence[_Line], by_player: bool) -> str:
    what = "Scores of single players" if by_player else "Means over all players that are measured"
    remark = ""
    if "distance_to_prediction" in comparison.quantities:
        remark = " Games carried along are measured against what the run's main game predicts, too."
    numbers = "mean ± standard deviation over seeds"
    if any(_shows_interval(line) for line in lines):
        numbers += ", or a single value with its 95 % interval in brackets"
    return f"{what} after the last measured round: {numbers}.{remark}"


def _terms(comparison: Comparison, starred: Collection[str]) -> list[Term]:
    """Return what the scores mean."""
    terms = []
    for quantity in in_order(comparison.quantities):
        mark = " *" if quantity in starred else ""
        terms.append(
            term(quantity, [replace(comparison.quantities[quantity], n=0, n_real=0)], mark)
        )
    return terms


# ------------------------------------------------------------------------------------ costs


def cost_tables(comparison: Comparison) -> list[Table]:
    """Build the tables of costs of a run of every arm.

    They show payload and amounts, payload by its parts, and time.

    Args:
        comparison: The arms.

    Returns:
        Two tables, or three where payload has parts.
    """
    arms = comparison.arms
    names = list(dict.fromkeys(name for arm in arms for name in arm.costs))
    seconds = [name for name in names if name.startswith("seconds_")]
    parts = [name for name in names if "/" in name and _is_paid(arms, name)]
    amounts = []
    for name in names:
        # Nothing sent for evaluation or for checkpoints is not worth a column; exchange is.
        is_shown = name == "bytes_exchange" or _is_paid(arms, name)
        if is_shown and name not in seconds and "/" not in name:
            amounts.append(name)
    tables = [
        _cost_table(
            arms,
            amounts,
            "Per run: payload by purpose up to the last checkpoint (only exchange is play), "
            "rounds played, learning steps asked of each player, floating-point operations where "
            "models tell them.",
        ),
    ]
    if parts:
        caption = "Payload by what it was for; n/a where a game sends nothing of the kind."
        tables.append(_cost_table(arms, parts, caption))
    tables.append(
        _cost_table(
            arms,
            seconds,
            "Seconds per run by kind. Learning and sampling are added up over players; "
            "evaluation and bookkeeping are no play.",
        ),
    )
    return tables


def _is_paid(arms: Sequence[Arm], name: str) -> bool:
    """Whether any arm has a cost of this name; of payload, one above zero."""
    if not name.startswith("bytes_"):
        return True
    spreads = [arm.costs.get(name) for arm in arms]
    return any(spread is not None and spread.mean for spread in spreads)


def _cost_table(arms: Sequence[Arm], names: Sequence[str], caption: str) -> Table:
    header = ["arm"]
    columns = [[arm.label for arm in arms]]
    for name in names:
        title, cells = _cost_column(name, [arm.costs.get(name) for arm in arms])
        header.append(title)
        columns.append(cells)
    rows: list[Sequence[Cell]] = list(zip(*columns, strict=True))
    return Table(header, rows, caption)


def _cost_column(name: str, spreads: Sequence[Spread | None]) -> tuple[str, list[str]]:
    """Return the heading of a cost and its cell for each arm."""
    means = [spread.mean for spread in spreads if spread is not None]
    factor, unit = unit_of(name, max(means, default=0.0))
    kind = name.partition("_")[2]
    write = aligned([mean / factor for mean in means], whole=unit == "B" or not kind)
    cells = []
    for spread in spreads:
        if spread is None:
            cells.append("n/a")
        elif spread.std:
            cells.append(format_spread(spread, write, factor))
        else:
            cells.append(write(spread.mean / factor))  # rounds and steps mostly do not vary
    if kind:
        return f"{words(kind)} ({unit})", cells
    return ("FLOPs" if name == "flops" else name) + unit, cells


# ---------------------------------------------------------------------------------- numbers


def format_spread(spread: Spread, write: Writer, factor: float = 1.0) -> str:
    """Write the mean ± the standard deviation over seeds; the mean alone for a single seed.

    Args:
        spread: The numbers over seeds.
        write: A function that writes a number.
        factor: The numbers are divided by this.

    Example:
        >>> format_spread(Spread({1: 2.0, 2: 4.0}), aligned([3.0]))
        '3.00 ± 1.41'
    """
    text = write(spread.mean / factor)
    if spread.std is None:
        return text
    return f"{text} ± {write(spread.std / factor)}"


def unit_of(name: str, largest: float) -> tuple[float, str]:
    """Return the factor that a column of costs is divided by, and the unit in its heading.

    Args:
        name: The name of a cost.
        largest: The largest mean in the column, in bytes, seconds or FLOPs.

    Example:
        >>> unit_of("bytes_exchange", 3 * 1024.0), unit_of("seconds_learning", 9.0)
        ((1024.0, 'KiB'), (1.0, 's'))
    """
    if name.startswith("seconds_"):
        return 1.0, "s"
    steps: tuple[tuple[float, str], ...] = ()
    smallest = ""
    if name.startswith("bytes_"):
        steps = ((1024.0**3, "GiB"), (1024.0**2, "MiB"), (1024.0, "KiB"))
        smallest = "B"
    elif name == "flops":
        steps = ((1e15, " (10¹⁵)"), (1e12, " (10¹²)"), (1e9, " (10⁹)"))
    for size, unit in steps:
        if largest >= size:
            return size, unit
    return 1.0, smallest
