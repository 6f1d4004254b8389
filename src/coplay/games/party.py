"""Who takes part in a game, as its rules see it: a player itself, or what is known of one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from coplay.core.components import find, ships
from coplay.core.errors import CoplayError, MessageError
from coplay.core.facts import Facts
from coplay.core.history import Roster
from coplay.core.plain import shortened
from coplay.core.space import Space
from coplay.models.abilities import Completes, DrawsByClass
from coplay.models.base import LocalModel


class Party(Protocol):
    """What the coordinator's side of a game may know of a player.

    A :class:`~coplay.player.Player` has all of it, and so has :class:`Known`, which is made of
    facts alone. A game that gets by with it can be played with players anywhere.
    """

    roster: Roster | None
    """With whom it plays; None before an engine has it."""

    @property
    def name(self) -> str:
        """The player's name."""
        ...

    @property
    def seed(self) -> int:
        """The run's seed."""
        ...

    @property
    def variables(self) -> Space:
        """The variables that it learns."""
        ...

    @property
    def space(self) -> Space:
        """What its samples consist of: the variables, and latents sent with them."""
        ...

    @property
    def unobserved(self) -> Sequence[str]:
        """Those of its variables that its own data lack."""
        ...

    @property
    def told_count(self) -> int | None:
        """Number of its samples, as it tells it; None where it does not."""
        ...

    @property
    def title(self) -> str:
        """What its model is called in texts."""
        ...

    @property
    def classifies(self) -> bool:
        """Whether it gives classes to samples."""
        ...

    @property
    def learns_incomplete(self) -> bool:
        """Whether its model learns from samples that lack variables."""
        ...

    @property
    def model(self) -> LocalModel:
        """A model of its kind and settings, for games in which networks travel."""
        ...


@dataclass
class Known:
    """A player elsewhere, of which the coordinator has the facts.

    Args:
        facts: What the player said of itself.
        seed: The run's seed.
        roster: With whom it plays.
    """

    facts: Facts
    seed: int
    roster: Roster | None = None

    @property
    def name(self) -> str:
        """The player's name."""
        return self.facts.name

    @property
    def variables(self) -> Space:
        """The variables that it learns."""
        return self.facts.variables

    @property
    def space(self) -> Space:
        """What its samples consist of."""
        return self.facts.space

    @property
    def unobserved(self) -> Sequence[str]:
        """Those of its variables that its own data lack."""
        return self.facts.unobserved

    @property
    def told_count(self) -> int | None:
        """Number of its samples, as it tells it."""
        return self.facts.count

    @property
    def title(self) -> str:
        """What its model is called in texts."""
        return self.facts.model

    @property
    def classifies(self) -> bool:
        """Whether it gives classes to samples."""
        return self.facts.classifies

    @property
    def learns_incomplete(self) -> bool:
        """Whether its model learns from samples that lack variables."""
        return self.facts.learns_incomplete

    @cached_property
    def model(self) -> LocalModel:
        """A model with the settings that the player named, set up on its variables.

        Raises:
            MessageError: It named none, or one that is not of coplay: what a stranger names is
                never imported.
        """
        whose = f"player '{self.name}'"
        if not self.facts.network:
            raise MessageError(f"{whose} has {self.title}, whose networks cannot travel")
        try:
            settings = dict(json.loads(self.facts.network))
            name = settings.pop("name")
            if type(name) is not str or not ships("model", name):
                raise MessageError(f"{whose}: expected a model of coplay, got {shortened(name)}")
            kind = find("model", name)
            assert issubclass(kind, LocalModel)
            model = kind.model_validate(settings)
            model.setup(self.variables, self.seed)
        except (ValueError, TypeError, KeyError, CoplayError) as error:
            raise MessageError(f"{whose}: its model cannot be made here: {error}") from error
        return model


def has_model(player: Party, kind: type[LocalModel]) -> bool:
    """Whether a player has a model of a kind whose networks travel."""
    try:
        return isinstance(player.model, kind)
    except MessageError:
        return False


def completes(player: Party) -> bool:
    """Whether a player's model draws what samples lack, given what they have."""
    if isinstance(player, Known):
        return player.facts.completes
    return isinstance(player.model, Completes)


def draws_by_class(player: Party) -> bool:
    """Whether a player's model draws samples of given classes."""
    if isinstance(player, Known):
        return player.facts.draws_by_class
    return isinstance(player.model, DrawsByClass)
