"""From whom a player learns by the influence matrix, and the ways that samples take to it.

Row i of M (A2) is the mixture that player i ends with. Where players learn or observe different
variables, there is a matrix for each (:mod:`coplay.theory.by_variable`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
import scipy.sparse as sp
import torch

from coplay.core.same import Same
from coplay.games.party import Party
from coplay.models.base import OWN
from coplay.theory import weights
from coplay.theory.by_variable import influence_of_variable

_DIGITS = 12  # masses that differ by less are those of variables that are learned from the same


@dataclass(frozen=True)
class Learner:
    """What decides from whom a player learns.

    Args:
        name: The player.
        variables: What it learns.
        unobserved: Those of them that its data lack.
    """

    name: str
    variables: tuple[str, ...]
    unobserved: frozenset[str] = frozenset()

    @classmethod
    def of(cls, party: Party) -> Learner:
        """Return what is known of a player."""
        return cls(party.name, tuple(party.variables), frozenset(party.unobserved))


@dataclass(frozen=True)
class Mix:
    """What a player learns from: its row of M.

    Args:
        masses: The mass of each source by its name, ``OWN`` for the player's own data, one for each
            of the variables; sources come in the order of the players.
        variables: The variables whose masses differ; empty where each source has one mass.

    Example:
        >>> Mix({OWN: (0.6, 1.0), "south": (0.4, 0.0)}, ("age", "sex")).of_variable("age")
        {'own data': 0.6, 'south': 0.4}
    """

    masses: Mapping[str, tuple[float, ...]]
    variables: tuple[str, ...] = ()

    def most(self, source: str) -> float:
        """Return the largest mass of a source over the variables."""
        return max(self.masses[source])

    def of_variable(self, name: str) -> dict[str, float]:
        """Return the masses of one variable by source."""
        place = self.variables.index(name) if self.variables else 0
        return {source: masses[place] for source, masses in self.masses.items()}

    @property
    def others(self) -> list[str]:
        """The names of the players that it learns from."""
        return [source for source in self.masses if source != OWN]


@dataclass(frozen=True)
class Ways:
    """All mixtures of a game, and the ways that samples take.

    Args:
        mixes: Mixtures by receiver.
        parents: From whom a receiver gets the samples of an origin, by origin and receiver: from
            the origin itself, or from the player that passes them on.
    """

    mixes: Mapping[str, Mix]
    parents: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @cached_property
    def _children(self) -> dict[str, dict[str, list[str]]]:
        """To whom samples are handed, by origin and by the player that hands them on."""
        children: dict[str, dict[str, list[str]]] = {}
        for origin, ways in self.parents.items():
            of_origin = children.setdefault(origin, {})
            for receiver, parent in ways.items():
                of_origin.setdefault(parent, []).append(receiver)
        return children

    def children(self, origin: str, player: str) -> list[str]:
        """Return to whom a player hands the samples of an origin."""
        return self._children.get(origin, {}).get(player, [])

    def longest(self, origin: str) -> int:
        """Return over how many links the samples of an origin go to the farthest player.

        Example:
            >>> Ways({}, {"a": {"b": "a", "c": "b"}}).longest("a"), Ways({}).longest("a")
            (2, 0)
        """
        links = {origin: 0}
        for receiver, parent in self.parents.get(origin, {}).items():  # parents come first
            links[receiver] = links[parent] + 1
        return max(links.values())

    def detours(self) -> list[tuple[str, str]]:
        """Return receiver and origin of all samples that are passed on."""
        pairs = []
        for origin, ways in self.parents.items():
            pairs += [(receiver, origin) for receiver, parent in ways.items() if parent != origin]
        return pairs

    def draws(self, n: int) -> dict[str, dict[str, int]]:
        """Return how many samples each player draws for each of its children.

        A set that is passed on is as large as the largest that somebody needs of it.

        Args:
            n: Number of samples of a whole mixture.
        """
        draws: dict[str, dict[str, int]] = {}
        for origin, ways in self.parents.items():
            needed = {receiver: self.mixes[receiver].most(origin) for receiver in ways}
            for receiver, parent in reversed(list(ways.items())):  # from the far ends back
                if parent != origin:
                    needed[parent] = max(needed[parent], needed[receiver])
            for child in self.children(origin, origin):
                # a share that is whole but for rounding errors is that number
                count = math.ceil(n * needed[child] * (1 - 1e-12))
                draws.setdefault(origin, {})[child] = min(n, count)
        return draws


@lru_cache(maxsize=4)
def ways_among(alpha: Same[sp.csr_matrix], learners: tuple[Learner, ...]) -> Ways:
    """Return the mixtures of players and the ways of their samples; computed once for all rounds.

    Args:
        alpha: Weights of the players, N × N; rows sum to 1 or, without any source left, to 0.
        learners: The N players in order.

    Example:
        >>> alpha = weights.by_edges(torch.tensor([[0.3, 0.7], [0.7, 0.3]]))
        >>> ways = ways_among(Same(alpha), (Learner("a", ("x",)), Learner("b", ("x",))))
        >>> ways.draws(100)
        {'a': {'b': 42}, 'b': {'a': 42}}
    """
    matrices = _by_variable(alpha.value, learners)
    mixes = {}
    for place, learner in enumerate(learners):
        rows = {name: matrices[name][place] for name in learner.variables}
        mixes[learner.name] = _mix(rows, [each.name for each in learners], learner.name)
    return Ways(mixes, _parents(alpha.value, [each.name for each in learners], mixes))


def _by_variable(alpha: sp.csr_matrix, learners: Sequence[Learner]) -> dict[str, np.ndarray]:
    """Return M of each variable, rounded; those that the same players have are computed once."""
    dense = weights.dense(alpha)
    known: dict[tuple[bytes, bytes], np.ndarray] = {}
    matrices = {}
    for name in dict.fromkeys(name for each in learners for name in each.variables):
        learns = np.array([name in each.variables for each in learners])
        lacks = np.array([name in each.unobserved for each in learners])
        key = (learns.tobytes(), lacks.tobytes())
        if key not in known:
            influence = influence_of_variable(
                dense, torch.from_numpy(learns), torch.from_numpy(learns & ~lacks)
            )
            known[key] = np.round(influence.numpy(), _DIGITS)
        matrices[name] = known[key]
    return matrices


def _mix(rows: Mapping[str, np.ndarray], names: Sequence[str], me: str) -> Mix:
    """Return the mixture of one player from its rows of M by variable."""
    table = np.stack(list(rows.values()), 1)  # by source and variable
    is_alike = bool((table == table[:, :1]).all())
    masses: dict[str, tuple[float, ...]] = {}
    for place, name in enumerate(names):
        each = table[place].tolist()
        if any(mass > 0 for mass in each):
            masses[OWN if name == me else name] = tuple(each[:1] if is_alike else each)
    return Mix(masses, () if is_alike else tuple(rows))


def _parents(
    alpha: sp.csr_matrix, names: Sequence[str], mixes: Mapping[str, Mix]
) -> dict[str, dict[str, str]]:
    """Return the shortest way from every origin to all that learn from it.

    A step leads to a player that gives weight to the one before; of several the first in order of
    the players is taken.
    """
    listeners = weights_by_sender(alpha)
    places = {name: place for place, name in enumerate(names)}
    parents: dict[str, dict[str, str]] = {}
    for origin in names:
        front = [origin]
        reached = {origin}
        while front:
            ahead: dict[str, str] = {}
            for sender in sorted(front, key=places.__getitem__):
                for place in listeners[places[sender]]:
                    receiver = names[place]
                    if receiver not in reached and origin in mixes[receiver].masses:
                        ahead.setdefault(receiver, sender)
            if ahead:
                parents.setdefault(origin, {}).update(ahead)
            reached.update(ahead)
            front = list(ahead)
    return parents


def weights_by_sender(alpha: sp.csr_matrix) -> list[list[int]]:
    """Return for every player the places of those that give it weight, itself left out."""
    by_sender = alpha.tocsc()
    listeners = []
    for place in range(by_sender.shape[0]):
        entries = slice(by_sender.indptr[place], by_sender.indptr[place + 1])
        some = by_sender.indices[entries][by_sender.data[entries] > 0].tolist()
        listeners.append(sorted(each for each in some if each != place))
    return listeners
