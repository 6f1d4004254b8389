"""The sites of a simulation: which data each player holds, and the players built on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from coplay.core.components import nearest
from coplay.core.errors import DataError
from coplay.core.space import LABEL, Samples, Space, pick
from coplay.core.streams import stream
from coplay.data.sources.base import Dataset
from coplay.games.base import Game
from coplay.player import Player
from coplay.run.config import Config

# For errors: the models that learn from incomplete samples.
_INCOMPLETE = "exponential_family, joint_classifier, conditionals"


@dataclass(frozen=True)
class Sites:
    """The data that each player of a simulation holds.

    Args:
        spaces: The variables that each player learns.
        data: Private samples by player.
        train: The training split, with all variables.
        dealt: Positions in it of all samples dealt out, player after player.
        shares: Class shares by player, each of shape (C,); None without classes.
        counts: Number of samples per class, by player.
        notes: Sentences for the reader of the report.
    """

    spaces: Mapping[str, Space]
    data: Mapping[str, Samples]
    train: Samples
    dealt: Tensor
    shares: Tensor | None
    counts: Mapping[str, list[int]]
    notes: Sequence[str]

    @property
    def shares_by_player(self) -> dict[str, Tensor]:
        """Class shares by name; empty without classes."""
        if self.shares is None:
            return {}
        return dict(zip(self.data, self.shares, strict=True))

    def data_in(self, game: Game) -> dict[str, Samples]:
        """Return what each player of a game learns from: its own data, or everybody's."""
        names = game.players_of(list(self.spaces))
        if not game.pools_data:
            return {name: self.data[name] for name in names}
        union = pick(self.train, self.dealt)
        return {name: self.spaces[name].restrict(union) for name in names}


@dataclass(frozen=True)
class Seats:
    """Everybody who takes part in one game of a run.

    Args:
        players: The players, then the game's own seats, such as a server.
        learned_from: The data of each player, for metrics that compare with them; they never enter
            play from here.
        shares: Class shares of each player's site, shape (C,); empty without classes.
    """

    players: Sequence[Player]
    learned_from: Mapping[str, Samples]
    shares: Mapping[str, Tensor]


def deal(config: Config, data: Dataset) -> Sites:
    """Deal the training data out to the players of a config.

    Raises:
        DataError: A player wants a variable that the data do not have.
    """
    names = config.player_names
    labels = data.train[LABEL] if data.classes else None
    generator = stream(config.seed, "partition")
    partition = config.data.partition.numbered(data.class_names)
    positions = partition.deal(labels, len(data.train), names, generator)
    spaces = {name: _space(config, name, data) for name in names}
    private = {}
    for name in names:
        unobserved = config.players[name].unobserved
        dealt = pick(data.train, positions[name])
        private[name] = spaces[name].restrict(dealt).exclude(*unobserved)
    everything = torch.cat([positions[name] for name in names])
    if labels is None:
        return Sites(spaces, private, data.train, everything, None, {}, ())
    each = [torch.bincount(labels[positions[name]], minlength=data.classes) for name in names]
    counts = torch.stack(each)
    shares = counts.double() / counts.sum(1, keepdim=True).clamp_min(1)
    by_player = dict(zip(names, counts.tolist(), strict=True))
    notes = _notes(names, counts, data.class_names)
    return Sites(spaces, private, data.train, everything, shares, by_player, notes)


def _notes(names: Sequence[str], counts: Tensor, class_names: Sequence[str]) -> tuple[str, ...]:
    notes = []
    for name, row in zip(names, counts, strict=True):
        if (row > 0).sum() == 1:
            only = class_names[int(row.argmax())]
            notes.append(
                f"{name} holds a single class ({only}); "
                "allowed, but alone it can learn nothing else"
            )
    return tuple(notes)


def _space(config: Config, player: str, data: Dataset) -> Space:
    """Return the variables that a player learns: its own, or the config's, or all inputs."""
    wanted = config.players[player].variables or config.data.variables or tuple(data.inputs)
    unknown = [name for name in wanted if name not in data.space]
    if unknown:
        raise DataError(
            f"player '{player}': the data set {data.name} has no variable {unknown[0]!r}; "
            f"known, nearest first: {nearest(unknown[0], data.space)}"
        )
    return data.space.only(wanted)


def seats_for(config: Config, game: Game, sites: Sites, home: Path | None) -> Seats:
    """Build the players of one game, then its own seats.

    Players without data are left out if the game requires data.

    Args:
        config: The run's config.
        game: The rules.
        sites: The data of each player.
        home: The game's folder; None where nothing is to be written.
    """
    learned_from = sites.data_in(game)
    must_have_data = game.needs_data(list(learned_from), config.seed)
    players = []
    for name, data in learned_from.items():
        if len(data) or name not in must_have_data:
            model = config.player_model(name)
            unobserved = config.players[name].unobserved
            player = Player(
                name, sites.spaces[name], data, model, config.seed, home, unobserved=unobserved
            )
            players.append(player)
    space = next(iter(sites.spaces.values()))
    for name in game.seats:
        players.append(Player(name, space, space.empty(), config.model.fresh(), config.seed, home))
    return Seats(players, learned_from, sites.shares_by_player)


def check_data(config: Config, sites: Sites) -> None:
    """Refuse a main game in which a player that needs data was given none.

    Raises:
        DataError: There is one.
    """
    names = config.player_names
    must_have_data = config.game.needs_data(names, config.seed)
    empty = [name for name in must_have_data if not len(sites.data[name])]
    if empty:
        raise DataError(
            f"no private data for {', '.join(map(repr, empty))}; the partition left this site "
            "empty. Give it samples; in sample_exchange, own weight 0 would let it learn from "
            "others only"
        )


