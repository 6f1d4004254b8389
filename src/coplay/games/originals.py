"""Whose sample is this? What a player receives contains copies of its own data.

The others learned them from its samples. At the equilibrium p_j = Σ_k M_jk π_k (A3), so the share
M_ji of what j sends to i imitates i's own data. Player i may put its data, the originals, in their
place:

    m_i = M_ii π_i + Σ_{j≠i} α_ij Σ_{k≠i} M_jk π_k                                              (O)

By (A2) M_ii = α_ii + Σ_{j≠i} α_ij M_ji, so this is the mixture of (A1), and the equilibrium stays
where it is. What changes is the fate of errors: those that player i makes in drawing its own data
do not come back to it.

A classifier c(k|x) recognises copies, with all players equally likely beforehand. When a player
first receives from the others they have learned from their own data alone, so that p_k ≈ π_k, and i
draws such samples of its own. Then, by Bayes,

    P(copy of i | x from j) = M_ji c(i|x) / Σ_k M_jk c(k|x),        in the mean M_ji

While c learns, some pixels of an image are exchanged for those of other images: otherwise it would
recognise players by how their models draw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coplay.core.same import Same
from coplay.core.space import Samples, Space, join, pick
from coplay.core.streams import derive, isolated_seed, stream
from coplay.models.base import OWN
from coplay.nets.perceptrons import one_hidden_layer
from coplay.nets.variables import InputEncoder, Sizes, goes_through_convolutions
from coplay.player import Player
from coplay.theory import equilibrium, weights

_SIZES = Sizes(channels=16, hidden=64, image_latents=1)
_STEPS = 600
_BATCH = 128
_RATE = 4e-3
_EXCHANGED = 0.3  # share of an image's pixels
_LOG_SCALES = (-50.0, 50.0)  # the interval in which the scale of odds is searched, by halving
_HALVINGS = 40
COPIES = "copies/"
"""What the names of reported shares of copies begin with."""


class Origins(nn.Module):
    """c(k|x): the probability that x comes from player k's data or model.

    Args:
        space: The variables of the samples, which are complete.
        players: Names of all players.
        seed: Seed of the initial parameters.

    Example:
        >>> from coplay import Variable
        >>> space = Space({"x": Variable(kind="categorical", classes=4)})
        >>> origins = Origins(space, ["a", "b"], seed=1)
        >>> a = space.samples(x=torch.tensor([0, 1, 1]))
        >>> b = space.samples(x=torch.tensor([2, 2, 3]))
        >>> origins.fit({"a": a, "b": b}, torch.Generator().manual_seed(1))
        >>> received = space.samples(x=torch.tensor([0, 1, 2, 3]))
        >>> (origins.copies(received, "a", {"a": 0.5, "b": 0.5}) > 0.5).tolist()
        [True, True, False, False]
    """

    def __init__(self, space: Space, players: Sequence[str], seed: int) -> None:
        super().__init__()
        self.space = space
        self.players = list(players)
        with isolated_seed(seed):
            # the names of the two parts are those of parameters in checkpoints
            self.seen = InputEncoder({name: space[name] for name in space}, _SIZES)
            self.says = one_hidden_layer(self.seen.size, _SIZES.hidden, len(self.players))

    def forward(self, samples: Samples) -> Tensor:
        """log c(k|x) up to a constant, shape (n, players)."""
        return self.says(self.seen({name: samples[name] for name in self.space}))

    def fit(self, samples: Mapping[str, Samples], generator: torch.Generator) -> None:
        """Learn from samples of some or all of the players, as many of each."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=_RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS)
        each = max(1, _BATCH // len(samples))
        numbers = [self.players.index(name) for name in samples]
        players = torch.tensor(numbers).repeat_interleave(each)
        for _ in range(_STEPS):
            parts = []
            for part in samples.values():
                rows = torch.randint(len(part), (each,), generator=generator)
                parts.append(self.space.restrict(pick(part, rows)))
            logits = self(self._exchanged(join(parts), generator))
            optimizer.zero_grad()
            F.cross_entropy(logits, players).backward()
            optimizer.step()
            schedule.step()

    def _exchanged(self, rows: Samples, generator: torch.Generator) -> Samples:
        """Take some pixels of every image from the same place of another row."""
        values = {}
        for name in self.space:
            x = rows[name]
            values[name] = x
            if goes_through_convolutions(self.space[name]):
                other = x.gather(0, torch.randint(len(x), x.shape, generator=generator))
                exchanged = torch.rand(x.shape, generator=generator) < _EXCHANGED
                values[name] = torch.where(exchanged, other, x)
        return self.space.samples(**values)

    @torch.no_grad()
    def copies(self, received: Samples, of: str, shares: Mapping[str, float]) -> Tensor:
        """Return the probability that each sample is a copy of a player's own data, shape (n,).

        Args:
            received: Samples drawn by one player j.
            of: Name of player i.
            shares: M_jk by name. The odds of i are scaled until the mean probability of a copy is
                M_ji: a classifier is less sure of later samples than of those it learned from.

        Returns:
            Probabilities in float64.
        """
        i = self.players.index(of)
        others = [k for k in range(len(self.players)) if k != i]
        parts = [self(pick(received, rows)) for rows in torch.arange(len(received)).split(1000)]
        weights = torch.tensor([shares[k] for k in self.players], dtype=torch.float64)
        odds = torch.cat(parts).double() + weights.log()
        odds = odds[:, i] - odds[:, others].logsumexp(1)
        low, high = _LOG_SCALES
        if not len(odds) or shares[of] <= 0:
            return (odds + low).sigmoid()
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if (odds + middle).sigmoid().mean() > shares[of]:
                high = middle
            else:
                low = middle
        return (odds + low).sigmoid()


@dataclass(frozen=True)
class Shares:
    """The weights of a round and what they lead to, by name.

    Args:
        weights: α_ij of the living.
        influence: M_jk for j among the living and k among all players of the beginning; 0 for
            those that are gone.
    """

    weights: Mapping[str, Mapping[str, float]]
    influence: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, living: Sequence[str], started: Sequence[str], alpha: Tensor) -> Shares:
        """Name the entries of α, shape (living, living), and of the M that follows from it."""
        weights = {}
        influence = {}
        for j, row in zip(living, alpha.tolist(), strict=True):
            weights[j] = dict(zip(living, row, strict=True))
        for j, row in zip(living, equilibrium.influence_matrix(alpha).tolist(), strict=True):
            influence[j] = {**dict.fromkeys(started, 0.0), **dict(zip(living, row, strict=True))}
        return cls(weights, influence)


