"""Local files that ``hugging_face`` is pointed at: read by coplay's own readers, copied nowhere.

The package ``datasets`` keeps a copy of every table that it reads in its cache, and takes a path
with brackets for a pattern. So it sees no local path here.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coplay.core.errors import DataError
from coplay.core.space import pick
from coplay.data.sources.base import Dataset
from coplay.data.sources.image_folder import ENDINGS as PICTURES
from coplay.data.sources.image_folder import ImageFolder
from coplay.data.sources.table import Table
from coplay.data.tables.formats import ENDINGS, ending

if TYPE_CHECKING:
    from coplay.data.sources.hugging_face import HuggingFace


def local_data(source: HuggingFace, path: Path) -> Dataset | None:
    """Read a table, or a folder of tables or pictures.

    Args:
        source: The settings.
        path: What ``dataset`` names.

    Returns:
        None for a name on the hub, what ``save_to_disk`` wrote, and Parquet files that ``datasets``
        wrote with pictures or names of classes.

    Raises:
        DataError: The place holds nothing that can be read, or its files are faulty.
    """
    if not path.exists() or _was_saved(path):
        return None
    files = _tables(path, source.config)
    if files:
        if any(_has_features(file) for file in files):
            return None
        if source.image_column is not None:
            raise DataError(
                f"{path}: image_column is {source.image_column!r}, but these are tables without "
                "pictures"
            )
        _check_settings(source, path)
        train, test = _by_split(source, files, path)
        table = Table(
            file=tuple(map(str, train)),
            test_file=tuple(map(str, test)) or None,
            label_column=source.label_column,
            test_share=source.test_share,
            limit=source.limit,
        )
        note = "read by the source 'table', which has more settings for local tables"
        unread = [str(file) for file in files if file not in (*train, *test)]
        if source.cache is not None:
            note += "; cache is not used, since nothing of local files is copied"
        if unread:
            note += f"; nothing is read of {', '.join(unread)}"
        try:
            return _noted(table.load(), note)
        except DataError as error:
            instead = f'name = "table", file = "{train[0]}"'
            raise DataError(
                f"{error}\n(the settings for that are those of the source 'table': {instead})"
            ) from error
    if path.is_dir() and any(not entry.name.startswith(".") for entry in path.iterdir()):
        return _pictures(source, path)
    raise DataError(
        f"cannot load the data set from {path.resolve()} (there are no files); expected a folder "
        "that save_to_disk wrote, a folder of tables or pictures, or a file that ends in "
        f"{', '.join(ENDINGS)}"
    )


def _check_settings(source: HuggingFace, path: Path) -> None:
    """Refuse settings of pictures for tables."""
    of_pictures = ("size", "colour", "grey", "threshold", "white")
    given = []
    for name in of_pictures:
        if getattr(source, name) != type(source).model_fields[name].default:
            given.append(name)
    if given:
        raise DataError(
            f"{path}: {', '.join(given)} are settings of pictures, but these are tables without "
            "pictures; leave them out"
        )


def parquet_splits(source: HuggingFace, path: Path) -> dict[str, Any]:
    """Open Parquet files that ``datasets`` wrote, in memory, as splits by name.

    Args:
        source: The settings.
        path: A file or a folder.
    """
    datasets = importlib.import_module("datasets")
    train, test = _by_split(source, _tables(path, source.config), path)
    splits = {source.train: _opened(datasets, train)}
    if test:
        splits[source.test or "test"] = _opened(datasets, test)
    return splits


def _opened(datasets: Any, files: Sequence[Path]) -> Any:
    """Return the rows of some Parquet files, one after the other."""
    parquet = importlib.import_module("pyarrow.parquet")
    parts = []
    for file in files:
        with file.open("rb") as stream:
            parts.append(datasets.Dataset(parquet.read_table(stream)))
    return parts[0] if len(parts) == 1 else datasets.concatenate_datasets(parts)


def _was_saved(path: Path) -> bool:
    """Whether ``save_to_disk`` wrote this folder."""
    return (path / "dataset_dict.json").exists() or (path / "state.json").exists()


def _tables(path: Path, config: str | None) -> list[Path]:
    """Return the table that a path is, or those in a folder, sorted."""
    if path.is_file():
        return [path]
    root = path / config if config else path
    if not root.is_dir():
        folders = sorted(each.name for each in path.iterdir() if each.is_dir())
        there = ", ".join(folders) or "none"
        raise DataError(f"{path}: config = {config!r} is no folder in it; there are: {there}")
    files = []
    for file in sorted(root.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
        if file.is_file() and not hidden and ending(file) in ENDINGS:
            files.append(file)
    # beside pictures, a table only describes them
    has_pictures = any(file.suffix.lower() in PICTURES for file in root.rglob("*"))
    return [] if has_pictures else files


def _has_features(file: Path) -> bool:
    """Whether ``datasets`` wrote a Parquet file with pictures or names of classes."""
    if ending(file) != ".parquet":
        return False
    try:
        parquet = importlib.import_module("pyarrow.parquet")
        with file.open("rb") as stream:
            metadata = parquet.read_schema(stream).metadata or {}
    except Exception:  # the reader of tables says what is wrong
        return False
    features = metadata.get(b"huggingface", b"")
    return b'"Image"' in features or b'"ClassLabel"' in features


def _by_split(
    source: HuggingFace, files: Sequence[Path], path: Path
) -> tuple[list[Path], list[Path]]:
    """Return the files of the training and of the test split, by their names.

    Raises:
        DataError: There is no training split among several files.
    """
    if path.is_file():
        if source.test is not None:
            raise DataError(
                f"{path}: no split {source.test!r}; a single file is the training split"
            )
        return list(files), []
    train = [file for file in files if _is_of(file, source.train)]
    names = [source.test] if source.test is not None else ["test", "validation"]
    test: list[Path] = []
    for name in names:
        test = test or [file for file in files if _is_of(file, name) and file not in train]
    if not train and not test and source.test is None and source.train == "train":
        return list(files), []
    lacking = source.train if not train else source.test
    if not train or (source.test is not None and not test):
        listed = ", ".join(str(file.relative_to(path)) for file in files)
        raise DataError(
            f"{path}: no file of the split {lacking!r}; the files are {listed}. Name them with "
            'name = "table", file = […], test_file = …'
        )
    return train, test


def _is_of(file: Path, split: str) -> bool:
    """Whether a file's name or folder says that it is of a split.

    Example:
        >>> _is_of(Path("train-00000-of-00002.parquet"), "train"), _is_of(Path("training"), "train")
        (True, False)
        >>> _is_of(Path("test/a.csv"), "test")
        True
    """
    begins = re.compile(rf"{re.escape(split)}([-_.0-9]|$)")
    return bool(begins.match(file.name)) or file.parent.name == split


def _pictures(source: HuggingFace, path: Path) -> Dataset:
    """Read a folder of pictures."""
    if source.train != "train" or source.test not in (None, "test"):
        raise DataError(
            f"{path}: a folder of pictures has the splits train and test; leave train and test out"
        )
    columns = (source.image_column or "image", source.label_column or "label")
    if columns != ("image", "label"):
        raise DataError(
            f"{path}: a folder of pictures has no columns; leave image_column and label_column out"
        )
    has_only_train = (path / "train").is_dir() and not (path / "test").is_dir()
    folder = ImageFolder(
        folder=str(path / "train" if has_only_train else path),
        size=source.size,
        colour=source.colour,
        test_share=source.test_share,
        threshold=source.threshold,
        grey=source.grey,
        white=source.white,
    )
    data = _noted(folder.load(), "read by the source 'image_folder'")
    if source.limit is None:
        return data
    kept = slice(source.limit)
    counts = f"{len(data.train):,} training and {len(data.test):,} test samples"
    note = f"read the first {source.limit:,} of {counts}, as set by limit"
    return replace(_noted(data, note), train=pick(data.train, kept), test=pick(data.test, kept))


def _noted(data: Dataset, note: str) -> Dataset:
    """Return a data set with one more note, which comes first."""
    return replace(data, notes=(note, *data.notes))
