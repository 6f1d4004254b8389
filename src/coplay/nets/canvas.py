"""Images from a vector and from given images of the same height and width: a U-Net and a decoder.

References:
    U-Net: Convolutional Networks for Biomedical Image Segmentation (O. Ronneberger, P. Fischer,
    T. Brox, MICCAI 2015), arXiv:1505.04597.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coplay.core.space import Variable
from coplay.nets.perceptrons import one_hidden_layer
from coplay.nets.variables import Sizes, as_channels, count_channels


class UNet(nn.Module):
    """A U-Net whose lowest level, a quarter of the resolution, also takes a vector.

    Without given images it has only its rising half.

    Args:
        side: Height and width.
        images: Given images of that height and width, by name.
        vector: Length of the vector.
        sizes: See :class:`~coplay.nets.variables.Sizes`.
        outputs: Channels of the result.

    Example:
        >>> sizes = Sizes(channels=2, hidden=5, image_latents=1)
        >>> mask = Variable(kind="binary", shape=(6, 7))
        >>> net = UNet((6, 7), {"mask": mask}, vector=3, sizes=sizes, outputs=4)
        >>> net(torch.zeros(2, 3), {"mask": torch.zeros(2, 6, 7)}).shape == (2, 4 * 6 * 7)
        True
    """

    def __init__(
        self,
        side: tuple[int, ...],
        images: Mapping[str, Variable],
        *,
        vector: int,
        sizes: Sizes,
        outputs: int,
    ) -> None:
        super().__init__()
        self.images = dict(images)
        self.side = side
        low = [math.ceil(s / 4) for s in self.side]
        full = sizes.channels
        half = 2 * full
        quarter = 4 * full
        given = count_channels(images)
        self.falling = nn.ModuleList()
        if given:
            self.falling.append(nn.Conv2d(given, full, 3, padding=1))
            self.falling.append(nn.Conv2d(full, half, 3, stride=2, padding=1))
            self.falling.append(nn.Conv2d(half, quarter, 3, stride=2, padding=1))
        self.lowest = nn.Sequential(
            one_hidden_layer(vector, sizes.hidden, quarter * low[0] * low[1]),
            nn.Unflatten(1, (quarter, *low)),
        )
        self.deep = nn.Conv2d(quarter, quarter, 3, padding=1)
        self.to_half = nn.ConvTranspose2d(quarter, half, 4, stride=2, padding=1)
        self.at_half = nn.Conv2d(2 * half if given else half, half, 3, padding=1)
        self.to_full = nn.ConvTranspose2d(half, full, 4, stride=2, padding=1)
        self.at_full = nn.Conv2d(2 * full if given else full, full, 3, padding=1)
        self.out = nn.Conv2d(full, outputs, 1)

    def forward(self, vector: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """Map a vector of shape (n, K) and given images to (n, outputs · H · W)."""
        low = self.lowest(vector)
        levels = []
        if self.images:
            x = as_channels(self.images, given)
            height, width = self.side
            x = F.pad(x, (0, -width % 4, 0, -height % 4))
            for layer in self.falling:
                x = F.silu(layer(x))
                levels.append(x)
            low = low + levels.pop()
        x = F.silu(self.to_half(F.silu(self.deep(F.silu(low)))))
        x = F.silu(self.at_half(torch.cat([x, *levels[1:]], 1)))
        x = F.silu(self.to_full(x))
        x = F.silu(self.at_full(torch.cat([x, *levels[:1]], 1)))
        return self.out(x)[:, :, : self.side[0], : self.side[1]].flatten(1)


class ImageDecoder(nn.Module):
    """An image from feature maps of a vector, joined pixel by pixel with given images.

    Two convolutions, which cover 5×5 pixels together, take both.

    Args:
        target: The image to decode.
        images: Given images of its height and width, by name.
        vector: Length of the vector.
        sizes: See :class:`~coplay.nets.variables.Sizes`.
    """

    def __init__(
        self, target: Variable, images: Mapping[str, Variable], *, vector: int, sizes: Sizes
    ) -> None:
        super().__init__()
        self.images = dict(images)
        self.side = target.shape[-2:]
        maps = sizes.channels
        self.ground = UNet(self.side, {}, vector=vector, sizes=sizes, outputs=maps)
        self.upon = nn.Conv2d(maps + count_channels(images), 2 * maps, 3, padding=1)
        self.mixed = nn.Conv2d(2 * maps, maps, 3, padding=1)
        self.out = nn.Conv2d(maps, target.channels, 1)
        nn.init.zeros_(self.upon.weight[:, maps:])  # at first, given images have no effect

    def forward(self, vector: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """Map a vector of shape (n, K) and given images to (n, channels · H · W)."""
        x = self.ground(vector, given).unflatten(1, (-1, *self.side))
        if self.images:
            x = torch.cat([x, as_channels(self.images, given)], 1)
        return self.out(F.silu(self.mixed(F.silu(self.upon(F.silu(x)))))).flatten(1)
