"""Models conditional on the source: whose data a sample comes from, as one more category.

A model that takes any categories beside its other variables gets the source as a variable of its
own. One that takes a single class gets the product of class and source in the place of the class,
C · N levels for C classes and N sources, and is asked for draws of given levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import PrivateAttr
from torch import Tensor

from coplay.core.errors import FAILURES, ModelError
from coplay.core.space import LABEL, SOURCE, Samples, Space, tensors
from coplay.core.streams import unbiased_counts
from coplay.core.variable import Variable
from coplay.games.party import Known, Party, completes, draws_by_class
from coplay.models.abilities import Completes, DrawsByClass
from coplay.models.base import OWN, LocalModel, Mixture, Portion
from coplay.player import Player

_WAY_OUT = (
    "choose a model that can (of tables autoregressive, conditionals, flow or gaussian_copula, of "
    "images rectified_flow, conv_hvae, joint_classifier or acgan), or play direct_exchange"
)


class BySource(LocalModel):
    """A model that was set up with the source, seen as one of the other variables alone.

    What it learns gets the source by the name of its portion; what it draws has sources in given
    shares, and leaves them out.
    """

    _model: LocalModel = PrivateAttr()
    _me: str = PrivateAttr()
    _names: tuple[str, ...] = PrivateAttr()
    _masses: dict[str, Tensor] = PrivateAttr()

    @staticmethod
    def space(variables: Space, names: Sequence[str]) -> Space:
        """Return the variables that the model is set up on.

        Args:
            variables: Those of its player.
            names: The players in order, which are the source's categories.
        """
        raise NotImplementedError

    @property
    def title(self) -> str:
        """The name of this model in errors."""
        return f"{self._model.title} given the source"

    def source_of(self, portion: str) -> str:
        """Return whose data a portion of a mixture comes from."""
        return self._me if portion.startswith(OWN) else portion.partition(",")[0]

    def class_shares(self, source: str) -> Tensor:
        """Return how often a source has which class, as far as draws depend on it; sum 1."""
        return torch.ones((), dtype=torch.float64)

    def setup(self, space: Space, seed: int) -> None:
        """The game sets the model up."""

    def learn(
        self, mixture: Mixture, steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """Learn from portions whose source is known."""
        parts = []
        for part in mixture.parts:
            place = self._names.index(self.source_of(part.name))
            parts.append(replace(part, samples=self.marked(part, place)))
        return self._model.learn(Mixture(tuple(parts)), steps, generator)

    def marked(self, part: Portion, place: int) -> Samples:
        """Return the samples of a portion with their source."""
        raise NotImplementedError

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw n samples of the sources in their shares, in random order."""
        masses = torch.stack([mass.sum() for mass in self._masses.values()])
        counts = unbiased_counts(masses / masses.sum(), n, generator)
        places = torch.tensor([self._names.index(name) for name in self._masses])
        sources = places.repeat_interleave(torch.tensor(counts))
        return self.drawn(sources[torch.randperm(n, generator=generator)], generator)

    def drawn(self, sources: Tensor, generator: torch.Generator) -> Samples:
        """Draw a sample of each source, shape (n,), without it."""
        raise NotImplementedError

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the model's state."""
        return self._model.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the model's state."""
        self._model.load_state_dict(state)


class GivenVariable(BySource):
    """A model that has the source as a variable of its own."""

    @staticmethod
    def space(variables: Space, names: Sequence[str]) -> Space:
        """Return a space with the source as a further categorical variable.

        Example:
            >>> GivenVariable.space(Space({"x": Variable(kind="real")}), ["north", "south"])
            Space(x: real scalar, source: categorical of 2 scalar)
        """
        source = Variable(kind="categorical", classes=max(2, len(names)))
        return Space({**_by_name(variables), SOURCE: source})

    def marked(self, part: Portion, place: int) -> Samples:
        """Return the samples of a portion with their source."""
        count = len(part.samples)
        source = torch.full((count,), place, dtype=torch.int64)
        return Samples({**tensors(part.samples), SOURCE: source}, batch_size=[count])

    def drawn(self, sources: Tensor, generator: torch.Generator) -> Samples:
        """Complete the sources."""
        given = Samples({SOURCE: sources}, batch_size=[len(sources)])
        assert isinstance(self._model, Completes)
        return self._model.complete(given, generator).exclude(SOURCE)


class _OfIncomplete(GivenVariable):
    """The same of a model that learns from samples that lack variables."""

    learns_incomplete: ClassVar[bool] = True


