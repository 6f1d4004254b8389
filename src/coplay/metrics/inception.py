"""The Fréchet distance on features of the user's own network, such as Inception as published."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from pydantic import PrivateAttr, ValidationInfo, field_validator
from torch import Tensor

from coplay.core.components import imported, may_import
from coplay.core.errors import ModelError
from coplay.core.space import Samples, Space, Variable
from coplay.metrics.base import Metric, Observed, Reference, Stat
from coplay.metrics.fid import MomentPair, Moments

_BATCH = 100


class Inception(Metric):
    """Fréchet distance to the real test split on a given network's features.

    With features that others use too, values can be compared between papers. No weights come with
    coplay. The network is called with images of 8 bits, shape (n, 3, H, W), whose channels are
    equal where the images are grey. It returns features of shape (n, F), and may resize the images
    first. The TorchScript file of Inception that StyleGAN's authors publish fits. A distance
    depends on the number of samples; most papers use 10,000 or 50,000.

    Args:
        network: A file of TorchScript, or of ``torch.export`` (``.pt2``), or
            ``"package.module:Class"``, called without arguments. Its code is run, so take it from
            somebody you trust.

    Example:
        >>> Inception(network="torch.nn:Flatten").network
        'torch.nn:Flatten'

    References:
        GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium (M. Heusel
        et al., NeurIPS 2017), arXiv:1706.08500.
    """

    meanings: ClassVar[Mapping[str, str]] = {
        "inception_fid": (
            "how far samples lie from real images in what the given network sees in them; 0 where "
            "the two are alike"
        ),
    }

    citation: ClassVar[tuple[str, ...]] = ("heusel2017fid",)

    network: str

    _loaded: Any = PrivateAttr(default=None)
    _real: tuple[Reference, Moments] | None = PrivateAttr(default=None)

    @field_validator("network")
    @classmethod
    def _exists(cls, network: str, info: ValidationInfo) -> str:
        if not may_import(info) or Path(network).is_file():
            return network
        if ":" not in network:
            raise ValueError(
                f"there is no file {network}; expected TorchScript, .pt2, or 'package.module:Class'"
            )
        imported(network, "network")
        return network

    def outside(self) -> list[str]:
        """The network: also a file holds code."""
        return [self.network]

    @property
    def fewest(self) -> int:
        """Two, for a covariance."""
        return 2

    def obstacle(self, observed: Observed) -> str:
        """Say that the samples are no images with a known range."""
        if _image(observed.reference.classifier.space) is None:
            return "the data are not one image with a known range"
        return super().obstacle(observed)

    def observe(self, observed: Observed) -> Stat:
        """Sum features and their products; the real images' once."""
        if self._real is None or self._real[0] is not observed.reference:
            space = observed.reference.classifier.space
            self._real = (observed.reference, self._moments(observed.reference.test, space))
        generated = self._moments(observed.samples, observed.reference.classifier.space)
        return MomentPair(self._real[1], generated, "inception_fid")

    def _moments(self, samples: Samples, space: Space) -> Moments:
        """Sum features and their products over batches of images."""
        image = _image(space)
        assert image is not None
        name, variable = image
        total: Moments | None = None
        for images in samples[name].split(_BATCH):
            moments = Moments.of(self._features(as_bytes(images, variable)))
            total = moments if total is None else total + moments
        assert total is not None
        return total

    def _features(self, images: Tensor) -> Tensor:
        """Run the network, which is loaded at first use, and check what it returns."""
        if self._loaded is None:
            self._loaded = _network(self.network)
        with torch.no_grad():
            features = self._loaded(images)
        is_tensor = isinstance(features, Tensor)
        if not is_tensor or features.dim() != 2 or len(features) != len(images):
            got = tuple(features.shape) if is_tensor else type(features).__name__
            raise ModelError(
                f"metric inception: {self.network} gave {got} for images of shape "
                f"{tuple(images.shape)}, expected features of shape ({len(images)}, F)"
            )
        return features

    @classmethod
    def tiny(cls) -> Self:
        """Return a metric whose features are the pixels themselves."""
        return cls(network="torch.nn:Flatten")


def as_bytes(images: Tensor, variable: Variable) -> Tensor:
    """Convert images to bytes in three channels, shape (n, 3, H, W).

    Args:
        images: Shape (n, H, W), (n, 1, H, W) or (n, 3, H, W), in the variable's range.
        variable: The variable whose values they are; its range must be finite.

    Example:
        >>> variable = Variable(kind="real", shape=(1, 2), low=-1, high=1)
        >>> as_bytes(torch.tensor([[[-1.0, 1.0]]]), variable).tolist()
        [[[[0, 255]], [[0, 255]], [[0, 255]]]]
    """
    low, high = variable.range
    scaled = ((images.double() - low) * (255 / (high - low))).round().clamp(0, 255).to(torch.uint8)
    if scaled.dim() == 3:
        scaled = scaled[:, None]
    return scaled.expand(-1, 3, -1, -1)


def _image(space: Space) -> tuple[str, Variable] | None:
    """Return the image of a space that holds one image of a known range and nothing else."""
    name = next(iter(space))
    known_range = all(map(math.isfinite, space[name].range))
    if len(space) > 1 or not space[name].is_image or not known_range:
        return None
    return name, space[name]


def _network(network: str) -> Any:
    """Load the network that computes the features."""
    path = Path(network)
    if not path.is_file():
        built = imported(network, "network")()
        return built.eval() if isinstance(built, torch.nn.Module) else built
    try:
        if path.suffix == ".pt2":
            return torch.export.load(path).module()
        with warnings.catch_warnings():
            # torch deprecates TorchScript, and Inception is published in it
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.jit.load(str(path), map_location="cpu").eval()
    except Exception as error:  # the file may hold anything
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"metric inception: cannot load {path}: {reason}; expected TorchScript or .pt2"
        ) from error
