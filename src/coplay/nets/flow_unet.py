"""The network of a rectified flow: a small U-Net that maps a noisy image to its velocity.

Pixels are first gathered into patches, so that the widest level has about 14 pixels a side. Time
and conditions scale and shift the features of every block (FiLM). Normalisation is by groups of
channels and never by batch: a batch holds samples of several sites, and statistics over it would
mix them; and a gradient per sample, which differential privacy needs, would not exist.

References:
    FiLM: Visual Reasoning with a General Conditioning Layer (E. Perez et al., AAAI 2018),
    arXiv:1709.07871.
    Group Normalization (Y. Wu, K. He, ECCV 2018), arXiv:1803.08494.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coplay.core.errors import FAILURES, ModelError
from coplay.nets.own_networks import check_network, imported_network, refuse_same

_FREQUENCIES = 16  # of the embedding of time, from 1 to 100 turns
_GROUP = 8  # channels that are normalised together


def patch_of(side: int) -> int:
    """Return how many pixels of a side are gathered into one, so that about 14 are left.

    Example:
        >>> patch_of(1), patch_of(8), patch_of(28), patch_of(32), patch_of(64), patch_of(400)
        (1, 1, 2, 2, 4, 28)
    """
    return 1 if side < 16 else max(2, 2 * (side // 28))


def flow_network(
    network: str | None, shape: Sequence[int], conditions: Sequence[int], channels: int
) -> nn.Module:
    """Build a network of velocities: the user's own, or a :class:`FlowUNet`.

    Args:
        network: ``"package.module:Class"`` of the user's own, called with (shape, conditions).
        shape: Channels, height and width of an image.
        conditions: The number of levels of each condition.
        channels: Of the upper level of a :class:`FlowUNet`.

    Raises:
        ModelError: There is no such network, or it does not map images to velocities.
    """
    if network is None:
        return FlowUNet(shape, conditions, channels)
    title = f"the network {network}"
    unknown = torch.tensor([list(conditions)] * 2).reshape(2, len(conditions))
    try:
        make = imported_network(network)
        net: nn.Module = make(tuple(shape), tuple(conditions))
        again: nn.Module = make(tuple(shape), tuple(conditions))
        with torch.no_grad():
            velocity = net(torch.zeros(2, *shape), torch.rand(2), unknown)
    except FAILURES as error:  # networks may be foreign code
        raise ModelError(
            f"{title} cannot be built and used for images of shape {tuple(shape)} with conditions "
            f"of {list(conditions)} levels: {error}"
        ) from error
    check_network(net, title, idle_dropout=True)
    refuse_same(net, again, title)
    if tuple(velocity.shape) != (2, *shape):
        raise ModelError(
            f"{title} gives {tuple(velocity.shape[1:])} for an image of shape {tuple(shape)}, "
            "expected the same shape"
        )
    return net


class FlowUNet(nn.Module):
    """A velocity v(x, t | conditions) over two levels of resolution.

    A signal is an image of height 1.

    Args:
        shape: Channels, height and width of an image.
        conditions: The number of levels of each condition; one more stands for "unknown".
        channels: Of the upper level; the lower one has twice as many.

    Example:
        >>> net = FlowUNet((1, 9, 7), conditions=(3,), channels=8)
        >>> unknown = torch.full((2, 1), 3)
        >>> net(torch.zeros(2, 1, 9, 7), torch.rand(2), unknown).shape
        torch.Size([2, 1, 9, 7])
    """

    def __init__(
        self, shape: Sequence[int], conditions: Sequence[int] = (), channels: int = 32
    ) -> None:
        super().__init__()
        pixels, height, width = shape
        self.side = (height, width)
        self.patch = (patch_of(height), patch_of(width))
        strides = (2 if height > 3 else 1, 2 if width > 3 else 1)
        self.multiple = (self.patch[0] * strides[0], self.patch[1] * strides[1])
        inner = pixels * self.patch[0] * self.patch[1]
        wide = 2 * channels
        size = 4 * channels  # of the vector that scales and shifts
        self.time = nn.Sequential(nn.Linear(2 * _FREQUENCIES, size), nn.SiLU())
        self.given = nn.ModuleList(nn.Embedding(levels + 1, size) for levels in conditions)
        self.mixed = nn.Sequential(nn.Linear(size, size), nn.SiLU())
        self.first = nn.Conv2d(inner, channels, 3, padding=1)
        self.before = _Block(channels, size)
        self.down = nn.Conv2d(channels, wide, 3, stride=strides, padding=1)
        self.deep = nn.ModuleList([_Block(wide, size), _Block(wide, size)])
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=strides), nn.Conv2d(wide, channels, 3, padding=1)
        )
        self.after = _Block(channels, size)
        self.norm = nn.GroupNorm(_groups(channels), channels)
        self.last = nn.Conv2d(channels, inner, 3, padding=1)
        _zero(self.last)

    def forward(self, x: Tensor, t: Tensor, levels: Tensor) -> Tensor:
        """Map noisy images to velocities.

        Args:
            x: Shape (n, channels, H, W).
            t: Times in [0, 1], 0 for noise and 1 for data; shape (n,).
            levels: Of each condition, its number of levels for unknown; shape (n, conditions).
        """
        height, width = self.side
        x = F.pad(x, (0, -width % self.multiple[1], 0, -height % self.multiple[0]))
        vector = self.time(_turns(t))
        for i, embedding in enumerate(self.given):
            vector = vector + embedding(levels[:, i])
        vector = self.mixed(vector)
        upper = self.before(self.first(_gathered(x, self.patch)), vector)
        lower = self.down(upper)
        for block in self.deep:
            lower = block(lower, vector)
        x = self.after(self.up(lower) + upper, vector)
        x = self.last(F.silu(self.norm(x)))
        return _spread(x, self.patch)[:, :, :height, :width]


class _Block(nn.Module):
    """Two convolutions beside a direct way; a vector scales and shifts what is between them."""

    def __init__(self, channels: int, vector: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(_groups(channels), channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(vector, 2 * channels)
        self.middle = nn.GroupNorm(_groups(channels), channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        _zero(self.second)  # at first, a block changes nothing

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        scale, shift = self.film(vector)[:, :, None, None].chunk(2, 1)
        inner = self.first(F.silu(self.norm(x)))
        inner = torch.addcmul(shift, self.middle(inner), 1 + scale)
        return x + self.second(F.silu(inner))


def _zero(layer: nn.Module) -> None:
    for p in layer.parameters():
        nn.init.zeros_(p)


def _groups(channels: int) -> int:
    return math.gcd(channels, max(1, channels // _GROUP))


def _turns(t: Tensor) -> Tensor:
    """Return sines and cosines of times, shape (n, 2 · frequencies)."""
    rates = torch.logspace(0, 2, _FREQUENCIES, device=t.device)
    angles = t[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


def _gathered(x: Tensor, patch: tuple[int, int]) -> Tensor:
    """Gather patches of pixels into channels: (n, C, H, W) to (n, C · area, H / ph, W / pw)."""
    n, channels, height, width = x.shape
    ph, pw = patch
    x = x.reshape(n, channels, height // ph, ph, width // pw, pw)
    return x.permute(0, 1, 3, 5, 2, 4).reshape(n, channels * ph * pw, height // ph, width // pw)


def _spread(x: Tensor, patch: tuple[int, int]) -> Tensor:
    """Undo :func:`_gathered`."""
    n, channels, height, width = x.shape
    ph, pw = patch
    x = x.reshape(n, channels // (ph * pw), ph, pw, height, width)
    return x.permute(0, 1, 4, 2, 5, 3).reshape(n, -1, height * ph, width * pw)
