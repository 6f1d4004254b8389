"""Exponential families with their exact best response: models for which the theory is a theorem.

    p_θ(x) = h(x) exp(⟨θ, φ(x)⟩ − A(θ)),   μ = ∇A(θ) = E_pθ[φ]

The best response to a mixture matches its moments (A2), so learning is averaging φ. The family
follows from the space, see :mod:`coplay.models.families`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor

from coplay.core.errors import ModelError
from coplay.core.scaling import Scaling
from coplay.core.space import Samples, Space
from coplay.models.base import LocalModel, Mixture, Portion
from coplay.models.families import Block, GaussianBlock, ProductFamily, columns

_SCALES = "scale/"  # prefix of keys of a state


class ExponentialFamily(LocalModel):
    """An exponential family that learns its exact best response.

    Real variables are scaled by what the player learns from first, so that products of large
    numbers do not lose what distinguishes small ones; ``moments`` are in the variables' own units.

    Where some sources lack a variable (A5), the block of that variable learns from the sources that
    have it; the Gaussian completes missing real variables by expectation maximisation, going on
    from its present parameters.

    Warning:
        Draws of a real variable with limits are clamped to them, which changes their moments: for
        bounded data (A2) holds only as far as the Gaussian stays inside.

    Args:
        em_steps: Maximal number of steps of expectation maximisation in a turn.
        em_tolerance: Stop once no moment changes by more.

    Example:
        >>> from coplay import Variable
        >>> model = ExponentialFamily.tiny()
        >>> space = Space({"x": Variable(kind="binary", shape=(2,))})
        >>> model.setup(space, seed=1)
        >>> model.best_response(torch.tensor([0.0, 1.0], dtype=torch.float64))
        >>> model.sample(3, torch.Generator())["x"].tolist()
        [[0, 1], [0, 1], [0, 1]]

    References:
        Information geometry of exponential families as used in (D. Schlesinger, B. Flach, 2025),
        arXiv:2511.01740.
    """

    citation: ClassVar[tuple[str, ...]] = ("schlesinger2025game",)
    learns_incomplete: ClassVar[bool] = True
    reported_names: ClassVar[tuple[str, ...] | None] = ("moment_change",)

    em_steps: int = Field(default=500, ge=1)
    em_tolerance: float = Field(default=1e-10, gt=0)

    _space: Space = PrivateAttr()
    _family: ProductFamily = PrivateAttr()
    _scaling: Scaling = PrivateAttr()
    _is_scaled: bool = PrivateAttr(default=False)
    _moments: Tensor = PrivateAttr()  # in standard units, once scaled

    def setup(self, space: Space, seed: int) -> None:
        """Start in the middle: fair coins, even classes, rate 1, standard normal."""
        self._space = space
        self._family = ProductFamily(space)
        self._scaling = Scaling(space, plain=True)
        self._is_scaled = False
        self._moments = self._family.middle()

    @property
    def family(self) -> ProductFamily:
        """The family, for the functions of :mod:`coplay.theory.equilibrium`."""
        return self._family

    @property
    def moments(self) -> Tensor:
        """The mean parameters μ in the variables' own units, shape (K,), float64."""
        return self._moved(self._moments, to_own_units=True)

    def best_response(self, moments: Tensor) -> None:
        """Set the mean parameters to the mean features of a mixture, shape (K,) (A2)."""
        self._moments = self._moved(self._checked(moments).double(), to_own_units=False)

    def _checked(self, moments: Tensor) -> Tensor:
        """Return moments, or refuse those that are of another shape or not finite."""
        if moments.shape != self._moments.shape or not torch.isfinite(moments).all():
            shape = tuple(moments.shape)
            raise ModelError(
                f"expected {len(self._moments)} finite moments, got shape {shape} or NaN"
            )
        return moments

    def _moved(self, moments: Tensor, *, to_own_units: bool) -> Tensor:
        """Return moments in own units, or in the standard units in which they are kept."""
        names = self._family.real
        if not names or not self._is_scaled:
            return moments.clone()
        centre, width = self._scaling.side_by_side(names)
        if to_own_units:
            centre, width = -centre / width, 1 / width
        parts = []
        for block, part in self._family.split(moments):
            if isinstance(block, GaussianBlock):
                part = block.shifted(part, centre, width)
            parts.append(part)
        return torch.cat(parts)

    def _follow(self, mixture: Mixture) -> Mixture:
        """Let the scales of real variables follow the sources; return these in standard units.

        Products of large numbers would otherwise lose what distinguishes small ones.
        """
        if not self._family.real:
            return mixture
        before = self.moments
        if not self._is_scaled:
            self._scale()
        sources = [part.samples for part in mixture.parts]
        self._scaling.follow(sources, mixture.weights.tolist())
        self.best_response(before)
        parts = []
        for part in mixture.parts:
            standard = self._scaling.standard(part.samples, torch.float64)
            parts.append(Portion(part.name, standard, part.weight))
        return Mixture(tuple(parts))

    def _scale(self) -> None:
        """Begin to scale real variables."""
        others = [name for name in self._space if self._space[name].kind != "real"]
        self._scaling = Scaling(self._space, keep=others)
        self._is_scaled = True

    def learn(
        self, mixture: Mixture, steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """Match the mixture's moments; ``steps`` is ignored, the best response is exact."""
        before = self.moments
        mixture = self._follow(mixture)
        moments = []
        parts = self._family.split(self._moments)
        for (names, block), (_, present) in zip(self._family.blocks, parts, strict=True):
            if isinstance(block, GaussianBlock):
                moments.append(self._gaussian(mixture, block, present))
            else:
                moments.append(_average(mixture, names, block, present))
        self._moments = self._checked(torch.cat(moments))
        return {"moment_change": (self.moments - before).abs().max().item()}

    def _gaussian(self, mixture: Mixture, block: GaussianBlock, present: Tensor) -> Tensor:
        """Maximise the likelihood of all real variables; by EM where a source lacks some."""
        names = self._family.real
        if all(_has(part, names) for part in mixture.parts):
            return _average(mixture, names, block, present)
        observed = []
        for part in mixture.parts:
            here = [name for name in names if name in part.samples.keys()]
            if here:
                mask = torch.cat([self._mask(name, name in here) for name in names])
                observed.append((mask, columns(part.samples, here), part.weight))
        total = sum(weight for _, _, weight in observed)
        if not total:
            return present
        moments = present
        for _ in range(self.em_steps):
            mean, covariance = block.split(moments)
            means = []
            for mask, x, weight in observed:
                features = _completed(mask, x, mean, covariance, block)
                means.append(weight / total * features.mean(0))
            expected = torch.stack(means).sum(0)
            change = (expected - moments).abs().max()
            moments = expected
            if change <= self.em_tolerance:
                break
        return moments

    def _mask(self, name: str, observed: bool) -> Tensor:
        return torch.full((self._space[name].size,), observed)

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw n samples, every block independently."""
        drawn: dict[str, Tensor] = {}
        # pydantic takes a microsecond for an attribute, and a small set is drawn in twenty
        space = self._space
        family = self._family
        parts = family.split(self._moments)
        for (names, block), (_, part) in zip(family.blocks, parts, strict=True):
            sizes = [space[name].size for name in names]
            rows = block.sample(part, n, generator)
            drawn.update(zip(names, rows.split(sizes, 1), strict=True))
        values = {}
        for name in space:
            v = space[name]
            x = drawn[name].reshape(n, *v.shape)
            values[name] = x if v.kind == "real" else x.to(v.dtypes[0])
        samples = self._scaling.original(self._space.samples(**values))
        for name in self._family.real:
            samples[name] = samples[name].clamp(*self._space[name].range)
        return samples

    def log_prob(self, samples: Samples) -> Tensor:
        """log p(x), shape (n,), in nats."""
        standard = self._scaling.standard(samples, torch.float64)
        try:
            log_p = self._family.log_prob(self._moments, standard)
        except RuntimeError:  # the covariance is singular: a variable is constant, say
            return torch.full((len(samples),), -torch.inf, dtype=torch.float64)
        return log_p - self._scaling.log_volume()

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the moments, and the scales of their units."""
        scales = {_SCALES + name: scale for name, scale in self._scaling.state_dict().items()}
        return {"moments": self._moments, **(scales if self._is_scaled else {})}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        scales = {}
        for name, tensor in state.items():
            if name.startswith(_SCALES):
                scales[name.removeprefix(_SCALES)] = tensor
        if scales:
            self._scale()
            self._scaling.load_state_dict(scales)
        self._moments = self._checked(state["moments"].double().clone())


def _has(part: Portion, names: list[str]) -> bool:
    """Whether a source has all of these variables."""
    return all(name in part.samples.keys() for name in names)


def _average(mixture: Mixture, names: list[str], block: Block, present: Tensor) -> Tensor:
    """Weighted mean of φ over the sources that have the variables; else the present value."""
    having = [part for part in mixture.parts if _has(part, names)]
    total = sum(part.weight for part in having)
    if not total:
        return present
    means = []
    for part in having:
        features = block.features(columns(part.samples, names))
        means.append(part.weight / total * features.mean(0))
    return torch.stack(means).sum(0)


def _completed(
    mask: Tensor, x: Tensor, mean: Tensor, covariance: Tensor, block: GaussianBlock
) -> Tensor:
    """E-step: expected features where only the columns in ``mask`` are observed, shape (n, K)."""
    inverse = torch.linalg.pinv(covariance[mask][:, mask], hermitian=True)
    regression = covariance[~mask][:, mask] @ inverse
    full = mean.expand(len(x), -1).clone()
    full[:, mask] = x
    full[:, ~mask] = mean[~mask] + (x - mean[mask]) @ regression.T
    rest = torch.zeros_like(covariance)
    spread = covariance[~mask][:, ~mask] - regression @ covariance[mask][:, ~mask]
    rest[(~mask)[:, None] & ~mask] = spread.flatten()
    features = block.features(full)
    features[:, block.dimensions :] += rest.flatten()
    return features
