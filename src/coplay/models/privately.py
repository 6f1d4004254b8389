"""Networks that can learn by DP-SGD: a loss for each row, and units that no row decides.

A model of this kind learns as any other does, unless it is begun by :meth:`fix_units`: then units,
bins and ranges are those of the agreed variables, and it takes steps along gradients that are given
to it. Who adds the noise, and who counts what it spends, is not the model's affair.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from coplay.core.space import Samples
from coplay.models.neural import NeuralModel
from coplay.nets.training import follow_mean

RowLosses = Callable[[nn.Module, Mapping[str, Tensor]], Tensor]
"""The loss of each row by a network, shape (n,)."""


class PrivatelyLearning(NeuralModel):
    """A network of which each row has a loss of its own, that no other row takes part in."""

    @abstractmethod
    def fix_units(self) -> None:
        """Take units, bins and ranges from the agreed variables, for a model that was set up."""

    @abstractmethod
    def as_rows(self, samples: Samples) -> Samples:
        """Return samples as the network sees them, row by row."""

    @abstractmethod
    def with_draws(self, rows: Samples, generator: torch.Generator) -> dict[str, Tensor]:
        """Return rows of :meth:`as_rows` with all that is random in their losses."""

    @abstractmethod
    def row_losses(self, net: nn.Module, rows: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of each row, shape (n,), with no other row's part in it."""

    @abstractmethod
    def histogram(self, samples: Samples) -> Tensor:
        """Return which levels each row has, as 0 and 1, float64, shape (n, K)."""

    @property
    @abstractmethod
    def most_at_once(self) -> int:
        """The most ones of a row in :meth:`histogram`."""

    @abstractmethod
    def follow_histogram(self, sums: Tensor, names: Collection[str]) -> None:
        """Take frequencies from the sums of :meth:`histogram`, noise and all.

        Args:
            sums: Shape (K,).
            names: The variables that the rows have; of others the sums say nothing.
        """

    @abstractmethod
    def complete(self, partial: Samples, generator: torch.Generator) -> Samples:
        """Draw what is missing."""

    def row_gradients(self, rows: Mapping[str, Tensor]) -> Tensor:
        """Return the gradient of each row's loss, shape (n, parameters).

        Args:
            rows: What :meth:`with_draws` returned.
        """
        module = _Loss(self._net, self.row_losses)
        values = {name: p.detach() for name, p in module.named_parameters()}

        def loss(values: dict[str, Tensor], row: dict[str, Tensor]) -> Tensor:
            alone = {name: value[None] for name, value in row.items()}
            losses: Tensor = functional_call(module, values, (alone,))
            return losses.sum()

        each = vmap(grad(loss), in_dims=(None, 0))(values, dict(rows))
        return torch.cat([each[name].flatten(1) for name in values], 1)

    def mean_gradient(self, rows: Mapping[str, Tensor]) -> Tensor:
        """Return the gradient of the rows' mean loss, shape (parameters,)."""
        moved = list(self._net.parameters())
        loss = self.row_losses(self._net, rows).mean()
        each = torch.autograd.grad(loss, moved, materialize_grads=True)
        return torch.cat([gradient.flatten() for gradient in each])

    def descend_along(self, gradient: Tensor) -> None:
        """Take one step of all optimizers along a gradient, shape (parameters,)."""
        moved = list(self._net.parameters())
        parts = gradient.split([p.numel() for p in moved])
        for p, part in zip(moved, parts, strict=True):
            p.grad = part.reshape(p.shape).to(p)
        self._step += 1
        rate = self._rate()
        for optimizer in self._optimisers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        follow_mean(self._mean, self._net, self.average, self._step)


class _Loss(nn.Module):
    """The losses of rows as a module, so that its parameters can be replaced."""

    def __init__(self, net: nn.Module, losses: RowLosses) -> None:
        super().__init__()
        self.net = net
        self.losses = losses

    def forward(self, rows: Mapping[str, Tensor]) -> Tensor:
        return self.losses(self.net, rows)
