"""A generator and a discriminator that also tells classes: the GAN whose halves MD-GAN puts on different machines.

    D:  min  E_real[−log σ(D(x))] + E_fake[−log(1 − σ(D(x)))]  +  E_real[−log D_c(x)] + E_fake[−log D_c(x)]
    G:  min  E_fake[−log σ(D(x))]  (or E_fake[log(1 − σ(D(x)))], saturating)  +  E_fake[−log D_c(x)]

Without a class among its variables, the class terms drop out and this is the plain GAN.

Each half is built when it is first used, so a worker that only ever judges holds no generator.

References:
    Conditional Image Synthesis with Auxiliary Classifier GANs (A. Odena, C. Olah, J. Shlens, ICML 2017), arXiv:1610.09585.
    MD-GAN: Multi-Discriminator Generative Adversarial Networks for Distributed Datasets (C. Hardy, E. Le Merrer,
    B. Sericola, IPDPS 2019), arXiv:1811.03850.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
from pydantic import Field, PrivateAttr
from tensordict import TensorDict
from torch import Tensor, nn
from torch.nn import functional as F

from coplay.core.components import imported
from coplay.core.errors import ModelError
from coplay.core.space import Samples, Space, Variable
from coplay.core.streams import derive, isolated_seed
from coplay.models.base import LocalModel, Mixture, image_and_class
from coplay.nets import devices, parameters
from coplay.nets.gan_pairs import DISCRIMINATORS, GENERATORS, by_sample, parted
from coplay.nets.training import FLOPS, counted, follow_mean, frozen, using_parameters

Half = Literal["generator", "discriminator"]


class Size(NamedTuple):
    """How large a network is.

    Args:
        parameters: Numbers, |w| or |θ| of the paper.
        tensors: Of how many tensors.
        buffer_bytes: Bytes of what is no parameter, such as the statistics of batch normalisation.
    """

    parameters: int
    tensors: int
    buffer_bytes: int


_HALVES: tuple[Half, ...] = ("generator", "discriminator")


class Acgan(LocalModel):
    """A pair of networks over one image (binary, or real with a finite range), and its class where the player learns one.

    Args:
        network: ``"mlp"`` or ``"cnn"``, the pairs of the MD-GAN paper; ignored by a half that is given by name.
        generator: A network of your own, ``"package.module:Class"``, called with (latent, classes, shape).
        discriminator: The same, called with (classes, shape). ``nets/gan_pairs.py`` says what they map to what.
        latent: Size of the noise.
        batch: Samples per step, b of the paper.
        discriminator_steps: Steps of the discriminator per step of the generator, L of the paper.
        loss: The generator's: ``"non_saturating"`` −log D, or ``"saturating"`` log(1 − D).
        class_term: Whether the losses have their class terms; without them the class is still the generator's input.
        learning_rate: Adam's, for both.
        momentum: Adam's β1.
        average: Decay per step of the running mean of the generator's parameters that samples are drawn from; 0 draws from
            the last. It costs memory where the generator learns, and changes nothing in learning.
        device: Where the networks compute: ``"cpu"``, ``"cuda"`` or another name of torch's, ``"auto"`` for the accelerator, if
            the machine has one. Only on the CPU does a run repeat to the last bit.

    Example:
        >>> space = Space({"image": Variable(kind="real", shape=(4, 4), low=0, high=1),
        ...                "class": Variable(kind="categorical", classes=3)})
        >>> model = Acgan.tiny()
        >>> model.setup(space, seed=1)
        >>> drawn = model.sample(5, torch.Generator().manual_seed(1))
        >>> drawn["image"].shape, drawn["class"].shape
        (torch.Size([5, 4, 4]), torch.Size([5]))
    """

    kinds: ClassVar[tuple[str, ...]] = ("binary", "real")
    citation: ClassVar[tuple[str, ...]] = ("odena2017acgan", "hardy2019mdgan")

    network: Literal["mlp", "cnn"] = "mlp"
    generator: str | None = None
    discriminator: str | None = None
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
    _seed: int = PrivateAttr(default=0)
    _place: torch.device = PrivateAttr(default=torch.device("cpu"))
    _dtype: torch.dtype = PrivateAttr(default=torch.float32)
    _image: str = PrivateAttr(default="")
    _class: str | None = PrivateAttr(default=None)
    _halves: dict[str, nn.Module] = PrivateAttr(default_factory=dict)
    _optimisers: dict[str, torch.optim.Adam] = PrivateAttr(default_factory=dict)
    _mean: list[Tensor] = PrivateAttr(default_factory=list)
    _step: int = PrivateAttr(default=0)
    _seen: Tensor = PrivateAttr(default_factory=lambda: torch.zeros(0))
    _stack: Any = PrivateAttr(default=None)
    _flops: dict[str, float] = PrivateAttr(default_factory=dict)

    # ----------------------------------------------------------------------------------------------- the networks

    def setup(self, space: Space, seed: int) -> None:
        """Note the variables; a half is built when it is first used."""
        self._space, self._seed, self._place = space, seed, devices.resolve(self.device)
        self._image, self._class = _bounded_image_and_class(space)
        low, high = space[self._image].range
        image = Variable(kind="real", shape=self.shape, low=low, high=high)
        self._wire = Space({name: image if name == self._image else space[name] for name in space})
        self._halves, self._optimisers, self._mean, self._step, self._stack = {}, {}, [], 0, None
        self._flops = {}
        self._seen = torch.zeros(self.classes, dtype=torch.float64)
        self._check_networks()

    @property
    def flops(self) -> dict[str, float]:
        """Floating-point operations of a step of each kind that was counted; filled by who counts."""
        return self._flops

    @property
    def place(self) -> torch.device:
        """Where the networks are."""
        return self._place

    @property
    def stack(self) -> Any:
        """The stack that the discriminator's parameters lie in, if any."""
        return self._stack

    def lie_in(self, stack: Any) -> None:
        """Note that the discriminator's parameters are views into a stack."""
        self._stack = stack

    def _check_networks(self) -> None:
        """Both halves must fit the image and each other; tried without memory on torch's meta device."""
        try:
            with torch.device("meta"):
                images = self._build("generator")(torch.empty(2, self.latent), self._some_classes(2))
                self._dtype = images.dtype
                found = tuple(images.shape)
                logits = self._build("discriminator")(torch.empty(2, *self.shape, dtype=images.dtype))
        except ModelError:
            raise
        except Exception as error:  # networks may be foreign code
            raise ModelError(f"the networks do not fit an image of shape {self.shape}: {error}") from error
        if found != (2, *self.shape):
            raise ModelError(f"the generator gives {found[1:]} for an image of shape {self.shape}")
        if tuple(logits.shape) != (2, 1 + self.classes):
            raise ModelError(
                f"the discriminator gives {tuple(logits.shape[1:])} logits; expected 1 for real or generated and "
                f"{self.classes} for the classes"
            )

    def _some_classes(self, n: int) -> Tensor | None:
        return torch.zeros(n, dtype=torch.int64) if self._class else None

    def _build(self, half: str) -> nn.Module:
        if half == "generator":
            make: Callable[..., Any] = _named(self.generator) if self.generator else GENERATORS[self.network]
            net: nn.Module = make(self.latent, self.classes, self.shape)
        else:
            make = _named(self.discriminator) if self.discriminator else DISCRIMINATORS[self.network]
            net = make(self.classes, self.shape)
        if not isinstance(net, nn.Module):
            raise ModelError(f"the {half} is no torch.nn.Module but {type(net).__name__}")
        dropout = [name for name, layer in net.named_modules() if isinstance(layer, nn.modules.dropout._DropoutNd)]
        if dropout:
            raise ModelError(
                f"the {half} has dropout ({dropout[0]}), which draws from torch's global generator, so a run would not repeat; "
                "leave it out"
            )
        return net

    def half(self, name: Half) -> nn.Module:
        """The generator or the discriminator, built at first use."""
        if name not in self._halves:
            with isolated_seed(derive(self._seed, name)):
                net = self._halves[name] = self._build(name).to(self._place)
            self._optimisers[name] = torch.optim.Adam(
                net.parameters(), lr=self.learning_rate, betas=(self.momentum, 0.999), fused=True
            )
            if name == "generator" and self.average:
                self._mean = [p.detach().clone() for p in net.parameters()]
        return self._halves[name]

    @property
    def generates(self) -> bool:
        """Whether there is a generator here; who only ever judged has none."""
        return "generator" in self._halves

    def size(self, name: Half) -> Size:
        """How large a half is; nothing is allocated for it."""
        with isolated_seed(self._seed), torch.device("meta"):
            net = self._build(name)
        counts = [p.numel() for p in net.parameters()]
        buffers = sum(b.numel() * b.element_size() for b in net.buffers())
        return Size(sum(counts), len(counts), buffers)

    def optimiser(self, name: Half) -> torch.optim.Adam:
        """Adam of one half."""
        self.half(name)
        return self._optimisers[name]

    @property
    def classes(self) -> int:
        """Number of classes; 0 without."""
        return (self._space[self._class].classes or 0) if self._class else 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image."""
        return self._space[self._image].shape

    @property
    def wire(self) -> Space:
        """The space of generated batches on their way to a discriminator: as the samples', but a bit is a number in [0, 1]."""
        return self._wire

    # ------------------------------------------------------------------------------------ one step of either side

    def pixels(self, samples: Samples) -> Tensor:
        """Images of shape (n, *shape) in the variable's range, of the type that the networks compute in, and where they do."""
        return samples[self._image].to(self._place, self._dtype)

    def labels(self, samples: Samples) -> Tensor | None:
        """Classes of shape (n,), where the networks are; None without."""
        return samples[self._class].to(self._place) if self._class else None

    def bundle(self, images: Tensor, classes: Tensor | None) -> Samples:
        """A sample set of images and classes, on the CPU as whatever leaves a model."""
        values = {self._image: images} | ({self._class: classes} if self._class and classes is not None else {})
        return TensorDict({name: values[name].cpu() for name in self._space}, batch_size=[len(images)])

    def generate(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Images in the variable's range, with their graph, and the classes they were asked to have.

        Classes are drawn as often as they were seen in real batches, evenly by who has seen none.
        """
        return self._imagined(*self._asked(n, generator))

    def generate_batches(self, n: int, generators: Sequence[torch.Generator]) -> list[tuple[Tensor, Tensor | None]]:
        """As many batches as there are streams, each as :meth:`generate` gives it.

        In one pass, where the network is known to treat each sample by itself.
        """
        asked = [self._asked(n, generator) for generator in generators]
        if not by_sample(self.half("generator")):
            return [self._imagined(noise, classes) for noise, classes in asked]
        classes = [c for _, c in asked if c is not None]
        images, _ = self._imagined(torch.cat([noise for noise, _ in asked]), torch.cat(classes) if classes else None)
        return [(part, c) for part, (_, c) in zip(images.split(n), asked, strict=True)]

    def _asked(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """What a batch begins from: noise, and the classes it is to have."""
        classes = None
        if self._class:
            shares = self._seen if self._seen.sum() > 0 else torch.ones_like(self._seen)
            classes = devices.classes(shares, n, generator).to(self._place)
        return torch.randn(n, self.latent, generator=generator).to(self._place), classes

    def _imagined(self, noise: Tensor, classes: Tensor | None) -> tuple[Tensor, Tensor | None]:
        images: Tensor = self.half("generator")(noise, classes)
        low, high = (
            torch.full((), end, dtype=images.dtype, device=images.device) for end in self._space[self._image].range
        )
        return torch.lerp(low, high, (images + 1) * 0.5), classes  # lerp ends at the limits to the last bit

    def centred(self, images: Tensor) -> Tensor:
        """From the variable's range to the networks' [-1, 1]."""
        low, high = self._space[self._image].range
        scale = 2 / (high - low)
        shift = torch.full((), -1 - low * scale, dtype=images.dtype, device=images.device)
        return torch.add(shift, images, alpha=scale)

    def judge(self, images: Tensor) -> Tensor:
        """The discriminator's logits, shape (n, 1 + C)."""
        logits: Tensor = self.half("discriminator")(self.centred(images))
        return logits

    def judge_both(self, real: Tensor, fake: Tensor) -> Tensor:
        """Logits of two batches that must not see each other, real ones first: one pass as far as layers allow it."""
        by_sample, rest = parted(self.half("discriminator"))
        seen = by_sample(self.centred(torch.cat([real, fake])))
        return torch.cat([rest(part) for part in seen.split([len(real), len(fake)])])

    def discriminator_loss(self, logits: Tensor, real_classes: Tensor | None, fake_classes: Tensor | None) -> Tensor:
        """Mean loss over two batches of equal size, real ones first.

        Logits of shape (..., 2b, 1 + C), classes of each batch (..., b); losses of shape (...).
        """
        classes = None
        if real_classes is not None and fake_classes is not None:
            classes = torch.cat([real_classes, fake_classes], -1)
        sign = torch.ones(logits.shape[-2], dtype=logits.dtype, device=logits.device)
        sign[: len(sign) // 2] = -1
        return 2 * (F.softplus(sign * logits[..., 0]) + self._wrong_class(logits, classes)).mean(-1)

    def generator_loss(self, logits: Tensor, classes: Tensor | None) -> Tensor:
        """The generator's loss B̃ per sample, from logits of shape (..., b, 1 + C); shape (..., b)."""
        real = logits[..., 0]
        adversarial = F.softplus(-real) if self.loss == "non_saturating" else -F.softplus(real)
        return adversarial + self._wrong_class(logits, classes)

    def _wrong_class(self, logits: Tensor, classes: Tensor | None) -> Tensor:
        if classes is None or not self.class_term:
            return torch.zeros(())
        return -logits[..., 1:].log_softmax(-1).gather(-1, classes[..., None])[..., 0]

    def learn_to_judge(
        self, real: Tensor, real_classes: Tensor | None, fake: Tensor, fake_classes: Tensor | None
    ) -> float:
        """One step of the discriminator; its loss before the step."""
        loss = self.discriminator_loss(self.judge_both(real, fake), real_classes, fake_classes)
        optimiser = self.optimiser("discriminator")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    def feedback(self, images: Tensor, classes: Tensor | None) -> tuple[Tensor, float]:
        """F = ∂ΣB̃/∂x for a batch, one number per entry, and the mean of B̃; the discriminator does not change."""
        images = images.detach().requires_grad_()
        with frozen(self.half("discriminator")):
            loss = self.generator_loss(self.judge(images), classes).sum()
            (found,) = torch.autograd.grad(loss, images)
        return found, loss.item() / len(images)

    def follow(self, images: Sequence[Tensor], slopes: Sequence[Tensor]) -> None:
        """One step of the generator along given derivatives of its loss by its images."""
        optimiser = self.optimiser("generator")
        optimiser.zero_grad()
        torch.autograd.backward(list(images), [slope.to(self._place) for slope in slopes])
        optimiser.step()
        self._step += 1
        if self.average:
            follow_mean(self._mean, self.half("generator"), self.average, self._step)

    # ------------------------------------------------------------------------------------------------ the black box

    def learn(self, mixture: Mixture, steps: int, generator: torch.Generator) -> Mapping[str, float]:
        """The GAN at a single site: L steps of the discriminator, then one of the generator on fresh noise."""
        sums = {"discriminator_loss": 0.0, "generator_loss": 0.0}
        for _ in range(steps):
            with counted(self._flops, "step") as flops:
                for name, loss in self._take_step(mixture, generator).items():
                    sums[name] += loss
        return {name: total / steps for name, total in sums.items()} | {FLOPS: steps * flops[0]}

    def _take_step(self, mixture: Mixture, generator: torch.Generator) -> dict[str, float]:
        loss = 0.0
        for _ in range(self.discriminator_steps):
            batch = self._space.restrict(mixture.batch(self.batch, generator))
            real, classes = self.pixels(batch), self.labels(batch)
            if classes is not None:
                self._seen += torch.bincount(classes.cpu(), minlength=self.classes)
            with torch.no_grad():
                fake, asked = self.generate(self.batch, generator)
            loss += self.learn_to_judge(real, classes, fake, asked) / self.discriminator_steps
        images, asked = self.generate(self.batch, generator)
        slope, own = self.feedback(images, asked)
        self.follow([images], [slope / self.batch])
        return {"discriminator_loss": loss, "generator_loss": own}

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw from the running mean of the generator's parameters; binary images are drawn pixel by pixel.

        Layers that normalise by their batch, of a network of your own, go by what they have seen in learning.
        """
        with self._averaged(), torch.no_grad():
            parts = [self.generate(min(1000, n - start), generator) for start in range(0, n, 1000)]
        images = torch.cat([image for image, _ in parts])
        v = self._space[self._image]
        images = images.clamp(*v.range)
        if v.kind == "binary":
            images = devices.uniform(images, generator) < images
        return self.bundle(images.to(v.dtypes[0]), torch.cat([c for _, c in parts]) if self._class else None)  # type: ignore[misc]

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Inside the block the generator has the parameters that samples are drawn from, and drawing changes no buffer."""
        net = self.half("generator")
        net.eval()
        try:
            with using_parameters(net, self._mean if self.average else []):
                yield
        finally:
            net.train()

    # ------------------------------------------------------------------------------------------- what travels, state

    def export(self, halves: Sequence[Half], buffers: bool = True, moments: bool = False) -> Samples:
        """Return the parameters of one half or both as a part of a message: a TensorDict of batch size [1].

        Args:
            halves: Which.
            buffers: Whether buffers, such as those of batch normalisation, go along.
            moments: Whether Adam's state goes along.

        Raises:
            ModelError: A number is not finite.
        """
        values: dict[str, Tensor] = {}
        for half in halves:
            values |= parameters.named_tensors(self.half(half), f"{half}:", buffers=buffers)
            if moments:
                values |= self._adam_state(half)
        return parameters.export(values)

    def take(self, part: Samples, origin: str, moments: Literal["keep", "travel", "reset"] = "keep") -> None:
        """Take over in place what :meth:`export` returned.

        Args:
            part: Parameters of one half or both.
            origin: Who sent them, for the error.
            moments: ``"keep"`` the optimiser's state as it is here, take over the one that came
                (``"travel"``), or start it anew (``"reset"``).

        Raises:
            ModelError: Names, shapes or types differ from this model's, or a number is not finite.
        """
        came = parameters.unpack(part)
        halves = [half for half in _HALVES if any(name.startswith(half) for name in came)]
        own: dict[str, Tensor] = {}
        for half in halves:
            named = self.half(half).state_dict(keep_vars=True)
            own |= {f"{half}:{name}": tensor for name, tensor in named.items()}
        parameters.load({name: tensor for name, tensor in came.items() if "|" not in name}, own, origin)
        if "generator" in halves and self._mean:  # samples are drawn from what came
            with torch.no_grad():
                torch._foreach_copy_(self._mean, [p.detach() for p in self.half("generator").parameters()])
        for half in halves:
            if moments == "reset":
                self._optimisers[half].state.clear()
            elif moments == "travel":
                self._load_adam_state(half, came)

    def average_of(self, parts: Sequence[Samples], weights: Tensor) -> None:
        """Become the weighted mean of exported pairs; weights of shape (N,) sum to 1."""
        self.take(parameters.average_of(parts, weights), "the average")

    def _adam_state(self, half: Half) -> dict[str, Tensor]:
        """Adam's state of one half by ``half|parameter|moment``; empty before the first step."""
        return parameters.adam_state(self.optimiser(half), self._for_adam(half))

    def _load_adam_state(self, half: Half, state: Mapping[str, Tensor]) -> None:
        parameters.load_adam_state(self.optimiser(half), self._for_adam(half), state)

    def _for_adam(self, half: Half) -> dict[str, nn.Parameter]:
        return {f"{half}|{name}": p for name, p in self.half(half).named_parameters()}

    def state_dict(self) -> Mapping[str, Tensor]:
        """Weights, optimisers, the generator's running mean, the counters; of the halves that were ever used."""
        state = {"step": torch.tensor(self._step), "seen": self._seen.clone()}
        for half, net in self._halves.items():
            state |= {f"{half}/{name}": tensor.detach().cpu().clone() for name, tensor in net.state_dict().items()}
            state |= parameters.copied(self._adam_state(half))  # type: ignore[arg-type]
        state |= {f"flops/{kind}": torch.tensor(count, dtype=torch.float64) for kind, count in self._flops.items()}
        return state | {f"mean/{i:03d}": tensor.cpu().clone() for i, tensor in enumerate(self._mean)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take a state back."""
        for half in ("generator", "discriminator"):
            kept = {k.removeprefix(half + "/"): v for k, v in state.items() if k.startswith(half + "/")}
            if kept:
                self.half(half).load_state_dict(kept)
                self._load_adam_state(half, state)
        self._step, self._seen = int(state["step"]), state["seen"].clone()
        count = sum(name.startswith("mean/") for name in state)
        self._mean = [state[f"mean/{i:03d}"].to(self._place, copy=True) for i in range(count)]
        self._flops = {k.removeprefix("flops/"): v.item() for k, v in state.items() if k.startswith("flops/")}

    @classmethod
    def tiny(cls) -> Self:
        """A few noise numbers, batches of 4."""
        return cls(latent=4, batch=4)


def _named(network: str) -> Callable[..., Any]:
    """A network of the user's own."""
    try:
        make: Callable[..., Any] = imported(network, "network")
    except ValueError as error:
        raise ModelError(str(error)) from None
    return make


def _bounded_image_and_class(space: Space) -> tuple[str, str | None]:
    """The names of a space's one image and of its class, if it has one."""
    # any shape: to the perceptrons an image is a row of numbers, and one of blood values works too
    image, label = image_and_class(space, "acgan", any_shape=True)
    v = space[image]
    if v.kind not in ("binary", "real") or not all(map(math.isfinite, v.range)) or not v.shape:
        raise ModelError(
            f"acgan needs an image, binary or real with a finite range; '{image}' is {v}. Its generator ends in tanh, "
            "so scale the values to a known range"
        )
    return image, label
