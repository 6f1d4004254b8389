"""A run that is checked and ready to begin: data, sites, players, and what theory predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from coplay.core.components import name_of
from coplay.core.surroundings import own_settings
from coplay.data.sources.base import Dataset
from coplay.games.base import MOST_IN_M, Game, State
from coplay.player import Player
from coplay.run.config import Config
from coplay.run.foreign import refuse_unread
from coplay.run.measuring import unmeasured, wanting
from coplay.run.range_notes import range_notes
from coplay.run.record import DataRecord, GameRecord, RunRecord
from coplay.run.sites import (
    Seats,
    Sites,
    check_common_variables,
    check_data,
    check_unobserved,
    deal,
    seats_for,
)
from coplay.run.sparse_matrix import SparseMatrix
from coplay.run.trials import try_models
from coplay.run.versions import versions


@dataclass(frozen=True)
class PreparedGame:
    """One game of a run, ready to be played.

    Args:
        name: Its name in the run.
        game: The rules.
        seats: Everybody who takes part, with models set up.
        influence: M of (A2), shape (N, N); None without theory, or for too many players.
        predicted: Class shares by player that theory predicts; empty without theory or classes.
    """

    name: str
    game: Game[State]
    seats: Seats
    influence: Tensor | None
    predicted: Mapping[str, list[float]]


@dataclass(frozen=True)
class Prepared:
    """A run that is checked and ready to begin.

    Args:
        data: The data set.
        sites: Who holds what.
        games: The main game first. Each is taken out when it is played, so that the memory of its
            models is freed.
        notes: Sentences for the reader of the report.
    """

    data: Dataset
    sites: Sites
    games: list[PreparedGame]
    notes: Sequence[str] = ()

    @property
    def players(self) -> dict[str, Sequence[Player]]:
        """Everybody who takes part, by game."""
        return {game.name: game.seats.players for game in self.games}


@own_settings(threads=1)
def prepare(config: Config, folder: Path | None = None) -> Prepared:
    """Load and deal the data of a run and build the players of all games; nothing is written.

    A game that cannot be played says so here, and so does a config that was read without the
    classes that it names.

    Args:
        config: What to play.
        folder: The run's folder; None for a run that is only checked.

    Raises:
        CoplayError: The config, the data or a model is at fault.
    """
    refuse_unread(config)
    data = config.data.source.load()
    sites = deal(config, data)
    names = config.player_names
    config.game.start(names, config.seed)
    check_data(config, sites)
    check_unobserved(config, sites)
    games = []
    for game in (config.game, *config.carried):
        name = name_of("game", game).rpartition(":")[2]
        seats = seats_for(config, game, sites, folder / name if folder else None)
        game.check(seats.players)
        influence = None
        if len(names) <= MOST_IN_M:
            influence = game.predict(names, config.seed)
        predicted = _predicted(config, game, sites)
        games.append(PreparedGame(name, game, seats, influence, predicted))
    check_common_variables(config, sites)
    most = max(len(game.seats.players) for game in games)
    notes = [*config.engine.notes(most), *try_models(config, sites)]
    return Prepared(data, sites, games, notes)


def first_record(config: Config, prepared: Prepared) -> RunRecord:
    """Return the contents of ``run.json`` at the beginning."""
    data = prepared.data
    sites = prepared.sites
    return RunRecord(
        status="running",
        config=config.to_dict(),
        versions=versions(),
        data=DataRecord(
            name=data.name,
            train=len(data.train),
            test=len(data.test),
            space=data.space,
            learned={name: tuple(space) for name, space in sites.spaces.items()},
            sizes={name: len(samples) for name, samples in sites.data.items()},
            counts=sites.counts,
            notes=data.notes,
        ),
        notes=[
            *sites.notes,
            *prepared.notes,
            *wanting(config, data),
            *range_notes(config, data.space, data.train),
        ],
        unmeasured=unmeasured(config, data),
        games={game.name: _game_record(config, game) for game in prepared.games},
    )


def _game_record(config: Config, prepared: PreparedGame) -> GameRecord:
    """Record what theory predicts of a game, and the sizes of its networks."""
    game = prepared.game
    names = config.player_names
    alpha = game.sparse_weights(game.start(names, config.seed))
    influence = prepared.influence
    return GameRecord(
        weights=None if alpha is None else SparseMatrix.by_edges(alpha),
        influence=None if influence is None else SparseMatrix.if_small(influence),
        predicted=prepared.predicted,
        network_sizes=game.network_sizes(prepared.seats.players),
    )


def _predicted(config: Config, game: Game[State], sites: Sites) -> dict[str, list[float]]:
    """Return the class shares by player that theory predicts; empty without theory or classes."""
    if sites.shares is None:
        return {}
    names = config.player_names
    shares = game.predicted_shares(names, config.seed, sites.shares)
    return {} if shares is None else dict(zip(names, shares.tolist(), strict=True))
