"""Several discriminators of one shape, side by side in memory, so that one matrix product serves them all.

The parameters of the models become views into the stack: whatever reads or changes a model, a swap, a checkpoint, another
step, reads or changes the stack, and nothing is kept twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from coplay.models.acgan import Acgan
from coplay.nets.products import by_onednn, products
from coplay.nets.training import FLOPS, counted


class _Linear(torch.autograd.Function):
    """x Wᵀ + β for N layers at once: (N, b, in), (N, out, in), (N, out) to (N, b, out).

    Autograd's own gives ∂W as a transposed view, which the optimiser would copy; this one is laid out as W is, in memory that
    is there from step to step.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, by_weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.by_weight = by_weight
        return torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        (slope,), (x, weight) = slopes, ctx.saved_tensors
        by_x = torch.bmm(slope, weight) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return by_x, None, None, None
        return by_x, torch.bmm(slope.transpose(1, 2), x, out=ctx.by_weight), slope.sum(1), None


class Stack:
    """The discriminators of N models with equal settings.

    Args:
        models: At least one; their discriminators must be :func:`~coplay.nets.gan_pairs.stackable`.
    """

    def __init__(self, models: Sequence[Acgan]) -> None:
        self.models = list(models)
        self.nets = [model.half("discriminator") for model in models]
        self.names = [name for name, _ in self.nets[0].named_parameters()]
        own = [dict(net.named_parameters()) for net in self.nets]
        self.own = [list(named.values()) for named in own]
        self._by_name: dict[str, list[Tensor]] = {name: [named[name] for named in own] for name in self.names}
        self.parameters = {name: torch.stack([p[name].detach() for p in own]).requires_grad_() for name in self.names}
        self._by_weight = {n: torch.empty_like(p.detach()) for n, p in self.parameters.items() if p.dim() == 3}
        for i, (model, named) in enumerate(zip(models, own, strict=True)):
            for name, p in named.items():
                p.data = self.parameters[name].detach()[i]
            model.attach(self)

    @classmethod
    def of(cls, models: Sequence[Acgan]) -> Stack:
        """The stack of these models: the one they are in, or a new one."""
        there = models[0].stack
        if not isinstance(there, cls) or len(there.models) != len(models):
            return cls(models)
        pairs = zip(there.models, models, strict=True)
        if all(a is b and a.stack is there for a, b in pairs):
            return there
        return cls(models)

    def _leaves(self, rows: int) -> dict[str, list[Tensor]]:
        """By name, what so many rows are multiplied by: every model's own, each by itself, or the one tensor for all."""
        found = {}
        for name, own in self._by_name.items():
            weight = self._by_name[f"{name.rpartition('.')[0]}.weight"][0]
            found[name] = own if by_onednn(rows, weight) else [self.parameters[name]]
        return found

    def discriminate(self, images: Tensor, frozen: bool = False) -> Tensor:
        """Logits of shape (N, b, 1 + C) for images of shape (N, b, *shape) in the variable's range."""
        x, leaves = self.models[0].centred(images), self._leaves(images.shape[1])
        for i, layer in enumerate(self.nets[0].children()):
            if not isinstance(layer, nn.Linear):
                x = layer(x)
                continue
            name = f"{i}.weight"
            weights, biases = ([p.detach() if frozen else p for p in leaves[of]] for of in (name, f"{i}.bias"))
            each = leaves[name] is self._by_name[name]
            x = products(x, weights, biases) if each else _Linear.apply(x, *weights, *biases, self._by_weight[name])
        return x

    def learn_to_judge(self, images: Tensor, real_classes: Tensor | None, fake_classes: Tensor | None) -> Tensor:
        """One step of every discriminator; images (N, 2b, *shape), real ones first. Losses before the step, shape (N,)."""
        losses = self.models[0].losses.discriminator(self.discriminate(images), real_classes, fake_classes)
        leaves = self._leaves(images.shape[1])
        found = iter(torch.autograd.grad(losses.sum(), [p for its in leaves.values() for p in its]))
        slopes = [
            [next(found) for _ in its] if its is self._by_name[name] else next(found).unbind()
            for name, its in leaves.items()
        ]
        self._descend([[its[i] for its in slopes] for i in range(len(self.models))])
        return losses.detach()

    def _descend(self, slopes: Sequence[Sequence[Tensor]]) -> None:
        """One step of every model's own Adam; those that have a state take it in a single call, to the same bits."""
        ready: list[tuple[Tensor, Tensor, dict[str, Tensor]]] = []
        for model, own, its in zip(self.models, self.own, slopes, strict=True):
            optimiser = model.optimiser("discriminator")
            if all(p in optimiser.state for p in own):
                ready += [(p, slope, optimiser.state[p]) for p, slope in zip(own, its, strict=True)]
                continue
            for p, slope in zip(own, its, strict=True):
                p.grad = slope
            optimiser.step()
            optimiser.zero_grad()
        if ready:
            group = self.models[0].optimiser("discriminator").param_groups[0]
            means, squares, steps = (
                [state[name] for _, _, state in ready] for name in ("exp_avg", "exp_avg_sq", "step")
            )
            with torch.no_grad():
                adam(
                    [p for p, _, _ in ready], [slope for _, slope, _ in ready], means, squares, [], steps, foreach=False,
                    fused=True, amsgrad=False, maximize=False, beta1=group["betas"][0], beta2=group["betas"][1],
                    lr=group["lr"], weight_decay=0.0, eps=group["eps"],
                )  # fmt: skip

    def feedback(self, images: Tensor, classes: Tensor | None) -> tuple[Tensor, Tensor]:
        """Every worker's F = ∂ΣB̃/∂x, shape (N, b, *shape), and its mean B̃, shape (N,)."""
        images = images.detach().requires_grad_()
        losses = self.models[0].losses.generator(self.discriminate(images, frozen=True), classes)
        (found,) = torch.autograd.grad(losses.sum(), images)
        return found, losses.detach().mean(-1)


