"""Several discriminators of one shape, side by side in memory: one matrix product serves them all.

The parameters of the models become views into the stack: whatever reads or changes a model, a swap,
a checkpoint, another step, reads or changes the stack, and nothing is in memory twice.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from coplay.core.errors import FAILURES
from coplay.core.surroundings import settings_restored
from coplay.models.acgan import Acgan
from coplay.nets.plain_layers import chain_layout
from coplay.nets.products import by_onednn, products
from coplay.nets.training import FLOPS, counted


class _Linear(torch.autograd.Function):
    """x Wᵀ + β for N layers at once: (N, b, in), (N, out, in), (N, out) to (N, b, out).

    Autograd's own returns ∂W as a transposed view, which the optimizer would copy; this one is laid
    out as W is, in memory that is reused from step to step.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, by_weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.by_weight = by_weight
        return torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))

    @staticmethod
    def backward(
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        by_x = torch.bmm(gradient, weight) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return by_x, None, None, None
        by_weight = torch.bmm(gradient.transpose(1, 2), x, out=ctx.by_weight)
        return by_x, by_weight, gradient.sum(1), None


_STEPS = (
    "half",
    "optimiser",
    "centred",
    "losses",
    "discriminate",
    "discriminate_both",
    "learn_to_judge",
    "feedback",
)
"""What a stack does in a model's stead, so a model with another of these steps by itself."""


def stack_key(model: Acgan) -> Hashable | None:
    """Return what models of one stack have in common; None for a model that must step alone."""
    return None if takes_own_steps(model) else chain_layout(model.half("discriminator"))


def takes_own_steps(model: Acgan) -> bool:
    """Whether a model's class has steps of its own, which nothing may take in its stead."""
    return any(getattr(type(model), name) is not getattr(Acgan, name) for name in _STEPS)


class Stack:
    """The discriminators of N models with equal settings.

    Args:
        models: At least one; their :func:`stack_key` must be the same, and not None.
    """

    def __init__(self, models: Sequence[Acgan]) -> None:
        self.models = list(models)
        self.nets = [model.half("discriminator") for model in models]
        self.names = [name for name, _ in self.nets[0].named_parameters()]
        own = [dict(net.named_parameters()) for net in self.nets]
        self.own = [list(named.values()) for named in own]
        self._by_name: dict[str, list[Tensor]] = {}
        self.parameters: dict[str, Tensor] = {}
        self._by_weight: dict[str, Tensor] = {}
        for name in self.names:
            self._by_name[name] = [named[name] for named in own]
            stacked = torch.stack([p.detach() for p in self._by_name[name]])
            if stacked.dim() == 3:
                self._by_weight[name] = torch.empty_like(stacked)
            self.parameters[name] = stacked.requires_grad_()
        for i, (model, named) in enumerate(zip(models, own, strict=True)):
            for name, p in named.items():
                p.data = self.parameters[name].detach()[i]
            model.attach(self)

    @classmethod
    def of(cls, models: Sequence[Acgan]) -> Stack:
        """Return the stack of these models: the one they are in, or a new one."""
        return cls._present(models) or cls(models)

    @classmethod
    def _present(cls, models: Sequence[Acgan]) -> Stack | None:
        """Return the stack that these models, and no others, are in; None if there is none."""
        present = models[0].stack
        if not isinstance(present, cls) or len(present.models) != len(models):
            return None
        pairs = zip(present.models, models, strict=True)
        return present if all(a is b and a.stack is present for a, b in pairs) else None

    @classmethod
    def groups(cls, models: Sequence[Acgan]) -> list[tuple[bool, list[int]]]:
        """Return the places of models that can share a stack, and whether they can.

        Those that must step alone are a group, too.
        """
        if cls._present(models):
            return [(True, list(range(len(models))))]
        places: dict[Hashable | None, list[int]] = {}
        for i, model in enumerate(models):
            places.setdefault(stack_key(model), []).append(i)
        return [(key is not None, group) for key, group in places.items()]

    def _leaves(self, rows: int) -> dict[str, list[Tensor]]:
        """Return the tensors that so many rows are multiplied by, by name.

        These are every model's own parameters, each by itself, or the one tensor for all.
        """
        leaves = {}
        for name, own in self._by_name.items():
            layer = name.rpartition(".")[0]
            alone = by_onednn(rows, self._by_name[f"{layer}.weight"][0])
            leaves[name] = own if alone else [self.parameters[name]]
        return leaves

    def discriminate(self, images: Tensor, frozen: bool = False) -> Tensor:
        """Logits of shape (N, b, 1 + C) for images (N, b, *shape) in the variable's range."""
        x = self.models[0].centred(images)
        leaves = self._leaves(images.shape[1])
        for layer_name, layer in self.nets[0].named_children():
            if not isinstance(layer, nn.Linear):
                x = layer(x)
                continue
            name = f"{layer_name}.weight"
            weights = leaves[name]
            biases = leaves[f"{layer_name}.bias"]
            alone = weights is self._by_name[name]
            if frozen:
                weights = [p.detach() for p in weights]
                biases = [p.detach() for p in biases]
            # a layer may come before the image is flattened: then each of its rows is one
            axes = x.shape[1:-1]
            rows = x.flatten(1, -2)
            if alone:
                x = products(rows, weights, biases)
            else:
                x = _Linear.apply(rows, *weights, *biases, self._by_weight[name])
            if len(axes) > 1:
                x = x.unflatten(1, axes)
        return x

    def learn_to_judge(
        self, images: Tensor, real_classes: Tensor | None, fake_classes: Tensor | None
    ) -> Tensor:
        """Take one step of every discriminator.

        Args:
            images: Shape (N, 2b, *shape), real ones first.
            real_classes: Shape (N, b), or None.
            fake_classes: The same.

        Returns:
            Losses before the step, shape (N,).
        """
        logits = self.discriminate(images)
        losses = self.models[0].losses.discriminator(logits, real_classes, fake_classes)
        leaves = self._leaves(images.shape[1])
        flat = [p for several in leaves.values() for p in several]
        gradients = iter(torch.autograd.grad(losses.sum(), flat))
        by_model: list[list[Tensor]] = [[] for _ in self.models]
        for name, several in leaves.items():
            if several is self._by_name[name]:
                each: Sequence[Tensor] = [next(gradients) for _ in several]
            else:
                each = next(gradients).unbind()
            for of_model, gradient in zip(by_model, each, strict=True):
                of_model.append(gradient)
        self._descend(by_model)
        return losses.detach()

    def _descend(self, gradients: Sequence[Sequence[Tensor]]) -> None:
        """Take one step of every model's own optimizer.

        Adams of the same settings that have a state take it in a single call, to the same bits.
        """
        ready: list[tuple[Tensor, Tensor, dict[str, Tensor]]] = []
        common: AdamSettings | None = None
        for model, own, of_model in zip(self.models, self.own, gradients, strict=True):
            optimizer = model.optimiser("discriminator")
            settings = AdamSettings.of(optimizer, own)
            pairs = zip(own, of_model, strict=True)
            common = common or settings
            if settings is not None and settings == common:
                ready += [(p, gradient, optimizer.state[p]) for p, gradient in pairs]
                continue
            for p, gradient in pairs:
                p.grad = gradient
            optimizer.step()
            optimizer.zero_grad()
        if common is not None:
            _adam_step(ready, common)

    def feedback(self, images: Tensor, classes: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return every worker's F = ∂ΣB̃/∂x, (N, b, *shape), and its mean B̃, shape (N,)."""
        images = images.detach().requires_grad_()
        logits = self.discriminate(images, frozen=True)
        losses = self.models[0].losses.generator(logits, classes)
        (gradients,) = torch.autograd.grad(losses.sum(), images)
        return gradients, losses.detach().mean(-1)


@dataclass(frozen=True)
class AdamSettings:
    """The settings of an Adam whose step can be taken together with others'.

    Args:
        lr: Learning rate.
        betas: β1 and β2.
        eps: ε.
    """

    lr: float
    betas: tuple[float, float]
    eps: float

    @classmethod
    def of(cls, optimizer: torch.optim.Optimizer, own: Sequence[Tensor]) -> AdamSettings | None:
        """Return the settings; None for an optimizer that must take its step itself.

        That is one of another class, with other parameters than ``own``, without a state yet, or
        with an option, a hook or a schedule.
        """
        if type(optimizer) is not torch.optim.Adam or len(optimizer.param_groups) > 1:
            return None
        group = optimizer.param_groups[0]
        if len(group["params"]) != len(own) or not group["fused"] or type(group["lr"]) is not float:
            return None
        moved = zip(group["params"], own, strict=True)
        if not all(a is b and b in optimizer.state for a, b in moved):
            return None
        if any(group.get(option) for option in _ADAM_OPTIONS):
            return None
        if any(vars(optimizer).get(name) for name in _STEP_HOOKS):
            return None
        return cls(group["lr"], tuple(group["betas"]), group["eps"])


_ADAM_OPTIONS = (
    "weight_decay",
    "amsgrad",
    "maximize",
    "capturable",
    "differentiable",
    "decoupled_weight_decay",
)
# a schedule replaces the optimizer's own step
_STEP_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks", "step")


def _adam_step(
    ready: Sequence[tuple[Tensor, Tensor, dict[str, Tensor]]], settings: AdamSettings
) -> None:
    """Step parameters along their gradients, with Adam's state of each, in one call."""
    with torch.no_grad():
        adam(
            [p for p, _, _ in ready],
            [gradient for _, gradient, _ in ready],
            [state["exp_avg"] for _, _, state in ready],
            [state["exp_avg_sq"] for _, _, state in ready],
            [],
            [state["step"] for _, _, state in ready],
            foreach=False,
            fused=True,
            amsgrad=False,
            maximize=False,
            beta1=settings.betas[0],
            beta2=settings.betas[1],
            lr=settings.lr,
            weight_decay=0.0,
            eps=settings.eps,
        )


# more models at a time are no faster, and gradients beyond 32 MiB would be new pages every time
_MOST = 10

Batch = tuple[Tensor, Tensor | None]
"""Images of shape (b, *shape) in the variable's range, and classes of shape (b,), if any."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """What one discriminator receives in one iteration.

    Args:
        real: A batch of its own data.
        fake: X^(d), to learn from.
        shown: X^(g), to return feedback on.
    """

    real: Batch
    fake: Batch
    shown: Batch


def feedback_alone(model: Acgan, lesson: Lesson) -> tuple[Tensor, dict[str, float]]:
    """Take L steps on the lesson, then compute F for what is shown.

    Returns:
        F, and by name both losses and the operations it took.
    """
    with settings_restored(), counted(model.flops, "feedback") as flops:
        for _ in range(model.discriminator_steps):
            loss = model.learn_to_judge(*lesson.real, *lesson.fake)
        feedback, generator_loss = model.feedback(*lesson.shown)
    numbers = {"discriminator_loss": loss, "generator_loss": generator_loss, FLOPS: flops[0]}
    return feedback, numbers


def feedback_together(
    models: Sequence[Acgan], lessons: Sequence[Lesson]
) -> list[tuple[Tensor, dict[str, float]] | BaseException]:
    """Do what :func:`feedback_alone` does for several models, in their order.

    Models that can share a stack take one product over up to ten of them at a time; any other takes
    its steps alone. An error is that of the models that it happened to.
    """
    answers: dict[int, tuple[Tensor, dict[str, float]] | BaseException] = {}
    count = math.ceil(len(models) / _MOST)
    for part in torch.arange(len(models)).tensor_split(count):
        places = part.tolist()
        for together, group in Stack.groups([models[i] for i in places]):
            members = [[places[i] for i in group]]
            if not together:
                members = [[places[i]] for i in group]
            step = _feedback_stacked if together else _feedback_of_one
            for some in members:
                try:
                    results = step([models[i] for i in some], [lessons[i] for i in some])
                    answers |= dict(zip(some, results, strict=True))
                except FAILURES as error:
                    answers |= dict.fromkeys(some, error)
    return [answers[i] for i in range(len(models))]


def _feedback_of_one(
    models: Sequence[Acgan], lessons: Sequence[Lesson]
) -> list[tuple[Tensor, dict[str, float]]]:
    return [feedback_alone(models[0], lessons[0])]


def _feedback_stacked(
    models: Sequence[Acgan], lessons: Sequence[Lesson]
) -> list[tuple[Tensor, dict[str, float]]]:
    """Take the steps of models that share a stack, as one product over all of them."""
    stack = Stack.of(models)
    batches = []
    for lesson in lessons:
        batches.append(lesson.real[0])
        batches.append(lesson.fake[0])
    images = torch.cat(batches).unflatten(0, (len(lessons), -1))
    real_classes = _classes([lesson.real for lesson in lessons])
    fake_classes = _classes([lesson.fake for lesson in lessons])
    shown = torch.stack([lesson.shown[0] for lesson in lessons])
    shown_classes = _classes([lesson.shown for lesson in lessons])
    with counted(models[0].flops, f"feedback of {len(models)}") as flops:
        for _ in range(models[0].discriminator_steps):
            losses = stack.learn_to_judge(images, real_classes, fake_classes)
        feedback, generator_losses = stack.feedback(shown, shown_classes)
    flops_each = flops[0] / len(models)
    answers: list[tuple[Tensor, dict[str, float]]] = []
    reported = zip(losses.cpu().tolist(), generator_losses.cpu().tolist(), strict=True)
    for gradient, (d, g) in zip(feedback, reported, strict=True):
        numbers = {"discriminator_loss": d, "generator_loss": g, FLOPS: flops_each}
        answers.append((gradient, numbers))
    return answers


def _classes(batches: Sequence[Batch]) -> Tensor | None:
    """Return the classes of N batches, shape (N, b), if there are any."""
    classes = [c for _, c in batches if c is not None]
    return torch.stack(classes) if classes else None
