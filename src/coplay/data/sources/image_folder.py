"""A folder of picture files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from pydantic import Field, PositiveInt

from coplay.core.errors import DataError
from coplay.core.temporary import temporary_folder
from coplay.core.variable import Variable
from coplay.data.pictures import read_pictures
from coplay.data.sources.base import (
    LABEL,
    Dataset,
    Source,
    SplitRows,
    held_out,
    labelled_images,
    missing,
)
from coplay.data.words import some

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
"""Endings of pictures."""


class ImageFolder(Source):
    """A folder of pictures, in one sub-folder per class or without classes.

    With both ``train/`` and ``test/`` in it, the folder is read from these two only; otherwise a
    share of the pictures is held out for testing. Inside, either every class is a sub-folder, or
    the pictures lie side by side and have no class. Classes keep the names of their folders and are
    numbered in natural order (``item2`` before ``item10``). Pictures end in png, jpg, jpeg, bmp,
    gif, tif, tiff or webp; other files are left alone and counted in a note, hidden ones left
    alone. Photographs are turned as their EXIF data say, and transparency is dropped.

    Values have 8, 16 or 32 bits, or are floats in [0, 1]. How many bits of 16 or 32 are used is
    guessed from the largest value and noted, unless ``white`` says it.

    Args:
        folder: The folder of the pictures.
        size: Height and width to scale to, whatever the proportions were; without it all pictures
            must have one size.
        colour: Keep colours, as real values of shape 3×height×width in [0, 1]; otherwise pictures
            become grey.
        test_share: Share of the pictures that is held out for testing where there are no ``train/``
            and ``test/``.
        threshold: Grey value in (0, 1] from which a pixel is 1; colours are kept.
        grey: Keep grey values in [0, 1] instead of binary pixels.
        white: The value of a white pixel, such as 4095 for 12 bits in files of 16.

    Example:
        >>> ImageFolder.tiny().load().space
        Space(image: binary 6×5, class: categorical of 2 scalar)
    """

    folder: str
    size: tuple[PositiveInt, PositiveInt] | None = None
    colour: bool = False
    test_share: float = Field(default=0.2, gt=0, lt=1)
    threshold: float = Field(default=0.5, gt=0, le=1)
    grey: bool = False
    white: float | None = Field(default=None, gt=0)

    paths: ClassVar[tuple[str, ...]] = ("folder",)

    def load(self) -> Dataset:
        """Read every picture."""
        return self._load(())

    def loaded_as(self, agreed: Mapping[str, Variable], unit: str | None = None) -> Dataset:
        """Read every picture; folders are allowed that have pictures of one class only."""
        if unit is not None:
            return super().loaded_as(agreed, unit)  # which says that there is none
        return self._load(agreed[LABEL].class_names if LABEL in agreed else ())

    def _load(self, known: Sequence[str]) -> Dataset:
        folder = Path(self.folder).expanduser()
        if not folder.is_dir():
            raise missing("folder", folder)
        roots = [folder]
        if {"train", "test"} <= {path.name for path in _folders(folder)}:
            roots = [folder / "train", folder / "test"]
        splits = [_find(root) for root in roots]
        if len(splits) == 2:
            _check_classes(splits, folder)
        listed = list(chain(*splits))
        openers = ((str(file.relative_to(folder)), _opener(file)) for file, _ in listed)
        pictures = read_pictures(openers, self.size, self.colour, str(folder))
        if len(splits) == 2:
            train, test = np.split(np.arange(len(listed)), [len(splits[0])])
        else:
            positions = held_out(len(listed), self.test_share, str(folder))
            train, test = (indices.numpy() for indices in positions)
        labels: list[np.ndarray | None] = [None, None]
        classes = np.array([name for _, name in listed])
        if classes[0]:
            labels = [classes[train], classes[test]]
        images = pictures.values
        names = [str(file) for file, _ in listed]
        data = labelled_images(
            folder.resolve().name,
            (images[train], labels[0]),
            (images[test], labels[1]),
            None if self.grey else self.threshold,
            white=self.white,
            largest=pictures.largest,
            notes=[*_left_alone(folder, roots), *pictures.notes],
            classes=known,
        )
        rows = tuple(SplitRows(partial(_place, names, places)) for places in (train, test))
        return replace(data, rows=(rows[0], rows[1]), shares_rows=len(splits) == 1)

    @classmethod
    def tiny(cls) -> Self:
        """Write a few noise pictures of two classes into a temporary folder."""
        folder = temporary_folder("images")
        write_noise(folder)
        return cls(folder=str(folder))


def write_noise(folder: Path) -> None:
    """Write ten noise pictures of each of the classes ``left`` and ``right``.

    Args:
        folder: The folder to put the class folders into.
    """
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("left", "right"):
        (folder / name).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(rng.integers(0, 256, (6, 5), np.uint8)).save(folder / name / f"{i}.png")


def _place(names: Sequence[str], places: np.ndarray, row: int) -> str:
    """Return the file of a picture of a split."""
    return names[int(places[row])]


def _opener(file: Path) -> Callable[[], Image]:
    """Return a function that opens a picture; Pillow is imported only where pictures are read."""
    from PIL import Image

    return partial(Image.open, file)


def _visible(folder: Path) -> list[Path]:
    """List what is in a folder, sorted, without hidden files and folders."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _folders(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.is_dir()]


