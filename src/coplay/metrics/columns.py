"""The numbers and categories of samples side by side, as statistics of tables take them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from coplay.core.space import Samples, Space

MOST = 500
"""Most columns that are compared; pairs of more would take minutes."""


@dataclass(frozen=True)
class TableColumn:
    """One number of each sample.

    Args:
        name: The variable's name, with the place in it where it has a shape.
        values: Shape (n,), float64; NaN where a value is missing.
        categories: Number of categories; 0 for numbers.
    """

    name: str
    values: np.ndarray
    categories: int

    @property
    def present(self) -> np.ndarray:
        """Where a value is there, shape (n,)."""
        return ~np.isnan(self.values)


def table_columns(space: Space, samples: Samples) -> list[TableColumn]:
    """Return the columns of all variables that samples have, images left out.

    Args:
        space: What the variables are.
        samples: They may lack variables, and values of optional ones.

    Example:
        >>> from coplay.core.variable import Variable
        >>> space = Space({"dose": Variable(kind="real"), "ok": Variable(kind="binary")})
        >>> samples = space.samples(dose=torch.ones(2), ok=torch.tensor([0, 1], dtype=torch.uint8))
        >>> [(column.name, column.categories) for column in table_columns(space, samples)]
        [('dose', 0), ('ok', 2)]
    """
    columns = []
    for name in space:
        variable = space[name]
        if name not in samples.keys() or variable.is_image:
            continue
        values = samples[name].detach().to(torch.float64).clone()
        values[~variable.present(samples[name])] = torch.nan
        flat = values.reshape(len(values), -1).numpy()
        categories = 2 if variable.kind == "binary" else variable.classes or 0
        for place in range(flat.shape[1]):
            title = name
            if variable.shape:
                title = f"{name}[{', '.join(map(str, np.unravel_index(place, variable.shape)))}]"
            columns.append(TableColumn(title, flat[:, place], categories))
    return columns
