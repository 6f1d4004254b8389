"""One variable given others: p(v|g) by a perceptron, a U-Net or a conditional VAE.

    perceptron   p(v|g) = Π_k p(v_k; f_k(g))             any variable
    unet         the same, with f at full resolution       an image, given one of the same height and width
    vae          p(x|g) = ∫ p(u|g) p(x|u,g) du             an image; learns with q(u|x,g) by the evidence lower bound

What v_k is drawn from is Bernoulli where v is binary, categorical, or Gaussian with a learned deviation. A real variable with a
finite range is mapped to [-1, 1] on the way in and back on the way out, and what is drawn of it is clamped to its range.

Two choices matter where an image is never observed together with a mask of it, so that only draws teach the one by the other. A
U-Net begins by saying the same whatever it is given: what nobody has taught yet carries no meaning that others could take up. And
a VAE sees given images of its own height and width pixel by pixel only, not as a whole: were it to see that a mask is of a 3, it
could paint any 3, and the mask's own pixels would never come to mean anything.

References:
    U-Net: Convolutional Networks for Biomedical Image Segmentation (O. Ronneberger, P. Fischer, T. Brox, MICCAI 2015),
    arXiv:1505.04597.
    Auto-Encoding Variational Bayes (D. P. Kingma, M. Welling, ICLR 2014), arXiv:1312.6114.
    Learning Structured Output Representation using Deep Conditional Generative Models (K. Sohn, X. Yan, H. Lee, NIPS 2015).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from coplay.core.errors import ModelError
from coplay.core.space import Variable
from coplay.nets import devices
from coplay.nets.bits import bound, draw_bits, log_bits, passing_bits
from coplay.nets.convolutions import Convolutions

_JUDGING_DRAWS = 8  # encoder's draws per sample when a VAE says how probable an image is
_LOG_DEVIATIONS = (-4.0, 2.0)  # of a VAE's latents: far from both in use, but a young encoder must not overflow
_LEAST_SIDE = 4  # pixels; anything smaller is no image, just numbers


Network = Literal["perceptron", "unet", "vae"]


Draw = Literal["sample", "mean"]


class Sizes(NamedTuple):
    """How large the networks are.

    Args:
        channels: Of convolutions at full resolution; each halving of the image doubles them.
        hidden: Width of fully connected layers.
        image_latents: Size of u, the latents that a VAE keeps to itself.
    """

    channels: int
    hidden: int
    image_latents: int


def goes_through_convolutions(v: Variable) -> bool:
    """Whether a variable is a binary or real image of at least 4×4 pixels."""
    return v.is_image and v.kind in ("binary", "real") and min(v.shape[-2:]) >= _LEAST_SIDE


def start(v: Variable, n: int, generator: torch.Generator) -> Tensor:
    """Where a chain begins: uniform over what is finite, standard normal over a real variable without limits."""
    shape, (low, high) = (n, *v.shape), v.range
    if v.kind != "real":
        return torch.randint(int(high) + 1, shape, generator=generator).to(v.dtypes[0])
    if math.isfinite(high - low):
        return (low + (high - low) * torch.rand(shape, generator=generator)).clamp(low, high)
    return torch.randn(shape, generator=generator).clamp(low, high)


@contextmanager
def drawing(device: torch.device) -> Iterator[None]:
    """No gradients, and full precision: autocast would keep casts of weights that have no gradient for what follows."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


# ------------------------------------------------------------------------------------------------- numbers in and out


def _scale(v: Variable) -> tuple[float, float]:
    """Centre and half width of a real variable's finite range."""
    low, high = v.range
    finite = v.kind == "real" and math.isfinite(high - low)
    return ((low + high) / 2, (high - low) / 2) if finite else (0.0, 1.0)


def _numbers(v: Variable, values: Tensor) -> Tensor:
    """Values as float32 of shape (n, D); classes one-hot."""
    if v.kind == "categorical":
        return F.one_hot(values, v.classes or 0).flatten(1).float()
    centre, half = _scale(v)
    return (values.float().reshape(len(values), -1) - centre) / half


def _pixels(v: Variable, values: Tensor) -> Tensor:
    """Images as float32 of shape (n, channels, H, W)."""
    return _numbers(v, values).reshape(len(values), -1, *v.shape[-2:])


