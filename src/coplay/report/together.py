"""Which columns sites saw together, and what models made of those that none did."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from coplay.core.errors import ConfigError
from coplay.report.parts import Cell, PageSection, Table
from coplay.report.words import listed, sentence_case, span, words
from coplay.run.open_pairs import OpenPair
from coplay.run.overlap import Ended, Overlap, overlap_of
from coplay.run.result import Result

_TITLE = "Columns seen together"
_BESIDE = 6  # players that have a column of their own; more are summed up
_PAIRS = 40  # rows of a table
_SITES = 6  # that are named for a pair
_FEWEST = 3  # variables of which it is worth a line that all are seen together


def section(result: Result) -> PageSection | None:
    """Return which pairs no site saw, with bounds and what models made of them.

    One line where every pair is seen by some site, and None where there is hardly a pair.
    """
    try:
        overlap = overlap_of(result)
    except ConfigError:
        why = "Which columns sites saw together is not known: the run's config cannot be read here."
        return PageSection("together", _TITLE, [why], is_empty=True)
    by_some = overlap.by_some()
    if not overlap.open:
        if len(overlap.variables) < _FEWEST:
            return None
        every = "some site" if by_some else "every site"
        text = [f"Every two columns were seen together by {every}."]
        return PageSection("together", _TITLE, text, is_empty=True)
    text = [
        f"No site saw {_pairs_in_words(overlap.open)} together. How these go together was in no "
        "data: what models say of it is an assumption."
    ]
    tables = [_open_table(game, ended, overlap) for game, ended in overlap.ended.items()]
    if by_some:
        tables.append(_partial_table(by_some, overlap))
    ended_plain = {}
    for game, ended in overlap.ended.items():
        ended_plain[game] = [asdict(each) for each in ended]
    data = {
        "open": [asdict(pair) for pair in overlap.open],
        "bounds_by_samples": overlap.by_samples,
        "ended": ended_plain,
        "by_some": [{"pair": pair, "players": players} for pair, players in by_some.items()],
    }
    return PageSection("together", _TITLE, text, tables, data=data)


def _pairs_in_words(pairs: Sequence[OpenPair]) -> str:
    names = [" and ".join(pair.variables) for pair in pairs]
    if len(names) > _SITES:
        return f"{len(names):,} pairs of columns"
    return ", or ".join(names)


def _open_table(game: str, ended: Sequence[Ended], overlap: Overlap) -> Table:
    """A line per pair: what is possible, and what the models of a game end with."""
    players = list(dict.fromkeys(name for each in ended for name in each.values))
    beside = players if len(players) <= _BESIDE else []
    header = ["pair", "what", "possible", "by what both were seen with"]
    header += beside or (["models"] if players else [])
    rows: list[list[Cell]] = []
    for pair, each in list(zip(overlap.open, ended, strict=True))[:_PAIRS]:
        row: list[Cell] = [" and ".join(pair.variables), _what(pair), _possible(pair)]
        row.append(listed(pair.given) if pair.given else "–")
        if beside:
            row += [_value(pair, each, name) for name in beside]
        elif players:
            row.append(_range(each))
        rows.append(row)
    groups = [("seen by no site", 4), ("models end with", len(beside))] if beside else []
    return Table(header, rows, _caption(game, ended, overlap), groups, numeric=False)


def _caption(game: str, ended: Sequence[Ended], overlap: Overlap) -> str:
    source = "real rows"
    if overlap.by_samples:
        source = "samples of each site's model, of the columns that the site has"
    counts = [n for each in ended for n in each.n.values()]
    sentences = [f"{sentence_case(words(game))}: pairs that no site saw."]
    sentences.append(f"Possible is what the moments of {source} leave open.")
    if counts:
        chance = 1.96 / math.sqrt(min(counts))
        sentences.append(
            f"Beside it what models end with, in {span(counts)} samples each, by chance up to "
            f"±{chance:.2f}."
        )
    if len(overlap.open) > _PAIRS:
        sentences.append(f"The first {_PAIRS} are shown; report.json has more.")
    return " ".join(sentences)


def _what(pair: OpenPair) -> str:
    """Say which number it is."""
    if pair.categories:
        one, other = pair.categories
        return f"probability of {one} with {other}"
    return pair.of or "–"


def _possible(pair: OpenPair) -> str:
    if pair.low is None or pair.high is None:
        return f"no bounds: {pair.why}"
    return f"{_number(pair.low)} to {_number(pair.high)}"


def _value(pair: OpenPair, ended: Ended, player: str) -> str:
    """Write a player's value, and that it is impossible where chance does not explain it."""
    if player not in ended.values or math.isnan(ended.values[player]):
        return "–"
    value = ended.values[player]
    chance = 1.96 / math.sqrt(ended.n[player])
    low = -math.inf if pair.low is None else pair.low
    high = math.inf if pair.high is None else pair.high
    if low - chance <= value <= high + chance:
        return _number(value)
    return f"{_number(value)}, not possible"


def _range(ended: Ended) -> str:
    values = [value for value in ended.values.values() if not math.isnan(value)]
    return f"{_number(min(values))} to {_number(max(values))}" if values else "–"


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−").replace("−0.00", "0.00")


def _partial_table(by_some: dict[tuple[str, str], list[str]], overlap: Overlap) -> Table:
    """A line per pair that some sites saw, by which."""
    rows: list[list[Cell]] = []
    for pair, players in list(by_some.items())[:_PAIRS]:
        rows.append([" and ".join(pair), _named(players)])
    caption = (
        f"Pairs that some of {len(overlap.observed):,} sites saw. Pairs in no table were seen by "
        "every site."
    )
    if len(by_some) > _PAIRS:
        caption += f" The first {_PAIRS} of {len(by_some):,} are shown; report.json has them all."
    return Table(["pair", "seen by"], rows, caption, numeric=False)


def _named(players: Iterable[str]) -> str:
    names = list(players)
    if len(names) > _SITES:
        return f"{listed([*names[:_SITES]])} and {len(names) - _SITES:,} more"
    return listed(names)
