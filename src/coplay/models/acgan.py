"""A generator and a discriminator that also classifies: the GAN that MD-GAN takes apart.

    D:  min  E_real[−log σ(D(x))] + E_fake[−log(1 − σ(D(x)))]
             + E_real[−log D_c(x)] + E_fake[−log D_c(x)]
    G:  min  E_fake[−log σ(D(x))]  (or E_fake[log(1 − σ(D(x)))], saturating)
             + E_fake[−log D_c(x)]

Without a class among its variables, the class terms drop out and this is the plain GAN.

Each half is built when it is first used, so a worker that only discriminates holds no generator.

References:
    Conditional Image Synthesis with Auxiliary Classifier GANs (A. Odena, C. Olah, J. Shlens,
    ICML 2017), arXiv:1610.09585.
    MD-GAN: Multi-Discriminator Generative Adversarial Networks for Distributed Datasets (C. Hardy,
    E. Le Merrer, B. Sericola, IPDPS 2019), arXiv:1811.03850.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, PrivateAttr
from tensordict import TensorDict
from torch import Tensor, nn

from coplay.core.space import Samples, Space
from coplay.models.base import LocalModel, Mixture, bounded_image_and_class
from coplay.nets import devices, parameters
from coplay.nets.gan_builder import Half, PairBuilder
from coplay.nets.gan_halves import Halves, Moments
from coplay.nets.gan_losses import GanLosses
from coplay.nets.gan_pairs import ClassInput, of_batches, treats_each_sample_by_itself
from coplay.nets.pixels import PixelRange, with_real_pixels
from coplay.nets.training import FLOPS, counted, frozen

_OF_NETWORKS = ("network", "generator", "discriminator", "latent", "class_input")
_ROWS = 1000  # samples drawn at a time, for memory
_FLOPS_PREFIX = "flops/"  # of keys of a state


class Acgan(LocalModel):
    """A pair of networks over one image, binary or real in a finite range, and its class, if any.

    Args:
        network: ``"mlp"`` or ``"cnn"``, the pairs of the MD-GAN paper; ignored by a half that is
            given by name.
        generator: A network of your own, ``"package.module:Class"``, called with (latent, classes,
            shape).
        discriminator: The same, called with (classes, shape). ``nets/gan_pairs.py`` says what they
            map to what.
        class_input: How a class enters the pair's generator: ``"shift"``, as a vector that noise is
            multiplied by and another that is added, or ``"scale"``, by the first alone, as in the
            code that MD-GAN's authors built on; then classes take many more steps to hold.
        latent: Size of the noise.
        batch: Samples per step, b of the paper.
        discriminator_steps: Steps of the discriminator per step of the generator, L of the paper.
        loss: The generator's: ``"non_saturating"`` −log D, or ``"saturating"`` log(1 − D).
        class_term: Whether the losses have their class terms; without them the class is still the
            generator's input.
        learning_rate: Adam's, for both.
        momentum: Adam's β1.
        average: Decay per step of the running mean of the generator's parameters that samples are
            drawn from; 0 draws from the last parameters. It costs memory where the generator
            learns, and does not change learning.
        device: Where the networks compute: ``"cpu"``, ``"cuda"`` or another name of torch's,
            ``"auto"`` for the accelerator, if the machine has one. Only on the CPU does a run
            repeat to the last bit.

    Example:
        >>> from coplay import Variable
        >>> space = Space({"image": Variable(kind="real", shape=(4, 4), low=0, high=1),
        ...                "class": Variable(kind="categorical", classes=3)})
        >>> model = Acgan.tiny()
        >>> model.setup(space, seed=1)
        >>> drawn = model.sample(5, torch.Generator().manual_seed(1))
        >>> drawn["image"].shape, drawn["class"].shape
        (torch.Size([5, 4, 4]), torch.Size([5]))
    """

    kinds: ClassVar[tuple[str, ...]] = ("binary", "real")
    networks_travel: ClassVar[bool] = True
    reported_names: ClassVar[tuple[str, ...] | None] = ("discriminator_loss", "generator_loss")
    citation: ClassVar[tuple[str, ...]] = ("odena2017acgan", "hardy2019mdgan")

    network: Literal["mlp", "cnn"] = "mlp"
    generator: str | None = None
    discriminator: str | None = None
    class_input: ClassInput = "shift"
    latent: int = Field(default=100, ge=1)
    batch: int = Field(default=10, ge=1)
    discriminator_steps: int = Field(default=1, ge=1)
    loss: Literal["non_saturating", "saturating"] = "non_saturating"
    class_term: bool = True
    learning_rate: float = Field(default=2e-4, gt=0)
    momentum: float = Field(default=0.5, ge=0, lt=1)
    average: float = Field(default=0.999, ge=0, lt=1)
    device: str = "cpu"

    _space: Space = PrivateAttr()
    _wire: Space = PrivateAttr()
    _place: torch.device = PrivateAttr(default=torch.device("cpu"))
    _dtype: torch.dtype = PrivateAttr(default=torch.float32)
    _image: str = PrivateAttr(default="")
    _class: str | None = PrivateAttr(default=None)
    _range: PixelRange = PrivateAttr()
    _halves: Halves = PrivateAttr()
    _class_counts: Tensor = PrivateAttr(default_factory=lambda: torch.zeros(0))
    _stack: object = PrivateAttr(default=None)
    _flops: dict[str, float] = PrivateAttr(default_factory=dict)

    # ------------------------------------------------------------------------------- the networks

    def setup(self, space: Space, seed: int) -> None:
        """Note the variables and check the networks; a half is built when it is first used."""
        self._space = space
        self._image, self._class = bounded_image_and_class(space, "acgan")
        self._range = PixelRange(*space[self._image].range)
        self._wire = with_real_pixels(space, self._image)
        self._class_counts = torch.zeros(self.classes, dtype=torch.float64)
        self._place = devices.resolve(self.device)
        self._stack = None
        self._flops = {}
        own = {name: getattr(self, name) for name in _OF_NETWORKS}
        builder = PairBuilder(**own, classes=self.classes, shape=self.shape)
        self._dtype = builder.check()
        self._halves = Halves(
            builder,
            seed,
            self._place,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            average=self.average,
        )

    @property
    def flops(self) -> dict[str, float]:
        """Floating-point operations per kind of step, filled by ``counted``."""
        return self._flops

    @property
    def place(self) -> torch.device:
        """The device of the networks."""
        return self._place

    @property
    def stack(self) -> object:
        """The stack that the discriminator's parameters are views into, or None."""
        return self._stack

    def attach(self, stack: object) -> None:
        """Note that the discriminator's parameters are views into a stack."""
        self._stack = stack

    def half(self, name: Half) -> nn.Module:
        """The generator or the discriminator, built at first use."""
        return self._halves[name]

    @property
    def generates(self) -> bool:
        """Whether this player has built a generator."""
        return self._halves.has("generator")

    @property
    def builder(self) -> PairBuilder:
        """How the halves are made; it knows their sizes before they are."""
        return self._halves.builder

    def optimiser(self, name: Half) -> torch.optim.Adam:
        """Return Adam of one half."""
        return self._halves.optimiser(name)

    @property
    def classes(self) -> int:
        """The number of classes; 0 without."""
        return (self._space[self._class].classes or 0) if self._class else 0

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return self._space[self._image].shape

    @property
    def wire(self) -> Space:
        """The space of generated batches: the samples', but a bit is a number in [0, 1]."""
        return self._wire

    # --------------------------------------------------------------------------- samples to tensors

    def pixels(self, samples: Samples) -> Tensor:
        """Images of shape (n, *shape) in the variable's range, of the networks' type and device."""
        return samples[self._image].to(self._place, self._dtype)

    def labels(self, samples: Samples) -> Tensor | None:
        """Classes of shape (n,), on the networks' device; None without."""
        return samples[self._class].to(self._place) if self._class else None

    def bundle(self, images: Tensor, classes: Tensor | None) -> Samples:
        """A sample set of images and classes, on the CPU like all that leaves a model."""
        values = {self._image: images}
        if self._class and classes is not None:
            values[self._class] = classes
        return TensorDict({name: values[name].cpu() for name in self._space}, [len(images)])

    def centred(self, images: Tensor) -> Tensor:
        """Map images from the variable's range to the networks' [-1, 1]."""
        return self._range.centred(images)

    # -------------------------------------------------------------------- one step of either side

    def generate(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Generate images in the variable's range, with their graph, and the classes asked for.

        Classes are drawn as often as real batches had them; evenly, before there was any.
        """
        return self._images_from(*self._noise_and_classes(n, generator))

    def generate_batches(
        self, n: int, generators: Sequence[torch.Generator]
    ) -> list[tuple[Tensor, Tensor | None]]:
        """Generate as many batches as there are streams, each as :meth:`generate` does.

        They take one pass, where the network is known to treat each sample by itself.
        """
        inputs = [self._noise_and_classes(n, generator) for generator in generators]
        if not treats_each_sample_by_itself(self.half("generator")):
            return [self._images_from(noise, classes) for noise, classes in inputs]
        all_noise = torch.cat([noise for noise, _ in inputs])
        classes = [c for _, c in inputs if c is not None]
        images, _ = self._images_from(all_noise, torch.cat(classes) if classes else None)
        return [(part, c) for part, (_, c) in zip(images.split(n), inputs, strict=True)]

    def _noise_and_classes(
        self, n: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Draw noise for a batch, and the classes it is to have."""
        classes = None
        if self._class:
            shares = self._class_counts
            if shares.sum() <= 0:
                shares = torch.ones_like(shares)
            classes = devices.classes(shares, n, generator).to(self._place)
        return torch.randn(n, self.latent, generator=generator).to(self._place), classes

    def _images_from(self, noise: Tensor, classes: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return self._range.restored(self.half("generator")(noise, classes)), classes

    def discriminate(self, images: Tensor) -> Tensor:
        """The discriminator's logits, shape (n, 1 + C)."""
        return self.half("discriminator")(self.centred(images))

    def discriminate_both(self, real: Tensor, fake: Tensor) -> Tensor:
        """Logits of two batches that must not see each other, real ones first.

        They take one pass together as far as layers allow it.
        """
        both = self.centred(torch.cat([real, fake]))
        return of_batches(self.half("discriminator"), both, [len(real), len(fake)])

    @property
    def losses(self) -> GanLosses:
        """The losses of both sides."""
        return GanLosses(saturating=self.loss == "saturating", class_term=self.class_term)

    def learn_to_judge(
        self, real: Tensor, real_classes: Tensor | None, fake: Tensor, fake_classes: Tensor | None
    ) -> float:
        """Take one step of the discriminator, and return its loss before the step."""
        logits = self.discriminate_both(real, fake)
        loss = self.losses.discriminator(logits, real_classes, fake_classes)
        optimizer = self.optimiser("discriminator")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    def feedback(self, images: Tensor, classes: Tensor | None) -> tuple[Tensor, float]:
        """Return F = ∂ΣB̃/∂x for a batch, one number per entry, and the mean of B̃.

        The discriminator does not change.
        """
        images = images.detach().requires_grad_()
        with frozen(self.half("discriminator")):
            loss = self.losses.generator(self.discriminate(images), classes).sum()
            (gradient,) = torch.autograd.grad(loss, images)
        return gradient, loss.item() / len(images)

    def follow(self, images: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """Take one step of the generator along given gradients of its loss by its images."""
        optimizer = self.optimiser("generator")
        optimizer.zero_grad()
        torch.autograd.backward(list(images), [g.to(self._place) for g in gradients])
        optimizer.step()
        self._halves.follow_generator()

    # ------------------------------------------------------------------------------ the black box

    def learn(
        self, mixture: Mixture, steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """Take steps of a GAN at a single site.

        A step is L steps of the discriminator, then one of the generator on fresh noise.
        """
        sums = {"discriminator_loss": 0.0, "generator_loss": 0.0}
        for _ in range(steps):
            with counted(self._flops, "step") as flops:
                losses = self._take_step(mixture, generator)
            for name, loss in losses.items():
                sums[name] += loss
        return {name: total / steps for name, total in sums.items()} | {FLOPS: steps * flops[0]}

    def _take_step(self, mixture: Mixture, generator: torch.Generator) -> dict[str, float]:
        loss = 0.0
        for _ in range(self.discriminator_steps):
            batch = self._space.restrict(mixture.batch(self.batch, generator))
            real = self.pixels(batch)
            classes = self.labels(batch)
            if classes is not None:
                self._class_counts += torch.bincount(classes.cpu(), minlength=self.classes)
            with torch.no_grad():
                fake, wanted = self.generate(self.batch, generator)
            loss += self.learn_to_judge(real, classes, fake, wanted) / self.discriminator_steps
        images, wanted = self.generate(self.batch, generator)
        gradient, generator_loss = self.feedback(images, wanted)
        self.follow([images], [gradient / self.batch])
        return {"discriminator_loss": loss, "generator_loss": generator_loss}

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw from the running mean of the generator's parameters.

        Binary images are drawn pixel by pixel. Layers of a network of your own that normalise by
        their batch use the statistics that they gathered while learning.
        """
        with self._halves.averaged(), torch.no_grad():
            counts = [min(_ROWS, n - start) for start in range(0, n, _ROWS)]
            parts = [self.generate(count, generator) for count in counts]
        return self._samples_of(parts, generator)

    def sample_given(self, classes: Tensor | None, n: int, generator: torch.Generator) -> Samples:
        """Draw images of given classes, shape (n,); None where there are no classes."""
        if classes is None:
            return self.sample(n, generator)
        parts = []
        with self._halves.averaged(), torch.no_grad():
            for some in classes.split(_ROWS):
                noise = torch.randn(len(some), self.latent, generator=generator).to(self._place)
                parts.append(self._images_from(noise, some.to(self._place)))
        return self._samples_of(parts, generator)

    def _samples_of(
        self, parts: Sequence[tuple[Tensor, Tensor | None]], generator: torch.Generator
    ) -> Samples:
        """Return batches of images and classes as samples; bits are drawn pixel by pixel."""
        v = self._space[self._image]
        images = torch.cat([image for image, _ in parts]).clamp(*v.range)
        if v.kind == "binary":
            images = devices.uniform(images, generator) < images
        classes = [c for _, c in parts if c is not None]
        return self.bundle(images.to(v.dtypes[0]), torch.cat(classes) if classes else None)

    # ------------------------------------------------------------------------- what travels, state

    def export(
        self, halves: Sequence[Half], buffers: bool = True, moments: bool = False
    ) -> Samples:
        """Return parameters as the payload of a message, see :meth:`Halves.export`."""
        return self._halves.export(halves, buffers=buffers, moments=moments)

    def take(self, part: Samples, origin: str, moments: Moments = "keep") -> None:
        """Load in place what :meth:`export` returned, see :meth:`Halves.load`."""
        self._halves.load(part, origin, moments)

    def average_of(self, parts: Sequence[Samples], weights: Tensor) -> None:
        """Become the weighted mean of exported pairs; weights of shape (N,) sum to 1."""
        self.take(parameters.average_of(parts, weights), "the average")

    def state_dict(self) -> Mapping[str, Tensor]:
        """Both networks with all that belongs to them, and the counters."""
        state = self._halves.state_dict()
        state["seen"] = self._class_counts.clone()
        for kind, count in self._flops.items():
            state[_FLOPS_PREFIX + kind] = torch.tensor(count, dtype=torch.float64)
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        self._halves.load_state_dict(state)
        self._class_counts = state["seen"].clone()
        counts = parameters.under(_FLOPS_PREFIX, state)
        self._flops = {kind: count.item() for kind, count in counts.items()}

    @classmethod
    def tiny(cls) -> Self:
        """Return a model with little noise and batches of 4."""
        return cls(latent=4, batch=4)
