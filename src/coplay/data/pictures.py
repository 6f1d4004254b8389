"""Pictures of every source: decoded, scaled and described by the same few functions.

How bright white is does not follow from a type: 12-bit cameras write 16-bit files, and masks are
bytes of 0 and 1. Without the setting ``white`` the largest value decides by a rule that the notes
state, and pictures that come out nearly black, white or constant are never without a note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from coplay.core.errors import DataError
from coplay.core.variable import Variable
from coplay.data.column import Column
from coplay.data.picture_notes import FEW, black_masks, described
from coplay.data.words import some

if TYPE_CHECKING:
    from PIL.Image import Image

_DEPTHS = (1, 8, 10, 12, 14, 16)
"""Bits of whole numbers whose type does not say how many are used."""

_COLOURED = ("RGB", "RGBA", "RGBX", "RGBa", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")
"""Pillow's modes in which pictures may have colours."""

_TRANSPARENT = ("RGBA", "RGBa", "LA", "La", "PA")
"""Pillow's modes with transparency."""


@dataclass(frozen=True)
class Pictures:
    """Decoded pictures, with the values that they were stored with.

    Args:
        values: Shape (n, H, W) or (n, 3, H, W).
        largest: The largest value before pictures were scaled to a size.
        notes: What was left out, in sentences.
    """

    values: np.ndarray
    largest: float
    notes: tuple[str, ...] = ()


# -------------------------------------------------------------------- from values to a variable


def image_column(
    train: np.ndarray | Tensor,
    test: np.ndarray | Tensor,
    threshold: float | None,
    origin: str,
    white: float | None = None,
    largest: float | None = None,
    name: str = "image",
) -> Column:
    """Convert images to a variable: binary or real in [0, 1] for grey ones, real for colour ones.

    Args:
        train: Shape (n, H, W) or (n, 3, H, W): whole numbers, floats or bools.
        test: Images of the test split, of the same form.
        threshold: Grey value in (0, 1] from which a pixel is 1; None keeps grey values. Colours
            are always kept.
        origin: What errors call the data.
        white: The value that becomes 1; None goes by the largest value.
        largest: The largest value, if that is not in the images any more.
        name: The variable's name, for notes.

    Raises:
        DataError: The images of the two splits differ in shape, or values are negative, above white
            or not finite.
    """
    splits = [np.asarray(images) for images in (train, test)]
    shapes = [tuple(images.shape[1:]) for images in splits]
    if shapes[0] != shapes[1]:
        raise DataError(
            f"{origin}: training images are {shapes[0]}, test images {shapes[1]}; expected one "
            "shape"
        )
    shape = shapes[0]
    if all(images.dtype == np.bool_ for images in splits):
        bits = [torch.from_numpy(images.astype(np.uint8)) for images in splits]
        notes = described(splits, [1, 1], name)
        return Column(Variable(kind="binary", shape=shape), bits[0], bits[1], notes)
    whites, notes = _whites(splits, origin, white, largest, name)
    notes += described(splits, whites, name)
    if threshold is not None and len(shape) == 2:
        pairs = zip(splits, whites, strict=True)
        bits = [_thresholded(images, end, threshold) for images, end in pairs]
        ones = sum(int(each.sum()) for each in bits) / sum(each.numel() for each in bits)
        if not FEW <= ones <= 1 - FEW:
            colour = "0" if ones < FEW else "1"
            notes += (
                f"{name}: nearly every pixel is {colour} at threshold {threshold:g}; change it, or "
                "keep grey values with grey = true",
            )
        return Column(Variable(kind="binary", shape=shape), bits[0], bits[1], notes)
    scaled = [scaled_to_unit(images, end) for images, end in zip(splits, whites, strict=True)]
    variable = Variable(kind="real", shape=shape, low=0, high=1)
    return Column(variable, scaled[0], scaled[1], notes)


def _whites(
    splits: list[np.ndarray], origin: str, white: float | None, largest: float | None, name: str
) -> tuple[list[float], tuple[str, ...]]:
    """Return the value of white in each split, which is one unless the types differ."""
    if splits[0].dtype == splits[1].dtype:
        value, notes = white_value(splits, origin, white, largest, name)
        return [value, value], notes
    first, notes = white_value(splits[:1], origin, white, largest, name)
    second, more = white_value(splits[1:], origin, white, largest, name)
    return [first, second], (*notes, *more)


