"""Frames of pandas for estimators that want them: columns by name, categories as texts.

SDV's ``CTGAN`` and its synthesizers, and ``TabularARGN`` of mostlyai-engine, are fitted on a frame
and draw one. A number of a vector has a column of its own, such as ``dose[1]``.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import numpy as np

from coplay.core.errors import ModelError
from coplay.core.space import Space, Variable

_PACKAGES = ("ctgan", "sdv", "mostlyai", "be_great")
_COUNTS = ("num_rows", "n_samples", "n", "size")  # what a number of rows is called


def takes_frames(name: str, model: Any) -> bool:
    """Whether an estimator is fitted on frames, as far as one can know.

    It says so by an attribute ``fits_frames``. If it does not, it takes them where it is of a
    package whose classes do, where ``fit`` is annotated with a frame or knows ``discrete_columns``,
    or where ``sample`` has ``num_rows``.

    Args:
        name: ``"package.module:Class"``.
        model: An instance.

    Example:
        >>> class Synthesizer:
        ...     def fit(self, data): ...
        ...     def sample(self, num_rows): ...
        >>> takes_frames("mine:Synthesizer", Synthesizer())
        True
    """
    own = getattr(model, "fits_frames", None)
    if own is not None:
        return bool(own)
    if name.partition(":")[0].split(".")[0] in _PACKAGES:
        return True
    fit = _parameters(model.fit)
    annotated = any("DataFrame" in str(parameter.annotation) for parameter in fit.values())
    return annotated or "discrete_columns" in fit or "num_rows" in _parameters(model.sample)


def _parameters(method: Any) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(method).parameters)
    except (TypeError, ValueError):  # of a builtin, or of C
        return {}


def columns_of(space: Space) -> dict[str, Variable]:
    """Return the columns of a frame, each with its variable.

    Example:
        >>> of = {"sex": Variable(kind="binary"), "dose": Variable(kind="real", shape=(2,))}
        >>> list(columns_of(Space(of)))
        ['sex', 'dose[0]', 'dose[1]']
    """
    columns = {}
    for name in space:
        v = space[name]
        if not v.shape:
            columns[name] = v
            continue
        for place in np.ndindex(v.shape):
            columns[f"{name}[{','.join(map(str, place))}]"] = v
    return columns


def as_frame(space: Space, rows: np.ndarray) -> Any:
    """Return rows as a frame.

    Args:
        space: The variables.
        rows: In their own units, side by side, shape (n, D), float64.

    Raises:
        ModelError: pandas is not installed.
    """
    pandas = _pandas()
    series = {}
    for (title, v), values in zip(columns_of(space).items(), rows.T, strict=True):
        if v.kind == "categorical":
            names = np.array(v.class_names, dtype=object)
            series[title] = names[values.astype(np.int64)]
        else:
            series[title] = values if v.kind == "real" else values.round().astype(np.int64)
    return pandas.DataFrame(series)


def fit(model: Any, space: Space, rows: np.ndarray) -> None:
    """Fit an estimator on rows as a frame; one that asks for discrete columns is told them."""
    named: dict[str, Any] = {}
    if "discrete_columns" in _parameters(model.fit):
        discrete = ("binary", "categorical")
        columns = columns_of(space).items()
        named["discrete_columns"] = [title for title, v in columns if v.kind in discrete]
    model.fit(as_frame(space, rows), **named)


def draw(model: Any, n: int, **named: Any) -> Any:
    """Return what ``sample`` draws, whatever it calls the number of rows."""
    for name, parameter in _parameters(model.sample).items():
        if parameter.kind is parameter.KEYWORD_ONLY and name in _COUNTS:
            return model.sample(**{name: n}, **named)
        if parameter.kind is not parameter.KEYWORD_ONLY:
            break
    return model.sample(n, **named)


def is_frame(drawn: Any) -> bool:
    """Whether something is a frame of pandas."""
    return hasattr(drawn, "columns") and hasattr(drawn, "iloc")


def as_rows(title: str, space: Space, frame: Any) -> np.ndarray:
    """Return a frame that was drawn as rows, shape (n, D), float64; other columns are left out.

    Args:
        title: The estimator, for errors.
        space: The variables.
        frame: With a column of every one.

    Raises:
        ModelError: Columns are missing, a text is none of a category's levels, or a value is
            missing or no number; it names all columns at fault.
    """
    names = [str(name) for name in frame.columns]
    columns = columns_of(space)
    lacking = [column for column in columns if column not in names]
    if lacking:
        raise ModelError(
            f"{title} drew a frame without {', '.join(lacking)}; it has {', '.join(names)}"
        )
    faults = []
    rows = np.zeros((len(frame), len(columns)))
    for i, (column, v) in enumerate(columns.items()):
        values = frame.iloc[:, names.index(column)].tolist()
        numbers = [_number(value, v) for value in values]
        wrong = [row for row, number in enumerate(numbers) if number is None]
        if wrong:
            faults.append(_fault(column, v, values[wrong[0]], wrong))
            continue
        rows[:, i] = numbers
    if faults:
        raise ModelError(f"{title} drew " + "; ".join(faults))
    return rows


def _number(value: Any, v: Variable) -> float | None:
    """Return a value as a number, a level by its text; None if it is none."""
    if v.kind == "categorical":
        names = v.class_names
        for text in (str(value), str(value).removesuffix(".0")):
            if text in names:
                return float(names.index(text))
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _fault(column: str, v: Variable, value: Any, wrong: list[int]) -> str:
    place = f"row {wrong[0]}"
    if len(wrong) > 1:
        place = f"{len(wrong)} rows, first {wrong[0]}"
    expected = "a finite number"
    if v.kind == "categorical":
        names = v.class_names
        more = ", …" if len(names) > 10 else ""
        expected = f"one of {', '.join(names[:10])}{more}"
    return f"{value!r} in column '{column}' in {place}, expected {expected}"


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise ModelError(
            f"an estimator that is fitted on frames needs pandas ({error}); pip install pandas"
        ) from error
