"""A hierarchical VAE with binary latents that learns by symmetric equilibrium.

    p(x, z) = p(z0) p(z1|z0) p(x|z0, z1)                      q(z|x) = q(z1|x) q(z0|z1, x)

Decoder and encoder play a game of their own, without reparametrisation or KL term:

    decoder:  max E_{x~data} E_{z~q(.|x)} log p(x, z)
    encoder:  max E_{(x,z)~p} log q(z|x)                                                        (A4)

References:
    Symmetric Equilibrium Learning of VAEs (B. Flach, D. Schlesinger, A. Shekhovtsov,
    AISTATS 2024), arXiv:2307.09883.

Differs from the paper:
    The prior over latents may be richer (``prior``). With a uniform p(z0) and independent bits, no
    loss makes a latent code as frequent as the data that it stands for, and shares of classes are
    off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, PositiveInt, PrivateAttr
from torch import Tensor, nn

from coplay.core.errors import ModelError
from coplay.core.space import Samples, Space, Variable
from coplay.models.base import Mixture
from coplay.models.neural import LatentModel
from coplay.nets import devices
from coplay.nets.bits import draw_bits, draw_latents, log_bits, two_layers, with_sent_latents


class SymmetricHvae(LatentModel):
    """Two layers of binary latents over binary variables, all conditionals perceptrons.

    Args:
        latents: Sizes of z0 and z1, in bits.
        hidden: Width of the two hidden layers of each conditional.
        prior: ``"independent"`` as in the paper: p(z0) uniform, bits of z1 independent given z0; or
            ``"chain"``: in both, every bit also depends linearly on the bits before it, and p(z0)
            is learned.
        send_latents: Whether (z0, z1) travel with what is drawn, for players with the same latents
            to learn from, as in the authors' MNIST experiment; otherwise the encoder of each
            completes what it receives.

    Example:
        >>> from coplay import Variable
        >>> model = SymmetricHvae(latents=(4, 8), hidden=32, batch=16)
        >>> space = Space({"image": Variable(kind="binary", shape=(3, 3))})
        >>> model.setup(space, seed=1)
        >>> model.sample(5, torch.Generator().manual_seed(1))["image"].shape
        torch.Size([5, 3, 3])
    """

    kinds: ClassVar[tuple[str, ...]] = ("binary",)
    citation: ClassVar[tuple[str, ...]] = ("flach2024symmetric",)

    latents: tuple[PositiveInt, PositiveInt] = (8, 16)
    hidden: int = Field(default=128, ge=1)
    prior: Literal["independent", "chain"] = "chain"
    send_latents: bool = False
    batch: int = Field(default=200, ge=2)
    learning_rate: float = Field(default=5e-3, gt=0)

    _net: _HvaeNetwork = PrivateAttr()

    def build(self, space: Space) -> _HvaeNetwork:
        """Build the four conditionals."""
        foreign = [f"'{name}' ({space[name]})" for name in space if space[name].kind != "binary"]
        if foreign:
            raise ModelError(
                f"symmetric_hvae lives on binary variables, got {', '.join(foreign)}; use "
                "conv_hvae for grey or colour images, exponential_family or a scikit-learn "
                "estimator for other variables"
            )
        sizes = _Sizes(
            x=sum(space[name].size for name in space),
            z0=self.latents[0],
            z1=self.latents[1],
            hidden=self.hidden,
        )
        return _HvaeNetwork(sizes, chained=self.prior == "chain")

    def sides(self) -> Mapping[str, list[nn.Parameter]]:
        """Return the parameters of decoder and encoder."""
        return {
            "decoder": self._net.decoder_parameters(),
            "encoder": self._net.encoder_parameters(),
        }

    def losses(self, mixture: Mixture, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
        """Yield the losses of one step of (A4).

        The decoder learns on data completed by the encoder, the encoder on the decoder's samples.
        """
        parts = list(self.drawn(mixture, generator).values())
        x = torch.cat([self._space.flatten(part) for part in parts])
        z0, z1 = with_sent_latents(parts, *self._net.encode(x, generator))
        yield "decoder", self._net.decoder_loss(z0, z1, x)
        yield "encoder", self._net.encoder_loss(*self._net.draw(self.batch, generator))

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw z0, z1 and x in turn, from the running mean of the parameters."""
        with self.averaged(), torch.no_grad():
            z0, z1, x = self._net.draw(n, generator)
        drawn = self._space.unflatten(x)
        if self.send_latents:
            drawn.update({"z0": z0.byte(), "z1": z1.byte()})
        return devices.moved(drawn)

    def latent_variables(self) -> Mapping[str, Variable]:
        """Return z0 and z1, if they travel."""
        return two_layers(self.latents) if self.send_latents else {}

    def standard_log_weights(
        self, samples: Samples, draws: int, generator: torch.Generator
    ) -> Tensor:
        """log p(x, z) − log q(z|x) for z ~ q(.|x), in nats; shape (draws, n)."""
        x = self._space.flatten(samples).to(self._place).repeat(draws, 1)
        with self.averaged(), torch.no_grad():
            z0, z1 = self._net.encode(x, generator)
            log_weights = self._net.log_joint(z0, z1, x) - self._net.log_encoder(z0, z1, x)
        return log_weights.reshape(draws, len(samples)).cpu()

    @classmethod
    def tiny(cls) -> Self:
        """Return a model with few latents and hidden units."""
        return cls(latents=(3, 4), hidden=8, batch=8)


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    """How large the networks are.

    Args:
        x: Bits of the variables.
        z0: Bits of the deeper latent.
        z1: Bits of the other.
        hidden: Width of the hidden layers.
    """

    x: int
    z0: int
    z1: int
    hidden: int


