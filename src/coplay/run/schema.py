"""The agreed variables of a federation, as a config has them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Self

from pydantic import Field, ValidationError, model_validator

from coplay.core.components import Section
from coplay.core.errors import DataError
from coplay.core.space import Space
from coplay.core.variable import Kind, Variable
from coplay.data.classes import natural_key


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


class ProposedSection(VariableSection):
    """One variable as a site proposes it: a category may have one level, if others have more."""

    categories: tuple[str, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kind == "categorical" and len(self.categories or ()) == 1:
            return self
        VariableSection.model_validate(self.model_dump())
        return self


def agreed_space(variables: Mapping[str, VariableSection]) -> Space:
    """Return the space of agreed variables, in the order of the config."""
    return Space({name: section.variable for name, section in variables.items()})


def inferred(spaces: Mapping[str, Space]) -> Space:
    """Return the variables of all sites, for a simulation in which nobody wrote them down.

    Categories are those of all sites, ranges cover those of all, and whole numbers and reals are
    reals.

    Args:
        spaces: What each site has, by the names of variables.

    Raises:
        DataError: Sites have something else under one name; the message names both.

    Example:
        >>> one = Variable(kind="categorical", classes=2, names=("a", "b"))
        >>> two = Variable(kind="categorical", classes=2, names=("b", "c"))
        >>> inferred({"north": Space({"x": one}), "south": Space({"x": two})})["x"].class_names
        ('a', 'b', 'c')
    """
    variables: dict[str, Variable] = {}
    first: dict[str, str] = {}
    faults = []
    for site, space in spaces.items():
        for name in space:
            if name not in variables:
                variables[name] = space[name]
                first[name] = site
                continue
            both = _of_both(variables[name], space[name])
            if both is None:
                faults.append(
                    f"'{name}' is {space[name]} at '{site}' and {variables[name]} at "
                    f"'{first[name]}'"
                )
            else:
                variables[name] = both
    if faults:
        raise DataError(
            f"sites have different variables of one name: {'; '.join(faults)}. Rename one with "
            "columns, or say in [variables] what it is"
        )
    return Space(variables)


def _of_both(one: Variable, other: Variable) -> Variable | None:
    """Return the variable whose values are those of either; None if there is no such."""
    if one.shape != other.shape or one.unit != other.unit:
        return None
    if one.kind != other.kind and _may_be_numbers(one) and _may_be_numbers(other):
        one, other = _as_numbers(one), _as_numbers(other)
    numbers = {"real", "count"}
    kinds = {one.kind, other.kind}
    optional = one.optional or other.optional
    if one.kind == "categorical" and other.kind == "categorical":
        return _of_all_classes(one, other, optional)
    if len(kinds) == 1 or kinds == numbers:
        kind: Kind = "real" if "real" in kinds else one.kind
        low, high = -math.inf, math.inf
        if kind == "real":
            low, high = min(one.range[0], other.range[0]), max(one.range[1], other.range[1])
        return Variable(
            kind=kind, shape=one.shape, low=low, high=high, unit=one.unit, optional=optional
        )
    return None


def _may_be_numbers(variable: Variable) -> bool:
    """Whether all values are numbers; classes that are called by whole numbers are."""
    return all(name.lstrip("-").isdecimal() for name in variable.class_names)


def _as_numbers(variable: Variable) -> Variable:
    """Return a variable of which one site has too few numbers to show what they are."""
    if variable.kind in ("real", "count"):
        return variable
    return Variable(
        kind="real", shape=variable.shape, unit=variable.unit, optional=variable.optional
    )


def _of_all_classes(one: Variable, other: Variable, optional: bool) -> Variable:
    """Return the categorical variable with the classes of both."""
    names = [*one.class_names]
    more = [name for name in other.class_names if name not in names]
    if more:
        names = sorted([*names, *more], key=natural_key)
    numbered = names == [str(number) for number in range(len(names))]
    return Variable(
        kind="categorical",
        shape=one.shape,
        classes=len(names),
        names=None if numbered else tuple(names),
        unit=one.unit,
        optional=optional,
    )
