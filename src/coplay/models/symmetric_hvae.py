"""A hierarchical VAE with binary latents that learns by symmetric equilibrium.

    p(x, z) = p(z0) p(z1|z0) p(x|z0, z1)                      q(z|x) = q(z1|x) q(z0|z1, x)

Decoder and encoder play a game of their own, without reparametrisation or KL term:

    decoder:  max E_{x~data} E_{z~q(.|x)} log p(x, z)        encoder:  max E_{(x,z)~p} log q(z|x)              (A4)

References:
    Symmetric Equilibrium Learning of VAEs (B. Flach, D. Schlesinger, A. Shekhovtsov, AISTATS 2024), arXiv:2307.09883.

Differs from the paper:
    The prior over latents may be richer (``prior``). With a uniform p(z0) and independent bits nothing draws the
    frequency of a latent code to the frequency of the data it stands for, and shares of classes are off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, PositiveInt, PrivateAttr
from torch import Tensor, nn
from torch.nn import functional as F

from coplay.errors import ModelError
from coplay.models.base import LocalModel, Mixture
from coplay.space import Samples, Space
from coplay.streams import isolated_seed


class SymmetricHvae(LocalModel):
    """Two layers of binary latents over binary variables, all conditionals perceptrons.

    Args:
        latents: Sizes of z0 and z1, in bits.
        hidden: Width of the two hidden layers of each conditional.
        prior: ``"independent"`` as in the paper: p(z0) uniform, bits of z1 independent given z0; or ``"chain"``: in both,
            every bit also depends linearly on the bits before it, and p(z0) is learned.
        batch: Samples per step, for either side of (A4).
        learning_rate: Adam's, at the start.
        hold_steps: Steps before the rate begins to fall.
        decay_steps: It then falls along a half cosine over so many steps to a twentieth and stays there; 0 for never.
        average: Decay per step of the running mean of parameters that samples are drawn from; 0 draws from the last.

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
    batch: int = Field(default=200, ge=2)
    learning_rate: float = Field(default=5e-3, gt=0)
    hold_steps: int = Field(default=0, ge=0)
    decay_steps: int = Field(default=0, ge=0)
    average: float = Field(default=0.999, ge=0, lt=1)

    _space: Space = PrivateAttr()
    _net: _Conditionals = PrivateAttr()
    _mean: list[Tensor] = PrivateAttr(default_factory=list)
    _decoder: torch.optim.Adam = PrivateAttr()
    _encoder: torch.optim.Adam = PrivateAttr()
    _step: int = PrivateAttr(default=0)

    def setup(self, space: Space, seed: int) -> None:
        """Build the four conditionals."""
        foreign = [f"'{name}' ({space[name]})" for name in space if space[name].kind != "binary"]
        if foreign:
            raise ModelError(f"symmetric_hvae lives on binary variables; {', '.join(foreign)} is not")
        self._space = space
        with isolated_seed(seed):
            self._net = _Conditionals(sum(space[name].size for name in space), *self.latents, self.hidden, self.prior)
        self._decoder = torch.optim.Adam(self._net.decoder_parameters(), lr=self.learning_rate, fused=True)
        self._encoder = torch.optim.Adam(self._net.encoder_parameters(), lr=self.learning_rate, fused=True)
        self._mean = [p.detach().clone() for p in self._net.parameters()]
        self._step = 0

    def learn(self, mixture: Mixture, steps: int, generator: torch.Generator) -> Mapping[str, float]:
        """Take steps of (A4): the decoder on data completed by the encoder, the encoder on the decoder's samples."""
        decoder_loss = encoder_loss = 0.0
        for _ in range(steps):
            self._step += 1
            rate = self._rate()
            x = self._space.flatten(mixture.batch(self.batch, generator))
            decoder_loss += _descend(self._decoder, rate, self._net.decoder_loss(*self._net.encode(x, generator), x))
            encoder_loss += _descend(
                self._encoder, rate, self._net.encoder_loss(*self._net.draw(self.batch, generator))
            )
            # the running mean starts as a plain mean, so that early samples do not show the random start
            keep = min(self.average, self._step / (self._step + 10))
            torch._foreach_lerp_(self._mean, [p.detach() for p in self._net.parameters()], 1 - keep)
        return {"decoder_loss": decoder_loss / steps, "encoder_loss": encoder_loss / steps}

    def _rate(self) -> float:
        if not self.decay_steps:
            return self.learning_rate
        progress = min(1.0, max(0, self._step - self.hold_steps) / self.decay_steps)
        return self.learning_rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress)))

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw z0, z1 and x in turn, from the running mean of the parameters."""
        parameters: list[Tensor] = list(self._net.parameters())
        last = [p.detach().clone() for p in parameters]
        with torch.no_grad():
            if self.average:
                torch._foreach_copy_(parameters, self._mean)
            _, _, x = self._net.draw(n, generator)
            torch._foreach_copy_(parameters, last)
        return self._space.unflatten(x)

    def state_dict(self) -> Mapping[str, Tensor]:
        """Weights, their running mean, both optimisers, the step."""
        state = {f"net/{name}": tensor for name, tensor in self._net.state_dict().items()}
        state |= {f"mean/{i:02d}": tensor for i, tensor in enumerate(self._mean)}
        for side, optimiser in (("decoder", self._decoder), ("encoder", self._encoder)):
            for i, values in optimiser.state_dict()["state"].items():
                state |= {f"{side}/{i}/{key}": value for key, value in values.items()}
        return state | {"step": torch.tensor(self._step)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take a state back."""
        self._net.load_state_dict({k.removeprefix("net/"): v for k, v in state.items() if k.startswith("net/")})
        self._mean = [state[name].clone() for name in sorted(state) if name.startswith("mean/")]
        self._step = int(state["step"])
        for side, optimiser in (("decoder", self._decoder), ("encoder", self._encoder)):
            kept: dict[int, dict[str, Tensor]] = {}
            for name, tensor in state.items():
                if name.startswith(side + "/"):
                    _, i, key = name.split("/")
                    kept.setdefault(int(i), {})[key] = tensor
            optimiser.load_state_dict({"state": kept, "param_groups": optimiser.state_dict()["param_groups"]})

    @classmethod
    def tiny(cls) -> Self:
        """A few latents and hidden units."""
        return cls(latents=(3, 4), hidden=8, batch=8)


