"""What is wrong with a rule that could be read: unknown columns and levels, and wrong kinds."""

from __future__ import annotations

from collections.abc import Sequence

from coplay.core.components import nearest
from coplay.core.rule_meaning import compared_category, place_of_level
from coplay.core.rule_words import Comparison, Name, Sentence, Sum, Term, Text
from coplay.core.space import Space


def faults_of(sentence: Sentence, space: Space) -> list[str]:
    """Return what is wrong with a rule that could be read."""
    faults = []
    for comparison in sentence.comparisons:
        unknown = [name for name in comparison.names if name not in space]
        known_ones = [name for name in comparison.names if name in space]
        categories = [name for name in known_ones if space[name].kind == "categorical"]
        for name in unknown:
            hint = f"; a level of {categories[0]!r} stands in quotes" if categories else ""
            close = nearest(name, space)
            faults.append(f"there is no column {name!r}{hint}; known, nearest first: {close}")
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
    compared = compared_category(comparison, space)
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
    if place_of_level(variable, other) < 0:
        levels = variable.class_names or ("no", "yes")
        text = other.value if isinstance(other, Text) else other.text
        return [f"{name!r} has no level {text!r}; known, nearest first: {nearest(text, levels)}"]
    return []
