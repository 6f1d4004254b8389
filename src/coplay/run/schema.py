"""The agreed variables of a federation, as a config has them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Self

from pydantic import Field, ValidationError, model_validator

from coplay.core.components import Section
from coplay.core.space import Space
from coplay.core.variable import Kind, Variable


class VariableSection(Section):
    """One agreed variable.

    Args:
        kind: ``real``, ``count``, ``binary`` or ``categorical``.
        shape: Shape of one sample; empty for a number.
        low: Smallest allowed value of a real variable; None for no limit.
        high: Largest allowed value of a real variable; None for no limit.
        categories: What the categories are called, for ``categorical`` only.
        unit: What one of it is, such as ``mm``.
        optional: Whether it may be missing in some rows.
        description: One line for people.
        from_data: Whether range or categories were read off somebody's data, which may reveal
            something of them.

    Example:
        >>> tumour = VariableSection(kind="categorical", categories=("benign", "malignant"))
        >>> tumour.variable.class_names
        ('benign', 'malignant')
    """

    kind: Kind
    shape: tuple[int, ...] = ()
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] | None = Field(default=None, min_length=2)
    unit: str = ""
    optional: bool = False
    description: str = ""
    from_data: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.kind == "categorical") != (self.categories is not None):
            raise ValueError("categories must be given exactly for a categorical variable")
        try:
            self.variable  # noqa: B018
        except ValidationError as error:
            text = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ValueError(text) from None
        return self

    @property
    def variable(self) -> Variable:
        """The variable as samples, models and messages know it."""
        return Variable(
            kind=self.kind,
            shape=self.shape,
            classes=None if self.categories is None else len(self.categories),
            low=-math.inf if self.low is None else self.low,
            high=math.inf if self.high is None else self.high,
            names=self.categories,
            unit=self.unit,
            optional=self.optional,
        )

    @classmethod
    def of(cls, variable: Variable, description: str = "", from_data: bool = False) -> Self:
        """Return the section of a variable."""
        return cls(
            kind=variable.kind,
            shape=variable.shape,
            low=variable.low if math.isfinite(variable.low) else None,
            high=variable.high if math.isfinite(variable.high) else None,
            categories=variable.class_names or None,
            unit=variable.unit,
            optional=variable.optional,
            description=description,
            from_data=from_data,
        )


def agreed_space(variables: Mapping[str, VariableSection]) -> Space:
    """Return the space of agreed variables, in the order of the config."""
    return Space({name: section.variable for name, section in variables.items()})
