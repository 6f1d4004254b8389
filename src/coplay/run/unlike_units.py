"""Numbers that one site seems to measure in another unit than the others: grams, or Fahrenheit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

from coplay.core.space import tensors
from coplay.data.words import quoted, some
from coplay.site.holdings import Holdings
from coplay.site.proposed_column import Proposed

Range = tuple[float, float]

_FACTOR = 100.0
"""So many times the size of the others' numbers, or more, is another unit."""

_TEMPERATURES = (-90.0, 110.0)
"""Degrees Celsius that rooms, weather and bodies have."""


def unlike_units(ranges: Mapping[str, Mapping[str, Range]]) -> list[str]:
    """Say which sites seem to measure a variable in another unit; no value is told.

    Args:
        ranges: Smallest and largest number by variable, then by site.

    Example:
        >>> weight = {"north": (40.0, 120.0), "south": (38.0, 110.0), "east": (41e3, 115e3)}
        >>> unlike_units({"weight": weight})[0].partition("; ")[0]
        "'weight' at 'east' is about 1,000 times as large as at 'north', 'south'"
        >>> fever = {"north": (34.0, 42.0), "south": (94.0, 107.0)}
        >>> unlike_units({"fever": fever})[0].partition("; ")[0]
        "'fever' at 'south' lies where that at 'north' does in degrees Fahrenheit"
        >>> unlike_units({"age": {"north": (0.0, 18.0), "south": (60.0, 100.0)}})
        []
    """
    notes = []
    for name, by_site in ranges.items():
        for site, own in by_site.items():
            others = {other: each for other, each in by_site.items() if other != site}
            what = _unlike(own, list(others.values()))
            if what:
                listed = some(map(quoted, others), 3)
                notes.append(
                    f"{quoted(name)} at {quoted(site)} {what.format(others=listed)}; see that all "
                    "sites have one unit, say it in [variables] (unit), and convert the column "
                    "where it is another"
                )
                break  # with two sites the other's is the same sentence, the other way round
    return notes


def ranges_of(held: Mapping[str, Holdings]) -> dict[str, dict[str, Range]]:
    """Return the ranges of real numbers by variable, then by site; they are not to be told.

    Args:
        held: The rows of sites.
    """
    ranges: dict[str, dict[str, Range]] = {}
    for site, rows in held.items():
        for name, values in tensors(rows.train).items():
            if rows.space[name].kind != "real" or rows.space[name].shape:
                continue
            present = values[values.isfinite()]
            if len(present):
                low, high = (float(end) for end in present.aminmax())
                ranges.setdefault(name, {})[site] = (low, high)
    return ranges


def proposed_ranges(proposed: Mapping[str, Mapping[str, Proposed]]) -> dict[str, dict[str, Range]]:
    """Return the ranges that sites propose, by variable, then by site."""
    ranges: dict[str, dict[str, Range]] = {}
    for site, variables in proposed.items():
        for name, each in variables.items():
            if each.kind == "real" and each.low is not None and each.high is not None:
                ranges.setdefault(name, {})[site] = (each.low, each.high)
    return ranges


def _unlike(own: Range, others: Sequence[Range]) -> str:
    """Say how a range differs from others by its unit; empty if it does not."""
    if not others:
        return ""
    low = median(each[0] for each in others)
    high = median(each[1] for each in others)
    size, theirs = max(map(abs, own)), max(abs(low), abs(high))
    spread, their_spread = own[1] - own[0], high - low
    if theirs and their_spread and size >= _FACTOR * theirs and spread >= _FACTOR * their_spread:
        factor = 10.0 ** round(math.log10(size / theirs))
        return f"is about {factor:,.0f} times as large as at {{others}}"
    is_warm = _TEMPERATURES[0] <= low and high <= _TEMPERATURES[1]
    if is_warm and own[0] > high and spread > their_spread:
        celsius = [(end - 32) / 1.8 for end in own]
        overlap = min(celsius[1], high) - max(celsius[0], low)
        if overlap > 0.5 * min(celsius[1] - celsius[0], their_spread):
            return "lies where that at {others} does in degrees Fahrenheit"
    return ""
