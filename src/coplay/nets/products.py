"""Matrix products of linear layers by the faster of two libraries in torch's CPU builds.

Where that is torch's own (:mod:`coplay.core.processor`), these are torch's functions and nothing
else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import register_flop_formula

from coplay.core.processor import onednn, uses_onednn

_onednn = onednn()
# multiplications from which on oneDNN is faster: a call of it costs some 20 microseconds more, and
# the first one of a new size half a millisecond
_WORTH = 2**21


def by_onednn(rows: int, weight: Tensor) -> bool:
    """Whether oneDNN multiplies so many rows by a matrix: large, float32, and faster on this CPU.

    Example:
        >>> by_onednn(2, torch.zeros(3, 4))
        False
    """
    return (
        uses_onednn()
        and rows * weight.numel() >= _WORTH
        and weight.dtype == torch.float32
        and weight.device.type == "cpu"
        and bool(torch.backends.mkldnn.enabled)
        and not torch.is_autocast_enabled("cpu")
    )


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + β for (n, in), (out, in) and (out,), without a graph.

    Example:
        >>> product(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([5.0]))
        tensor([[16.]])
    """
    with torch.no_grad():
        return _way(x, weight)(x, weight, bias)


def _way(x: Tensor, weight: Tensor) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    """Return the function that multiplies such matrices."""
    return _by_onednn if x.dtype == weight.dtype and by_onednn(len(x), weight) else F.linear


def _by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    outputs: Tensor = _onednn(x, weight, bias, "none", [], "")
    return outputs


class Linear(nn.Linear):
    """torch's linear layer, with the faster library's products.

    Example:
        >>> layer = Linear(3, 2)
        >>> x = torch.ones(4, 3)
        >>> torch.allclose(layer(x), nn.functional.linear(x, layer.weight, layer.bias), atol=1e-6)
        True
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in) to (n, out)."""
        if x.dim() != 2 or x.dtype != self.weight.dtype or not by_onednn(len(x), self.weight):
            return super().forward(x)
        return products(x[None], [self.weight], [self.bias])[0]


def products(x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor | None]) -> Tensor:
    """x_i W_iᵀ + β_i for several layers, with a graph: x of shape (N, n, in) to (N, n, out)."""
    if x.dtype != weights[0].dtype or not by_onednn(x.shape[1], weights[0]):
        layers = zip(x.unbind(), weights, biases, strict=True)
        return torch.stack([F.linear(*layer) for layer in layers])
    outputs: Tensor = _Products.apply(x, *weights, *biases)
    return outputs


class _Products(torch.autograd.Function):
    """Every ∂W_i is a tensor of its own, laid out as W_i is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *parameters: Tensor) -> Tensor:
        weights = parameters[: len(x)]
        biases = parameters[len(x) :]
        ctx.save_for_backward(x, *weights)
        multiply = _way(x[0], weights[0])
        layers = zip(x.unbind(), weights, biases, strict=True)
        return torch.stack([multiply(*layer) for layer in layers])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        x, *weights = ctx.saved_tensors
        by_x: Tensor | None = None
        by_weight: Sequence[Tensor | None] = [None] * len(weights)
        by_bias: Sequence[Tensor | None] = [None] * len(weights)
        multiply = _way(x[0], weights[0])  # all three products have as many multiplications
        if ctx.needs_input_grad[0]:
            layers = zip(gradient.unbind(), weights, strict=True)
            by_x = torch.stack([multiply(g, w.t(), None) for g, w in layers])
        if ctx.needs_input_grad[1]:
            columns = zip(
                gradient.transpose(1, 2).unbind(), x.transpose(1, 2).unbind(), strict=True
            )
            by_weight = [multiply(g, inputs, None) for g, inputs in columns]
        if ctx.needs_input_grad[-1]:
            by_bias = gradient.sum(1).unbind()
        return by_x, *by_weight, *by_bias


if _onednn is not None:

    @register_flop_formula(_onednn)
    def _operations(x: Any, weight: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
        """Count a product as torch does: two operations for each pair of factors."""
        count: int = 2 * x[0] * x[1] * weight[0]
        return count
