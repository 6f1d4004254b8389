"""Generator and discriminator networks of the MD-GAN paper's experiments, for images in [-1, 1].

A generator maps noise of shape (n, latent) and a class index of shape (n,), or None, to images of
shape (n, *shape). A discriminator maps (n, *shape) to logits of shape (n, 1 + classes): the first
is that of real (> 0) against generated, the others are those of the classes.

References:
    MD-GAN: Multi-Discriminator Generative Adversarial Networks for Distributed Datasets (C. Hardy,
    E. Le Merrer, B. Sericola, IPDPS 2019), arXiv:1811.03850.

Differs from the paper:
    The class enters as in the ACGAN code that the authors built on, noise times a learned vector
    per class; :data:`ClassInput` says what else is possible. Strides and activations, which the
    paper leaves open, are ours; so is the size of the mini-batch discrimination.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from coplay.core.errors import ModelError
from coplay.nets.plain_layers import ELEMENTWISE, is_plain
from coplay.nets.products import Linear

Shape = tuple[int, ...]

ClassInput = Literal["scale", "shift"]
"""How a class enters a generator: as a factor of the noise, or with another vector added to it."""

_SLOPE = 0.2


class Conditioned(nn.Module):
    """Noise times the class's vector, then a network: with ``classes = 0`` just the network.

    Noise is as often positive as negative, so a factor tells the network a class by variances
    alone, which takes it long to learn; a vector added to the product tells it by a mean.
    """

    def __init__(
        self, latent: int, classes: int, body: nn.Module, class_input: ClassInput = "shift"
    ) -> None:
        super().__init__()
        self.body = body
        self.by_class = nn.Embedding(classes, latent) if classes else None
        if self.by_class is not None:
            # around 1, so that every class begins with noise
            nn.init.normal_(self.by_class.weight, 1.0, 0.5)
        # drawn N(0, 1): as far apart as the noise of two samples
        self.shift = nn.Embedding(classes, latent) if classes and class_input == "shift" else None

    def forward(self, noise: Tensor, classes: Tensor | None) -> Tensor:
        """Images of shape (n, *shape) in [-1, 1]."""
        if self.by_class is not None:
            assert classes is not None
            noise = noise * self.by_class(classes)
            if self.shift is not None:
                noise = noise + self.shift(classes)
        images: Tensor = self.body(noise)
        return images


class MinibatchDiscrimination(nn.Module):
    """Appends to each sample how near the others of its batch are.

    Thus the discriminator notices a generator that repeats itself.

    References:
        Improved Techniques for Training GANs (T. Salimans et al., NeurIPS 2016), arXiv:1606.03498,
        section 3.2.
    """

    def __init__(self, features: int, kernels: int = 50, size: int = 5) -> None:
        super().__init__()
        self.kernels = kernels
        self.size = size
        self.project = Linear(features, kernels * size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map a batch (n, features), or several (..., n, features), to features + kernels."""
        m = self.project(x.flatten(0, -2)).unflatten(-1, (self.kernels, self.size))
        m = m.unflatten(0, x.shape[:-1])
        distance = (m.unsqueeze(-4) - m.unsqueeze(-3)).abs().sum(-1)
        return torch.cat([x, torch.exp(-distance).sum(-2) - 1], -1)  # less the distance to itself


def mlp_generator(latent: int, classes: int, shape: Shape, class_input: ClassInput) -> nn.Module:
    """512-512-d; 716,560 parameters for 28×28 and latent 100, the class's vectors apart (B5)."""
    body = nn.Sequential(
        Linear(latent, 512),
        nn.LeakyReLU(_SLOPE),
        Linear(512, 512),
        nn.LeakyReLU(_SLOPE),
        Linear(512, math.prod(shape)),
        nn.Tanh(),
        nn.Unflatten(-1, shape),
    )
    return Conditioned(latent, classes, body, class_input)


def mlp_discriminator(classes: int, shape: Shape) -> nn.Module:
    """512-512-(1 + classes); 670,219 parameters for 28×28 and 10 classes (B5)."""
    return nn.Sequential(
        nn.Flatten(-len(shape)),
        Linear(math.prod(shape), 512),
        nn.LeakyReLU(_SLOPE),
        Linear(512, 512),
        nn.LeakyReLU(_SLOPE),
        Linear(512, 1 + classes),
    )


def cnn_generator(latent: int, classes: int, shape: Shape, class_input: ClassInput) -> nn.Module:
    """Dense and 5×5 transposed convolutions: 6272, 32, 1 or, for 32×32, 6144, 192, 96, 3 (B5)."""
    channels, side = _image(shape)
    start: tuple[int, int, int]
    widths: tuple[int, ...]
    if side == 28:
        start = (128, 7, 7)
        widths = (32, channels)
    elif side == 32:
        start = (384, 4, 4)
        widths = (192, 96, channels)
    else:
        size = "×".join(map(str, shape))
        raise ModelError(f'the CNN pair is for images of 28×28 or 32×32, got {size}; use "mlp"')
    layers: list[nn.Module] = [Linear(latent, math.prod(start)), nn.ReLU(), nn.Unflatten(-1, start)]
    for before, after in zip((start[0], *widths), widths, strict=False):
        layers.append(nn.ConvTranspose2d(before, after, 5, stride=2, padding=2, output_padding=1))
        layers.append(nn.ReLU())
    body = nn.Sequential(*layers[:-1], nn.Tanh(), Shaped(shape))
    return Conditioned(latent, classes, body, class_input)


