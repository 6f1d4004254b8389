"""An object of the site's own stands in for its rows, with an (ε, δ) that it states itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from pydantic import Field

from coplay.core.space import Samples, Space
from coplay.models.base import OWN, Mixture, Portion
from coplay.models.estimator import Estimator
from coplay.site import secret
from coplay.site.accounting import Accountant, Charge
from coplay.site.private_rows import PrivateRows
from coplay.site.stand_ins.base import Made, StandIn


class Own(StandIn):
    """Any object with ``fit`` and ``sample`` that promises (ε, δ); coplay takes its word.

    It is given the site's rows, with at most ``rows_per_unit`` of each unit, and has to keep the
    promise for adding or removing one unit: with noise that no seed gives away, with ranges and
    categories of its own settings, and without the exact number of rows. What it states is added to
    the budget as it is.

    Args:
        made_by: The class, ``"package.module:Class"``.
        arguments: What it is made with.

    Example:
        >>> own = Own(epsilon=1.0, delta=1e-6, made_by="my.module:Synthesizer")
        >>> own.charges(1, "prv")[0].epsilon
        1.0
    """

    made_by: str
    arguments: dict[str, Any] = Field(default_factory=dict)

    def check(self, space: Space) -> None:
        """Refuse nothing; what it can stand in for is its own affair."""

    def charges(self, most: int, accountant: Accountant) -> Sequence[Charge]:
        """Return what it states."""
        what = f"what {self.made_by} states that it spends"
        return [Charge(what, epsilon=self.epsilon, delta=self.delta)]

    def make(self, rows: PrivateRows, charges: Sequence[Charge]) -> Made:
        """Let it fit the rows."""
        model = Estimator(estimator=self.made_by, arguments=self.arguments)
        model.setup(rows.space, secret.generator().initial_seed())  # of noise that it may draw
        mixture = Mixture((Portion(OWN, rows.samples, 1.0),))
        model.learn(mixture, 1, secret.generator())
        space = rows.space

        def draw(n: int, generator: torch.Generator) -> Samples:
            drawn = model.sample(n, generator)
            # whether rows need 64 bits must not show by those of draws
            values = {name: drawn[name].to(space[name].dtypes[0]) for name in space}
            return space.samples(**values)

        return Made(draw, notes=[f"the promise is that of {self.made_by}, unchecked"])

    @classmethod
    def tiny(cls) -> Self:
        """Return one that is not imported before it is used."""
        return cls(epsilon=1.0, delta=1e-4, draws=20, made_by="sklearn.mixture:GaussianMixture")
