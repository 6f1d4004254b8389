"""A network that has p(column | any other columns) for every column of levels, in one pass.

What is given of a row, and nothing for the rest, becomes one vector; from it follow the logits of
all columns,

    log p(level l of column d | given) = log f_dl + a_dl(h) + Σ_m b_dm(h) cos(π m r_dl) + const,

with the frequencies f of the levels and the vector h from a perceptron of residual blocks. r is the
rank of a bin among what was learned from, in [0, 1], so that a column of bins learns smooth
functions of the rank first; classes have no order and no waves. The last layer begins with zeros:
before it has learned, the columns are independent and have their frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_WAVES = 16


class AnyOrder(nn.Module):
    """p(column | given columns) for columns of levels.

    Args:
        sizes: Levels of each of the D columns.
        binned: Whether the levels of a column have an order.
        hidden: Width of the perceptron, H.
        blocks: Its residual blocks.
        embedding: Numbers that a value becomes.

    Example:
        >>> net = AnyOrder([2, 3], [False, False], hidden=8, blocks=1, embedding=2)
        >>> state = net.begin(torch.tensor([[1, -1], [-1, -1]]))
        >>> net.logits(state, 1).softmax(1)
        tensor([[0.3333, 0.3333, 0.3333],
                [0.3333, 0.3333, 0.3333]], grad_fn=<SoftmaxBackward0>)
    """

    def __init__(
        self, sizes: Sequence[int], binned: Sequence[bool], hidden: int, blocks: int, embedding: int
    ) -> None:
        super().__init__()
        alike: dict[tuple[int, bool], list[int]] = {}
        for column, kind in enumerate(zip(sizes, binned, strict=True)):
            alike.setdefault(kind, []).append(column)
        self.groups = nn.ModuleList()
        self._places: dict[int, tuple[int, int]] = {}  # group and place in it, by column
        for (size, has_order), columns in alike.items():
            group = _Alike(columns, size, _WAVES if has_order else 0, hidden, embedding)
            with torch.no_grad():
                group.inputs.div_(math.sqrt(len(sizes)))
            for i, column in enumerate(columns):
                self._places[column] = (len(self.groups), i)
            self.groups.append(group)
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.blocks = nn.ModuleList()
        for _ in range(blocks):
            layers = [nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden)]
            self.blocks.append(nn.Sequential(nn.LayerNorm(hidden), *layers))
        self.normed = nn.LayerNorm(hidden)
        self.order = [column for columns in alike.values() for column in columns]
        """The columns in the order in which :meth:`log_probabilities` has them."""

    @property
    def _alike(self) -> list[_Alike]:
        return [group for group in self.groups if isinstance(group, _Alike)]

    def follow(self, frequencies: Sequence[Tensor]) -> None:
        """Take note of the frequencies of every column's levels; 0 means impossible."""
        for group in self._alike:
            group.follow(torch.stack([frequencies[column] for column in group.columns]))

    def begin(self, levels: Tensor) -> Tensor:
        """Return what rows amount to before the blocks, shape (n, H).

        Args:
            levels: Of all columns, shape (n, D); -1 for what is not given.
        """
        return self.bias + torch.stack([group(levels) for group in self._alike]).sum(0)

    def given_too(self, state: Tensor, column: int, levels: Tensor) -> Tensor:
        """Return the state of :meth:`begin` once one more column is given.

        Args:
            state: Shape (n, H).
            column: Which column, so far not given.
            levels: Of that column, shape (n,); -1 leaves a row as it is.
        """
        which, place = self._places[column]
        return state + self._alike[which].difference(place, levels)

    def logits(self, state: Tensor, column: int) -> Tensor:
        """Return the logits of one column's levels, shape (n, levels)."""
        which, place = self._places[column]
        return self._alike[which].logits(self._vector(state), place)[:, 0]

    def log_probabilities(self, given: Tensor, levels: Tensor) -> Tensor:
        """Return log p(level | what is given), shape (n, D), columns in the order of ``order``.

        Args:
            given: Levels of all columns, shape (n, D); -1 for what is not given.
            levels: The levels asked for, shape (n, D); where they are -1, the result is arbitrary.
        """
        vector = self._vector(self.begin(given))
        parts = []
        for group in self._alike:
            log_p = group.logits(vector).float().log_softmax(2)
            asked = columns_of(levels, group.columns).clamp_min(0)
            parts.append(log_p.gather(2, asked[:, :, None])[:, :, 0])
        return torch.cat(parts, 1)

    def _vector(self, state: Tensor) -> Tensor:
        for block in self.blocks:
            state = state + block(state)
        vector: Tensor = F.silu(self.normed(state))
        return vector


