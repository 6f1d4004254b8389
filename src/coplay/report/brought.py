"""What playing brought, in plain words and with the numbers that matter most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coplay.metrics.base import Value
from coplay.report.meanings import meaning
from coplay.report.words import Writer, aligned, direction, listed, scalar, words
from coplay.run.play import Play
from coplay.run.result import Result

LEADING = ("fid", "utility", "class_accuracy", "column_fidelity", "log_p", "domain_score")
"""Quantities that matter most. The paragraph is about the first of them that was measured."""

ALONE = "isolated"
POOLED = "pooled"
_OF_REAL = "utility_of_real"
MOST = 4
"""Most players that are named one by one."""


def paragraph(result: Result) -> str:
    """Say what the main game brought its players; empty where nothing of it was measured.

    Args:
        result: The run, finished or not.

    Returns:
        Sentences, such as *Playing took the FID of city from 132.0 (alone) to 30.1. …*
    """
    for quantity in LEADING:
        if result.main.scalars(quantity):
            of_one = "These are numbers of one run."
            what = about(quantity, result.main.example(quantity))
            return " ".join([*_sentences(result, quantity), what, of_one])
    return ""


def paragraph_of_site(last: Mapping[str, Mapping[str, Value]]) -> str:
    """Say what games brought one site, by its own scores; empty where nothing was measured.

    Args:
        last: The site's last scores by game, then by quantity.

    Example:
        >>> score = Value(0.5, "share", "higher", 9)
        >>> print(paragraph_of_site({"pooled": {"utility": score}})[:43])
        Your utility is 0.500 after learning from e
    """
    for quantity in LEADING:
        scores = {game: values[quantity] for game, values in last.items() if quantity in values}
        if scores:
            numbers = {game: scalar(value) for game, value in scores.items()}
            write = aligned(numbers.values())
            ends = [f"{write(number)} after {_deed(game)}" for game, number in numbers.items()]
            sentences = [f"Your {words(quantity)} is {listed(ends)}."]
            of_real = [values[_OF_REAL] for values in last.values() if _OF_REAL in values]
            if quantity == "utility" and of_real:
                number = write(scalar(of_real[-1]))
                sentences.append(f"A model that learned from your real rows has {number}.")
            sentences.append(about(quantity, next(iter(scores.values()))))
            return " ".join(sentences)
    return ""


def _deed(game: str) -> str:
    """Return what a player does in a game."""
    return {ALONE: "learning alone", POOLED: "learning from everybody's data"}.get(
        game, words(game)
    )


def about(quantity: str, value: Value | None) -> str:
    """Say what a quantity is, and which direction is better."""
    what = meaning(quantity)
    way = direction(value.better) if value and " is best" not in what else ""
    parts = [what, way]
    return f"The {words(quantity)} is {'; '.join(part for part in parts if part)}."


def _sentences(result: Result, quantity: str) -> list[str]:
    after = result.main.scalars(quantity)
    alone = _scalars(result, ALONE, quantity)
    pooled = _scalars(result, POOLED, quantity)
    write = aligned([*after.values(), *alone.values(), *pooled.values()])
    game = words(result.main.name)
    both = [player for player in after if player in alone]
    sentences = []
    if both:
        changes = [f"{p} from {write(alone[p])} to {write(after[p])}" for p in _named(both, after)]
        whose = f"the {words(quantity)} of {listed(changes)}{_rest(both)}"
        sentences.append(f"Compared with learning alone, {game} took {whose}.")
    else:
        ends = [f"{write(after[player])} for {player}" for player in _named(list(after), after)]
        sentences.append(f"After {game} the {words(quantity)} is {listed(ends)}{_rest(after)}.")
        if alone:
            sentences.append(f"A model of one player's data has {_span(alone, write)}.")
    if not alone and result.main.name != ALONE:
        sentences.append(f"What each has alone is not known without compare = ['{ALONE}'].")
    if pooled and result.main.name != POOLED:
        sentences.append(f"One model of everybody's data has {_span(pooled, write)}.")
    others = []
    for name in result.plays:
        numbers = {} if name in (ALONE, POOLED) else _scalars(result, name, quantity)
        if numbers:
            others.append(f"{words(name)} has {_span(numbers, write)}")
    if others:
        sentences.append(f"On the same data, {listed(others)}.")
    return sentences


def _scalars(result: Result, game: str, quantity: str) -> dict[str, float]:
    play: Play | None = result.plays.get(game)
    return {} if play is None or play is result.main else play.scalars(quantity)


def _named(players: Sequence[str], after: Mapping[str, float]) -> list[str]:
    """All players, or of many those with the smallest and the largest value."""
    if len(players) <= MOST:
        return list(players)
    ascending = sorted(players, key=after.__getitem__)
    return [ascending[0], ascending[-1]]


def _rest(players: Mapping[str, float] | Sequence[str]) -> str:
    if len(players) <= MOST:
        return ""
    return f" (of {len(players):,} players those with the smallest and the largest value)"


def _span(values: Mapping[str, float], write: Writer) -> str:
    """One number if all are written alike, else the smallest and the largest."""
    ends = [write(min(values.values())), write(max(values.values()))]
    return " to ".join(dict.fromkeys(ends))
