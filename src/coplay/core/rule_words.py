"""The words of a rule between columns, and what they mean: a small language and no code.

    rule        comparison [if condition]
    condition   comparison [and comparison …], such alternatives joined by or
    comparison  sum (<= | < | >= | > | = | !=) sum
    sum         numbers and columns with + - * / and ( ), or a text in quotes

Names of columns may hold blanks and hyphens, since those of the table are known beforehand; a name
that is a word of the language, too, stands in backticks.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from coplay.core.components import nearest

OPERATORS = ("<=", ">=", "!=", "==", "<", ">", "=")
_NUMBER = re.compile(r"(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_NAME = re.compile(r"[^\W\d]\w*")
_WORDS = ("if", "and", "or")
_DEEPEST = 20  # parentheses in one another

Kind = Literal["number", "text", "name", "sign", "word", "end"]


class RuleFault(ValueError):
    """What is wrong with a rule, as a sentence."""


@dataclass(frozen=True)
class Number:
    """A number as it is written."""

    value: float
    text: str


@dataclass(frozen=True)
class Text:
    """A text in quotes, which a category is called."""

    value: str


@dataclass(frozen=True)
class Name:
    """The name of a column."""

    value: str


@dataclass(frozen=True)
class Sum:
    """Two terms and a sign between them, one of + - * /."""

    sign: str
    left: Term
    right: Term


Term = Number | Text | Name | Sum


@dataclass(frozen=True)
class Comparison:
    """Two terms and how they are compared."""

    operator: str
    left: Term
    right: Term

    @property
    def names(self) -> list[str]:
        """The columns, each once."""
        return list(dict.fromkeys([*names_in(self.left), *names_in(self.right)]))


Condition = tuple[tuple[Comparison, ...], ...]
"""Alternatives, each of comparisons that must all hold; empty where there is no condition."""


@dataclass(frozen=True)
class Sentence:
    """A rule as it is understood.

    Args:
        then: What must hold.
        condition: Where it must hold.
    """

    then: Comparison
    condition: Condition

    @property
    def comparisons(self) -> list[Comparison]:
        """Everything that is compared."""
        return [self.then, *(each for all_of in self.condition for each in all_of)]


def names_in(term: Term) -> Iterator[str]:
    """Return the columns in a term."""
    if isinstance(term, Name):
        yield term.value
    elif isinstance(term, Sum):
        yield from names_in(term.left)
        yield from names_in(term.right)


@dataclass(frozen=True)
class _Token:
    kind: Kind
    text: str
    place: int


def understood(text: str, known: Collection[str]) -> Sentence:
    """Return what a rule says.

    Args:
        text: The rule.
        known: Names of the columns that there are; others are names only where they have no blanks.

    Raises:
        RuleFault: It is no rule; the message says at which character.

    Example:
        >>> understood("mean radius <= 2 * size if ill = 'yes'", ["mean radius", "size"]).then
        Comparison(operator='<=', left=Name(value='mean radius'),
                   right=Sum(sign='*', left=Number(value=2.0, text='2'), right=Name(value='size')))
    """
    return _Parser(list(_tokens(text, known)), known).sentence()


def _tokens(text: str, known: Collection[str]) -> Iterator[_Token]:
    names = sorted((name for name in known if name not in _WORDS), key=len, reverse=True)
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        token, end = _token(text, place, names)
        yield token
        place = end
    yield _Token("end", "", len(text))


def _token(text: str, place: int, names: Collection[str]) -> tuple[_Token, int]:
    """Return the word that begins at a place, and where it ends."""
    first = text[place]
    if first in "'\"`":
        end = text.find(first, place + 1)
        if end < 0:
            raise RuleFault(f"the quote {first} at character {place + 1} is not closed")
        return _Token("name" if first == "`" else "text", text[place + 1 : end], place), end + 1
    for name in names:
        end = place + len(name)
        if text.startswith(name, place) and not re.match(r"\w\w", text[end - 1 : end + 1]):
            return _Token("name", name, place), end
    for sign in (*OPERATORS, *"+-*/()"):
        if text.startswith(sign, place):
            return _Token("sign", sign, place), place + len(sign)
    number = _NUMBER.match(text, place)
    if number:
        return _Token("number", number[0], place), number.end()
    name_there = _NAME.match(text, place)
    if name_there:
        is_word = name_there[0].lower() in _WORDS
        word = name_there[0].lower() if is_word else name_there[0]
        return _Token("word" if is_word else "name", word, place), name_there.end()
    raise RuleFault(f"{first!r} at character {place + 1} has no meaning in a rule")


class _Parser:
    """Reads the words of a rule from left to right."""

    def __init__(self, tokens: list[_Token], known: Collection[str]) -> None:
        self._tokens = tokens
        self._known = known
        self._place = 0
        self._depth = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take(self, *texts: str) -> str:
        """Return the next word and go on if it is one of some, else an empty text."""
        token = self._next
        if token.kind in ("sign", "word") and token.text in texts:
            self._place += 1
            return token.text
        return ""

    def _expected(self, what: str) -> RuleFault:
        token = self._next
        if token.kind == "end":
            return RuleFault(f"expected {what} at its end")
        before = self._tokens[self._place - 1]
        if self._place and before.kind == "name" and before.text not in self._known:
            close = nearest(before.text, self._known)
            return RuleFault(f"there is no column {before.text!r}; known, nearest first: {close}")
        return RuleFault(f"expected {what} at character {token.place + 1}, got {token.text!r}")

    def sentence(self) -> Sentence:
        if self._next.kind == "end":
            raise RuleFault("it is empty; a rule is such as 'start <= end'")
        then = self._comparison()
        condition: Condition = ()
        if self._take("if"):
            alternatives = [self._all_of()]
            while self._take("or"):
                alternatives.append(self._all_of())
            condition = tuple(alternatives)
        if self._next.text == "and" and not condition:
            raise RuleFault("'and' joins conditions after 'if'; write two rules instead")
        if self._next.text == "or" and not condition:
            raise RuleFault("'or' joins conditions after 'if', and a rule has one comparison")
        if self._next.text in OPERATORS:
            where = f"a second {self._next.text!r} at character {self._next.place + 1}"
            raise RuleFault(f"{where}; a rule compares two sides, so write two rules instead")
        self._end()
        return Sentence(then, condition)

    def _end(self) -> None:
        if self._next.kind != "end":
            raise self._expected("'if' or the rule's end")

    def _all_of(self) -> tuple[Comparison, ...]:
        parts = [self._comparison()]
        while self._take("and"):
            parts.append(self._comparison())
        return tuple(parts)

    def _comparison(self) -> Comparison:
        left = self._sum()
        operator = self._take(*OPERATORS)
        if not operator:
            raise self._expected("one of <=, <, >=, >, = and !=")
        return Comparison("=" if operator == "==" else operator, left, self._sum())

    def _sum(self) -> Term:
        term = self._product()
        while sign := self._take("+", "-"):
            term = Sum(sign, term, self._product())
        return term

    def _product(self) -> Term:
        term = self._factor()
        while sign := self._take("*", "/"):
            term = Sum(sign, term, self._factor())
        return term

    def _factor(self) -> Term:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise RuleFault(f"it has more than {_DEEPEST} parentheses or signs in one another")
        try:
            return self._inner()
        finally:
            self._depth -= 1

    def _inner(self) -> Term:
        if self._take("-"):
            inner = self._factor()
            if isinstance(inner, Number):
                return Number(-inner.value, f"-{inner.text}")
            return Sum("-", Number(0.0, "0"), inner)
        if self._take("("):
            inner = self._sum()
            if not self._take(")"):
                raise self._expected("')'")
            return inner
        token = self._next
        if token.kind == "number":
            self._place += 1
            return Number(float(token.text), token.text)
        if token.kind in ("text", "name"):
            self._place += 1
            return Text(token.text) if token.kind == "text" else Name(token.text)
        raise self._expected("a column, a number or a text in quotes")