def white_value(
    arrays: list[np.ndarray],
    origin: str,
    white: float | None = None,
    largest: float | None = None,
    name: str = "image",
) -> tuple[float, tuple[str, ...]]:
    """Return the value that is white, and sentences on how it was chosen.

    Floats lie in [0, 1]. Bytes are white at 255, or at 1 where there are only 0 and 1. Other whole
    numbers have the fewest of 1, 8, 10, 12, 14 or 16 bits that hold the largest of them.

    Args:
        arrays: All pictures, of one type.
        origin: What errors call the data.
        white: The value, if a setting says it.
        largest: The largest value, if that is not in the arrays any more.
        name: The variable's name, for notes.

    Raises:
        DataError: Values are negative, above white or not finite.

    Example:
        >>> white_value([np.array([[[0, 4000]]], np.uint16)], "scans")[0]
        4095
    """
    least = min(float(values.min()) for values in arrays)
    most = max(float(values.max()) for values in arrays)
    most = max(most, largest if largest is not None else most)
    is_float = arrays[0].dtype.kind == "f"
    expected = f"images of values in [0, {white:g}]" if white else "images of floats in [0, 1]"
    if not white and not is_float:
        expected = "images of whole numbers from 0 to 65535"
    end = white or (1.0 if is_float else 65535)
    if not (least >= 0 and most <= end):  # also where one is NaN
        raise DataError(
            f"{origin}: expected {expected}, got {least:g} to {most:g}; scale them, or set white "
            "to the value of a white pixel"
        )
    if white:
        return white, ()
    if is_float:
        return 1.0, ()
    if arrays[0].dtype == np.uint8:
        if most != 1:
            return 255, black_masks(arrays, name)
        return 1, (f"{name}: bytes of 0 and 1 only, so 1 is white; white = 255 changes that",)
    bits = next(depth for depth in _DEPTHS if most < 2**depth)
    chosen = 2**bits - 1
    if most == 0 or chosen == 65535:
        return chosen, ()
    return chosen, (
        f"{name}: whole numbers up to {most:g} are taken as {bits}-bit values, so {chosen} is "
        "white; the setting white changes that",
    )


def scaled_to_unit(images: np.ndarray, white: float) -> Tensor:
    """Return images as 32-bit floats in [0, 1].

    Args:
        images: Any shape.
        white: The value that becomes 1.
    """
    values = torch.from_numpy(images.astype(np.float32))
    return values if white == 1 else values / white


def as_bytes(pictures: Pictures, origin: str) -> Tensor:
    """Return pictures as bytes in which 255 is white.

    Args:
        pictures: Any.
        origin: What errors call them.
    """
    if pictures.values.dtype == np.uint8:
        return torch.from_numpy(pictures.values)
    white, _ = white_value([pictures.values], origin, None, pictures.largest)
    return (scaled_to_unit(pictures.values, white) * 255).round().byte()


def _thresholded(images: np.ndarray, white: float, threshold: float) -> Tensor:
    """Return 1 for every pixel from the threshold on, 0 for the others, as bytes."""
    if images.dtype != np.uint8:
        return (scaled_to_unit(images, white) >= threshold).to(torch.uint8)
    # bytes are looked up: the same bits as after division, in a quarter of the memory
    passes = scaled_to_unit(np.arange(256, dtype=np.uint8), white) >= threshold
    return torch.from_numpy(passes.numpy().astype(np.uint8)[images])


# ------------------------------------------------------------------------ from files to values


@dataclass
class _Reading:
    """What is counted while pictures are read."""

    count: int = 0
    pixels: list[np.ndarray] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    reason: str = ""
    largest: float = 0.0
    first: str = ""
    depth: str = ""
    coloured: int = 0
    transparent: int = 0
    animated: int = 0
    cut: int = 0

    def notes(self, colour: bool) -> tuple[str, ...]:
        """Say what was left out."""
        notes = []
        if self.coloured and not colour:
            notes.append(
                f"{self.coloured:,} of {self.count:,} pictures have colours and become grey; "
                "colour = true keeps them"
            )
        if self.transparent:
            notes.append(f"transparency is dropped in {self.transparent:,} pictures")
        if self.cut:
            notes.append(
                f"only the upper 8 of 16 bits a colour are read of {self.cut:,} pictures; save "
                "them in grey to keep all"
            )
        if self.animated:
            notes.append(f"only the first frame is read of {self.animated:,} pictures")
        return tuple(notes)


