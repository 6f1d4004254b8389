"""An any-order autoregression over columns: p(x) = Π_d p(x_d | the columns before it), any order.

Every number of every variable is a column of levels: classes and bits as they are, counts and real
numbers in bins (:mod:`coplay.nets.bins`). One network has p(x_d | given) for every column d and any
set of given ones (:mod:`coplay.nets.any_order`). It learns from random orders σ of a row's D
observed columns and random places t, uniform in 0 … D − 1; the first t of the order are given:

    loss = D / (D − t) · Σ_{k > t} −log p(x_σ(k) | x_σ(1), …, x_σ(t)).

Its expectation over t is, for each order, Σ_k −log p(x_σ(k) | x_σ(<k)), where the order behind t is
averaged over. So the loss is an unbiased estimate of −log p(row), averaged over orders, in nats and
in the variables' own units. A column that a row lacks is never given and never asked for.

Given any columns of a row, the rest are drawn one by one in a random order. The class is told in
one pass, and log p is exact by one order, that of the space. Columns that no source has had yet are
drawn last, from their range, and tell nothing about others.

What the sources determine: where rows lack columns, a column is drawn given only those that rows
had beside it, in an order that follows what was learned (:mod:`coplay.nets.together`). What no row
has together is independent given what connects it, until samples of others say otherwise.

References:
    TabularARGN: A Flexible and Efficient Auto-Regressive Framework for Generating High-Fidelity
    Synthetic Data (P. Tiwald et al., 2025), arXiv:2501.12012, for the idea.
    Autoregressive Diffusion Models (E. Hoogeboom et al., ICLR 2022), arXiv:2110.02037, for the
    loss.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from typing import ClassVar, Self

import torch
from pydantic import Field, PrivateAttr
from tensordict import TensorDict
from torch import Tensor, nn

from coplay.core.errors import ModelError
from coplay.core.memory import give_back
from coplay.core.simplex import on_simplex
from coplay.core.space import LABEL, Samples, Space, join, pick
from coplay.core.subset import Subset
from coplay.models.base import Mixture, Portion
from coplay.models.many_rows import are_many, fitted_on, presences, side_by_side
from coplay.models.parts import check_class, check_columns, in_parts
from coplay.models.privately import PrivatelyLearning
from coplay.nets import devices, parameters
from coplay.nets.any_order import AnyOrder, columns_of
from coplay.nets.bins import Bins
from coplay.nets.column_draws import ColumnDraws, one_hot_levels
from coplay.nets.together import Together

_VALIDATION_DRAWS = 8  # of order and place, for early stopping
_EVEN = 0.05  # share of frequencies that is even, where noise may say that a level never occurs
_ROWS_OF_LOSSES = 4_000  # at a time, for memory
_LEVELS = "levels"
_INSIDE = "inside"
_TOGETHER = "together"

_FEW_CELLS = 10_000
"""Most combinations of levels of a table that is small."""

_ROWS_AT_ONCE = 50_000
"""Rows that become levels at a time."""


class Autoregressive(PrivatelyLearning):
    """Columns of a table one by one, each given any of the others; exact log p.

    It learns from rows with any missing columns and from parts with different ones, and completes
    any cells of a row. Bins and frequencies are fitted on what it learns from first and are part of
    its state; they are fitted anew where later rows lie elsewhere.

    Args:
        batch: Rows a step; four times as many of a few classes and bits alone.
        bins: Bins of a count or a real number.
        hidden: Width of the perceptron.
        blocks: Its residual blocks.
        embedding: Numbers that a value becomes.
        weight_decay: AdamW's.

    Example:
        >>> from coplay import Variable
        >>> from coplay.models.base import OWN
        >>> space = Space({"a": Variable(kind="binary"), "x": Variable(kind="real")})
        >>> model = Autoregressive.tiny()
        >>> model.setup(space, seed=1)
        >>> a = torch.tensor([0, 1], dtype=torch.uint8).repeat(50)
        >>> rows = space.samples(a=a, x=a + torch.arange(100) / 1000)
        >>> _ = model.learn(Mixture((Portion(OWN, rows, 1.0),)), 100, torch.Generator())
        >>> ones = space.samples(a=torch.ones(200, dtype=torch.uint8))
        >>> drawn = model.complete(ones, torch.Generator().manual_seed(1))
        >>> (drawn["x"] > 0.5).float().mean() > 0.9
        tensor(True)
    """

    learns_incomplete: ClassVar[bool] = True
    takes_rows: ClassVar[bool] = True
    validates_incomplete: ClassVar[bool] = True
    citation: ClassVar[tuple[str, ...]] = ("tiwald2025tabularargn", "hoogeboom2022ardm")

    batch: int = Field(default=128, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    bins: int = Field(default=50, ge=4)
    hidden: int = Field(default=256, ge=1)
    blocks: int = Field(default=2, ge=1)
    embedding: int = Field(default=16, ge=1)
    weight_decay: float = Field(default=0.01, ge=0)

    _net: AnyOrder = PrivateAttr()
    _bins: Bins = PrivateAttr()
    _together: Together = PrivateAttr()
    _draws_first: bool = PrivateAttr(default=False)  # of very many rows, only a batch has levels

    def build(self, space: Space) -> AnyOrder:
        """Build the bins and the network."""
        check_columns(space)
        self._bins = Bins(space, self.bins)
        sizes = self._bins.sizes
        self._together = Together(len(sizes))
        net = AnyOrder(sizes, self._bins.binned, self.hidden, self.blocks, self.embedding)
        net.follow(self._bins.frequencies)
        return net

    def sides(self) -> Mapping[str, list[nn.Parameter]]:
        """Return all parameters; their loss is −log p of a row."""
        return {"row": list(self._net.parameters())}

    def optimizer(self, moved: list[nn.Parameter]) -> torch.optim.Adam:
        """Return AdamW, which pulls weights towards zero beside its steps."""
        decay = self.weight_decay
        return torch.optim.AdamW(moved, lr=self.learning_rate, weight_decay=decay, fused=self.fused)

    # ----------------------------------------------------------------------------------- learning

    def in_standard_units(self, mixture: Mixture) -> Mixture:
        """Let the bins follow the sources, and return these as levels."""
        if self._bins.follow(fitted_on(mixture), mixture.weights.tolist()):
            self._forget_best()  # the best parameters were those of other bins
        self._net.follow(self._bins.frequencies)
        for part in mixture.parts:
            if part.weight > 0:
                self._together.follow_all(presences(self._space, part))
        self._draws_first = are_many(mixture)
        if self._draws_first:
            give_back()
            return mixture
        parts = [Portion(p.name, self._as_levels(p.whole()), p.weight) for p in mixture.parts]
        return Mixture(tuple(parts))

    def _as_levels(self, samples: Samples) -> Samples:
        """Return the levels of samples, (n, D), and Σ_d log p(x_d | its level), (n,)."""
        n = len(samples)
        kind = torch.int16 if max(self._bins.sizes) < 2**15 else torch.int64
        levels = torch.empty(n, len(self._bins.sizes), dtype=kind)
        inside = torch.empty(n)
        for start in range(0, n, _ROWS_AT_ONCE):
            here = slice(start, start + _ROWS_AT_ONCE)
            rows = pick(samples, here)
            of_rows = self._bins.levels(rows)
            inside[here] = self._bins.log_inside(rows, of_rows).sum(1).float()
            levels[here] = of_rows.to(kind)
        return TensorDict({_LEVELS: levels, _INSIDE: inside}, [n])

    def drawn(self, mixture: Mixture, generator: torch.Generator) -> dict[str, Samples]:
        """Draw one batch, as one sample set per source, on the network's device."""
        # a row answers one question of many in a step, and shares of a few cells show the noise
        is_small = not any(self._bins.binned) and math.prod(self._bins.sizes) <= _FEW_CELLS
        drawn = mixture.drawn(self.batch * (4 if is_small else 1), generator)
        if self._draws_first:
            levels = self._as_levels(side_by_side(self._space, drawn))
            drawn = dict(zip(drawn, levels.split([*map(len, drawn.values())]), strict=True))
        return {source: devices.moved(part, self._place) for source, part in drawn.items()}

    def losses(self, mixture: Mixture, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
        """Yield the loss of one step, a mean over the batch."""
        rows = join(list(self.drawn(mixture, generator).values()))
        yield "row", self._surprise(rows, generator).mean()

    def _surprise(self, rows: Samples, generator: torch.Generator) -> Tensor:
        """Estimate −log p of rows from one order and one place each; shape (n,)."""
        drawn = self.with_draws(rows, generator)
        blocks = zip(*(each.split(_ROWS_OF_LOSSES) for each in drawn.values()), strict=True)
        losses = [self.row_losses(self._net, dict(zip(drawn, b, strict=True))) for b in blocks]
        return torch.cat(losses) - rows[_INSIDE]

    def with_draws(self, rows: Samples, generator: torch.Generator) -> dict[str, Tensor]:
        """Return what is given and asked for of each row, and how much it counts."""
        levels = rows[_LEVELS].long()
        observed = levels >= 0
        count = observed.sum(1)
        # columns in random order, those that are missing behind all others
        score = devices.uniform(levels, generator) + 2.0 * ~observed
        rank = score.argsort(1).argsort(1)
        place = (devices.uniform(rows[_INSIDE], generator) * count).long()
        given = observed & (rank < place[:, None])
        return {
            "levels": levels,
            "given": torch.where(given, levels, -1),
            "asked": observed & ~given,
            "count": count,
            "left": (count - place).clamp_min(1),
        }

    def row_losses(self, net: nn.Module, rows: Mapping[str, Tensor]) -> Tensor:
        """Estimate −log P of the levels of rows, shape (n,)."""
        assert isinstance(net, AnyOrder), "its own network"
        log_p = net.log_probabilities(rows["given"], rows["levels"])
        total = torch.where(columns_of(rows["asked"], net.order), log_p, 0.0).sum(1)
        return -total * rows["count"] / rows["left"]

    def as_rows(self, samples: Samples) -> Samples:
        """Return the levels of samples."""
        return self._as_levels(samples)

    def fix_units(self) -> None:
        """Cut the agreed ranges into bins of equal width."""
        self._bins.known.update(dict.fromkeys(self._bins.known, True))
        self._together.pairs[:] = True  # which pairs of columns rows have would tell of the rows
        self._net.follow(self._bins.frequencies)

    def histogram(self, samples: Samples) -> Tensor:
        """Return which level each column has, as 0 and 1, shape (n, levels of all columns)."""
        return one_hot_levels(self._bins.levels(samples), self._bins.sizes)

    @property
    def most_at_once(self) -> int:
        """The most ones of a row in :meth:`histogram`: one a column."""
        return len(self._bins.sizes)

    def follow_histogram(self, sums: Tensor, names: Collection[str]) -> None:
        """Take the frequencies of levels from noisy counts."""
        counts = sums.split(self._bins.sizes)
        columns = range(len(counts))
        for column in [i for name in names for i in columns[self._bins.columns[name]]]:
            own, even = counts[column], self._bins.frequencies[column]
            usable = even > 0
            shares = torch.zeros_like(even)
            shares[usable] = on_simplex(own[usable] / own[usable].sum().clamp_min(1))
            self._bins.frequencies[column] = (1 - _EVEN) * shares + _EVEN * even
        self._net.follow(self._bins.frequencies)

    def validation_loss(self, samples: Samples, generator: torch.Generator) -> Tensor:
        """−log p from several orders and places, by the parameters that samples are drawn from."""
        rows = devices.moved(self._as_levels(samples), self._place)
        with self.averaged(), torch.no_grad():
            losses = [self._surprise(rows, generator) for _ in range(_VALIDATION_DRAWS)]
        return torch.stack(losses).mean(0).cpu()

    # ------------------------------------------------------------------------- drawing, completing

    def sample(self, n: int, generator: torch.Generator) -> Samples:
        """Draw column by column, in a random order where every two were learned together."""
        return self.complete(TensorDict({}, [n]), generator)

    def complete(self, partial: Samples, generator: torch.Generator) -> Samples:
        """Draw what is missing given what is there, column by column.

        The order is random where every two columns were learned together. Variables may be absent,
        and so may single values of them (NaN, -1 or, of bits, 255). What is given stays to the last
        bit.
        """
        parts = []
        with self.averaged(), torch.no_grad():
            for part in in_parts(partial):
                parts.append(self._completed(part, generator))
        return join(parts)

    @property
    def _draws(self) -> ColumnDraws:
        return ColumnDraws(self._net, self._bins.known_columns, self._together, self._place)

    def _completed(self, part: Samples, generator: torch.Generator) -> Samples:
        levels = self._bins.levels(part)
        given = levels >= 0
        self._draws.fill(levels, generator)
        values = self._bins.values(levels, generator)
        for name, columns in self._bins.columns.items():
            if name in part.keys():
                there = given[:, columns].reshape(part[name].shape)
                values[name] = torch.where(there, part[name], values[name].to(part[name].dtype))
        return values

    def chance_within(self, partial: Samples, name: str, subset: Subset) -> Tensor | None:
        """p(one variable lies in a subset | what is there), float64, shape (n,).

        None for what only rejection can do: variables of several numbers, lists of numbers.
        """
        shares = self._shares_within(partial, name, subset)
        return None if shares is None else shares.sum(1)

    def complete_within(
        self, partial: Samples, name: str, subset: Subset, generator: torch.Generator
    ) -> Samples:
        """Draw what is missing given what is there and that one variable lies in a subset.

        The variable comes first, from its law given what is there, restricted to the subset; the
        others follow given its value. So it is exact, in an order of columns that begins with it.

        Raises:
            ModelError: It cannot, or the chance of the subset is 0.
        """
        shares = self._shares_within(partial, name, subset)
        within = self._bins.within(name, subset)
        if shares is None or within is None or not (shares.sum(1) > 0).all():
            raise ModelError(f"autoregressive cannot draw '{name}' in {subset}")
        levels = devices.classes(shares / shares.sum(1, keepdim=True), 1, generator)[:, 0].cpu()
        begin, end = (each[levels] for each in within)
        u = torch.rand(len(levels), generator=generator, dtype=torch.float64)
        values = self._bins.drawn_within(name, levels, begin + u * (end - begin), subset)
        return self.complete(TensorDict({**partial, name: values}, [len(partial)]), generator)

    def _shares_within(self, partial: Samples, name: str, subset: Subset) -> Tensor | None:
        """Return P(level and subset | what is there), float64, shape (n, levels)."""
        if self._space[name].shape:
            return None
        within = self._bins.within(name, subset)
        if within is None:
            return None
        column = self._bins.columns[name].start
        parts = []
        with self.averaged(), torch.no_grad():
            for part in in_parts(partial):
                state = self._draws.state(self._bins.levels(part), column)
                parts.append(self._net.logits(state, column).cpu().double().softmax(1))
        return torch.cat(parts) * (within[1] - within[0])

    def log_prob(self, samples: Samples) -> Tensor:
        """Log p(x) in nats, in the variables' own units, shape (n,).

        By the space's order, or by one that follows what was learned together.

        Computed in 64 bits, so that p sums and integrates to 1 to rounding.
        """
        parts = []
        with self.averaged(), torch.no_grad():
            # on the CPU, since not all accelerators have 64 bits
            net = deepcopy(self._net).cpu().double()
            for part in in_parts(samples):
                parts.append(self._log_prob(net, part))
        return torch.cat(parts)

    def _log_prob(self, net: AnyOrder, samples: Samples) -> Tensor:
        levels = self._bins.levels(samples)
        known = self._draws.known(levels)
        log_p = self._bins.log_inside(samples, levels).sum(1)
        order = list(range(levels.shape[1]))
        is_whole = self._together.all_of(self._bins.known_columns)
        if not is_whole:
            order = self._draws.in_order(torch.tensor(order), [])
        before = torch.full_like(levels, -1)
        state = net.begin(before)
        for column in order:
            if not is_whole:
                state = net.begin(self._together.only_beside(before, column))
            each = net.logits(state, column).log_softmax(1)
            log_p = log_p + each.gather(1, levels[:, column, None])[:, 0]
            before[:, column] = known[:, column]
            state = net.given_too(state, column, known[:, column])
        return log_p

    def classify(self, samples: Samples) -> Tensor:
        """p(class | given variables) in one pass, shape (n, C); a given ``"class"`` is ignored.

        Raises:
            ModelError: There is no class.
        """
        check_class("autoregressive", self._space)
        column = self._bins.columns[LABEL].start
        parts = []
        with self.averaged(), torch.no_grad():
            for part in in_parts(samples):
                levels = self._bins.levels(part)
                levels[:, column] = -1
                state = self._draws.state(levels, column)
                parts.append(self._net.logits(state, column).softmax(1).cpu())
        return torch.cat(parts)

    # -------------------------------------------------------------------------------------- state

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return what every network has, and the bins."""
        bins = parameters.prefixed("bins/", self._bins.state_dict())
        return {**super().state_dict(), **bins, _TOGETHER: self._together.pairs.clone()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        state = dict(state)
        self._together.pairs = state.pop(_TOGETHER).clone()
        super().load_state_dict(state)
        self._bins.load_state_dict(parameters.under("bins/", state))
        self._net.follow(self._bins.frequencies)

    @classmethod
    def tiny(cls) -> Self:
        """Return a small network and few bins."""
        return cls(bins=8, hidden=16, blocks=1, embedding=4, batch=64, learning_rate=0.01)
