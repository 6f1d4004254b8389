"""Which data each player of a simulation from one pool holds, and everybody who takes part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from coplay.core.components import nearest
from coplay.core.errors import DataError
from coplay.core.facts import Facts
from coplay.core.space import LABEL, Samples, Space, pick
from coplay.core.streams import stream
from coplay.core.telling import Telling
from coplay.data.sources.base import Dataset
from coplay.engines.recipes import Recipe
from coplay.games.base import Game
from coplay.games.party import Known, Party
from coplay.models.describing import Unbuilt, facts_of
from coplay.models.mixing import required
from coplay.player import Player
from coplay.run.config import Config
from coplay.run.rules_of import rules_of_all


@dataclass(frozen=True)
class Sites:
    """What a simulation from one pool knows beside the players: the data that each holds.

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

    def data_in(self, game: Game, names: Sequence[str] | None = None) -> dict[str, Samples]:
        """Return what each player of a game learns from: its own data, or everybody's.

        Args:
            game: The rules.
            names: The players of the game that are dealt some of the pool; None where all players
                are.
        """
        if names is None:
            names = game.players_of(list(self.spaces))
        if not game.pools_data:
            return {name: self.data[name] for name in names}
        union = pick(self.train, self.dealt)
        return {name: self.spaces[name].restrict(union) for name in names}


@dataclass(frozen=True)
class Seats:
    """Everybody who takes part in one game of a run.

    Args:
        players: The players, then the game's own seats, such as a server. Only an engine looks
            into them, or builds them where they are played.
        learned_from: The data of each player that was dealt some of a pool, for metrics that
            compare with them; they never enter play from here.
        shares: Class shares of each player's site, shape (C,); empty without classes, or where a
            player does not tell them.
        facts: What each of them says of itself; those of players that are built are asked here.
        seats: Names of the game's own seats, such as a server.
        described: What a player is in this game, from what it says of itself.
    """

    players: Sequence[Player | Recipe]
    learned_from: Mapping[str, Samples]
    shares: Mapping[str, Tensor]
    facts: Mapping[str, Facts] = field(default_factory=dict)
    seats: Sequence[str] = ()
    described: Callable[[Facts], Facts] = lambda facts: facts

    def __post_init__(self) -> None:
        facts = {}
        for player in self.players:
            if isinstance(player, Player):
                facts[player.name] = self.described(player.facts())
            else:
                facts[player.name] = self.described(self.facts[player.name])
        object.__setattr__(self, "facts", facts)

    @property
    def parties(self) -> list[Party]:
        """Everybody as a game's rules see it."""
        parties: list[Party] = []
        for player in self.players:
            if isinstance(player, Player):
                parties.append(player)
            else:
                parties.append(Known(self.facts[player.name], player.seed))
        return parties

    @cached_property
    def at_sites(self) -> frozenset[str]:
        """Names of those with data of their own, which keep their files themselves."""
        return frozenset(each.name for each in self.players if not isinstance(each, Player))

    @property
    def names(self) -> list[str]:
        """Names of all, in order."""
        return [player.name for player in self.players]


def deal(config: Config, data: Dataset, agreed: Space | None = None) -> Sites:
    """Deal the training data out to the players of a config that have none of their own.

    Args:
        config: What is played.
        data: The pool.
        agreed: The agreed variables; None where those of the pool are all there are.

    Raises:
        DataError: A player wants a variable that the data do not have, or is dealt nothing since
            it is not named where the players are that the data are dealt among.
    """
    names = config.pool_players
    among = list(config.data.among or names)
    left_out = [name for name in names if name not in among]
    if left_out:
        raise DataError(
            f"data.among: expected all players that are dealt some of the source among "
            f"{', '.join(among)}; {', '.join(map(repr, left_out))} is not"
        )
    labels = data.train[LABEL] if data.classes else None
    generator = stream(config.seed, "partition")
    partition = config.data.partition.numbered(data.class_names)
    positions = partition.deal(labels, len(data.train), among, generator)
    spaces = {name: _space(config, name, data, agreed) for name in names}
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


