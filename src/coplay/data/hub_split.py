"""Splits of the package ``datasets``: some of their rows, which keep their numbers."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from coplay.core.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image


def check_caches(folder: str | Path) -> None:
    """Refuse cache folders that cannot be written, before anything is downloaded.

    Args:
        folder: Where ``datasets`` keeps its copies.

    Raises:
        DataError: It, or the folder of the hub's client, cannot be written.
    """
    client = importlib.import_module("huggingface_hub.constants")
    helps = {
        Path(folder): "set cache to a folder where the package datasets may keep its copies",
        Path(client.HF_HUB_CACHE): "set the environment variable HF_HOME to another folder",
    }
    for place, help in helps.items():
        try:
            place.expanduser().mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=place.expanduser()).close()
        except OSError as error:
            reason = error.strerror or error
            raise DataError(
                f"the cache folder {place} cannot be written ({reason}); {help}"
            ) from error


@dataclass(frozen=True)
class HubSplit:
    """Some rows of a split.

    Args:
        name: The split's name.
        rows: All of its rows.
        numbers: Numbers of those that are read, from 0, shape (n,).
    """

    name: str
    rows: Any
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def features(self) -> Mapping[str, Any]:
        """The columns with their types."""
        features: Mapping[str, Any] = self.rows.features
        return features

    def part(self, places: np.ndarray) -> HubSplit:
        """Return some of the rows that are read."""
        return replace(self, numbers=self.numbers[places])

    def values(self, column: str, origin: str) -> np.ndarray:
        """Return one column as an array, with numbers of the type they were stored as."""
        rows = self.rows.select_columns([column]).with_format("arrow")
        values = rows[:].column(column).take(self.numbers)
        empty = values.is_null(nan_is_null=True).to_numpy()
        if empty.any():
            first = self.numbers[np.flatnonzero(empty)[0]]
            raise DataError(
                f"{origin} of the split {self.name}: {int(empty.sum())} of {len(values)} values "
                f"are empty, the first in row {first} (from 0); fill them, or leave their rows out"
            )
        array: np.ndarray = values.to_numpy()
        texts = getattr(self.features[column], "dtype", None) in ("string", "large_string")
        return array.astype(str) if texts else array


def columns_of(features: Mapping[str, Any], kind: str) -> list[str]:
    """Return the columns whose type has this name."""
    return [name for name, feature in features.items() if type(feature).__name__ == kind]


def is_numeric(feature: Any) -> bool:
    """Whether a column holds numbers, bools or named classes."""
    if type(feature).__name__ == "ClassLabel":
        return True
    kind = feature.dtype if type(feature).__name__ == "Value" else ""
    return kind == "bool" or kind.startswith(("int", "uint", "float"))


def types_of(features: Mapping[str, Any]) -> str:
    """List columns with their types, for an error."""
    columns = []
    for name, feature in features.items():
        kind = type(feature).__name__
        if kind == "Value":
            kind = feature.dtype
        columns.append(f"{name} ({kind})")
    return ", ".join(columns) or "none"


def picture_in(rows: Any, i: int, column: str) -> Image:
    """Decode the picture in one row."""
    picture: Image | None = rows[i][column]
    if picture is None:
        raise ValueError("there is no picture in this row")
    return picture
