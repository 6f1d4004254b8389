"""One ``.npz`` file of numpy arrays, as Keras's data sets and tables saved with ``numpy.savez``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from coplay.core.errors import DataError
from coplay.core.temporary import temporary_folder
from coplay.core.variable import Variable
from coplay.data.classes import class_column
from coplay.data.column import Column, array_column, real_column
from coplay.data.pictures import image_column
from coplay.data.sources.base import (
    LABEL,
    Dataset,
    Source,
    SplitRows,
    assemble,
    held_out,
    missing,
)
from coplay.data.tables.formats import ENDINGS
from coplay.data.words import some

_UNIT = "\0unit"  # no array is called so

_SETTINGS = ("x_train", "y_train", "x_test", "y_test")


class Npz(Source):
    """One ``.npz`` file of numpy arrays.

    The arrays are ``x_train``, ``y_train``, ``x_test`` and ``y_test``, or ``train/NAME`` and
    ``test/NAME`` for each variable.

    The arrays' types say what they hold; the first axis counts the samples. Three or more axes are
    images: whole numbers, floats in [0, 1] or bools, of shape (n, H, W), (n, H, W, 1),
    (n, 1, H, W), or in colour (n, H, W, 3) or (n, 3, H, W), where the last axis is looked at first.
    Which value is white is said by ``white`` or goes by the largest one. With one or two axes,
    floats are real (with 32 bits, or 64 where they need them), whole numbers counts, bools binary;
    texts, of one axis, categorical in natural order. ``y_train`` or ``train/class``, of whole
    numbers or texts, is the class: the classes are the labels that occur. Other arrays in the file
    are not read; a note names them.

    Args:
        file: Path of the file.
        x_train: Array of the training samples; the variable is called ``image``, or ``x`` if it is
            no image.
        y_train: Array of their classes; may be absent.
        x_test: Array of the test samples; without it, some training samples are held out.
        y_test: Array of their classes.
        test_share: Share of the samples that is held out for testing where the file has no test
            samples.
        threshold: Grey value in (0, 1] from which a pixel is 1; colours are kept.
        grey: Keep grey values in [0, 1] instead of binary pixels.
        white: The value of a white pixel, such as 4095 for images of 12 bits.

    Example:
        >>> Npz.tiny().load().space
        Space(image: binary 6×6, class: categorical of 4 scalar)
    """

    file: str
    x_train: str = "x_train"
    y_train: str = "y_train"
    x_test: str = "x_test"
    y_test: str = "y_test"
    test_share: float = Field(default=0.2, gt=0, lt=1)
    threshold: float = Field(default=0.5, gt=0, le=1)
    grey: bool = False
    white: float | None = Field(default=None, gt=0)

    paths: ClassVar[tuple[str, ...]] = ("file",)

    def load(self) -> Dataset:
        """Read and check the arrays; pickles are never opened."""
        return self._load({}, None)

    def loaded_as(self, agreed: Mapping[str, Variable], unit: str | None = None) -> Dataset:
        """Read the arrays; texts may be of one category only.

        The units are the array ``unit``, or ``train/unit`` and ``test/unit``, for training and test
        samples; it is no variable.
        """
        return self._load(agreed, unit)

    def _load(self, agreed: Mapping[str, Variable], unit: str | None) -> Dataset:
        path = Path(self.file).expanduser()
        names, arrays, notes = self._arrays(path, unit)
        shares_rows = len(next(iter(arrays.values()))) == 1
        pairs, places = self._splits(path, names, arrays)
        units = pairs.pop(_UNIT, None)
        columns = {}
        for name, (train, test) in pairs.items():
            known = agreed[name].class_names if name in agreed else ()
            origin = f"{path}, variable '{name}'"
            columns[name] = self._column(name, train, test, origin, known)
        data = assemble(path.stem, columns, notes)
        splits = []
        for i, split in enumerate(("training", "test")):
            words = "" if shares_rows else f"{split} "
            place = partial(_place, f"{path}, {words}sample", places[i])
            splits.append(SplitRows(place, None if units is None else units[i].astype(str)))
        return replace(data, rows=(splits[0], splits[1]), shares_rows=shares_rows)

    def _splits(
        self,
        path: Path,
        names: Mapping[str, tuple[str, ...]],
        arrays: dict[str, list[np.ndarray]],
    ) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], list[np.ndarray]]:
        """Return the training and the test values by variable, and their places in the file."""
        if "x" in names and names["x"][0] == self.x_train and arrays["x"][0].ndim > 2:
            # the image comes first, as x did: the order of variables is part of the space
            image = arrays.pop("x")
            arrays = {"image": image, **arrays}
        splits = len(next(iter(arrays.values())))
        for i, split in enumerate(("training", "test")[:splits]):
            lengths = {name: len(pair[i]) for name, pair in arrays.items()}
            if len(set(lengths.values())) > 1:
                listed = ", ".join(f"{length} of {name}" for name, length in lengths.items())
                raise DataError(
                    f"{path}: expected as many {split} samples everywhere, got {listed}"
                )
        if splits == 2:
            both = {name: (pair[0], pair[1]) for name, pair in arrays.items()}
            return both, [np.arange(len(pair)) for pair in next(iter(both.values()))]
        n = len(next(iter(arrays.values()))[0])
        train, test = (indices.numpy() for indices in held_out(n, self.test_share, str(path)))
        parts = {name: (pair[0][train], pair[0][test]) for name, pair in arrays.items()}
        return parts, [train, test]

    def _arrays(
        self, path: Path, unit: str | None
    ) -> tuple[dict[str, tuple[str, ...]], dict[str, list[np.ndarray]], list[str]]:
        """Return names and values of each variable's training and, if there are any, test array.

        The notes say which arrays are not read.
        """
        if not path.is_file():
            raise missing("file", path)
        try:
            content = np.load(path, allow_pickle=False)
        except Exception as error:  # numpy and zipfile fail in many ways
            kind = type(error).__name__
            if path.suffix.lower() in ENDINGS:
                raise DataError(
                    f'{path} is a table; load it with name = "table", file = "{path}"'
                ) from error
            raise DataError(
                f"{path} is no .npz file, or is damaged ({kind}); write it with numpy.savez"
            ) from error
        if isinstance(content, np.ndarray):
            raise DataError(
                f"{path} holds a single array; expected an .npz file with names, written by "
                "numpy.savez"
            )
        arrays = {}
        with content:
            present = list(content.files)
            of_units = _names_of_units(unit, present, path)
            names = self._names([name for name in present if name not in of_units], path)
            if of_units:
                names = {**names, _UNIT: of_units[: len(next(iter(names.values())))]}
            unread = set(content.files)
            for name, keys in names.items():
                arrays[name] = [_array(content, key, path) for key in keys]
                unread -= set(keys)
        notes = []
        if unread:
            notes.append(f"not read: the arrays {some(sorted(unread))}")
        return names, arrays, notes

    def _names(self, present: Sequence[str], path: Path) -> dict[str, tuple[str, ...]]:
        """Return the names of a variable's training array and, if the file has it, its test array.

        Args:
            present: Names of the arrays in the file.
            path: The file, for errors.
        """
        # not model_fields_set: a run folder's config sets every field, to its default too
        renamed = {name for name in _SETTINGS if getattr(self, name) != name}
        has_folders = any(name.startswith("train/") for name in present)
        if has_folders and not renamed and self.x_train not in present:
            return _names_in_folders(present, path)
        wanted = {"x_train", *renamed}
        if self.y_test in present:
            wanted.add("x_test")
        # with a test split, either both have classes or neither
        has_test = self.x_test in present
        has_classes = self.y_train in present
        if has_test and has_classes != (self.y_test in present):
            wanted |= {"y_train", "y_test"}
        for setting in _SETTINGS:
            array = getattr(self, setting)
            if setting in wanted and array not in present:
                raise DataError(
                    f"{path}: expected an array {array}, {_listed(present)}; set "
                    f"{' or '.join(_SETTINGS)} to the names in the file, or call the arrays "
                    "train/NAME and test/NAME"
                )
        names: dict[str, tuple[str, ...]] = {"x": (self.x_train,)}
        if has_classes:
            names[LABEL] = (self.y_train,)
        if has_test:
            names["x"] = (self.x_train, self.x_test)
        if has_test and has_classes:
            names[LABEL] = (self.y_train, self.y_test)
        return names

    def _column(
        self,
        name: str,
        train: np.ndarray,
        test: np.ndarray,
        origin: str,
        known: Sequence[str],
    ) -> Column:
        """Convert a variable's arrays by their type."""
        if name == LABEL:
            return class_column(train, test, origin, known=known)
        if train.ndim > 2:
            train = _channels_first(train, origin)
            test = _channels_first(test, origin)
        kinds = {array.dtype.kind.replace("u", "i") for array in (train, test)}
        if len(kinds) > 1 or train.shape[1:] != test.shape[1:]:
            raise DataError(
                f"{origin}: expected training and test values of one type and shape, got "
                f"{train.dtype} {train.shape[1:]} and {test.dtype} {test.shape[1:]}"
            )
        kind = kinds.pop()
        if train.ndim > 2 and kind in "bif":
            threshold = None if self.grey else self.threshold
            return image_column(train, test, threshold, origin, self.white, name=name)
        return _plain_column(name, kind, train, test, origin, known)

    @classmethod
    def tiny(cls) -> Self:
        """Write a few noise images into a temporary file, in the format of Keras's MNIST."""
        path = temporary_folder("npz") / "noise.npz"
        rng = np.random.default_rng(0)
        train = rng.integers(0, 256, (20, 6, 6), np.uint8)
        test = rng.integers(0, 256, (12, 6, 6), np.uint8)
        np.savez(
            path, x_train=train, y_train=np.arange(20) % 4, x_test=test, y_test=np.arange(12) % 4
        )
        return cls(file=str(path))