class _HvaeNetwork(nn.Module):
    """The four conditionals of the model.

    Every tensor of bits is float32 of 0 and 1, losses are in nats per sample.
    """

    def __init__(self, sizes: _Sizes, *, chained: bool) -> None:
        super().__init__()
        n0 = sizes.z0
        n1 = sizes.z1
        hidden = sizes.hidden
        self.n0 = n0
        self.chained = chained
        # p(z0_k | z0_<k) = σ(b_k + C_k z0_<k); of the chains C only the lower triangle counts
        self.z0_bias = nn.Parameter(torch.zeros(n0), requires_grad=chained)
        self.z0_chain = nn.Parameter(torch.zeros(n0, n0), requires_grad=chained)
        self.z1_chain = nn.Parameter(torch.zeros(n1, n1), requires_grad=chained)
        # p(z1|z0), p(x|z0,z1), q(z1|x), q(z0|z1,x)
        self.z1_given_z0 = _Perceptron(n0, hidden, n1, skip=True)
        self.x_given_z = _Perceptron(n0 + n1, hidden, sizes.x, skip=True)
        self.z1_given_x = _Perceptron(sizes.x, hidden, n1)
        self.z0_given_z1_x = _Perceptron(n1 + sizes.x, hidden, n0)

    def decoder_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of p."""
        chains = [self.z0_bias, self.z0_chain, self.z1_chain] if self.chained else []
        return [*chains, *self.z1_given_z0.parameters(), *self.x_given_z.parameters()]

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of q."""
        return [*self.z1_given_x.parameters(), *self.z0_given_z1_x.parameters()]

    @torch.no_grad()
    def encode(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw (z0, z1) ~ q(z1|x) q(z0|z1, x)."""
        z1 = draw_bits(self.z1_given_x(x), generator)
        z0 = draw_bits(self.z0_given_z1_x(torch.cat([z1, x], 1)), generator)
        return z0, z1

    @torch.no_grad()
    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw (z0, z1, x) ~ p."""
        z0_chain = self.z0_chain if self.chained else None
        z1_chain = self.z1_chain if self.chained else None
        z0 = draw_latents(self.z0_bias.expand(n, -1), z0_chain, generator)
        z1 = draw_latents(self.z1_given_z0(z0), z1_chain, generator)
        return z0, z1, draw_bits(self.x_given_z(torch.cat([z0, z1], 1)), generator)

    def log_joint(self, z0: Tensor, z1: Tensor, x: Tensor) -> Tensor:
        """log p(z0) + log p(z1|z0) + log p(x|z0,z1), shape (n,)."""
        z0_logits = self.z0_bias + z0 @ self.z0_chain.tril(-1).T
        z1_logits = self.z1_given_z0(z0) + z1 @ self.z1_chain.tril(-1).T
        x_logits = self.x_given_z(torch.cat([z0, z1], 1))
        return log_bits(z0_logits, z0) + log_bits(z1_logits, z1) + log_bits(x_logits, x)

    def log_encoder(self, z0: Tensor, z1: Tensor, x: Tensor) -> Tensor:
        """log q(z1|x) + log q(z0|z1,x), shape (n,)."""
        z0_logits = self.z0_given_z1_x(torch.cat([z1, x], 1))
        return log_bits(self.z1_given_x(x), z1) + log_bits(z0_logits, z0)

    def decoder_loss(self, z0: Tensor, z1: Tensor, x: Tensor) -> Tensor:
        """−log p(z0, z1, x), mean over the batch."""
        return -self.log_joint(z0, z1, x).mean()

    def encoder_loss(self, z0: Tensor, z1: Tensor, x: Tensor) -> Tensor:
        """−log q(z0, z1|x), mean over the batch."""
        return -self.log_encoder(z0, z1, x).mean()


class _Perceptron(nn.Module):
    """Logits of a conditional: two hidden layers, and optionally a linear way past them."""

    def __init__(self, inputs: int, hidden: int, outputs: int, skip: bool = False) -> None:
        super().__init__()
        self.deep = nn.Sequential(
            nn.Linear(inputs, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, outputs),
        )
        self.skip = nn.Linear(inputs, outputs, bias=False) if skip else None

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.deep(x)
        return logits if self.skip is None else logits + self.skip(x)
