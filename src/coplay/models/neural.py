"""What every neural model needs besides its mathematics.

That is optimizers, the schedule of their learning rate, a running mean of the parameters (an
exponential moving average), early stopping and checkpoints.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import ClassVar, Literal

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor, nn

from coplay.core.scaling import Scaling
from coplay.core.space import Samples, Space
from coplay.core.streams import isolated_seed, own_draws, stream
from coplay.models.base import OWN, LocalModel, Mixture, Portion
from coplay.nets import devices, parameters
from coplay.nets.bits import bound
from coplay.nets.training import FLOPS, counted, follow_mean, using_parameters

_VALIDATION_DRAWS = 8  # of the encoder per sample, for early stopping
_MOST_ASIDE = 20_000  # samples of all sources that early stopping looks at


class NeuralModel(LocalModel):
    """A model that takes gradient steps.

    The network of a subclass with ``scales`` works in standard units: what it learns from is
    scaled, see :mod:`coplay.core.scaling`, and the subclass scales back what it draws. Numbers, and
    pictures without an agreed range, are scaled by the samples of the first turn that has them; the
    scale is part of the state. Should later samples be far outside of it, it is fitted anew.

    A subclass builds its network, names the parameters of each side of its game, and yields the
    losses of one step.

    Args:
        batch: Samples per step.
        learning_rate: Adam's, at the start.
        hold_steps: Steps before the rate begins to fall.
        decay_steps: It then falls along a half cosine over so many steps to a twentieth and stays
            there; 0 for never.
        average: Decay per step of the running mean of parameters that samples are drawn from; 0
            draws from the last.
        precision: ``"bfloat16"`` computes matrix products and convolutions in 16 bits where torch's
            autocast does so.
        validation: Share of every source's samples, 20,000 of all at most, set aside to stop early
            by; 0 for none. Most models set nothing aside of a source that lacks a variable.
        patience: Turns without a better validation loss after which the model learns no more and
            returns to its best parameters. The count begins anew when the sources or their weights
            change.
        fused: Whether Adam updates all parameters in one pass; off only to measure what it saves.
        device: Where the network computes: ``"cpu"``, ``"cuda"`` or another name of torch's,
            ``"auto"`` for the accelerator, if the machine has one. Only on the CPU does a run
            repeat to the last bit.
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
    device: str = "cpu"

    _scaling: Scaling = PrivateAttr()
    _space: Space = PrivateAttr()  # in standard units
    _seed: int = PrivateAttr(default=0)
    _place: torch.device = PrivateAttr(default=torch.device("cpu"))
    _net: nn.Module = PrivateAttr()
    _optimisers: dict[str, torch.optim.Adam] = PrivateAttr(default_factory=dict)
    _mean: list[Tensor] = PrivateAttr(default_factory=list)
    _best: list[Tensor] = PrivateAttr(default_factory=list)
    _best_loss: float = PrivateAttr(default=math.inf)
    _worse: int = PrivateAttr(default=0)
    _step: int = PrivateAttr(default=0)
    _sources: dict[str, float] = PrivateAttr(default_factory=dict)
    _flops: dict[str, float] = PrivateAttr(default_factory=dict)

    scales: ClassVar[bool] = False
    """Whether the network works in standard units."""

    validates_incomplete: ClassVar[bool] = False
    """Whether early stopping can use samples that lack variables."""

    def unscaled(self, space: Space) -> Collection[str]:
        """Return the names of variables that the network takes as they are."""
        return [name for name in space if not self.scales or space[name].kind not in self.kinds]

    @property
    def scales_by_data(self) -> bool:
        """Whether its units follow from what it learned, so that its networks fit no other's."""
        return bool(self._scaling.by_data)

    @abstractmethod
    def build(self, space: Space) -> nn.Module:
        """Build the network; torch's global generator is seeded while this runs.

        Args:
            space: The variables in standard units.

        Raises:
            ModelError: The model cannot live on this space.
        """

    @abstractmethod
    def sides(self) -> Mapping[str, list[nn.Parameter]]:
        """Return the parameters that each loss moves, by side; each side has its own optimizer."""

    def reports(self) -> Sequence[str] | None:
        """Return the names of the losses, of what early stopping says, and of others."""
        losses = [f"{side}_loss" for side in self.sides()]
        return [*losses, "validation_loss", "stopped", *(self.reported_names or ())]

    def drawn(self, mixture: Mixture, generator: torch.Generator) -> dict[str, Samples]:
        """Draw one batch, as one sample set per source, on the network's device."""
        drawn = mixture.drawn(self.batch, generator)
        return {source: devices.moved(part, self._place) for source, part in drawn.items()}

    @abstractmethod
    def losses(self, mixture: Mixture, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
        """Yield the losses of one step, each with its side, in nats per sample.

        A gradient step follows each loss before the next one is computed.
        """

    def setup(self, space: Space, seed: int) -> None:
        """Build the network and its optimizers."""
        self._scaling = Scaling(space, keep=self.unscaled(space))
        self._space = self._scaling.standard_space
        self._seed = seed
        self._place = devices.resolve(self.device)
        with isolated_seed(seed), own_draws(seed):
            self._net = self.build(self._space).to(self._place)
        self._optimisers = {}
        for side, moved in self.sides().items():
            self._optimisers[side] = self.optimizer(moved)
        self._mean = self._copies()
        self._step = 0
        self._sources = {}
        self._flops = {}
        self._forget_best()

    def optimizer(self, moved: list[nn.Parameter]) -> torch.optim.Adam:
        """Return the optimizer of one side, Adam or a kind of it."""
        return torch.optim.Adam(moved, lr=self.learning_rate, fused=self.fused)

    def _copies(self) -> list[Tensor]:
        """Return copies of the present parameters."""
        return [p.detach().clone() for p in self._net.parameters()]

    def _forget_best(self) -> None:
        """Begin early stopping anew."""
        self._best = []
        self._best_loss = math.inf
        self._worse = 0

    def learn(
        self, mixture: Mixture, steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """Take so many steps, or none if learning has stopped early."""
        mixture, held_out = self._set_aside(mixture)
        volume = self._scaling.log_volume()
        if self.stopped:
            return {"validation_loss": self._best_loss + volume, "stopped": 1.0, FLOPS: 0.0}
        mixture = self.in_standard_units(mixture)
        sums: dict[str, float] = {}  # of the sides that learned
        kind = self.kind_of_step(mixture)
        for _ in range(steps):
            with counted(self._flops, kind):
                losses = self._take_step(mixture, generator)
            for side, loss in losses:
                sums[side] = sums.get(side, 0.0) + loss
        numbers = {f"{side}_loss": total / steps for side, total in sums.items()}
        numbers[FLOPS] = steps * self._flops.get(kind, 0.0)
        if held_out:
            loss = self._validate(_scaled(held_out, self._scaling))
            numbers["validation_loss"] = loss + self._scaling.log_volume()
        return numbers

    def in_standard_units(self, mixture: Mixture) -> Mixture:
        """Let the scales follow the sources, and return these in standard units."""
        sources = [part.samples for part in mixture.parts]
        if self._scaling.follow(sources, mixture.weights.tolist()):
            self._forget_best()  # the best parameters were those of other units
        self.note_scales()
        return _scaled(mixture, self._scaling)

    def note_scales(self) -> None:
        """Take note of scales that may have changed, for a subclass that needs to know."""

    def kind_of_step(self, mixture: Mixture) -> str:
        """Return a text that decides how many operations a step takes; counting is slow."""
        sources = []
        for part in mixture.parts:
            variables = ",".join(map(str, part.samples.keys()))
            # what checkpoints call the own data; a player may be called so, too
            name = {OWN: "own", "own": "player own"}.get(part.name, part.name)
            sources.append(f"{name}:{variables}")
        return " ".join(sources)

    def _take_step(self, mixture: Mixture, generator: torch.Generator) -> list[tuple[str, float]]:
        """Take one step of every side that has a loss, and return sides and losses."""
        self._step += 1
        rate = self._rate()
        taken = []
        losses = self.losses(mixture, generator)
        while True:
            with self.autocast():
                side, loss = next(losses, ("", None))
            if loss is None:
                break
            taken.append((side, self._descend(self._optimisers[side], rate, loss)))
        follow_mean(self._mean, self._net, self.average, self._step)
        return taken

    def autocast(self) -> AbstractContextManager[object]:
        """The context of the precision that the settings ask for."""
        if self.precision == "bfloat16":
            return torch.autocast(self._place.type, torch.bfloat16)
        return nullcontext()

    def _descend(self, optimizer: torch.optim.Adam, rate: float, loss: Tensor) -> float:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    def _rate(self) -> float:
        if not self.decay_steps:
            return self.learning_rate
        progress = min(1.0, max(0, self._step - self.hold_steps) / self.decay_steps)
        return self.learning_rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress)))

    # ----------------------------------------------------------------------------- early stopping

    @abstractmethod
    def validation_loss(self, samples: Samples, generator: torch.Generator) -> Tensor:
        """The loss that early stopping looks at, by the running mean; shape (n,)."""

    def _set_aside(self, mixture: Mixture) -> tuple[Mixture, Mixture | None]:
        """Split the same share off every source, always the same of own samples, for validation."""
        if not self.validation:
            return mixture, None
        learned_from = []
        held_out = []
        share = min(self.validation, _MOST_ASIDE / max(1, sum(map(len, mixture.parts))))
        for part in mixture.parts:
            count = round(share * len(part))
            generator = stream(self._seed, "validation", part.name)
            fits = self.validates_incomplete or set(self._space) <= set(part.samples.keys())
            if not count or not fits or count >= len(part):
                learned_from.append(part)
                continue
            aside = torch.randperm(len(part), generator=generator)[:count].sort().values
            held_out.append(Portion(part.name, part.picked(aside), part.weight))
            learned_from.append(part.all_but(aside).fit_for(self))
        self._note_sources({part.name: part.weight for part in mixture.parts})
        return Mixture(tuple(learned_from)), Mixture(tuple(held_out)) if held_out else None

    def _note_sources(self, sources: dict[str, float]) -> None:
        """Begin early stopping anew if the sources or their weights changed."""
        known = self._sources.keys() == sources.keys()
        if not known or any(abs(self._sources[name] - w) > 0.01 for name, w in sources.items()):
            self._forget_best()  # another mixture is another aim
        self._sources = sources

    def _validate(self, held_out: Mixture) -> float:
        """Return the running mean's loss on the held-out samples; keep the best parameters."""
        generator = stream(self._seed, "validation draws")  # the same in every turn
        total = 0.0
        for part in held_out.parts:
            losses = self.validation_loss(self._space.restrict(part.samples), generator)
            total += part.weight * losses.mean().item()
        loss = total / sum(part.weight for part in held_out.parts)
        if loss < self._best_loss:
            with self.averaged():
                self._best = self._copies()
            self._best_loss = loss
            self._worse = 0
        else:
            self._worse += 1
        return loss

    @property
    def stopped(self) -> bool:
        """Whether it learns no more and draws from its best parameters."""
        return bool(self.validation) and self._worse >= self.patience

    def go_on(self) -> None:
        """Forget that learning stopped; go on from the parameters that samples are drawn from."""
        with self.averaged():
            drawn_from = self._copies()
        if self.stopped:
            with torch.no_grad():
                torch._foreach_copy_(list(self._net.parameters()), drawn_from)
            self._mean = drawn_from
        self._forget_best()

    # -------------------------------------------------------------------------------------- state

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the network the parameters that samples are drawn from, inside the block."""
        values = self._mean if self.average else []
        if self.stopped:
            values = self._best
        with using_parameters(self._net, values):
            yield

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return weights, their running mean, the best ones, all optimizers' states, counters."""
        state = parameters.prefixed("net/", self._net.state_dict())
        state |= parameters.prefixed("mean/", parameters.in_order(self._mean))
        state |= parameters.prefixed("best/", parameters.in_order(self._best))
        for side, optimizer in self._optimisers.items():
            moments = parameters.adam_state(optimizer, _numbered(side, optimizer), "/")
            state |= parameters.prefixed("", moments)
        state |= parameters.prefixed("flops/", _numbers(self._flops))
        if self.validation:
            state["validation"] = torch.tensor([self._best_loss, self._worse], dtype=torch.float64)
            state["seed"] = torch.tensor(self._seed)  # the held-out samples follow from it
            state |= parameters.prefixed("source/", _numbers(self._sources))
        state |= parameters.prefixed("scale/", self._scaling.state_dict())
        return state | {"step": torch.tensor(self._step)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        self._net.load_state_dict(parameters.under("net/", state))
        self._mean = parameters.numbered("mean/", state, self._place)
        self._best = parameters.numbered("best/", state, self._place)
        self._step = int(state["step"])
        self._scaling.load_state_dict(parameters.under("scale/", state))
        self.note_scales()
        counts = parameters.under("flops/", state)
        self._flops = {kind: count.item() for kind, count in counts.items()}
        if "validation" in state:
            self._best_loss = state["validation"][0].item()
            self._worse = int(state["validation"][1])
            self._seed = int(state["seed"])
            weights = parameters.under("source/", state)
            self._sources = {name: weight.item() for name, weight in weights.items()}
        for side, optimizer in self._optimisers.items():
            parameters.load_adam_state(optimizer, _numbered(side, optimizer), state, "/")


def _scaled(mixture: Mixture, scaling: Scaling) -> Mixture:
    """Return a mixture in standard units."""
    parts = []
    for part in mixture.parts:
        parts.append(Portion(part.name, scaling.standard(part.samples), part.weight))
    return Mixture(tuple(parts))


def _numbers(values: Mapping[str, float]) -> dict[str, Tensor]:
    """Return numbers as tensors, float64."""
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


def _numbered(side: str, optimizer: torch.optim.Optimizer) -> dict[str, nn.Parameter]:
    """The parameters of a side, by its name and their position."""
    moved = [p for group in optimizer.param_groups for p in group["params"]]
    return {f"{side}/{i}": p for i, p in enumerate(moved)}


class LatentModel(NeuralModel):
    """A network with latents z: log p(x) follows by weighting draws of its encoder q(z|x)."""

    def log_weights(self, samples: Samples, draws: int, generator: torch.Generator) -> Tensor:
        """log p(x, z) − log q(z|x) for z ~ q(.|x), in nats; shape (draws, n).

        By the parameters that samples are drawn from, in the variables' own units.
        """
        standard = self._scaling.standard(samples)
        weights = self.standard_log_weights(standard, draws, generator)
        return weights - self._scaling.log_volume()

    @abstractmethod
    def standard_log_weights(
        self, samples: Samples, draws: int, generator: torch.Generator
    ) -> Tensor:
        """The same of samples in standard units, and in these units."""

    def validation_loss(self, samples: Samples, generator: torch.Generator) -> Tensor:
        """−log p(x), from few draws."""
        return -bound(self.standard_log_weights(samples, _VALIDATION_DRAWS, generator))
