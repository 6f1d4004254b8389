"""What the columns of several tables look like side by side: shares by bin or category, and pairs.

It is what pictures of columns are drawn from. It holds shares and no rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from coplay.core.space import Samples, Space
from coplay.metrics.columns import TableColumn, table_columns

_BINS = 16
_LEVELS = 12  # categories that have a bar of their own
_WIDENED = 0.25  # of the range of real values, on either side
_COLUMNS = 60  # columns that a view has at most
REAL = "real, held out"
"""What the rows that nobody learned from are called beside samples."""


@dataclass(frozen=True)
class ColumnView:
    """One column of several tables.

    Args:
        name: The column.
        edges: Ends of the bins of a number, one more than there are bins; empty for a category.
            The first and the last bin hold what lies beyond them, too.
        levels: What the bars of a category are; empty for a number.
        shares: Of each table, the share of its values in each bin or level, among those present.
        missing: Of each table, the share of rows in which the value is missing.
    """

    name: str
    edges: tuple[float, ...]
    levels: tuple[str, ...]
    shares: dict[str, tuple[float, ...]]
    missing: dict[str, float]


@dataclass(frozen=True)
class TableView:
    """The columns of several tables, and how they go together.

    Args:
        columns: The columns.
        rows: Number of rows of each table.
        associations: Of each table, how two columns go together: Pearson's correlation of two
            numbers, the correlation ratio of a number and a category, Cramér's V of two categories;
            None where a column does not vary.
    """

    columns: tuple[ColumnView, ...]
    rows: dict[str, int]
    associations: dict[str, tuple[tuple[float | None, ...], ...]]

    @classmethod
    def of(cls, space: Space, tables: Mapping[str, Samples]) -> TableView:
        """Look at the columns of some tables; the first that has a column decides its bins.

        Args:
            space: What the variables are.
            tables: Each with at least one row; they may lack variables.

        Example:
            >>> import torch
            >>> from coplay.core.variable import Variable
            >>> space = Space({"ill": Variable(kind="binary")})
            >>> ill = torch.tensor([0, 1, 1, 1], dtype=torch.uint8)
            >>> view = TableView.of(space, {"real": space.samples(ill=ill)})
            >>> view.columns[0].levels, view.columns[0].shares
            (('0', '1'), {'real': (0.25, 0.75)})
        """
        by_table = {}
        for title, rows in tables.items():
            by_table[title] = {column.name: column for column in table_columns(space, rows)}
        names: dict[str, None] = {}
        for columns in by_table.values():
            names |= dict.fromkeys(columns)
        chosen = list(names)[:_COLUMNS]
        views = []
        for name in chosen:
            having = {t: columns[name] for t, columns in by_table.items() if name in columns}
            levels = space[name].class_names if name in space else ()
            views.append(_view(name, having, levels))
        associations = {}
        for title, columns in by_table.items():
            associations[title] = _associations([columns.get(name) for name in chosen])
        rows_of = {title: len(rows) for title, rows in tables.items()}
        return cls(tuple(views), rows_of, associations)

    def json(self) -> str:
        """Return the view as text."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> TableView:
        """Read what :meth:`json` returned."""
        values = json.loads(text)
        columns = []
        for column in values["columns"]:
            shares = {title: tuple(each) for title, each in column["shares"].items()}
            edges, levels = tuple(column["edges"]), tuple(column["levels"])
            columns.append(ColumnView(column["name"], edges, levels, shares, column["missing"]))
        associations = {}
        for title, matrix in values["associations"].items():
            associations[title] = tuple(map(tuple, matrix))
        return cls(tuple(columns), values["rows"], associations)


