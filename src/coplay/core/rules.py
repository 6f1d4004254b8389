"""Rules between the columns of a table, such as ``start <= end`` or ``a + b = total``.

A rule is checked row by row. In a row in which one of its values is missing, or its condition does
not hold, it says nothing. What is drawn keeps all rules: a sum is put right, and a row that breaks
one all the same is drawn anew, so that what is kept has the model's distribution given the rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coplay.core.components import nearest
from coplay.core.errors import ConfigError
from coplay.core.rule_words import (
    Comparison,
    Name,
    Number,
    RuleFault,
    Sentence,
    Sum,
    Term,
    Text,
    names_in,
    understood,
)
from coplay.core.scaling import allowed
from coplay.core.space import Samples, Space, join, pick
from coplay.core.variable import Variable

_CLOSE = 1e-5  # relative difference of two sides that are equal: numbers have 32 bits
_DRAWS = 20  # times as many rows as are wanted are drawn at most
_BITS = (("0", "no", "false", "n", "f"), ("1", "yes", "true", "y", "t"))


@dataclass(frozen=True)
class Rule:
    """One rule.

    Args:
        text: As it was written.
        sentence: What it says.
    """

    text: str
    sentence: Sentence

    @property
    def names(self) -> list[str]:
        """The columns that it speaks of."""
        names: dict[str, None] = {}
        for comparison in self.sentence.comparisons:
            names |= dict.fromkeys(comparison.names)
        return list(names)

    def speaks(self, space: Space, samples: Samples) -> Tensor:
        """Return of which rows it says anything, shape (n,)."""
        speaks = torch.ones(len(samples), dtype=torch.bool)
        for name in self.names:
            if name not in samples.keys():
                return torch.zeros_like(speaks)
            speaks &= space[name].present(samples[name])
        if self.sentence.condition:
            holds = torch.zeros_like(speaks)
            for all_of in self.sentence.condition:
                each = torch.ones_like(speaks)
                for comparison in all_of:
                    each &= _holds(comparison, space, samples)
                holds |= each
            speaks &= holds
        return speaks

    def broken(self, space: Space, samples: Samples) -> Tensor:
        """Return which rows break it, shape (n,).

        Args:
            space: What the variables are.
            samples: The rows; where they lack a column, the rule says nothing.
        """
        speaks = self.speaks(space, samples)
        if not speaks.any():
            return speaks
        return speaks & ~_holds(self.sentence.then, space, samples)

    def repaired(self, space: Space, samples: Samples) -> Samples:
        """Return rows in which a sum is put right, where it is a column that can hold it."""
        then = self.sentence.then
        target, source = then.left, then.right
        if not _can_take(target, source, space):
            target, source = source, target
        if then.operator != "=" or not _can_take(target, source, space):
            return samples
        assert isinstance(target, Name)
        wrong = self.broken(space, samples)
        if not wrong.any():
            return samples
        changed = samples.clone(recurse=False)
        values = samples[target.value].clone()
        numbers = _numbers(source, samples)
        fit = wrong & numbers.isfinite()
        values[fit] = allowed(numbers[fit], space[target.value], values.dtype)
        changed[target.value] = values
        return changed


def _can_take(target: Term, source: Term, space: Space) -> bool:
    """Whether a term is a column that a sum of others can be written into."""
    if not isinstance(target, Name) or isinstance(source, Text):
        return False
    is_own = target.value in names_in(source)
    return space[target.value].kind in ("real", "count") and not is_own


@dataclass(frozen=True)
class Broken:
    """How many rows break a rule.

    Args:
        rule: The rule, as it was written.
        rows: Rows that break it.
        of: Rows of which it says anything.
    """

    rule: str
    rows: int
    of: int

    def __str__(self) -> str:
        return f"rule {self.rule!r}: {self.rows:,} of {self.of:,} rows to which it applies break it"


@dataclass(frozen=True)
class Rules:
    """All rules of a table.

    Args:
        space: The variables.
        rules: The rules, in the order in which sums are put right.
    """

    space: Space
    rules: tuple[Rule, ...] = ()

    @classmethod
    def of(cls, texts: Sequence[str], space: Space, place: str = "rules") -> Rules:
        """Read rules.

        Args:
            texts: The rules as they are written.
            space: The variables that there are.
            place: Where they are written, for errors.

        Raises:
            ConfigError: With what is wrong with each.

        Example:
            >>> real = Variable(kind="real")
            >>> space = Space({"start": real, "end": real})
            >>> rules = Rules.of(["start <= end"], space)
            >>> rows = space.samples(start=torch.tensor([1.0, 3.0]), end=torch.tensor([2.0, 2.0]))
            >>> rules.broken(rows).tolist()
            [False, True]
            >>> Rules.of(["start <= ende"], space)
            Traceback (most recent call last):
            coplay.core.errors.ConfigError: rules[0] 'start <= ende': there is no column 'ende';
            known, nearest first: end, start
        """
        faults = []
        rules = []
        for number, text in enumerate(texts):
            try:
                sentence = understood(text, list(space))
            except RuleFault as error:
                faults.append(f"{place}[{number}] {text!r}: {error}")
                continue
            own = _faults(sentence, space)
            faults += [f"{place}[{number}] {text!r}: {fault}" for fault in own]
            rules.append(Rule(text, sentence))
        if faults:
            raise ConfigError(faults)
        return cls(space, tuple(rules))

    def __bool__(self) -> bool:
        return bool(self.rules)

    def only(self, space: Space) -> Rules:
        """Return the rules whose columns all are in a space."""
        kept = [rule for rule in self.rules if all(name in space for name in rule.names)]
        return Rules(space, tuple(kept))

    def broken(self, samples: Samples) -> Tensor:
        """Return which rows break any rule, shape (n,)."""
        broken = torch.zeros(len(samples), dtype=torch.bool)
        for rule in self.rules:
            broken |= rule.broken(self.space, samples)
        return broken

    def counts(self, samples: Samples) -> list[Broken]:
        """Return how many rows break each rule."""
        counts = []
        for rule in self.rules:
            rows = int(rule.broken(self.space, samples).sum())
            counts.append(Broken(rule.text, rows, int(rule.speaks(self.space, samples).sum())))
        return counts

    def repaired(self, samples: Samples) -> Samples:
        """Return rows in which sums are put right, one rule after the other."""
        for rule in self.rules:
            samples = rule.repaired(self.space, samples)
        return samples

    def kept(self, draw: Callable[[int], Samples], n: int) -> Kept:
        """Draw until n rows keep all rules, or until that is hopeless.

        Args:
            draw: Returns so many rows.
            n: How many are wanted.
        """
        as_drawn = draw(n)
        drawn, broke = n, int(self.broken(as_drawn).sum())
        rows = self.repaired(as_drawn)
        good = ~self.broken(rows)
        kept, spare = [pick(rows, good)], [pick(rows, ~good)]
        count = fine = int(good.sum())
        while count < n and drawn < _DRAWS * n:
            wanted = math.ceil(1.1 * (n - count) * drawn / max(1, fine))
            more = min(max(wanted, 16), 4 * n + 16)
            as_drawn = draw(more)
            broke += int(self.broken(as_drawn).sum())
            rows = self.repaired(as_drawn)
            good = ~self.broken(rows)
            kept.append(pick(rows, good))
            spare.append(pick(rows, ~good))
            fine += int(good.sum())
            count += int(good.sum())
            drawn += more
        samples = pick(join([*kept, *spare]), slice(n))
        return Kept(samples, drawn, drawn - broke, fine, max(0, n - count))


@dataclass(frozen=True)
class Kept:
    """Rows that were drawn until they kept the rules.

    Args:
        samples: The rows, as many as were wanted.
        drawn: Rows that were drawn for it.
        fine: Rows among them that kept all rules as they were drawn.
        accepted: Rows among them that kept all rules once sums were put right.
        breaking: Rows among ``samples`` that break a rule, since too few others were drawn.
    """

    samples: Samples
    drawn: int
    fine: int
    accepted: int
    breaking: int

    def __str__(self) -> str:
        share = f"{self.fine:,} of {self.drawn:,} rows drawn keep all rules as they are"
        if self.accepted > self.fine:
            share += f", and {self.accepted:,} once sums are put right"
        if self.breaking:
            share += f"; {self.breaking:,} of the {len(self.samples):,} rows break a rule still"
        return share


# ------------------------------------------------------------------------------ what rows say


def _numbers(term: Term, samples: Samples) -> Tensor:
    """Return the value of a term in each row, shape (n,), float64."""
    if isinstance(term, Number):
        return torch.full((len(samples),), term.value, dtype=torch.float64)
    if isinstance(term, Name):
        return samples[term.value].double()
    assert isinstance(term, Sum), "texts are compared as categories"
    left, right = _numbers(term.left, samples), _numbers(term.right, samples)
    match term.sign:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
    return left / right


def _sizes(term: Term, samples: Samples) -> Tensor:
    """Return how large the parts of a term are, by which rounding is judged, shape (n,)."""
    if isinstance(term, Sum) and term.sign in "+-":
        return torch.maximum(_sizes(term.left, samples), _sizes(term.right, samples))
    return _numbers(term, samples).abs()


def _holds(comparison: Comparison, space: Space, samples: Samples) -> Tensor:
    """Return in which rows a comparison holds, shape (n,)."""
    of_category = _category(comparison, space)
    if of_category is not None:
        equal = _agree(of_category, space, samples)
        return equal if comparison.operator == "=" else ~equal
    left, right = _numbers(comparison.left, samples), _numbers(comparison.right, samples)
    known = left.isfinite() & right.isfinite()
    match comparison.operator:
        case "<=":
            return known & (left <= right)
        case "<":
            return known & (left < right)
        case ">=":
            return known & (left >= right)
        case ">":
            return known & (left > right)
    size = torch.maximum(_sizes(comparison.left, samples), _sizes(comparison.right, samples))
    equal = (left - right).abs() <= _CLOSE * size
    return known & (equal if comparison.operator == "=" else ~equal)


def _category(comparison: Comparison, space: Space) -> tuple[str, Term] | None:
    """Return the category that is compared and with what; None where numbers are."""
    for own, other in (
        (comparison.left, comparison.right),
        (comparison.right, comparison.left),
    ):
        if not isinstance(own, Name):
            continue
        kind = space[own.value].kind
        if kind == "categorical" or (kind == "binary" and isinstance(other, Text)):
            return own.value, other
    return None


def _agree(compared: tuple[str, Term], space: Space, samples: Samples) -> Tensor:
    """Return in which rows a category is what it is compared with, shape (n,)."""
    name, other = compared
    if isinstance(other, Name):
        places = {text: place for place, text in enumerate(space[name].class_names)}
        table = [places.get(text, -1) for text in space[other.value].class_names]
        return samples[name] == torch.tensor(table)[samples[other.value].clamp_min(0)]
    place = _place(space[name], other)
    return samples[name] == place


def _place(variable: Variable, term: Term) -> int:
    """Return the number of the level that a term calls; -2 where there is none."""
    text = term.value if isinstance(term, Text) else term.text if isinstance(term, Number) else ""
    if variable.kind == "binary":
        for bit, words in enumerate(_BITS):
            if text.casefold() in words:
                return bit
        return -2
    names = variable.class_names
    return names.index(text) if text in names else -2


# ----------------------------------------------------------------------------- what is wrong


def _faults(sentence: Sentence, space: Space) -> list[str]:
    """Return what is wrong with a rule that could be read."""
    faults = []
    for comparison in sentence.comparisons:
        unknown = [name for name in comparison.names if name not in space]
        for name in unknown:
            faults.append(
                f"there is no column {name!r}; known, nearest first: {nearest(name, space)}"
            )
        if not unknown:
            faults += _faults_of(comparison, space)
    if not faults and not any(each.names for each in sentence.comparisons):
        faults.append("it names no column")
    return list(dict.fromkeys(faults))


def _faults_of(comparison: Comparison, space: Space) -> list[str]:
    """Return what is wrong with a comparison of columns that there are."""
    shaped = [name for name in comparison.names if space[name].shape]
    if shaped:
        return [f"{name!r} is {space[name]}, and a rule compares single values" for name in shaped]
    compared = _category(comparison, space)
    if compared is not None:
        return _faults_of_category(comparison, compared, space)
    sides = (comparison.left, comparison.right)
    categories = [name for name in comparison.names if space[name].kind == "categorical"]
    faults = [
        f"{name!r} is a category, with which nothing can be computed; a rule can ask whether it is "
        f"one of its levels: {name} = '{space[name].class_names[0]}'"
        for name in categories
    ]
    for text in [side.value for side in sides if isinstance(side, Text)] + _texts_inside(sides):
        faults.append(
            f"the text {text!r} is compared with numbers; texts are what categories are called, "
            "and names of columns have no quotes, or backticks"
        )
    return faults


def _texts_inside(sides: Sequence[Term]) -> list[str]:
    """Return texts with which something is computed."""
    texts: list[str] = []
    for side in sides:
        if isinstance(side, Sum):
            for part in (side.left, side.right):
                texts += [part.value] if isinstance(part, Text) else _texts_inside([part])
    return texts


def _faults_of_category(
    comparison: Comparison, compared: tuple[str, Term], space: Space
) -> list[str]:
    """Return what is wrong with the comparison of a category."""
    name, other = compared
    variable = space[name]
    kind = "a category" if variable.kind == "categorical" else "yes or no"
    if comparison.operator not in ("=", "!="):
        return [f"{name!r} is {kind} and has no order: only = and != compare it"]
    if isinstance(other, Sum):
        return [f"{name!r} is {kind} and cannot be equal to a sum"]
    if isinstance(other, Name):
        if space[other.value].kind != "categorical":
            return [f"{name!r} is {kind}, and {other.value!r} is {space[other.value]}"]
        return []
    if _place(variable, other) < 0:
        levels = variable.class_names or ("no", "yes")
        text = other.value if isinstance(other, Text) else other.text
        return [f"{name!r} has no level {text!r}; known, nearest first: {nearest(text, levels)}"]
    return []
