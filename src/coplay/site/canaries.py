"""Units of a site that fair coins leave out of learning, so that audits can bound ε from below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from coplay.core.errors import DataError
from coplay.core.streams import numpy_stream, stream
from coplay.data.words import counted


@dataclass(frozen=True)
class Canaries:
    """Which rows a coin left in, and which it left out; positions in ascending order.

    Args:
        train: Rows that are left to learn from.
        left_out: Rows that a coin left out.
        by_coin: Which rows of ``train`` a coin could have left out, shape (rows,).
    """

    train: Tensor
    left_out: Tensor
    by_coin: Tensor

    def __str__(self) -> str:
        """How many rows are left out."""
        return (
            f"{counted(len(self.left_out), 'row')} left out of learning by coins, for audits, and "
            f"{counted(int(self.by_coin.sum()), 'row')} left in by them; the same in every run"
        )


def canaries_of(
    train: Tensor, units: np.ndarray | None, share: float, site: str, draws: np.ndarray | None
) -> Canaries:
    """Throw a coin for a share of the units that could be learned from, the same at every call.

    Args:
        train: Positions of the rows that could be learned from.
        units: What each of all rows belongs to; None where each is one of its own.
        share: Chance of a unit that a coin is thrown for it.
        site: What errors call it.
        draws: A random number in [0, 1) for each of all rows, the same for rows of one unit; None
            lets it be drawn here.

    Raises:
        DataError: Nothing is left to learn from.

    Example:
        >>> drawn = canaries_of(torch.arange(1000), None, 0.2, "site 'north'", None)
        >>> len(drawn.train) + len(drawn.left_out), 70 < len(drawn.left_out) < 130
        (1000, True)
    """
    places = train.numpy()
    if draws is None:
        groups = np.arange(len(places))
        if units is not None:
            groups = np.unique(units[places], return_inverse=True)[1].reshape(-1)
        rng = numpy_stream(stream(0, "canaries at a site"))
        ours = rng.random(int(groups.max(initial=-1)) + 1)[groups]
    else:
        ours = draws[places]
    # one number for both: the coin is whether it lies in the lower half of the share
    out = torch.from_numpy(ours < share / 2)
    by_coin = torch.from_numpy(ours < share)
    if out.all():
        raise DataError(
            f"{site}: coins left no row to learn from; expected a smaller [audit] canaries, or "
            "more units"
        )
    return Canaries(train[~out], train[out], by_coin[~out])
