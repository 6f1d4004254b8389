"""Parts of a training step that any network can use: a running mean, Adam's state, operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from coplay.core.measures import FLOPS as FLOPS


def follow_mean(mean: list[Tensor], net: nn.Module, decay: float, step: int) -> None:
    """Update the running mean of a network's parameters (an EMA) by one step, in place.

    Args:
        mean: One tensor per parameter.
        net: The network.
        decay: Weight of the previous mean, in [0, 1).
        step: Number of the step just taken, from 1.

    Example:
        >>> net = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.ones_(net.weight)
        >>> mean = [torch.zeros(1, 1)]
        >>> follow_mean(mean, net, decay=0.999, step=1)  # 1/11 of itself, 10/11 of the network
        >>> mean
        [tensor([[0.9091]])]
    """
    # it starts as a plain mean, so that early samples do not show the random start
    keep = min(decay, step / (step + 10))
    torch._foreach_lerp_(mean, [p.detach() for p in net.parameters()], 1 - keep)


def adam_state_like(p: Tensor, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return Adam's state of one parameter with the parameter's own device and memory layout.

    The fused step walks through memory, so the moments must lie there as ``p`` does.

    Args:
        p: The parameter.
        values: Its moments and step, of any layout, such as from a file; they are copied.
    """
    state = {}
    for name, value in values.items():
        if value.shape == p.shape:
            state[name] = torch.empty_like(p).copy_(value)
        else:  # the number of steps
            state[name] = value.to(p.device, copy=True)
    return state


@contextmanager
def using_parameters(net: nn.Module, values: list[Tensor]) -> Iterator[None]:
    """Give a network these parameters inside the block, and its own again afterwards.

    Args:
        net: The network.
        values: One tensor per parameter; without any the network keeps its own.

    Example:
        >>> net = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.ones_(net.weight)
        >>> with using_parameters(net, [torch.full((1, 1), 3.0)]):
        ...     inside = net(torch.ones(1)).item()
        >>> inside, net(torch.ones(1)).item()
        (3.0, 1.0)
    """
    if not values:
        yield
        return
    parameters: list[Tensor] = list(net.parameters())
    last = [p.detach().clone() for p in parameters]
    with torch.no_grad():
        torch._foreach_copy_(parameters, values)
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(parameters, last)


@contextmanager
def frozen(net: nn.Module) -> Iterator[None]:
    """Let no parameter of a network require a gradient inside the block, and restore its buffers.

    Buffers, such as the statistics of batch normalisation, may change inside the block; after it
    they have their old values.
    """
    learning = [p for p in net.parameters() if p.requires_grad]
    before = [(buffer, buffer.clone()) for buffer in net.buffers()]
    for p in learning:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in learning:
            p.requires_grad_(True)
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)


@contextmanager
def counted(counts: dict[str, float], kind: str) -> Iterator[list[float]]:
    """Count the floating-point operations inside the block, once per kind of block.

    Blocks of one kind cost alike, and counting slows a block down: so a kind that is in ``counts``
    is not counted again.

    Args:
        counts: Operations by kind; a new kind is added once its block has ended without an error.
        kind: A text that decides how many operations the block takes.

    Yields:
        A list whose one number is the count, once the block has ended.

    Example:
        >>> counts = {}
        >>> for _ in range(2):
        ...     with counted(counts, "product") as flops:
        ...         _ = torch.ones(2, 3) @ torch.ones(3, 4)
        >>> counts, flops
        ({'product': 48.0}, [48.0])
    """
    if kind in counts:
        yield [counts[kind]]
        return
    count = [0.0]
    with FlopCounterMode(display=False) as counter:
        yield count
    counts[kind] = float(counter.get_total_flops())
    count[0] = counts[kind]
