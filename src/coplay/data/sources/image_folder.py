"""A folder of picture files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import Field, PositiveInt

from coplay.core.errors import DataError
from coplay.data.sources.base import (
    Dataset,
    Source,
    held_out,
    labelled_images,
    missing,
    numbered,
    read_pictures,
)

if TYPE_CHECKING:
    from PIL.Image import Image

_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


class ImageFolder(Source):
    """A folder of pictures, in one sub-folder a class or without classes, with or without ``train/`` and ``test/``.

    With both ``train/`` and ``test/`` in it, the folder is read from these two only; otherwise a share of the pictures is
    held out for testing. Inside, either every class is a sub-folder, numbered in sorted order of names, or the pictures
    lie side by side and have no class. Pictures end in png, jpg, jpeg, bmp, gif, tif, tiff or webp; other files and
    hidden ones are left alone. Photographs are turned as their EXIF data say, and transparency is dropped.

    Args:
        folder: Where the pictures lie.
        size: Height and width to scale to, whatever the proportions were; without it all pictures must have one size.
        colour: Keep colours, as real values of shape 3×height×width in [0, 1]; otherwise pictures become grey.
        test_share: Share of the pictures that is held out for testing where there are no ``train/`` and ``test/``.
        threshold: Grey value in (0, 1] from which a pixel is 1; colours are kept.
        grey: Keep grey values in [0, 1] instead of binary pixels.

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

    def load(self) -> Dataset:
        """Read every picture."""
        folder = Path(self.folder).expanduser()
        if not folder.is_dir():
            raise missing("folder", folder)
        if {"train", "test"} <= {path.name for path in _folders(folder)}:
            splits = [_find(folder / "train"), _find(folder / "test")]
            _same_classes(splits, folder)
        else:
            splits = [_find(folder)]
        files = [file for split in splits for file, _ in split]
        classes = np.array([name for split in splits for _, name in split])
        images = read_pictures(
            ((str(file.relative_to(folder)), _opener(file)) for file in files),
            self.size,
            self.colour,
            str(folder),
        )
        if len(splits) == 2:
            keep, held = np.split(np.arange(len(files)), [len(splits[0])])
        else:
            keep, held = (
                part.numpy() for part in held_out(len(files), self.test_share, str(folder))
            )
        labels = numbered(classes[keep], classes[held], str(folder)) if classes[0] else (None, None)
        return labelled_images(
            folder.resolve().name,
            (images[keep], labels[0]),
            (images[held], labels[1]),
            None if self.grey else self.threshold,
        )

    @classmethod
    def tiny(cls) -> Self:
        """A few noise pictures of two classes in a temporary folder."""
        import tempfile

        folder = Path(tempfile.mkdtemp(prefix="coplay-images-"))
        write_noise(folder)
        return cls(folder=str(folder))


def write_noise(folder: Path) -> None:
    """Write ten noise pictures of each of the classes ``left`` and ``right``.

    Args:
        folder: Where the class folders shall lie.
    """
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("left", "right"):
        (folder / name).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(rng.integers(0, 256, (6, 5), np.uint8)).save(folder / name / f"{i}.png")


def _opener(file: Path) -> Callable[[], Image]:
    from PIL import Image

    return partial(Image.open, file)


def _folders(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in _ENDINGS and not path.name.startswith(".") and path.is_file()
    )


def _find(folder: Path) -> list[tuple[Path, str]]:
    """Every picture of a split with the name of its class, which is empty where there are no classes."""
    inner, loose = _folders(folder), _pictures(folder)
    if inner and loose:
        raise DataError(
            f"{folder}: expected either pictures or one sub-folder a class, got both ({loose[0].name} beside "
            f"{inner[0].name}/); put the pictures into class folders"
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
                f"{path}: expected pictures of the class {path.name}, got the folder {deeper[0].name}/; classes are one "
                "level of folders, with train/ and test/ above them or not"
            )
        if not _pictures(path):
            raise DataError(
                f"{path}: expected pictures ({', '.join(_ENDINGS)}), got none; fill or remove this class"
            )
    found = [(file, "") for file in loose] + [
        (file, path.name) for path in inner for file in _pictures(path)
    ]
    if not found:
        raise DataError(
            f"{folder}: expected pictures ({', '.join(_ENDINGS)}) or one sub-folder a class, got none"
        )
    return found


def _same_classes(splits: list[list[tuple[Path, str]]], folder: Path) -> None:
    """A class that only the test split knows would shift the numbers of the others."""
    train, test = ({name for _, name in split} for split in splits)
    if ("" in train) != ("" in test):
        raise DataError(
            f"{folder}: expected class folders in both train/ and test/ or in neither, got them in one"
        )
    unknown = sorted(test - train)
    if unknown:
        raise DataError(
            f"{folder}: test/ has a class {unknown[0]} that train/ lacks; train/ has {', '.join(sorted(train))}"
        )
