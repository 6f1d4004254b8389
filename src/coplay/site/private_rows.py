"""The rows that a promise of privacy is about: whole units, each with a bounded number of rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from coplay.core.space import Samples, Space, pick, tensors
from coplay.site.holdings import Holdings
from coplay.site.splitting import place_of


@dataclass(frozen=True)
class PrivateRows:
    """Rows of units, of which the promise holds for adding or removing one.

    Args:
        space: The agreed variables that the rows have.
        samples: The rows.
        units: Number of each row's unit, shape (n,), from 0 on.
        most: The most rows of one unit.
        n_is_public: Whether the number of rows and of units may be used without noise.
    """

    space: Space
    samples: Samples
    units: Tensor
    most: int = 1
    n_is_public: bool = False

    @property
    def count(self) -> int:
        """The number of units."""
        return int(self.units.max()) + 1 if len(self.units) else 0

    @classmethod
    def of(cls, held: Holdings, most: int | None, n_is_public: bool = False) -> PrivateRows:
        """Return a site's rows to learn from, with at most so many of each unit.

        Which rows of a unit stay follows from that unit's rows alone.

        Args:
            held: The site's rows.
            most: The most rows of one unit; None where each row is a unit of its own.
            n_is_public: As in the class.

        Example:
            >>> from coplay.core.variable import Variable
            >>> space = Space({"x": Variable(kind="binary")})
            >>> bits = space.samples(x=torch.tensor([0, 1, 1, 0], dtype=torch.uint8))
            >>> patients = torch.tensor([5, 5, 5, 7])
            >>> held = Holdings(space, bits, bits, bits, patients)
            >>> rows = PrivateRows.of(held, 2)
            >>> len(rows.samples), rows.count
            (3, 2)
        """
        names = [str(name) for name in held.train.keys()]
        space = held.space.only([name for name in held.space if name in names])
        samples = space.restrict(held.train)
        if held.units is None or most is None:
            return cls(space, samples, torch.arange(len(samples)), 1, n_is_public)
        order = np.array([place_of(name, b"kept") for name in _row_names(samples)])
        units = held.units.numpy()
        by_unit = np.lexsort((order, units))
        first = np.searchsorted(units[by_unit], units[by_unit])
        kept = np.sort(by_unit[np.arange(len(units)) - first < most])
        places = torch.from_numpy(kept)
        _, numbers = np.unique(units[kept], return_inverse=True)
        numbered = torch.from_numpy(numbers.reshape(-1))
        return cls(space, pick(samples, places), numbered, most, n_is_public)


def unit_names(samples: Samples, units: np.ndarray | None) -> list[bytes]:
    """Return what tells the unit of each row from others, in bytes.

    Without units that is what the row holds and, of several equal rows, which one it is: so a row
    more or less leaves what all other rows are called, but for the order of equal ones.
    """
    if units is not None:
        return [str(unit).encode() for unit in units]
    counts: Counter[bytes] = Counter()
    names = []
    for row in _row_names(samples):
        counts[row] += 1
        names.append(row + counts[row].to_bytes(8, "big"))
    return names


def _row_names(samples: Samples) -> list[bytes]:
    """Return what each row holds, as bytes."""
    columns = []
    for _, values in sorted(tensors(samples).items()):
        # 0.0, since -0.0 is another number in bytes
        columns.append(values.reshape(len(samples), -1).double().numpy() + 0.0)
    table = np.ascontiguousarray(np.concatenate(columns, 1))
    return [row.tobytes() for row in table]
