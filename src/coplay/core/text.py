"""Texts of others where they become something else: what a terminal, a table or JSON may hold.

Titles, names and errors may come from anybody. Each target has one function here; pages escape
HTML by their template, and pictures take no mathematics (:mod:`coplay.report.figures`).
"""

from __future__ import annotations

import re
import unicodedata

# Control characters, which terminals obey; formats such as changes of direction and characters
# without width, which hide or reorder text; lone halves of characters; separators of lines.
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp", "Co"}

_FORMULA = re.compile(r"\s*[=+\-@|%\t\r]")

_NOT_IN_JSON = re.compile(
    r"[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str, *, lines: bool = True) -> str:
    r"""Return a text with everything escaped that could steer a terminal or hide its content.

    Args:
        text: Any text.
        lines: Whether it may have several lines; else a line break is escaped too.

    Example:
        >>> print(visible("\x1b[31mred\u202e"), visible("two\nlines", lines=False))
        \x1b[31mred\u202e two\nlines
    """
    if text.isascii() and text.isprintable():
        return text
    shown = []
    for character in text:
        hidden = unicodedata.category(character) in _HIDDEN
        keep = character == "\n" and lines
        shown.append(_escaped(character) if hidden and not keep else character)
    return "".join(shown)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def cell(text: str) -> str:
    """Return a text as a cell of a CSV file, which a spreadsheet must not take for a formula.

    Example:
        >>> cell("=HYPERLINK(1)"), cell("north")
        ("'=HYPERLINK(1)", 'north')
    """
    shown = visible(text, lines=False)
    return f"'{shown}" if _FORMULA.match(shown) else shown


def in_units(count: float) -> str:
    """Write bytes in the unit that suits them.

    Example:
        >>> in_units(12), in_units(2048), in_units(3 * 1024**2)
        ('12 B', '2.00 KiB', '3.00 MiB')
    """
    for size, unit in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:.0f} B"


def json_text(text: str) -> str:
    r"""Return JSON with everything escaped that a terminal would obey or not show.

    Such characters stand inside texts only, where JSON has an escape for each.

    Example:
        >>> print(json_text('{"title": "a\u202eb"}'))
        {"title": "a\u202eb"}
    """
    return _NOT_IN_JSON.sub(_json_escape, text)


def _json_escape(match: re.Match[str]) -> str:
    units = match.group().encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
