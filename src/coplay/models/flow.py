"""A normalizing flow: real columns as a smooth, invertible image of noise, given the categories.

With a bijection f(·, c) that a network makes from the categories c of a row,

    log p(x, c) = log p(c) + log N(f(x, c); 0, 1) + log |∂f/∂x|.

f is a chain of monotone rational splines, each column's given those before it (zuko's ``NSF``).
Categories and bits are conditions. p(c) is how often each combination of them is there in the
mixture, by the sources' weights: combinations are drawn as often as that, and others never.

References:
    Neural Spline Flows (C. Durkan, A. Bekasov, I. Murray, G. Papamakarios, NeurIPS 2019),
    arXiv:1906.04032.
    Zuko: Normalizing flows in PyTorch (F. Rozet et al., 2022), https://github.com/probabilists/zuko
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, ClassVar, Self

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor, nn

from coplay.core.errors import ModelError
from coplay.core.space import LABEL, Samples, Space, join
from coplay.models.base import Mixture
from coplay.models.neural import NeuralModel
from coplay.models.parts import check_class
from coplay.nets import devices, parameters
from coplay.nets.combinations import Combinations
from coplay.nets.splines import check_columns, splines

_ROWS = 500  # at a time, for memory


class Flow(NeuralModel):
    """A normalizing flow over real columns, given the categories beside them; exact log p.

    It needs ``pip install 'coplay[flows]'``. Given categories, it draws the real columns; given all
    of these, categories. With some real columns only, ``autoregressive`` completes the others.

    Warning:
        Draws outside a variable's limits are moved to them; log p is that of the flow without
        limits. Rare combinations of categories are drawn as they were in the data.

    Args:
        transforms: Splines in a chain.
        knots: Intervals of each spline.
        hidden: Width of the two layers of each network.

    Example:
        >>> from coplay import Variable
        >>> space = Space({"class": Variable(kind="categorical", classes=3),
        ...                "x": Variable(kind="real", shape=(2,))})
        >>> model = Flow.tiny()
        >>> model.setup(space, seed=1)
        >>> twos = space.samples(**{"class": torch.tensor([2, 2])})
        >>> model.complete(twos, torch.Generator().manual_seed(1))["x"].shape
        torch.Size([2, 2])
    """

    kinds: ClassVar[tuple[str, ...]] = ("binary", "categorical", "real")
    scales: ClassVar[bool] = True
    citation: ClassVar[tuple[str, ...]] = ("durkan2019nsf", "rozet2022zuko")

    batch: int = Field(default=256, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    transforms: int = Field(default=3, ge=1)
    knots: int = Field(default=8, ge=2)
    hidden: int = Field(default=64, ge=1)

    _net: Any = PrivateAttr()
    _real: list[str] = PrivateAttr(default_factory=list)
    _numbers: int = PrivateAttr(default=0)
    _combinations: Combinations = PrivateAttr()

    def build(self, space: Space) -> Any:
        """Build the flow."""
        self._real = [name for name in space if space[name].kind == "real"]
        self._numbers = sum(space[name].size for name in self._real)
        check_columns(space, self._real, self.kinds)
        self._combinations = Combinations(space)
        context = 1 + sum(self._combinations.sizes)
        widths = (self.hidden, self.hidden)
        return splines(self._numbers, context, self.knots, self.transforms, widths)

    def sides(self) -> Mapping[str, list[nn.Parameter]]:
        """Return all parameters; their loss is −log p(x | c) in standard units."""
        return {"flow": list(self._net.parameters())}

    # ----------------------------------------------------------------------------------- learning

    def learn(
        self, mixture: Mixture, steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """Take so many steps, then count which combination of categories has which mass."""
        numbers = super().learn(mixture, steps, generator)
        if not self.stopped:
            sources = [part.samples for part in mixture.parts]
            self._combinations.count(sources, mixture.weights.tolist())
        return numbers

    def losses(self, mixture: Mixture, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
        """Yield the loss of one step, a mean over the batch."""
        rows = join(list(self.drawn(mixture, generator).values()))
        yield "flow", -self._log_given(rows).mean()

    def validation_loss(self, samples: Samples, generator: torch.Generator) -> Tensor:
        """−log p(x | c), by the parameters that samples are drawn from."""
        with self.averaged(), torch.no_grad():
            return -self._log_given(devices.moved(samples, self._place)).cpu()

    def _log_given(self, standard: Samples) -> Tensor:
        """Log p(x | c) of samples in standard units, (n,)."""
        codes = self._combinations.codes(self._combinations.levels(standard))
        log_p: Tensor = self._net(codes).log_prob(self._side_by_side(standard))
        return log_p

    def _side_by_side(self, samples: Samples) -> Tensor:
        """Return all real numbers, (n, D)."""
        n = len(samples)
        return torch.cat([samples[name].reshape(n, -1) for name in self._real], 1)

    # ------------------------------------------------------------------------- drawing, completing

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw combinations of categories by their masses, then the real columns given them."""
        unknown = torch.full((n, len(self._combinations.sizes)), -1)
        return self._drawn(self._combinations.chosen(unknown, 0.0, generator), generator)

    def complete(self, partial: Samples, generator: torch.Generator) -> Samples:
        """Draw categories that are missing, and all real columns where all of them are.

        Raises:
            ModelError: Some real numbers are there and others are not.
        """
        levels = self._combinations.levels(partial)
        if not self._has_reals(partial):
            return self._drawn(self._combinations.chosen(levels, 0.0, generator), generator)
        whole = self._combinations.chosen(levels, self._log_likelihoods(partial), generator)
        # what is given stays to the last bit
        return self._as_samples(self._side_by_side(partial), whole)

    def _has_reals(self, partial: Samples) -> bool:
        """Whether all real numbers are there, or none.

        Raises:
            ModelError: Neither.
        """
        given = [name for name in self._real if name in partial.keys()]
        present = [~partial[name].isnan().flatten() for name in given]
        there = torch.cat([*present, torch.zeros(0, dtype=torch.bool)])
        if not there.any():
            return False
        if len(given) < len(self._real) or not there.all():
            raise ModelError(
                "flow draws all real columns or none; to complete some of them given others, "
                "choose autoregressive or gaussian_copula"
            )
        return True

    def _drawn(self, levels: Tensor, generator: torch.Generator) -> Samples:
        """Draw the real columns given all conditions; all variables of the space."""
        noise = torch.randn(len(levels), self._numbers, generator=generator)
        parts = []
        with self.averaged(), torch.no_grad():
            for z, c in zip(noise.split(_ROWS), levels.split(_ROWS), strict=True):
                flow = self._net(self._combinations.codes(c).to(self._place))
                parts.append(flow.transform.inv(z.to(self._place)).cpu())
        return self._scaling.original(self._as_samples(torch.cat(parts), levels))

    def _as_samples(self, numbers: Tensor, levels: Tensor) -> Samples:
        """Return the variables of a table that lie side by side."""
        values = {}
        sizes = [self._space[name].size for name in self._real]
        real = dict(zip(self._real, numbers.split(sizes, 1), strict=True))
        for name in self._space:
            v = self._space[name]
            columns = real.get(name)
            if columns is None:
                columns = levels[:, self._combinations.columns[name]].to(v.dtypes[0])
            values[name] = columns.reshape(-1, *v.shape)
        return self._space.samples(**values)

    # -------------------------------------------------------------------------------------- log p

    def log_prob(self, samples: Samples) -> Tensor:
        """Log p(x, c) in nats, in the variables' own units, (n,), computed in 64 bits.

        −∞ for categories that were never learned from together.
        """
        levels = self._combinations.levels(samples)
        return self._log_likelihood(samples, levels) + self._combinations.log_masses(levels)

    def _log_likelihood(self, samples: Samples, levels: Tensor) -> Tensor:
        """Log p(x | c) in own units, float64, (n,)."""
        numbers = self._side_by_side(self._scaling.standard(samples, torch.float64)).double()
        parts = []
        with self.averaged(), torch.no_grad():
            # on the CPU, since not all accelerators have 64 bits
            net = deepcopy(self._net).cpu().double()
            for x, c in zip(numbers.split(_ROWS), levels.split(_ROWS), strict=True):
                parts.append(net(self._combinations.codes(c).double()).log_prob(x))
        return torch.cat(parts) - self._scaling.log_volume()

    def _log_likelihoods(self, samples: Samples) -> Tensor:
        """Log p(x | combination) of all combinations that are there, (n, combinations)."""
        columns = [torch.zeros(len(samples), 0, dtype=torch.float64)]
        for combination in self._combinations.rows:
            levels = combination.expand(len(samples), -1)
            columns.append(self._log_likelihood(samples, levels)[:, None])
        return torch.cat(columns, 1)

    def classify(self, samples: Samples) -> Tensor:
        """p(class | x, other categories) by Bayes, (n, C); a given ``"class"`` is ignored.

        Even where no combination of categories that was learned from agrees.

        Raises:
            ModelError: There is no class, or real numbers are missing.
        """
        check_class("flow", self._space)
        likelihoods: Tensor | float = 0.0
        if self._has_reals(samples):
            likelihoods = self._log_likelihoods(samples)
        levels = self._combinations.levels(samples.exclude(LABEL))
        posterior = self._combinations.posterior(levels, likelihoods)
        classes = self._space[LABEL].classes or 0
        of_each = self._combinations.rows[:, self._combinations.columns[LABEL].start]
        shares = torch.zeros(len(samples), classes, dtype=torch.float64)
        shares.index_add_(1, of_each, posterior)
        total = shares.sum(1, keepdim=True)
        return torch.where(total > 0, shares / total, 1 / classes).float()

    # -------------------------------------------------------------------------------------- state

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return what every network has, and the categories' masses."""
        own = parameters.prefixed("combinations/", self._combinations.state_dict())
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        super().load_state_dict(state)
        self._combinations.load_state_dict(parameters.under("combinations/", state))

    @classmethod
    def tiny(cls) -> Self:
        """Return a small flow."""
        return cls(transforms=1, knots=3, hidden=8, batch=32)