def _view(name: str, tables: Mapping[str, TableColumn], names: Sequence[str]) -> ColumnView:
    """Look at one column of the tables that have it."""
    first = next(iter(tables.values()))
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    if first.categories:
        levels = tuple(names) or tuple(map(str, range(first.categories)))
    else:
        known = [column.values[column.present] for column in tables.values()]
        deciding = next((values for values in known if len(values)), np.zeros(1))
        edges = tuple(_edges(deciding).tolist())
    counts = {}
    for title, column in tables.items():
        values = column.values[column.present]
        if levels:
            counts[title] = np.bincount(values.astype(np.int64), minlength=len(levels))
        else:
            inside = np.clip(values, edges[0], edges[-1])
            counts[title] = np.histogram(inside, edges)[0]
    if len(levels) > _LEVELS:
        levels, counts = _commonest(levels, counts)
    shares = {title: tuple((each / max(1, each.sum())).tolist()) for title, each in counts.items()}
    missing = {title: float(1 - column.present.mean()) for title, column in tables.items()}
    return ColumnView(name, edges, levels, shares, missing)


def _commonest(
    levels: tuple[str, ...], counts: Mapping[str, np.ndarray]
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Let the rarer categories of the first table share one bar."""
    first = next(iter(counts.values()))
    order = np.argsort(-first, kind="stable")
    own, rest = np.sort(order[: _LEVELS - 1]), order[_LEVELS - 1 :]
    kept = (*(levels[k] for k in own), f"{len(rest)} others")
    return kept, {t: np.append(each[own], each[rest].sum()) for t, each in counts.items()}


def _edges(values: np.ndarray) -> np.ndarray:
    """Return the ends of bins over the usual range of values, and somewhat beyond it."""
    low, high = np.quantile(values, [0.01, 0.99])
    is_whole = bool((values == np.round(values)).all())
    if is_whole and high - low < _BINS:
        return np.arange(low.round() - 2, high.round() + 2) + 0.5
    if low == high:
        half = abs(low) / 10 or 0.5
        return np.linspace(low - half, high + half, _BINS + 1)
    beyond = _WIDENED * (high - low)
    return np.linspace(low - beyond, high + beyond, _BINS + 1)


def _associations(columns: Sequence[TableColumn | None]) -> tuple[tuple[float | None, ...], ...]:
    size = len(columns)
    matrix: list[list[float | None]] = [[None] * size for _ in range(size)]
    for i, first in enumerate(columns):
        for j, second in enumerate(columns[: i + 1]):
            if first is not None and second is not None:
                matrix[i][j] = matrix[j][i] = association(first, second)
    return tuple(map(tuple, matrix))


def association(first: TableColumn, second: TableColumn) -> float | None:
    """Return how two columns go together, over the rows in which both are present.

    Returns:
        Pearson's correlation in [-1, 1] for two numbers, the correlation ratio in [0, 1] for a
        number and a category, Cramér's V in [0, 1] for two categories; None where one of them does
        not vary.

    Example:
        >>> x = TableColumn("x", np.array([1.0, 2.0, 3.0]), 0)
        >>> y = TableColumn("y", np.array([0.0, 0.0, 1.0]), 2)
        >>> round(association(x, y), 3), association(y, y)
        (0.866, 1.0)
    """
    both = first.present & second.present
    x, y = first.values[both], second.values[both]
    if len(x) < 2 or not np.ptp(x) or not np.ptp(y):
        return None
    if not first.categories and not second.categories:
        return float(np.corrcoef(x, y)[0, 1])
    if first.categories and second.categories:
        return _cramer(x.astype(np.int64), y.astype(np.int64))
    number, category = (y, x) if first.categories else (x, y)
    codes = category.astype(np.int64)
    counts = np.bincount(codes)
    sums = np.bincount(codes, number - number.mean())
    between = (sums[counts > 0] ** 2 / counts[counts > 0]).sum()
    return float(np.sqrt(between / ((number - number.mean()) ** 2).sum()))


def _cramer(x: np.ndarray, y: np.ndarray) -> float:
    _, rows = np.unique(x, return_inverse=True)
    _, columns = np.unique(y, return_inverse=True)
    shape = (rows.max() + 1, columns.max() + 1)
    joint = np.zeros(shape)
    np.add.at(joint, (rows, columns), 1 / len(x))
    expected = np.outer(joint.sum(1), joint.sum(0))
    chi = ((joint - expected) ** 2 / expected).sum()
    return float(np.sqrt(chi / (min(shape) - 1)))
