"""What a model draws of a variable where it is missing must be distributed as others observe it.

For the conditionals p(v | rest) of one joint, and whatever t is known of the other variables r,

    Σ_r p(v | r, t) p(r | t) = p(v | t)                                                         (M)

Where v is never observed together with what it explains, likelihoods hardly enforce (M). Say v is
four bits of which one is set, x is v where s = 0 and its negative where s = 1; one source has v
alone, another x and s. That is one reading, and v = x is another. Under it, x drawn around an
observed v never has three bits set, so p(v | x, s) learns from no row with such an x; and
p(x | v, s) learns from rows of x, whose v was drawn, that x = v. Each confirms the other. But where
s = 1 three bits of v are then set, which (M) forbids. A critic T(v, t) learns to distinguish
observed values from drawn ones, and p(v | rest) to draw values that it takes for observed:

    T descends   E_observed softplus(−T) + E_drawn softplus(T) + γ/2 E_observed |∂T/∂v|²
    p descends   −log p(v | rest) + λ E_drawn softplus(−T)

With γ = 0 the best T is log p_observed / p_drawn. At the joint T = 0, and λ changes nothing. The
gradient passes drawn bits as if each were its probability, and |∂T/∂v|² is the mean, over standard
normal directions n, of (T(v + εn) − T(v))² / ε² for small ε.

References:
    Generative Adversarial Nets (I. Goodfellow et al., NIPS 2014), arXiv:1406.2661, for both losses.
    Which Training Methods for GANs do actually Converge? (L. Mescheder, A. Geiger, S. Nowozin,
    ICML 2018), arXiv:1801.04406, for the penalty.
    Estimating or Propagating Gradients Through Stochastic Neurons (Y. Bengio, N. Léonard,
    A. Courville, 2013), arXiv:1308.3432, for the gradient through bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coplay.core.space import Variable
from coplay.nets import devices
from coplay.nets.perceptrons import one_hidden_layer
from coplay.nets.variables import InputEncoder, Sizes

_PENALTY = 1.0  # γ
_SMALL = 0.05  # ε

Context = Mapping[str, Tensor]
"""Values of t by name, rows first."""


class Critic(nn.Module):
    """T(v, t): the log of how much likelier a value of v is to be observed than drawn, given t.

    Args:
        name: Of v.
        v: Binary, of any shape.
        context: The variables of t, by name.
        sizes: See :class:`~coplay.nets.variables.Sizes`.

    Example:
        >>> s, c = Variable(kind="binary", shape=(4,)), Variable(kind="categorical", classes=3)
        >>> critic = Critic("s", s, {"c": c}, Sizes(channels=1, hidden=8, image_latents=1))
        >>> critic(torch.zeros(5, 4), {"c": torch.zeros(5, dtype=torch.long)}).shape
        torch.Size([5])
    """

    def __init__(
        self, name: str, v: Variable, context: Mapping[str, Variable], sizes: Sizes
    ) -> None:
        super().__init__()
        self.name = name
        self.context = list(context)
        # the names of the two parts are those of parameters in checkpoints
        self.seen = InputEncoder({name: v, **context}, sizes)
        self.says = one_hidden_layer(self.seen.size, sizes.hidden, 1)

    def forward(self, values: Tensor, context: Context) -> Tensor:
        """T for each row, shape (n,); values may be real numbers."""
        return self.says(self.seen({**context, self.name: values}))[:, 0]

    def loss(
        self,
        observed: tuple[Tensor, Context],
        drawn: tuple[Tensor, Context],
        generator: torch.Generator,
    ) -> Tensor:
        """The loss of T on values and contexts of rows observed and rows drawn; a scalar."""
        values, context = observed
        score = self(values, context)
        noise = devices.normal(values.float(), generator)
        shifted = self(values + _SMALL * noise, context)
        penalty = ((shifted - score) / _SMALL).square().mean()
        loss = F.softplus(-score).mean() + F.softplus(self(*drawn)).mean()
        return loss + _PENALTY / 2 * penalty

    def generator_loss(self, values: Tensor, context: Context) -> Tensor:
        """The loss of p(v | rest) on values that it drew; a scalar."""
        return F.softplus(-self(values, context)).mean()


@dataclass(frozen=True)
class Comparison:
    """Rows with a variable observed and rows with it drawn, for a critic to compare.

    Args:
        critic: The variable's critic.
        observed: Its values where it is observed.
        of_observed: The contexts of those rows.
        drawn: Its values drawn by the conditional that learns; gradients pass through them.
        of_drawn: The contexts of those rows.
    """

    critic: Critic
    observed: Tensor
    of_observed: Context
    drawn: Tensor
    of_drawn: Context

    def critic_loss(self, generator: torch.Generator) -> Tensor:
        """The critic's loss; a scalar."""
        observed = (self.observed, self.of_observed)
        drawn = (self.drawn.detach(), self.of_drawn)
        return self.critic.loss(observed, drawn, generator)

    def generator_loss(self) -> Tensor:
        """The conditional's loss beside its log-likelihood; a scalar."""
        return self.critic.generator_loss(self.drawn, self.of_drawn)
