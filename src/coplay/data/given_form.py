"""Samples in the form in which data were given: the same library, columns, order and types."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from coplay.core.space import LABEL, Samples, Space
from coplay.core.variable import Variable
from coplay.data.sources.memory import Memory
from coplay.data.tables.dates import DAYS, HOURS

_MIDNIGHT = datetime(1970, 1, 1)


def as_given(samples: Samples, space: Space, source: Memory) -> Any:
    """Return samples in the form of the data that a source was given.

    What was given comes first, in its order; variables that a player learned from others follow.

    Args:
        samples: The samples, n of them.
        space: Their variables.
        source: What the data were.

    Returns:
        A frame of the same library; arrays by name; or a pair (X, y).

    Example:
        >>> import torch
        >>> from coplay.core.variable import Variable
        >>> space = Space({"dose": Variable(kind="real")})
        >>> given = Memory(form="arrays", dtypes={"dose": "int64"})
        >>> as_given(space.samples(dose=torch.tensor([1.2, 2.9])), space, given)
        {'dose': array([1, 3])}
    """
    present = [str(name) for name in samples.keys()]
    own = [name for name in source.dtypes if name in present]
    names = own + [name for name in space if name in present and name not in own]
    columns = {}
    for name in names:
        values = samples[name].numpy()
        columns[name] = _values(values, space[name], source.dtypes.get(name, ""), source, name)
    if source.form in ("pandas", "polars", "pyarrow"):
        return _frame(columns, space, source)
    if source.form == "pair":
        return _pair(columns)
    return columns


def _values(
    values: np.ndarray, variable: Variable, dtype: str, source: Memory, name: str
) -> np.ndarray:
    """Return the values of one variable as they were given."""
    if variable.unit in (DAYS, HOURS) and dtype:
        return _moments(values, variable.unit, dtype)
    if variable.kind == "categorical":
        texts = np.array(variable.class_names)[values]
        return _of_dtype(texts, dtype)
    if name in source.words and not dtype.lower().startswith("bool"):
        return _of_dtype(np.array(source.words[name])[values], dtype)
    if variable.kind == "binary" and not dtype:
        return values.astype(np.bool_)
    return _of_dtype(values, dtype)


def _moments(values: np.ndarray, unit: str, dtype: str) -> np.ndarray:
    """Return dates and times of day as they were given: as values of Python, or texts."""
    kind = dtype.lower()
    moments = np.empty(len(values), object)
    for place, value in enumerate(values.tolist()):
        if value != value:
            continue
        if unit == HOURS:
            clock = _MIDNIGHT + timedelta(seconds=round(value * 3600) % 86400)
            moments[place] = clock.time() if kind.startswith("time") else str(clock.time())
            continue
        moment = _MIDNIGHT + timedelta(microseconds=round(value * 86400e6))
        day = (_MIDNIGHT + timedelta(days=round(value))).date()
        if kind.startswith("datetime"):
            moments[place] = moment
        else:
            moments[place] = day if kind.startswith("date") else str(day)
    return moments


def _of_dtype(values: np.ndarray, dtype: str) -> np.ndarray:
    """Return values in the type that they had, where numpy has it."""
    kind = dtype.lower().partition("[")[0].removeprefix("category of ")  # int64[pyarrow]
    if kind == "float":  # so pyarrow calls its 32 bits
        kind = "float32"
    if kind.startswith("bool") and values.dtype.kind in "iuf":
        return values.astype(np.bool_)
    if kind.startswith(("int", "uint")):
        exact = values.astype(np.float64)
        limits = np.iinfo(kind)
        return np.rint(exact).clip(limits.min, limits.max).astype(kind)
    if kind.startswith("float"):
        return values.astype(kind)
    return values


def _frame(columns: Mapping[str, np.ndarray], space: Space, source: Memory) -> Any:
    """Return columns as a frame of the library that the data came in."""
    import narwhals as nw

    plain = {name: values.tolist() for name, values in columns.items()}
    library: Any = source.form
    frame = nw.from_dict(plain, backend=library)
    if source.form == "pandas":
        native: Any = frame.to_native()
        for name, dtype in source.dtypes.items():
            if name in columns:
                native[name] = _as_pandas(native[name], dtype, space[name])
        return native
    casts = []
    for name, dtype in source.dtypes.items():
        if name not in columns:
            continue
        kind = dtype.partition("(")[0]
        if kind == "Enum":
            casts.append(nw.col(name).cast(nw.Enum(list(space[name].class_names))))
        elif kind in ("Decimal", "Unknown", "Object"):
            continue
        else:
            casts.append(nw.col(name).cast(getattr(nw, kind)))
    return frame.with_columns(*casts).to_native()


def _as_pandas(column: Any, dtype: str, variable: Variable) -> Any:
    """Return a column of pandas in the type that it had."""
    if dtype.startswith("datetime64") and "," in dtype:  # the moments are those of its zone's UTC
        return column.astype("datetime64[ns]").dt.tz_localize("UTC").astype(dtype)
    if not dtype.startswith("category"):
        return column.astype(dtype)
    pandas = importlib.import_module("pandas")  # it has no types of its own
    if variable.kind != "categorical":
        return column.astype("category")
    names = _of_dtype(np.array(variable.class_names), dtype)
    return column.astype(pandas.CategoricalDtype(list(names)))


def _pair(columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return columns as a pair (X, y)."""
    target = LABEL if LABEL in columns else "y"
    inputs = [values for name, values in columns.items() if name != target]
    if len(inputs) == 1 and inputs[0].ndim > 1:
        return inputs[0], columns[target]
    return np.stack(inputs, axis=1), columns[target]
