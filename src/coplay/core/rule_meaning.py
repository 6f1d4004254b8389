"""What the terms of a rule are in the rows of a table, and in which rows a comparison holds."""

from __future__ import annotations

import torch
from torch import Tensor

from coplay.core.rule_words import Comparison, Name, Number, Sum, Term, Text
from coplay.core.space import Samples, Space
from coplay.core.variable import Variable

_CLOSE = 1e-5  # relative difference of two sides that are equal: numbers have 32 bits
_BITS = (("0", "no", "false", "n", "f"), ("1", "yes", "true", "y", "t"))


def numbers_of(term: Term, samples: Samples) -> Tensor:
    """Return the value of a term in each row, shape (n,), float64."""
    if isinstance(term, Number):
        return torch.full((len(samples),), term.value, dtype=torch.float64)
    if isinstance(term, Name):
        return samples[term.value].double()
    assert isinstance(term, Sum), "texts are compared as categories"
    left, right = numbers_of(term.left, samples), numbers_of(term.right, samples)
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
    return numbers_of(term, samples).abs()


def holds_in(comparison: Comparison, space: Space, samples: Samples) -> Tensor:
    """Return in which rows a comparison holds, shape (n,)."""
    of_category = compared_category(comparison, space)
    if of_category is not None:
        equal = _agree(of_category, space, samples)
        return equal if comparison.operator == "=" else ~equal
    left, right = numbers_of(comparison.left, samples), numbers_of(comparison.right, samples)
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


def compared_category(comparison: Comparison, space: Space) -> tuple[str, Term] | None:
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
    place = place_of_level(space[name], other)
    return samples[name] == place


def place_of_level(variable: Variable, term: Term) -> int:
    """Return the number of the level that a term calls; -2 where there is none."""
    text = term.value if isinstance(term, Text) else term.text if isinstance(term, Number) else ""
    if variable.kind == "binary":
        for bit, words in enumerate(_BITS):
            if text.casefold() in words:
                return bit
        return -2
    names = variable.class_names
    return names.index(text) if text in names else -2
