"""What every neural model needs besides its mathematics: optimisers, schedule, running mean, early stopping, its state."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from coplay.models.base import LocalModel, Mixture, Part
from coplay.space import Space, pick
from coplay.streams import isolated_seed, stream

FLOPS = "flops"
"""Number of a turn's floating-point operations in matrix products and convolutions, forwards and backwards (torch's counter)."""


class NeuralModel(LocalModel):
    """A model that takes gradient steps.

    A subclass builds its network, says which parameters each side of its game has, and yields the losses of one step.

    Args:
        batch: Samples per step.
        learning_rate: Adam's, at the start.
        hold_steps: Steps before the rate begins to fall.
        decay_steps: It then falls along a half cosine over so many steps to a twentieth and stays there; 0 for never.
        average: Decay per step of the running mean of parameters that samples are drawn from; 0 draws from the last.
        precision: ``"bfloat16"`` computes matrix products and convolutions in 16 bits where torch's autocast says so.
        validation: Share of the own samples that is set aside to stop early by; 0 for none.
        patience: Turns without a better validation loss after which the model learns no more and goes back to its best.
        fused: Whether Adam updates all parameters in one pass; off only to measure what it saves.
    """

    batch: int = Field(default=100, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    hold_steps: int = Field(default=0, ge=0)
    decay_steps: int = Field(default=0, ge=0)
    average: float = Field(default=0.999, ge=0, lt=1)
    precision: Literal["float32", "bfloat16"] = "float32"
    validation: float = Field(default=0.0, ge=0, le=0.5)
    patience: int = Field(default=5, ge=1)
    fused: bool = True

    _space: Space = PrivateAttr()
    _seed: int = PrivateAttr(default=0)
    _net: nn.Module = PrivateAttr()
    _optimisers: dict[str, torch.optim.Adam] = PrivateAttr(default_factory=dict)
    _mean: list[Tensor] = PrivateAttr(default_factory=list)
    _best: list[Tensor] = PrivateAttr(default_factory=list)
    _best_loss: float = PrivateAttr(default=math.inf)
    _worse: int = PrivateAttr(default=0)
    _step: int = PrivateAttr(default=0)
    _flops: float | None = PrivateAttr(default=None)

    @abstractmethod
    def build(self, space: Space) -> nn.Module:
        """The network; torch's global generator is seeded while this runs.

        Raises:
            ModelError: The model cannot live on this space.
        """

    @abstractmethod
    def sides(self) -> Mapping[str, list[nn.Parameter]]:
        """The parameters that each loss moves, by the side's name; every side has an optimiser of its own."""

    @abstractmethod
    def losses(self, mixture: Mixture, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
        """One step: side and loss in nats per sample, one after the other; each is descended before the next is asked for."""

    def setup(self, space: Space, seed: int) -> None:
        """Build the network and its optimisers."""
        self._space, self._seed = space, seed
        with isolated_seed(seed):
            self._net = self.build(space)
        self._optimisers = {
            side: torch.optim.Adam(parameters, lr=self.learning_rate, fused=self.fused)
            for side, parameters in self.sides().items()
        }
        self._mean = [p.detach().clone() for p in self._net.parameters()]
        self._best, self._best_loss, self._worse, self._step = [], math.inf, 0, 0

    def learn(self, mixture: Mixture, steps: int, generator: torch.Generator) -> Mapping[str, float]:
        """Take so many steps, or none if learning has stopped early."""
        mixture, aside = self._set_aside(mixture)
        if self._worse >= self.patience:
            return {"validation_loss": self._best_loss, "stopped": 1.0}
        sums = dict.fromkeys(self._optimisers, 0.0)
        for _ in range(steps):
            counter = FlopCounterMode(display=False) if self._flops is None else None
            with counter or nullcontext():
                for side, loss in self._take_step(mixture, generator):
                    sums[side] += loss
            if counter:
                self._flops = float(counter.get_total_flops())  # every step is alike
        numbers = {f"{side}_loss": total / steps for side, total in sums.items()}
        numbers[FLOPS] = steps * (self._flops or 0.0)
        return numbers | (self._judge(aside, generator) if aside else {})

    def _take_step(self, mixture: Mixture, generator: torch.Generator) -> list[tuple[str, float]]:
        """One step of every side; their losses."""
        self._step += 1
        rate, found = self._rate(), []
        losses = self.losses(mixture, generator)
        while True:
            with self.autocast():
                side, loss = next(losses, ("", None))
            if loss is None:
                break
            found.append((side, self._descend(self._optimisers[side], rate, loss)))
        # the running mean starts as a plain mean, so that early samples do not show the random start
        keep = min(self.average, self._step / (self._step + 10))
        torch._foreach_lerp_(self._mean, [p.detach() for p in self._net.parameters()], 1 - keep)
        return found

    def autocast(self) -> AbstractContextManager[object]:
        """The precision that the settings ask for."""
        return torch.autocast("cpu", torch.bfloat16) if self.precision == "bfloat16" else nullcontext()

    def _descend(self, optimiser: torch.optim.Adam, rate: float, loss: Tensor) -> float:
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    def _rate(self) -> float:
        if not self.decay_steps:
            return self.learning_rate
        progress = min(1.0, max(0, self._step - self.hold_steps) / self.decay_steps)
        return self.learning_rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress)))

    # ------------------------------------------------------------------------------------------- early stopping

    def _set_aside(self, mixture: Mixture) -> tuple[Mixture, Mixture | None]:
        """Part own samples that validate from those that teach; the same ones in every turn."""
        own = mixture.parts[0]
        count = round(self.validation * len(own.samples)) if own.name == "own" else 0
        if not count:
            return mixture, None
        order = torch.randperm(len(own.samples), generator=stream(self._seed, "validation"))
        teaching = Part(own.name, pick(own.samples, order[count:].sort().values), own.weight)
        aside = Part(own.name, pick(own.samples, order[:count].sort().values), 1.0)
        return Mixture((teaching, *mixture.parts[1:])), Mixture((aside,))

    def _judge(self, aside: Mixture, generator: torch.Generator) -> dict[str, float]:
        """Loss of the running mean on the samples set aside; keep the best parameters."""
        with torch.no_grad(), self.averaged():
            passes = max(1, round(len(aside.parts[0].samples) / self.batch))
            losses = [loss.item() for _ in range(passes) for _, loss in self.losses(aside, generator)]
            loss = math.fsum(losses) / passes
            if loss < self._best_loss:
                self._best_loss, self._worse = loss, 0
                self._best = [p.detach().clone() for p in self._net.parameters()]
            else:
                self._worse += 1
        return {"validation_loss": loss}

    # ---------------------------------------------------------------------------------------------------- state

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside the block the network has the parameters that samples are drawn from; afterwards those that learn."""
        parameters: list[Tensor] = list(self._net.parameters())
        last = [p.detach().clone() for p in parameters]
        drawn_from = self._best if self._worse >= self.patience else self._mean if self.average else last
        with torch.no_grad():
            torch._foreach_copy_(parameters, drawn_from)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(parameters, last)

    def state_dict(self) -> Mapping[str, Tensor]:
        """Weights, their running mean, the best ones, every optimiser, the counters."""
        state = {f"net/{name}": tensor for name, tensor in self._net.state_dict().items()}
        state |= {f"mean/{i:03d}": tensor for i, tensor in enumerate(self._mean)}
        state |= {f"best/{i:03d}": tensor for i, tensor in enumerate(self._best)}
        for side, optimiser in self._optimisers.items():
            for i, values in optimiser.state_dict()["state"].items():
                state |= {f"{side}/{i}/{key}": value for key, value in values.items()}
        if self.validation:
            state["validation"] = torch.tensor([self._best_loss, self._worse], dtype=torch.float64)
        return state | {"step": torch.tensor(self._step)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take a state back."""
        self._net.load_state_dict({k.removeprefix("net/"): v for k, v in state.items() if k.startswith("net/")})
        self._mean, self._best = (
            [state[name].clone() for name in sorted(state) if name.startswith(kind)] for kind in ("mean/", "best/")
        )
        self._step = int(state["step"])
        if "validation" in state:
            self._best_loss, self._worse = state["validation"][0].item(), int(state["validation"][1])
        for side, optimiser in self._optimisers.items():
            kept: dict[int, dict[str, Tensor]] = {}
            for name, tensor in state.items():
                if name.startswith(side + "/"):
                    _, i, key = name.split("/")
                    kept.setdefault(int(i), {})[key] = tensor
            optimiser.load_state_dict({"state": kept, "param_groups": optimiser.state_dict()["param_groups"]})
