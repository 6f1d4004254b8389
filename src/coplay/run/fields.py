"""Fields of a config that hold a component: a section with a name on disk, an object in Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, ValidationError, ValidationInfo

from coplay.core.components import BASES, Component, find, full_name, may_import, name_of
from coplay.data.partitions.base import Partition
from coplay.data.sources.base import Source
from coplay.engines.base import Engine
from coplay.games.base import Game
from coplay.metrics.base import Metric
from coplay.models.base import LocalModel
from coplay.models.estimator import Estimator
from coplay.run.foreign import Unread, unread
from coplay.site.stand_ins.base import StandIn


def _component(kind: str) -> tuple[BeforeValidator, PlainSerializer]:
    """Return the conversions of a section ``{name = …, …}`` to a component of a kind and back."""

    def build(value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, Mapping):
            return value
        section = dict(value)
        name = section.pop("name", None)
        if not isinstance(name, str):
            raise ValueError(f"expected a {kind} section with a name, got {dict(value)}")
        name = full_name(kind, name)  # what a package declares stands for its class
        if ":" in name and not may_import(info):
            return unread(kind, name, section)
        cls = find(kind, name)
        if issubclass(cls, Component):
            return cls.model_validate(section, context=info.context)
        if kind != "model":
            raise ValueError(f"{name!r} is no {kind}; expected a subclass of coplay.{BASES[kind]}")
        missing = [
            method for method in ("fit", "sample") if not callable(getattr(cls, method, None))
        ]
        if missing:
            lacks = f"{name!r} has no method {' and '.join(missing)}"
            raise ValueError(f"{lacks}; any class with fit and sample is a model")
        return Estimator(estimator=name, arguments=section)

    def dump(component: Any) -> dict[str, Any]:
        if isinstance(component, Unread):
            return {"name": component.class_name, **component.class_settings}
        if isinstance(component, Estimator):
            return {"name": component.estimator, **component.arguments}
        return {
            "name": name_of(kind, component),
            **component.model_dump(mode="json", exclude_none=True),
        }

    return BeforeValidator(build), PlainSerializer(dump)


def _listed(rules: Any) -> Any:
    """Return rules of a section of their own, ``[rules]`` with ``rules = […]``, as a list."""
    if isinstance(rules, Mapping) and set(rules) == {"rules"}:
        rules = rules["rules"]
    if isinstance(rules, str):
        raise ValueError(f"expected a list of rules, got a text; write rules = [{rules!r}]")
    return rules


RulesField = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""Rules between columns, as they are written."""


def problems_of(error: ValidationError) -> list[str]:
    """Return the faults of a section, each beginning with its place."""
    problems = []
    for item in error.errors():
        place = ".".join(str(part) for part in item["loc"])
        for line in item["msg"].removeprefix("Value error, ").split("\n"):
            problems.append(f"{place}: {line}" if place else line)
    return problems


SourceField = Annotated[Source, *_component("source")]
PartitionField = Annotated[Partition, *_component("partition")]
GameField = Annotated[Game, *_component("game")]
EngineField = Annotated[Engine, *_component("engine")]
ModelField = Annotated[LocalModel, *_component("model")]
StandInField = Annotated[StandIn, *_component("stand_in")]
MetricField = Annotated[Metric, *_component("metric")]
