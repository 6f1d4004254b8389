"""The contract of a source: load a real data set with a space, a training and a test split."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from coplay.core.components import Component
from coplay.core.errors import DataError
from coplay.core.space import LABEL as LABEL  # the name that callers of this contract use
from coplay.core.space import Samples, Space
from coplay.core.streams import stream
from coplay.core.variable import Variable
from coplay.data.classes import class_column
from coplay.data.column import Column
from coplay.data.pictures import image_column


@dataclass(frozen=True)
class SplitRows:
    """What a source knows of the rows of one split, beside their values.

    Args:
        place: Writes where a row stands, such as ``a.csv, line 7``, by its position in the split.
        units: What each row belongs to, such as a patient, shape (n,), texts; None where no unit
            was asked for. It is no variable, and stays where the data are.
    """

    place: Callable[[int], str]
    units: np.ndarray | None = None


@dataclass(frozen=True)
class Dataset:
    """A real data set.

    Args:
        name: What reports must call it.
        space: All variables, the class included if there is one.
        train: Samples that players may hold; batch size [n].
        test: Samples that no player holds; measured against, never learned from.
        notes: What was read, left out, converted or counted, in sentences.
        rows: What is known of the rows of both splits, the training split first; None where they
            are only numbered.
        shares_rows: Whether the test split is a share of rows that the source held out itself, and
            not one that the data came with.

    Example:
        >>> from coplay import find
        >>> digits = find("source", "digits")().load()
        >>> digits.space, len(digits.train), len(digits.test)
        (Space(image: binary 8×8, class: categorical of 10 scalar), 1300, 497)
    """

    name: str
    space: Space
    train: Samples
    test: Samples
    notes: Sequence[str] = ()
    rows: tuple[SplitRows, SplitRows] | None = None
    shares_rows: bool = False
    unread: Sequence[str] = ()

    def __post_init__(self) -> None:
        self.space.check(self.train, f"data set {self.name}, train split", complete=True)
        self.space.check(self.test, f"data set {self.name}, test split", complete=True)
        if not len(self.train):
            raise DataError(f"data set {self.name} has no training samples")

    @property
    def classes(self) -> int:
        """Number of classes; 0 where the source has none."""
        if LABEL not in self.space:
            return 0
        return self.space[LABEL].classes or 0

    @property
    def can_be_judged(self) -> bool:
        """Whether a domain classifier can be trained on it: there are classes, and no value lacks.

        Values of an optional variable may be missing.
        """
        return self.classes > 0 and not any(self.space[name].optional for name in self.space)

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the classes are called, in the order of their numbers; empty without classes."""
        return self.space[LABEL].class_names if self.classes else ()

    @property
    def inputs(self) -> list[str]:
        """Names of all variables but the class."""
        return [name for name in self.space if name != LABEL]


class Source(Component):
    """A place where data come from.

    Example:
        >>> class Coins(Source):
        ...     def load(self):
        ...         space = Space({"x": Variable(kind="binary")})
        ...         coins = space.samples(x=torch.tensor([0, 1, 1, 1], dtype=torch.uint8))
        ...         return Dataset("coins", space, coins, coins[:2])
        >>> Coins().load().train["x"].tolist()
        [0, 1, 1, 1]
    """

    paths: ClassVar[tuple[str, ...]] = ()
    """The settings that are paths of files and folders."""

    def at(self, home: Path) -> Self:
        """Return the source with its relative paths taken from a folder.

        Args:
            home: The folder, such as that of the file in which the source is named.
        """
        moved: dict[str, str | tuple[str, ...]] = {}
        for setting in self.paths:
            value = getattr(self, setting)
            if isinstance(value, str):
                moved[setting] = path_from(home, value)
            elif value is not None:
                moved[setting] = tuple(path_from(home, each) for each in value)
        return self.model_copy(update=moved)

    def loaded_as(self, agreed: Mapping[str, Variable], unit: str | None = None) -> Dataset:
        """Read the data for somebody who knows what they are to be.

        A source that decides by the values what they are, as a table does, reads them as what was
        agreed; the others read them as ever. The values are not checked against what was agreed.

        Args:
            agreed: Variables by their names in this source; others need not be read.
            unit: The name of what the rows belong to, such as a column of patients.

        Raises:
            DataError: As :meth:`load`, or the source cannot read a unit.
        """
        if unit is not None:
            raise DataError(
                f"unit = {unit!r}: this source has nothing that names units; tables and .npz files "
                "do"
            )
        return self.load()

    @abstractmethod
    def load(self) -> Dataset:
        """Read the data; the same settings always give the same samples in the same order.

        Raises:
            DataError: A file is missing or broken; the message names it and says what was expected.
            SpaceError: Values are NaN or out of range.
        """


