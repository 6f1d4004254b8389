"""PolyMNIST: MNIST's digits inverted into photographs, with style, class and segmentation (A6).

References:
    Generalized Multimodal ELBO (T. M. Sutter, I. Daunhawer, J. E. Vogt, 2021), arXiv:2105.02470,
    for the data set.
    Deep Multivariate Models with Parametric Conditionals (D. Schlesinger, B. Flach,
    A. Shekhovtsov, 2026), arXiv:2602.01953, for the use of its styles and segmentations as
    variables.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from coplay.core.errors import DataError
from coplay.core.space import Samples, Variable, pick
from coplay.core.streams import stream
from coplay.core.temporary import temporary_folder
from coplay.data.classes import named_column
from coplay.data.column import Column
from coplay.data.pictures import as_bytes, image_column, read_pictures
from coplay.data.sources.base import LABEL, Dataset, Source, assemble, missing
from coplay.data.sources.idx import Idx, write_idx

# Of scikit-image's pictures in colour the five that are photographs and PNG, so that every decoder
# gives the same bytes.
_BUNDLED = ("astronaut", "chelsea", "coffee", "ihc", "motorcycle_left")

_NAME = re.compile(r"(\d+)\.(\d+)\.png")

Columns = dict[str, Tensor]
"""One split: values of shape (n, …) by variable."""


class PolyMnist(Source):
    """MNIST's digits inverted into random crops of photographs, of which each is a style.

    Variables: ``image`` (real 3×28×28 in [0, 1]), ``style`` (which photograph), ``class`` (the
    digit) and ``segmentation`` (the digit's pixels, binary 28×28; grey values from 0.4375 on are
    1):

        image = 1 − crop   where segmentation = 1,        image = crop   elsewhere

    Every digit gets one style and one crop, drawn from a stream of its split alone: digit i is the
    same picture in every run, whatever ``limit`` says.

    A folder that holds ``train/`` and ``test/``, each with pictures ``m0/INDEX.CLASS.png``,
    ``m1/…``, is read as the published data set. Of the pictures of one name, one for each style,
    one is drawn. There is no segmentation then: the names do not say which digit of MNIST a picture
    shows, and the same name is another digit in every style.

    Args:
        folder: MNIST's four IDX files, or the published data set.
        backgrounds: Paths of the photographs, one for each style, at least two. Without them:
            astronaut, chelsea, coffee, ihc and motorcycle_left, five that come with scikit-image;
            this needs ``pip install 'coplay[data]'``.
        limit: Read only the first so many samples of each split.
        halved: Halve height and width of digits and photographs by the mean of each 2×2 pixels: a
            quarter of the work for a trial.

    Example:
        >>> PolyMnist.tiny().load().space
        Space(image: real 3×8×8 in [0, 1], style: categorical of 5 scalar,
              class: categorical of 4 scalar, segmentation: binary 8×8)

    Differs from the paper:
        The published pictures have other photographs, and a digit's pixels are those above 128 of
        255 (0.502); here the digit in the picture is the segmentation.
    """

    folder: str
    backgrounds: tuple[str, ...] | None = Field(default=None, min_length=2)
    limit: PositiveInt | None = None
    halved: bool = False

    paths: ClassVar[tuple[str, ...]] = ("folder", "backgrounds")

    def load(self) -> Dataset:
        """Read the published pictures, or make them."""
        folder = Path(self.folder).expanduser()
        if not folder.is_dir():
            raise missing("folder", folder)
        if (folder / "train").is_dir():
            return self._published(folder)
        return self._made(folder)

    # ---------------------------------------------------------------------------- made of IDX files

    def _made(self, folder: Path) -> Dataset:
        """Make the pictures of MNIST's digits and of photographs."""
        # scikit-image is an extra, so it is asked for only where its photographs are used
        files = [Path(file).expanduser() for file in self.backgrounds or ()] or _bundled()
        digits = Idx(folder=self.folder, threshold=0.4375, halved=self.halved).load()
        # photographs are halved after they are read, so before that they must be twice as large
        scale = 2 if self.halved else 1
        least = tuple(side * scale for side in digits.space["image"].shape)
        photographs = [self._sized(_photograph(file, least)) for file in files]
        train = self._inverted(digits.train, photographs, "train")
        test = self._inverted(digits.test, photographs, "test")
        styles = [file.stem for file in files]
        classes = digits.space[LABEL].class_names
        return _dataset(f"{folder.name} on {', '.join(styles)}", train, test, styles, classes)

    def _inverted(self, digits: Samples, photographs: list[Tensor], split: str) -> Columns:
        """Invert the first ``limit`` digits into their crops."""
        # drawn for all digits, so that a digit's style and crop do not depend on the limit
        style = _styles(len(digits), len(photographs), split)
        place = torch.rand(
            len(digits), 2, dtype=torch.float64, generator=stream(0, "poly_mnist crops", split)
        )
        digits = pick(digits, slice(self.limit))
        style = style[: self.limit]
        height, width = digits["image"].shape[1:]
        # how many places a crop's upper left corner may have in each photograph, per axis
        room = torch.tensor([photograph.shape[1:] for photograph in photographs])
        room = room - torch.tensor([height, width]) + 1
        corners = (place[: self.limit] * room[style]).long()
        crops = []
        for k, (y, x) in zip(style.tolist(), corners.tolist(), strict=True):
            crops.append(photographs[k][:, y : y + height, x : x + width])
        crop = torch.stack(crops)
        return {
            "image": torch.where(digits["image"][:, None].bool(), 255 - crop, crop),
            "style": style,
            LABEL: digits[LABEL],
            "segmentation": digits["image"],
        }

    def _sized(self, pictures: Tensor) -> Tensor:
        """Return bytes of shape (…, 3, H, W), halved if ``halved`` is set.

        Halving leaves out an odd last row or column.
        """
        if not self.halved:
            return pictures
        return F.avg_pool2d(pictures.float(), 2).round().byte()

    # ------------------------------------------------------------------------------------ published

    def _published(self, folder: Path) -> Dataset:
        """Read the published data set."""
        if self.backgrounds:
            raise DataError(
                f"{folder} has its own photographs; leave backgrounds out, or give MNIST's four "
                "IDX files"
            )
        styles = sorted(path.name for path in (folder / "train").iterdir() if path.is_dir())
        if len(styles) < 2 or styles != [f"m{k}" for k in range(len(styles))]:
            raise DataError(
                f"{folder / 'train'}: expected the folders m0, m1, …, "
                f"got {', '.join(styles) or 'none'}"
            )
        # of all pictures, so that a class has the same number whatever the limit is
        names = [*_names(folder / "train" / "m0"), *_names(folder / "test" / "m0")]
        classes = sorted({_class_of(name) for name in names})
        train = self._drawn(folder / "train", len(styles), classes)
        test = self._drawn(folder / "test", len(styles), classes)
        return _dataset(folder.resolve().name, train, test, styles, list(map(str, classes)))

    def _drawn(self, folder: Path, styles: int, classes: list[int]) -> Columns:
        """Read one picture of each of the first ``limit`` names, of a style drawn at random."""
        from PIL import Image

        names = _names(folder / "m0")
        for k in range(1, styles):
            odd = sorted(set(names) ^ set(_names(folder / f"m{k}")))
            if odd:
                raise DataError(
                    f"{folder}: expected pictures of the same names in m0 and m{k}; "
                    f"{odd[0]} is in one only"
                )
        # by index first, so that the first few are of all classes
        names.sort(key=lambda name: [int(number) for number in name.split(".")[:2]])
        style = _styles(len(names), styles, folder.name)[: self.limit]
        names = names[: self.limit]
        files = [f"m{k}/{name}" for k, name in zip(style.tolist(), names, strict=True)]
        openers = ((file, partial(Image.open, folder / file)) for file in files)
        pictures = read_pictures(openers, None, True, str(folder))
        return {
            "image": self._sized(as_bytes(pictures, str(folder))),
            "style": style,
            LABEL: torch.tensor([classes.index(_class_of(name)) for name in names]),
        }

    @classmethod
    def tiny(cls) -> Self:
        """Write a few noise digits and five noise photographs into a temporary folder."""
        from PIL import Image

        folder = temporary_folder("poly-mnist")
        rng = np.random.default_rng(0)
        for prefix, n in (("train", 24), ("t10k", 12)):
            images = rng.integers(0, 256, (n, 8, 8), np.uint8)
            write_idx(folder / f"{prefix}-images-idx3-ubyte", images)
            write_idx(folder / f"{prefix}-labels-idx1-ubyte", (np.arange(n) % 4).astype(np.uint8))
        files = [folder / f"noise{k}.png" for k in range(5)]
        for k, file in enumerate(files):
            Image.fromarray(rng.integers(0, 256, (10 + k, 20, 3), np.uint8)).save(file)
        return cls(folder=str(folder), backgrounds=tuple(map(str, files)))


