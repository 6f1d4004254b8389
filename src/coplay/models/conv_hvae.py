"""The hierarchical VAE of (A4) for images, convolutional, and conditional on a class if it has one.

    p(c) p(z0|c) p(z1|z0,c) p(x|z0,z1,c)                      q(z1|x,c) q(z0|z1,x,c)

Without a class among its variables, c drops out. Decoder and encoder learn as in
``models/symmetric_hvae.py``.

References:
    Symmetric Equilibrium Learning of VAEs (B. Flach, D. Schlesinger, A. Shekhovtsov,
    AISTATS 2024), arXiv:2307.09883.

Differs from the paper:
    Both encoders share their convolutions, and activations are SiLU instead of tanh: fewer
    operations a step. The prior over latents may be a chain, as in ``symmetric_hvae``. What a
    Gaussian draws is clamped to the variable's range before it is sent, which moves the mean of
    pixels near a limit; ``draw = "mean"`` leaves the noise out altogether.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
from coplay.nets.perceptrons import one_hidden_layer

_ROWS = 1000  # samples drawn at a time, for memory


class ConvHvae(LatentModel):
    """Two layers of binary latents over an image, and over its class where the player learns one.

    Pixels are Bernoulli where the image is binary, else Gaussian with one learned deviation. An
    image without an agreed range is scaled by what the player learns from first.

    Args:
        latents: Sizes of z0 and z1, in bits.
        channels: Channels of the first convolution; later ones have twice or four times as many.
        convolutions: ``"strided"``: two of 5×5 that halve the image at once. ``"reference"``: the
            five and tanh of the authors' Fashion-MNIST experiment, which work at full resolution
            and cost a step several times as much.
        hidden: Width of the fully connected layers.
        prior: ``"independent"`` as in the paper, or ``"chain"``, in which every bit also depends
            linearly on those before.
        draw: ``"sample"`` draws every pixel on its own; ``"mean"`` leaves that noise out: a
            Gaussian's mean, a binary pixel's likelier value. Players that learn from each other for
            long otherwise learn each other's noise.
        layout: How images lie in memory while convolutions work on them; which is faster depends on
            the machine.
        send_latents: Whether (z0, z1) travel with what is drawn, for players with the same latents
            to learn from, as in the authors' MNIST experiment; otherwise the encoder of each
            completes what it receives.

    Example:
        >>> image = Variable(kind="binary", shape=(8, 8))
        >>> space = Space({"image": image, "class": Variable(kind="categorical", classes=3)})
        >>> model = ConvHvae(latents=(4, 8), channels=4, hidden=16, batch=8)
        >>> model.setup(space, seed=1)
        >>> drawn = model.sample(5, torch.Generator().manual_seed(1))
        >>> drawn["image"].shape, drawn["class"].shape
        (torch.Size([5, 8, 8]), torch.Size([5]))
    """

    kinds: ClassVar[tuple[str, ...]] = ("binary", "real")
    scales: ClassVar[bool] = True
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

    # a _ConvHvaeNetwork; joint_classifier puts one more network beside its decoder and encoder
    _net: Any = PrivateAttr()
    _image: str = PrivateAttr()
    _class: str | None = PrivateAttr(default=None)

    def build(self, space: Space) -> Any:
        """Build the conditionals for the space's one image and, where it has one, its class."""
        self._image, self._class = _binary_or_real(space, type(self).__name__)
        sizes = _Sizes(
            classes=(space[self._class].classes or 0) if self._class else 0,
            z0=self.latents[0],
            z1=self.latents[1],
            channels=self.channels,
            hidden=self.hidden,
        )
        chained = self.prior == "chain"
        net = _ConvHvaeNetwork(space[self._image], sizes, self.convolutions, chained=chained)
        return self.laid_out(net)

    def laid_out(self, net: nn.Module) -> nn.Module:
        """Put the weights of convolutions into memory as ``layout`` says."""
        if self.layout == "channels_last":
            return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return net

    def sides(self) -> Mapping[str, list[nn.Parameter]]:
        """Return the parameters of decoder and encoder."""
        return {
            "decoder": list(self._net.decoder.parameters()),
            "encoder": list(self._net.encoder.parameters()),
        }

    def losses(self, mixture: Mixture, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
        """Yield the losses of one step of (A4).

        The decoder learns on data completed by the encoder, the encoder on the decoder's samples.
        """
        parts = list(self.drawn(mixture, generator).values())
        rows = join([self._space.restrict(part) for part in parts])
        x, c = self._tensors(rows)
        z0, z1 = with_sent_latents(parts, *self._net.encode(x, c, generator))
        volume = self._scaling.log_volume()
        yield "decoder", volume - self._net.log_joint(z0, z1, x, c).mean()
        drawn = self._net.draw(len(x), None, generator)
        yield "encoder", -self._net.log_encoder(*drawn).mean()

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw c, z0, z1 and x in turn, from the running mean of the parameters."""
        return self.sample_given(self._classes(n, generator), n, generator)

    def sample_given(self, classes: Tensor | None, n: int, generator: torch.Generator) -> Samples:
        """Draw images of given classes, shape (n,); None where there are no classes."""
        with self.averaged(), torch.no_grad(), self.autocast():
            c = self._net.one_hot(classes.to(self._place)) if classes is not None else None
            parts = []
            for start in range(0, n, _ROWS):
                count = min(_ROWS, n - start)
                parts.append(self._drawn(count, c, start, generator))
        z0, z1, images = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        values = {self._image: images}
        if self._class and classes is not None:
            values[self._class] = classes
        values = {name: values[name] for name in self._space}
        if self.send_latents:
            values |= {"z0": z0.byte(), "z1": z1.byte()}
        return self._scaling.original(devices.moved(self._space.samples(**values)))

    def latent_variables(self) -> Mapping[str, Variable]:
        """Return z0 and z1, if they travel."""
        return two_layers(self.latents) if self.send_latents else {}

    def _classes(self, n: int, generator: torch.Generator) -> Tensor | None:
        if not self._class:
            return None
        with self.averaged(), torch.no_grad():
            return devices.classes(self._net.decoder.c_logits.softmax(0), n, generator)

    def _drawn(
        self, n: int, c: Tensor | None, start: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw z0, z1 and images of n of the given classes."""
        part = None if c is None else c[start : start + n]
        z0, z1, x, _ = self._net.draw(n, part, generator, mean=self.draw == "mean")
        v = self._space[self._image]
        return z0, z1, x.reshape(n, *v.shape).clamp(*v.range).to(v.dtypes[0])

    def standard_log_weights(
        self, samples: Samples, draws: int, generator: torch.Generator
    ) -> Tensor:
        """log p(x, z) − log q(z|x) for z ~ q(.|x), in nats; shape (draws, n).

        With a class, log p(x, c, z) − log q(z|x, c).
        """
        x, c = self._tensors(devices.moved(samples, self._place))
        log_weights = []
        with self.averaged(), torch.no_grad():
            for _ in range(draws):
                z0, z1 = self._net.encode(x, c, generator)
                log_joint = self._net.log_joint(z0, z1, x, c)
                log_weights.append(log_joint - self._net.log_encoder(z0, z1, x, c))
        return torch.stack(log_weights).cpu()

    def _tensors(self, samples: Samples) -> tuple[Tensor, Tensor | None]:
        """Return images of shape (n, channels, H, W), and classes one-hot."""
        c = self._net.one_hot(samples[self._class]) if self._class else None
        return self._pixels(samples), c

    def _pixels(self, samples: Samples) -> Tensor:
        """Return images of shape (n, channels, H, W)."""
        x = samples[self._image].float()
        return x if x.dim() == 4 else x[:, None]

    @classmethod
    def tiny(cls) -> Self:
        """Return a model with few latents and channels."""
        return cls(latents=(3, 4), channels=2, hidden=8, batch=8)


def _binary_or_real(space: Space, model: str) -> tuple[str, str | None]:
    """Return the names of a space's one image and of its class, if it has one.

    Raises:
        ModelError: They are not all there is, or the image is one of counts.
    """
    image, label = image_and_class(space, model)
    if space[image].kind not in ("binary", "real"):
        raise ModelError(
            f"{model} needs an image, binary or real; '{image}' is {space[image]}. Load it as real "
            "values, scaled to a known range, instead of counts"
        )
    return image, label


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    """How large the networks are.

    Args:
        classes: Number of classes; 0 without.
        z0: Bits of the deeper latent.
        z1: Bits of the other.
        channels: Of the first convolution.
        hidden: Width of the fully connected layers.
    """

    classes: int
    z0: int
    z1: int
    channels: int
    hidden: int


class _Decoder(nn.Module):
    """p(c), p(z0|c), p(z1|z0,c), p(x|z0,z1,c)."""

    def __init__(
        self, image: Variable, sizes: _Sizes, kind: ConvolutionKind, *, chained: bool
    ) -> None:
        super().__init__()
        n0 = sizes.z0
        n1 = sizes.z1
        classes = sizes.classes
        self.shape = (image.channels, *image.shape[-2:])
        self.c_logits = nn.Parameter(torch.zeros(classes), requires_grad=classes > 0)
        self.z0_bias = nn.Parameter(torch.zeros(n0), requires_grad=chained)
        self.z0_given_c = nn.Parameter(torch.zeros(classes, n0), requires_grad=chained)
        self.z0_chain = nn.Parameter(torch.zeros(n0, n0), requires_grad=chained)
        self.z1_chain = nn.Parameter(torch.zeros(n1, n1), requires_grad=chained)
        self.z1_deep = one_hidden_layer(n0 + classes, sizes.hidden, n1)
        self.z1_skip = nn.Linear(n0 + classes, n1, bias=False)
        self.x_deep = towards_image(
            self.shape,
            given=n0 + n1 + classes,
            channels=sizes.channels,
            hidden=sizes.hidden,
            kind=kind,
        )
        self.log_deviation = nn.Parameter(torch.tensor(-1.0), requires_grad=image.kind == "real")

    def z0_logits(self, c: Tensor | None, n: int) -> Tensor:
        """Logits of z0 before the chain, shape (n, n0)."""
        return self.z0_bias.expand(n, -1) if c is None else self.z0_bias + c @ self.z0_given_c

    def z1_logits(self, z0: Tensor, c: Tensor | None) -> Tensor:
        """Logits of z1 before the chain, shape (n, n1)."""
        given = concatenate(z0, c)
        return self.z1_deep(given) + self.z1_skip(given)

    def x_mean(self, z0: Tensor, z1: Tensor, c: Tensor | None) -> Tensor:
        """Logits of binary pixels, means of real ones; shape (n, channels, H, W)."""
        return self.x_deep(concatenate(z0, z1, c))[:, :, : self.shape[1], : self.shape[2]]


class _Encoder(nn.Module):
    """q(z1|x,c) and q(z0|z1,x,c) on common convolutions."""

    def __init__(self, shape: tuple[int, ...], sizes: _Sizes, kind: ConvolutionKind) -> None:
        super().__init__()
        hidden = sizes.hidden
        self.seen = Convolutions(shape, channels=sizes.channels, hidden=hidden, kind=kind)
        self.z1 = one_hidden_layer(hidden + sizes.classes, hidden, sizes.z1)
        self.z0 = one_hidden_layer(hidden + sizes.z1 + sizes.classes, hidden, sizes.z0)


class _ConvHvaeNetwork(nn.Module):
    """Decoder and encoder; bits and one-hot classes are float32, losses are in nats per sample."""

    def __init__(
        self, image: Variable, sizes: _Sizes, kind: ConvolutionKind, *, chained: bool
    ) -> None:
        super().__init__()
        self.classes = sizes.classes
        self.binary = image.kind == "binary"
        self.chained = chained
        self.decoder = _Decoder(image, sizes, kind, chained=chained)
        self.encoder = _Encoder(image.shape, sizes, kind)

    def one_hot(self, classes: Tensor) -> Tensor:
        """Map classes of shape (n,) to one-hot rows (n, C)."""
        return F.one_hot(classes, self.classes).float()

    @torch.no_grad()
    def encode(
        self, x: Tensor, c: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw (z0, z1) ~ q(z1|x,c) q(z0|z1,x,c)."""
        features = self.encoder.seen(x)
        z1 = draw_bits(self.encoder.z1(concatenate(features, c)), generator)
        z0 = draw_bits(self.encoder.z0(concatenate(features, z1, c)), generator)
        return z0, z1

    @torch.no_grad()
    def draw(
        self, n: int, c: Tensor | None, generator: torch.Generator, mean: bool = False
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Draw (z0, z1, x, c) ~ p; with c given, the rest given it."""
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
        log_p = log_bits(d.z0_logits(c, len(x)) + z0 @ d.z0_chain.tril(-1).T, z0)
        log_p = log_p + log_bits(d.z1_logits(z0, c) + z1 @ d.z1_chain.tril(-1).T, z1)
        if c is not None:
            log_p = log_p + (c * d.c_logits.log_softmax(0)).sum(1)
        mean = d.x_mean(z0, z1, c).float()
        if self.binary:
            return log_p + log_bits(mean, x)
        squared = (x - mean).square().flatten(1).sum(1)
        per_pixel = d.log_deviation + 0.5 * math.log(2 * math.pi)
        log_p = log_p - 0.5 * squared * torch.exp(-2 * d.log_deviation)
        return log_p - per_pixel * mean[0].numel()

    def log_encoder(self, z0: Tensor, z1: Tensor, x: Tensor, c: Tensor | None) -> Tensor:
        """log q(z1|x,c) + log q(z0|z1,x,c), shape (n,)."""
        features = self.encoder.seen(x)
        z1_logits = self.encoder.z1(concatenate(features, c))
        z0_logits = self.encoder.z0(concatenate(features, z1, c))
        return log_bits(z1_logits, z1) + log_bits(z0_logits, z0)
