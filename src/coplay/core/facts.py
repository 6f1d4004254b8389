"""What the coordinator knows of a player: what the player says of itself when it is asked."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.metadata import version
from typing import Literal, Self

from pydantic import ValidationError

from coplay.core.errors import MessageError, SpaceError
from coplay.core.plain import Plain, flatten, restored, shortened
from coplay.core.space import LABEL, Space
from coplay.core.variable import Variable

Promise = Literal["", "stand_in", "learning"]
"""How a site keeps a promise of privacy: by a stand-in of its rows, by DP-SGD, or there is none."""

PROTOCOL = 1
"""Number of the form of messages; parties with different ones cannot play together."""

_LONGEST = 100_000  # characters of one text in facts
_MOST_ROWS = 2**53  # more would not be exact in numbers of messages
_WITHHELD = -1.0  # a share that is not told, as it travels: no carrier has to know NaN


@dataclass(frozen=True)
class Facts:
    """What a player says of itself before the first round.

    A game is checked, predicted, reported and measured by facts alone, wherever players are.

    Args:
        name: The player.
        coplay: The version of its coplay.
        protocol: The form of its messages.
        schema: Digest of the variables that it takes as agreed; empty where none were agreed.
        learned: The variables that it learns, each as JSON.
        latent: Variables that travel with its samples, each as JSON.
        unobserved: Those of its variables that its own data lack.
        model: What its model is called in texts.
        model_name: What the model is called in a config.
        learns_incomplete: Whether it learns from samples that lack variables.
        has_log_prob: Whether it may report log p.
        classifies: Whether it gives classes to samples.
        completes: Whether its model draws what samples lack, given what they have.
        draws_by_class: Whether its model draws samples of given classes.
        measures: Whether it has rows that it holds out, to measure samples on.
        tells: Names of the numbers that leave it, of those computed from its rows.
        network: Name and settings of a model whose networks can travel, as JSON; else empty.
        count: Number of its rows, as it tells it; None where it does not.
        shares: Shares of the categories of its target among its rows; NaN for one that it
            withholds, and empty where it tells none.
        rows_since: Whether its rows are those that a run began with; empty where nobody knows.
        promise: How it keeps a promise of privacy for its rows; empty where it makes none.

    Example:
        >>> dose = Variable(kind="real", low=0)
        >>> facts = Facts("north", "0.1.0", PROTOCOL, "", variables_to_text({"dose": dose}))
        >>> facts.space
        Space(dose: real scalar in [0, inf])
        >>> Facts.from_plain(facts.plain(), "north") == facts
        True
    """

    name: str
    coplay: str
    protocol: int
    schema: str
    learned: Mapping[str, str]
    latent: Mapping[str, str] = field(default_factory=dict)
    unobserved: Sequence[str] = ()
    model: str = ""
    model_name: str = ""
    learns_incomplete: bool = False
    has_log_prob: bool = False
    classifies: bool = False
    completes: bool = False
    draws_by_class: bool = False
    measures: bool = False
    tells: Sequence[str] = ()
    network: str = ""
    count: int | None = None
    shares: Sequence[float] = ()
    rows_since: Literal["", "same", "changed"] = ""
    promise: Promise = ""

    @cached_property
    def variables(self) -> Space:
        """The variables that it learns."""
        return Space(variables_from_text(self.learned))

    @cached_property
    def space(self) -> Space:
        """What its samples consist of: the variables, and latents sent with them."""
        return self.variables.extended(variables_from_text(self.latent))

    @property
    def promise_words(self) -> str:
        """What follows from its promise of privacy, in a sentence; empty where it makes none."""
        if not self.promise:
            return ""
        how = "learns from its rows by DP-SGD"
        if self.promise == "stand_in":
            how = "plays with draws of a private stand-in, which are counted in the place of rows"
        return (
            f"{self.name} made a promise of privacy and {how}: nothing else that is computed from "
            "its rows leaves it, whatever [tell] of its site file says"
        )

    def plain(self) -> dict[str, Plain]:
        """The facts as plain values, for any carrier."""
        shares = [_WITHHELD if math.isnan(share) else share for share in self.shares]
        return flatten(replace(self, shares=shares))

    @classmethod
    def from_plain(cls, values: Mapping[str, object], name: str) -> Self:
        """Read facts that came from a player.

        Args:
            values: What :meth:`plain` returned, or anything else.
            name: The player that was asked.

        Raises:
            MessageError: They are no facts, those of another, or of another protocol.
        """
        origin = f"the facts of player '{name}'"
        protocol = values.get("protocol")  # first, since another protocol may have other fields
        if type(protocol) is int and protocol != PROTOCOL:
            raise MessageError(
                f"{origin}: its coplay {shortened(values.get('coplay'))} speaks protocol "
                f"{shortened(protocol)}, this one ({version('coplay')}) {PROTOCOL}; "
                "give both the same version of coplay"
            )
        facts = restored(cls, values, origin)
        if facts.name != name:
            raise MessageError(f"{origin}: they name {shortened(facts.name)}")
        texts = [*facts.learned.values(), *facts.latent.values(), facts.network, facts.model]
        if any(len(text) > _LONGEST for text in texts):
            raise MessageError(f"{origin}: expected texts of at most {_LONGEST:,} characters")
        try:
            facts.space  # noqa: B018
        except (SpaceError, ValidationError) as error:
            raise MessageError(f"{origin}: {error}") from None
        strange = [variable for variable in facts.unobserved if variable not in facts.learned]
        if strange:
            raise MessageError(
                f"{origin}: it lacks {shortened(strange[0])}, which it does not learn"
            )
        if facts.count is not None and not 0 <= facts.count <= _MOST_ROWS:
            got = shortened(facts.count)
            raise MessageError(f"{origin}: expected a number of rows from 0 to 2**53, got {got}")
        shares = _shares(facts.shares, origin)
        _check_places(facts, origin)
        return replace(facts, shares=shares)


def _shares(values: Sequence[float], origin: str) -> tuple[float, ...]:
    """Return shares as they were told, from what travelled.

    Raises:
        MessageError: One of them is no share.
    """
    shares = []
    for value in values:
        if value != _WITHHELD and not 0 <= value <= 1:
            raise MessageError(f"{origin}: expected shares from 0 to 1, got {shortened(value)}")
        shares.append(math.nan if value == _WITHHELD else value)
    return tuple(shares)


@cache
def coplay_version() -> str:
    """Return the version of this coplay; looking it up reads a file."""
    return version("coplay")


def _check_places(facts: Facts, origin: str) -> None:
    """Refuse shares that are not one for each class.

    Raises:
        MessageError: They are not.
    """
    classes = 0
    if LABEL in facts.learned and LABEL not in facts.unobserved:
        classes = facts.variables[LABEL].classes or 0
    if facts.shares and len(facts.shares) != classes:
        raise MessageError(f"{origin}: expected {classes} shares, got {len(facts.shares)}")


def facts_of_all(names: Iterable[str], replies: Sequence[Mapping[str, object]]) -> dict[str, Facts]:
    """Read the facts of several players, in the order of their names."""
    facts = {}
    for name, values in zip(names, replies, strict=True):
        facts[name] = Facts.from_plain(values, name)
    return facts


def variables_to_text(variables: Mapping[str, Variable] | Space) -> dict[str, str]:
    """Write each variable as JSON."""
    return {
        name: variables[name].model_dump_json(exclude_defaults=True, by_alias=False)
        for name in variables
    }


def variables_from_text(texts: Mapping[str, str]) -> dict[str, Variable]:
    """Undo :func:`variables_to_text`."""
    return {name: Variable.model_validate_json(text) for name, text in texts.items()}


def schema_digest(space: Space) -> str:
    """Return the digest by which parties notice that they agreed on different variables.

    Example:
        >>> one = Space({"x": Variable(kind="real", low=0)})
        >>> schema_digest(one) == schema_digest(Space({"x": Variable(kind="real", low=1)}))
        False
    """
    texts = variables_to_text(space)
    return hashlib.sha256(json.dumps(list(texts.items())).encode()).hexdigest()
