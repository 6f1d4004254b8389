"""One schema of the variables of several sites: united levels, ranges that hold all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from coplay.core.errors import ConfigError
from coplay.core.variable import Kind
from coplay.data.tables.dates import DAYS, HOURS
from coplay.data.words import quoted, some
from coplay.run.founding_notes import said_of_levels
from coplay.run.founding_texts import SMALL_CELL, section_of
from coplay.run.schema import VariableSection
from coplay.site.conforming import BITS, OTHER
from coplay.site.proposed_column import Proposed, common_levels
from coplay.site.proposing import Single

_OF_DATES = (DAYS, HOURS)

Columns = Mapping[str, Proposed]
"""Variables by column."""


@dataclass(frozen=True)
class United:
    """The variables of several sites.

    Args:
        variables: By name, in the order in which they are met first.
        kept: By site, its columns of one value that are variables, since others have more.
        left_out: By name, why a column is no variable anywhere, in a sentence.
        notes: What was decided, in sentences.
    """

    variables: Columns
    kept: Mapping[str, Sequence[str]]
    left_out: Mapping[str, str]
    notes: Sequence[str]


def united(
    proposed: Mapping[str, Columns],
    single: Mapping[str, Mapping[str, Single]],
    level_counts: Mapping[str, Mapping[str, Counter[str]]] | None = None,
) -> United:
    """Unite the variables of several sites.

    A column that has one value at a site is a variable there if another site has other values of
    it; otherwise all rows of all sites say the same of it, and it is left out.

    Args:
        proposed: Variables by site.
        single: By site, its columns of one value.
        level_counts: By site, the rows of each level by column; None where sites do not say.

    Raises:
        ConfigError: What does not fit, all at once, each with both sites.

    Example:
        >>> towns = {"town": Proposed("categorical", levels=("Bonn", "Ulm"))}
        >>> ulm = Single(Proposed("categorical", levels=("Ulm",)), frozenset(["Ulm"]), "")
        >>> united({"a": towns, "b": {}}, {"b": {"town": ulm}}).kept
        {'a': [], 'b': ['town']}
        >>> tuple(united({"a": {}, "b": {}}, {"b": {"town": ulm}}).variables)
        ()
    """
    merged, notes = _merged_variables(proposed)
    several = set(merged)
    kept: dict[str, list[str]] = {site: [] for site in proposed}
    first: dict[str, str] = {}
    for site, variables in proposed.items():
        for name in variables:
            first.setdefault(name, site)
    values: dict[str, set[str]] = {}
    reasons: dict[str, str] = {}
    for site, columns in single.items():
        for name, each in columns.items():
            both = _with_single(merged.get(name), each.variable)
            if both is None:
                notes.append(
                    f"{site}: {each.reason}, and {quoted(name)} is {merged[name].kind} elsewhere; "
                    f"{site} lacks it"
                )
                continue
            if name in merged:
                known = merged[name]
                notes += said_of_levels(name, both, known, each.variable, first[name], site)
            first.setdefault(name, site)
            merged[name] = both
            kept[site].append(name)
            values.setdefault(name, set()).update(each.values)
            reasons.setdefault(name, each.reason)
    if level_counts is not None:
        merged = _with_common_levels(merged, level_counts)
    left_out = {}
    for name in set(merged) - several:
        if not _has_several(merged[name], values[name]):
            sites = [site for site, names in kept.items() if name in names]
            left_out[name] = _said_of_one(reasons[name], sites, list(proposed))
    for site, names in kept.items():
        kept[site] = [name for name in names if name not in left_out]
        notes += [
            f"{site}: {single[site][name].reason}; it is a variable, since other sites have others"
            for name in kept[site]
        ]
    order = _first_met(proposed, single)
    notes += [f"left out: {left_out[name]}" for name in order if name in left_out]
    named = {name: merged[name] for name in order if name in merged and name not in left_out}
    return United(named, kept, left_out, notes)


def _with_single(merged: Proposed | None, single: Proposed) -> Proposed | None:
    """Return what holds the variable of some sites and the one value of another; None for none."""
    if merged is None:
        return single
    is_nameless = single.kind == "categorical" and set(single.levels) == {OTHER}
    if merged.kind == "real" and is_nameless and single.low is None:
        return None  # a rare text may be no number
    return _merged(merged, single)


def _first_met(
    proposed: Mapping[str, Columns], single: Mapping[str, Mapping[str, Single]]
) -> list[str]:
    """Return the names of all columns in the order in which they are met first."""
    names: dict[str, None] = {}
    for site, columns in proposed.items():
        names.update(dict.fromkeys([*columns, *single.get(site, ())]))
    return list(names)


def _has_several(variable: Proposed, values: Iterable[str]) -> bool:
    """Whether a column that has one value at each site has two over all of them."""
    if variable.kind == "categorical":
        return len(variable.levels) > 1
    return len({value.lower() for value in values}) > 1


def _said_of_one(reason: str, sites: Sequence[str], everybody: Sequence[str]) -> str:
    """Say that a column is no variable, since no site has another value."""
    if len(sites) == len(everybody):
        return f"{reason} of every site"
    return f"{reason} of {some(sites, 6)}, and no other site has it as a variable"


def _with_common_levels(
    variables: Columns, level_counts: Mapping[str, Mapping[str, Counter[str]]]
) -> dict[str, Proposed]:
    """Name the levels that have enough rows over all tables, which one person has in hand."""
    named = dict(variables)
    for name, variable in variables.items():
        if variable.kind != "categorical":
            continue
        counts: Counter[str] = Counter()
        for of_site in level_counts.values():
            counts += of_site.get(name, Counter())
        named[name] = replace(variable, levels=common_levels(counts, SMALL_CELL))
    return named


def sections_of(schema: United) -> dict[str, VariableSection]:
    """Return the variables of several sites as sections of a config.

    Raises:
        ConfigError: There are none.
    """
    if not schema.variables:
        raise ConfigError(["; ".join(["no variable is left", *schema.left_out.values()])])
    sections = {}
    for name, variable in schema.variables.items():
        sections[name] = VariableSection.model_validate(section_of(variable).model_dump())
    return sections


def single_of(name: str, variable: Proposed) -> Single:
    """Return a categorical variable that a site proposes with one level."""
    (level,) = variable.levels
    reason = f"column {quoted(name)} is {quoted(level)} in every row"
    return Single(variable, frozenset([level]), reason)


def _merged_variables(
    proposed: Mapping[str, Columns],
) -> tuple[dict[str, Proposed], list[str]]:
    """Return what holds the variables of all sites, and what was decided.

    Raises:
        ConfigError: What does not fit, all at once, each with both sites.
    """
    merged: dict[str, Proposed] = {}
    first: dict[str, str] = {}
    faults = []
    notes = []
    for site, variables in proposed.items():
        for name, variable in variables.items():
            if name not in merged:
                merged[name] = variable
                first[name] = site
                continue
            both = _merged(merged[name], variable)
            if both is None:
                faults.append(
                    f"{quoted(name)} is {_said_kind(merged[name])} at {first[name]!r} and "
                    f"{_said_kind(variable)} at {site!r}; rename it at one of them "
                    "([data.columns]), or mend its cells"
                )
                continue
            if both.kind == "real" and {variable.kind, merged[name].kind} != {"real"}:
                notes.append(
                    f"{quoted(name)} is {merged[name].kind} at {first[name]} and {variable.kind} "
                    f"at {site}: {both.kind} for all"
                )
            notes += said_of_levels(name, both, merged[name], variable, first[name], site)
            merged[name] = both
    if faults:
        raise ConfigError(faults)
    return merged, notes


def _said_kind(variable: Proposed) -> str:
    """Say what a variable is; dates are real numbers that nobody wrote."""
    return {DAYS: "a date", HOURS: "a time of day"}.get(variable.unit, variable.kind)


def _merged(one: Proposed, other: Proposed) -> Proposed | None:
    """Return what holds both; None for kinds that are not one."""
    one, other = _as_bit(one, other), _as_bit(other, one)
    kinds = {one.kind, other.kind}
    if {one.unit in _OF_DATES, other.unit in _OF_DATES} == {True, False}:
        return None  # a number beside a date
    if kinds == {"binary"}:
        kind: Kind = "binary"
    elif "real" in kinds:
        return _both_as_numbers(one, other)
    else:
        kind = "categorical"
        one, other = _with_words(one, other), _with_words(other, one)
        if not one.levels or not other.levels:
            return None
    levels = [level for level in dict.fromkeys([*one.levels, *other.levels]) if level != OTHER]
    if OTHER in (*one.levels, *other.levels):
        levels.append(OTHER)
    ends = _both_as_numbers(one, other) or Proposed("real")
    return Proposed(kind, ends.low, ends.high, tuple(levels), one.optional or other.optional)


def _as_bit(variable: Proposed, other: Proposed) -> Proposed:
    """Return one word, such as y, as a binary variable if the other site has both words."""
    is_word = len(variable.levels) == 1 and variable.levels[0].lower() in set().union(*BITS)
    if variable.kind == "categorical" and other.kind == "binary" and is_word:
        return replace(variable, kind="binary")
    return variable


def _with_words(variable: Proposed, other: Proposed) -> Proposed:
    """Give a binary variable the words that another site has for 0 and 1, if it says none."""
    if variable.kind != "binary" or variable.levels:
        return variable
    named = [level for level in other.levels if level != OTHER]
    if all(level.isdecimal() for level in named):
        return replace(variable, levels=("0", "1"))
    yes_and_no = set().union(*BITS)
    pairs = [level for level in named if level.lower() in yes_and_no]
    return replace(variable, levels=tuple(pairs))


def _both_as_numbers(one: Proposed, other: Proposed) -> Proposed | None:
    """Return a range for both; open where one does not say its end, and None without numbers."""
    both = [_as_numbers(each) for each in (one, other)]
    lows = [each.low for each in both if each is not None and each.low is not None]
    highs = [each.high for each in both if each is not None and each.high is not None]
    if None in both:
        return None
    low = min(lows) if len(lows) == 2 else None
    high = max(highs) if len(highs) == 2 else None
    optional = one.optional or other.optional
    return Proposed("real", low, high, optional=optional, unit=one.unit or other.unit)


def _as_numbers(variable: Proposed) -> Proposed | None:
    """Return a variable as numbers: categories that are whole numbers have too few for a range."""
    levels = [level for level in variable.levels if level != OTHER]
    if variable.kind == "real":
        return variable
    if not all(level.removeprefix("-").isdecimal() for level in levels):
        return None
    if variable.kind == "binary":  # a proposal does not say its words; mostly they are 0 and 1
        return Proposed("real", 0, 1, optional=variable.optional)
    if variable.low is None and OTHER not in variable.levels:
        numbers = [float(level) for level in levels]
        return Proposed("real", min(numbers), max(numbers), optional=variable.optional)
    return Proposed("real", variable.low, variable.high, optional=variable.optional)
