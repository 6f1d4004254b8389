"""Folders of IDX files, the format of MNIST, Fashion-MNIST and similar data sets."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from coplay.core.errors import DataError
from coplay.core.temporary import temporary_folder
from coplay.data.pictures import scaled_to_unit, white_value
from coplay.data.sources.base import Dataset, Source, labelled_images, missing

_FILES = {"train": "train", "test": "t10k"}


class Idx(Source):
    """A folder of four IDX files: images and labels, for training and for testing.

    The files are ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and the same for
    ``t10k``, gzipped or not.

    Args:
        folder: The folder of the four files.
        threshold: Grey value in (0, 1] from which a pixel is 1. 0.4375 is the paper's for MNIST.
        grey: Keep grey values in [0, 1] instead of binary pixels.
        white: The value of a white pixel; without it 255, or 1 where there are only 0 and 1.
        halved: Each 2×2 pixels become one, their mean, before the threshold: a quarter of the work
            for a trial.

    Example:
        >>> Idx(folder="no/such/place").load()
        Traceback (most recent call last):
        coplay.core.errors.DataError: the folder no/such/place does not exist (looked for from ...)
    """

    folder: str
    threshold: float = Field(default=0.4375, gt=0, le=1)
    grey: bool = False
    white: float | None = Field(default=None, gt=0, le=255)
    halved: bool = False

    paths: ClassVar[tuple[str, ...]] = ("folder",)

    def load(self) -> Dataset:
        """Read and check the four files."""
        splits = [self._split(_FILES[split]) for split in ("train", "test")]
        images = [images for images, _ in splits]
        shapes = [tuple(each.shape[1:]) for each in images]
        if shapes[0] != shapes[1]:
            raise DataError(
                f"{self.folder}: training images are {shapes[0]}, test images {shapes[1]}"
            )
        # both splits together, and before pixels are averaged
        white, notes = white_value(images, self.folder, self.white)
        train, test = ((self._grey(images, white), labels) for images, labels in splits)
        name = Path(self.folder).expanduser().name or self.folder
        threshold = None if self.grey else self.threshold
        return labelled_images(name, train, test, threshold, notes=notes)

    def _split(self, prefix: str) -> tuple[np.ndarray, np.ndarray]:
        """Read the images of a split, as bytes, and its labels."""
        images = self._read(f"{prefix}-images-idx3-ubyte", 3)
        labels = self._read(f"{prefix}-labels-idx1-ubyte", 1)
        if len(images) != len(labels):
            raise DataError(
                f"{self.folder}: {len(images)} {prefix} images but {len(labels)} labels"
            )
        return images, labels

    def _grey(self, images: np.ndarray, white: float) -> Tensor:
        """Return images in [0, 1], halved if ``halved`` is set."""
        grey = scaled_to_unit(images, white)
        if not self.halved:
            return grey
        height, width = images.shape[1:]
        if height % 2 or width % 2:
            raise DataError(
                f"{self.folder}: halved needs even sides, the images are {height}×{width}"
            )
        return F.avg_pool2d(grey[:, None], 2)[:, 0]

    def _read(self, name: str, axes: int) -> np.ndarray:
        """Read one file, gzipped or not, whose array must have so many axes."""
        path = self._existing(name)
        try:
            content = path.read_bytes()
            if path.suffix == ".gz":
                content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"cannot read {path}: {error}") from error
        # two zero bytes, 8 for unsigned bytes, the number of axes, and four bytes for each length
        head = 4 + 4 * axes
        if len(content) < head or content[:4] != bytes([0, 0, 8, axes]):
            raise DataError(
                f"{path} is no IDX file of {axes}-dimensional bytes "
                f"(begins with {content[:4].hex()})"
            )
        shape = struct.unpack(f">{axes}I", content[4:head])
        if len(content) - head != int(np.prod(shape)):
            raise DataError(
                f"{path} promises {shape} bytes and holds {len(content) - head}; "
                "it is damaged or cut off"
            )
        if not shape[0]:
            raise DataError(f"{path} is a valid file that holds nothing")
        return np.frombuffer(content, np.uint8, offset=head).reshape(shape).copy()

    def _existing(self, name: str) -> Path:
        """Return the path of a file, which may end in ``.gz``."""
        folder = Path(self.folder).expanduser()
        if not folder.is_dir():
            raise missing("folder", folder)
        for path in (folder / name, folder / f"{name}.gz"):
            if path.exists():
                return path
        raise DataError(
            f"no file {name} or {name}.gz in {folder}; an IDX folder has images and labels of the "
            "splits train and t10k"
        )

    @classmethod
    def tiny(cls) -> Self:
        """Write a few noise images in MNIST's format into a temporary folder."""
        folder = temporary_folder("idx")
        rng = np.random.default_rng(0)
        for prefix in _FILES.values():
            images = rng.integers(0, 256, (20, 6, 6), dtype=np.uint8)
            write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
            write_idx(folder / f"{prefix}-labels-idx1-ubyte", (np.arange(20) % 4).astype(np.uint8))
        return cls(folder=str(folder))


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write bytes as an IDX file, gzipped if the name ends in ``.gz``.

    Args:
        path: File to write.
        array: Type uint8, any number of axes.
    """
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    content = bytes([0, 0, 8, array.ndim]) + shape + array.tobytes()
    if path.suffix == ".gz":
        content = gzip.compress(content)
    path.write_bytes(content)
