"""The blocks that exponential families are made of, and their product over a space.

    p_θ(x) = h(x) exp(⟨θ, φ(x)⟩ − A(θ)),   μ = ∇A(θ) = E_pθ[φ]

The family follows from the space: each binary variable a Bernoulli vector, categorical a
categorical, count a Poisson vector, and all real variables together one multivariate Gaussian; the
blocks are independent of each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from coplay.core.space import Samples, Space, Variable


class Block(Protocol):
    """One independent block of a family, on values of shape (n, D) in float64, with K features."""

    size: int

    def features(self, x: Tensor) -> Tensor:
        """φ(x), shape (n, K)."""
        ...

    def middle(self) -> Tensor:
        """μ in the middle of the marginal polytope, or of a standard law; shape (K,), float64."""
        ...

    def natural(self, moments: Tensor) -> Tensor:
        """θ(μ), shape (…, K)."""
        ...

    def log_partition(self, natural: Tensor) -> Tensor:
        """A(θ), shape (…)."""
        ...

    def utility(self, target: Tensor, moments: Tensor) -> Tensor:
        """⟨θ(μ), t⟩ − A(θ(μ)), shape (…); on the border, 0 log 0 = 0."""
        ...

    def log_base(self, x: Tensor) -> Tensor:
        """log h(x), shape (n,)."""
        ...

    def sample(self, moments: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw n values, shape (n, D)."""
        ...


class BernoulliBlock:
    """φ(x) = x, A(θ) = Σ log(1 + e^θ), h = 1."""

    def __init__(self, variable: Variable) -> None:
        self.size = variable.size

    def features(self, x: Tensor) -> Tensor:
        """φ(x) = x."""
        return x

    def middle(self) -> Tensor:
        """Return the moments of fair coins."""
        return torch.full((self.size,), 0.5, dtype=torch.float64)

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
        """Draw independent bits."""
        drawn = torch.rand(n, self.size, generator=generator, dtype=torch.float64)
        return (drawn < moments).double()


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

    def middle(self) -> Tensor:
        """Return the moments of even classes."""
        return torch.full((self.size,), 1 / self.classes, dtype=torch.float64)

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
        """Draw independent classes."""
        p = self._probabilities(moments).clamp_min(0)
        return torch.multinomial(p, n, replacement=True, generator=generator).T.double()


class PoissonBlock:
    """φ(x) = x, A(θ) = Σ e^θ, h(x) = Π 1/x!."""

    def __init__(self, variable: Variable) -> None:
        self.size = variable.size

    def features(self, x: Tensor) -> Tensor:
        """φ(x) = x."""
        return x

    def middle(self) -> Tensor:
        """Return the moments of rate 1."""
        return torch.ones(self.size, dtype=torch.float64)

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
        """Draw independent counts."""
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
        """Return the moments of a mean and a covariance; the inverse of :meth:`split`."""
        second = covariance + mean[..., :, None] * mean[..., None, :]
        return torch.cat([mean, second.flatten(-2)], -1)

    def features(self, x: Tensor) -> Tensor:
        """(x, x xᵀ), shape (n, D + D²)."""
        return torch.cat([x, (x[:, :, None] * x[:, None, :]).flatten(1)], 1)

    def middle(self) -> Tensor:
        """Return the moments of the standard normal distribution."""
        mean = torch.zeros(self.dimensions, dtype=torch.float64)
        return torch.cat([mean, torch.eye(self.dimensions, dtype=torch.float64).flatten()])

    def natural(self, moments: Tensor) -> Tensor:
        """(Σ⁻¹m, −½Σ⁻¹)."""
        mean, covariance = self.split(moments)
        precision = torch.linalg.inv(covariance)
        return torch.cat([(precision @ mean[..., None])[..., 0], -0.5 * precision.flatten(-2)], -1)

    def log_partition(self, natural: Tensor) -> Tensor:
        """½ ηᵀΣη + ½ log det Σ + D/2 log 2π with η = Σ⁻¹m; +∞ if Σ is not positive definite."""
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
        """Draw correlated values; the covariance may be singular."""
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
        self.blocks: list[tuple[list[str], Block]] = []
        for name in space:
            if space[name].kind != "real":
                self.blocks.append(([name], makers[space[name].kind](space[name])))
        if self.real:
            dimensions = sum(space[name].size for name in self.real)
            self.blocks.append((self.real, GaussianBlock(dimensions)))
        self.size = sum(block.size for _, block in self.blocks)

    def split(self, values: Tensor) -> list[tuple[Block, Tensor]]:
        """Return every block with its part of features or parameters, which have shape (…, K)."""
        parts = values.split([block.size for _, block in self.blocks], -1)
        return [(block, part) for (_, block), part in zip(self.blocks, parts, strict=True)]

    def middle(self) -> Tensor:
        """Fair coins, even classes, rate 1, standard normal; shape (K,), float64."""
        return torch.cat([block.middle() for _, block in self.blocks])

    def features(self, samples: Samples) -> Tensor:
        """φ(x), shape (n, K); every variable must be present."""
        each = [block.features(columns(samples, names)) for names, block in self.blocks]
        return torch.cat(each, 1)

    def natural(self, moments: Tensor) -> Tensor:
        """θ(μ), shape (…, K); infinite where μ is on the border of the marginal polytope."""
        return torch.cat([block.natural(part) for block, part in self.split(moments)], -1)

    def log_partition(self, natural: Tensor) -> Tensor:
        """A(θ), shape (…), in nats."""
        each = [block.log_partition(part) for block, part in self.split(natural)]
        return torch.stack(each).sum(0)

    def mean(self, natural: Tensor) -> Tensor:
        """μ(θ) = ∇A(θ), shape (…, K)."""
        with torch.enable_grad():
            theta = natural.detach().requires_grad_()
            gradient: Tensor = torch.autograd.grad(self.log_partition(theta).sum(), theta)[0]
        return gradient

    def utility(self, target: Tensor, moments: Tensor) -> Tensor:
        """Mean log-likelihood of data with moments ``target``, up to E[log h]; shape (…)."""
        pairs = zip(self.split(target), self.split(moments), strict=True)
        each = [block.utility(t, m) for (block, t), (_, m) in pairs]
        return torch.stack(each).sum(0)

    def log_prob(self, moments: Tensor, samples: Samples) -> Tensor:
        """log p(x), shape (n,), in nats; −∞ where x is impossible."""
        each = [block.log_base(columns(samples, names)) for names, block in self.blocks]
        base = torch.stack(each).sum(0)
        return base + self.utility(self.features(samples), moments.expand(len(samples), -1))


def columns(samples: Samples, names: list[str]) -> Tensor:
    """Return variables side by side, shape (n, D), float64."""
    each = [samples[name].reshape(len(samples), -1).double() for name in names]
    return each[0] if len(each) == 1 else torch.cat(each, 1)