def columns_of(values: Tensor, columns: Sequence[int]) -> Tensor:
    """Return some columns of values of shape (n, D), in their order."""
    return values.index_select(1, torch.tensor(columns).to(values.device))


class _Alike(nn.Module):
    """The columns of one number of levels: what their values become, and their logits."""

    log_frequencies: Tensor  # shape (columns, levels)
    waves: Tensor  # shape (columns, levels, M)

    def __init__(
        self, columns: list[int], size: int, waves: int, hidden: int, embedding: int
    ) -> None:
        super().__init__()
        d = len(columns)
        self.columns = columns
        self.size = size
        self.count = waves
        # the last level stands for what is not given; bins are told apart by their waves at first
        share = 0.1 if waves else 1.0
        self.table = nn.Parameter(share * torch.randn(d, size + 1, embedding))
        self.slopes = nn.Parameter(torch.randn(d, waves, embedding))
        self.inputs = nn.Parameter(torch.randn(d, embedding, hidden) / math.sqrt(embedding))
        self.weight = nn.Parameter(torch.zeros(d, size + waves, hidden))
        self.offset = nn.Parameter(torch.zeros(d, size + waves))
        self.register_buffer("log_frequencies", torch.zeros(d, size), persistent=False)
        self.register_buffer("waves", torch.zeros(d, size, waves), persistent=False)

    def follow(self, frequencies: Tensor) -> None:
        """Take note of frequencies, shape (columns, levels)."""
        rank = frequencies.cumsum(1) - frequencies / 2
        number = torch.arange(1, self.count + 1)
        waves = (math.pi * rank[:, :, None] * number).cos() / number.sqrt()
        self.log_frequencies.copy_(frequencies.log())
        self.waves.copy_(waves)

    def values(self) -> Tensor:
        """Return what the levels become, shape (columns, levels + 1, embedding)."""
        if not self.count:
            return self.table
        return self.table + F.pad(self.waves @ self.slopes, (0, 0, 0, 1))

    def forward(self, levels: Tensor) -> Tensor:
        """Return the columns' part of a row, shape (n, H); levels of all columns, (n, D)."""
        own = columns_of(levels, self.columns)
        own = torch.where(own < 0, self.size, own)
        start = torch.arange(len(self.columns)).to(own.device) * (self.size + 1)
        embedded = F.embedding(own + start, self.values().flatten(0, 1))
        return embedded.flatten(1) @ self.inputs.flatten(0, 1)

    def difference(self, place: int, levels: Tensor) -> Tensor:
        """Return what giving one column adds, shape (n, H); levels of shape (n,)."""
        values = self.values()[place]
        levels = torch.where(levels < 0, self.size, levels)
        added = (values - values[-1:]) @ self.inputs[place]
        return F.embedding(levels, added)

    def logits(self, vector: Tensor, place: int | None = None) -> Tensor:
        """Return logits of all columns or of one, shape (n, columns, levels)."""
        which = slice(None) if place is None else slice(place, place + 1)
        weight = self.weight[which]
        numbers = F.linear(vector, weight.flatten(0, 1), self.offset[which].flatten())
        numbers = numbers.unflatten(1, weight.shape[:2])
        logits = numbers[:, :, : self.size] + self.log_frequencies[which]
        if self.count:
            smooth = torch.einsum("ndm,dlm->ndl", numbers[:, :, self.size :], self.waves[which])
            logits = logits + smooth
        return logits
