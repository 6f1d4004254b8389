"""A site's model that learns from its rows by DP-SGD, as long as the site's budget lasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from pydantic import PrivateAttr
from torch import Tensor

from coplay.core import storage
from coplay.core.errors import PrivacyError
from coplay.core.space import Samples, Space
from coplay.models.base import OWN, LocalModel, Mixture
from coplay.models.privately import PrivatelyLearning
from coplay.site.accounting import Charge
from coplay.site.budget import Budget
from coplay.site.private_rows import PrivateRows
from coplay.site.private_steps import PrivateSteps, Steps, charges_of, released_histogram

HISTOGRAM = "frequencies.safetensors"
"""File, in the site's own folder, of the frequencies that were released once."""

_BEGUN = "begun"
_SUMS = "sums"


@dataclass(frozen=True)
class Means:
    """What a site learns with.

    Args:
        rows: Its rows.
        budget: What every step is paid from.
        settings: How it learns.
    """

    rows: PrivateRows
    budget: Budget
    settings: Steps

    def charges(self) -> tuple[list[Charge], Charge]:
        """Return what frequencies cost, and what all steps do, with the noise of each."""
        budget = self.budget
        first, steps = charges_of(self.settings, budget.epsilon, budget.delta, budget.accountant)
        return list(first), steps


class PrivateModel(LocalModel):
    """A network that sees real rows only through noisy gradients, each paid for before.

    What others send is no secret of the site and is learned from as it is. What the mixture says
    are the site's own samples is not looked at: the rows are those of its :class:`Means`.
    """

    learns_incomplete: ClassVar[bool] = True
    reported_names: ClassVar[tuple[str, ...] | None] = ()
    tried: ClassVar[bool] = False

    _inner: PrivatelyLearning = PrivateAttr()
    _means: Means = PrivateAttr()
    _steps: PrivateSteps | None = PrivateAttr(default=None)
    _charge: Charge | None = PrivateAttr(default=None)
    _begun: bool = PrivateAttr(default=False)

    @classmethod
    def of(cls, model: PrivatelyLearning, means: Means) -> PrivateModel:
        """Return a model that learns with what a site has.

        Args:
            model: The network, which need not be set up.
            means: What the site has.
        """
        private = cls()
        private._inner = model
        private._means = means
        return private

    @property
    def title(self) -> str:
        """The network's name."""
        return self._inner.title

    def setup(self, space: Space, seed: int) -> None:
        """Build the network, in the units of the agreed ranges."""
        self._inner.setup(space, seed)
        self._inner.fix_units()
        self._steps = None
        self._begun = False

    def learn(
        self, mixture: Mixture, steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """Spend what the steps cost, then take them; nothing is reported.

        Raises:
            PrivacyError: The budget is spent.
        """
        # of own samples, games may name parts that have some of the variables
        mine = [part for part in mixture.parts if part.name.partition(",")[0] == OWN]
        own = sum(part.weight for part in mine)
        others = tuple(part for part in mixture.parts if part.name.partition(",")[0] != OWN)
        if own:
            self._pay(steps)
        for _ in range(steps):
            gradient: Tensor | float = 0.0
            if own:
                assert self._steps is not None, "it was paid for"
                gradient = own * self._steps.gradient()
            if others:
                gradient = gradient + (1 - own) * self._received(Mixture(others), generator)
            self._inner.descend_along(torch.as_tensor(gradient))
        return {}

    def _pay(self, steps: int) -> None:
        """Spend what so many steps cost, and before the first ones what frequencies cost."""
        means = self._means
        if self._steps is None or self._charge is None:
            first, self._charge = means.charges()
            self._steps = PrivateSteps(self._inner, means.rows, means.settings, self._charge.noise)
            if first and not self._begun:
                names = list(means.rows.space)
                self._inner.follow_histogram(self._frequencies(first[0]), names)
        means.budget.charge(replace(self._charge, steps=steps))
        self._begun = True

    def _frequencies(self, charge: Charge) -> Tensor:
        """Return the counts of levels with noise, which are released once in a federation."""
        means = self._means
        path = means.budget.folder / HISTOGRAM
        with means.budget.locked():
            if path.exists():
                if not means.budget.charges():
                    raise PrivacyError(
                        f"{means.budget.path} is missing, though {path.name} beside it was paid "
                        "for; restore it from a copy"
                    )
                return storage.load_tensors(path)[_SUMS]
            means.budget.charge(charge)
            sums = released_histogram(self._inner, means.rows, charge.noise)
            storage.save_tensors(path, {_SUMS: sums}, private=True)
        return sums

    def _received(self, others: Mixture, generator: torch.Generator) -> Tensor:
        """Return the mean gradient of a batch of what others sent."""
        drawn = others.drawn(self._inner.batch, generator)
        total: Tensor | float = 0.0
        count = sum(map(len, drawn.values()))
        for samples in drawn.values():
            rows = self._inner.as_rows(samples)
            gradient = self._inner.mean_gradient(self._inner.with_draws(rows, generator))
            total = total + len(samples) / count * gradient.double()
        return torch.as_tensor(total)

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw n samples of the network."""
        return self._inner.sample(n, generator)

    def complete(self, partial: Samples, generator: torch.Generator) -> Samples:
        """Draw what is missing."""
        return self._inner.complete(partial, generator)

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the network's state, and whether it has its frequencies."""
        return {**self._inner.state_dict(), _BEGUN: torch.tensor(self._begun)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state; nothing that was spent since comes back."""
        self._begun = bool(state[_BEGUN])
        self._inner.load_state_dict({k: v for k, v in state.items() if k != _BEGUN})
        if self._steps is not None and not self._begun:
            self._steps = None  # its frequencies are to be looked up again
