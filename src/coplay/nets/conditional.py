"""One variable given others: p(v|g) by a perceptron, a U-Net or a conditional VAE.

    perceptron   p(v|g) = Π_k p(v_k; f_k(g))       any variable
    unet         the same, f at full resolution    an image, given one of its height and width
    vae          p(x|g) = ∫ p(u|g) p(x|u,g) du     an image; learns with q(u|x,g) by the evidence
                                                   lower bound

The distribution of v_k is Bernoulli where v is binary, categorical, or Gaussian with a learned
deviation, see :mod:`coplay.nets.laws`.

Two choices matter where an image is never observed together with a mask of it, so that each is
learned only from draws given the other. A U-Net begins with outputs that do not depend on its
inputs: what has not been learned yet carries no meaning that others could learn. And a VAE takes
given images of its own height and width pixel by pixel only, not as a whole: if it could recognise
that a mask is of a 3, it could paint any 3, and the mask's own pixels would never mean anything.

References:
    Auto-Encoding Variational Bayes (D. P. Kingma, M. Welling, ICLR 2014), arXiv:1312.6114.
    Learning Structured Output Representation using Deep Conditional Generative Models (K. Sohn,
    X. Yan, H. Lee, NIPS 2015).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from coplay.core.errors import ModelError
from coplay.core.space import Variable
from coplay.nets import devices
from coplay.nets.bits import bound
from coplay.nets.canvas import ImageDecoder, UNet
from coplay.nets.laws import Bits, Classes, distribution_of
from coplay.nets.perceptrons import Perceptron, one_hidden_layer
from coplay.nets.variables import LEAST_SIDE, InputEncoder, Sizes, goes_through_convolutions

_ENCODER_DRAWS = 8  # per sample, when a VAE estimates how probable an image is
# of a VAE's latents: in use they are far from both ends, but an untrained encoder must not overflow
_LOG_DEVIATIONS = (-4.0, 2.0)

Network = Literal["perceptron", "unet", "vae"]

Draw = Literal["sample", "mean"]


def chain_start(v: Variable, n: int, generator: torch.Generator) -> Tensor:
    """Return n values that a Gibbs chain begins with.

    They are uniform over a finite range, standard normal for a real variable without limits.
    """
    shape = (n, *v.shape)
    low, high = v.range
    if v.kind != "real":
        return torch.randint(int(high) + 1, shape, generator=generator).to(v.dtypes[0])
    if math.isfinite(high - low):
        return (low + (high - low) * torch.rand(shape, generator=generator)).clamp(low, high)
    return torch.randn(shape, generator=generator).clamp(low, high)


@contextmanager
def without_gradients(device: torch.device) -> Iterator[None]:
    """Compute without gradients and in full precision inside the block.

    Autocast would keep casts of weights that have no gradient for what follows.
    """
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


class Conditional(nn.Module):
    """p(v|g) of one variable v given others g.

    Values are as in sample sets, rows first; likelihoods are in nats.
    """

    needs_known_inputs: ClassVar[bool] = False
    """Whether it learns only once all of g has been observed somewhere."""

    def objective(
        self, values: Tensor, given: Mapping[str, Tensor], generator: torch.Generator
    ) -> Tensor:
        """The objective that a step maximises, shape (n,); here log p(v|g)."""
        return self.log_prob(values, given, generator)

    @abstractmethod
    def log_prob(
        self, values: Tensor, given: Mapping[str, Tensor], generator: torch.Generator
    ) -> Tensor:
        """Log p(v|g), shape (n,); of a VAE a lower bound by importance weighting."""

    @abstractmethod
    def draw(self, given: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        """Draw one v ~ p(v|g) for each row; shape (n, *shape), of the variable's type."""