def _pictures(folder: Path) -> list[Path]:
    files = [path for path in _visible(folder) if path.suffix.lower() in ENDINGS]
    return [path for path in files if path.is_file()]


def _left_alone(folder: Path, roots: list[Path]) -> list[str]:
    """Say which folders and files beside the pictures are not read."""
    others = []
    if roots != [folder]:
        others = [path for path in _visible(folder) if path not in roots]
    for root in roots:
        for place in (root, *_folders(root)):
            files = [path for path in _visible(place) if not path.is_dir()]
            others += [path for path in files if path.suffix.lower() not in ENDINGS]
    if not others:
        return []
    names = some([f"{path.relative_to(folder)}{'/' * path.is_dir()}" for path in others])
    return [f"not read, since no pictures of a split: {names}"]


def _find(folder: Path) -> list[tuple[Path, str]]:
    """List every picture of a split with the name of its class, which is empty without classes."""
    inner = _folders(folder)
    loose = _pictures(folder)
    if inner and loose:
        raise DataError(
            f"{folder}: expected either pictures or one sub-folder a class, got both "
            f"({loose[0].name} beside {inner[0].name}/); put the pictures into class folders"
        )
    if [path.name for path in inner] in (["train"], ["test"]):
        raise DataError(
            f"{folder}: expected both train/ and test/, got {inner[0].name}/ only; "
            f"set folder to {inner[0]} to hold some of its pictures out"
        )
    for path in inner:
        deeper = _folders(path)
        if deeper:
            raise DataError(
                f"{path}: expected pictures of the class {path.name}, got the folder "
                f"{deeper[0].name}/; classes are one level of folders, with train/ and test/ above "
                "them or not"
            )
        if not _pictures(path):
            raise DataError(
                f"{path}: expected pictures ({', '.join(ENDINGS)}), got none; "
                "fill or remove this class"
            )
    pictures = [(file, "") for file in loose]
    for path in inner:
        pictures += [(file, path.name) for file in _pictures(path)]
    if not pictures:
        raise DataError(
            f"{folder}: expected pictures ({', '.join(ENDINGS)}) or one sub-folder a class, "
            "got none"
        )
    return pictures


def _check_classes(splits: list[list[tuple[Path, str]]], folder: Path) -> None:
    """Check that the test split has no class of its own: it would shift the others' numbers."""
    train = {name for _, name in splits[0]}
    test = {name for _, name in splits[1]}
    if ("" in train) != ("" in test):
        raise DataError(
            f"{folder}: expected class folders in both train/ and test/ or in neither, "
            "got them in one"
        )
    unknown = sorted(test - train)
    if unknown:
        raise DataError(
            f"{folder}: test/ has a class {unknown[0]} that train/ lacks; "
            f"train/ has {', '.join(sorted(train))}"
        )
