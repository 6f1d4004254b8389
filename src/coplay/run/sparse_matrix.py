"""Matrices of weights and of influence as a record stores them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from scipy import sparse
from torch import Tensor

_DECIMALS = 12  # of a matrix on disk; it is computed in float64 and shown with three
# Per row, of a matrix that is stored; 5,000 players then take 15 MB and not half a gigabyte.
_MOST_ENTRIES = 100


@dataclass(frozen=True)
class SparseMatrix:
    """A square matrix with the entries that differ from the most frequent one.

    With equal weights for all others, the matrices of weights and of influence hold one number off
    the diagonal: 5,000 players then take 5,000 entries instead of 25 million.

    Args:
        size: N, the number of rows and of columns.
        fill: The entry at all places that are not listed.
        rows: Row of each listed entry, from 0.
        columns: Column of each listed entry, from 0.
        values: The listed entries, to 12 decimals.

    Example:
        >>> dense = torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]])
        >>> matrix = SparseMatrix.of(dense)
        >>> matrix.fill, matrix.rows, matrix.values
        (0.25, (0, 1, 2), (0.5, 0.5, 0.5))
        >>> matrix.row(1)
        [0.25, 0.5, 0.25]
    """

    size: int
    fill: float
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    values: tuple[float, ...]

    @classmethod
    def of(cls, dense: Tensor) -> Self:
        """Compress a matrix of shape (N, N)."""
        rounded = dense.double().round(decimals=_DECIMALS)
        if not rounded.numel():
            return cls(0, 0.0, (), (), ())
        entries, counts = rounded.unique(return_counts=True)
        fill = entries[counts.argmax()]
        listed = (rounded != fill).nonzero()
        rows = tuple(listed[:, 0].tolist())
        columns = tuple(listed[:, 1].tolist())
        return cls(len(rounded), fill.item(), rows, columns, tuple(rounded[rows, columns].tolist()))

    @classmethod
    def by_edges(cls, matrix: sparse.csr_matrix) -> Self:
        """Compress a sparse matrix, N × N, without its N² entries where most of them are 0."""
        size = matrix.shape[0]
        if 2 * matrix.nnz >= size**2:
            return cls.of(torch.from_numpy(matrix.toarray()))
        entries = matrix.tocoo()
        values = torch.from_numpy(entries.data).double().round(decimals=_DECIMALS).tolist()
        places = zip(entries.row.tolist(), entries.col.tolist(), values, strict=True)
        listed = sorted(place for place in places if place[2])
        rows, columns, others = zip(*listed, strict=True) if listed else ((), (), ())
        return cls(size, 0.0, rows, columns, others)

    @classmethod
    def if_small(cls, dense: Tensor) -> Self | None:
        """Compress a matrix of shape (N, N).

        Returns:
            None if more than 100 N entries differ from the most frequent one.
        """
        matrix = cls.of(dense)
        return matrix if len(matrix.values) <= _MOST_ENTRIES * matrix.size else None

    def dense(self) -> Tensor:
        """The whole matrix, shape (N, N), float64."""
        whole = torch.full((self.size, self.size), self.fill, dtype=torch.float64)
        whole[list(self.rows), list(self.columns)] = torch.tensor(self.values, dtype=torch.float64)
        return whole

    def scipy(self) -> sparse.csr_matrix:
        """The matrix for scipy; it is sparse there if the most frequent entry is 0."""
        if self.fill:
            return sparse.csr_matrix(self.dense().numpy())
        places = (self.rows, self.columns)
        return sparse.csr_matrix((self.values, places), shape=(self.size, self.size))

    def row(self, place: int) -> list[float]:
        """One row, N entries."""
        entries = [self.fill] * self.size
        for row, column, value in zip(self.rows, self.columns, self.values, strict=True):
            if row == place:
                entries[column] = value
        return entries

    def corner(self, size: int) -> list[list[float]]:
        """The upper left corner of at most ``size`` rows and columns."""
        side = min(size, self.size)
        entries = [[self.fill] * side for _ in range(side)]
        for row, column, value in zip(self.rows, self.columns, self.values, strict=True):
            if row < side and column < side:
                entries[row][column] = value
        return entries

    def json(self) -> dict[str, Any]:
        """The matrix as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """The inverse of :meth:`json`; files of older runs hold all rows."""
        if isinstance(values, list):
            return cls.of(torch.tensor(values, dtype=torch.float64))
        lists = {key: tuple(values[key]) for key in ("rows", "columns", "values")}
        return cls(values["size"], values["fill"], **lists)


def matrix_of(values: Mapping[str, Any], name: str) -> SparseMatrix | None:
    """Return the matrix that a record has under a name; None where it has none."""
    return SparseMatrix.from_json(values[name]) if name in values else None
