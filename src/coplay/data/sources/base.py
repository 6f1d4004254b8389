"""The contract of a source: load a real data set with a space, a training and a test split."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from coplay.core.components import Component
from coplay.core.errors import DataError
from coplay.core.space import LABEL as LABEL  # the name that callers of this contract use
from coplay.core.space import Samples, Space
from coplay.core.streams import stream
from coplay.data.classes import class_column
from coplay.data.column import Column
from coplay.data.pictures import image_column


@dataclass(frozen=True)
class Dataset:
    """A real data set.

    Args:
        name: What reports must call it.
        space: All variables, the class included if there is one.
        train: Samples that players may hold; batch size [n].
        test: Samples that no player holds; measured against, never learned from.
        notes: What was read, left out, converted or counted, in sentences.
    """

    name: str
    space: Space
    train: Samples
    test: Samples
    notes: Sequence[str] = ()

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
    def class_names(self) -> tuple[str, ...]:
        """What the classes are called, in the order of their numbers; empty without classes."""
        return self.space[LABEL].class_names if self.classes else ()

    @property
    def inputs(self) -> list[str]:
        """Names of all variables but the class."""
        return [name for name in self.space if name != LABEL]


class Source(Component):
    """A place where data come from."""

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
    """
    train_images, train_labels = train
    test_images, test_labels = test
    images = image_column(train_images, test_images, threshold, name, white, largest)
    columns = {"image": images}
    if train_labels is not None and test_labels is not None:
        columns[LABEL] = class_column(train_labels, test_labels, name)
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


def missing(kind: str, path: Path) -> DataError:
    """Return the error for a file or folder that does not exist.

    Args:
        kind: ``file`` or ``folder``.
        path: The path that was looked for.
    """
    return DataError(f"the {kind} {path} does not exist (looked for from {Path.cwd()})")
