"""What a model draws of a variable where it is missing must be distributed as what others observe of it.

For the conditionals p(v | rest) of one joint, and whatever t is told of the other variables r,

    Σ_r p(v | r, t) p(r | t) = p(v | t)                                                                                (M)

Where v is never observed together with what it explains, likelihoods hardly ask for (M). Say v is four bits of which one is set,
x is v where s = 0 and its negative where s = 1; one source has v alone, another x and s. That is one reading, and v = x is
another. Under it, x drawn around an observed v never has three bits set, so no row from which p(v | x, s) learns says anything of
such x; and p(x | v, s) learns from rows of x, whose v was drawn, that x = v. Each confirms the other. But where s = 1 three bits
of v are then set, which (M) forbids. A judge T(v, t) learns to tell values observed from values drawn, and p(v | rest) to have
its own taken for observed:

    T descends   E_observed softplus(−T) + E_drawn softplus(T) + γ/2 E_observed |∂T/∂v|²
    p descends   −log p(v | rest) + λ E_drawn softplus(−T)

With γ = 0 the best T is log p_observed / p_drawn. At the joint T = 0, and λ changes nothing. The gradient passes drawn bits as if
each were its probability, and |∂T/∂v|² is the mean, over standard normal directions n, of (T(v + εn) − T(v))² / ε² for small ε.

References:
    Generative Adversarial Nets (I. Goodfellow et al., NIPS 2014), arXiv:1406.2661, for both losses.
    Which Training Methods for GANs do actually Converge? (L. Mescheder, A. Geiger, S. Nowozin, ICML 2018), arXiv:1801.04406,
    for the penalty.
    Estimating or Propagating Gradients Through Stochastic Neurons (Y. Bengio, N. Léonard, A. Courville, 2013), arXiv:1308.3432,
    for the gradient through bits.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coplay.core.space import Variable
from coplay.nets import devices
from coplay.nets.conditional import Seen, Sizes, one_hidden_layer

_PENALTY = 1.0  # γ
_SMALL = 0.05  # ε


class Judge(nn.Module):
    """T(v, t): the logarithm of how many times likelier a value of v is to be observed than to be drawn, given t.

    Args:
        name: Of v.
        v: Binary, of any shape.
        told: What t is, by name.
        sizes: See :class:`~coplay.nets.conditional.Sizes`.

    Example:
        >>> s, c = Variable(kind="binary", shape=(4,)), Variable(kind="categorical", classes=3)
        >>> judge = Judge("s", s, {"c": c}, Sizes(channels=1, hidden=8, image_latents=1))
        >>> judge(torch.zeros(5, 4), {"c": torch.zeros(5, dtype=torch.long)}).shape
        torch.Size([5])
    """

    def __init__(self, name: str, v: Variable, told: Mapping[str, Variable], sizes: Sizes) -> None:
        super().__init__()
        self.name, self.told = name, list(told)
        self.seen = Seen({name: v, **told}, sizes)
        self.says = one_hidden_layer(self.seen.size, sizes.hidden, 1)

    def forward(self, values: Tensor, told: Mapping[str, Tensor]) -> Tensor:
        """T for each row, shape (n,); values may be real numbers."""
        return self.says(self.seen({**told, self.name: values}))[:, 0]

    def loss(
        self,
        observed: tuple[Tensor, Mapping[str, Tensor]],
        drawn: tuple[Tensor, Mapping[str, Tensor]],
        generator: torch.Generator,
    ) -> Tensor:
        """What T descends, from values and what is told of rows observed and rows drawn; a scalar."""
        values, told = observed
        found = self(values, told)
        beside = self(values + _SMALL * devices.normal(values.float(), generator), told)
        penalty = ((beside - found) / _SMALL).square().mean()
        return F.softplus(-found).mean() + F.softplus(self(*drawn)).mean() + _PENALTY / 2 * penalty

    def doubt(self, values: Tensor, told: Mapping[str, Tensor]) -> Tensor:
        """What p(v | rest) descends, from values that it drew; a scalar."""
        return F.softplus(-self(values, told)).mean()
