"""The black box that plays: it learns from a mixture of samples, and samples."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from coplay.core.components import Component
from coplay.core.errors import ModelError, SpaceError
from coplay.core.space import Samples, Space, Variable, join, pick
from coplay.core.streams import unbiased_counts

OWN = "own data"
"""Name of a player's own data among the portions of a mixture, and of their weight.

No player can have this name.
"""


@dataclass(frozen=True)
class Portion:
    """One source of a mixture: its samples, and the total mass they have in it.

    Args:
        name: Whose samples they are: :data:`OWN`, or a player's name.
        samples: At least one.
        weight: Their mass together, from 0 to 1.
        rows: Which of the samples they are, positions of shape (n,); None for all. Only a model
            that ``takes_rows`` is given a choice: of a large table, all rows do not fit twice.
        without: Which of these are left out, ascending positions among them; None for none.

    Example:
        >>> from coplay import Variable
        >>> space = Space({"x": Variable(kind="real")})
        >>> part = Portion("south", space.samples(x=torch.arange(4.0)), 0.75)
        >>> len(part), part.only(torch.tensor([3, 1])).whole()["x"].tolist()
        (4, [3.0, 1.0])
    """

    name: str
    samples: Samples
    weight: float
    rows: Tensor | None = None
    without: Tensor | None = None

    def __len__(self) -> int:
        count = len(self.samples) if self.rows is None else len(self.rows)
        return count if self.without is None else count - len(self.without)

    def picked(self, places: Tensor) -> Samples:
        """Return some of its samples, by their positions among them, shape (k,)."""
        return pick(self.samples, self._rows_at(places))

    def only(self, places: Tensor) -> Portion:
        """Return a portion of some of its samples, of the same mass, without a copy of them."""
        return replace(self, rows=self._rows_at(places), without=None)

    def all_but(self, places: Tensor) -> Portion:
        """Return a portion without some of its samples, of which only these take memory.

        Args:
            places: Their positions among the samples, ascending.
        """
        if self.without is not None:
            here = torch.ones(len(self), dtype=torch.bool)
            here[places] = False
            return self.only(here.nonzero().squeeze(1))
        return replace(self, without=places)

    def _rows_at(self, places: Tensor) -> Tensor:
        """Return positions among the samples, from those among the rows that are chosen."""
        if self.without is not None:
            # as many are left out before a place as left-out ones lie at most that far
            before = self.without - torch.arange(len(self.without))
            places = places + torch.searchsorted(before, places, right=True)
        return places if self.rows is None else self.rows[places].long()

    def fit_for(self, model: LocalModel) -> Portion:
        """Return what a model can learn from: a copy of the rows, if it takes no choice of them."""
        if model.takes_rows or (self.rows is None and self.without is None):
            return self
        return Portion(self.name, self.whole(), self.weight)

    def whole(self) -> Samples:
        """Return all of its samples, and no others."""
        if self.without is not None:
            return self.picked(torch.arange(len(self)))
        return self.samples if self.rows is None else pick(self.samples, self.rows.long())


@dataclass(frozen=True)
class Mixture:
    """What a player learns from in one turn, m_i = α_ii π_i + Σ_j α_ij p_j of (A1).

    It has one portion per source; their weights sum to 1. The first is the player's own data,
    unless it has none or its own weight is 0.

    Args:
        parts: The sources with their weights.

    Example:
        >>> from coplay import Variable
        >>> space = Space({"x": Variable(kind="real")})
        >>> own, foreign = space.samples(x=torch.zeros(3)), space.samples(x=torch.ones(2))
        >>> mixture = Mixture((Portion(OWN, own, 0.25), Portion("south", foreign, 0.75)))
        >>> samples, weights = mixture.weighted()
        >>> samples["x"].tolist(), weights.sum().item()
        ([0.0, 0.0, 0.0, 1.0, 1.0], 1.0)
    """

    parts: tuple[Portion, ...]

    @property
    def weights(self) -> Tensor:
        """The parts' masses, shape (number of parts,), float64."""
        return torch.tensor([part.weight for part in self.parts], dtype=torch.float64)

    def weighted(self) -> tuple[Samples, Tensor]:
        """All samples, with the variables that all portions have, and one weight each.

        The weights have shape (n,), float64, and sum 1.
        """
        common = list(self.parts[0].samples.keys())
        weights = []
        for part in self.parts:
            common = [name for name in common if name in part.samples.keys()]
            each = part.weight / len(part)
            weights.append(torch.full((len(part),), each, dtype=torch.float64))
        return join([part.whole().select(*common) for part in self.parts]), torch.cat(weights)

    def drawn(self, size: int, generator: torch.Generator) -> dict[str, Samples]:
        """Draw ``size`` samples in proportion to the weights, with replacement inside each portion.

        Returns:
            The samples drawn, by name of the portions that any were drawn from.
        """
        counts = unbiased_counts(self.weights, size, generator)
        drawn = {}
        for part, count in zip(self.parts, counts, strict=True):
            if count:
                drawn[part.name] = part.picked(
                    torch.randint(len(part), (count,), generator=generator)
                )
        return drawn

    def batch(self, size: int, generator: torch.Generator) -> Samples:
        """Return :meth:`drawn` as one set; all portions must have the same variables."""
        return join(list(self.drawn(size, generator).values()))


