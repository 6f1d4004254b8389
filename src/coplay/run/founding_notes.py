"""What a founder should look at: categories and columns of two sites that may be one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from coplay.core.components import nearest
from coplay.data.words import quoted, some
from coplay.site.conforming import OTHER
from coplay.site.proposed_column import Proposed


def spelled_alike(name: str, one: Proposed, other: Proposed, first: str, site: str) -> list[str]:
    """Say which categories of two sites seem to be one that is spelled two ways."""
    known = [level for level in one.levels if level != OTHER]
    theirs = [level for level in other.levels if level != OTHER]
    notes = []
    for level in theirs:
        if level in known:
            continue
        alike = [each for each in known if each.casefold() == level.casefold()]
        alike = alike or [each for each in known if _distance_is_one(each, level)]
        if alike:
            notes.append(
                f"{quoted(name)}: {quoted(level)} of {site} may be {quoted(alike[0])} of {first} "
                "spelled another way; both are categories now: mend one of the tables if so"
            )
    are_all = OTHER not in (*one.levels, *other.levels)
    if are_all and known and theirs and not notes and not set(known) & set(theirs):
        notes.append(
            f"{quoted(name)}: {first} and {site} have no category in common "
            f"({some(map(quoted, known))} and {some(map(quoted, theirs))}); all are categories "
            "now: if they mean the same, write them alike in one of the tables"
        )
    return notes


def said_of_levels(
    name: str, both: Proposed, one: Proposed, other: Proposed, first: str, site: str
) -> list[str]:
    """Say what two sites write in two ways, of a variable that both have.

    Args:
        name: The variable.
        both: What it is for both.
        one: What it is at the first site.
        other: What it is at the other.
        first: The first site.
        site: The other.

    Example:
        >>> one, other = (Proposed("binary", levels=words) for words in (("no", "yes"), ("0", "1")))
        >>> print(said_of_levels("ill", one, one, other, "a", "b")[0])
        'ill': no and yes are 'no', 'yes' at a and '0', '1' at b: one variable of 0 and 1
    """
    if both.kind == "categorical":
        return spelled_alike(name, one, other, first, site)
    words = [set(map(str.lower, each.levels)) - {OTHER} for each in (one, other)]
    if both.kind == "real" or words[0] <= words[1] or words[1] <= words[0]:
        return []
    listed = [some(map(quoted, each.levels)) for each in (one, other)]
    return [
        f"{quoted(name)}: no and yes are {listed[0]} at {first} and {listed[1]} at {site}: one "
        "variable of 0 and 1"
    ]


def _distance_is_one(one: str, other: str) -> bool:
    """Whether two words of five letters or more differ by a letter."""
    if min(len(one), len(other)) < 5 or abs(len(one) - len(other)) > 1:
        return False
    return nearest(one, [other]) == other and sum((Counter(one) - Counter(other)).values()) <= 1


def perhaps_one(proposals: Mapping[str, Mapping[str, Proposed]]) -> list[str]:
    """Say which columns of one site may be a variable that it seems to lack."""
    notes: dict[frozenset[str], str] = {}
    sites = Counter(name for each in proposals.values() for name in each)
    for site, each in proposals.items():
        for other, theirs in proposals.items():
            lacking = [name for name in theirs if name not in each]
            own = [name for name in each if name not in theirs]
            for name in lacking:
                # the name that more sites have stays
                alike = [c for c in own if _may_be_one(c, name) and sites[c] <= sites[name]]
                if alike:
                    note = (
                        f"{site} has {quoted(alike[0])} and lacks {quoted(name)} of {other}: if "
                        f"they are one, write {quoted(name)} = {quoted(alike[0])} under "
                        f"[data.columns] of {site}, and take {quoted(alike[0])} out of [variables]"
                    )
                    notes.setdefault(frozenset((alike[0], name)), note)
    return list(notes.values())


def _may_be_one(column: str, name: str) -> bool:
    """Whether all words of a column are among those of a name, or they differ in spelling alone."""
    words = set(re.split(r"[\W_]+", name.lower()))
    return set(re.split(r"[\W_]+", column.lower())) <= words or plainly(column) == plainly(name)


def plainly(name: str) -> str:
    """Return a name without what people spell in several ways.

    Example:
        >>> plainly("Mean radius") == plainly("mean_RADIUS")
        True
    """
    return re.sub(r"[\W_]+", "", name.casefold())
