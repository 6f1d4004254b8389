"""Data that were in memory: a frame or arrays of the session that played."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PrivateAttr

from coplay.core.errors import DataError
from coplay.data.sources.base import Dataset, Source

Missing = Literal["refuse", "drop rows", "keep"]
"""What becomes of rows with a missing value."""


class Memory(Source):
    """Data that were in memory when a run began, and what they were.

    A run folder holds no data, so whoever goes on with the run gives them again.

    Args:
        form: What they were given as.
        dtypes: Type of each column or array by name, in their order.
        words: By column of two texts such as no and yes, those that stand for 0 and 1.
        missing: What became of rows with a missing value.

    Example:
        >>> Memory(form="pandas").load()
        Traceback (most recent call last):
        coplay.core.errors.DataError: these data (pandas) were in memory, and no config or run
        folder holds data; give them: coplay.play({PLAYER: DATA}) begins with them, and
        Federation.resume(FOLDER, given={PLAYER: DATA}) goes on
    """

    form: Literal["pandas", "polars", "pyarrow", "arrays", "pair", "dataset"] = "dataset"
    dtypes: dict[str, str] = Field(default_factory=dict)
    words: dict[str, tuple[str, str]] = Field(default_factory=dict)
    missing: Missing = "refuse"

    _given: Dataset | None = PrivateAttr(default=None)

    def holding(self, data: Dataset) -> Self:
        """Return the source with its data, for this process only."""
        source = self.model_copy()
        source._given = data
        return source

    def load(self) -> Dataset:
        """Return the data where this process was given them."""
        if self._given is None:
            raise DataError(
                f"these data ({self.form}) were in memory, and no config or run folder holds data; "
                "give them: coplay.play({PLAYER: DATA}) begins with them, and "
                "Federation.resume(FOLDER, given={PLAYER: DATA}) goes on"
            )
        return self._given

    @classmethod
    def tiny(cls) -> Self:
        """Hold a few rows."""
        from coplay.data.sources.table import Table

        return cls(form="pandas", dtypes={"dose": "float64"}).holding(Table.tiny().load())