def check_common_variables(config: Config, sites: Sites) -> None:
    """Refuse a player that cannot learn from the variables of another that it listens to.

    Raises:
        DataError: A player's model needs variables that a player it listens to does not have.
    """
    names = config.player_names
    alpha = config.game.sparse_weights(config.game.start(names, config.seed))
    if alpha is None:
        return
    # players with the same variables and the same ability are alike, so that one pair of each kind
    # is looked at: the first
    kinds: dict[tuple[tuple[str, ...], bool], int] = {}
    kind_of = []
    for name in names:
        can_lack = config.players[name].model or config.model
        kind = (tuple(sites.spaces[name]), can_lack.learns_incomplete)
        kind_of.append(kinds.setdefault(kind, len(kinds)))
    links = alpha.tocoo()
    foreign = (links.row != links.col) & (links.data != 0)
    listeners = links.row[foreign]
    speakers = links.col[foreign]
    each = np.array(kind_of)
    pairs = each[listeners] * len(kinds) + each[speakers]
    _, first = np.unique(pairs, return_index=True)
    for place in np.sort(first).tolist():
        _check_pair(config, sites, names[listeners[place]], names[speakers[place]])


def _check_pair(config: Config, sites: Sites, listener: str, speaker: str) -> None:
    own = sites.spaces[listener]
    missing = [name for name in own if name not in sites.spaces[speaker]]
    if not missing:
        return
    if len(missing) == len(own):
        raise DataError(
            f"player '{listener}' listens to '{speaker}' and has no variable in common with it"
        )
    model = config.player_model(listener)
    if not model.learns_incomplete:
        raise DataError(
            f"player '{listener}': {model.title} needs every variable, and '{missing[0]}' is "
            f"missing in the samples of player '{speaker}'; choose a model that learns from "
            f"incomplete samples ({_INCOMPLETE}), or give both the same variables"
        )


def check_unobserved(config: Config, sites: Sites) -> None:
    """Refuse a player that has no way to learn a variable that its data lack.

    The variable must be one of its own, and reach it from a player that observes it.

    Raises:
        DataError: It does not, or nothing is left, or the player's model needs complete samples.
    """
    reachable = _reachable(config, sites)
    for name in config.player_names:
        unobserved = config.players[name].unobserved
        own = sites.spaces[name]
        for variable in unobserved:
            place = f"players.{name}.unobserved: '{variable}'"
            if variable not in own:
                raise DataError(f"{place} is none of its variables; these are {', '.join(own)}")
            if variable not in reachable[name]:
                raise DataError(
                    f"{place} is observed by nobody whom it listens to, directly or by way of "
                    "others, so it cannot learn it; give it to some player's data, or let it "
                    "listen to one that has it"
                )
        model = config.player_model(name)
        if unobserved and not model.learns_incomplete:
            raise DataError(
                f"players.{name}.unobserved: {model.title} needs every variable; choose a model "
                f"that learns from incomplete samples ({_INCOMPLETE})"
            )
        if set(unobserved) == set(own):
            raise DataError(
                f"players.{name}.unobserved: its data lack all of its variables; "
                "leave one, or give it no data"
            )


def _reachable(config: Config, sites: Sites) -> dict[str, set[str]]:
    """Return the variables that each player observes or receives, directly or through others."""
    names = config.player_names
    knows: dict[str, set[str]] = {}
    for name in names:
        knows[name] = set()
        if len(sites.data[name]):
            knows[name] = set(sites.spaces[name]) - set(config.players[name].unobserved)
    alpha = config.game.sparse_weights(config.game.start(names, config.seed))
    if alpha is None:  # no game in which samples travel
        observed = set().union(*knows.values())
        return {name: observed & set(sites.spaces[name]) for name in names}
    # variables that the same players learn and the same ones observe go the same ways
    alike: dict[tuple[bytes, bytes], list[str]] = {}
    own = [set(sites.spaces[name]) for name in names]
    for variable in sorted(set().union(*own)):
        learns = np.array([variable in variables for variables in own])
        observes = np.array([variable in knows[name] for name in names])
        alike.setdefault((learns.tobytes(), observes.tobytes()), []).append(variable)
    for (learns_bytes, observes_bytes), variables in alike.items():
        learns = np.frombuffer(learns_bytes, dtype=bool)
        observes = np.frombuffer(observes_bytes, dtype=bool)
        for i in _reached(alpha, learns, observes):
            knows[names[i]].update(variables)
    return knows


def _reached(alpha: sp.csr_matrix, learns: np.ndarray, observes: np.ndarray) -> list[int]:
    """Return the players that a variable reaches from those that observe it.

    It goes from player to player along the weights, through players that learn it.

    Args:
        alpha: Weights, N × N.
        learns: Whether it is one of a player's variables, shape (N,).
        observes: Whether a player's data have it, shape (N,).
    """
    reached = observes.copy()
    if (observes | ~learns).all():
        return np.flatnonzero(reached).tolist()
    by_speaker = alpha.tocsc()  # column j has those that listen to j
    front = np.flatnonzero(observes)
    while len(front):  # every player is in the front once, so every link is followed once
        links = sp.csc_matrix(by_speaker[:, front])
        listeners = np.unique(links.indices[links.data != 0])
        front = listeners[learns[listeners] & ~reached[listeners]]
        reached[front] = True
    return np.flatnonzero(reached).tolist()