def cnn_discriminator(classes: int, shape: Shape) -> nn.Module:
    """Six 3×3 convolutions of 16 … 512, mini-batch discrimination, dense (B5)."""
    channels, side = _image(shape)
    layers: list[nn.Module] = [Shaped((channels, *shape[-2:]))]
    before = channels
    for i, after in enumerate((16, 32, 64, 128, 256, 512)):
        stride = 2 - i % 2
        layers += [nn.Conv2d(before, after, 3, stride=stride, padding=1), nn.LeakyReLU(_SLOPE)]
        before = after
        side = math.ceil(side / stride)
    features = before * side * side
    minibatch = MinibatchDiscrimination(features)
    head = Linear(features + minibatch.kernels, 1 + classes)
    return nn.Sequential(*layers, nn.Flatten(-3), minibatch, head)


def split_at_batch_layers(net: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Return a network's first layers, known to treat each sample by itself, and the others.

    Example:
        >>> first, rest = split_at_batch_layers(cnn_discriminator(10, (28, 28)))
        >>> len(first), type(rest[0]).__name__
        (14, 'MinibatchDiscrimination')
        >>> net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        >>> [len(part) for part in split_at_batch_layers(net)]
        [1, 2]
    """
    if not is_plain(net, [nn.Sequential]):  # a class or a hook of its own may do anything
        return nn.Sequential(), net
    assert isinstance(net, nn.Sequential)
    for i, layer in enumerate(net):
        if not _by_sample(layer):
            return net[:i], net[i:]
    return net, nn.Sequential()


def of_batches(net: nn.Module, samples: Tensor, sizes: Sequence[int]) -> Tensor:
    """Pass several batches, samples one after the other, that must not see each other.

    They take one pass as far as layers are known to treat each sample, or each batch, by itself.

    Example:
        >>> net = cnn_discriminator(10, (28, 28))
        >>> of_batches(net, torch.zeros(5, 28, 28), [2, 3]).shape
        torch.Size([5, 11])
    """
    first, rest = split_at_batch_layers(net)
    features = first(samples)
    if len(set(sizes)) == 1 and _treats_each_batch_by_itself(rest):
        return torch.flatten(rest(features.unflatten(0, (len(sizes), -1))), 0, 1)
    return torch.cat([rest(batch) for batch in features.split(list(sizes))])


def treats_each_sample_by_itself(generator: nn.Module) -> bool:
    """Whether a generator is known to treat each sample by itself.

    Example:
        >>> treats_each_sample_by_itself(mlp_generator(2, 3, (4, 4), "shift"))
        True
        >>> treats_each_sample_by_itself(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)))
        False
    """
    body = generator
    if is_plain(generator, [Conditioned]):
        assert isinstance(generator, Conditioned)
        body = generator.body
        for vectors in (generator.by_class, generator.shift):
            if vectors is not None and not is_plain(vectors, [nn.Embedding]):
                return False
    if not is_plain(body, [nn.Sequential]):
        return False
    return all(_by_sample(layer) for layer in body.children())


class Shaped(nn.Module):
    """A layer that gives each sample another shape."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, …) to (n, *shape)."""
        return x.reshape(len(x), *self.shape)


_BY_SAMPLE = (
    *ELEMENTWISE,
    Linear,
    nn.Linear,
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.Flatten,
    nn.Unflatten,
    Shaped,
)


def _by_sample(layer: nn.Module) -> bool:
    """Whether a layer is known to treat each sample by itself."""
    if not is_plain(layer, _BY_SAMPLE):
        return False
    if isinstance(layer, nn.Flatten):
        return layer.start_dim != 0
    if isinstance(layer, nn.Unflatten):
        return isinstance(layer.dim, int) and (layer.dim > 0 or layer.dim == -1)
    return True


def _treats_each_batch_by_itself(net: nn.Module) -> bool:
    """Whether layers are known to map several batches, (..., n, features), each by itself."""
    layers = (*ELEMENTWISE, Linear, nn.Linear, MinibatchDiscrimination)
    if not is_plain(net, [nn.Sequential]):
        return False
    return all(is_plain(layer, layers) for layer in net.children())


def _image(shape: Shape) -> tuple[int, int]:
    """Return channels and side of a square image."""
    if len(shape) not in (2, 3) or shape[-1] != shape[-2]:
        raise ModelError(f'the CNN pair needs square images, got shape {shape}; use "mlp"')
    return shape[0] if len(shape) == 3 else 1, shape[-1]


GENERATORS: dict[str, Callable[..., nn.Module]] = {
    "mlp": mlp_generator,
    "cnn": cnn_generator,
}
DISCRIMINATORS: dict[str, Callable[[int, Shape], nn.Module]] = {
    "mlp": mlp_discriminator,
    "cnn": cnn_discriminator,
}
