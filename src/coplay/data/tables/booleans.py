"""Yes and no as people write them."""

from __future__ import annotations

from collections.abc import Collection

WORDS = (
    ("no", "yes"),
    ("false", "true"),
    ("off", "on"),
    ("nein", "ja"),
    ("nee", "ja"),
    ("nej", "ja"),
    ("non", "oui"),
    ("no", "si"),
    ("no", "sí"),
    ("não", "sim"),
    ("falsch", "wahr"),
    ("faux", "vrai"),
)
"""Words of 0 and of 1; one of them alone is known as well."""

_LETTERS = (("n", "y"), ("f", "t"), ("n", "j"))

BITS = (
    {"0", *(no for no, _ in (*WORDS, *_LETTERS))},
    {"1", *(yes for _, yes in (*WORDS, *_LETTERS))},
)
"""What 0 and 1 of a binary variable may be called."""


def yes_and_no(texts: Collection[str]) -> tuple[str, str] | None:
    """Return the words of 0 and 1 if these are the only ones, whatever their case.

    Args:
        texts: The different cells of a column.

    Example:
        >>> yes_and_no(["Yes", "NO", "yes"]), yes_and_no(["ja"]), yes_and_no(["n"])
        (('no', 'yes'), ('nein', 'ja'), None)
    """
    lower = {text.lower() for text in texts}
    for words in WORDS:
        if lower <= set(words):
            return words
    for letters in _LETTERS:
        if lower == set(letters):
            return letters
    return None


def are_answers(texts: Collection[str]) -> bool:
    """Whether different texts are all words of yes or of no, of more than one kind.

    Example:
        >>> are_answers(["yes", "TRUE", "0"]), are_answers(["0", "1"]), are_answers(["yes", "Ulm"])
        (True, False, False)
    """
    lower = {text.lower() for text in texts}
    return len(lower) > 2 and lower <= BITS[0] | BITS[1]
