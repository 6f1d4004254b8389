"""Gibbs chains that draw samples, complete them, and average class probabilities over sweeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from coplay.core.space import Samples, Space, Variable, tensors
from coplay.nets.conditional import Independent
from coplay.nets.gibbs import Gibbs, Values

_ROWS = 1000  # completed at a time, for memory
_FACTOR = 0.9  # of the running average of class probabilities over sweeps


class Chains:
    """Chains by the conditionals of one model, which start where its settings say.

    Args:
        net: The conditionals.
        space: The variables, without latents.
        starts: How a chain starts, in order: with v ~ p(v | these) where v is missing.
    """

    def __init__(self, net: Gibbs, space: Space, starts: Mapping[str, list[str]]) -> None:
        self.net = net
        self.space = space
        self.starts = starts

    def begin(self, parts: Sequence[Samples], generator: torch.Generator) -> tuple[Values, Values]:
        """Return what :meth:`Gibbs.begin` returns for the variables of the space."""
        return self.net.begin([self.space.restrict(part) for part in parts], generator)

    def start(self, given: Samples, generator: torch.Generator) -> tuple[Values, Values]:
        """Return the values that chains start from, and which rows miss a variable."""
        values, missing = self.begin([given], generator)
        for name, inputs in self.starts.items():
            rows = missing[name]
            if rows.any():
                known = {v: values[v][rows] for v in inputs}
                values[name][rows] = self.net.start(name).draw(known, generator)
        return values, missing

    def settle(self, given: Samples, sweeps: int, generator: torch.Generator) -> Values:
        """Return the values after so many sweeps of rows that miss something."""
        values, missing = self.start(given, generator)
        self.net.sweep(values, missing, sweeps, generator)
        return values

    def complete(self, given: Samples, sweeps: int, generator: torch.Generator) -> Samples:
        """Return rows in which what was missing is what chains settled in, on the CPU."""
        drawn = [self.settle(part, sweeps, generator) for part in given.split(_ROWS)]
        columns = {}
        for name in self.space:
            columns[name] = torch.cat([part[name] for part in drawn]).cpu()
        return self.space.samples(**columns)

    def autocorrelation(self, chains: int, sweeps: int, generator: torch.Generator) -> float:
        """Largest correlation, over variables, of chains halfway with themselves at the end."""
        values, missing = self.start(nothing_known(chains), generator)
        self.net.sweep(values, missing, sweeps // 2, generator)
        before = {name: column.cpu().clone() for name, column in values.items()}
        self.net.sweep(values, missing, sweeps // 2, generator)
        return max(
            correlation(v, before[name], values[name].cpu())
            for name, v in self.net.variables.items()
        )

    def class_probabilities(
        self, name: str, given: Samples, sweeps: int, generator: torch.Generator
    ) -> Tensor:
        """p(name | given), shape (n, C) (A6).

        Of rows that miss more than it, it is the running average over sweeps, divided by the sum of
        its weights.
        """
        classifier = self.net.of(name)
        assert isinstance(classifier, Independent)
        if all(g in given.keys() for g in self.net.sees[name]):
            return classifier.probabilities(tensors(given))
        values, missing = self.start(given, generator)
        mean = torch.zeros(())
        for _ in range(sweeps):
            self.net.sweep(values, missing, 1, generator)
            now = classifier.probabilities(self.net.given(name, values))
            mean = _FACTOR * mean + (1 - _FACTOR) * now
        return mean / mean.sum(1, keepdim=True)


def nothing_known(n: int) -> Samples:
    """Return n rows in which all variables are missing."""
    return Samples({}, batch_size=[n])


def correlation(v: Variable, one: Tensor, two: Tensor) -> float:
    """Correlation of two states of n chains, all components together; 0 for what is constant.

    Args:
        v: The variable; classes are compared one-hot.
        one: Its values, rows first.
        two: The same chains' values at another time.

    Example:
        >>> x, v = torch.tensor([0.0, 1.0, 2.0]), Variable(kind="real")
        >>> correlation(v, x, 5 - x), correlation(v, x, 0 * x)
        (-1.0, 0.0)
    """
    a = _centred(v, one)
    b = _centred(v, two)
    scale = (a.square().sum() * b.square().sum()).sqrt()
    return (a * b).sum().div(scale).item() if scale > 0 else 0.0


def _centred(v: Variable, values: Tensor) -> Tensor:
    """Values as float64 of shape (n, D), less their mean."""
    if v.kind == "categorical":
        values = F.one_hot(values, v.classes or 0)
    rows = values.double().reshape(len(values), -1)
    return rows - rows.mean(0)
