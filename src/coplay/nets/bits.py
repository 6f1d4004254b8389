"""Binary latents: draws of them, independent or each given those before, and their probability."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from coplay.core.space import Samples, Variable
from coplay.nets import devices


def draw_bits(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Draw independent bits with probability σ(logits), as float32 of 0 and 1."""
    return (devices.uniform(logits, generator) < torch.sigmoid(logits.float())).float()


def straight_through_bits(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Draw bits like those of :func:`draw_bits`, through which gradients pass.

    They reach the logits as if a bit were its probability (arXiv:1308.3432).

    Example:
        >>> logits = torch.zeros(2, requires_grad=True)
        >>> bits = straight_through_bits(logits, torch.Generator().manual_seed(1))
        >>> bits.sum().backward()
        >>> set(bits.tolist()) <= {0.0, 1.0}, logits.grad
        (True, tensor([0.2500, 0.2500]))
    """
    p = logits.float().sigmoid()
    return draw_bits(logits.detach(), generator) + (p - p.detach())


def draw_latents(logits: Tensor, chain: Tensor | None, generator: torch.Generator) -> Tensor:
    """Draw bits that depend linearly on those before: p(z_k | z_<k) = σ(logits_k + C_k z_<k).

    Args:
        logits: Shape (n, K).
        chain: C of shape (K, K), of which only the part below the diagonal counts; None for
            independent bits.
        generator: Source of the draws.

    Example:
        >>> follow = torch.tensor([[0.0, 0.0], [80.0, 0.0]])  # the second bit is the first
        >>> logits = torch.tensor([[0.0, -40.0]]).expand(100, 2)
        >>> z = draw_latents(logits, follow, torch.Generator().manual_seed(1))
        >>> bool((z[:, 0] == z[:, 1]).all()), 0 < z.mean() < 1
        (True, tensor(True))
    """
    if chain is None:
        return draw_bits(logits, generator)
    drawn = devices.uniform(logits, generator)
    weights = chain.float().tril(-1).T.contiguous()
    logits = logits.float().clone()
    bits = torch.empty_like(logits)
    for k in range(logits.shape[1]):
        bits[:, k] = (drawn[:, k] < torch.sigmoid(logits[:, k])).float()
        logits.addr_(bits[:, k], weights[k])  # the bits after bit k depend on it
    return bits


def log_bits(logits: Tensor, bits: Tensor) -> Tensor:
    """log Π_k σ(±logits_k), in nats; shape (n,).

    Example:
        >>> log_bits(torch.zeros(1, 3), torch.tensor([[0.0, 1.0, 1.0]])).exp()
        tensor([0.1250])
    """
    losses = F.binary_cross_entropy_with_logits(logits.float(), bits, reduction="none")
    return -losses.flatten(1).sum(1)


def bound(log_weights: Tensor) -> Tensor:
    """log (1/K) Σ_k w_k from log importance weights of shape (K, n); shape (n,), float64.

    On average it is a lower bound of log p.
    """
    lw = log_weights.double()
    return torch.logsumexp(lw, 0) - math.log(len(lw))


def two_layers(sizes: tuple[int, int]) -> dict[str, Variable]:
    """Return latents z0 and z1 as variables that samples can carry."""
    z0, z1 = sizes
    return {
        "z0": Variable(kind="binary", shape=(z0,)),
        "z1": Variable(kind="binary", shape=(z1,)),
    }


def with_sent_latents(parts: Sequence[Samples], *latents: Tensor) -> tuple[Tensor, ...]:
    """Return latents of the rows of ``parts``, one part after the other.

    They are those that were sent with a part, else the given ones.

    Args:
        parts: Sample sets, some with variables ``z0``, ``z1``.
        latents: z0, z1 by the encoder, each of shape (n, size); they do not change.
    """
    merged = [z.clone() for z in latents]
    start = 0
    for part in parts:
        for layer, z in enumerate(merged):
            if f"z{layer}" in part.keys():
                z[start : start + len(part)] = part[f"z{layer}"].float()
        start += len(part)
    return tuple(merged)
