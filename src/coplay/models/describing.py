"""What a player says of itself: of its model all that games need, of its rows what it tells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from coplay.core.components import name_of
from coplay.core.facts import PROTOCOL, Facts, Promise, coplay_version, variables_to_text
from coplay.core.space import LABEL, Samples, Space
from coplay.core.telling import Telling
from coplay.models.abilities import Classifies, Completes, DrawsByClass
from coplay.models.base import LocalModel
from coplay.models.likelihood import has_log_prob


class Describable(Protocol):
    """What there is to say of a player, beside its rows."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def model(self) -> LocalModel:
        """Its model."""
        ...

    @property
    def space(self) -> Space:
        """What its samples consist of."""
        ...

    @property
    def unobserved(self) -> Sequence[str]:
        """Those of its variables that its rows lack."""
        ...

    @property
    def rows_since(self) -> Literal["", "same", "changed"]:
        """Whether its rows are those that a run began with."""
        ...

    @property
    def promise(self) -> Promise:
        """How it keeps a promise of privacy; empty where it makes none."""
        ...

    @property
    def variables(self) -> Space:
        """The variables that it learns."""
        ...

    @property
    def measures(self) -> bool:
        """Whether it has rows that it holds out."""
        ...

    @property
    def classifies(self) -> bool:
        """Whether it gives classes to samples."""
        ...


@dataclass(frozen=True)
class Unbuilt:
    """A player that is not built yet: what games are checked by does not take its networks.

    Args:
        name: The player.
        model: Its model, which need not be set up; what travels beside samples is not known yet.
        space: The variables as its rows have them.
        unobserved: Those of them that its rows lack.
    """

    name: str
    model: LocalModel
    space: Space
    unobserved: Sequence[str] = ()
    rows_since: Literal["", "same", "changed"] = ""
    promise: Promise = ""
    measures: bool = False

    @property
    def variables(self) -> Space:
        """The variables that it learns."""
        return self.space

    @property
    def classifies(self) -> bool:
        """Whether it gives classes to samples."""
        return tells_classes(self.model, self.space, self.unobserved)


def tells_classes(model: LocalModel, variables: Space, unobserved: Sequence[str]) -> bool:
    """Whether a model can tell classes of its own kind from inputs that its player observes."""
    inputs = [name for name in variables if name not in (LABEL, *unobserved)]
    is_class = LABEL in variables and bool(variables[LABEL].classes)
    return isinstance(model, Classifies) and is_class and bool(inputs)


def facts_of(player: Describable, rows: Samples, tell: Telling, schema: str) -> Facts:
    """Return the facts of a player.

    Args:
        player: The player.
        rows: Its private samples; of these only what ``tell`` names is in the facts.
        tell: What it tells of them.
        schema: Digest of the variables that it takes as agreed.
    """
    model = player.model
    variables = player.variables
    latents = [name for name in player.space if name not in variables]
    network = ""
    if model.networks_travel:
        settings = model.model_dump(mode="json", exclude_none=True)
        network = json.dumps({"name": name_of("model", model), **settings})
    return Facts(
        name=player.name,
        coplay=coplay_version(),
        protocol=PROTOCOL,
        schema=schema,
        learned=variables_to_text(variables),
        latent=variables_to_text({name: player.space[name] for name in latents}),
        unobserved=player.unobserved,
        model=model.title,
        model_name=name_of("model", model),
        learns_incomplete=model.learns_incomplete,
        has_log_prob=has_log_prob(model),
        classifies=player.classifies,
        completes=isinstance(model, Completes),
        draws_by_class=isinstance(model, DrawsByClass),
        measures=player.measures,
        tells=tell.numbers,
        network=network,
        count=tell.count_of(len(rows)),
        rows_since=player.rows_since,
        promise=player.promise,
        shares=tell.shares_of(_counts(rows, variables, player.unobserved)),
    )


def _counts(rows: Samples, variables: Space, unobserved: Sequence[str]) -> list[int]:
    """Return the number of rows of each class; empty without classes.

    What is called so may be a number or a bit, and a class may be missing in some rows.
    """
    classes = variables[LABEL].classes if LABEL in variables else None
    if classes is None or variables[LABEL].shape or LABEL in unobserved:
        return []
    there = rows[LABEL][rows[LABEL] >= 0]
    counts: list[int] = there.bincount(minlength=classes).tolist()
    return counts
