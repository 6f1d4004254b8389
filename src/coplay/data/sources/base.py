"""The contract of a source: load a real data set with a space, a training and a test split."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from coplay.core.components import Component
from coplay.core.errors import DataError
from coplay.core.space import LABEL as LABEL  # the name that callers of this contract use
from coplay.core.space import Samples, Space, Variable
from coplay.core.streams import stream

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Dataset:
    """A real data set.

    Args:
        name: What reports must call it.
        space: All variables, the class included if there is one.
        train: Samples that players may hold; batch size [n].
        test: Samples that no player holds; measured against, never learned from.
    """

    name: str
    space: Space
    train: Samples
    test: Samples

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


Column = tuple[Variable, Tensor, Tensor]
"""A variable with its values in the training and in the test split."""


def assemble(name: str, columns: Mapping[str, Column]) -> Dataset:
    """Make a data set of columns.

    Args:
        name: The data set's name.
        columns: Variables by name, each with its training and its test values.
    """
    variables: dict[str, Variable] = {}
    train: dict[str, Tensor] = {}
    test: dict[str, Tensor] = {}
    for key, (variable, train_values, test_values) in columns.items():
        variables[key] = variable
        train[key] = train_values
        test[key] = test_values
    space = Space(variables)
    return Dataset(name, space, space.samples(**train), space.samples(**test))


def labelled_images(
    name: str,
    train: tuple[Tensor, Tensor | None],
    test: tuple[Tensor, Tensor | None],
    threshold: float | None,
) -> Dataset:
    """Make a data set of images, with classes if both splits have them.

    Args:
        name: The data set's name.
        train: Images of shape (n, H, W) or (n, 3, H, W), bytes or in [0, 1], and classes of shape
            (n,) or None.
        test: Images and classes of the test split, of the same form.
        threshold: Grey value from which a pixel is 1; None keeps grey values. Colours are always
            kept.
    """
    train_images, train_labels = train
    test_images, test_labels = test
    columns = {"image": image_column(train_images, test_images, threshold, name)}
    if train_labels is not None and test_labels is not None:
        columns[LABEL] = class_column(train_labels, test_labels, name)
    return assemble(name, columns)


def array_column(variable: Variable, train: np.ndarray, test: np.ndarray) -> Column:
    """Convert arrays to the values of a variable, in the type that it is stored as.

    Args:
        variable: The variable whose values they are.
        train: Values of the training split, shape (n, …).
        test: Values of the test split, shape (n, …).
    """
    kind = str(variable.dtypes[0]).removeprefix("torch.")
    # the space reports values that become infinite in 32 bits
    with np.errstate(over="ignore"):
        train_values = torch.from_numpy(train.astype(kind))
        test_values = torch.from_numpy(test.astype(kind))
    return variable, train_values, test_values


def image_column(train: Tensor, test: Tensor, threshold: float | None, origin: str) -> Column:
    """Convert images to a variable: binary or real in [0, 1] for grey ones, real for colour ones.

    Args:
        train: Shape (n, H, W) or (n, 3, H, W), bytes or floats in [0, 1].
        test: Images of the test split, of the same form.
        threshold: Grey value from which a pixel is 1; None keeps grey values.
        origin: What errors call the data.

    Raises:
        DataError: The images of the two splits differ in shape.
    """
    shape = tuple(train.shape[1:])
    test_shape = tuple(test.shape[1:])
    if shape != test_shape:
        raise DataError(
            f"{origin}: training images are {shape}, test images {test_shape}; expected one shape"
        )
    if threshold is not None and len(shape) == 2:
        binary = Variable(kind="binary", shape=shape)
        return binary, _thresholded(train, threshold), _thresholded(test, threshold)
    return Variable(kind="real", shape=shape, low=0, high=1), _in_unit(train), _in_unit(test)


def _in_unit(images: Tensor) -> Tensor:
    """Return images as floats in [0, 1]."""
    if images.dtype == torch.uint8:
        return images.float() / 255
    return images.float()


def _thresholded(images: Tensor, threshold: float) -> Tensor:
    """Return 1 for every pixel from the threshold on, 0 for the others, as bytes."""
    if images.dtype != torch.uint8:
        return (images >= threshold).to(torch.uint8)
    # compare bytes with the lowest byte that passes: the same bits as after division, in a quarter
    # of the memory
    passing_bytes = int((_in_unit(torch.arange(256, dtype=torch.uint8)) >= threshold).sum())
    return (images >= 256 - passing_bytes).to(torch.uint8)


def class_column(train: Tensor, test: Tensor, origin: str, classes: int = 2) -> Column:
    """Convert classes to a categorical variable.

    Args:
        train: Classes of the training split, shape (n,), whole numbers from 0.
        test: Classes of the test split, shape (n,).
        origin: What errors call the data.
        classes: Smallest number of classes, for a source that knows classes without samples.

    Raises:
        DataError: A class is negative.
    """
    lowest = int(min(train.min(), test.min()))
    if lowest < 0:
        raise DataError(
            f"{origin}: expected classes numbered from 0, got {lowest}; give every sample its class"
        )
    classes = max(2, classes, int(max(train.max(), test.max())) + 1)
    return Variable(kind="categorical", classes=classes), train.long(), test.long()


def numbered(train: np.ndarray, test: np.ndarray, origin: str) -> tuple[Tensor, Tensor]:
    """Convert classes to numbers: whole numbers stay, texts are numbered in sorted order.

    Args:
        train: Classes of the training split, shape (n,) or (n, 1).
        test: Classes of the test split, shape (n,) or (n, 1).
        origin: What errors call the data.

    Raises:
        DataError: The classes have another type or shape.

    Example:
        >>> numbered(np.array(["dog", "cat"]), np.array(["dog"]), "pets")
        (tensor([1, 0]), tensor([1]))
    """
    kinds = "U" if train.dtype.kind == "U" else "iub"
    for values in (train, test):
        if values.dtype.kind not in kinds or values.shape not in ((len(values),), (len(values), 1)):
            raise DataError(
                f"{origin}: expected one class a sample, all whole numbers or all texts, got "
                f"{values.dtype} of shape {tuple(values.shape)}"
            )
    classes = [train.reshape(-1), test.reshape(-1)]
    if kinds == "U":
        # both splits together, so that a text has one number in both
        _, numbers = np.unique(np.concatenate(classes), return_inverse=True)
        classes = np.split(numbers, [len(train)])
    train_classes, test_classes = (torch.from_numpy(c.astype(np.int64)) for c in classes)
    return train_classes, test_classes


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


def read_pictures(
    named: Iterable[tuple[str, Callable[[], Image]]],
    size: tuple[int, int] | None,
    colour: bool,
    origin: str,
) -> Tensor:
    """Decode pictures to bytes of shape (n, H, W), or (n, 3, H, W) in colour.

    Pictures are turned as their EXIF data say. Transparency is dropped, and of several frames only
    the first is read.

    Args:
        named: What errors call a picture, and how to open it.
        size: Height and width to scale to; None requires that all pictures have one size.
        colour: Whether to keep colours.
        origin: What errors call the data.

    Raises:
        DataError: Pictures cannot be read, differ in size, or there are none.
    """
    count = 0
    first = ""
    reason = ""
    pixels: list[np.ndarray] = []
    broken: list[str] = []
    for name, open_picture in named:
        count += 1
        try:
            with open_picture() as picture:
                array = _pixels(picture, size, colour)
        except Exception as error:  # each of Pillow's readers fails in its own way
            broken.append(name)
            reason = reason or f"{type(error).__name__}: {error}"
            continue
        first = first or name
        if pixels and array.shape != pixels[0].shape:
            height, width = pixels[0].shape[-2:]
            other_height, other_width = array.shape[-2:]
            raise DataError(
                f"{origin}: expected pictures of one size, got {first} of {height}×{width} and "
                f"{name} of {other_height}×{other_width} (height×width); "
                "set size = [height, width] to scale them"
            )
        pixels.append(array)
    if broken:
        listed = ", ".join(broken[:5])
        if len(broken) > 5:
            listed += f" and {len(broken) - 5} more"
        raise DataError(
            f"{origin}: cannot read {len(broken)} of {count} pictures: {listed} "
            f"(the first: {reason}); repair or remove them"
        )
    if not pixels:
        raise DataError(f"{origin}: expected pictures, got none")
    return torch.from_numpy(np.stack(pixels))


def _pixels(picture: Image, size: tuple[int, int] | None, colour: bool) -> np.ndarray:
    """Return a picture's bytes, shape (H, W) or (3, H, W)."""
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16"):  # Pillow's own conversion would cut 16 bits off at 255
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits; save it with 8 or 16")
    picture = picture.convert("RGB" if colour else "L")
    if size is not None and picture.size != (size[1], size[0]):
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture)
    return pixels.transpose(2, 0, 1) if colour else pixels


def missing(kind: str, path: Path) -> DataError:
    """Return the error for a file or folder that does not exist.

    Args:
        kind: ``file`` or ``folder``.
        path: The path that was looked for.
    """
    return DataError(f"the {kind} {path} does not exist (looked for from {Path.cwd()})")
