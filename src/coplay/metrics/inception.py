"""The Fréchet distance on the features of a network of the user's own, such as Inception with its published weights."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from pydantic import PrivateAttr, field_validator
from torch import Tensor

from coplay.core.components import imported
from coplay.core.errors import ModelError
from coplay.core.space import Samples, Space, Variable
from coplay.metrics.base import Metric, Observed, Reference, Stat
from coplay.metrics.fid import MomentPair, Moments

_BATCH = 100


class Inception(Metric):
    """Fréchet distance to the real test split on features that others use too, so values compare between papers.

    No weights come with coplay. The network is asked with images of 8 bits, shape (n, 3, H, W), grey ones three times, and gives
    features of shape (n, F); it resizes as it likes. The TorchScript file of Inception that StyleGAN's authors publish
    does. A distance depends on the number of samples; papers mostly take 10,000 or 50,000.

    Args:
        network: A file of TorchScript, or of ``torch.export`` (``.pt2``), or ``"package.module:Class"``, called without
            arguments. It is run as it is: take it from somebody you trust.

    Example:
        >>> Inception(network="torch.nn:Flatten").network
        'torch.nn:Flatten'

    References:
        GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium (M. Heusel et al., NeurIPS
        2017), arXiv:1706.08500.
    """

    citation: ClassVar[tuple[str, ...]] = ("heusel2017fid",)

    network: str

    _loaded: Any = PrivateAttr(default=None)
    _real: tuple[Reference, Moments] | None = PrivateAttr(default=None)

    @field_validator("network")
    @classmethod
    def _there(cls, network: str) -> str:
        if not Path(network).is_file():
            if ":" not in network:
                raise ValueError(
                    f"there is no file {network}; expected TorchScript, .pt2, or 'package.module:Class'"
                )
            imported(network, "network")
        return network

    def applies(self, observed: Observed) -> bool:
        """Whether the samples are images with a known range."""
        return super().applies(observed) and _image(observed.reference.classifier.space) is not None

    def observe(self, observed: Observed) -> Stat:
        """Sum features and their products; the real images' once."""
        if self._real is None or self._real[0] is not observed.reference:
            space = observed.reference.classifier.space
            self._real = observed.reference, self._moments(observed.reference.test, space)
        generated = self._moments(observed.samples, observed.reference.classifier.space)
        return MomentPair(self._real[1], generated, "inception_fid")

    def _moments(self, samples: Samples, space: Space) -> Moments:
        name, variable = _image(space) or ("", None)
        assert variable is not None
        found = None
        for part in samples[name].split(_BATCH):
            moments = Moments.of(self._features(as_bytes(part, variable)))
            found = moments if found is None else found + moments
        assert found is not None
        return found

    def _features(self, images: Tensor) -> Tensor:
        if self._loaded is None:
            self._loaded = _network(self.network)
        with torch.no_grad():
            found = self._loaded(images)
        if not isinstance(found, Tensor) or found.dim() != 2 or len(found) != len(images):
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ModelError(f"metric inception: {self.network} gave {got} for images of shape {tuple(images.shape)}, "
                             f"expected features of shape ({len(images)}, F)")  # fmt: skip
        return found

    @classmethod
    def tiny(cls) -> Self:
        """The pixels themselves."""
        return cls(network="torch.nn:Flatten")


def as_bytes(images: Tensor, variable: Variable) -> Tensor:
    """Images of shape (n, H, W) or (n, 1 or 3, H, W) in the variable's range as uint8 of shape (n, 3, H, W).

    Example:
        >>> as_bytes(torch.tensor([[[-1.0, 1.0]]]), Variable(kind="real", shape=(1, 2), low=-1, high=1)).tolist()
        [[[[0, 255]], [[0, 255]], [[0, 255]]]]
    """
    low, high = variable.range
    scaled = ((images.double() - low) * (255 / (high - low))).round().clamp(0, 255).to(torch.uint8)
    if scaled.dim() == 3:
        scaled = scaled[:, None]
    return scaled.expand(-1, 3, -1, -1)


def _image(space: Space) -> tuple[str, Variable] | None:
    """The one image of the space, if that is all there is."""
    name = next(iter(space))
    known_range = all(map(math.isfinite, space[name].range))
    if len(space) > 1 or not space[name].is_image or not known_range:
        return None
    return name, space[name]


def _network(network: str) -> Any:
    """Load what features are taken from."""
    path = Path(network)
    if not path.is_file():
        made = imported(network, "network")()
        return made.eval() if isinstance(made, torch.nn.Module) else made
    try:
        if path.suffix == ".pt2":
            return torch.export.load(path).module()
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # the form in which Inception is published
            return torch.jit.load(str(path), map_location="cpu").eval()
    except Exception as error:  # the file may hold anything
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"metric inception: cannot load {path}: {reason}; expected TorchScript or .pt2"
        ) from error
