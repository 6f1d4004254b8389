"""What a model may be able to do beside learning and sampling; it has an ability by its methods.

Ask with ``isinstance(model, Classifies)``; nothing has to be inherited or registered. Python checks
that the methods are there, not what they take.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from coplay.core.space import Samples


@runtime_checkable
class HasLogProb(Protocol):
    """Log p of samples, exactly.

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
    """Log p of samples by importance weighting, see :mod:`coplay.models.likelihood`."""

    def log_weights(self, samples: Samples, draws: int, generator: torch.Generator) -> Tensor:
        """log p(x, z) − log q(z|x) for z ~ q(.|x), in nats; shape (draws, n)."""
        ...


@runtime_checkable
class Classifies(Protocol):
    """The class of a sample."""

    def classify(self, samples: Samples) -> Tensor:
        """p(class | the other variables), shape (n, C), rows sum to 1."""
        ...


@runtime_checkable
class Completes(Protocol):
    """Variables that samples lack."""

    def complete(self, partial: Samples, generator: torch.Generator) -> Samples:
        """Draw what is missing given what is there; n samples of the model's space."""
        ...


@runtime_checkable
class BestResponds(Protocol):
    """The exact best response of an exponential family (A2)."""

    def best_response(self, moments: Tensor) -> None:
        """Take mean features of a mixture, shape (K,), as mean parameters."""
        ...


@runtime_checkable
class StopsEarly(Protocol):
    """Learning that may have stopped, and can be made to go on."""

    def go_on(self) -> None:
        """Forget that learning stopped; go on from what samples are drawn from."""
        ...
