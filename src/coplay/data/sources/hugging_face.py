"""Data sets of the package ``datasets``: from the Hugging Face hub, its cache, or local files."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, PositiveInt

from coplay.core.errors import DataError
from coplay.core.temporary import temporary_folder
from coplay.core.variable import Variable
from coplay.data.classes import class_column, named_column
from coplay.data.column import Column, array_column, real_column
from coplay.data.hub_split import (
    HubSplit,
    check_caches,
    columns_of,
    is_numeric,
    picture_in,
    types_of,
)
from coplay.data.local_files import local_data, parquet_splits
from coplay.data.pictures import Pictures, image_column, read_pictures
from coplay.data.sources.base import LABEL, Dataset, Source, assemble, held_out, missing
from coplay.data.tables.formats import ENDINGS, ending, stem


class HuggingFace(Source):
    """A data set of the package ``datasets``: a name on the Hugging Face hub, or a local path.

    A local path may be a folder that ``save_to_disk`` wrote, a folder of CSV, Parquet, JSON or
    picture files (``train.csv`` and ``test.csv`` are splits), or one such table. What exists
    locally goes before the hub, is read from where it lies, and is copied nowhere: tables by the
    source ``table``, which has more settings for them, folders of pictures by ``image_folder``.

    If there is a column of pictures, it becomes the variable ``image``. If there is none, every
    numeric column but the label becomes a real variable, every column of bools a binary one, and
    every column with named classes a categorical one; a note names the columns of other types,
    which are not read. Needs ``pip install 'coplay[data]'``.

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
        white: The value of a white pixel, such as 4095 for 12 bits in pictures of 16.
        limit: Read only the first so many samples of each split.
        cache: Where ``datasets`` keeps its copies of what comes from the hub; by default its usual
            folder.

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
    white: float | None = Field(default=None, gt=0)
    limit: PositiveInt | None = None
    cache: str | None = None

    def at(self, home: Path) -> Self:
        """Return the source with a local data set taken from a folder; others have a name."""
        place = home / Path(self.dataset).expanduser()
        is_path = place.exists() or self.dataset.startswith((".", "/", "~"))
        return self.model_copy(update={"dataset": str(place)}) if is_path else self

    def load(self) -> Dataset:
        """Load what is local by coplay's own readers, the rest through ``datasets``."""
        path = Path(self.dataset).expanduser()
        self._check_place(path)
        data = local_data(self, path)
        if data is not None:
            return replace(data, name=self._title(path))
        splits = self._open(path)
        train, test = self._splits(splits)
        image, label = self._named_columns(train.features)
        for name in (image, label):
            if name is not None and name not in test.features:
                raise DataError(
                    f"{self.dataset}: the test split lacks the column {name}; "
                    f"it has {types_of(test.features)}"
                )
        used = [] if image is None else [image]
        columns: dict[str, Column] = {}
        notes: list[str] = []
        if image is not None:
            columns["image"], notes = self._images(train, test, image)
        else:
            used = self._table(train.features, label)
            for name in used:
                columns[name] = self._column(train, test, name)
        if label is not None:
            columns[LABEL] = self._column(train, test, label, is_class=True)
        read = [*used, label]
        unread = {name: kind for name, kind in train.features.items() if name not in read}
        if unread:
            notes.append(f"not read: the columns {types_of(unread)}")
        return assemble(
            self._title(path), columns, [*self._unread_splits(splits, train, test), *notes]
        )

    def _unread_splits(
        self, splits: Mapping[str, Any], train: HubSplit, test: HubSplit
    ) -> list[str]:
        """Say which splits and samples are not read."""
        notes = []
        others = [name for name in splits if name not in (train.name, test.name)]
        if others:
            notes.append(f"not read: the splits {', '.join(others)}")
        for name in dict.fromkeys((train.name, test.name)):
            if self.limit is not None and len(splits[name]) > self.limit:
                notes.append(
                    f"read the first {self.limit:,} of {len(splits[name]):,} samples of the split "
                    f"{name}, as set by limit"
                )
        return notes

    def _title(self, path: Path) -> str:
        """Return what reports call the data set."""
        if path.is_file():
            title = stem(path)
        elif path.exists():
            title = path.resolve().name
        else:
            title = self.dataset
        return f"{title} ({self.config})" if self.config else title

    def _open(self, path: Path) -> Mapping[str, Any]:
        """Return all splits by name."""
        try:
            datasets = importlib.import_module("datasets")
        except ImportError as error:
            raise DataError(
                f"the source 'hugging_face' needs the package datasets ({error}); "
                "pip install 'coplay[data]'"
            ) from error
        try:
            loaded = self._load(datasets, path)
        except DataError:
            raise
        except Exception as error:
            # datasets and the hub's client raise classes of their own and of others
            raise DataError(self._failure(path, error)) from error
        return loaded if isinstance(loaded, Mapping) else {self.train: loaded}

    def _check_place(self, path: Path) -> None:
        """Check what can be checked without the package ``datasets``."""
        if path.is_file() and ending(path) not in ENDINGS:
            raise DataError(
                f"{path}: expected a folder or a file that ends in {', '.join(ENDINGS)}"
            )
        # a name on the hub is NAME or OWNER/NAME
        is_path = self.dataset[0] in "./~" or self.dataset.count("/") > 1
        if (is_path or ending(path) in ENDINGS) and not path.exists():
            raise missing("file or folder", path)
        if path.exists() and self.revision is not None:
            raise DataError(
                f"{path} is local and has no revisions; leave revision = {self.revision!r} out"
            )

    def _load(self, datasets: Any, path: Path) -> Any:
        """Return one split or a mapping of splits."""
        if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
            return datasets.load_from_disk(str(path))
        if path.exists():
            return parquet_splits(self, path)
        if _is_format(self.dataset):
            # datasets would read all files in the current folder
            raise FileNotFoundError(f"{self.dataset} is a format, not a data set")
        check_caches(self.cache or datasets.config.HF_DATASETS_CACHE)
        return datasets.load_dataset(
            self.dataset, self.config, revision=self.revision, cache_dir=self.cache
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
                f"ends in {', '.join(ENDINGS)}"
            )
        return (
            f"cannot load the data set {self.dataset!r}: looked for the local path "
            f"{path.absolute()}, which does not exist, then for that name on the Hugging Face hub "
            f"with config {self.config!r} and revision {self.revision!r} ({reason}); check the "
            "name, and whether this machine is online. Without a network, download it elsewhere, "
            "save it with save_to_disk, and set dataset to that folder"
        )

    def _splits(self, splits: Mapping[str, Any]) -> tuple[HubSplit, HubSplit]:
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
        chosen = []
        for key in (self.train, test_name):
            if key is not None:
                count = len(splits[key])
                chosen.append(
                    HubSplit(key, splits[key], np.arange(min(count, self.limit or count)))
                )
        if not all(map(len, chosen)):
            raise DataError(
                f"{self.dataset}: expected samples in the splits {self.train} and {test_name}, "
                "got an empty one"
            )
        if len(chosen) == 2:
            return chosen[0], chosen[1]
        whole = chosen[0]
        train, test = held_out(len(whole), self.test_share, f"{self.dataset}, split {self.train}")
        return whole.part(train.numpy()), whole.part(test.numpy())

    def _named_columns(self, features: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """Return the columns of pictures and of classes, as set or by their types."""
        pictures = columns_of(features, "Image")
        if self.image_column is not None and self.image_column not in pictures:
            raise self._wrong_column("image_column", "pictures", features)
        if self.image_column is None and len(pictures) > 1:
            raise self._several_columns("image_column", "pictures", pictures, features)
        classes = columns_of(features, "ClassLabel")
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
            f"{words}; the columns are {types_of(features)}"
        )

    def _several_columns(
        self, setting: str, words: str, columns: list[str], features: Mapping[str, Any]
    ) -> DataError:
        return DataError(
            f"{self.dataset}: several columns hold {words} ({', '.join(columns)}); "
            f"set {setting} to one of them; the columns are {types_of(features)}"
        )

    def _table(self, features: Mapping[str, Any], label: str | None) -> list[str]:
        """Return the columns that become variables where there are no pictures."""
        columns = []
        for name, feature in features.items():
            if name != label and is_numeric(feature):
                columns.append(name)
        if not columns:
            raise DataError(
                f"{self.dataset}: expected a column of pictures or numeric columns; "
                f"the columns are {types_of(features)}"
            )
        if LABEL in columns:
            raise DataError(
                f"{self.dataset}: a column called {LABEL!r} must be the classes; "
                f"set label_column = {LABEL!r} or rename it"
            )
        return columns

    def _images(self, train: HubSplit, test: HubSplit, column: str) -> tuple[Column, list[str]]:
        """Read a column of pictures."""
        origin = f"{self.dataset}, column {column}"
        pictures = [self._pictures(split, column, origin) for split in (train, test)]
        images = image_column(
            pictures[0].values,
            pictures[1].values,
            None if self.grey else self.threshold,
            origin,
            self.white,
            max(split.largest for split in pictures),
        )
        notes = [*pictures[0].notes]
        notes += [note for note in pictures[1].notes if note not in notes]
        return images, notes

    def _pictures(self, split: HubSplit, column: str, origin: str) -> Pictures:
        """Decode the pictures of a split."""
        datasets = importlib.import_module("datasets")
        # cast, because a column may be stored with decoding turned off
        rows = split.rows.select_columns([column]).cast_column(column, datasets.Image())
        named = (
            (f"row {number} of the split {split.name}", partial(picture_in, rows, number, column))
            for number in split.numbers.tolist()
        )
        return read_pictures(named, self.size, self.colour, origin)

    def _column(self, train: HubSplit, test: HubSplit, name: str, is_class: bool = False) -> Column:
        """Read a numeric column, or one of classes."""
        origin = f"{self.dataset}, column {name}"
        if name not in test.features:
            raise DataError(f"{origin}: the test split lacks it; it has {types_of(test.features)}")
        train_values = train.values(name, origin)
        test_values = test.values(name, origin)
        feature = train.features[name]
        test_feature = test.features[name]
        names = getattr(feature, "names", None)
        if names != getattr(test_feature, "names", None):
            raise DataError(
                f"{origin}: the classes have other names in the test split than in the training "
                "split"
            )
        variable = LABEL if is_class else name
        if names is not None:
            return named_column(train_values, test_values, names, origin, variable)
        if is_class:
            return class_column(train_values, test_values, origin, variable)
        if not is_numeric(test_feature):
            raise DataError(
                f"{origin}: expected numbers in the test split too, "
                f"got {types_of({name: test_feature})}"
            )
        if feature.dtype == test_feature.dtype == "bool":
            return array_column(Variable(kind="binary"), train_values, test_values)
        return real_column(train_values, test_values, name, origin)

    @classmethod
    def tiny(cls) -> Self:
        """Write a few noise pictures into a temporary folder.

        Loading them needs ``datasets``, but no network.
        """
        from coplay.data.sources.image_folder import write_noise

        folder = temporary_folder("hugging-face")
        write_noise(folder / "noise" / "train")
        return cls(dataset=str(folder / "noise"), cache=str(folder / "cache"))


def _first_line(error: BaseException) -> str:
    """Return an error's class and the first line of its message."""
    message = str(error).strip() or "no words"
    return f"{type(error).__name__}: {message.splitlines()[0]}"


def _is_format(name: str) -> bool:
    """Whether a name is one of the formats that ``datasets`` reads, such as ``csv``."""
    if not name.isidentifier():
        return False
    return importlib.util.find_spec(f"datasets.packaged_modules.{name}") is not None
