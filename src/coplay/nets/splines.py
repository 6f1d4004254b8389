"""Chains of monotone splines over the columns of a table, by zuko (``coplay[flows]``)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from coplay.core.errors import ModelError
from coplay.core.space import Space

_MOST = 200  # numbers, since they are drawn one by one


def splines(
    numbers: int, context: int, knots: int, transforms: int, hidden: tuple[int, ...]
) -> Any:
    """Return a neural spline flow; zuko is imported here and not before.

    Args:
        numbers: Real numbers of a row.
        context: Numbers that it is conditional on, at least 1.
        knots: Intervals of each spline.
        transforms: Splines in a chain.
        hidden: Widths of the layers of each network.

    Raises:
        ModelError: zuko is not installed.

    Example:
        >>> import torch
        >>> flow = splines(2, 1, knots=4, transforms=1, hidden=(8,))
        >>> flow(torch.ones(5, 1)).log_prob(torch.zeros(5, 2)).shape
        torch.Size([5])
    """
    try:
        flows = importlib.import_module("zuko.flows")
    except ImportError as error:
        raise ModelError(
            f"the model 'flow' needs the package zuko ({error}); pip install 'coplay[flows]'"
        ) from error
    return flows.NSF(numbers, context, bins=knots, transforms=transforms, hidden_features=hidden)


def check_columns(space: Space, real: Sequence[str], kinds: Sequence[str]) -> None:
    """Refuse a space without real columns, with too many, or with an image.

    Args:
        space: The variables.
        real: Names of the real ones.
        kinds: Kinds of variable that are columns or conditions.

    Raises:
        ModelError: It names the variables.
    """
    images = [name for name in real if space[name].is_image]
    if images:
        raise ModelError(
            f"flow draws the columns of a table, and '{images[0]}' ({space[images[0]]}) is an "
            "image; choose a model for images, such as rectified_flow"
        )
    others = [name for name in space if space[name].kind not in kinds]
    if not real or others:
        has = ", ".join(f"'{name}' ({space[name]})" for name in space)
        raise ModelError(
            "flow needs real variables, with bits and categories beside them as conditions; the "
            f"variables are {has}. Choose autoregressive for counts, or where nothing is real"
        )
    numbers = sum(space[name].size for name in real)
    if numbers > _MOST:
        raise ModelError(
            f"flow draws real numbers one by one and takes at most {_MOST} of them; "
            f"{', '.join(real)} have {numbers:,}: leave some out"
        )
