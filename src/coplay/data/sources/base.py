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


Column = tuple[Variable, Tensor, Tensor]
"""A variable with its values in the training and in the test split."""


def assemble(name: str, columns: Mapping[str, Column]) -> Dataset:
    """A data set of columns.

    Args:
        name: The data set's name.
        columns: Variables by name, each with its training and its test values.
    """
    space = Space({key: variable for key, (variable, _, _) in columns.items()})
    train = space.samples(**{key: values for key, (_, values, _) in columns.items()})
    test = space.samples(**{key: values for key, (_, _, values) in columns.items()})
    return Dataset(name, space, train, test)


def labelled_images(
    name: str,
    train: tuple[Tensor, Tensor | None],
    test: tuple[Tensor, Tensor | None],
    threshold: float | None,
) -> Dataset:
    """A data set of images, with classes if both splits have them.

    Args:
        name: The data set's name.
        train: Images of shape (n, H, W) or (n, 3, H, W), bytes or in [0, 1], and classes of shape (n,).
        test: The same.
        threshold: Grey value from which a pixel is 1; None keeps grey values. Colours are always kept.
    """
    columns = {"image": image_column(train[0], test[0], threshold, name)}
    if train[1] is not None and test[1] is not None:
        columns[LABEL] = class_column(train[1], test[1], name)
    return assemble(name, columns)


def array_column(variable: Variable, train: np.ndarray, test: np.ndarray) -> Column:
    """Arrays as the values of a variable, in the type that it is stored as.

    Args:
        variable: What they hold.
        train: Shape (n, ...).
        test: The same.
    """
    kind = str(variable.dtypes[0]).removeprefix("torch.")
    with np.errstate(over="ignore"):  # the space reports what becomes infinite in 32 bits
        return variable, torch.from_numpy(train.astype(kind)), torch.from_numpy(test.astype(kind))


def image_column(train: Tensor, test: Tensor, threshold: float | None, origin: str) -> Column:
    """Images as a variable: grey ones binary by ``threshold`` or real in [0, 1], colour ones always real.

    Args:
        train: Shape (n, H, W) or (n, 3, H, W), bytes or floats in [0, 1].
        test: The same.
        threshold: Grey value from which a pixel is 1; None keeps grey values.
        origin: What errors call the data.
    """
    shape = tuple(train.shape[1:])
    if shape != tuple(test.shape[1:]):
        raise DataError(
            f"{origin}: training images are {shape}, test images {tuple(test.shape[1:])}; expected one shape"
        )
    if threshold is not None and len(shape) == 2:
        return Variable(kind="binary", shape=shape), _bits(train, threshold), _bits(test, threshold)
    return Variable(kind="real", shape=shape, low=0, high=1), _unit(train), _unit(test)


def _unit(images: Tensor) -> Tensor:
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


def _bits(images: Tensor, threshold: float) -> Tensor:
    if images.dtype != torch.uint8:
        return (images >= threshold).to(torch.uint8)
    # compare bytes with the lowest byte that passes: the same bits as after division, in a quarter of the memory
    passed = int((_unit(torch.arange(256, dtype=torch.uint8)) >= threshold).sum())
    return (images >= 256 - passed).to(torch.uint8)


def class_column(train: Tensor, test: Tensor, origin: str, classes: int = 2) -> Column:
    """Numbers of classes as a categorical variable.

    Args:
        train: Shape (n,), whole numbers from 0.
        test: The same.
        origin: What errors call the data.
        classes: How many classes there are at least.
    """
    lowest = int(min(train.min(), test.min()))
    if lowest < 0:
        raise DataError(
            f"{origin}: expected classes numbered from 0, got {lowest}; give every sample its class"
        )
    classes = max(2, classes, int(max(train.max(), test.max())) + 1)
    return Variable(kind="categorical", classes=classes), train.long(), test.long()


def numbered(train: np.ndarray, test: np.ndarray, origin: str) -> tuple[Tensor, Tensor]:
    """Classes as numbers: whole numbers stay, texts are numbered in sorted order.

    Args:
        train: Shape (n,) or (n, 1).
        test: The same.
        origin: What errors call the data.

    Example:
        >>> numbered(np.array(["dog", "cat"]), np.array(["dog"]), "pets")
        (tensor([1, 0]), tensor([1]))
    """
    kinds = "U" if train.dtype.kind == "U" else "iub"
    for values in (train, test):
        if values.dtype.kind not in kinds or values.shape not in ((len(values),), (len(values), 1)):
            raise DataError(
                f"{origin}: expected one class a sample, all whole numbers or all texts, got {values.dtype} of shape "
                f"{tuple(values.shape)}"
            )
    train, test = train.reshape(-1), test.reshape(-1)
    if kinds != "U":
        return torch.from_numpy(train.astype(np.int64)), torch.from_numpy(test.astype(np.int64))
    numbers = torch.from_numpy(
        np.unique(np.concatenate([train, test]), return_inverse=True)[1].astype(np.int64)
    )
    return numbers[: len(train)], numbers[len(train) :]


def held_out(n: int, share: float, origin: str) -> tuple[Tensor, Tensor]:
    """Positions of the training and of the test samples where a source has no test split: the same at every call.

    Args:
        n: Number of samples.
        share: Share of them to test on; at least one sample goes to each side.
        origin: What errors call the data.

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
    held = min(n - 1, max(1, round(n * share)))
    return order[held:].sort().values, order[:held].sort().values


def read_pictures(
    named: Iterable[tuple[str, Callable[[], Image]]],
    size: tuple[int, int] | None,
    colour: bool,
    origin: str,
) -> Tensor:
    """Decode pictures to bytes of shape (n, H, W), or (n, 3, H, W) in colour.

    Turned as their EXIF data say. Transparency is dropped; of several frames the first counts.

    Args:
        named: What errors call a picture, and how to open it.
        size: Height and width to scale to; None wants all pictures of one size.
        colour: Whether to keep colours.
        origin: What errors call the data.
    """
    first, why, count = "", "", 0
    pixels: list[np.ndarray] = []
    broken: list[str] = []
    for name, open_picture in named:
        count += 1
        try:
            with open_picture() as picture:
                array = _pixels(picture, size, colour)
        except Exception as error:  # each of Pillow's readers fails in its own way
            broken.append(name)
            why = why or f"{type(error).__name__}: {error}"
            continue
        first = first or name
        if pixels and array.shape != pixels[0].shape:
            (height, width), (other_height, other_width) = pixels[0].shape[-2:], array.shape[-2:]
            raise DataError(
                f"{origin}: expected pictures of one size, got {first} of {height}×{width} and {name} of "
                f"{other_height}×{other_width} (height×width); set size = [height, width] to scale them"
            )
        pixels.append(array)
    if broken:
        listed = ", ".join(broken[:5]) + (f" and {len(broken) - 5} more" if len(broken) > 5 else "")
        raise DataError(
            f"{origin}: cannot read {len(broken)} of {count} pictures: {listed} (the first: {why}); "
            "repair or remove them"
        )
    if not pixels:
        raise DataError(f"{origin}: expected pictures, got none")
    return torch.from_numpy(np.stack(pixels))


def _pixels(picture: Image, size: tuple[int, int] | None, colour: bool) -> np.ndarray:
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
    """The error for a file or folder that does not exist.

    Args:
        kind: ``file`` or ``folder``.
        path: What was looked for.
    """
    return DataError(f"the {kind} {path} does not exist (looked for from {Path.cwd()})")
