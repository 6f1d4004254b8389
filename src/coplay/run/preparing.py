"""A run that is checked and ready to begin: data, sites, players, and what theory predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from coplay.core.components import name_of
from coplay.core.errors import ConfigError
from coplay.core.facts import Facts
from coplay.core.space import Space, Variable
from coplay.core.surroundings import own_settings
from coplay.data.sources.base import Dataset
from coplay.engines.recipes import Recipe
from coplay.games.base import MOST_IN_M, Game, State
from coplay.metrics.base import Metric
from coplay.player import Player
from coplay.run.agreed_data import check_all_have_data, pool_as_agreed
from coplay.run.approval import check_accepted
from coplay.run.config import Config
from coplay.run.data_record import data_record
from coplay.run.elsewhere import elsewhere
from coplay.run.foreign import refuse_unread
from coplay.run.measuring import unmeasured, wanting
from coplay.run.open_pairs import open_here
from coplay.run.own_data import (
    OwnData,
    agreed_for,
    facts_of_sites,
    own_data,
    recipes_of,
)
from coplay.run.presets import chosen_metrics
from coplay.run.range_notes import range_notes
from coplay.run.reach import (
    check_agreed,
    check_common_variables,
    check_same_variables,
    check_unobserved,
)
from coplay.run.record import RUN, GameRecord, RunRecord
from coplay.run.rules_of import rules_of
from coplay.run.site_folders import Earlier, notes_of_sites
from coplay.run.sites import Seats, Sites, check_data, deal, facts_of_pool, seats_for
from coplay.run.sparse_matrix import SparseMatrix
from coplay.run.stopping import check_stopping
from coplay.run.trials import try_models
from coplay.run.unlike_units import ranges_of, unlike_units
from coplay.run.versions import versions

_MOST_OPEN = 500  # pairs that nobody observes together, in a record


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
        data: The pool that is dealt out; None where all players have data of their own.
        sites: Who holds what of the pool; None without a pool.
        own: What players with data of their own are built from.
        agreed: The agreed variables; None where nobody agreed on any.
        facts: What the players say of themselves, in order.
        games: The main game first. Each is taken out when it is played, so that the memory of its
            models is freed.
        notes: Sentences for the reader of the report.
        judged_by: Real samples of the coordinator's own that all are measured against: those of
            ``[reference]``, or the pool's; None where it has none.
        metrics: What is measured.
    """

    data: Dataset | None
    sites: Sites | None
    own: Mapping[str, OwnData]
    agreed: Space | None
    facts: Mapping[str, Facts]
    games: list[PreparedGame]
    notes: Sequence[str] = ()
    judged_by: Dataset | None = None
    metrics: Sequence[Metric] = ()

    @property
    def at_players(self) -> bool:
        """Whether some players have rows of their own to measure on."""
        return any(facts.measures for facts in self.facts.values())

    @property
    def players(self) -> dict[str, Sequence[Player | Recipe]]:
        """Everybody who takes part, by game."""
        return {game.name: game.seats.players for game in self.games}


@own_settings(threads=1)
def prepare(
    config: Config,
    folder: Path | None = None,
    given: Mapping[str, Dataset] | None = None,
    begins_with: Earlier | None = None,
) -> Prepared:
    """Load and deal the data of a run and build the players of all games; nothing is written.

    A game that cannot be played says so here, and so does a config that was read without the
    classes that it names. Players with data of their own are built where they are played, and say
    there what they are (:class:`coplay.core.facts.Facts`).

    Args:
        config: What to play.
        folder: The run's folder; None for a run that is only checked.
        given: Data that are in memory, by the player that holds them.
        begins_with: The run with whose models the players begin; None for new ones.

    Raises:
        CoplayError: The config, the data or a model is at fault.
    """
    refuse_unread(config)
    check_accepted(config)
    check_all_have_data(config)
    pool = config.data.source.load() if config.pool_players else None
    own = elsewhere(config) or own_data(config, pool, given or {})
    agreed = agreed_for(config, own)
    if pool is not None and agreed is not None:
        pool = pool_as_agreed(agreed, pool)
    sites = None if pool is None else deal(config, pool, agreed)
    names = config.player_names
    config.game.start(names, config.seed)
    if sites is not None:
        check_data(config, sites)
    games = list(zip(game_names(config), _games(config, own), strict=True))
    since = folder
    if begins_with is not None and (folder is None or not (folder / RUN).exists()):
        since = begins_with.folder
    facts = _facts(config, sites, own, since)
    check_same_variables(facts, agreed)
    if agreed is not None and config.variables:
        check_agreed(agreed, facts)
    check_unobserved(config, facts)
    prepared: list[PreparedGame] = []
    empty: list[str] = []
    for name, game in games:
        home = folder / name if folder else None
        recipes = recipes_of(config, own, name, game, folder, begins_with)
        seats = seats_for(config, game, sites, home, recipes, facts)
        check_stopping(game)
        game.check(seats.parties)
        empty += [*_ends_with_nothing(game, seats, not prepared), *game.remarks(seats.parties)]
        influence = None
        if len(names) <= MOST_IN_M:
            influence = game.predict(names, config.seed)
        predicted = _predicted(config, game, seats)
        prepared.append(PreparedGame(name, game, seats, influence, predicted))
    check_common_variables(config, facts)
    most = max(len(game.seats.players) for game in prepared)
    notes = [
        *config.engine.notes(most),
        *notes_of_sites([name for name, site in own.items() if site.has_site_file]),
        *try_models(config, facts),
        *empty,
    ]
    if pool is not None:
        rules = rules_of(config, pool.space if agreed is None else agreed)
        notes += [f"{each} in the pool" for each in rules.counts(pool.train)]
    # what a site file is read to hold is told at the site only
    open_rows = {name: each.held for name, each in own.items() if not each.has_site_file}
    held = {name: rows for name, rows in open_rows.items() if rows is not None}
    notes += unlike_units(ranges_of(held))
    judged_by = pool
    if config.reference is not None:
        judged_by = config.reference.source.load()
        if agreed is not None:
            judged_by = pool_as_agreed(agreed, judged_by)
    has_classes = judged_by is not None and judged_by.can_be_judged
    space = _all_variables(judged_by, agreed, facts)
    metrics = chosen_metrics(config.measure, space, has_classes)
    return Prepared(pool, sites, own, agreed, facts, prepared, notes, judged_by, metrics)


