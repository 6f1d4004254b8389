"""The combinations of categories that are there, with their masses: conditions of a table's rows.

Levels have shape (n, conditions), one column per number of every binary or categorical variable; -1
stands for a missing one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from coplay.core.space import Samples, Space, tensors
from coplay.nets import devices


class Combinations:
    """Which combinations of a space's categories were learned from, and how much they weigh.

    Example:
        >>> from coplay.core.space import Variable
        >>> of = Combinations(Space({"sex": Variable(kind="binary"), "x": Variable(kind="real")}))
        >>> bits = torch.tensor([1, 1, 0], dtype=torch.uint8)
        >>> of.count([of.space.samples(sex=bits[:2]), of.space.samples(sex=bits[2:])], [0.7, 0.3])
        >>> of.rows.tolist(), of.masses.tolist()
        ([[0], [1]], [0.3, 0.7])
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.names = [name for name in space if space[name].kind in ("binary", "categorical")]
        self.sizes: list[int] = []
        """Levels of every condition."""
        self.columns: dict[str, slice] = {}
        for name in self.names:
            start = len(self.sizes)
            self.sizes += [space[name].classes or 2] * space[name].size
            self.columns[name] = slice(start, len(self.sizes))
        self.rows = torch.zeros(0, len(self.sizes), dtype=torch.int64)
        """The combinations, (number of them, conditions)."""
        self.masses = torch.zeros(0, dtype=torch.float64)
        """Of each, sum 1."""

    def levels(self, samples: Samples) -> Tensor:
        """Return the levels of samples, which may lack variables or values."""
        device = next((values.device for values in tensors(samples).values()), None)
        levels = torch.full((len(samples), len(self.sizes)), -1, device=device)
        for name, columns in self.columns.items():
            if name in samples.keys():
                v = self.space[name]
                values = samples[name].reshape(len(samples), v.size).long()
                levels[:, columns] = torch.where(values < (v.classes or 2), values, -1)
        return levels

    def codes(self, levels: Tensor) -> Tensor:
        """Return levels as networks see them: a constant 1 and a one-hot code of each."""
        codes = [torch.ones(len(levels), 1, device=levels.device)]
        for i, size in enumerate(self.sizes):
            codes.append(F.one_hot(levels[:, i], size).float())
        return torch.cat(codes, 1)

    def count(self, sources: Sequence[Samples], weights: Sequence[float]) -> None:
        """Count which combination has which mass in a mixture of complete samples."""
        levels = torch.cat([self.levels(samples) for samples in sources])
        each = []
        for samples, weight in zip(sources, weights, strict=True):
            n = len(samples)
            each.append(torch.full((n,), weight / max(1, n), dtype=torch.float64))
        # with a constant, since torch wants a column where there are no conditions
        rows, which = F.pad(levels, (0, 1)).unique(dim=0, return_inverse=True)
        self.rows = rows[:, :-1]
        masses = torch.zeros(len(self.rows), dtype=torch.float64)
        masses.index_add_(0, which, torch.cat(each))
        self.masses = masses / masses.sum()

    def agreeing(self, levels: Tensor) -> Tensor:
        """Which combinations agree with the levels that are there, bool, (n, combinations)."""
        agreeing = torch.ones(len(levels), len(self.rows), dtype=torch.bool)
        for i in range(len(self.sizes)):
            known = levels[:, i, None]
            agreeing &= (known == self.rows[:, i]) | (known < 0)
        return agreeing

    def posterior(self, levels: Tensor, log_likelihood: Tensor | float = 0.0) -> Tensor:
        """p(combination | levels that are there, and x), (n, combinations).

        Args:
            levels: -1 where missing.
            log_likelihood: log p(x | combination), (n, combinations); 0 without x.

        Returns:
            Rows of sum 1; of 0 where no combination agrees.
        """
        agreeing = self.agreeing(levels)
        chances = self.masses.log() + log_likelihood
        chances = torch.where(agreeing, chances, -torch.inf)
        return chances.softmax(1).nan_to_num()

    def chosen(
        self, levels: Tensor, log_likelihood: Tensor | float, generator: torch.Generator
    ) -> Tensor:
        """Draw what is missing by :meth:`posterior`; evenly where no combination agrees."""
        missing = levels < 0
        even = torch.rand(levels.shape, generator=generator) * torch.tensor(self.sizes)
        chosen = torch.where(missing, even.long(), levels)
        if not missing.any() or not len(self.rows):
            return chosen
        chances = self.posterior(levels, log_likelihood)
        some = (chances.sum(1) > 0) & missing.any(1)
        if some.any():
            chosen[some] = self.rows[devices.classes(chances[some], 1, generator)[:, 0]]
        return chosen

    def log_masses(self, levels: Tensor) -> Tensor:
        """Log p(combination), float64, (n,); −∞ for one that was never there."""
        masses: Tensor = (self.agreeing(levels) * self.masses).sum(1).log()
        return masses

    def state_dict(self) -> dict[str, Tensor]:
        """Return the combinations and their masses."""
        return {"rows": self.rows, "masses": self.masses}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        self.rows = state["rows"].clone()
        self.masses = state["masses"].clone()
