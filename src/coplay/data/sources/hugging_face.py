"""Data sets of the package ``datasets``: from the Hugging Face hub, its local copy, or files of one's own."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import Field, PositiveInt
from torch import Tensor

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
    read_pictures,
)

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = {".csv": "csv", ".parquet": "parquet", ".json": "json", ".jsonl": "json"}


class HuggingFace(Source):
    """A data set of the package ``datasets``: a name on the Hugging Face hub, or a local folder or table.

    A local path may be a folder that ``save_to_disk`` wrote, a folder of CSV, Parquet, JSON or picture files
    (``train.csv`` and ``test.csv`` are splits), or one such table. What exists locally goes before the hub. If there is a
    column of pictures, it becomes the variable ``image``. If there is none, every numeric column but the label becomes a
    real variable, every column of bools a binary one, and every column with named classes a categorical one; columns
    of other types are not read. Needs ``pip install 'coplay[data]'``.

    Args:
        dataset: Name on the hub, or a path.
        config: Which of the data set's configurations, for those that have several.
        revision: Version on the hub: a branch, a tag or a commit. A commit is what never changes.
        image_column: Column of pictures; by default the only one of that type.
        label_column: Column of classes, of whole numbers or texts; by default the only one with named classes.
        train: Name of the training split.
        test: Name of the test split; by default ``test`` or ``validation``, or else a share of the training split.
        test_share: Share of the training split that is held out for testing where there is no test split.
        size: Height and width to scale pictures to; without it all must have one size.
        colour: Keep colours, as real values of shape 3×height×width in [0, 1]; otherwise pictures become grey.
        threshold: Grey value in (0, 1] from which a pixel is 1; colours are kept.
        grey: Keep grey values in [0, 1] instead of binary pixels.
        limit: Read only so many samples, the first, of each split.
        cache: Where ``datasets`` keeps its copies; by default where it always does.

    Example:
        >>> HuggingFace(dataset="./no/such/place").load()
        Traceback (most recent call last):
        coplay.core.errors.DataError: the file or folder no/such/place does not exist (looked for from ...)
    """

    dataset: str = Field(min_length=1)
    config: str | None = None
    revision: str | None = None
    image_column: str | None = None
    label_column: str | None = None
    train: str = "train"
    test: str | None = None
    test_share: float = Field(default=0.2, gt=0, lt=1)
    size: tuple[PositiveInt, PositiveInt] | None = None
    colour: bool = False
    threshold: float = Field(default=0.5, gt=0, le=1)
    grey: bool = False
    limit: PositiveInt | None = None
    cache: str | None = None

    def load(self) -> Dataset:
        """Load through ``datasets``, which may download."""
        path = Path(self.dataset).expanduser()
        train, test = self._splits(self._open(path))
        image, label = self._named_columns(train.features)
        for name in (image, label):
            if name is not None and name not in test.features:
                raise DataError(
                    f"{self.dataset}: the test split lacks the column {name}; it has {_types(test.features)}"
                )
        columns: dict[str, Column] = {}
        if image is not None:
            images = (self._images(train, image, "training"), self._images(test, image, "test"))
            columns["image"] = image_column(
                *images, None if self.grey else self.threshold, self.dataset
            )
        else:
            columns = {
                name: self._column(train, test, name) for name in self._table(train.features, label)
            }
        if label is not None:
            columns[LABEL] = self._column(train, test, label, is_class=True)
        name = (
            (path.stem if path.is_file() else path.resolve().name)
            if path.exists()
            else self.dataset
        )
        return assemble(f"{name} ({self.config})" if self.config else name, columns)

    def _open(self, path: Path) -> Mapping[str, Any]:
        """All splits by name."""
        local, single = path.exists(), path.is_file()
        if single and path.suffix.lower() not in _FORMATS:
            raise DataError(
                f"{path}: expected a folder or a file that ends in {', '.join(_FORMATS)}"
            )
        if not local and (
            self.dataset[0] in "./~"
            or self.dataset.count("/") > 1
            or path.suffix.lower() in _FORMATS
        ):
            raise missing("file or folder", path)
        if local and self.revision is not None:
            raise DataError(
                f"{path} is local and has no revisions; leave revision = {self.revision!r} out"
            )
        try:
            datasets = importlib.import_module("datasets")
        except ImportError as error:
            raise DataError(
                f"the source 'hugging_face' needs the package datasets ({error}); pip install 'coplay[data]'"
            ) from error
        kind = _FORMATS[path.suffix.lower()] if single else None
        try:
            if kind:
                loaded = datasets.load_dataset(
                    kind, self.config, data_files=str(path.resolve()), cache_dir=self.cache
                )
            elif (path / "dataset_dict.json").exists() or (path / "state.json").exists():
                loaded = datasets.load_from_disk(str(path))
            elif not local and _is_format(
                self.dataset
            ):  # datasets would read all that lies in the current folder
                raise FileNotFoundError(f"{self.dataset} is a format, not a data set")
            else:
                # an absolute path cannot be taken for a name
                place = str(path.resolve()) if local else self.dataset
                loaded = datasets.load_dataset(
                    place, self.config, revision=self.revision, cache_dir=self.cache
                )
        except (
            Exception
        ) as error:  # datasets and the hub's client raise classes of their own and of others
            raise DataError(self._failure(path, error)) from error
        return loaded if isinstance(loaded, Mapping) else {self.train: loaded}

    def _failure(self, path: Path, error: Exception) -> str:
        reasons = [e for e in (error, error.__cause__) if e is not None]
        why = "; ".join(
            f"{type(e).__name__}: {(str(e).strip() or 'no words').splitlines()[0]}" for e in reasons
        )
        if path.exists():
            settings = f" with config {self.config!r}" if self.config else ""
            return (
                f"cannot load the data set from {path.resolve()}{settings} ({why}); expected a folder that save_to_disk "
                f"wrote, a folder of tables or pictures, or a file that ends in {', '.join(_FORMATS)}"
            )
        return (
            f"cannot load the data set {self.dataset!r}: looked for the local path {path.absolute()}, which does not exist, "
            f"then for that name on the Hugging Face hub with config {self.config!r} and revision {self.revision!r} "
            f"({why}); check the name, and whether this machine is online. Without a network, download it elsewhere, "
            "save it with save_to_disk, and set dataset to that folder"
        )

    def _splits(self, splits: Mapping[str, Any]) -> tuple[Any, Any]:
        for name in (self.train, self.test):
            if name is not None and name not in splits:
                raise DataError(
                    f"{self.dataset}: no split {name!r}; it has {', '.join(splits)}; set train and test to two of them"
                )
        usual = (name for name in ("test", "validation") if name in splits and name != self.train)
        name = self.test or next(usual, None)
        if name == self.train:
            raise DataError(
                f"{self.dataset}: train and test are both {name!r}; leave test out to hold samples out"
            )
        found = [splits[key] for key in (self.train, name) if key is not None]
        if not all(map(len, found)):
            raise DataError(
                f"{self.dataset}: expected samples in the splits {self.train} and {name}, got an empty one"
            )
        if self.limit is not None:
            found = [rows.select(range(min(self.limit, len(rows)))) for rows in found]
        if len(found) == 1:
            parts = held_out(len(found[0]), self.test_share, f"{self.dataset}, split {self.train}")
            found = [found[0].select(part.tolist()) for part in parts]
        return found[0], found[1]

    def _named_columns(self, features: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """The columns of pictures and of classes, as set or by their types."""
        found: list[str | None] = []
        for setting, kind, words in (
            ("image_column", "Image", "pictures"),
            ("label_column", "ClassLabel", "named classes"),
        ):
            name = getattr(self, setting)
            typed = [key for key, feature in features.items() if type(feature).__name__ == kind]
            if name is not None and (
                name not in features or (kind == "Image" and name not in typed)
            ):
                raise DataError(
                    f"{self.dataset}: {setting} is {name!r}, which is no column of {words}; "
                    f"the columns are {_types(features)}"
                )
            if name is None and len(typed) > 1:
                raise DataError(
                    f"{self.dataset}: several columns hold {words} ({', '.join(typed)}); set {setting} to one of them; "
                    f"the columns are {_types(features)}"
                )
            found.append(name or next(iter(typed), None))
        return found[0], found[1]

    def _table(self, features: Mapping[str, Any], label: str | None) -> list[str]:
        """The columns that become variables where there are no pictures."""
        found = [
            name for name, feature in features.items() if name != label and _is_numeric(feature)
        ]
        if not found:
            raise DataError(
                f"{self.dataset}: expected a column of pictures or numeric columns; the columns are {_types(features)}"
            )
        if LABEL in found:
            raise DataError(
                f"{self.dataset}: a column called {LABEL!r} must be the classes; set label_column = {LABEL!r} or rename it"
            )
        return found

    def _images(self, rows: Any, column: str, split: str) -> Tensor:
        datasets = importlib.import_module("datasets")
        # cast, because a column may be stored with decoding turned off
        rows = rows.select_columns([column]).cast_column(column, datasets.Image())
        named = (
            (f"row {i} of the {split} split", partial(_picture, rows, i, column))
            for i in range(len(rows))
        )
        return read_pictures(named, self.size, self.colour, f"{self.dataset}, column {column}")

    def _column(self, train: Any, test: Any, name: str, is_class: bool = False) -> Column:
        """A numeric column, or one of classes."""
        origin = f"{self.dataset}, column {name}"
        if name not in test.features:
            raise DataError(f"{origin}: the test split lacks it; it has {_types(test.features)}")
        values = [
            _values(rows, name, f"{origin} of the {split} split")
            for rows, split in ((train, "training"), (test, "test"))
        ]
        feature, other = train.features[name], test.features[name]
        if getattr(feature, "names", None) != getattr(other, "names", None):
            raise DataError(
                f"{origin}: the classes have other names in the test split than in the training split"
            )
        if is_class or type(feature).__name__ == "ClassLabel":
            return class_column(
                *numbered(values[0], values[1], origin), origin, getattr(feature, "num_classes", 2)
            )
        if not _is_numeric(other):
            raise DataError(
                f"{origin}: expected numbers in the test split too, got {_types({name: other})}"
            )
        if feature.dtype == other.dtype == "bool":
            return array_column(Variable(kind="binary"), values[0], values[1])
        return array_column(Variable(kind="real"), values[0], values[1])

    @classmethod
    def tiny(cls) -> Self:
        """A few noise pictures in a temporary folder; loading them needs ``datasets``, but no network."""
        import tempfile

        from coplay.data.sources.image_folder import write_noise

        folder = Path(tempfile.mkdtemp(prefix="coplay-hugging-face-"))
        write_noise(folder / "noise" / "train")
        return cls(dataset=str(folder / "noise"), cache=str(folder / "cache"))


def _is_format(name: str) -> bool:
    return (
        name.isidentifier()
        and importlib.util.find_spec(f"datasets.packaged_modules.{name}") is not None
    )


def _is_numeric(feature: Any) -> bool:
    if type(feature).__name__ == "ClassLabel":
        return True
    kind = feature.dtype if type(feature).__name__ == "Value" else ""
    return kind == "bool" or kind.startswith(("int", "uint", "float"))


def _types(features: Mapping[str, Any]) -> str:
    """Columns with their types, for an error."""
    words = {
        name: type(f).__name__ if type(f).__name__ != "Value" else f.dtype
        for name, f in features.items()
    }
    return ", ".join(f"{name} ({kind})" for name, kind in words.items()) or "none"


def _values(rows: Any, column: str, origin: str) -> np.ndarray:
    """One column as an array; a table of Arrow keeps numbers as they were stored."""
    values = rows.select_columns([column]).with_format("arrow")[:].column(column)
    if values.null_count:
        first = int(np.flatnonzero(values.is_null().to_numpy())[0])
        raise DataError(
            f"{origin}: {values.null_count} of {len(values)} values are empty, the first in row {first}; fill them"
        )
    array: np.ndarray = values.to_numpy()
    texts = getattr(rows.features[column], "dtype", None) in ("string", "large_string")
    return array.astype(str) if texts else array


def _picture(rows: Any, i: int, column: str) -> Image:
    picture: Image | None = rows[i][column]
    if picture is None:
        raise ValueError("there is no picture in this row")
    return picture
