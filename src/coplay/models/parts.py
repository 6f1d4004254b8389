"""What models of tables share: rows some at a time, and the class that is told."""

from __future__ import annotations

from collections.abc import Iterator

from coplay.core.errors import ModelError
from coplay.core.space import LABEL, Samples, Space, pick

_ROWS = 2000  # at a time, for memory
_MOST_COLUMNS = 2000


def in_parts(samples: Samples) -> Iterator[Samples]:
    """Yield samples some thousand at a time; samples without rows are one part.

    Example:
        >>> [len(part) for part in in_parts(Samples({}, batch_size=[4500]))]
        [2000, 2000, 500]
    """
    for start in range(0, max(1, len(samples)), _ROWS):
        yield pick(samples, slice(start, start + _ROWS))


def check_class(model: str, space: Space) -> None:
    """Refuse a space without a class that a model could tell.

    Raises:
        ModelError: It names the variables that there are.
    """
    if LABEL not in space or not space[LABEL].classes or space[LABEL].shape:
        raise ModelError(
            f"{model} can only tell a categorical number called '{LABEL}'; "
            f"the variables are {', '.join(space)}"
        )


def check_columns(space: Space) -> None:
    """Refuse a space with too many columns for a model that draws number by number.

    Raises:
        ModelError: It names the largest variable.
    """
    columns = sum(space[name].size for name in space)
    if columns > _MOST_COLUMNS:
        largest = max(space, key=lambda name: space[name].size)
        way_out = "leave it out, or split it into fewer numbers"
        if space[largest].is_image:
            way_out = "choose a model for images, such as rectified_flow or conditionals"
        raise ModelError(
            f"autoregressive draws number by number and takes at most {_MOST_COLUMNS:,} of them; "
            f"these variables have {columns:,}, most of them '{largest}' ({space[largest]}): "
            f"{way_out}"
        )
