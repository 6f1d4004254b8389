"""A network that learned from a site's rows by DP-SGD stands in for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator

from coplay.core.components import find
from coplay.core.space import Space
from coplay.models.privately import PrivatelyLearning
from coplay.site.accounting import Accountant, Charge
from coplay.site.private_rows import PrivateRows
from coplay.site.private_steps import (
    PrivateSteps,
    Steps,
    charges_of,
    released_histogram,
    unfit,
    without_clusters,
)
from coplay.site.stand_ins.base import Made, StandIn

MODELS = ("autoregressive", "rectified_flow")
"""The models that can learn by DP-SGD."""


class DpSgd(StandIn):
    """A network that learned by DP-SGD; draws are its own.

    Args:
        model: A model that can learn so, by its name or with settings: ``autoregressive`` for
            tables, ``rectified_flow`` for pictures and signals.
        learning: How it learns.

    Example:
        >>> stand_in = DpSgd(epsilon=3.0, delta=1e-5, learning={"steps": 200, "rate": 0.02})
        >>> stand_in.learner.title
        'Autoregressive'
    """

    citation: ClassVar[tuple[str, ...]] = ("abadi2016deep",)

    model: dict[str, Any] = Field(default_factory=lambda: {"name": "autoregressive"})
    learning: Steps = Field(default_factory=Steps)

    @field_validator("model", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        section = {"name": value} if isinstance(value, str) else dict(value)
        private_model(section)
        return section

    @property
    def learner(self) -> PrivatelyLearning:
        """A new model, not set up."""
        return private_model(self.model)

    def check(self, space: Space) -> None:
        """Refuse variables that the model cannot live on."""
        self.learner.setup(space, 0)

    def charges(self, most: int, accountant: Accountant) -> Sequence[Charge]:
        """Return the frequencies of levels, if they are released, and all steps."""
        first, steps = charges_of(self.learning, self.epsilon, self.delta, accountant)
        return [*first, steps]

    def make(self, rows: PrivateRows, charges: Sequence[Charge]) -> Made:
        """Let the model learn so many steps."""
        model = self.learner
        model.setup(rows.space, 0)
        model.fix_units()
        if len(charges) > 1:
            sums = released_histogram(model, rows, charges[0].noise)
            model.follow_histogram(sums, list(rows.space))
        steps = PrivateSteps(model, rows, self.learning, charges[-1].noise)
        for _ in range(self.learning.steps):
            model.descend_along(steps.gradient())
        return Made(model.sample, model.state_dict())

    @classmethod
    def tiny(cls) -> Self:
        """Return one with a small network and few steps."""
        small = {"name": "autoregressive", "bins": 8, "hidden": 16, "blocks": 1, "embedding": 4}
        learning = Steps(steps=3, rate=0.2)
        return cls(epsilon=10.0, delta=1e-4, draws=50, model=small, learning=learning)


def private_model(section: dict[str, Any]) -> PrivatelyLearning:
    """Return the model of a section with its name and settings.

    Raises:
        ValueError: It is none of those that can learn by DP-SGD, or a setting is wrong.
    """
    settings = dict(section)
    name = settings.pop("name", "autoregressive")
    if name not in MODELS:
        raise ValueError(
            f"expected one of the models that can learn by DP-SGD, {' or '.join(MODELS)}; "
            f"got {name!r}"
        )
    kind = find("model", name)
    assert issubclass(kind, PrivatelyLearning), "those models can"
    model = kind.model_validate(settings)
    fault = unfit(model)
    if fault:
        raise ValueError(fault)
    return without_clusters(model)
