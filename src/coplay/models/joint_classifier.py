"""An image and its class: p(c) p(x|c) by a hierarchical VAE and p(c|x) by a classifier (A5).

Symmetric learning: each conditional also learns from what the other completes.

    p(x|c):  from (x, c), and from x alone with c ~ p(c|x)
    p(c|x):  from (x, c), and from (x, c) ~ p(c) p(x|c)
    p(c):    from every c, observed or from p(c|x)

A conditional learns nothing from its own draws, so p(x|c) does not learn from x ~ p(x|c), nor
p(c|x) from c ~ p(c|x).

With residuals, p(c|x) learns from images that a decoder drew with details that decoders leave out:
those of a player's own image (y, c) of the same class, drawn anew each time,

    x + y − E[x | z, c],    z ~ q(z | y, c)                                                     (R)

as a bootstrap of residuals does. Details of own images stay at their player, whose p(x|c) learns
nothing from them.

References:
    Game-theoretic distributed learning of generative models for heterogeneous data collections
    (D. Schlesinger, B. Flach, 2025), arXiv:2511.01740, experiment IV-B.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple, Self

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor, nn
from torch.nn import functional as F

from coplay.core.contents import Form
from coplay.core.errors import ModelError
from coplay.core.space import Samples, Space, finite, join, pick
from coplay.models.base import OWN, Mixture, Portion
from coplay.models.conv_hvae import ConvHvae
from coplay.nets import devices, parameters
from coplay.nets.bits import with_sent_latents
from coplay.nets.convolutions import ConvolutionKind, Convolutions

_TARGET = "target of the classifier"
"""A variable beside samples inside this model: class probabilities to learn in place of classes."""


class _Own(NamedTuple):
    """A player's own images: all of them, their rows class by class, and each class's number."""

    samples: Samples
    order: Tensor
    counts: Tensor


class JointClassifier(ConvHvae):
    """A conditional hierarchical VAE with a classifier beside it.

    It also learns from samples that lack the class or the image.

    Args:
        generated: Mass of the player's own samples (x, c) ~ p(c) p(x|c) in what the classifier
            learns from, in [0, 1); 0 trains the classifier alone: in the game ``isolated``, the
            paper's *discriminative* method.
        generated_after: Steps before the classifier learns from draws of p(x|c), because an
            untrained decoder produces useless samples.
        classifier_channels: Of the classifier's first convolution; the second has twice as many.
        smoothing: Label smoothing of the classifier's loss.
        residuals: Whether the classifier learns from drawn images with residuals of own images (R),
            after ``generated_after`` steps. Real pixels only; senders should have
            ``draw = "mean"``, so that noise is not added twice.

    Example:
        >>> from coplay import Variable
        >>> image = Variable(kind="binary", shape=(8, 8))
        >>> space = Space({"image": image, "class": Variable(kind="categorical", classes=3)})
        >>> model = JointClassifier.tiny()
        >>> model.setup(space, seed=1)
        >>> model.classify(model.sample(5, torch.Generator().manual_seed(1))).shape
        torch.Size([5, 3])
    """

    learns_incomplete: ClassVar[bool] = True
    networks_travel: ClassVar[bool] = True
    citation: ClassVar[tuple[str, ...]] = ("schlesinger2025game", "flach2024symmetric")

    generated: float = Field(default=0.25, ge=0, lt=1)
    generated_after: int = Field(default=1000, ge=0)
    classifier_channels: int = Field(default=32, ge=1)
    smoothing: float = Field(default=0.0, ge=0, lt=1)
    residuals: bool = False

    _targets: Tensor | None = PrivateAttr(default=None)

    def build(self, space: Space) -> Any:
        """Build the VAE's conditionals, with the classifier beside them."""
        net = super().build(space)
        if not self._class:
            raise ModelError(
                "joint_classifier needs an image and its class; the variables are "
                f"{', '.join(space)}. Set data.variables, or the player's variables, to the image "
                "and the class"
            )
        if self.residuals and net.binary:
            raise ModelError(
                f"joint_classifier: residuals need real pixels, and '{self._image}' is "
                f"{space[self._image]}. Load grey images, or set residuals = false"
            )
        net.classifier = _classifier(
            space[self._image].shape,
            classes=net.classes,
            channels=self.classifier_channels,
            hidden=self.hidden,
            kind=self.convolutions,
        )
        return self.laid_out(net)

    def sides(self) -> Mapping[str, list[nn.Parameter]]:
        """Return the parameters of decoder, encoder and classifier."""
        return {**super().sides(), "classifier": list(self._net.classifier.parameters())}

    def losses(self, mixture: Mixture, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
        """Yield the losses of a step; the module's head says what each conditional learns from."""
        by_source = self.drawn(mixture, generator)
        parts = list(by_source.values())
        with_image = [part for part in parts if self._image in part.keys()]
        labels_alone = [part for part in parts if self._image not in part.keys()]
        grown = self._step > self.generated_after
        own_images = self._own_images(mixture) if grown and self.residuals else None
        batches = []
        for source, part in by_source.items():
            observed = self._image in part.keys()
            if self._label in part.keys() and (grown or observed):
                x, c = self._training_batch(part, generator)
                if own_images is not None and not (source == OWN and observed):
                    x = self._with_residuals(x, part[self._label], own_images, generator)
                batches.append((x, c))
        loss = torch.zeros(())
        if with_image:
            x, c = self._tensors(join([self._completed(part, generator) for part in with_image]))
            z0, z1 = with_sent_latents(with_image, *self._net.encode(x, c, generator))
            log_joint = self._net.log_joint(z0, z1, x, c)
            loss = loss - log_joint.sum() + len(x) * self._scaling.log_volume()
        for part in labels_alone:
            loss = loss - self._net.decoder.c_logits.log_softmax(0)[part[self._label]].sum()
        yield "decoder", loss / sum(map(len, parts))
        drawn = self._net.draw(self.batch, None, generator)
        yield "encoder", -self._net.log_encoder(*drawn).mean()
        share = self.generated if grown else 0.0
        z0, z1, x, c = drawn
        if share and own_images is not None:
            x = self._with_residuals(self._means(z0, z1, c), c.argmax(1), own_images, generator)
        if batches:
            loss = (1 - share) * self._wrong(*_joined(batches))
            if share:
                loss = loss + share * self._wrong(x, c)
            yield "classifier", loss
        elif share:
            yield "classifier", self._wrong(x, c)

    def validation_loss(self, samples: Samples, generator: torch.Generator) -> Tensor:
        """−log p(x, c) − log p(c|x)."""
        p = self._classified(samples).gather(1, samples[self._label][:, None])[:, 0]
        return super().validation_loss(samples, generator) - p.double().clamp_min(1e-12).log()

    @property
    def _label(self) -> str:
        """The name of the class variable."""
        return self._class or ""

    def kind_of_step(self, mixture: Mixture) -> str:
        """Return whether the classifier learns from draws, and the sources.

        Targets are left out: they cost no operations, and counting a step changes its rounding.
        """
        sources = super().kind_of_step(mixture).replace(f",{_TARGET}", "")
        age = "grown" if self._step >= self.generated_after else "young"
        return f"{age} {sources}"

    def _wrong(self, x: Tensor, c: Tensor | None) -> Tensor:
        """Mean −log p(c|x), classes one-hot."""
        assert c is not None
        return F.cross_entropy(self._net.classifier(x), c, label_smoothing=self.smoothing)

    def _training_batch(
        self, part: Samples, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Return images, and the class probabilities that are the classifier's targets."""
        x, c = self._tensors(self._completed(part, generator))
        return x, part[_TARGET] if _TARGET in part.keys() else c

    def _own_images(self, mixture: Mixture) -> _Own | None:
        """Return the player's own images with their classes, or None."""
        first = mixture.parts[0]
        whole = first.name == OWN and {self._image, self._label} <= set(first.samples.keys())
        return self._by_class(first.samples) if whole else None

    def _by_class(self, own: Samples) -> _Own:
        labels = own[self._label]
        return _Own(own, labels.argsort(stable=True), labels.bincount(minlength=self._net.classes))

    def _with_residuals(
        self, x: Tensor, classes: Tensor, of: _Own, generator: torch.Generator
    ) -> Tensor:
        """Add residuals (R) to images of shape (n, channels, H, W).

        An image of a class without own images stays as it is.
        """
        own, order, counts = of
        of_class = classes.to(counts.device)
        has_own = counts[of_class] > 0
        if not has_own.any():
            return x
        first = (counts.cumsum(0) - counts)[of_class]
        several = counts[of_class].clamp(min=1)
        nth = (torch.rand(len(x), generator=generator, dtype=torch.float64) * several).long()
        rows = order[(first + nth)[has_own]]
        y, c = self._tensors(devices.moved(pick(own, rows), self._place))
        z0, z1 = self._net.encode(y, c, generator)
        residuals = torch.zeros_like(x)
        residuals[has_own.to(x.device)] = y - self._means(z0, z1, c)
        low, high = self._space[self._image].range
        return (x + residuals).clamp(low, high)

    def _means(self, z0: Tensor, z1: Tensor, c: Tensor | None) -> Tensor:
        """E[x | z, c]; without autocast, see ``_completed``."""
        with torch.no_grad(), torch.autocast(self._place.type, enabled=False):
            means: Tensor = self._net.decoder.x_mean(z0, z1, c)
            return means

    def _completed(self, part: Samples, generator: torch.Generator) -> Samples:
        """Add the class from p(c|x) or the image from p(x|c), by the parameters that learn."""
        if self._image in part.keys() and self._label in part.keys():
            return self._space.restrict(part)
        n = len(part)
        # without autocast: it would keep casts of weights that have no gradient for later losses
        with torch.no_grad(), torch.autocast(self._place.type, enabled=False):
            if self._image in part.keys():
                logits = self._net.classifier(self._pixels(part)).float()
                drawn = devices.classes(logits.softmax(1), 1, generator)[:, 0]
                images = part[self._image]
                return self._space.samples(**{self._image: images, self._label: drawn})
            c = part[self._label]
            _, _, images = self._drawn(n, self._net.one_hot(c), 0, generator)
            return self._space.samples(**{self._image: images, self._label: c})

    def complete(self, partial: Samples, generator: torch.Generator) -> Samples:
        """Draw what is missing, the class from p(c|x) or the image from p(x|c).

        By the running mean of the parameters.
        """
        with self.averaged():
            here = devices.moved(self._scaling.standard(partial), self._place)
            completed = devices.moved(self._completed(here, generator))
        return self._scaling.completed(completed, partial)

    def classify(self, samples: Samples) -> Tensor:
        """p(c|x) for each image, shape (n, C)."""
        return self._classified(self._scaling.standard(samples))

    def _classified(self, samples: Samples) -> Tensor:
        """The same for images in standard units."""
        with self.averaged():
            return self._probabilities(self._net.classifier, samples)

    def _probabilities(self, classifier: nn.Module, samples: Samples) -> Tensor:
        with torch.no_grad():
            pixels = self._pixels(samples).split(1000)
            return torch.cat([classifier(part.to(self._place)) for part in pixels]).softmax(1).cpu()

    # -------------------------------------------------------------------- a classifier that travels

    def export_classifier(self) -> Samples:
        """Return the parameters of the p(c|x) that ``classify`` computes, as a message's payload.

        Raises:
            ModelError: A number is not finite.
        """
        with self.averaged():
            return parameters.export(parameters.named_tensors(self._net.classifier), "classifier, ")

    def classifier_forms(self) -> dict[str, Form]:
        """Return what the tensors are that :meth:`export_classifier` returns, by name."""
        named = parameters.named_tensors(self._net.classifier)
        return {name: Form(tuple(values.shape), values.dtype) for name, values in named.items()}

    def classify_by(self, part: Samples, samples: Samples, origin: str) -> Tensor:
        """p(c|x) for each image by a classifier of another player, shape (n, C).

        Args:
            part: What its ``export_classifier`` returned.
            samples: They have an image each.
            origin: The sender, for the error.

        Raises:
            ModelError: It is no classifier of these images in these classes.
        """
        other = self.check_classifier(part, origin)
        standard = self._scaling.standard(samples)
        return self._probabilities(other.to(self._place), standard)

    def check_classifier(self, part: Samples, origin: str) -> nn.Module:
        """Return the classifier of another player; its sizes are read off its parameters.

        Args:
            part: What its ``export_classifier`` returned.
            origin: The sender, for the error.

        Raises:
            ModelError: It is no classifier of these images in these classes.
        """
        try:
            state = parameters.unpack(part)
            kind: ConvolutionKind = "reference" if "0.4.weight" in state else "strided"
            with torch.device("meta"):  # initial parameters need not be drawn
                other = _classifier(
                    self._space[self._image].shape,
                    classes=self._net.classes,
                    channels=len(state["0.0.weight"]),
                    hidden=state["1.weight"].shape[1],
                    kind=kind,
                )
            other.load_state_dict(state, assign=True)
        except (KeyError, IndexError, RuntimeError, TypeError, ValueError) as error:
            raise ModelError(
                f"what came from {origin} is no classifier of these images: {error}"
            ) from error
        for name, tensor in state.items():
            if tensor.dtype != torch.float32 or not finite(tensor):
                raise ModelError(
                    f"classifier, {name}, from {origin}: expected float32 numbers, all of them "
                    f"finite, got {tensor.dtype}"
                )
        return other

    @contextmanager
    def taught(self, targets: Tensor) -> Iterator[None]:
        """Give the classifier other targets for the mixture's first part, inside the block.

        Decoder and encoder learn as before.

        Args:
            targets: Class probabilities of that part's samples, shape (n, C), rows sum to 1.
        """
        self._targets = targets
        try:
            yield
        finally:
            self._targets = None

    def learn(
        self, mixture: Mixture, steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """Take so many steps, or none if learning has stopped early."""
        if self._targets is not None:
            first, *rest = mixture.parts
            samples = first.samples.clone(recurse=False).set(_TARGET, self._targets)
            mixture = Mixture((Portion(first.name, samples, first.weight), *rest))
        return super().learn(mixture, steps, generator)

    @classmethod
    def tiny(cls) -> Self:
        """Return a model with few latents and channels."""
        return cls(
            latents=(3, 4),
            channels=2,
            hidden=8,
            batch=8,
            classifier_channels=2,
            generated_after=1,
        )


def _classifier(
    shape: tuple[int, ...], *, classes: int, channels: int, hidden: int, kind: ConvolutionKind
) -> nn.Sequential:
    """p(c|x): images of shape (n, channels, H, W) to logits (n, C)."""
    convolutions = Convolutions(shape, channels=channels, hidden=hidden, kind=kind)
    return nn.Sequential(convolutions, nn.Linear(hidden, classes))


def _joined(batches: list[tuple[Tensor, Tensor | None]]) -> tuple[Tensor, Tensor]:
    images = torch.cat([x for x, _ in batches])
    return images, torch.cat([c for _, c in batches if c is not None])