def read_pictures(
    named: Iterable[tuple[str, Callable[[], Image]]],
    size: tuple[int, int] | None,
    colour: bool,
    origin: str,
) -> Pictures:
    """Decode pictures, shape (n, H, W), or (n, 3, H, W) in colour.

    Pictures are turned as their EXIF data say. Transparency is dropped, and of several frames only
    the first is read; the notes say so. Values stay as they are stored, except in colour, where
    Pillow has 8 bits.

    Args:
        named: What errors call a picture, and how to open it.
        size: Height and width to scale to; None requires that all pictures have one size.
        colour: Whether to keep colours.
        origin: What errors call the data.

    Raises:
        DataError: Pictures cannot be read, differ in size or depth, or there are none.
    """
    reading = _Reading()
    for name, open_picture in named:
        reading.count += 1
        try:
            with open_picture() as picture:
                array, depth = _pixels(picture, size, colour, reading)
        except Exception as error:  # each of Pillow's readers fails in its own way
            reading.broken.append(name)
            reading.reason = reading.reason or f"{type(error).__name__}: {error}"
            continue
        _check_alike(reading, name, array, depth, origin)
        reading.pixels.append(array)
    if reading.broken:
        raise DataError(
            f"{origin}: cannot read {len(reading.broken)} of {reading.count} pictures: "
            f"{some(reading.broken)} (the first: {reading.reason}); repair or remove them"
        )
    if not reading.pixels:
        raise DataError(f"{origin}: expected pictures, got none")
    return Pictures(np.stack(reading.pixels), reading.largest, reading.notes(colour))


def _check_alike(reading: _Reading, name: str, array: np.ndarray, depth: str, origin: str) -> None:
    """Refuse a picture whose size or depth is not that of the first."""
    reading.first = reading.first or name
    reading.depth = reading.depth or depth
    if depth != reading.depth:
        raise DataError(
            f"{origin}: expected pictures of one depth, got {reading.first} of {reading.depth} and "
            f"{name} of {depth}; save all in one form"
        )
    if reading.pixels and array.shape != reading.pixels[0].shape:
        height, width = reading.pixels[0].shape[-2:]
        other_height, other_width = array.shape[-2:]
        raise DataError(
            f"{origin}: expected pictures of one size, got {reading.first} of {height}×{width} and "
            f"{name} of {other_height}×{other_width} (height×width); "
            "set size = [height, width] to scale them"
        )


def _pixels(
    picture: Image, size: tuple[int, int] | None, colour: bool, reading: _Reading
) -> tuple[np.ndarray, str]:
    """Return a picture's values, shape (H, W) or (3, H, W), and their depth in words."""
    from PIL import Image, ImageOps

    reading.animated += getattr(picture, "n_frames", 1) > 1
    reading.coloured += picture.mode in _COLOURED
    has_alpha = picture.mode in _TRANSPARENT or "transparency" in picture.info
    reading.transparent += has_alpha
    reading.cut += _has_deep_colours(picture)
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith(("I", "F")):
        return _deep_pixels(picture, size, colour, reading)
    picture = picture.convert("RGB" if colour else "L")
    reading.largest = max(reading.largest, float(np.asarray(picture).max()))
    if size is not None and picture.size != (size[1], size[0]):
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture)
    return (pixels.transpose(2, 0, 1) if colour else pixels), "8 bits"


def _has_deep_colours(picture: Image) -> bool:
    """Whether a picture has 16 bits a colour, of which Pillow reads the upper 8."""
    forms = [str(tile[3]) for tile in getattr(picture, "tile", [])]
    return picture.mode in (*_COLOURED, *_TRANSPARENT) and any(";16" in form for form in forms)


def _deep_pixels(
    picture: Image, size: tuple[int, int] | None, colour: bool, reading: _Reading
) -> tuple[np.ndarray, str]:
    """Return the values of a grey picture of more than 8 bits."""
    from PIL import Image

    values = np.asarray(picture)
    kind: type[np.generic] = np.int32
    depth = "32 bits"
    if picture.mode.startswith("I;16"):
        kind, depth = np.uint16, "16 bits"
    elif picture.mode == "F":
        kind, depth = np.float32, "32-bit floats"
    reading.largest = max(reading.largest, float(values.max()))
    if size is not None and picture.size != (size[1], size[0]):
        floats = Image.fromarray(values.astype(np.float32))
        values = np.asarray(floats.resize((size[1], size[0]), Image.Resampling.BILINEAR))
        if kind is not np.float32:
            values = np.rint(values)
    values = values.astype(kind)
    return (np.stack([values] * 3) if colour else values), depth
