"""What models lose on the rows that a site kept to choose by, by a measure that suits them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from coplay.core.space import Samples, Space
from coplay.metrics.columns import TableColumn, table_columns
from coplay.metrics.fidelity import column_similarity
from coplay.metrics.prediction import Prediction, are_complete, complete_rows
from coplay.site.verdict import Losses

_REPLICATES_OF_FIDELITY = 100  # each compares all columns anew


def losses_on(
    rows: Samples,
    space: Space,
    samples: Mapping[str, Samples],
    target: str | None,
    log_p: Mapping[str, Tensor],
) -> Losses | str:
    """Return what the models lose on rows, or why that cannot be said.

    With a target it is how well that is predicted on the rows by what the samples teach: log loss
    of a category, squared error of a number. Else it is −log p if every model has log p, and else
    how far the columns of the samples are from those of the rows.

    Args:
        rows: Rows that the site kept.
        space: The variables.
        samples: Samples of the models, by game.
        target: The variable to be predicted; None for none.
        log_p: Log p of each row, shape (n,), by game, of the models that have it.
    """
    names = [name for name in space if name in rows.keys()]
    for drawn in samples.values():
        names = [name for name in names if name in drawn.keys()]
    shared = space.only(names)
    if len(rows) < 2:
        return f"only {len(rows)} rows were kept to choose by"
    if not names:
        return "samples and rows have no variable in common"
    inputs = [name for name in names if name != target]
    if target in names and inputs and not space[target].shape:
        return _of_target(rows, shared, samples, target)
    if samples and all(name in log_p for name in samples):
        by_game = {name: -log_p[name] for name in samples}
        return Losses.means(by_game, "log p in nats per row", "higher")
    return _of_fidelity(rows, shared, samples)


def _of_target(
    rows: Samples, space: Space, samples: Mapping[str, Samples], target: str
) -> Losses | str:
    """Return the losses of a prediction that is learned from samples."""
    real = complete_rows(rows, space)
    if len(real) < 2:
        return f"only {len(real)} of the rows kept to choose by have no missing value"
    losses = {}
    for game, drawn in samples.items():
        complete = complete_rows(drawn, space)
        if not len(complete):
            return f"no sample of '{game}' is without a missing value"
        losses[game] = loss_of_prediction(complete, real, space, target)
    is_number = space[target].kind in ("real", "count")
    what = "squared error" if is_number else "log loss"
    means = Losses.means(losses, f"{what} of {target}, predicted by what the samples teach,")
    return replace(means, kept=are_complete(rows, space))


def loss_of_prediction(learned_from: Samples, rows: Samples, space: Space, target: str) -> Tensor:
    """Return the loss of each row when a target is predicted by what samples teach.

    It is the log loss in nats of logistic regression for a category, and the squared error of ridge
    regression for a number, on all other variables in standard units.

    Args:
        learned_from: Samples without missing values.
        rows: Real rows without missing values.
        space: The variables that both have.
        target: One of them.

    Returns:
        Shape (n,).
    """
    prediction = Prediction.of(learned_from, rows, space, target)
    if space[target].kind in ("real", "count"):
        return torch.from_numpy(prediction.squared_errors())
    classes = space[target].classes or 2
    # Laplace's rule: a category that samples lack is rare, and not impossible
    n = len(prediction.x)
    smoothed = (n * prediction.shares(classes) + 1) / (n + classes)
    categories = prediction.y_real.astype(np.int64)
    return torch.from_numpy(-np.log(smoothed[np.arange(len(categories)), categories]))


def _of_fidelity(rows: Samples, space: Space, samples: Mapping[str, Samples]) -> Losses | str:
    """Return how far the columns of samples are from those of the rows."""
    real = table_columns(space, rows)
    if not real:
        return "only images were learned, and no target is named by which models could be compared"
    drawn = [table_columns(space, each) for each in samples.values()]

    def losses(places: Tensor) -> Tensor:
        again = [TableColumn(c.name, c.values[places.numpy()], c.categories) for c in real]
        each = []
        for columns in drawn:
            similarities = [column_similarity(*pair) for pair in zip(again, columns, strict=True)]
            each.append(1 - float(np.nanmean(similarities)))
        return torch.tensor(each, dtype=torch.float64)

    words = "mean similarity of columns (1 is best)"
    replicates = _REPLICATES_OF_FIDELITY
    return Losses(losses, tuple(samples), len(rows), words, "higher", 1.0, replicates)
