"""The hierarchical VAE of (A4) for images, convolutional, and conditional on a class where it learns one.

    p(c) p(z0|c) p(z1|z0,c) p(x|z0,z1,c)                      q(z1|x,c) q(z0|z1,x,c)

Without a class among its variables, c drops out. Decoder and encoder learn as in ``models/symmetric_hvae.py``.

References:
    Symmetric Equilibrium Learning of VAEs (B. Flach, D. Schlesinger, A. Shekhovtsov, AISTATS 2024), arXiv:2307.09883.

Differs from the paper:
    Both encoders share their convolutions, and activations are SiLU instead of tanh: fewer operations a step. The prior over
    latents may be a chain, as in ``symmetric_hvae``. What a Gaussian draws is clamped to the variable's range before it is
    sent, which moves the mean of pixels near a limit; ``draw = "mean"`` leaves the noise out altogether.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, PositiveInt, PrivateAttr
from torch import Tensor, nn
from torch.nn import functional as F

from coplay.core.errors import ModelError
from coplay.core.space import Samples, Space, Variable, join
from coplay.models.base import Mixture, image_and_class
from coplay.models.neural import LatentModel
from coplay.nets import devices
from coplay.nets.bits import draw_bits, draw_latents, log_bits, two_layers, with_sent_latents
from coplay.nets.convolutions import ConvolutionKind, Convolutions, concatenate, towards_image


class ConvHvae(LatentModel):
    """Two layers of binary latents over an image, and over its class where the player learns one.

    Pixels are Bernoulli where the image is binary, else Gaussian with one learned deviation.

    Args:
        latents: Sizes of z0 and z1, in bits.
        channels: Of the first convolution; the later ones have twice, or four times, as many.
        convolutions: ``"strided"``: two of 5×5 that halve the image at once. ``"reference"``: the five and tanh of the authors'
            Fashion-MNIST experiment, which work at full resolution and cost a step several times as much.
        hidden: Width of the fully connected layers.
        prior: ``"independent"`` as in the paper, or ``"chain"``, in which every bit also depends linearly on those before.
        draw: ``"sample"`` draws every pixel on its own; ``"mean"`` leaves that noise out: a Gaussian's mean, a binary pixel's
            likelier value. Players that learn from each other for long otherwise learn each other's noise.
        layout: How images lie in memory while convolutions work on them; which is faster depends on the machine.
        send_latents: Whether (z0, z1) travel with what is drawn, for players with the same latents to learn from, as in the
            authors' MNIST experiment; otherwise the encoder of each completes what it receives.

    Example:
        >>> space = Space({"image": Variable(kind="binary", shape=(8, 8)), "class": Variable(kind="categorical", classes=3)})
        >>> model = ConvHvae(latents=(4, 8), channels=4, hidden=16, batch=8)
        >>> model.setup(space, seed=1)
        >>> drawn = model.sample(5, torch.Generator().manual_seed(1))
        >>> drawn["image"].shape, drawn["class"].shape
        (torch.Size([5, 8, 8]), torch.Size([5]))
    """

    kinds: ClassVar[tuple[str, ...]] = ("binary", "real")
    citation: ClassVar[tuple[str, ...]] = ("flach2024symmetric",)

    latents: tuple[PositiveInt, PositiveInt] = (16, 48)
    channels: int = Field(default=24, ge=1)
    convolutions: ConvolutionKind = "strided"
    hidden: int = Field(default=256, ge=1)
    prior: Literal["independent", "chain"] = "chain"
    draw: Literal["sample", "mean"] = "sample"
    layout: Literal["channels_first", "channels_last"] = "channels_first"
    send_latents: bool = False
    learning_rate: float = Field(default=2e-3, gt=0)

    _net: Any = PrivateAttr()  # a _Conditionals; joint_classifier puts one more network beside them
    _image: str = PrivateAttr()
    _class: str | None = PrivateAttr(default=None)

    def build(self, space: Space) -> Any:
        """The conditionals for the space's one image and, where there is one, its class."""
        self._image, self._class = _binary_or_real(space, type(self).__name__)
        classes = (space[self._class].classes or 0) if self._class else 0
        sizes = (*self.latents, self.channels, self.hidden)
        net = _Conditionals(space[self._image], classes, *sizes, self.prior, self.convolutions)
        return net.to(memory_format=torch.channels_last) if self.layout == "channels_last" else net  # type: ignore[call-overload]

    def sides(self) -> Mapping[str, list[nn.Parameter]]:
        """Decoder and encoder."""
        return {"decoder": list(self._net.decoder.parameters()), "encoder": list(self._net.encoder.parameters())}

    def losses(self, mixture: Mixture, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
        """One step of (A4): the decoder on data completed by the encoder, the encoder on the decoder's samples."""
        parts = list(self.drawn(mixture, generator).values())
        x, c = self._tensors(join([self._space.restrict(part) for part in parts]))
        z0, z1 = with_sent_latents(parts, *self._net.encode(x, c, generator))
        yield "decoder", -self._net.log_joint(z0, z1, x, c).mean()
        drawn = self._net.draw(len(x), None, generator)
        yield "encoder", -self._net.log_encoder(*drawn).mean()

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw c, z0, z1 and x in turn, from the running mean of the parameters."""
        return self.sample_given(self._classes(n, generator), n, generator)

    def sample_given(self, classes: Tensor | None, n: int, generator: torch.Generator) -> Samples:
        """Draw images of given classes, shape (n,); None where there are no classes."""
        with self.averaged(), torch.no_grad(), self.autocast():
            c = self._net.one_hot(classes.to(self._place)) if classes is not None else None
            parts = [self._drawn(part, c, start, generator) for start, part in _slices(n, 1000)]
        z0, z1, images = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        values = {self._image: images}
        if self._class and classes is not None:
            values[self._class] = classes
        latents = {"z0": z0.byte(), "z1": z1.byte()} if self.send_latents else {}
        return devices.moved(self._space.samples(**{name: values[name] for name in self._space}, **latents))

    def latent_variables(self) -> Mapping[str, Variable]:
        """z0 and z1, if they travel."""
        return two_layers(self.latents) if self.send_latents else {}

    def _classes(self, n: int, generator: torch.Generator) -> Tensor | None:
        if not self._class:
            return None
        with self.averaged(), torch.no_grad():
            return devices.classes(self._net.decoder.c_logits.softmax(0), n, generator)

    def _drawn(self, n: int, c: Tensor | None, start: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        part = None if c is None else c[start : start + n]
        z0, z1, x, _ = self._net.draw(n, part, generator, mean=self.draw == "mean")
        v = self._space[self._image]
        return z0, z1, x.reshape(n, *v.shape).clamp(*v.range).to(v.dtypes[0])

    def log_weights(self, samples: Samples, draws: int, generator: torch.Generator) -> Tensor:
        """log p(x, z) − log q(z|x) for z ~ q(.|x), in nats; shape (draws, n). With a class, p(x, c, z) and q(z|x, c)."""
        x, c = self._tensors(devices.moved(samples, self._place))
        found = []
        with self.averaged(), torch.no_grad():
            for _ in range(draws):
                z0, z1 = self._net.encode(x, c, generator)
                found.append(self._net.log_joint(z0, z1, x, c) - self._net.log_encoder(z0, z1, x, c))
        return torch.stack(found).cpu()

    def _tensors(self, samples: Samples) -> tuple[Tensor, Tensor | None]:
        """Images of shape (n, channels, H, W) and classes one-hot."""
        return self._pixels(samples), self._net.one_hot(samples[self._class]) if self._class else None

    def _pixels(self, samples: Samples) -> Tensor:
        """Images of shape (n, channels, H, W)."""
        x = samples[self._image].float()
        return x if x.dim() == 4 else x[:, None]

    @classmethod
    def tiny(cls) -> Self:
        """A few latents and channels."""
        return cls(latents=(3, 4), channels=2, hidden=8, batch=8)


def _binary_or_real(space: Space, model: str) -> tuple[str, str | None]:
    """The names of a space's one image and of its class, if it has one.

    Raises:
        ModelError: They are not all there is, or the image is one of counts.
    """
    image, label = image_and_class(space, model)
    if space[image].kind not in ("binary", "real"):
        raise ModelError(
            f"{model} needs an image, binary or real; '{image}' is {space[image]}. Load the image as real values"
        )
    return image, label


def _slices(n: int, size: int) -> Iterator[tuple[int, int]]:
    return ((start, min(size, n - start)) for start in range(0, n, size))


class _Decoder(nn.Module):
    """p(c), p(z0|c), p(z1|z0,c), p(x|z0,z1,c)."""

    def __init__(
        self,
        image: Variable,
        classes: int,
        n0: int,
        n1: int,
        channels: int,
        hidden: int,
        chained: bool,
        kind: ConvolutionKind,
    ) -> None:
        super().__init__()
        self.shape = (image.channels, *image.shape[-2:])
        self.c_logits = nn.Parameter(torch.zeros(classes), requires_grad=classes > 0)
        self.z0_bias = nn.Parameter(torch.zeros(n0), requires_grad=chained)
        self.z0_given_c = nn.Parameter(torch.zeros(classes, n0), requires_grad=chained)
        self.z0_chain = nn.Parameter(torch.zeros(n0, n0), requires_grad=chained)
        self.z1_chain = nn.Parameter(torch.zeros(n1, n1), requires_grad=chained)
        self.z1_deep = nn.Sequential(nn.Linear(n0 + classes, hidden), nn.SiLU(), nn.Linear(hidden, n1))
        self.z1_skip = nn.Linear(n0 + classes, n1, bias=False)
        self.x_deep = towards_image(self.shape, n0 + n1 + classes, channels, hidden, kind)
        self.log_deviation = nn.Parameter(torch.tensor(-1.0), requires_grad=image.kind == "real")

    def z0_logits(self, c: Tensor | None, n: int) -> Tensor:
        """Before the chain, shape (n, n0)."""
        return self.z0_bias.expand(n, -1) if c is None else self.z0_bias + c @ self.z0_given_c

    def z1_logits(self, z0: Tensor, c: Tensor | None) -> Tensor:
        """Before the chain, shape (n, n1)."""
        given = concatenate(z0, c)
        return self.z1_deep(given) + self.z1_skip(given)

    def x_mean(self, z0: Tensor, z1: Tensor, c: Tensor | None) -> Tensor:
        """Logits of binary pixels, means of real ones; shape (n, channels, H, W)."""
        return self.x_deep(concatenate(z0, z1, c))[:, :, : self.shape[1], : self.shape[2]]


class _Encoder(nn.Module):
    """q(z1|x,c) and q(z0|z1,x,c) on common convolutions."""

    def __init__(
        self, shape: tuple[int, ...], classes: int, n0: int, n1: int, channels: int, hidden: int, kind: ConvolutionKind
    ) -> None:
        super().__init__()
        self.seen = Convolutions(shape, channels, hidden, kind)
        self.z1 = nn.Sequential(nn.Linear(hidden + classes, hidden), nn.SiLU(), nn.Linear(hidden, n1))
        self.z0 = nn.Sequential(nn.Linear(hidden + n1 + classes, hidden), nn.SiLU(), nn.Linear(hidden, n0))


class _Conditionals(nn.Module):
    """Decoder and encoder; bits and one-hot classes are float32, losses are in nats per sample."""

    def __init__(
        self,
        image: Variable,
        classes: int,
        n0: int,
        n1: int,
        channels: int,
        hidden: int,
        prior: str,
        kind: ConvolutionKind,
    ) -> None:
        super().__init__()
        self.classes, self.binary, self.chained = classes, image.kind == "binary", prior == "chain"
        self.decoder = _Decoder(image, classes, n0, n1, channels, hidden, self.chained, kind)
        self.encoder = _Encoder(image.shape, classes, n0, n1, channels, hidden, kind)

    def one_hot(self, classes: Tensor) -> Tensor:
        """Shape (n,) to (n, C)."""
        return F.one_hot(classes, self.classes).float()

    @torch.no_grad()
    def encode(self, x: Tensor, c: Tensor | None, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(z0, z1) ~ q(z1|x,c) q(z0|z1,x,c)."""
        seen = self.encoder.seen(x)
        z1 = draw_bits(self.encoder.z1(concatenate(seen, c)), generator)
        return draw_bits(self.encoder.z0(concatenate(seen, z1, c)), generator), z1

    @torch.no_grad()
    def draw(
        self, n: int, c: Tensor | None, generator: torch.Generator, mean: bool = False
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """(z0, z1, x, c) ~ p; with c given, the rest given it."""
        d = self.decoder
        if c is None and self.classes:
            c = self.one_hot(devices.classes(d.c_logits.softmax(0), n, generator))
        z0 = draw_latents(d.z0_logits(c, n), d.z0_chain if self.chained else None, generator)
        z1 = draw_latents(d.z1_logits(z0, c), d.z1_chain if self.chained else None, generator)
        x = d.x_mean(z0, z1, c).float()
        if self.binary:
            return z0, z1, (x > 0).float() if mean else draw_bits(x, generator), c
        noise = 0.0 if mean else d.log_deviation.exp() * devices.normal(x, generator)
        return z0, z1, x + noise, c

    def log_joint(self, z0: Tensor, z1: Tensor, x: Tensor, c: Tensor | None) -> Tensor:
        """log p(c) + log p(z0|c) + log p(z1|z0,c) + log p(x|z0,z1,c), shape (n,)."""
        d = self.decoder
        found = log_bits(d.z0_logits(c, len(x)) + z0 @ d.z0_chain.tril(-1).T, z0)
        found = found + log_bits(d.z1_logits(z0, c) + z1 @ d.z1_chain.tril(-1).T, z1)
        if c is not None:
            found = found + (c * d.c_logits.log_softmax(0)).sum(1)
        mean = d.x_mean(z0, z1, c).float()
        if self.binary:
            return found + log_bits(mean, x)
        squared = (x - mean).square().flatten(1).sum(1)
        per_pixel = d.log_deviation + 0.5 * math.log(2 * math.pi)
        return found - 0.5 * squared * torch.exp(-2 * d.log_deviation) - per_pixel * mean[0].numel()

    def log_encoder(self, z0: Tensor, z1: Tensor, x: Tensor, c: Tensor | None) -> Tensor:
        """log q(z1|x,c) + log q(z0|z1,x,c), shape (n,)."""
        seen = self.encoder.seen(x)
        return log_bits(self.encoder.z1(concatenate(seen, c)), z1) + log_bits(
            self.encoder.z0(concatenate(seen, z1, c)), z0
        )