class GivenLabel(BySource):
    """A model whose one class is the product of class and source: level c + C s."""

    _shares: dict[str, Tensor] = PrivateAttr(default_factory=dict)
    _label: str = PrivateAttr()
    _classes: int = PrivateAttr()

    @property
    def _count(self) -> int:
        return max(1, self._classes)

    @staticmethod
    def space(variables: Space, names: Sequence[str]) -> Space:
        """Return a space with the product in the place of the class.

        Example:
            >>> digits = Space({"class": Variable(kind="categorical", classes=10)})
            >>> GivenLabel.space(digits, ["north", "south"])
            Space(class: categorical of 20 scalar)
        """
        name, classes = _label(variables)
        levels = max(1, classes) * max(2, len(names))
        return Space({**_by_name(variables), name: Variable(kind="categorical", classes=levels)})

    def class_shares(self, source: str) -> Tensor:
        """Return how often a source had which class, shape (C,), in what was learned last."""
        if source in self._shares:
            return self._shares[source]
        if source in self._masses and self._masses[source].dim():
            return self._masses[source] / self._masses[source].sum()
        return torch.full((self._count,), 1 / self._count, dtype=torch.float64)

    def learn(
        self, mixture: Mixture, steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """Learn from portions whose source is known, and note how often each has which class."""
        counted: dict[str, Tensor] = {}
        for part in mixture.parts:
            source = self.source_of(part.name)
            counts = self._labels(part).bincount(minlength=self._count).double()
            share = part.weight * counts / counts.sum()
            counted[source] = counted.get(source, torch.zeros_like(share)) + share
        self._shares |= {source: share / share.sum() for source, share in counted.items()}
        return super().learn(mixture, steps, generator)

    def _labels(self, part: Portion) -> Tensor:
        """Return classes of shape (n,); zeros where there are none."""
        if not self._classes:
            return torch.zeros(len(part.samples), dtype=torch.int64)
        if self._label not in part.samples.keys():
            raise ModelError(
                f"{self.title} needs the class of every sample; samples of "
                f"{self.source_of(part.name)} lack it"
            )
        labels: Tensor = part.samples[self._label]
        return labels

    def marked(self, part: Portion, place: int) -> Samples:
        """Return the samples of a portion with the product of class and source."""
        levels = self._labels(part) + self._count * place
        return Samples({**tensors(part.samples), self._label: levels}, batch_size=[len(levels)])

    def drawn(self, sources: Tensor, generator: torch.Generator) -> Samples:
        """Draw the class of each sample by its source's shares, and the rest given both."""
        labels = torch.zeros(len(sources), dtype=torch.int64)
        for place, name in enumerate(self._names):
            of_source = (sources == place).nonzero()[:, 0]
            if len(of_source):
                shares = self.class_shares(name)
                labels[of_source] = shares.multinomial(len(of_source), True, generator=generator)
        assert isinstance(self._model, DrawsByClass)
        levels = labels + self._count * sources
        drawn = self._model.sample_given(levels, len(levels), generator)
        values = {**tensors(drawn), self._label: labels}
        if not self._classes:
            values.pop(self._label)
        return Samples(values, batch_size=[len(labels)])


def by_source(
    model: LocalModel,
    variables: Space,
    names: Sequence[str],
    me: str,
    masses: Mapping[str, Tensor],
) -> BySource:
    """Return a model that was set up with the source, as one of the variables alone.

    Args:
        model: The model.
        variables: Those of its player, without the source.
        names: The players in order, which are the source's categories.
        me: The player.
        masses: How much of each source is drawn: a number, or one for each of its classes.
    """
    way = way_of(model, variables, names)
    conditional: BySource = way()
    if isinstance(conditional, GivenLabel):
        conditional._label, conditional._classes = _label(variables)
    elif model.learns_incomplete:
        conditional = _OfIncomplete()
    conditional._model = model
    conditional._me = me
    conditional._names = tuple(names)
    conditional._masses = dict(masses)
    return conditional


def way_of(model: LocalModel, variables: Space, names: Sequence[str]) -> type[BySource]:
    """Return how a model is conditioned on the source.

    Args:
        model: The model; it need not be set up.
        variables: Those of its player.
        names: The players in order.

    Raises:
        ModelError: It can be conditioned in neither way.
    """
    ways: list[type[BySource]] = []
    if isinstance(model, Completes):
        ways.append(GivenVariable)
    if isinstance(model, DrawsByClass):
        ways.append(GivenLabel)
    faults = []
    for way in ways:
        try:
            model.fresh().setup(way.space(variables, names), 0)
            return way
        except FAILURES as error:  # a model is foreign code
            faults.append(str(error))
    if not faults:
        raise ModelError("cannot draw samples given whose data they come from")
    raise ModelError(f"takes no further variable '{SOURCE}' ({'; '.join(faults)})")


def fault_of(player: Party, names: Sequence[str]) -> str:
    """Say why a player's model cannot be conditioned on the source; empty if it can.

    Args:
        player: The player.
        names: All players in order.
    """
    whose = f"player '{player.name}': {player.title}"
    if SOURCE in player.variables:
        return (
            f"player '{player.name}': a variable is called '{SOURCE}', which is the name of whose "
            "data a sample comes from; rename it, or play direct_exchange"
        )
    if not (completes(player) or draws_by_class(player)):
        return f"{whose} cannot draw samples given whose data they come from; {_WAY_OUT}"
    if isinstance(player, Known):
        return ""  # it is at home that its model is set up
    try:
        way = way_of(player.model, player.variables, names)
    except ModelError as error:
        return f"{whose} {error}; {_WAY_OUT}"
    label = _label(player.variables)[0]
    if way is GivenLabel and label in player.unobserved:
        return f"{whose} needs the class of every sample, and its data have none; {_WAY_OUT}"
    if way is GivenLabel and isinstance(player, Player) and _some_lack(player, label):
        return f"{whose} needs the class of every sample, and some of its rows lack it; {_WAY_OUT}"
    return ""


def _some_lack(player: Player, label: str) -> bool:
    """Whether some of a player's rows have no class."""
    if label not in player.private_data.keys():
        return False
    values = player.private_data[label]
    return not bool(player.own_space[label].present(values).all())


def _label(variables: Space) -> tuple[str, int]:
    """Return the name and the number of classes; without any, what it would be called, and 0."""
    for name in variables:
        classes = variables[name].classes
        if classes and not variables[name].shape:
            return name, classes
    return LABEL, 0


def _by_name(variables: Space) -> dict[str, Variable]:
    return {name: variables[name] for name in variables}