class LocalModel(Component):
    """A black box that learns and samples.

    A subclass declares its settings as fields and keeps what it learns in attributes whose names
    begin with an underscore. It uses only the generators it is given, never a global one, so that
    runs repeat and resume exactly.

    What else a model can do is known by its methods, see :mod:`coplay.models.abilities`:
    ``log_prob(samples)``, log p in nats, shape (n,); ``log_weights(samples, draws, generator)``,
    log importance weights, shape (draws, n); ``classify(samples)``, class probabilities, shape
    (n, C); ``complete(partial, generator)``, samples with what was missing;
    ``complete_within(partial, name, subset, generator)``, the same with a variable in a subset;
    ``sample_given(classes, n, generator)``, samples of given classes;
    ``best_response(moments)``, for exponential families; ``go_on()``, for a model that may stop
    learning early.

    Example:
        A whole model: it memorises the mean of a real variable and samples around it.

        >>> from coplay import Variable
        >>> from tensordict import TensorDict
        >>> class Mean(LocalModel):
        ...     noise: float = 0.1
        ...     def setup(self, space, seed):
        ...         self._mean = torch.zeros(())
        ...     def learn(self, mixture, steps, generator):
        ...         samples, weights = mixture.weighted()
        ...         self._mean = (samples["x"] * weights).sum()
        ...         return {"mean": self._mean.item()}
        ...     def sample(self, n, generator):
        ...         x = self._mean + self.noise * torch.randn(n, generator=generator)
        ...         return TensorDict({"x": x.float()}, batch_size=[n])
        ...     def state_dict(self):
        ...         return {"mean": self._mean}
        ...     def load_state_dict(self, state):
        ...         self._mean = state["mean"]
        >>> model = Mean()
        >>> model.setup(Space({"x": Variable(kind="real")}), seed=1)
        >>> ones = TensorDict({"x": torch.ones(4)}, [4])
        >>> model.learn(Mixture((Portion(OWN, ones, 1.0),)), 1, torch.Generator())
        {'mean': 1.0}
    """

    kinds: ClassVar[tuple[str, ...]] = ("binary", "categorical", "count", "real")
    """Kinds of variable that the model can live on."""

    learns_incomplete: ClassVar[bool] = False
    """Whether the model learns from samples in which some of its variables are missing (A5)."""

    takes_rows: ClassVar[bool] = False
    """Whether the model minds which rows of its samples a portion is (:attr:`Portion.rows`)."""

    networks_travel: ClassVar[bool] = False
    """Whether there is a game in which its networks travel, so that others need its settings."""

    reported_names: ClassVar[tuple[str, ...] | None] = None
    """Names of the numbers that ``learn`` may return; None where the model does not say."""

    tried: ClassVar[bool] = True
    """Whether an own class is tried on made-up samples before play, see ``models/trial.py``."""

    def latent_variables(self) -> Mapping[str, Variable]:
        """Latents that travel with this model's samples, by name.

        They are never observed; players with the same latents may learn from them.
        """
        return {}

    @property
    def title(self) -> str:
        """The name of this model in errors."""
        return type(self).__name__

    @property
    def generates(self) -> bool:
        """Whether there is anything to draw samples from, once it has learned."""
        return True

    def reports(self) -> Sequence[str] | None:
        """Return the names of the numbers that ``learn`` may return, once the model is set up.

        A site that tells numbers by their names is so warned of a slip in them. None where the
        model does not say.
        """
        return self.reported_names

    @abstractmethod
    def setup(self, space: Space, seed: int) -> None:
        """Make ready to learn on ``space``; everything random in the start follows from ``seed``.

        Raises:
            ModelError: The model cannot live on this space.
        """

    @abstractmethod
    def learn(
        self, mixture: Mixture, steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """Learn from a mixture, going on from what was learned before.

        Args:
            mixture: The sources and their masses; the expectation must be (A1)'s, how they are
                mixed is the model's.
            steps: Local steps for a model that learns in steps; one with a closed form may ignore
                it.
            generator: Source of all randomness.

        Returns:
            Named numbers for the record, such as losses in nats per sample.
        """

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw n samples, batch size [n], all variables of the space."""

    @abstractmethod
    def state_dict(self) -> Mapping[str, Tensor]:
        """Return everything that was learned, optimizer state included, as a flat mapping."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state of :meth:`state_dict`; from then on the model repeats what it did."""


def finite_number(name: str, value: object) -> float:
    """Return a number that a model reports as learning.

    Args:
        name: Under which it is reported.
        value: The number, or what can be made one.

    Raises:
        ModelError: It is no number, or not finite: then the model is broken, whatever it still
            draws.

    Example:
        >>> finite_number("loss", torch.tensor(0.5))
        0.5
    """
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        # the value is not quoted: it may be private, and the error goes to others
        kind = type(value).__name__
        raise ModelError(f"learn reported {name} as {kind}, expected a number") from None
    if not math.isfinite(number):
        raise ModelError(
            f"learn reported {name} = {number}; the model has diverged, try smaller steps"
        )
    return number


def reported(numbers: object) -> dict[str, float]:
    """Return the numbers that ``learn`` of a model returned.

    Raises:
        ModelError: It returned no mapping, or a value that is no finite number.
    """
    if not isinstance(numbers, Mapping):
        raise ModelError(
            f"learn returned {type(numbers).__name__}, expected a mapping of named numbers such as "
            '{"loss": 0.5}, or {} for none'
        )
    return {str(name): finite_number(str(name), value) for name, value in numbers.items()}


def image_and_class(space: Space, model: str, *, any_shape: bool = False) -> tuple[str, str | None]:
    """Return what :meth:`Space.image_and_class` returns; its error then names the model.

    Raises:
        ModelError: There is no image or more than one, more than one class, or another variable.
    """
    try:
        return space.image_and_class(any_shape=any_shape)
    except SpaceError as error:
        raise ModelError(f"{model}: {error}") from None


def bounded_image_and_class(space: Space, model: str) -> tuple[str, str | None]:
    """Return the names of a space's one image, of a finite range, and of its class, if it has one.

    Raises:
        ModelError: They are not all there is, or the image has no finite range.
    """
    # any shape: perceptrons take an image as a row of numbers, so rows of blood values work too
    image, label = image_and_class(space, model, any_shape=True)
    v = space[image]
    if v.kind not in ("binary", "real") or not all(map(math.isfinite, v.range)) or not v.shape:
        raise ModelError(
            f"{model} needs an image, binary or real with a finite range; '{image}' is {v}. Its "
            "generator ends in tanh, so scale the values to a known range"
        )
    return image, label
