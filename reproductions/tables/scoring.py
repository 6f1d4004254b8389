"""How well drawn rows stand for rows that no site has."""

from __future__ import annotations

from pathlib import Path

import torch

from coplay.core.space import Samples, Space, pick
from coplay.data.sources.table import Table
from coplay.metrics.base import Observed, Reference, measured
from coplay.metrics.fidelity import Fidelity
from coplay.metrics.utility import Utility
from coplay.site.conforming import conformed

SCORES = ("column_fidelity", "pair_fidelity", "utility")
"""Quantities that are kept: shape and pair scores, and train on synthetic, test on real."""


def rows_of(path: Path, agreed: Space, missing_marks: tuple[str, ...] = ()) -> Samples:
    """Return the rows of a CSV as the agreed variables; cells may be missing.

    A row with a level that was not agreed is left out, and said.
    """
    table = Table(file=str(path), test_file=str(path), missing="keep", missing_marks=missing_marks)
    optional = _all_optional(agreed)
    read = table.loaded_as({name: optional[name] for name in optional})
    rows = read.test
    fits = torch.ones(len(rows), dtype=torch.bool)
    values = {}
    for name in read.space:
        result = conformed(optional[name], read.space[name], rows[name])
        values[name] = result.values
        # a number outside the agreed range is compared as it is
        if agreed[name].kind == "categorical":
            fits &= ~result.wrong
    if not fits.all():
        print(f"{path}: {int((~fits).sum())} rows with levels that no site has are left out")
    return pick(Samples(values, batch_size=[len(rows)]), fits)


def scores_of(drawn: Samples, test: Samples, space: Space, target: str) -> dict[str, float]:
    """Compare drawn rows with test rows; a score that cannot be measured is not there.

    Args:
        drawn: Rows; they may lack variables, which are not compared then.
        test: Rows with all variables; cells may be missing.
        space: All variables.
        target: The variable that is predicted from the others that were drawn.
    """
    reference = Reference(test, None, rows=test, variables=_all_optional(space))
    observed = Observed(drawn, reference)
    scores: dict[str, float] = {}
    for metric in (Fidelity(), Utility(target=target)):
        values, _ = measured(metric, observed)
        for name, value in values.items():
            if name in SCORES and isinstance(value.value, float):
                scores[name] = value.value
    return scores


def _all_optional(space: Space) -> Space:
    """Return the variables as such that may be missing: test rows lack what no site's rows do."""
    return Space({name: space[name].model_copy(update={"optional": True}) for name in space})