def assemble(name: str, columns: Mapping[str, Column], notes: Sequence[str] = ()) -> Dataset:
    """Make a data set of columns.

    Args:
        name: The data set's name.
        columns: Variables by name, each with its training and its test values.
        notes: What was read and left out; the columns' own notes follow.
    """
    space = Space({key: column.variable for key, column in columns.items()})
    train = {key: column.train for key, column in columns.items()}
    test = {key: column.test for key, column in columns.items()}
    all_notes = list(notes)
    for column in columns.values():
        all_notes += column.notes
    return Dataset(name, space, space.samples(**train), space.samples(**test), tuple(all_notes))


def labelled_images(
    name: str,
    train: tuple[np.ndarray | Tensor, np.ndarray | Tensor | None],
    test: tuple[np.ndarray | Tensor, np.ndarray | Tensor | None],
    threshold: float | None,
    *,
    white: float | None = None,
    largest: float | None = None,
    notes: Sequence[str] = (),
    classes: Sequence[str] = (),
) -> Dataset:
    """Make a data set of images, with classes if both splits have them.

    Args:
        name: The data set's name.
        train: Images of shape (n, H, W) or (n, 3, H, W), and labels of shape (n,) or None.
        test: Images and labels of the test split, of the same form.
        threshold: Grey value from which a pixel is 1; None keeps grey values. Colours are always
            kept.
        white: See :func:`~coplay.data.pictures.image_column`.
        largest: The same.
        notes: What was read and left out.
        classes: Names of classes that there are, whether they have samples here or not.
    """
    train_images, train_labels = train
    test_images, test_labels = test
    images = image_column(train_images, test_images, threshold, name, white, largest)
    columns = {"image": images}
    if train_labels is not None and test_labels is not None:
        columns[LABEL] = class_column(train_labels, test_labels, name, known=classes)
    return assemble(name, columns, notes)


def held_out(n: int, share: float, origin: str) -> tuple[Tensor, Tensor]:
    """Choose the training and the test samples of a source without a test split.

    The choice is random, and the same at every call.

    Args:
        n: Number of samples.
        share: Share of them to test on; at least one sample goes to each side.
        origin: What errors call the data.

    Returns:
        Positions of the training samples and of the test samples, each in ascending order.

    Raises:
        DataError: There are fewer than two samples.

    Example:
        >>> train, test = held_out(10, 0.2, "ten")
        >>> len(train), len(test), sorted([*train.tolist(), *test.tolist()]) == list(range(10))
        (8, 2, True)
    """
    if n < 2:
        raise DataError(
            f"{origin}: expected a test split, or at least 2 samples to hold one out; got {n}"
        )
    order = torch.randperm(n, generator=stream(0, "held out"))
    test_count = min(n - 1, max(1, round(n * share)))
    return order[test_count:].sort().values, order[:test_count].sort().values


def path_from(home: Path, path: str) -> str:
    """Return a path that means the same from everywhere; a relative one is taken from a folder.

    Example:
        >>> path_from(Path("/data"), "a.csv"), path_from(Path("/data"), "/b.csv")
        ('/data/a.csv', '/b.csv')
    """
    return str(home / Path(path).expanduser())


def missing(kind: str, path: Path) -> DataError:
    """Return the error for a file or folder that does not exist.

    Args:
        kind: ``file`` or ``folder``.
        path: The path that was looked for.
    """
    return DataError(f"the {kind} {path} does not exist (looked for from {Path.cwd()})")
