"""A rectified flow: noise becomes a sample along nearly straight lines.

With noise ε, a sample x and a time t, a network v learns the velocity of the straight line between
them, given what is known about x (its class, or another category s):

    x_t = (1 − t) ε + t x        min  E |v(x_t, t, s) − (x − ε)|²

Samples follow dx/dt = v(x, t, s) from t = 0 to 1 in few steps, each bent by how v has changed since
the one before (two-step Adams–Bashforth), with s drawn as often as it was learned from. A sample
whose class is missing counts under classes drawn from p(class | x), which a small classifier learns
beside the flow. Without classes, clusters of what is learned from take their place: they are this
player's own, drawn in their frequencies and never sent.

References:
    Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow (X. Liu,
    C. Gong, Q. Liu, ICLR 2023), arXiv:2209.03003.
    Scaling Rectified Flow Transformers for High-Resolution Image Synthesis (P. Esser et al.,
    ICML 2024), arXiv:2403.03206, for times drawn from a logit-normal.
    Pseudo Numerical Methods for Diffusion Models on Manifolds (L. Liu et al., ICLR 2022),
    arXiv:2202.09778, for multistep methods in place of straight steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, PrivateAttr
from tensordict import TensorDict
from torch import Tensor, nn

from coplay.core.errors import ModelError
from coplay.core.space import LABEL, SOURCE, Samples, Space, Variable, join, pick
from coplay.models.base import Mixture, Portion
from coplay.models.neural import NeuralModel
from coplay.nets import devices, parameters
from coplay.nets.clusters import Clusters
from coplay.nets.conditions import Conditions
from coplay.nets.convolutions import Convolutions
from coplay.nets.flow_unet import flow_network
from coplay.nets.variables import centre_and_half_width

_ROWS = 500  # samples drawn at a time, for memory
_COUNTED = 2000  # images of a source whose missing classes are counted
_VALIDATION_TIMES = 8


class _Networks(nn.Module):
    """The flow and, where there are combinations of categories, their classifier."""

    def __init__(self, flow: nn.Module, shape: tuple[int, ...], combinations: int) -> None:
        super().__init__()
        self.flow = flow
        self.classifier: nn.Sequential | None = None
        if combinations:
            convolved = Convolutions(shape, channels=16, hidden=64, kind="strided")
            self.classifier = nn.Sequential(convolved, nn.Linear(64, combinations))


class RectifiedFlow(NeuralModel):
    """A rectified flow over one image or signal, conditional on the categories beside it.

    The image is grey, colour or binary, of any size; a signal has one axis. Real values with an
    agreed range are drawn inside it. Samples may lack the image or categories.

    Args:
        channels: Of the network's upper level; 32 make 300 thousand weights.
        steps: Evaluations of the network per sample drawn.
        solver: ``"adams"`` bends each step by how the velocity has changed since the one before,
            which is exact to second order at one evaluation a step; ``"euler"`` takes straight
            steps; ``"heun"`` takes two evaluations a step, the last at t = 1, where few were
            learned from.
        clusters: The most clusters that take the place of a class where there is none; 0 for none.
        left_out: Share of samples in [0, 1) that are learned from without their categories.
        weight_decay: AdamW's.
        network: A network of your own, ``"package.module:Class"``, called with (shape, conditions).
            It maps images of shape (n, channels, H, W), times (n,) and levels (n, conditions) to
            velocities of the images' shape; ``examples/own_flow_network.py`` has one.

    Example:
        >>> from coplay import Variable
        >>> image = Variable(kind="real", shape=(8, 8), low=0, high=1)
        >>> space = Space({"image": image, "class": Variable(kind="categorical", classes=3)})
        >>> model = RectifiedFlow.tiny()
        >>> model.setup(space, seed=1)
        >>> twos = space.samples(**{"class": torch.tensor([2, 2])})
        >>> model.complete(twos, torch.Generator().manual_seed(1))["image"].shape
        torch.Size([2, 8, 8])
    """

    kinds: ClassVar[tuple[str, ...]] = ("binary", "real")
    scales: ClassVar[bool] = True
    learns_incomplete: ClassVar[bool] = True
    citation: ClassVar[tuple[str, ...]] = ("liu2023flow",)

    batch: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    channels: int = Field(default=32, ge=4)
    steps: int = Field(default=6, ge=1)
    solver: Literal["adams", "euler", "heun"] = "adams"
    clusters: int = Field(default=40, ge=0)
    left_out: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    network: str | None = None

    _net: Any = PrivateAttr()
    _image: str = PrivateAttr()
    _conditions: Conditions = PrivateAttr()
    _clusters: Clusters = PrivateAttr()
    _clustered: dict[str, float] = PrivateAttr(default_factory=dict)

    def build(self, space: Space) -> Any:
        """Build the network of velocities and, where there are categories, their classifier."""
        self._image, levels = _image_and_categories(space)
        has_class = any(name != SOURCE for name in levels)
        clusters = 0 if has_class else self.clusters
        self._conditions = Conditions(levels, clusters)
        self._clusters = Clusters(clusters)
        self._clustered = {}
        shape = _channels_and_side(space[self._image])
        flow = flow_network(self.network, shape, self._conditions.sizes, self.channels)
        return _Networks(flow, shape, len(self._conditions.combinations) if levels else 0)

    def sides(self) -> Mapping[str, list[nn.Parameter]]:
        """Return the parameters of the flow and, where there is one, of the classifier."""
        sides = {"flow": list(self._net.flow.parameters())}
        if self._net.classifier is not None:
            sides["classifier"] = list(self._net.classifier.parameters())
        return sides

    def optimizer(self, moved: list[nn.Parameter]) -> torch.optim.Adam:
        """Return AdamW, which pulls weights towards zero beside its steps."""
        decay = self.weight_decay
        return torch.optim.AdamW(moved, lr=self.learning_rate, weight_decay=decay, fused=self.fused)

    # ----------------------------------------------------------------------------------- learning

    def learn(
        self, mixture: Mixture, steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """Take so many steps, then count how often each category has which mass."""
        numbers = super().learn(mixture, steps, generator)
        if not self.stopped:
            self._count(mixture, generator)
        return numbers

    def in_standard_units(self, mixture: Mixture) -> Mixture:
        """Return the sources in standard units; fit the clusters anew where the sources are new."""
        mixture = super().in_standard_units(mixture)
        sources = {part.name: part.weight for part in mixture.parts}
        parts = [part for part in mixture.parts if self._image in part.samples.keys()]
        if self._clusters.count and parts and sources != self._clustered:
            rows = [self._pixels(part.samples).flatten(1) for part in parts]
            weights = []
            for part in parts:
                n = len(part.samples)
                weights.append(torch.full((n,), part.weight / n))
            self._clusters.fit(torch.cat(rows), torch.cat(weights))
            self._clustered = sources
        return mixture

    def losses(self, mixture: Mixture, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
        """Yield the losses of one step, means over the batch; without an image, there is none."""
        parts = list(self.drawn(mixture, generator).values())
        with_image = [part for part in parts if self._image in part.keys()]
        if not with_image:
            return
        share = sum(map(len, with_image)) / sum(map(len, parts))
        x = torch.cat([self._pixels(part) for part in with_image])
        known = torch.cat([self._conditions.known(part) for part in with_image])
        levels = self._levels(x, known, generator)
        left_out = devices.uniform(x[:, 0, 0, 0], generator) < self.left_out
        unknown = torch.tensor(self._conditions.sizes, dtype=torch.int64).to(x.device)
        levels = torch.where(left_out[:, None], unknown, levels)
        yield "flow", share * self._error(x, levels, generator).mean()
        if self._net.classifier is not None:
            logits = self._net.classifier(x)
            yield "classifier", share * self._conditions.surprise(known, logits).mean()

    def _error(self, x: Tensor, levels: Tensor, generator: torch.Generator) -> Tensor:
        """|v(x_t, t, s) − (x − ε)|² at a random time, as a mean over pixels; shape (n,)."""
        t = devices.normal(x[:, 0, 0, 0], generator).sigmoid()
        noise = devices.normal(x, generator)
        along = torch.lerp(noise, x, t[:, None, None, None])
        velocity = self._net.flow(along, t, levels)
        return (velocity.float() - (x - noise)).square().flatten(1).mean(1)

    def _levels(self, x: Tensor, known: Tensor, generator: torch.Generator) -> Tensor:
        """Return all conditions of images: categories drawn where they are missing, and clusters.

        Before any category has been learned, what is missing stays unknown.
        """
        of = self._conditions
        lacking = of.unknown(known).any(1)
        levels = known
        if lacking.any() and of.shares.any():
            levels = known.clone()
            with torch.no_grad():
                logits = self._net.classifier(x[lacking]).float()
            levels[lacking] = of.completed(known[lacking], logits, generator)
        if not of.clusters:
            return levels
        return torch.cat([levels, self._clusters.of(x.flatten(1))[:, None]], 1)

    def _count(self, mixture: Mixture, generator: torch.Generator) -> None:
        """Count how often the mixture has which categories and clusters.

        Where categories are missing they are those that the classifier draws, if it has learned.
        """
        of = self._conditions
        before = of.shares.clone()
        of.shares.zero_()
        for part in sorted(mixture.parts, key=self._lacks):
            lacks = self._lacks(part)
            has_image = self._image in part.samples.keys()
            if (lacks and not of.shares.any()) or (not has_image and (lacks or of.clusters)):
                continue
            stride = -(-len(part.samples) // _COUNTED)
            rows = self._scaling.standard(part.samples[::stride])
            known = of.known(rows)
            if has_image and (lacks or of.clusters):
                with self.averaged():
                    x = self._pixels(rows).to(self._place)
                    known = self._levels(x, known.to(self._place), generator).cpu()
            of.count(known, part.weight)
        if not of.shares.any():
            of.shares.copy_(before)
        else:
            of.shares /= of.shares.sum()

    def _lacks(self, part: Portion) -> bool:
        """Whether samples of a source lack a category."""
        return any(name not in part.samples.keys() for name in self._conditions.levels)

    def validation_loss(self, samples: Samples, generator: torch.Generator) -> Tensor:
        """The flow's loss at several times, by the parameters that samples are drawn from."""
        here = devices.moved(samples, self._place)
        with self.averaged(), torch.no_grad():
            x = self._pixels(here)
            levels = self._levels(x, self._conditions.known(here), generator)
            errors = [self._error(x, levels, generator) for _ in range(_VALIDATION_TIMES)]
            return torch.stack(errors).mean(0).cpu()

    # ------------------------------------------------------------------------- drawing, completing

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw categories in the frequencies of what was learned from, then images given them."""
        return self.complete(TensorDict({}, [n]), generator)

    def complete(self, partial: Samples, generator: torch.Generator) -> Samples:
        """Draw what is missing: images by the flow, categories of images by the classifier."""
        standard = devices.moved(self._scaling.standard(partial), self._place)
        parts = []
        with self.averaged(), torch.no_grad(), self.autocast():
            for start in range(0, len(partial), _ROWS):
                part = pick(standard, slice(start, start + _ROWS))
                parts.append(self._completed(part, generator))
        return self._scaling.completed(devices.moved(join(parts)), partial)

    def _completed(self, part: Samples, generator: torch.Generator) -> Samples:
        of = self._conditions
        known = of.known(part).to(self._place)
        if self._image in part.keys():
            levels = self._levels(self._pixels(part), known, generator)[:, : len(of.levels)]
            if not of.shares.any():
                levels = of.drawn(known, generator)
            image = part[self._image]
        else:
            levels = of.drawn(known, generator)
            image = self._solved(levels, generator)
        values = {name: levels[:, i] for i, name in enumerate(of.levels)}
        return self._space.samples(**{self._image: image, **values}).select(*self._space)

    def _solved(self, levels: Tensor, generator: torch.Generator) -> Tensor:
        """Follow the velocity from noise to images, in equal steps; values of the variable."""
        v = self._space[self._image]
        n = len(levels)
        x = torch.randn(n, *_channels_and_side(v), generator=generator).to(self._place)
        taken = 2 if self.solver == "heun" else 1
        count = max(1, self.steps // taken)
        before: Tensor | None = None
        for i in range(count):
            velocity = self._velocity(x, i / count, levels)
            step = velocity / count
            if self.solver == "heun":
                step = (step + self._velocity(x + step, (i + 1) / count, levels) / count) / 2
            elif self.solver == "adams" and before is not None:
                step = (1.5 * velocity - 0.5 * before) / count
            before = velocity
            x = x + step
        return self._values_of(x, v)

    def _velocity(self, x: Tensor, t: float, levels: Tensor) -> Tensor:
        time = torch.full((len(x),), t, device=x.device)
        velocity: Tensor = self._net.flow(x, time, levels)
        return velocity.float()

    def _pixels(self, samples: Samples) -> Tensor:
        """Return images in the flow's units, shape (n, channels, H, W), bits as −1 and 1."""
        v = self._space[self._image]
        centre, half_width = (0.5, 0.5) if v.kind == "binary" else centre_and_half_width(v)
        values = (samples[self._image].float() - centre) / half_width
        return values.reshape(len(values), *_channels_and_side(v))

    def _values_of(self, x: Tensor, v: Variable) -> Tensor:
        """Undo :meth:`_pixels`; a bit is 1 where the flow ended above 0."""
        x = x.reshape(len(x), *v.shape)
        if v.kind == "binary":
            return (x > 0).to(v.dtypes[0])
        centre, half_width = centre_and_half_width(v)
        return (x * half_width + centre).clamp(*v.range)

    def classify(self, samples: Samples) -> Tensor:
        """p(class | the image) by the classifier, shape (n, C); a given class is ignored.

        Raises:
            ModelError: There is no class.
        """
        of = self._conditions
        if LABEL not in of.levels:
            raise ModelError(
                f"rectified_flow can only tell a category called '{LABEL}'; the variables are "
                f"{', '.join(self._space)}"
            )
        others = devices.moved(self._scaling.standard(samples).exclude(LABEL), self._place)
        classes = of.levels[LABEL]
        place = list(of.levels).index(LABEL)
        probabilities = []
        with self.averaged(), torch.no_grad():
            for part in others.split(_ROWS):
                agreeing = of.agreeing(of.known(part).to(self._place))
                logits = self._net.classifier(self._pixels(part)).float()
                joint = logits.masked_fill(~agreeing, -math.inf).softmax(1).cpu()
                each = torch.zeros(len(part), classes)
                probabilities.append(each.index_add(1, of.combinations[:, place], joint))
        return torch.cat(probabilities)

    # -------------------------------------------------------------------------------------- state

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return what every network has, the frequencies of conditions, and the clusters."""
        state = dict(super().state_dict())
        state["shares"] = self._conditions.shares
        state |= parameters.prefixed("clusters/", self._clusters.state_dict())
        # as exact as they are compared: what a resumed run reads must not look like a new mixture
        sources = {
            name: torch.tensor(weight, dtype=torch.float64)
            for name, weight in self._clustered.items()
        }
        return state | parameters.prefixed("clustered/", sources)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        super().load_state_dict(state)
        self._conditions.shares = state["shares"].clone()
        self._clusters.load_state_dict(parameters.under("clusters/", state))
        sources = parameters.under("clustered/", state)
        self._clustered = {name: weight.item() for name, weight in sources.items()}

    @classmethod
    def tiny(cls) -> Self:
        """Return a model with few channels and clusters."""
        return cls(channels=4, batch=16, clusters=2)


def _channels_and_side(v: Variable) -> tuple[int, int, int]:
    """Return channels, height and width of an image, or of a signal as an image of height 1."""
    return (*(1,) * (3 - len(v.shape)), *v.shape)  # type: ignore[return-value]


def _image_and_categories(space: Space) -> tuple[str, dict[str, int]]:
    """Return the name of a space's one image or signal, and the levels of each category.

    Raises:
        ModelError: There are other variables, no image, or more than one.
    """
    levels = {}
    for name in space:
        classes = space[name].classes
        if classes and not space[name].shape:
            levels[name] = classes
    images = [name for name in space if name not in levels]
    v = space[images[0]] if images else None
    if (
        len(images) != 1
        or v is None
        or v.kind not in ("binary", "real")
        or not 1 <= len(v.shape) <= 3
    ):
        has = ", ".join(f"'{name}' ({space[name]})" for name in space)
        raise ModelError(
            "rectified_flow needs one image or signal of real values or bits, with any number of "
            f"categories beside it; the variables are {has}"
        )
    return images[0], levels