def _names_of_units(unit: str | None, present: Sequence[str], path: Path) -> tuple[str, ...]:
    """Return the names of the array of the units and, if there is one, of that of the test split.

    Raises:
        DataError: There is none.
    """
    if unit is None:
        return ()
    pairs = [(f"train/{unit}", f"test/{unit}"), (unit, unit.replace("train", "test"))]
    for train, test in pairs:
        if train in present and test in present and test != train:
            return train, test
        if train in present:
            return (train,)
    raise DataError(f"{path}: unit = {unit!r} is no array; {_listed(present)}")


def _place(sample: str, places: np.ndarray, row: int) -> str:
    """Write where a sample of a split stands."""
    return f"{sample} {int(places[row])} (from 0)"


def _names_in_folders(present: Sequence[str], path: Path) -> dict[str, tuple[str, ...]]:
    """Return the names of each variable's arrays where they are called train/NAME and test/NAME."""
    train = [name.removeprefix("train/") for name in present if name.startswith("train/")]
    test = [name.removeprefix("test/") for name in present if name.startswith("test/")]
    odd = sorted(set(train) ^ set(test))
    if test and odd:
        raise DataError(
            f"{path}: expected train/{odd[0]} and test/{odd[0]}, or no test arrays; "
            f"{_listed(present)}"
        )
    folders = ("train", "test") if test else ("train",)
    names: dict[str, tuple[str, ...]] = {}
    for name in train:
        names[name] = tuple(f"{folder}/{name}" for folder in folders)
    return names


