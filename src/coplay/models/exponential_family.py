"""Exponential families with their exact best response: the models for which the theory is a theorem.

    p_θ(x) = h(x) exp(⟨θ, φ(x)⟩ − A(θ)),   μ = ∇A(θ) = E_pθ[φ]

The best response to a mixture matches its moments (A2), so learning is averaging φ. The family follows from the space:
each binary variable a Bernoulli vector, categorical a categorical, count a Poisson vector, and all real variables
together one multivariate Gaussian; the blocks are independent of each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor
from torch.nn import functional as F

from coplay.core.errors import ModelError
from coplay.core.space import Samples, Space, Variable
from coplay.models.base import LocalModel, Mixture


class Block(Protocol):
    """One independent block of a family, on values of shape (n, D) in float64, with K features."""

    size: int

    def features(self, x: Tensor) -> Tensor:
        """φ(x), shape (n, K)."""
        ...

    def natural(self, moments: Tensor) -> Tensor:
        """θ(μ), shape (…, K)."""
        ...

    def log_partition(self, natural: Tensor) -> Tensor:
        """A(θ), shape (…)."""
        ...

    def utility(self, target: Tensor, moments: Tensor) -> Tensor:
        """⟨θ(μ), t⟩ − A(θ(μ)), shape (…), also where μ is on the border: what never happens costs nothing."""
        ...

    def log_base(self, x: Tensor) -> Tensor:
        """log h(x), shape (n,)."""
        ...

    def sample(self, moments: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """n draws, shape (n, D)."""
        ...


class BernoulliBlock:
    """φ(x) = x, A(θ) = Σ log(1 + e^θ), h = 1."""

    def __init__(self, variable: Variable) -> None:
        self.size = variable.size

    def features(self, x: Tensor) -> Tensor:
        """φ(x) = x."""
        return x

    def natural(self, moments: Tensor) -> Tensor:
        """θ = log μ/(1−μ)."""
        return torch.logit(moments)

    def log_partition(self, natural: Tensor) -> Tensor:
        """Σ log(1 + e^θ)."""
        return F.softplus(natural).sum(-1)

    def utility(self, target: Tensor, moments: Tensor) -> Tensor:
        """Σ t log μ + (1−t) log(1−μ)."""
        return (torch.xlogy(target, moments) + torch.special.xlog1py(1 - target, -moments)).sum(-1)

    def log_base(self, x: Tensor) -> Tensor:
        """0: h is constant."""
        return x.new_zeros(len(x))

    def sample(self, moments: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Independent bits."""
        return (torch.rand(n, self.size, generator=generator, dtype=torch.float64) < moments).double()


