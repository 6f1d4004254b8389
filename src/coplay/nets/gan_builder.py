"""Building the two halves of a GAN by name, and checking that they fit the image and each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from coplay.core.contents import LARGEST_COUNT, LARGEST_IN_NETWORK, Form, Tensors
from coplay.core.errors import FAILURES, ModelError
from coplay.core.streams import isolated_seed
from coplay.nets.gan_pairs import DISCRIMINATORS, GENERATORS, ClassInput
from coplay.nets.own_networks import check_network, imported_network, refuse_same
from coplay.nets.parameters import adam_forms, named_tensors
from coplay.nets.sizes import NetworkSize

Half = Literal["generator", "discriminator"]
HALVES: tuple[Half, ...] = ("generator", "discriminator")


@dataclass(frozen=True, kw_only=True)
class PairBuilder:
    """How the generator and the discriminator of a player are made.

    Args:
        network: ``"mlp"`` or ``"cnn"``, a pair of :mod:`coplay.nets.gan_pairs`.
        generator: A network of your own, ``"package.module:Class"``, in place of the pair's.
        discriminator: The same.
        latent: Size of the noise.
        classes: Number of classes; 0 without.
        shape: Of one image.
        class_input: How a class enters the pair's generator; one of your own decides that itself.

    Example:
        >>> builder = PairBuilder(network="mlp", latent=100, classes=10, shape=(28, 28))
        >>> builder.check()
        torch.float32
        >>> builder.size("discriminator")
        NetworkSize(parameters=670219, tensors=6, buffer_bytes=0)
    """

    network: str
    generator: str | None = None
    discriminator: str | None = None
    latent: int
    classes: int
    shape: tuple[int, ...]
    class_input: ClassInput = "shift"

    def build(self, half: Half) -> nn.Module:
        """Build one half, with parameters drawn by torch's global generator.

        Raises:
            ModelError: There is no such network, it is no ``torch.nn.Module``, or it has dropout.
        """
        make: Callable[..., Any]
        if half == "generator":
            make = partial(GENERATORS[self.network], class_input=self.class_input)
            if self.generator:
                make = imported_network(self.generator)
            net: nn.Module = make(self.latent, self.classes, self.shape)
        else:
            own = self.discriminator
            make = imported_network(own) if own else DISCRIMINATORS[self.network]
            net = make(self.classes, self.shape)
        check_network(net, f"the {half}")
        return net

    def check(self) -> torch.dtype:
        """Check both halves on torch's meta device, without memory.

        Returns:
            The type of the generator's images.

        Raises:
            ModelError: The halves do not fit the image or each other.
        """
        try:
            with isolated_seed(0), torch.device("meta"):  # an own network may draw numbers
                noise = torch.empty(2, self.latent)
                images: Tensor = self.build("generator")(noise, self._some_classes())
                like_images = torch.empty(2, *self.shape, dtype=images.dtype)
                logits: Tensor = self.build("discriminator")(like_images)
        except ModelError:
            raise
        except FAILURES as error:  # networks may be foreign code
            raise ModelError(
                f"the networks do not fit an image of shape {self.shape}: {error}"
            ) from error
        drawn = tuple(images.shape)
        if drawn != (2, *self.shape):
            raise ModelError(f"the generator gives {drawn[1:]} for an image of shape {self.shape}")
        if tuple(logits.shape) != (2, 1 + self.classes):
            raise ModelError(
                f"the discriminator gives {tuple(logits.shape[1:])} logits; expected 1 for real or "
                f"generated and {self.classes} for the classes"
            )
        if self.generator or self.discriminator:
            _try_own(self)
        return images.dtype

    def forms(self, halves: Sequence[Half], *, buffers: bool, moments: bool) -> Tensors:
        """Return what the tensors of these networks are, by the names under which they travel.

        Args:
            halves: The networks.
            buffers: Whether buffers travel too.
            moments: Whether Adam's state travels too, of those parameters that have one.
        """
        return _forms(self, tuple(halves), buffers, moments)

    def without_memory(self, half: Half) -> nn.Module:
        """Return one half on torch's meta device, where it has shapes and no values."""
        return _without_memory(self, half)

    def _some_classes(self) -> Tensor | None:
        return torch.zeros(2, dtype=torch.int64) if self.classes else None

    def size(self, half: Half) -> NetworkSize:
        """Return the size of a half; nothing is allocated for it."""
        net = self.without_memory(half)
        counts = [p.numel() for p in net.parameters()]
        buffers = sum(buffer.numel() * buffer.element_size() for buffer in net.buffers())
        return NetworkSize(sum(counts), len(counts), buffers)


@lru_cache(maxsize=64)
def _try_own(builder: PairBuilder) -> None:
    """Build networks of the user's own as play does, twice, and let them compute.

    What has shapes and no values does not tell types apart.

    Raises:
        ModelError: Two networks share parameters, or they do not compute.
    """
    pairs: list[dict[Half, nn.Module]] = []
    try:
        with isolated_seed(0), torch.device("cpu"):
            for _ in range(2):
                pairs.append({half: builder.build(half) for half in HALVES})
            for half in HALVES:
                refuse_same(pairs[0][half], pairs[1][half], f"the {half}")
            noise = torch.randn(2, builder.latent)
            with torch.no_grad():
                images: Tensor = pairs[0]["generator"](noise, builder._some_classes())
                pairs[0]["discriminator"](images)
    except ModelError:
        raise
    except FAILURES as error:  # networks may be foreign code
        raise ModelError(f"the networks do not compute two images: {error}") from error
    if images.dtype not in (torch.float32, torch.float64):
        raise ModelError(
            f"the generator gives images of {images.dtype}, expected torch.float32 or "
            "torch.float64; let it end in float()"
        )


@lru_cache(maxsize=64)
def _without_memory(builder: PairBuilder, half: Half) -> nn.Module:
    with isolated_seed(0), torch.device("meta"):
        return builder.build(half)


@lru_cache(maxsize=64)
def _forms(builder: PairBuilder, halves: tuple[Half, ...], buffers: bool, moments: bool) -> Tensors:
    forms = {}
    together = []
    for half in halves:
        net = builder.without_memory(half)
        for name, values in named_tensors(net, f"{half}:", buffers=buffers).items():
            high = LARGEST_IN_NETWORK if values.is_floating_point() else LARGEST_COUNT
            forms[name] = Form(tuple(values.shape), values.dtype, -high, high)
        for name, p in net.named_parameters():
            if moments:
                of_parameter = adam_forms(f"{half}|{name}", tuple(p.shape), p.dtype)
                forms |= of_parameter
                together.append(tuple(of_parameter))
    return Tensors(forms, together)
