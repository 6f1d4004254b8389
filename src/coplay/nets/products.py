"""Matrix products of linear layers by the faster of two libraries in torch's CPU builds.

torch multiplies float32 matrices by MKL, which keeps to AVX2 on other makers' processors; oneDNN,
which torch has for convolutions, takes AVX-512 wherever it is. `benchmarks/products.py` measures
both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import register_flop_formula

_onednn: Any = (
    getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if torch.backends.mkldnn.is_available()
    else None
)
_WIDE = torch.backends.cpu.get_cpu_capability() == "AVX512"
# multiplications from which on it pays: a call of oneDNN costs some 20 microseconds more, one of a
# new size half a millisecond
_WORTH = 2**21


def by_onednn(rows: int, weight: Tensor) -> bool:
    """Whether oneDNN multiplies so many rows by a matrix: large, float32, a CPU with AVX-512.

    Example:
        >>> by_onednn(2, torch.zeros(3, 4))
        False
    """
    return (
        _WIDE
        and rows * weight.numel() >= _WORTH
        and weight.dtype == torch.float32
        and weight.device.type == "cpu"
        and _onednn is not None
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
    """How products of such matrices are taken."""
    return _by_onednn if x.dtype == weight.dtype and by_onednn(len(x), weight) else F.linear


def _by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    found: Tensor = _onednn(x, weight, bias, "none", [], "")
    return found


class Linear(nn.Linear):
    """torch's layer, its products as :func:`product` takes them.

    Example:
        >>> layer = Linear(3, 2)
        >>> x = torch.ones(4, 3)
        >>> torch.allclose(layer(x), nn.functional.linear(x, layer.weight, layer.bias), atol=1e-6)
        True
    """

    def forward(self, x: Tensor) -> Tensor:
        """(n, in) to (n, out)."""
        if x.dim() != 2 or x.dtype != self.weight.dtype or not by_onednn(len(x), self.weight):
            return super().forward(x)
        return products(x[None], [self.weight], [self.bias])[0]


def products(x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor | None]) -> Tensor:
    """x_i W_iᵀ + β_i for several layers, with a graph: x of shape (N, n, in) to (N, n, out)."""
    found: Tensor = _Products.apply(x, *weights, *biases)
    return found


class _Products(torch.autograd.Function):
    """Every ∂W_i is a tensor of its own, laid out as W_i is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *parameters: Tensor) -> Tensor:
        weights, biases = parameters[: len(x)], parameters[len(x) :]
        ctx.save_for_backward(x, *weights)
        multiply = _way(x[0], weights[0])
        return torch.stack(
            [multiply(*its) for its in zip(x.unbind(), weights, biases, strict=True)]
        )

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        (slope,), (x, *weights) = slopes, ctx.saved_tensors
        by_x: Tensor | None = None
        by_weight: Sequence[Tensor | None] = [None] * len(weights)
        by_bias: Sequence[Tensor | None] = [None] * len(weights)
        multiply = _way(x[0], weights[0])  # there are as many multiplications in each of the three
        if ctx.needs_input_grad[0]:
            by_x = torch.stack(
                [multiply(s, w.t(), None) for s, w in zip(slope.unbind(), weights, strict=True)]
            )
        if ctx.needs_input_grad[1]:
            across = slope.transpose(1, 2).unbind(), x.transpose(1, 2).unbind()
            by_weight = [multiply(s, each, None) for s, each in zip(*across, strict=True)]
        if ctx.needs_input_grad[-1]:
            by_bias = slope.sum(1).unbind()
        return by_x, *by_weight, *by_bias


if _onednn is not None:

    @register_flop_formula(_onednn)
    def _operations(x: Any, weight: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
        """As torch counts a product: two for each pair of factors."""
        count: int = 2 * x[0] * x[1] * weight[0]
        return count
