"""Numbers that a spreadsheet shows with something beside them: a sign, a currency, a unit."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from coplay.data.words import counted, quoted, some

_FEW = 10
"""Different cells up to which they are categories, such as doses of 5 mg and of 10 mg."""

_NUMBER = r"[0-9][0-9.,’ \u00a0\u202f]*(?:[eE][+-]?[0-9]+)?"
_BEFORE = r"(?:='?\"|[\"'=(+−–-]|[$€£¥₹]|EUR|USD|GBP|CHF|Rs\.?|~|<|>|≤|≥|<=|>=)"
_AFTER = (
    r"(?:[\"')−–-]|[$€£¥₹]|EUR|USD|GBP|CHF|%|‰|°C|°F|mg/dl|mmol/l|g/dl|mmHg|bpm|µg|ug|mg|kg|g"
    r"|ml|dl|l"
    r"|mm|cm|km|m|min|h|s|years|yrs|y|months|days|d|kB|MB|GB)"
)
_DRESSED = re.compile(
    rf"(?P<before>(?:{_BEFORE} ?)*)(?P<number>{_NUMBER})(?P<after>(?: ?{_AFTER})*)", re.IGNORECASE
)


@dataclass(frozen=True)
class Dress:
    """What stands beside the numbers of a column.

    Args:
        text: The first such cell.
        signs: What stands beside, the most frequent first.
        count: Rows with such cells.
    """

    text: str
    signs: tuple[str, ...]
    count: int

    def __str__(self) -> str:
        listed = some([quoted(sign) for sign in self.signs], 4)
        rows = counted(self.count, "row")
        return f"expected a number, got {quoted(self.text)} ({listed} beside numbers in {rows})"


def dress_of(counts: Counter[str]) -> Dress | None:
    """Return what stands beside numbers, where most of many different cells are such.

    Args:
        counts: The different cells, with the number of rows of each.

    Example:
        >>> print(dress_of(Counter([f"{dose} mg" for dose in range(40)])))
        expected a number, got '0 mg' ('mg' beside numbers in 40 rows)
        >>> dress_of(Counter(["5 mg", "10 mg"]))
    """
    if len(counts) <= _FEW:
        return None
    first = ""
    signs: Counter[str] = Counter()
    rows = dressed = 0
    for text, count in counts.items():
        match = _DRESSED.fullmatch(text)
        if match is None:
            continue
        rows += count
        beside = (match["before"].strip(), match["after"].strip())
        if any(beside):
            first = first or text
            dressed += count
            signs.update({sign: count for sign in beside if sign})
    if not first or 2 * rows < counts.total():
        return None
    return Dress(first, tuple(sign for sign, _ in signs.most_common()), dressed)