def _space(config: Config, player: str, data: Dataset, agreed: Space | None) -> Space:
    """Return the variables that a player learns.

    They are its own, or the config's, or those that were agreed, or all inputs.
    """
    usual = data.inputs
    if agreed is not None:
        usual = [name for name in agreed if name in data.space]
    wanted = config.players[player].variables or config.data.variables or tuple(usual)
    unknown = [name for name in wanted if name not in data.space]
    if unknown:
        raise DataError(
            f"player '{player}': the data set {data.name} has no variable {unknown[0]!r}; "
            f"known, nearest first: {nearest(unknown[0], data.space)}"
        )
    return data.space.only(wanted)


def seats_for(
    config: Config,
    game: Game,
    sites: Sites | None,
    home: Path | None,
    recipes: Mapping[str, Recipe] | None = None,
    facts: Mapping[str, Facts] | None = None,
) -> Seats:
    """Build the players of one game, then its own seats.

    Players without data are left out if the game requires data.

    Args:
        config: The run's config.
        game: The rules.
        sites: The data of each player that is dealt some of a pool; None without a pool.
        home: The game's folder; None where nothing is to be written.
        recipes: How the players with data of their own are built.
        facts: What these say of themselves.
    """
    recipes = recipes or {}
    facts = facts or {}
    names = game.players_of(config.player_names)
    dealt = [name for name in names if name not in recipes]
    learned_from = {} if sites is None else sites.data_in(game, dealt)
    must_have_data = game.needs_data(list(names), config.seed)
    players: list[Player | Recipe] = []
    for name in names:
        if name in recipes:
            players.append(recipes[name])
            continue
        assert sites is not None, "whoever has no data of its own is dealt some"
        data = learned_from[name]
        if len(data) or name not in must_have_data:
            model = config.player_model(name)
            unobserved = config.players[name].unobserved
            player = Player(
                name, sites.spaces[name], data, model, config.seed, home, unobserved=unobserved
            )
            players.append(player)
    first = config.player_names[0]
    space = facts[first].variables if sites is None or first in facts else sites.spaces[first]
    for name in game.seats:
        players.append(Player(name, space, space.empty(), config.model.fresh(), config.seed, home))
    of_pool = {} if sites is None else sites.spaces
    rules_of_all(config, players, [*of_pool.values(), *(each.variables for each in facts.values())])
    shares = _shares(config, sites, facts)
    return Seats(players, learned_from, shares, facts, game.seats, game.described)


def _shares(config: Config, sites: Sites | None, facts: Mapping[str, Facts]) -> dict[str, Tensor]:
    """Return the class shares of all players; none unless all of them tell all of theirs."""
    shares = {} if sites is None else sites.shares_by_player
    for name, each in facts.items():
        if each.shares:
            shares[name] = torch.tensor(each.shares, dtype=torch.float64)
    each_has = all(name in shares for name in config.player_names)
    sizes = {len(share) for share in shares.values()}
    if not each_has or len(sizes) > 1 or any(share.isnan().any() for share in shares.values()):
        return {}
    return shares


def check_data(config: Config, sites: Sites) -> None:
    """Refuse a main game in which a player that needs data was given none.

    Raises:
        DataError: There is one.
    """
    must_have_data = config.game.needs_data(config.player_names, config.seed)
    empty = [name for name in must_have_data if name in sites.data and not len(sites.data[name])]
    if empty:
        raise DataError(
            f"no private data for {', '.join(map(repr, empty))}; the partition left this site "
            "empty. Give it samples; in sample_exchange, own weight 0 would let it learn from "
            "others only"
        )


def facts_of_pool(config: Config, sites: Sites) -> dict[str, Facts]:
    """Return what is known of the players that are dealt some of a pool, before they are built."""
    facts = {}
    for name, space in sites.spaces.items():
        unobserved = config.players[name].unobserved
        unbuilt = Unbuilt(name, config.player_model(name), required(space), unobserved)
        # shares of classes are those of the partition, which knows of empty sites too
        facts[name] = facts_of(unbuilt, sites.data[name], Telling(count="exact"), "")
    return facts