def _ends_with_nothing(game: Game[State], seats: Seats, is_main: bool) -> list[str]:
    """Return a note if there will be nothing to draw from a game that is carried along.

    Raises:
        ConfigError: It is the main game.
    """
    fault = game.ends_with_nothing(seats.parties)
    if fault and is_main:
        raise ConfigError([f"game: {fault}"])
    return [f"compare: {fault}"] if fault else []


def game_names(config: Config) -> list[str]:
    """Return what the games of a run are called in it, the main one first."""
    games = (config.game, *config.carried)
    return [name_of("game", game).rpartition(":")[2] for game in games]


def _all_variables(data: Dataset | None, agreed: Space | None, facts: Mapping[str, Facts]) -> Space:
    """Return the variables by which it is decided what is measured."""
    if agreed is not None:
        return agreed
    if data is not None:
        return data.space
    variables: dict[str, Variable] = {}
    for each in facts.values():
        variables |= {name: each.variables[name] for name in each.variables}
    return Space(variables)


def _games(config: Config, own: Mapping[str, OwnData]) -> list[Game[State]]:
    """Return the games of a run.

    Raises:
        ConfigError: One of them pools data that lie at different places.
    """
    games = [config.game, *config.carried]
    pooling = [name_of("game", game) for game in games if game.pools_data]
    if pooling and own:
        listed = ", ".join(map(repr, own))
        remedy = "leave it out, such as with --set 'compare=[\"isolated\"]'"
        if config.game.pools_data:
            remedy = "choose another game, such as sample_exchange"
        raise ConfigError(
            [
                f"{pooling[0]!r} learns from the data of all players in one place, and {listed} "
                f"{'has' if len(own) == 1 else 'have'} data of their own, which cannot be pooled; "
                f"{remedy}"
            ]
        )
    return games


def _facts(
    config: Config, sites: Sites | None, own: Mapping[str, OwnData], since: Path | None
) -> dict[str, Facts]:
    """Return what all players say of themselves, in the order of the config."""
    known = {} if sites is None else facts_of_pool(config, sites)
    if own:
        known |= facts_of_sites(config, own, since)
    return {name: known[name] for name in config.player_names}


def first_record(config: Config, prepared: Prepared) -> RunRecord:
    """Return the contents of ``run.json`` at the beginning."""
    data = prepared.data
    notes = [*prepared.notes]
    judged_by = prepared.judged_by
    if judged_by is not None:
        notes += wanting(prepared.metrics, config.measure.samples, judged_by)
    if data is not None:
        notes += [*range_notes(config, data.space, data.train)]
    if prepared.sites is not None:
        notes = [*prepared.sites.notes, *notes]
    written = data_record(prepared.data, prepared.sites, prepared.own, prepared.facts)
    pairs = tuple(open_here(prepared)[:_MOST_OPEN])
    return RunRecord(
        status="running",
        config=config.to_dict(),
        versions=versions(),
        data=replace(written, open=pairs),
        notes=notes,
        unmeasured=unmeasured(prepared.metrics, judged_by, at_players=prepared.at_players),
        models=_models_of_sites(prepared),
        games={game.name: _game_record(config, game) for game in prepared.games},
    )


def _models_of_sites(prepared: Prepared) -> dict[str, str]:
    """Return what the models are called that site files name."""
    models = {}
    for name, own in prepared.own.items():
        facts = prepared.facts[name]
        if own.has_site_file:
            is_foreign = facts.model_name == "estimator"
            models[name] = facts.model if is_foreign else facts.model_name.rpartition(":")[2]
    return models


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
        network_sizes=game.network_sizes(prepared.seats.parties),
    )


def _predicted(config: Config, game: Game[State], seats: Seats) -> dict[str, list[float]]:
    """Return the class shares by player that theory predicts; empty without theory or classes."""
    names = config.player_names
    if not all(name in seats.shares for name in names):
        return {}
    of_players = torch.stack([seats.shares[name] for name in names])
    shares = game.predicted_shares(names, config.seed, of_players)
    return {} if shares is None else dict(zip(names, shares.tolist(), strict=True))