class _Conditionals(nn.Module):
    """The four conditionals of the model; every tensor of bits is float32 of 0 and 1, losses are in nats per sample."""

    def __init__(self, size: int, n0: int, n1: int, hidden: int, prior: str) -> None:
        super().__init__()
        self.n0, self.chained = n0, prior == "chain"
        self.z0_bias = nn.Parameter(torch.zeros(n0), requires_grad=self.chained)  # p(z0_k | z0_<k) = σ(b_k + C_k z0_<k)
        self.z0_chain = nn.Parameter(torch.zeros(n0, n0), requires_grad=self.chained)  # only the lower triangle counts
        self.z1_chain = nn.Parameter(torch.zeros(n1, n1), requires_grad=self.chained)
        self.z1_given_z0 = _Perceptron(n0, hidden, n1, skip=True)  # p(z1|z0)
        self.x_given_z = _Perceptron(n0 + n1, hidden, size, skip=True)  # p(x|z0,z1)
        self.z1_given_x = _Perceptron(size, hidden, n1)  # q(z1|x)
        self.z0_given_z1_x = _Perceptron(n1 + size, hidden, n0)  # q(z0|z1,x)

    def decoder_parameters(self) -> list[nn.Parameter]:
        """Of p."""
        chains = [self.z0_bias, self.z0_chain, self.z1_chain] if self.chained else []
        return [*chains, *self.z1_given_z0.parameters(), *self.x_given_z.parameters()]

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Of q."""
        return [*self.z1_given_x.parameters(), *self.z0_given_z1_x.parameters()]

    @torch.no_grad()
    def encode(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(z0, z1) ~ q(z1|x) q(z0|z1, x)."""
        z1 = _bits(self.z1_given_x(x), generator)
        return _bits(self.z0_given_z1_x(torch.cat([z1, x], 1)), generator), z1

    @torch.no_grad()
    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """(z0, z1, x) ~ p."""
        z0 = self._latents(self.z0_bias.expand(n, -1), self.z0_chain, generator)
        z1 = self._latents(self.z1_given_z0(z0), self.z1_chain, generator)
        return z0, z1, _bits(self.x_given_z(torch.cat([z0, z1], 1)), generator)

    def _latents(self, logits: Tensor, chain: Tensor, generator: torch.Generator) -> Tensor:
        if not self.chained:
            return _bits(logits, generator)
        uniform, weights = torch.rand(logits.shape, generator=generator), chain.tril(-1).T.contiguous()
        logits, bits = logits.clone(), torch.empty_like(logits)
        for k in range(logits.shape[1]):
            bits[:, k] = (uniform[:, k] < torch.sigmoid(logits[:, k])).float()
            logits.addr_(bits[:, k], weights[k])  # what bit k says about the bits after it
        return bits

    def decoder_loss(self, z0: Tensor, z1: Tensor, x: Tensor) -> Tensor:
        """−log p(z0) − log p(z1|z0) − log p(x|z0,z1), mean over the batch."""
        z0_logits = self.z0_bias + z0 @ self.z0_chain.tril(-1).T
        z1_logits = self.z1_given_z0(z0) + z1 @ self.z1_chain.tril(-1).T
        return _nats(z0_logits, z0) + _nats(z1_logits, z1) + _nats(self.x_given_z(torch.cat([z0, z1], 1)), x)

    def encoder_loss(self, z0: Tensor, z1: Tensor, x: Tensor) -> Tensor:
        """−log q(z1|x) − log q(z0|z1,x), mean over the batch."""
        return _nats(self.z1_given_x(x), z1) + _nats(self.z0_given_z1_x(torch.cat([z1, x], 1)), z0)


class _Perceptron(nn.Module):
    """Logits of a conditional: two hidden layers, and optionally a linear way past them."""

    def __init__(self, inputs: int, hidden: int, outputs: int, skip: bool = False) -> None:
        super().__init__()
        self.deep = nn.Sequential(
            nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, outputs)
        )
        self.skip = nn.Linear(inputs, outputs, bias=False) if skip else None

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.deep(x)
        return logits if self.skip is None else logits + self.skip(x)


def _bits(logits: Tensor, generator: torch.Generator) -> Tensor:
    return (torch.rand(logits.shape, generator=generator) < torch.sigmoid(logits)).float()


def _nats(logits: Tensor, bits: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, bits, reduction="sum") / len(bits)


def _descend(optimiser: torch.optim.Adam, rate: float, loss: Tensor) -> float:
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()
