"""Classes are the distinct labels that occur; what each is called stays with its number."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from coplay.core.errors import DataError
from coplay.core.space import LABEL
from coplay.core.variable import Variable
from coplay.data.column import Column
from coplay.data.words import quoted, some

_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.0+)?")
"""A whole number as tables write it, with no zeros before it: those of ``01067`` mean something."""

_LISTED = 4  # classes in a note, which is one line; the record has the names of all


def natural_key(text: str) -> tuple[object, ...]:
    """Return a key that sorts texts with the numbers in them as numbers.

    Example:
        >>> sorted(["item10", "item2", "Item1"], key=natural_key)
        ['Item1', 'item2', 'item10']
    """
    parts: list[object] = []
    for place, part in enumerate(re.split(r"([0-9]+)", text)):
        if place % 2:
            digits = part.lstrip("0")
            parts.append((len(digits), digits))
        else:
            parts.append(part)
    return (*parts, text)


def class_column(
    train: np.ndarray | Tensor,
    test: np.ndarray | Tensor,
    origin: str,
    name: str = "class",
    known: Sequence[str] = (),
) -> Column:
    """Convert labels to a categorical variable whose classes are the labels that occur.

    Whole numbers are sorted by value, texts in natural order, over both splits. Labels that are
    0 … C−1 already keep their numbers and have no other names.

    Args:
        train: Labels of the training split, shape (n,) or (n, 1): whole numbers, whole floats,
            bools or texts. Texts that are all whole numbers count as numbers.
        test: Labels of the test split, of the same type.
        origin: What errors call the data.
        name: The variable's name, for notes.
        known: Names of classes that there are, whether they have samples here or not.

    Raises:
        DataError: The labels have another type or shape, or all are the same.

    Example:
        >>> column = class_column(np.array([2022, 2019]), np.array([2022]), "sales")
        >>> column.train.tolist(), column.test.tolist(), column.variable.names
        ([1, 0], [1], ('2019', '2022'))
    """
    splits = [np.asarray(train), np.asarray(test)]
    _check_labels(splits, origin)
    labels = [values.reshape(-1) for values in splits]
    if all(values.dtype.kind == "b" for values in splits):
        return named_column(labels[0], labels[1], ("false", "true"), origin, name)
    if labels[0].dtype.kind != "U":
        labels = [values.astype(np.int64) for values in labels]
    distinct, codes = np.unique(np.concatenate(labels), return_inverse=True)
    in_train, in_test = np.split(codes, [len(labels[0])])
    texts = [str(label) for label in distinct.tolist()]
    return coded_column(in_train, in_test, texts, origin, name, known)


def coded_column(
    train: np.ndarray,
    test: np.ndarray,
    texts: Sequence[str],
    origin: str,
    name: str = "class",
    known: Sequence[str] = (),
) -> Column:
    """Convert labels that are places in a list of texts to a categorical variable.

    Args:
        train: Places of the training split, shape (n,).
        test: Places of the test split, shape (n,).
        texts: The different labels; those without samples are no classes.
        origin: What errors call the data.
        name: The variable's name, for notes.
        known: Names of classes that there are, whether they have samples here or not; they come
            first, and nothing is noted of them.

    Raises:
        DataError: All labels are the same.

    Example:
        >>> column = coded_column(np.array([1, 0]), np.array([1]), ["10.0", "9.0"], "sales")
        >>> column.train.tolist(), column.variable.names
        ([0, 1], ('9', '10'))
    """
    used = np.unique(np.concatenate([train, test])).tolist()
    labels = [texts[place] for place in used]
    notes: list[str] = []
    if len(set(map(_without_zeros, labels))) < len(labels):
        # 1 and 1.0 are one number; zeros before it may mean something, as those of 01067 do
        labels = [_whole(label) for label in labels]
        twins = _twins(labels)
        if twins:
            notes.append(
                f"{quoted(name)}: {some(map(quoted, twins), 6)} are classes of their own, with and "
                "without zeros; write them in one way if they are one"
            )
    if all(_WHOLE.fullmatch(label) for label in labels):
        # 1 and 1.0 are one number
        values = [int(label.partition(".")[0]) for label in labels]
        names = [str(value) for value in sorted(set(values))]
        labels = list(map(str, values))
    else:
        names = sorted(set(labels), key=natural_key)
    if known:
        labels = [_as_known(texts[place], known) for place in used]
        others = sorted(set(labels) - set(known), key=natural_key)
        names = [*known, *others]
    number_of = {label: number for number, label in enumerate(names)}
    numbers = np.zeros(len(texts), np.int64)
    numbers[used] = [number_of[label] for label in labels]
    if known:
        variable = Variable(kind="categorical", classes=len(names), names=tuple(names))
        return Column(variable, torch.from_numpy(numbers[train]), torch.from_numpy(numbers[test]))
    return _column(numbers[train], numbers[test], names, origin, name).noted(*notes)


def _whole(label: str) -> str:
    """Return a whole number without the zeros of its fraction, and any other label as it is."""
    return label.partition(".")[0] if _WHOLE.fullmatch(label) else label


def _without_zeros(label: str) -> str:
    """Return a whole number without the zeros before and behind it.

    Example:
        >>> _without_zeros("-01.0"), _without_zeros("0"), _without_zeros("a01")
        ('-1', '0', 'a01')
    """
    return _whole(re.sub("^(-?)0+(?=[0-9])", r"\1", label))


def _twins(labels: Sequence[str]) -> list[str]:
    """Return labels that differ in nothing but zeros before them."""
    alike: dict[str, set[str]] = {}
    for label in labels:
        alike.setdefault(_without_zeros(label), set()).add(label)
    twins: list[str] = []
    for group in alike.values():
        twins += sorted(group) if len(group) > 1 else []
    return twins


def _as_known(label: str, known: Sequence[str]) -> str:
    """Return the known class that a label names; 1.0 names the class 1."""
    number = label.partition(".")[0]
    return number if _WHOLE.fullmatch(label) and label not in known and number in known else label


def named_column(
    train: np.ndarray | Tensor,
    test: np.ndarray | Tensor,
    names: Sequence[str],
    origin: str,
    name: str = "class",
) -> Column:
    """Convert numbers of classes whose names the source knows to a categorical variable.

    Args:
        train: Numbers of the training split, shape (n,), from 0.
        test: Numbers of the test split, shape (n,).
        names: What the classes are called, at least two; those without samples are kept.
        origin: What errors call the data.
        name: The variable's name, for notes.

    Raises:
        DataError: A number is negative, or there is no name for it.
    """
    splits = [np.asarray(values).reshape(-1).astype(np.int64) for values in (train, test)]
    lowest = min(int(values.min()) for values in splits)
    highest = max(int(values.max()) for values in splits)
    if lowest < 0 or highest >= len(names):
        wrong = lowest if lowest < 0 else highest
        raise DataError(
            f"{origin}: expected classes numbered from 0 to {len(names) - 1}, got {wrong}; "
            "give every sample its class"
        )
    return _column(splits[0], splits[1], list(names), origin, name, "in the order of the source")


def _column(
    train: np.ndarray,
    test: np.ndarray,
    names: list[str],
    origin: str,
    name: str,
    order: str = "in the order of their names",
) -> Column:
    """Make the variable, with notes on its names and on classes that are not learned."""
    is_numbered = names == [str(number) for number in range(len(names))]
    classes = len(names)
    if classes == 1 and not is_numbered:
        raise DataError(
            f"{origin}: expected at least two classes, got only {quoted(names[0])}; leave the "
            "labels out, so that the data have no classes"
        )
    notes = []
    if classes == 1:
        classes = 2  # a categorical variable has at least two
        notes.append(f"{quoted(name)}: all samples are of class 0")
    kept = None if is_numbered else tuple(names)
    if kept is not None:
        listed = ", ".join(
            f"{place} is {quoted(text)}" for place, text in enumerate(names[:_LISTED])
        )
        if classes > _LISTED:
            listed = f"from {quoted(names[0])} to {quoted(names[-1])}"
        notes.append(f"{quoted(name)}: {classes} classes, numbered {order}: {listed}")
    if kept is not None and names[0].startswith("-") and _WHOLE.fullmatch(names[0]):
        notes.append(
            f"{quoted(name)}: {names[0]} is taken as a class; leave its samples out if it stands "
            "for no label"
        )
    notes += _unlearned(train, test, names, name)
    variable = Variable(kind="categorical", classes=classes, names=kept)
    return Column(variable, torch.from_numpy(train), torch.from_numpy(test), tuple(notes))


def _unlearned(train: np.ndarray, test: np.ndarray, names: list[str], name: str) -> list[str]:
    """Say which classes have no samples to train on, or none to test on."""
    in_train = np.bincount(train, minlength=len(names)) > 0
    in_test = np.bincount(test, minlength=len(names)) > 0
    sides = {"only test samples": in_test & ~in_train, "no samples": ~in_test & ~in_train}
    if name == LABEL:  # scores are given class by class
        sides["only training samples"] = in_train & ~in_test
    notes = []
    for side, chosen in sides.items():
        classes = [quoted(names[place]) for place in np.flatnonzero(chosen)]
        if classes:
            notes.append(f"{quoted(name)}: there are {side} of {some(classes)}")
    return notes


def _check_labels(splits: list[np.ndarray], origin: str) -> None:
    """Refuse labels that are not one number or one text a sample."""
    kinds = "U" if splits[0].dtype.kind == "U" else "iubf"
    for values in splits:
        example = ""
        fits = values.dtype.kind in kinds and values.shape in ((len(values),), (len(values), 1))
        if fits and values.dtype.kind == "f":
            odd = values[~(np.isfinite(values) & (values == np.trunc(values)))]
            fits = not odd.size and bool((np.abs(values) < 2**53).all())
            example = f", such as {odd.ravel()[0]}" if odd.size else ""
        if fits and values.dtype == np.uint64:
            fits = bool((values <= np.iinfo(np.int64).max).all())
        if not fits:
            raise DataError(
                f"{origin}: expected one class a sample, all whole numbers or all texts, got "
                f"{values.dtype} of shape {tuple(values.shape)}{example}"
            )
