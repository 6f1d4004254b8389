"""Abilities that a model may have beside learning and sampling; it has them by its methods.

Ask with ``isinstance(model, Classifies)``; a model need not inherit from these classes or register.
Python checks that the methods exist, not their arguments.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from coplay.core.space import Samples
from coplay.core.subset import Subset


@runtime_checkable
class HasLogProb(Protocol):
    """A model that has log p of samples exactly.

    Example:
        >>> from coplay.models.exponential_family import ExponentialFamily
        >>> isinstance(ExponentialFamily(), HasLogProb), isinstance(ExponentialFamily(), Classifies)
        (True, False)
    """

    def log_prob(self, samples: Samples) -> Tensor:
        """Log p(x) in nats, shape (n,); the samples have all variables of the model."""
        ...


@runtime_checkable
class HasLogWeights(Protocol):
    """A model that has log p by importance weighting, see :mod:`coplay.models.likelihood`."""

    def log_weights(self, samples: Samples, draws: int, generator: torch.Generator) -> Tensor:
        """log p(x, z) − log q(z|x) for z ~ q(.|x), in nats; shape (draws, n)."""
        ...


@runtime_checkable
class Classifies(Protocol):
    """A model that predicts the class of a sample."""

    def classify(self, samples: Samples) -> Tensor:
        """p(class | the other variables), shape (n, C), rows sum to 1."""
        ...


@runtime_checkable
class Completes(Protocol):
    """A model that draws the variables that samples lack."""

    def complete(self, partial: Samples, generator: torch.Generator) -> Samples:
        """Draw what is missing given what is there; n samples of the model's space."""
        ...


@runtime_checkable
class DrawsByClass(Protocol):
    """A model that draws samples of given classes."""

    def sample_given(self, classes: Tensor | None, n: int, generator: torch.Generator) -> Samples:
        """Draw n samples of the model's space; classes of shape (n,), None without classes."""
        ...


@runtime_checkable
class CompletesWithin(Completes, Protocol):
    """A model that completes given also that one variable lies in a subset of its values."""

    def chance_within(self, partial: Samples, name: str, subset: Subset) -> Tensor | None:
        """p(the variable lies in the subset | what is there), shape (n,); None if it cannot."""
        ...

    def complete_within(
        self, partial: Samples, name: str, subset: Subset, generator: torch.Generator
    ) -> Samples:
        """Draw what is missing given what is there and the subset; ``name`` is not there."""
        ...


@runtime_checkable
class BestResponds(Protocol):
    """An exponential family that has an exact best response (A2)."""

    def best_response(self, moments: Tensor) -> None:
        """Set the mean parameters to the mean features of a mixture, shape (K,)."""
        ...


@runtime_checkable
class StopsEarly(Protocol):
    """A model whose learning may stop early, and can continue."""

    def go_on(self) -> None:
        """Forget that learning stopped; continue from the parameters that samples use."""
        ...