class _Law(nn.Module):
    """What v is drawn from, told ``outputs`` numbers a row by a network; values have shape (n, *shape)."""

    outputs: int

    @abstractmethod
    def log_prob(self, told: Tensor, values: Tensor) -> Tensor:
        """log p of values, shape (n,)."""

    @abstractmethod
    def draw(self, told: Tensor, generator: torch.Generator) -> Tensor:
        """One value for each row."""

    @abstractmethod
    def likeliest(self, told: Tensor) -> Tensor:
        """The most probable value for each row."""


class _Bits(_Law):
    """Independent bits; told are logits."""

    def __init__(self, v: Variable) -> None:
        super().__init__()
        self.shape, self.outputs = v.shape, v.size

    def log_prob(self, told: Tensor, values: Tensor) -> Tensor:
        """Shape (n,)."""
        return log_bits(told, values.reshape(told.shape).float())

    def draw(self, told: Tensor, generator: torch.Generator) -> Tensor:
        """Shape (n, *shape)."""
        return draw_bits(told, generator).to(torch.uint8).reshape(-1, *self.shape)

    def likeliest(self, told: Tensor) -> Tensor:
        """Shape (n, *shape)."""
        return (told > 0).to(torch.uint8).reshape(-1, *self.shape)


class _Classes(_Law):
    """Independent classes; told are logits."""

    def __init__(self, v: Variable) -> None:
        super().__init__()
        self.shape, self.classes = v.shape, v.classes or 0
        self.outputs = v.size * self.classes

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Shape (n, D, C)."""
        return logits.float().reshape(len(logits), -1, self.classes).log_softmax(2)

    def log_prob(self, told: Tensor, values: Tensor) -> Tensor:
        """Shape (n,)."""
        return self.log_probabilities(told).gather(2, values.reshape(len(values), -1, 1)).sum((1, 2))

    def draw(self, told: Tensor, generator: torch.Generator) -> Tensor:
        """Shape (n, *shape)."""
        probabilities = self.log_probabilities(told).exp().flatten(0, 1)
        return devices.classes(probabilities, 1, generator).reshape(-1, *self.shape)

    def likeliest(self, told: Tensor) -> Tensor:
        """Shape (n, *shape)."""
        return self.log_probabilities(told).argmax(2).reshape(-1, *self.shape)


class _Gaussian(_Law):
    """Independent numbers around means, which are told; one deviation for all pixels of an image, one per component otherwise."""

    def __init__(self, v: Variable) -> None:
        super().__init__()
        self.shape, self.outputs, self.range = v.shape, v.size, v.range
        self.centre, self.half_width = _scale(v)
        self.log_deviation = nn.Parameter(torch.full(() if goes_through_convolutions(v) else (v.size,), -1.0))

    def log_prob(self, told: Tensor, values: Tensor) -> Tensor:
        """Shape (n,), in the variable's own units."""
        error = (values.float().reshape(told.shape) - self.centre) / self.half_width - told.float()
        constant = 0.5 * math.log(2 * math.pi) + math.log(self.half_width)
        return -(0.5 * (error * torch.exp(-self.log_deviation)).square() + self.log_deviation + constant).sum(1)

    def draw(self, told: Tensor, generator: torch.Generator) -> Tensor:
        """Shape (n, *shape)."""
        return self._in_range(told.float() + self.log_deviation.exp() * devices.normal(told, generator))

    def likeliest(self, told: Tensor) -> Tensor:
        """Shape (n, *shape)."""
        return self._in_range(told.float())

    def _in_range(self, scaled: Tensor) -> Tensor:
        return (self.centre + self.half_width * scaled).reshape(-1, *self.shape).clamp(*self.range)


_LAWS: Mapping[str, Callable[[Variable], _Law]] = {"binary": _Bits, "categorical": _Classes, "real": _Gaussian}


