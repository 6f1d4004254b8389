"""The contract of a source: load a real data set with a space, a training and a test split."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from coplay.components import Component
from coplay.errors import DataError
from coplay.space import Samples, Space, Variable

LABEL = "class"
"""Name of the variable that holds the class, where a source has one."""


@dataclass(frozen=True)
class Dataset:
    """A real data set.

    Args:
        name: What figures measured on it must call it.
        space: All variables, the class included if there is one.
        train: Samples that players may hold; batch size [n].
        test: Samples that no player holds; measured against, never learned from.
    """

    name: str
    space: Space
    train: Samples
    test: Samples

    def __post_init__(self) -> None:
        for split, samples in (("train", self.train), ("test", self.test)):
            self.space.check(samples, f"data set {self.name}, {split} split", complete=True)
        if not len(self.train):
            raise DataError(f"data set {self.name} has no training samples")

    @property
    def classes(self) -> int:
        """Number of classes; 0 where the source has none."""
        return (self.space[LABEL].classes or 0) if LABEL in self.space else 0

    @property
    def inputs(self) -> list[str]:
        """All variables but the class."""
        return [name for name in self.space if name != LABEL]


class Source(Component):
    """Where data come from."""

    @abstractmethod
    def load(self) -> Dataset:
        """Read the data; the same settings always give the same samples in the same order.

        Raises:
            DataError: A file is missing or broken; the message names it and says what was expected.
            SpaceError: Values are NaN or out of range.
        """


def labelled_images(
    name: str, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], threshold: float | None
) -> Dataset:
    """A data set of grey images with classes.

    Args:
        name: The data set's name.
        train: Images of shape (n, H, W) in [0, 1] and classes of shape (n,).
        test: The same.
        threshold: Grey value from which a pixel is 1; None keeps grey values.
    """
    shape = tuple(train[0].shape[1:])
    image = (
        Variable(kind="binary", shape=shape)
        if threshold is not None
        else Variable(kind="real", shape=shape, low=0, high=1)
    )
    classes = max(2, int(max(train[1].max(), test[1].max())) + 1)
    space = Space({"image": image, LABEL: Variable(kind="categorical", classes=classes)})

    def bind(images: Tensor, labels: Tensor) -> Samples:
        values = (images >= threshold).to(torch.uint8) if threshold is not None else images.float()
        return space.samples(**{"image": values, LABEL: labels.long()})

    return Dataset(name, space, bind(*train), bind(*test))
