"""One ``.npz`` file of numpy arrays, the form of Keras's data sets and of tables saved with ``numpy.savez``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from pydantic import Field

from coplay.core.errors import DataError
from coplay.core.space import Variable
from coplay.data.sources.base import (
    LABEL,
    Column,
    Dataset,
    Source,
    array_column,
    assemble,
    class_column,
    held_out,
    image_column,
    missing,
    numbered,
)

_SETTINGS = ("x_train", "y_train", "x_test", "y_test")


class Npz(Source):
    """One ``.npz`` file: ``x_train``, ``y_train``, ``x_test``, ``y_test``, or ``train/NAME``, ``test/NAME`` a variable.

    The arrays' types say what they hold; the first axis counts the samples. Three or more axes are images: bytes, floats
    in [0, 1] or bools, of shape (n, H, W), (n, H, W, 1), (n, 1, H, W), or in colour (n, H, W, 3) or (n, 3, H, W), where
    the last axis is looked at first. With one or two axes, floats are real (kept with 32 bits), whole numbers counts,
    bools binary; texts, of one axis, categorical in sorted order. ``y_train`` or ``train/class``, of whole numbers or
    texts, is the class. Other arrays in the file are not read.

    Args:
        file: Path of the file.
        x_train: Array of the training samples; the variable is called ``image``, or ``x`` if it is no image.
        y_train: Array of their classes; may be absent.
        x_test: Array of the test samples; without it, some training samples are held out.
        y_test: Array of their classes.
        test_share: Share of the samples that is held out for testing where the file has no test samples.
        threshold: Grey value in (0, 1] from which a pixel is 1; colours are kept.
        grey: Keep grey values in [0, 1] instead of binary pixels.

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

    def load(self) -> Dataset:
        """Read and check the arrays; pickles are never opened."""
        path = Path(self.file).expanduser()
        pairs = self._read(path)
        threshold = None if self.grey else self.threshold
        return assemble(
            path.stem, {name: _column(name, *pair, threshold, path) for name, pair in pairs.items()}
        )

    def _read(self, path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Training and test values by variable."""
        if not path.is_file():
            raise missing("file", path)
        try:
            content = np.load(path, allow_pickle=False)
        except Exception as error:  # numpy and zipfile fail in many ways
            if path.suffix.lower() in (".csv", ".parquet", ".json", ".jsonl"):
                raise DataError(
                    f'{path} is a table; load it with name = "hugging_face", dataset = "{path}"'
                ) from error
            raise DataError(
                f"{path} is no .npz file, or is damaged ({type(error).__name__}); write it with numpy.savez"
            ) from error
        if isinstance(content, np.ndarray):
            raise DataError(
                f"{path} holds a single array; expected an .npz file with names, written by numpy.savez"
            )
        with content:
            names = self._names(content.files, path)
            arrays = {
                name: [_array(content, key, path) for key in keys] for name, keys in names.items()
            }
        if "x" in names and names["x"][0] == self.x_train and arrays["x"][0].ndim > 2:
            arrays = {"image" if name == "x" else name: found for name, found in arrays.items()}
        splits = len(next(iter(arrays.values())))
        for i in range(splits):
            if len({len(found[i]) for found in arrays.values()}) > 1:
                listed = ", ".join(f"{len(found[i])} of {name}" for name, found in arrays.items())
                raise DataError(
                    f"{path}: expected as many {('training', 'test')[i]} samples everywhere, got {listed}"
                )
        if splits == 2:
            return {name: (found[0], found[1]) for name, found in arrays.items()}
        n = len(next(iter(arrays.values()))[0])
        train, test = (part.numpy() for part in held_out(n, self.test_share, str(path)))
        return {name: (found[0][train], found[0][test]) for name, found in arrays.items()}

    def _names(self, there: Sequence[str], path: Path) -> dict[str, tuple[str, ...]]:
        """Which arrays are a variable's training values and, if the file has them, its test values."""
        listed = f"it holds {', '.join(there) or 'nothing'}"
        # not model_fields_set: a run folder's config sets every field, to its default too
        given = {name for name in _SETTINGS if getattr(self, name) != name}
        if (
            not given
            and self.x_train not in there
            and any(name.startswith("train/") for name in there)
        ):
            train = [name.removeprefix("train/") for name in there if name.startswith("train/")]
            test = [name.removeprefix("test/") for name in there if name.startswith("test/")]
            odd = sorted(set(train) ^ set(test))
            if test and odd:
                raise DataError(
                    f"{path}: expected train/{odd[0]} and test/{odd[0]}, or no test arrays; {listed}"
                )
            return {
                name: (f"train/{name}", f"test/{name}") if test else (f"train/{name}",)
                for name in train
            }
        x_train, y_train, x_test, y_test = (getattr(self, name) for name in _SETTINGS)
        wanted = {"x_train", *given, *({"x_test"} if y_test in there else ())}
        if x_test in there and (y_train in there) != (y_test in there):
            wanted |= {"y_train", "y_test"}
        absent = [
            getattr(self, name)
            for name in _SETTINGS
            if name in wanted and getattr(self, name) not in there
        ]
        if absent:
            raise DataError(
                f"{path}: expected an array {absent[0]}, {listed}; set {' or '.join(_SETTINGS)} to the names in the file, "
                "or call the arrays train/NAME and test/NAME"
            )
        names: dict[str, tuple[str, ...]] = {
            "x": (x_train, x_test) if x_test in there else (x_train,)
        }
        if y_train in there:
            names[LABEL] = (y_train, y_test) if x_test in there else (y_train,)
        return names

    @classmethod
    def tiny(cls) -> Self:
        """A few noise images in a temporary file, of the form of Keras's MNIST."""
        import tempfile

        path = Path(tempfile.mkdtemp(prefix="coplay-npz-")) / "noise.npz"
        rng = np.random.default_rng(0)
        train, test = (rng.integers(0, 256, (n, 6, 6), np.uint8) for n in (20, 12))
        np.savez(
            path, x_train=train, y_train=np.arange(20) % 4, x_test=test, y_test=np.arange(12) % 4
        )
        return cls(file=str(path))


def _array(content: Mapping[str, Any], key: str, path: Path) -> np.ndarray:
    try:
        array = content[key]
    except Exception as error:
        if "allow_pickle" in str(error):  # numpy has no class of its own for this
            raise DataError(
                f"{path}: array {key} holds Python objects, which are not opened because they may run code; "
                "save it with a plain type, such as float32"
            ) from error
        raise DataError(
            f"{path}: cannot read array {key} ({error}); the file is damaged or cut off"
        ) from error
    if not isinstance(array, np.ndarray) or not array.ndim or not array.size:
        raise DataError(
            f"{path}: expected array {key} to hold samples along its first axis, got {np.shape(array)}"
        )
    return array


def _column(
    name: str, train: np.ndarray, test: np.ndarray, threshold: float | None, path: Path
) -> Column:
    """The variable that the arrays' type asks for."""
    origin = f"{path}, variable '{name}'"
    if name == LABEL:
        return class_column(*numbered(train, test, origin), origin)
    if train.ndim > 2:
        train, test = _planes(train, origin), _planes(test, origin)
    kinds = {array.dtype.kind.replace("u", "i") for array in (train, test)}
    if len(kinds) > 1 or train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"{origin}: expected training and test values of one type and shape, got {train.dtype} {train.shape[1:]} "
            f"and {test.dtype} {test.shape[1:]}"
        )
    kind, shape = kinds.pop(), train.shape[1:]
    if kind == "U" and not shape:
        return class_column(*numbered(train, test, origin), origin)
    if kind == "b":
        return array_column(Variable(kind="binary", shape=shape), train, test)
    if train.ndim > 2:
        return image_column(
            _grey_values(train, origin), _grey_values(test, origin), threshold, origin
        )
    if kind == "i":
        lowest = min(train.min(), test.min())
        if lowest < 0:
            raise DataError(
                f"{origin}: whole numbers are counts, got {lowest}; save them as floats to get real ones"
            )
        return array_column(Variable(kind="count", shape=shape), train, test)
    if kind == "f":
        return array_column(Variable(kind="real", shape=shape), train, test)
    raise DataError(
        f"{origin}: expected floats, whole numbers, bools or, of one axis, texts; got {train.dtype} {shape}"
    )


