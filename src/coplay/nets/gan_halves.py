"""The two networks that a player of a GAN trains: built at first use, sent, loaded, restored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Literal

import torch
from torch import Tensor, nn

from coplay.core.space import Samples
from coplay.core.streams import derive, isolated_seed, own_draws
from coplay.nets import parameters
from coplay.nets.gan_builder import HALVES, Half, PairBuilder
from coplay.nets.training import follow_mean, using_parameters

Moments = Literal["keep", "travel", "reset"]
"""Adam's state when parameters are loaded: it stays, is loaded with them, or starts anew."""


class Halves:
    """A generator and a discriminator with an optimizer each, and the generator's running mean.

    Args:
        builder: How the networks are made.
        seed: Seed of their initial parameters.
        device: Where they compute.
        learning_rate: Adam's, for both.
        momentum: Adam's β1.
        average: Decay per step of the running mean of the generator's parameters; 0 keeps none.

    Example:
        >>> builder = PairBuilder(network="mlp", latent=2, classes=0, shape=(4, 4))
        >>> adam = {"learning_rate": 0.1, "momentum": 0.5}
        >>> halves = Halves(builder, 1, torch.device("cpu"), **adam, average=0)
        >>> halves.has("generator")
        False
        >>> halves["generator"](torch.zeros(3, 2), None).shape, halves.has("generator")
        (torch.Size([3, 4, 4]), True)
    """

    def __init__(
        self,
        builder: PairBuilder,
        seed: int,
        device: torch.device,
        *,
        learning_rate: float,
        momentum: float,
        average: float,
    ) -> None:
        self.builder = builder
        self.seed = seed
        self.device = device
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.average = average
        self.generator_steps = 0
        self._nets: dict[Half, nn.Module] = {}
        self._optimisers: dict[Half, torch.optim.Adam] = {}
        self._mean: list[Tensor] = []

    def has(self, half: Half) -> bool:
        """Whether a half has been used."""
        return half in self._nets

    def __getitem__(self, half: Half) -> nn.Module:
        """Return one half, built at first use."""
        if half not in self._nets:
            seed = derive(self.seed, half)
            is_own = getattr(self.builder, half) is not None  # it may seed torch itself
            with isolated_seed(seed), nullcontext() if is_own else own_draws(seed):
                net = self.builder.build(half).to(self.device)
            self._nets[half] = net
            self._optimisers[half] = torch.optim.Adam(
                net.parameters(), lr=self.learning_rate, betas=(self.momentum, 0.999), fused=True
            )
            if half == "generator" and self.average:
                self._mean = [p.detach().clone() for p in net.parameters()]
        return self._nets[half]

    def optimiser(self, half: Half) -> torch.optim.Adam:
        """Return Adam of one half."""
        self[half]  # builds it, if it does not exist
        return self._optimisers[half]

    def follow_generator(self) -> None:
        """Move the running mean on after a step of the generator."""
        self.generator_steps += 1
        if self.average:
            follow_mean(self._mean, self["generator"], self.average, self.generator_steps)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the generator the parameters that samples are drawn from, inside the block.

        No buffer changes.
        """
        net = self["generator"]
        net.eval()
        try:
            with using_parameters(net, self._mean if self.average else []):
                yield
        finally:
            net.train()

    def export(self, halves: Sequence[Half], *, buffers: bool, moments: bool) -> Samples:
        """Return the parameters of one half or both as the payload of a message.

        Args:
            halves: The halves to send.
            buffers: Whether to send buffers, such as those of batch normalisation.
            moments: Whether to send Adam's state.

        Raises:
            ModelError: A number is not finite.
        """
        values: dict[str, Tensor] = {}
        for half in halves:
            values |= parameters.named_tensors(self[half], f"{half}:", buffers=buffers)
            if moments:
                values |= self._adam_state(half)
        return parameters.export(values)

    def load(self, part: Samples, origin: str, moments: Moments) -> None:
        """Load in place what :meth:`export` returned.

        Args:
            part: Parameters of one half or both.
            origin: The sender, for the error.
            moments: What becomes of Adam's state.

        Raises:
            ModelError: Names, shapes or types differ from these networks', or a number is not
                finite.
        """
        received = parameters.unpack(part)
        halves: list[Half] = []
        own: dict[str, Tensor] = {}
        for half in HALVES:
            if any(name.startswith(half) for name in received):
                halves.append(half)
                own |= parameters.named_tensors(self[half], f"{half}:")
        values = {name: tensor for name, tensor in received.items() if "|" not in name}
        parameters.load(values, own, origin)
        if "generator" in halves and self._mean:  # samples are drawn from the new parameters
            learning = [p.detach() for p in self["generator"].parameters()]
            torch._foreach_copy_(self._mean, learning)
        for half in halves:
            if moments == "reset":
                self._optimisers[half].state.clear()
            elif moments == "travel":
                self._load_adam_state(half, received)

    def _adam_state(self, half: Half) -> dict[str, Tensor]:
        """Adam's state of one half by ``half|parameter|moment``; empty before the first step."""
        return parameters.adam_state(self.optimiser(half), self._by_name(half))

    def _load_adam_state(self, half: Half, state: Mapping[str, Tensor]) -> None:
        parameters.load_adam_state(self.optimiser(half), self._by_name(half), state)

    def _by_name(self, half: Half) -> dict[str, nn.Parameter]:
        return {f"{half}|{name}": p for name, p in self[half].named_parameters()}

    def state_dict(self) -> dict[str, Tensor]:
        """Return weights and optimizers of the halves in use, the running mean and a counter."""
        state = {"step": torch.tensor(self.generator_steps)}
        for half, net in self._nets.items():
            for name, tensor in net.state_dict().items():
                state[f"{half}/{name}"] = tensor.detach().cpu().clone()
            state |= parameters.copied(self._adam_state(half))
        for i, tensor in enumerate(self._mean):
            state[f"mean/{i:03d}"] = tensor.cpu().clone()
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state returned by :meth:`state_dict`; whatever else it holds is ignored."""
        for half in HALVES:
            values = parameters.under(f"{half}/", state)
            if values:
                self[half].load_state_dict(values)
                self._load_adam_state(half, state)
        self.generator_steps = int(state["step"])
        self._mean = parameters.numbered("mean/", state, self.device)