def _dataset(
    name: str, train: Columns, test: Columns, styles: Sequence[str], classes: Sequence[str]
) -> Dataset:
    """Make a data set of the columns of both splits."""
    if len(set(styles)) < len(styles):
        styles = list(map(str, range(len(styles))))  # photographs of one name in two folders
    columns = {
        "image": image_column(train["image"], test["image"], None, name),
        "style": named_column(train["style"], test["style"], styles, f"{name}, styles", "style"),
        LABEL: named_column(train[LABEL], test[LABEL], classes, name),
    }
    if "segmentation" in train:
        pixels = train["segmentation"]
        variable = Variable(kind="binary", shape=tuple(pixels.shape[1:]))
        columns["segmentation"] = Column(variable, pixels, test["segmentation"])
    return assemble(name, columns)


def _styles(n: int, styles: int, split: str) -> Tensor:
    """Draw the style of each sample of a split, shape (n,)."""
    return torch.randint(styles, (n,), generator=stream(0, "poly_mnist styles", split))


def _photograph(file: Path, least: tuple[int, ...]) -> Tensor:
    """Read a photograph that is at least as high and wide as a digit: bytes of shape (3, H, W)."""
    from PIL import Image

    if not file.is_file():
        raise missing("file", file)
    opener = (str(file), partial(Image.open, file))
    pictures = read_pictures([opener], None, True, "poly_mnist's backgrounds")
    (picture,) = as_bytes(pictures, str(file))
    height, width = picture.shape[1:]
    if height < least[0] or width < least[1]:
        raise DataError(
            f"{file}: expected a photograph of {least[0]}×{least[1]} or more, the size of a digit, "
            f"got {height}×{width}"
        )
    return picture


def _bundled() -> list[Path]:
    """Return the photographs of scikit-image, files of the package that need not be downloaded."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "the photographs of the source 'poly_mnist' come with the package scikit-image, which "
            "is not installed; pip install 'coplay[data]', or set backgrounds to picture files of "
            "yours"
        )
    folder = Path(spec.submodule_search_locations[0]) / "data"
    return [folder / f"{name}.png" for name in _BUNDLED]


def _class_of(name: str) -> int:
    """Return the class in a name INDEX.CLASS.png."""
    return int(name.split(".")[1])


def _names(folder: Path) -> list[str]:
    """List the names INDEX.CLASS.png of the pictures in a folder."""
    if not folder.is_dir():
        raise missing("folder", folder)
    names = [path.name for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    if not names:
        raise DataError(
            f"{folder}: expected pictures called INDEX.CLASS.png, such as 0.7.png, got none"
        )
    return names