class Seen(nn.Module):
    """Variables as one vector of ``size`` numbers; images of one height and width go through convolutions together."""

    def __init__(self, variables: Mapping[str, Variable], sizes: Sizes) -> None:
        super().__init__()
        self.plain = {name: v for name, v in variables.items() if not goes_through_convolutions(v)}
        self.images: dict[tuple[int, ...], dict[str, Variable]] = {}
        for name, v in variables.items():
            if goes_through_convolutions(v):
                self.images.setdefault(v.shape[-2:], {})[name] = v
        self.convolutions = nn.ModuleList(
            Convolutions((_channels(group), *side), sizes.channels, sizes.hidden, "strided")
            for side, group in self.images.items()
        )
        self.size = sum(v.size * (v.classes or 1) for v in self.plain.values()) + sizes.hidden * len(self.images)

    def forward(self, given: Mapping[str, Tensor]) -> Tensor:
        """Shape (n, size)."""
        parts = [_numbers(v, given[name]) for name, v in self.plain.items()]
        for group, convolutions in zip(self.images.values(), self.convolutions, strict=True):
            parts.append(convolutions(_side_by_side(group, given)))
        return torch.cat(parts, 1)


def _channels(images: Mapping[str, Variable]) -> int:
    return sum(v.channels for v in images.values())


def _side_by_side(images: Mapping[str, Variable], given: Mapping[str, Tensor]) -> Tensor:
    """Images of one size as channels of one, shape (n, channels, H, W)."""
    return torch.cat([_pixels(v, given[name]) for name, v in images.items()], 1)