def _listed(present: Sequence[str]) -> str:
    """Say which arrays a file holds, for errors."""
    return f"it holds {', '.join(present) or 'nothing'}"


def _array(content: Mapping[str, Any], key: str, path: Path) -> np.ndarray:
    """Read one array, and check that it holds samples."""
    try:
        array = content[key]
    except Exception as error:
        if "allow_pickle" in str(error):  # numpy has no class of its own for this
            raise DataError(
                f"{path}: array {key} holds Python objects, which are not opened because they may "
                "run code; save it with a plain type, such as float32"
            ) from error
        raise DataError(
            f"{path}: cannot read array {key} ({error}); the file is damaged or cut off"
        ) from error
    if not isinstance(array, np.ndarray) or not array.ndim or not array.size:
        raise DataError(
            f"{path}: expected array {key} to hold samples along its first axis, "
            f"got {np.shape(array)}"
        )
    if array.dtype.kind == "f" and array.ndim <= 2 and not np.isfinite(array).all():
        # told here, where a sample still has the place that it has in the file
        bad = ~np.isfinite(array)
        first = int(np.flatnonzero(bad.reshape(len(array), -1).any(1))[0])
        raise DataError(
            f"{path}: array {key}: expected finite values, got {int(bad.sum())} NaN or infinite "
            f"ones, the first in sample {first} (from 0); leave these samples out, or save the "
            'columns as a table (CSV or Parquet), whose source has missing = "keep" and "drop rows"'
        )
    return array


def _plain_column(
    name: str,
    kind: str,
    train: np.ndarray,
    test: np.ndarray,
    origin: str,
    known: Sequence[str],
) -> Column:
    """Convert arrays of one or two axes."""
    shape = train.shape[1:]
    if kind == "U" and not shape:
        return class_column(train, test, origin, name, known)
    if kind == "b":
        return array_column(Variable(kind="binary", shape=shape), train, test)
    if kind == "i":
        lowest = min(train.min(), test.min())
        if lowest < 0:
            raise DataError(
                f"{origin}: whole numbers are counts, got {lowest}; "
                "save them as floats to get real ones"
            )
        return array_column(Variable(kind="count", shape=shape), train, test)
    if kind == "f":
        return real_column(train, test, name, origin)
    raise DataError(
        f"{origin}: expected floats, whole numbers, bools or, of one axis, texts; "
        f"got {train.dtype} {shape}"
    )


def _channels_first(images: np.ndarray, origin: str) -> np.ndarray:
    """Return images with shape (n, H, W) or, in colour, (n, 3, H, W)."""
    if images.ndim == 4 and images.shape[3] in (1, 3):
        images = np.moveaxis(images, 3, 1)
    if images.ndim == 4 and images.shape[1] == 1:
        images = images[:, 0]
    if images.ndim == 3 or (images.ndim == 4 and images.shape[1] == 3):
        return images
    raise DataError(
        f"{origin}: expected images of shape (n, H, W), or with 1 or 3 channels (n, H, W, C) or "
        f"(n, C, H, W), got {images.shape}"
    )