@lru_cache(maxsize=2)
def shares_of(
    living: tuple[str, ...], started: tuple[str, ...], alpha: Same[sp.csr_matrix]
) -> Shares:
    """Return the shares of a round; the players of one process compute them once for all."""
    return Shares.of(living, started, weights.dense(alpha.value))


def without_copies(
    player: Player, shares: Shares, received: Mapping[str, Samples], round: int
) -> tuple[dict[str, Samples], dict[str, float], dict[str, float]]:
    """Leave copies of the player's own data out of what it received.

    Until samples of all the others arrive in one round for the first time, nothing is left out, and
    the weights are those of (A1).

    Args:
        player: The player that received.
        shares: The weights of the round.
        received: Samples by sender.
        round: Current round.

    Returns:
        The samples left, by sender; the weights of (O), by source; the share of copies among what
        was received, by the name under which it is reported.
    """
    me = player.name
    alpha = shares.weights[me]
    influence = shares.influence
    origins = Origins(player.variables, list(influence[me]), derive(player.seed, "origins", me))
    if player.kept:
        origins.load_state_dict(player.kept)
    elif set(received) == set(alpha) - {me}:
        mine = player.draw(max(map(len, received.values())), round, me)
        origins.fit({me: mine, **received}, stream(player.seed, "origins", me))
        player.kept = dict(origins.state_dict())
    else:
        weights = {OWN: alpha[me]} | {j: alpha[j] for j in received}
        return dict(received), weights, {}
    weights = {OWN: influence[me][me]}
    originals: dict[str, Samples] = {}
    copies: dict[str, float] = {}
    for j, samples in received.items():
        lots = stream(player.seed, "copies", round, me, j)
        chance = torch.rand(len(samples), generator=lots, dtype=torch.float64)
        is_copy = chance < origins.copies(samples, me, influence[j])
        originals[j] = pick(samples, ~is_copy)
        weights[j] = alpha[j] * (1 - influence[j][me])
        copies[COPIES + j] = is_copy.double().mean().item()
    return originals, weights, copies