class Independent(Conditional):
    """Components of v are independent given g: a perceptron or, with given images, a U-Net.

    Args:
        target: v.
        given: g by name.
        images: Those of g that a U-Net takes pixel by pixel; none for a perceptron.
        sizes: See :class:`~coplay.nets.variables.Sizes`.
    """

    def __init__(
        self,
        target: Variable,
        given: Mapping[str, Variable],
        images: Mapping[str, Variable],
        sizes: Sizes,
    ) -> None:
        super().__init__()
        self.law = distribution_of(target)
        self.seen = InputEncoder(given, sizes)
        # built also where a U-Net replaces it, so that a seed initialises both kinds alike
        self.body: nn.Module = Perceptron(self.seen.size, sizes.hidden, self.law.size)
        if images:
            unet = UNet(
                target.shape[-2:],
                images,
                vector=self.seen.size,
                sizes=sizes,
                outputs=target.channels,
            )
            for parameter in unet.out.parameters():
                nn.init.zeros_(parameter)  # outputs begin independent of the inputs
            self.body = unet

    def probabilities(self, given: Mapping[str, Tensor]) -> Tensor:
        """Probabilities of the classes of a categorical number, shape (n, C)."""
        assert isinstance(self.law, Classes)
        return self.law.log_probabilities(self._outputs(given))[:, 0].exp()

    def log_prob(
        self, values: Tensor, given: Mapping[str, Tensor], generator: torch.Generator
    ) -> Tensor:
        """Log p(v|g), exactly; shape (n,)."""
        return self.law.log_prob(self._outputs(given), values)

    def draw(self, given: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        """Draw v ~ p(v|g), exactly; shape (n, *shape)."""
        return self.law.draw(self._outputs(given), generator)

    def draw_straight_through(
        self, given: Mapping[str, Tensor], generator: torch.Generator
    ) -> Tensor:
        """Draw bits, float32 of shape (n, *shape), through which gradients pass."""
        assert isinstance(self.law, Bits)
        return self.law.draw_straight_through(self._outputs(given), generator)

    def _outputs(self, given: Mapping[str, Tensor]) -> Tensor:
        """Return logits or means, shape (n, outputs)."""
        return self.body(self.seen(given), given)


def _of_same_side(target: Variable, given: Mapping[str, Variable]) -> dict[str, Variable]:
    """Return the given images of the target's height and width."""
    same = {}
    for name, v in given.items():
        if goes_through_convolutions(v) and v.shape[-2:] == target.shape[-2:]:
            same[name] = v
    return same


class Vae(Conditional):
    """An image with real latents u of its own, which no other network sees and never travel.

    Components of p(u|g) and of q(u|x,g) are independent Gaussians. With ``draw="mean"`` only u is
    random: pixels are at their mean, bits at the likelier value.
    """

    needs_known_inputs: ClassVar[bool] = True

    def __init__(
        self, name: str, target: Variable, given: Mapping[str, Variable], sizes: Sizes, draw: Draw
    ) -> None:
        super().__init__()
        self.name = name
        self.noiseless = draw == "mean"
        by_pixel = _of_same_side(target, given)
        as_a_whole = {g: v for g, v in given.items() if g not in by_pixel}
        self.law = distribution_of(target)
        self.seen = InputEncoder(as_a_whole, sizes)
        self.prior = one_hidden_layer(self.seen.size, sizes.hidden, 2 * sizes.image_latents)
        vector = sizes.image_latents + self.seen.size
        self.decoder = ImageDecoder(target, by_pixel, vector=vector, sizes=sizes)
        self.encoder_seen = InputEncoder({**given, name: target}, sizes)
        inputs = self.encoder_seen.size
        self.encoder = one_hidden_layer(inputs, sizes.hidden, 2 * sizes.image_latents)

    def objective(
        self, values: Tensor, given: Mapping[str, Tensor], generator: torch.Generator
    ) -> Tensor:
        """The evidence lower bound, shape (n,).

        E log p(x|u,g) by one u ~ q(u|x,g) as a function of its noise, less KL(q(u|x,g), p(u|g)).
        """
        inputs = self.seen(given)
        q = self._posterior(values, given)
        u = _drawn(q, generator)
        log_pixels = self._log_pixels(values, u, inputs, given)
        return log_pixels - kl_divergence(q, self._prior(inputs)).sum(1)

    def log_prob(
        self, values: Tensor, given: Mapping[str, Tensor], generator: torch.Generator
    ) -> Tensor:
        """log (1/K) Σ_k p(x,u_k|g) / q(u_k|x,g) with u_k ~ q: on average a lower bound."""
        inputs = self.seen(given)
        q = self._posterior(values, given)
        p = self._prior(inputs)
        log_weights = []
        for _ in range(_ENCODER_DRAWS):
            u = _drawn(q, generator)
            log_latents = (p.log_prob(u) - q.log_prob(u)).sum(1)
            log_weights.append(self._log_pixels(values, u, inputs, given) + log_latents)
        return bound(torch.stack(log_weights))

    def draw(self, given: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        """Draw first u, then x; shape (n, *shape)."""
        inputs = self.seen(given)
        u = _drawn(self._prior(inputs), generator)
        outputs = self.decoder(torch.cat([u, inputs], 1), given)
        return self.law.likeliest(outputs) if self.noiseless else self.law.draw(outputs, generator)

    def _log_pixels(
        self, values: Tensor, u: Tensor, inputs: Tensor, given: Mapping[str, Tensor]
    ) -> Tensor:
        """log p(x|u,g)."""
        return self.law.log_prob(self.decoder(torch.cat([u, inputs], 1), given), values)

    def _prior(self, inputs: Tensor) -> Normal:
        """Return p(u|g)."""
        return _gaussians(self.prior(inputs))

    def _posterior(self, values: Tensor, given: Mapping[str, Tensor]) -> Normal:
        """Return q(u|x,g)."""
        return _gaussians(self.encoder(self.encoder_seen({**given, self.name: values})))


def _gaussians(outputs: Tensor) -> Normal:
    """Return independent Gaussians, (n, K), by means and log deviations, shape (n, 2K)."""
    means, log_deviations = outputs.float().chunk(2, 1)
    return Normal(means, log_deviations.clamp(*_LOG_DEVIATIONS).exp(), validate_args=False)


def _drawn(law: Normal, generator: torch.Generator) -> Tensor:
    """Draw one of each as a function of mean and deviation, through which gradients pass."""
    return law.mean + law.stddev * devices.normal(law.mean, generator)


def build_conditional(
    name: str,
    variables: Mapping[str, Variable],
    sees: Sequence[str],
    network: Network | None,
    sizes: Sizes,
    draw: Draw = "sample",
) -> Conditional:
    """Build the network for p(v|g): the one named, else the one that suits the variable.

    Args:
        name: Name of v.
        variables: All variables by name.
        sees: Names of g.
        network: Its kind. By default a binary image that sees an image of its own height and width
            is drawn by a U-Net, any other image by a VAE, the rest by a perceptron.
        sizes: See :class:`~coplay.nets.variables.Sizes`.
        draw: What a VAE draws of pixels.

    Raises:
        ModelError: The network does not suit the variable.

    Example:
        >>> x, c = Variable(kind="binary", shape=(8, 8)), Variable(kind="categorical", classes=3)
        >>> sizes = Sizes(channels=2, hidden=4, image_latents=3)
        >>> type(build_conditional("x", {"x": x, "c": c}, ["c"], None, sizes)).__name__
        'Vae'
        >>> type(build_conditional("c", {"x": x, "c": c}, ["x"], None, sizes)).__name__
        'Independent'
    """
    v = variables[name]
    given = {g: variables[g] for g in sees}
    images = _of_same_side(v, given)
    if network is None:
        network = _usual_network(v, images)
    if network != "perceptron" and not goes_through_convolutions(v):
        raise ModelError(
            f"networks: '{name}' ({v}) is no image of at least {LEAST_SIDE}×{LEAST_SIDE} pixels in "
            f'1 or 3 channels, as a {network} needs; use "perceptron"'
        )
    if network == "unet" and not images:
        inputs = ", ".join(f"{g!r} ({variables[g]})" for g in sees)
        raise ModelError(
            f"networks: '{name}' ({v}) by a unet needs a given image of the same height and width, "
            f'and sees {inputs}; use "vae", or let it see such an image'
        )
    if network == "vae":
        return Vae(name, v, given, sizes, draw)
    return Independent(v, given, images if network == "unet" else {}, sizes)


def _usual_network(v: Variable, images: Mapping[str, Variable]) -> Network:
    if not goes_through_convolutions(v):
        return "perceptron"
    return "unet" if v.kind == "binary" and images else "vae"
