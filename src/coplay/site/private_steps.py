"""Steps of DP-SGD: gradients clipped per unit, units drawn at a public rate, noise, a public batch.

In every step each unit takes part by itself with the chance q. The gradients of its rows are added
and clipped to a length of at most C, so that the sum over units moves by at most C when a unit
comes or goes; noise of σ·C is added, and the result is divided by a number that is public. That is
the sampled Gaussian mechanism with q and σ. Nothing else is taken from rows: no mean over the real
batch, no statistic of it, no early stopping, no bins or ranges.

Frequencies of levels, from which a network begins, are released once before, as counts with noise.

References:
    Deep Learning with Differential Privacy (M. Abadi et al., CCS 2016), arXiv:1607.00133.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import torch
from pydantic import Field
from torch import Tensor

from coplay.core.components import Section
from coplay.core.space import Samples
from coplay.models.privately import PrivatelyLearning
from coplay.site import secret
from coplay.site.accounting import Accountant, Charge, needed_noise
from coplay.site.private_rows import PrivateRows
from coplay.theory.noise import gaussian_noise

_ROWS = 64  # whose gradients are formed at a time, for memory


class Steps(Section):
    """How a network learns by DP-SGD; all of it is public.

    Args:
        steps: How many steps the budget is to last for.
        rate: The chance of a unit to take part in a step.
        batch: What sums of gradients are divided by, such as the number of rows that are expected
            in a step; a guess does, since Adam looks at proportions only.
        clip: The greatest length of a unit's gradient.
        histogram: Share of ε that frequencies of levels would spend alone; 0 for none.
    """

    steps: int = Field(default=1000, ge=1)
    rate: float = Field(default=0.05, gt=0, le=1)
    batch: float = Field(default=64.0, gt=0, allow_inf_nan=False)
    clip: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    histogram: float = Field(default=0.3, ge=0, lt=1)


@cache
def charges_of(
    settings: Steps, epsilon: float, delta: float, accountant: Accountant
) -> tuple[Sequence[Charge], Charge]:
    """Return what frequencies cost, if they are released, and what all steps together cost.

    Args:
        settings: How it learns.
        epsilon: What both spend together.
        delta: The δ at which they do.
        accountant: How steps are added up.

    Raises:
        PrivacyError: No noise is large enough.
    """
    first = []
    if settings.histogram:
        noise = gaussian_noise(settings.histogram * epsilon, delta)
        first.append(Charge("frequencies of levels", noise=noise))

    def steps(noise: float) -> Charge:
        return Charge("steps of DP-SGD", noise=noise, rate=settings.rate, steps=settings.steps)

    noise = needed_noise(lambda s: [*first, steps(s)], epsilon, delta, accountant)
    return first, steps(noise)


class PrivateSteps:
    """Takes steps of a model on private rows.

    Args:
        model: A model that was set up, and begun by ``fix_units``.
        rows: The rows.
        settings: How it learns.
        noise: σ, in units of the clipped length; 0 for none, which promises nothing.
    """

    def __init__(
        self, model: PrivatelyLearning, rows: PrivateRows, settings: Steps, noise: float
    ) -> None:
        self._model = model
        self._rows: Samples = model.as_rows(rows.samples)
        self._units = rows.units
        self._count = rows.count
        self._settings = settings
        self._noise = noise

    def gradient(self) -> Tensor:
        """Return the gradient of one step, with its noise, float64, shape (parameters,)."""
        settings = self._settings
        chosen = secret.chosen(self._count, settings.rate)
        places = chosen[self._units].nonzero()[:, 0]
        # the rows of one unit side by side, so that few units are open at a time
        places = places[self._units[places].argsort(stable=True)]
        generator = secret.generator()
        total: Tensor | float = 0.0
        for part in _whole_units(places, self._units):
            total = total + self._clipped(part, generator)
        size = sum(p.numel() for side in self._model.sides().values() for p in side)
        sums = torch.zeros(size, dtype=torch.float64) + total
        return secret.noisy(sums, settings.clip, self._noise) / settings.batch

    def _clipped(self, places: Tensor, generator: torch.Generator) -> Tensor:
        """Return the sum of the clipped gradients of the units of some rows."""
        rows = self._model.with_draws(self._rows[places], generator)
        each = self._model.row_gradients(rows).double()
        each = each.nan_to_num(0.0, 0.0, 0.0)  # a number that is not finite has no length
        _, own = self._units[places].unique(return_inverse=True)
        of_units = torch.zeros(int(own.max()) + 1, each.shape[1], dtype=torch.float64)
        of_units.index_add_(0, own, each)
        lengths = of_units.norm(dim=1, keepdim=True).clamp_min(1e-300)
        most = self._settings.clip * (1 - secret.MARGIN)
        return (of_units * (most / lengths).clamp_max(1)).sum(0)


def released_histogram(model: PrivatelyLearning, rows: PrivateRows, noise: float) -> Tensor:
    """Return the counts of levels over rows, with noise, shape (K,).

    Args:
        model: A model that was set up, and begun by ``fix_units``.
        rows: The rows.
        noise: Standard deviation in units of the sensitivity.
    """
    total: Tensor | float = 0.0
    for start in range(0, len(rows.samples), 4096):
        total = total + model.histogram(rows.samples[start : start + 4096]).sum(0)
    length = math.sqrt(model.most_at_once) * (1 + secret.MARGIN)
    return secret.noisy(torch.as_tensor(total), rows.most * length, noise)


def unfit(model: object) -> str:
    """Say why a model may not learn by DP-SGD; empty if it may."""
    if not isinstance(model, PrivatelyLearning):
        return (
            f"{getattr(model, 'title', type(model).__name__)} cannot learn by DP-SGD; choose "
            "autoregressive or rectified_flow, or a stand_in"
        )
    if model.validation:
        return "validation: early stopping looks at real rows; leave it at 0"
    return ""


def without_clusters(model: PrivatelyLearning) -> PrivatelyLearning:
    """Return a new model that fits no clusters, which would be those of real rows."""
    fresh = model.fresh()
    if "clusters" not in type(fresh).model_fields:
        return fresh
    return fresh.model_copy(update={"clusters": 0})


def _whole_units(places: Tensor, units: Tensor) -> Sequence[Tensor]:
    """Cut sorted rows into parts of about so many, none of them through a unit."""
    if not len(places):
        return []
    own = units[places]
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), (own.diff() != 0).nonzero()[:, 0] + 1])
    cuts = []
    last = 0
    for start in starts.tolist():
        if start - last >= _ROWS:
            cuts.append(start)
            last = start
    return places.tensor_split(cuts)