def _planes(images: np.ndarray, origin: str) -> np.ndarray:
    """Images as (n, H, W) or, in colour, (n, 3, H, W)."""
    if images.ndim == 4 and images.shape[3] in (1, 3):
        images = np.moveaxis(images, 3, 1)
    if images.ndim == 4 and images.shape[1] == 1:
        images = images[:, 0]
    if images.ndim == 3 or (images.ndim == 4 and images.shape[1] == 3):
        return images
    raise DataError(
        f"{origin}: expected images of shape (n, H, W), or with 1 or 3 channels (n, H, W, C) or (n, C, H, W), "
        f"got {images.shape}"
    )


def _grey_values(images: np.ndarray, origin: str) -> torch.Tensor:
    """Bytes, or 32-bit floats that are checked to lie in [0, 1]."""
    low, high = images.min(), images.max()
    if images.dtype == np.uint8:
        if high == 1:
            raise DataError(
                f"{origin}: bytes are grey values up to 255, got only 0 and 1; save bits as bools"
            )
        return torch.from_numpy(np.ascontiguousarray(images))
    if images.dtype.kind != "f":
        raise DataError(
            f"{origin}: expected images of type uint8, float in [0, 1] or bool, got {images.dtype}"
        )
    if not (low >= 0 and high <= 1):  # also where one is NaN
        raise DataError(
            f"{origin}: expected images of floats in [0, 1], got {low:g} to {high:g}; scale them, or save bytes (uint8)"
        )
    return torch.from_numpy(images.astype(np.float32))