_MOST = 10  # more gain nothing, and gradients beyond 32 MiB would be new pages every time

Batch = tuple[Tensor, Tensor | None]
"""Images of shape (b, *shape) in the variable's range, and their classes of shape (b,), if there are any."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """What one discriminator gets in one iteration.

    Args:
        real: A batch of its own data.
        fake: X^(d), to learn from.
        shown: X^(g), to give feedback on.
    """

    real: Batch
    fake: Batch
    shown: Batch


def feedback_alone(model: Acgan, lesson: Lesson) -> tuple[Tensor, dict[str, float]]:
    """L steps on the lesson, then F for what is shown; with both losses and the operations it took."""
    with counted(model.flops, "feedback") as flops:
        for _ in range(model.discriminator_steps):
            loss = model.learn_to_judge(*lesson.real, *lesson.fake)
        found, own = model.feedback(*lesson.shown)
    return found, {"discriminator_loss": loss, "generator_loss": own, FLOPS: flops[0]}


def feedback_together(models: Sequence[Acgan], lessons: Sequence[Lesson]) -> list[tuple[Tensor, dict[str, float]]]:
    """The same for several models of equal settings, as one product over all, or over up to ten at a time."""
    if len(models) > _MOST:
        parts = torch.arange(len(models)).tensor_split(math.ceil(len(models) / _MOST))
        return [
            one for part in parts for one in feedback_together([models[i] for i in part], [lessons[i] for i in part])
        ]
    stack = Stack.of(models)
    images = torch.cat([batch for lesson in lessons for batch in (lesson.real[0], lesson.fake[0])])
    images = images.unflatten(0, (len(lessons), -1))
    real_classes, fake_classes = (_classes([getattr(lesson, kind) for lesson in lessons]) for kind in ("real", "fake"))
    shown = torch.stack([lesson.shown[0] for lesson in lessons]), _classes([lesson.shown for lesson in lessons])
    with counted(models[0].flops, f"feedback of {len(models)}") as flops:
        for _ in range(models[0].discriminator_steps):
            losses = stack.learn_to_judge(images, real_classes, fake_classes)
        found, own = stack.feedback(*shown)
    each = flops[0] / len(models)
    return [
        (slope, {"discriminator_loss": d, "generator_loss": g, FLOPS: each})
        for slope, d, g in zip(found, losses.cpu().tolist(), own.cpu().tolist(), strict=True)
    ]


def _classes(batches: Sequence[Batch]) -> Tensor | None:
    """Shape (N, b)."""
    classes = [c for _, c in batches if c is not None]
    return torch.stack(classes) if classes else None
