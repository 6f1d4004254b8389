"""What a player says of itself: of its model all that games need, of its rows what it tells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal, Protocol

from coplay.core.components import name_of
from coplay.core.facts import PROTOCOL, Facts, coplay_version, variables_to_text
from coplay.core.space import LABEL, Samples, Space
from coplay.core.telling import Telling
from coplay.models.base import LocalModel
from coplay.models.likelihood import has_log_prob


class Describable(Protocol):
    """What there is to say of a player, beside its rows."""

    name: str
    model: LocalModel
    space: Space
    unobserved: tuple[str, ...]
    rows_since: Literal["", "same", "changed"]

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
        measures=player.measures,
        tells=tell.numbers,
        network=network,
        count=tell.count_of(len(rows)),
        rows_since=player.rows_since,
        shares=tell.shares_of(_counts(rows, variables, player.unobserved)),
    )


def _counts(rows: Samples, variables: Space, unobserved: Sequence[str]) -> list[int]:
    """Return the number of rows of each class; empty without classes."""
    if LABEL not in variables or LABEL in unobserved:
        return []
    counts: list[int] = rows[LABEL].bincount(minlength=variables[LABEL].classes or 0).tolist()
    return counts
