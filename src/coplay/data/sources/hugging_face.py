"""Data sets of the package ``datasets``: from the Hugging Face hub, its cache, or local files."""

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
    """A data set of the package ``datasets``: a name on the Hugging Face hub, or a local path.

    A local path may be a folder that ``save_to_disk`` wrote, a folder of CSV, Parquet, JSON or
    picture files (``train.csv`` and ``test.csv`` are splits), or one such table. What exists
    locally goes before the hub. If there is a column of pictures, it becomes the variable
    ``image``. If there is none, every numeric column but the label becomes a real variable, every
    column of bools a binary one, and every column with named classes a categorical one; columns of
    other types are not read. Needs ``pip install 'coplay[data]'``.

    Args:
        dataset: Name on the hub, or a path.
        config: Which of the data set's configurations, for those that have several.
        revision: Version on the hub: a branch, a tag or a commit. Only a commit never changes.
        image_column: Column of pictures; by default the only one of that type.
        label_column: Column of classes, of whole numbers or texts; by default the only one with
            named classes.
        train: Name of the training split.
        test: Name of the test split; by default ``test`` or ``validation``, or else a share of the
            training split.
        test_share: Share of the training split that is held out for testing where there is no test
            split.
        size: Height and width to scale pictures to; without it all must have one size.
        colour: Keep colours, as real values of shape 3×height×width in [0, 1]; otherwise pictures
            become grey.
        threshold: Grey value in (0, 1] from which a pixel is 1; colours are kept.
        grey: Keep grey values in [0, 1] instead of binary pixels.
        limit: Read only the first so many samples of each split.
        cache: Where ``datasets`` keeps its copies; by default its usual folder.

    Example:
        >>> HuggingFace(dataset="./no/such/place").load()
        Traceback (most recent call last):
        coplay.core.errors.DataError: the file or folder no/such/place does not exist ...
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
                    f"{self.dataset}: the test split lacks the column {name}; "
                    f"it has {_types(test.features)}"
                )
        columns: dict[str, Column] = {}
        if image is not None:
            train_images = self._images(train, image, "training")
            test_images = self._images(test, image, "test")
            threshold = None if self.grey else self.threshold
            columns["image"] = image_column(train_images, test_images, threshold, self.dataset)
        else:
            for name in self._table(train.features, label):
                columns[name] = self._column(train, test, name)
        if label is not None:
            columns[LABEL] = self._column(train, test, label, is_class=True)
        return assemble(self._title(path), columns)

    def _title(self, path: Path) -> str:
        """Return what reports call the data set."""
        if path.is_file():
            title = path.stem
        elif path.exists():
            title = path.resolve().name
        else:
            title = self.dataset
        return f"{title} ({self.config})" if self.config else title

    def _open(self, path: Path) -> Mapping[str, Any]:
        """Return all splits by name."""
        self._check_place(path)
        try:
            datasets = importlib.import_module("datasets")
        except ImportError as error:
            raise DataError(
                f"the source 'hugging_face' needs the package datasets ({error}); "
                "pip install 'coplay[data]'"
            ) from error
        try:
            loaded = self._load(datasets, path)
        except Exception as error:
            # datasets and the hub's client raise classes of their own and of others
            raise DataError(self._failure(path, error)) from error
        return loaded if isinstance(loaded, Mapping) else {self.train: loaded}

    def _check_place(self, path: Path) -> None:
        """Check what can be checked without the package ``datasets``."""
        suffix = path.suffix.lower()
        if path.is_file() and suffix not in _FORMATS:
            raise DataError(
                f"{path}: expected a folder or a file that ends in {', '.join(_FORMATS)}"
            )
        # a name on the hub is NAME or OWNER/NAME
        looks_local = self.dataset[0] in "./~" or self.dataset.count("/") > 1 or suffix in _FORMATS
        if looks_local and not path.exists():
            raise missing("file or folder", path)
        if path.exists() and self.revision is not None:
            raise DataError(
                f"{path} is local and has no revisions; leave revision = {self.revision!r} out"
            )

    def _load(self, datasets: Any, path: Path) -> Any:
        """Call ``datasets``, which gives one split or a mapping of splits."""
        if path.is_file():
            kind = _FORMATS[path.suffix.lower()]
            file = str(path.resolve())
            return datasets.load_dataset(kind, self.config, data_files=file, cache_dir=self.cache)
        if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
            return datasets.load_from_disk(str(path))
        if not path.exists() and _is_format(self.dataset):
            # datasets would read all files in the current folder
            raise FileNotFoundError(f"{self.dataset} is a format, not a data set")
        # an absolute path cannot be taken for a name
        place = str(path.resolve()) if path.exists() else self.dataset
        return datasets.load_dataset(
            place, self.config, revision=self.revision, cache_dir=self.cache
        )

    def _failure(self, path: Path, error: Exception) -> str:
        """Return the message for a data set that cannot be loaded."""
        reason = _first_line(error)
        if error.__cause__ is not None:
            reason += f"; {_first_line(error.__cause__)}"
        if path.exists():
            settings = f" with config {self.config!r}" if self.config else ""
            return (
                f"cannot load the data set from {path.resolve()}{settings} ({reason}); expected a "
                "folder that save_to_disk wrote, a folder of tables or pictures, or a file that "
                f"ends in {', '.join(_FORMATS)}"
            )
        return (
            f"cannot load the data set {self.dataset!r}: looked for the local path "
            f"{path.absolute()}, which does not exist, then for that name on the Hugging Face hub "
            f"with config {self.config!r} and revision {self.revision!r} ({reason}); check the "
            "name, and whether this machine is online. Without a network, download it elsewhere, "
            "save it with save_to_disk, and set dataset to that folder"
        )

    def _splits(self, splits: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the training and the test split, cut to the limit, the test split held out."""
        for name in (self.train, self.test):
            if name is not None and name not in splits:
                raise DataError(
                    f"{self.dataset}: no split {name!r}; it has {', '.join(splits)}; "
                    "set train and test to two of them"
                )
        usual = (name for name in ("test", "validation") if name in splits and name != self.train)
        test_name = self.test or next(usual, None)
        if test_name == self.train:
            raise DataError(
                f"{self.dataset}: train and test are both {test_name!r}; "
                "leave test out to hold samples out"
            )
        chosen = [splits[key] for key in (self.train, test_name) if key is not None]
        if not all(map(len, chosen)):
            raise DataError(
                f"{self.dataset}: expected samples in the splits {self.train} and {test_name}, "
                "got an empty one"
            )
        if self.limit is not None:
            chosen = [rows.select(range(min(self.limit, len(rows)))) for rows in chosen]
        if test_name is not None:
            return chosen[0], chosen[1]
        rows = chosen[0]
        train, test = held_out(len(rows), self.test_share, f"{self.dataset}, split {self.train}")
        return rows.select(train.tolist()), rows.select(test.tolist())

    def _named_columns(self, features: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """Return the columns of pictures and of classes, as set or by their types."""
        pictures = _columns_of(features, "Image")
        if self.image_column is not None and self.image_column not in pictures:
            raise self._wrong_column("image_column", "pictures", features)
        if self.image_column is None and len(pictures) > 1:
            raise self._several_columns("image_column", "pictures", pictures, features)
        classes = _columns_of(features, "ClassLabel")
        # any column may be set as the classes: numbered() says whether its values can be
        if self.label_column is not None and self.label_column not in features:
            raise self._wrong_column("label_column", "named classes", features)
        if self.label_column is None and len(classes) > 1:
            raise self._several_columns("label_column", "named classes", classes, features)
        image = self.image_column or next(iter(pictures), None)
        label = self.label_column or next(iter(classes), None)
        return image, label

    def _wrong_column(self, setting: str, words: str, features: Mapping[str, Any]) -> DataError:
        return DataError(
            f"{self.dataset}: {setting} is {getattr(self, setting)!r}, which is no column of "
            f"{words}; the columns are {_types(features)}"
        )

    def _several_columns(
        self, setting: str, words: str, columns: list[str], features: Mapping[str, Any]
    ) -> DataError:
        return DataError(
            f"{self.dataset}: several columns hold {words} ({', '.join(columns)}); "
            f"set {setting} to one of them; the columns are {_types(features)}"
        )

    def _table(self, features: Mapping[str, Any], label: str | None) -> list[str]:
        """Return the columns that become variables where there are no pictures."""
        columns = []
        for name, feature in features.items():
            if name != label and _is_numeric(feature):
                columns.append(name)
        if not columns:
            raise DataError(
                f"{self.dataset}: expected a column of pictures or numeric columns; "
                f"the columns are {_types(features)}"
            )
        if LABEL in columns:
            raise DataError(
                f"{self.dataset}: a column called {LABEL!r} must be the classes; "
                f"set label_column = {LABEL!r} or rename it"
            )
        return columns

    def _images(self, rows: Any, column: str, split: str) -> Tensor:
        """Read a column of pictures, shape (n, H, W) or (n, 3, H, W)."""
        datasets = importlib.import_module("datasets")
        # cast, because a column may be stored with decoding turned off
        rows = rows.select_columns([column]).cast_column(column, datasets.Image())
        named = (
            (f"row {i} of the {split} split", partial(_picture, rows, i, column))
            for i in range(len(rows))
        )
        return read_pictures(named, self.size, self.colour, f"{self.dataset}, column {column}")

    def _column(self, train: Any, test: Any, name: str, is_class: bool = False) -> Column:
        """Read a numeric column, or one of classes."""
        origin = f"{self.dataset}, column {name}"
        if name not in test.features:
            raise DataError(f"{origin}: the test split lacks it; it has {_types(test.features)}")
        train_values = _values(train, name, f"{origin} of the training split")
        test_values = _values(test, name, f"{origin} of the test split")
        feature = train.features[name]
        test_feature = test.features[name]
        if getattr(feature, "names", None) != getattr(test_feature, "names", None):
            raise DataError(
                f"{origin}: the classes have other names in the test split than in the training "
                "split"
            )
        if is_class or type(feature).__name__ == "ClassLabel":
            train_classes, test_classes = numbered(train_values, test_values, origin)
            classes = getattr(feature, "num_classes", 2)
            return class_column(train_classes, test_classes, origin, classes)
        if not _is_numeric(test_feature):
            raise DataError(
                f"{origin}: expected numbers in the test split too, "
                f"got {_types({name: test_feature})}"
            )
        if feature.dtype == test_feature.dtype == "bool":
            return array_column(Variable(kind="binary"), train_values, test_values)
        return array_column(Variable(kind="real"), train_values, test_values)

    @classmethod
    def tiny(cls) -> Self:
        """Write a few noise pictures into a temporary folder.

        Loading them needs ``datasets``, but no network.
        """
        import tempfile

        from coplay.data.sources.image_folder import write_noise

        folder = Path(tempfile.mkdtemp(prefix="coplay-hugging-face-"))
        write_noise(folder / "noise" / "train")
        return cls(dataset=str(folder / "noise"), cache=str(folder / "cache"))


def _first_line(error: BaseException) -> str:
    """Return an error's class and the first line of its message."""
    message = str(error).strip() or "no words"
    return f"{type(error).__name__}: {message.splitlines()[0]}"


def _columns_of(features: Mapping[str, Any], kind: str) -> list[str]:
    """Return the columns whose type has this name."""
    return [name for name, feature in features.items() if type(feature).__name__ == kind]


def _is_format(name: str) -> bool:
    """Whether a name is one of the formats that ``datasets`` reads, such as ``csv``."""
    if not name.isidentifier():
        return False
    return importlib.util.find_spec(f"datasets.packaged_modules.{name}") is not None


def _is_numeric(feature: Any) -> bool:
    """Whether a column holds numbers, bools or named classes."""
    if type(feature).__name__ == "ClassLabel":
        return True
    kind = feature.dtype if type(feature).__name__ == "Value" else ""
    return kind == "bool" or kind.startswith(("int", "uint", "float"))


def _types(features: Mapping[str, Any]) -> str:
    """List columns with their types, for an error."""
    columns = []
    for name, feature in features.items():
        kind = type(feature).__name__
        if kind == "Value":
            kind = feature.dtype
        columns.append(f"{name} ({kind})")
    return ", ".join(columns) or "none"


def _values(rows: Any, column: str, origin: str) -> np.ndarray:
    """Return one column as an array, with numbers of the type they were stored as."""
    values = rows.select_columns([column]).with_format("arrow")[:].column(column)
    if values.null_count:
        first = int(np.flatnonzero(values.is_null().to_numpy())[0])
        raise DataError(
            f"{origin}: {values.null_count} of {len(values)} values are empty, the first in row "
            f"{first}; fill them"
        )
    array: np.ndarray = values.to_numpy()
    texts = getattr(rows.features[column], "dtype", None) in ("string", "large_string")
    return array.astype(str) if texts else array


def _picture(rows: Any, i: int, column: str) -> Image:
    """Decode the picture in one row."""
    picture: Image | None = rows[i][column]
    if picture is None:
        raise ValueError("there is no picture in this row")
    return picture