def one_hidden_layer(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """(n, inputs) to (n, outputs)."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))


class _Layers(nn.Module):
    """A perceptron of two hidden layers."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), one_hidden_layer(hidden, hidden, outputs))

    def forward(self, vector: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """(n, inputs) to (n, outputs); what is given is all in the vector."""
        return self.layers(vector)


class _Canvas(nn.Module):
    """A U-Net whose lowest level, a quarter of the resolution, also sees a vector.

    Without given images only its rising half is there.
    """

    def __init__(
        self, side: tuple[int, ...], images: Mapping[str, Variable], vector: int, sizes: Sizes, outputs: int
    ) -> None:
        super().__init__()
        self.images, self.side = dict(images), side
        low = [math.ceil(s / 4) for s in self.side]
        full, half, quarter = (sizes.channels * 2**level for level in range(3))
        seen = _channels(images)
        self.falling = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=stride, padding=1)
            for before, after, stride in ((seen, full, 1), (full, half, 2), (half, quarter, 2))
            if seen
        )
        self.lowest = nn.Sequential(
            one_hidden_layer(vector, sizes.hidden, quarter * low[0] * low[1]), nn.Unflatten(1, (quarter, *low))
        )
        self.deep = nn.Conv2d(quarter, quarter, 3, padding=1)
        self.to_half = nn.ConvTranspose2d(quarter, half, 4, stride=2, padding=1)
        self.at_half = nn.Conv2d(2 * half if seen else half, half, 3, padding=1)
        self.to_full = nn.ConvTranspose2d(half, full, 4, stride=2, padding=1)
        self.at_full = nn.Conv2d(2 * full if seen else full, full, 3, padding=1)
        self.out = nn.Conv2d(full, outputs, 1)

    def forward(self, vector: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """A vector of shape (n, K) and given images to (n, outputs · H · W)."""
        levels, low = [], self.lowest(vector)
        if self.images:
            x = _side_by_side(self.images, given)
            high, wide = self.side
            x = F.pad(x, (0, -wide % 4, 0, -high % 4))
            for layer in self.falling:
                x = F.silu(layer(x))
                levels.append(x)
            low = low + levels.pop()
        x = F.silu(self.to_half(F.silu(self.deep(F.silu(low)))))
        x = F.silu(self.at_half(torch.cat([x, *levels[1:]], 1)))
        x = F.silu(self.to_full(x))
        x = F.silu(self.at_full(torch.cat([x, *levels[:1]], 1)))
        return self.out(x)[:, :, : self.side[0], : self.side[1]].flatten(1)


class _Painting(nn.Module):
    """What a vector says, as feature maps; given images lie upon them, pixel on pixel, and convolutions of 5×5 see both."""

    def __init__(self, target: Variable, images: Mapping[str, Variable], vector: int, sizes: Sizes) -> None:
        super().__init__()
        self.images, self.side, maps = dict(images), target.shape[-2:], sizes.channels
        self.ground = _Canvas(self.side, {}, vector, sizes, maps)
        self.upon = nn.Conv2d(maps + _channels(images), 2 * maps, 3, padding=1)
        self.mixed = nn.Conv2d(2 * maps, maps, 3, padding=1)
        self.out = nn.Conv2d(maps, _channels({"": target}), 1)
        nn.init.zeros_(self.upon.weight[:, maps:])  # given images mean nothing yet

    def forward(self, vector: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """A vector of shape (n, K) and given images to (n, channels · H · W)."""
        x = self.ground(vector, given).unflatten(1, (-1, *self.side))
        if self.images:
            x = torch.cat([x, _side_by_side(self.images, given)], 1)
        return self.out(F.silu(self.mixed(F.silu(self.upon(F.silu(x)))))).flatten(1)


# ---------------------------------------------------------------------------------------------------- conditionals


class Conditional(nn.Module):
    """p(v|g) of one variable v given others g. Values are as in sample sets, rows first; likelihoods are in nats."""

    waits: ClassVar[bool] = False
    """Whether it learns only once all of g has been observed somewhere."""

    def lesson(self, values: Tensor, given: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        """What a step ascends, shape (n,); here log p(v|g)."""
        return self.log_prob(values, given, generator)

    @abstractmethod
    def log_prob(self, values: Tensor, given: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        """log p(v|g), shape (n,); of a VAE a lower bound by importance weighting, for which it uses the generator."""

    @abstractmethod
    def draw(self, given: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        """One v ~ p(v|g) for each row; shape (n, *shape), of the variable's type."""


class Independent(Conditional):
    """Components of v are independent given g: a perceptron, or, where it is told which images to look at, a U-Net."""

    def __init__(
        self, target: Variable, given: Mapping[str, Variable], images: Mapping[str, Variable], sizes: Sizes
    ) -> None:
        super().__init__()
        self.law = _LAWS[target.kind](target)
        self.seen = Seen(given, sizes)
        self.body: nn.Module = _Layers(self.seen.size, sizes.hidden, self.law.outputs)
        if images:
            self.body = _Canvas(target.shape[-2:], images, self.seen.size, sizes, _channels({"": target}))
            for parameter in self.body.out.parameters():
                nn.init.zeros_(parameter)  # whatever is given, the same

    def probabilities(self, given: Mapping[str, Tensor]) -> Tensor:
        """Of the classes of a categorical number; shape (n, C)."""
        assert isinstance(self.law, _Classes)
        return self.law.log_probabilities(self._told(given))[:, 0].exp()

    def log_prob(self, values: Tensor, given: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        """Exact."""
        return self.law.log_prob(self._told(given), values)

    def draw(self, given: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        """Exact."""
        return self.law.draw(self._told(given), generator)

    def passing(self, given: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        """Drawn bits, float32 of shape (n, *shape), through which gradients pass."""
        assert isinstance(self.law, _Bits)
        return passing_bits(self._told(given), generator).reshape(-1, *self.law.shape)

    def _told(self, given: Mapping[str, Tensor]) -> Tensor:
        """Logits or means, shape (n, outputs)."""
        return self.body(self.seen(given), given)


def _alike(target: Variable, given: Mapping[str, Variable]) -> dict[str, Variable]:
    """The given images of the target's height and width."""
    return {name: v for name, v in given.items() if goes_through_convolutions(v) and v.shape[-2:] == target.shape[-2:]}


class Vae(Conditional):
    """An image with real latents u of its own, which nobody else sees and which never travel.

    Components of p(u|g) and of q(u|x,g) are independent Gaussians. With ``draw="mean"`` all that varies in what is drawn is u:
    pixels are at their mean, or, if they are bits, at the likelier value.
    """

    waits: ClassVar[bool] = True

    def __init__(self, name: str, target: Variable, given: Mapping[str, Variable], sizes: Sizes, draw: Draw) -> None:
        super().__init__()
        self.name, self.noiseless, alike = name, draw == "mean", _alike(target, given)
        self.law = _LAWS[target.kind](target)
        self.seen = Seen({g: v for g, v in given.items() if g not in alike}, sizes)
        self.prior = one_hidden_layer(self.seen.size, sizes.hidden, 2 * sizes.image_latents)
        self.decoder = _Painting(target, alike, sizes.image_latents + self.seen.size, sizes)
        self.encoder_seen = Seen({**given, name: target}, sizes)
        self.encoder = one_hidden_layer(self.encoder_seen.size, sizes.hidden, 2 * sizes.image_latents)

    def lesson(self, values: Tensor, given: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        """The evidence lower bound: E log p(x|u,g) by one u ~ q(u|x,g) as a function of its noise, less KL(q(u|x,g), p(u|g))."""
        seen, q = self.seen(given), self._posterior(values, given)
        u = _drawn(q, generator)
        return self._log_pixels(values, u, seen, given) - kl_divergence(q, self._prior(seen)).sum(1)

    def log_prob(self, values: Tensor, given: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        """log (1/K) Σ_k p(x,u_k|g) / q(u_k|x,g) with u_k ~ q: on average a lower bound."""
        seen, q = self.seen(given), self._posterior(values, given)
        p, log_weights = self._prior(seen), []
        for _ in range(_JUDGING_DRAWS):
            u = _drawn(q, generator)
            log_weights.append(self._log_pixels(values, u, seen, given) + (p.log_prob(u) - q.log_prob(u)).sum(1))
        return bound(torch.stack(log_weights))

    def draw(self, given: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        """First u, then x."""
        seen = self.seen(given)
        u = _drawn(self._prior(seen), generator)
        told = self.decoder(torch.cat([u, seen], 1), given)
        return self.law.likeliest(told) if self.noiseless else self.law.draw(told, generator)

    def _log_pixels(self, values: Tensor, u: Tensor, seen: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """log p(x|u,g)."""
        return self.law.log_prob(self.decoder(torch.cat([u, seen], 1), given), values)

    def _prior(self, seen: Tensor) -> Normal:
        """p(u|g)."""
        return _gaussians(self.prior(seen))

    def _posterior(self, values: Tensor, given: Mapping[str, Tensor]) -> Normal:
        """q(u|x,g)."""
        return _gaussians(self.encoder(self.encoder_seen({**given, self.name: values})))


def _gaussians(told: Tensor) -> Normal:
    """Independent, shape (n, K), by means and logarithms of deviations, shape (n, 2K)."""
    means, log_deviations = told.float().chunk(2, 1)
    return Normal(means, log_deviations.clamp(*_LOG_DEVIATIONS).exp(), validate_args=False)


def _drawn(law: Normal, generator: torch.Generator) -> Tensor:
    """One draw of each as a function of mean and deviation, which gradients pass."""
    return law.mean + law.stddev * devices.normal(law.mean, generator)


def conditional(
    name: str,
    variables: Mapping[str, Variable],
    sees: Sequence[str],
    network: Network | None,
    sizes: Sizes,
    draw: Draw = "sample",
) -> Conditional:
    """The network for p(v|g): the one named, else the one that suits the variable.

    Args:
        name: Of v.
        variables: All variables by name.
        sees: Names of g.
        network: Its kind. By default a binary image that sees an image of its own height and width is
            drawn by a U-Net, any other image by a VAE, the rest by a perceptron.
        sizes: See :class:`Sizes`.
        draw: What a VAE draws of pixels.

    Raises:
        ModelError: The network does not suit the variable.

    Example:
        >>> variables = {"x": Variable(kind="binary", shape=(8, 8)), "c": Variable(kind="categorical", classes=3)}
        >>> [type(conditional(v, variables, [g], None, Sizes(2, 4, 3))).__name__ for v, g in ("xc", "cx")]
        ['Vae', 'Independent']
    """
    v, given = variables[name], {g: variables[g] for g in sees}
    images = _alike(v, given)
    if network is None:
        network = ("unet" if v.kind == "binary" and images else "vae") if goes_through_convolutions(v) else "perceptron"
    if network != "perceptron" and not goes_through_convolutions(v):
        raise ModelError(
            f"networks: '{name}' ({v}) is no image of at least {_LEAST_SIDE}×{_LEAST_SIDE} pixels in 1 or 3 channels, as a "
            f'{network} needs; use "perceptron"'
        )
    if network == "unet" and not images:
        raise ModelError(
            f"networks: '{name}' ({v}) by a unet needs a given image of the same height and width, and sees "
            f'{", ".join(f"{g!r} ({variables[g]})" for g in sees)}; use "vae", or let it see such an image'
        )
    if network == "vae":
        return Vae(name, v, given, sizes, draw)
    return Independent(v, given, images if network == "unet" else {}, sizes)