class CategoricalBlock:
    """φ(x) = one-hot without the last class (minimal), A(θ) = Σ log(1 + Σ_k e^θk), h = 1."""

    def __init__(self, variable: Variable) -> None:
        self.classes = variable.classes or 0
        self.numbers = variable.size
        self.size = variable.size * (self.classes - 1)

    def _by_class(self, values: Tensor) -> Tensor:
        return values.reshape(*values.shape[:-1], self.numbers, self.classes - 1)

    def _probabilities(self, moments: Tensor) -> Tensor:
        shares = self._by_class(moments)
        return torch.cat([shares, 1 - shares.sum(-1, keepdim=True)], -1)

    def features(self, x: Tensor) -> Tensor:
        """One-hot without the last class, shape (n, D·(C−1))."""
        return F.one_hot(x.long(), self.classes)[..., :-1].flatten(1).double()

    def natural(self, moments: Tensor) -> Tensor:
        """θ_k = log μ_k/μ_C."""
        p = self._probabilities(moments)
        return (p[..., :-1].log() - p[..., -1:].log()).flatten(-2)

    def log_partition(self, natural: Tensor) -> Tensor:
        """Σ log(1 + Σ_k e^θk)."""
        theta = self._by_class(natural)
        return torch.logsumexp(F.pad(theta, (0, 1)), -1).sum(-1)

    def utility(self, target: Tensor, moments: Tensor) -> Tensor:
        """Σ_k t_k log μ_k over all classes."""
        return torch.xlogy(self._probabilities(target), self._probabilities(moments)).sum((-1, -2))

    def log_base(self, x: Tensor) -> Tensor:
        """0: h is constant."""
        return torch.zeros(len(x), dtype=torch.float64)

    def sample(self, moments: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Independent classes."""
        p = self._probabilities(moments).clamp_min(0)
        return torch.multinomial(p, n, replacement=True, generator=generator).T.double()


class PoissonBlock:
    """φ(x) = x, A(θ) = Σ e^θ, h(x) = Π 1/x!."""

    def __init__(self, variable: Variable) -> None:
        self.size = variable.size

    def features(self, x: Tensor) -> Tensor:
        """φ(x) = x."""
        return x

    def natural(self, moments: Tensor) -> Tensor:
        """θ = log μ."""
        return moments.log()

    def log_partition(self, natural: Tensor) -> Tensor:
        """Σ e^θ."""
        return natural.exp().sum(-1)

    def utility(self, target: Tensor, moments: Tensor) -> Tensor:
        """Σ t log μ − μ."""
        return (torch.xlogy(target, moments) - moments).sum(-1)

    def log_base(self, x: Tensor) -> Tensor:
        """−Σ log x!."""
        return -torch.lgamma(x + 1).sum(-1)

    def sample(self, moments: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Independent counts."""
        return torch.poisson(moments.expand(n, -1).contiguous(), generator=generator)


class GaussianBlock:
    """φ(x) = (x, x xᵀ), θ = (Σ⁻¹m, −½Σ⁻¹), A(θ) = ½ mᵀΣ⁻¹m + ½ log det Σ + D/2 log 2π, h = 1."""

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self.size = dimensions + dimensions**2

    def split(self, moments: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (…, D) and covariance (…, D, D) from the moments."""
        mean = moments[..., : self.dimensions]
        second = moments[..., self.dimensions :].reshape(*mean.shape, self.dimensions)
        return mean, second - mean[..., :, None] * mean[..., None, :]

    def join(self, mean: Tensor, covariance: Tensor) -> Tensor:
        """The inverse of :meth:`split`."""
        return torch.cat([mean, (covariance + mean[..., :, None] * mean[..., None, :]).flatten(-2)], -1)

    def features(self, x: Tensor) -> Tensor:
        """(x, x xᵀ), shape (n, D + D²)."""
        return torch.cat([x, (x[:, :, None] * x[:, None, :]).flatten(1)], 1)

    def natural(self, moments: Tensor) -> Tensor:
        """(Σ⁻¹m, −½Σ⁻¹)."""
        mean, covariance = self.split(moments)
        precision = torch.linalg.inv(covariance)
        return torch.cat([(precision @ mean[..., None])[..., 0], -0.5 * precision.flatten(-2)], -1)

    def log_partition(self, natural: Tensor) -> Tensor:
        """½ ηᵀΣη + ½ log det Σ + D/2 log 2π with η = Σ⁻¹m; +∞ where the precision is not positive definite."""
        eta = natural[..., : self.dimensions]
        precision = -2 * natural[..., self.dimensions :].reshape(*eta.shape, self.dimensions)
        sign, log_determinant = torch.linalg.slogdet(precision)
        quadratic = (eta * torch.linalg.solve(precision, eta)).sum(-1)
        value = 0.5 * (quadratic - log_determinant + self.dimensions * math.log(2 * math.pi))
        return torch.where(sign > 0, value, torch.inf)

    def utility(self, target: Tensor, moments: Tensor) -> Tensor:
        """⟨θ(μ), t⟩ − A(θ(μ)); the covariance must be regular."""
        theta = self.natural(moments)
        return (theta * target).sum(-1) - self.log_partition(theta)

    def log_base(self, x: Tensor) -> Tensor:
        """0: h is constant."""
        return x.new_zeros(len(x))

    def sample(self, moments: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Correlated draws; the covariance may be singular."""
        mean, covariance = self.split(moments)
        values, vectors = torch.linalg.eigh(covariance)
        noise = torch.randn(n, self.dimensions, generator=generator, dtype=torch.float64)
        return mean + noise * values.clamp_min(0).sqrt() @ vectors.T


class ProductFamily:
    """Independent blocks side by side, as one family of K features.

    Args:
        space: The variables; it decides the blocks.

    Example:
        >>> family = ProductFamily(Space({"x": Variable(kind="binary", shape=(2,))}))
        >>> theta = family.natural(torch.tensor([0.5, 0.9], dtype=torch.float64))
        >>> family.mean(theta)
        tensor([0.5000, 0.9000], dtype=torch.float64)
    """

    def __init__(self, space: Space) -> None:
        makers: dict[str, Callable[[Variable], Block]] = {
            "binary": BernoulliBlock,
            "categorical": CategoricalBlock,
            "count": PoissonBlock,
        }
        self.real = [name for name in space if space[name].kind == "real"]
        self.blocks: list[tuple[list[str], Block]] = [
            ([name], makers[space[name].kind](space[name])) for name in space if space[name].kind != "real"
        ]
        if self.real:
            self.blocks.append((self.real, GaussianBlock(sum(space[name].size for name in self.real))))
        self.size = sum(block.size for _, block in self.blocks)

    def _split(self, values: Tensor) -> list[tuple[Block, Tensor]]:
        parts = values.split([block.size for _, block in self.blocks], -1)
        return [(block, part) for (_, block), part in zip(self.blocks, parts, strict=True)]

    def features(self, samples: Samples) -> Tensor:
        """φ(x), shape (n, K); every variable must be present."""
        return torch.cat([block.features(_columns(samples, names)) for names, block in self.blocks], 1)

    def natural(self, moments: Tensor) -> Tensor:
        """θ(μ), shape (…, K); infinite where μ is on the border of the marginal polytope."""
        return torch.cat([block.natural(part) for block, part in self._split(moments)], -1)

    def log_partition(self, natural: Tensor) -> Tensor:
        """A(θ), shape (…), in nats."""
        return torch.stack([block.log_partition(part) for block, part in self._split(natural)]).sum(0)

    def mean(self, natural: Tensor) -> Tensor:
        """μ(θ) = ∇A(θ), shape (…, K)."""
        with torch.enable_grad():
            theta = natural.detach().requires_grad_()
            gradient: Tensor = torch.autograd.grad(self.log_partition(theta).sum(), theta)[0]
        return gradient

    def utility(self, target: Tensor, moments: Tensor) -> Tensor:
        """Mean log-likelihood up to E[log h] of data with moments ``target`` under moments ``moments``, shape (…)."""
        pairs = zip(self._split(target), self._split(moments), strict=True)
        return torch.stack([block.utility(t, m) for (block, t), (_, m) in pairs]).sum(0)

    def log_prob(self, moments: Tensor, samples: Samples) -> Tensor:
        """log p(x), shape (n,), in nats; −∞ where x is impossible."""
        base = torch.stack([block.log_base(_columns(samples, names)) for names, block in self.blocks]).sum(0)
        return base + self.utility(self.features(samples), moments.expand(len(samples), -1))


def _columns(samples: Samples, names: list[str]) -> Tensor:
    return torch.cat([samples[name].reshape(len(samples), -1).double() for name in names], 1)


class ExponentialFamily(LocalModel):
    """An exponential family that answers with its exact best response.

    Where some sources lack a variable (A5), the block of that variable learns from the sources that have it; the Gaussian
    completes missing real variables by expectation maximisation, going on from its present parameters.

    Warning:
        Draws of a real variable with limits are clamped to them, which changes their moments: for bounded data (A2) holds
        only as far as the Gaussian stays inside.

    Args:
        em_steps: Most steps of expectation maximisation a turn.
        em_tolerance: Stop once no moment changes by more.

    Example:
        >>> model = ExponentialFamily.tiny()
        >>> space = Space({"x": Variable(kind="binary", shape=(2,))})
        >>> model.setup(space, seed=1)
        >>> model.best_response(torch.tensor([0.0, 1.0], dtype=torch.float64))
        >>> model.sample(3, torch.Generator())["x"].tolist()
        [[0, 1], [0, 1], [0, 1]]

    References:
        Information geometry of exponential families as used in (D. Schlesinger, B. Flach, 2025), arXiv:2511.01740.
    """

    citation: ClassVar[tuple[str, ...]] = ("schlesinger2025game",)
    learns_incomplete: ClassVar[bool] = True

    em_steps: int = Field(default=500, ge=1)
    em_tolerance: float = Field(default=1e-10, gt=0)

    _space: Space = PrivateAttr()
    _family: ProductFamily = PrivateAttr()
    _moments: Tensor = PrivateAttr()

    def setup(self, space: Space, seed: int) -> None:
        """Start in the middle of the marginal polytope: fair coins, even classes, rate 1, standard normal."""
        self._space, self._family = space, ProductFamily(space)
        middle = torch.zeros(self._family.size, dtype=torch.float64)
        for block, part in self._family._split(middle):
            if isinstance(block, GaussianBlock):
                part[block.dimensions :] = torch.eye(block.dimensions, dtype=torch.float64).flatten()
            elif isinstance(block, CategoricalBlock):
                part.fill_(1 / block.classes)
            else:
                part.fill_(0.5 if isinstance(block, BernoulliBlock) else 1.0)
        self._moments = middle

    @property
    def family(self) -> ProductFamily:
        """The family, for the functions of :mod:`coplay.theory.equilibrium`."""
        return self._family

    @property
    def moments(self) -> Tensor:
        """Mean parameters μ, shape (K,), float64."""
        return self._moments.clone()

    def best_response(self, moments: Tensor) -> None:
        """Answer a mixture with mean features ``moments``, shape (K,): take them as mean parameters (A2)."""
        if moments.shape != self._moments.shape or not torch.isfinite(moments).all():
            raise ModelError(f"expected {len(self._moments)} finite moments, got shape {tuple(moments.shape)} or NaN")
        self._moments = moments.double().clone()

    def learn(self, mixture: Mixture, steps: int, generator: torch.Generator) -> Mapping[str, float]:
        """Match the mixture's moments; ``steps`` is ignored, the best response is exact."""
        before, found = self._moments, []
        for (names, block), (_, present) in zip(self._family.blocks, self._family._split(before), strict=True):
            if isinstance(block, GaussianBlock):
                found.append(self._gaussian(mixture, block, present))
            else:
                found.append(_average(mixture, names, block, present))
        self.best_response(torch.cat(found))
        return {"moment_change": (self._moments - before).abs().max().item()}

    def _gaussian(self, mixture: Mixture, block: GaussianBlock, present: Tensor) -> Tensor:
        """Maximum likelihood for all real variables together; EM where a source lacks some of them."""
        names = self._family.real
        if all(name in part.samples.keys() for part in mixture.parts for name in names):
            return _average(mixture, names, block, present)
        sizes = [self._space[name].size for name in names]
        observed = []
        for part in mixture.parts:
            mask = torch.cat([torch.full((s,), n in part.samples.keys()) for n, s in zip(names, sizes, strict=True)])
            here = [n for n in names if n in part.samples.keys()]
            if here:
                observed.append((mask, _columns(part.samples, here), part.weight))
        total = sum(weight for _, _, weight in observed)
        if not total:
            return present
        moments = present
        for _ in range(self.em_steps):
            mean, covariance = block.split(moments)
            expected = torch.stack(
                [w / total * _completed(mask, x, mean, covariance, block).mean(0) for mask, x, w in observed]
            ).sum(0)
            change = (expected - moments).abs().max()
            moments = expected
            if change <= self.em_tolerance:
                break
        return moments

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw every block independently."""
        columns: dict[str, Tensor] = {}
        for (names, block), (_, part) in zip(self._family.blocks, self._family._split(self._moments), strict=True):
            drawn = block.sample(part, n, generator)
            sizes = [self._space[name].size for name in names]
            columns.update(zip(names, drawn.split(sizes, 1), strict=True))
        values = {}
        for name in self._space:
            v = self._space[name]
            x = columns[name].reshape(n, *v.shape)
            values[name] = x.clamp(*v.range) if v.kind == "real" else x.to(v.dtypes[0])
        return self._space.samples(**values)

    def log_prob(self, samples: Samples) -> Tensor:
        """log p(x), shape (n,), in nats."""
        return self._family.log_prob(self._moments, samples)

    def state_dict(self) -> Mapping[str, Tensor]:
        """The moments."""
        return {"moments": self._moments}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take moments back."""
        self.best_response(state["moments"])


def _average(mixture: Mixture, names: list[str], block: Block, present: Tensor) -> Tensor:
    """Weighted mean of φ over the sources that have the variables; the present value if none has."""
    having = [part for part in mixture.parts if all(name in part.samples.keys() for name in names)]
    total = sum(part.weight for part in having)
    if not total:
        return present
    means = [part.weight / total * block.features(_columns(part.samples, names)).mean(0) for part in having]
    return torch.stack(means).sum(0)


def _completed(mask: Tensor, x: Tensor, mean: Tensor, covariance: Tensor, block: GaussianBlock) -> Tensor:
    """E-step: expected features of samples of which only the columns in ``mask`` are observed, shape (n, K)."""
    regression = covariance[~mask][:, mask] @ torch.linalg.pinv(covariance[mask][:, mask], hermitian=True)
    full = mean.expand(len(x), -1).clone()
    full[:, mask] = x
    full[:, ~mask] = mean[~mask] + (x - mean[mask]) @ regression.T
    rest = torch.zeros_like(covariance)
    rest[(~mask)[:, None] & ~mask] = (covariance[~mask][:, ~mask] - regression @ covariance[mask][:, ~mask]).flatten()
    features = block.features(full)
    features[:, block.dimensions :] += rest.flatten()
    return features
