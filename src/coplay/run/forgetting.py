"""Playing on without a site until its certified share is below a value (U)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from coplay.core.components import nearest
from coplay.core.errors import ConfigError, EquilibriumError, RunFolderError
from coplay.data.words import quoted, some
from coplay.games.base import MOST_IN_M
from coplay.games.sample_exchange import SampleExchange
from coplay.run.config import Config
from coplay.run.result import Result
from coplay.run.shares_played import shares_played
from coplay.theory import weights
from coplay.theory.unlearning import rounds_to_forget, without_site


@dataclass(frozen=True)
class Forgetting:
    """What it takes to forget a site.

    Args:
        site: The site that leaves.
        players: The players that stay, in order.
        before: Its certified share in their models when it leaves.
        bounded: Whether that is no more than the bound of 1, since it was not followed.
        rounds: Rounds with samples of those that stay.
        after: Its largest certified share after these.
        config: What is played.
    """

    site: str
    players: Sequence[str]
    before: Sequence[float]
    bounded: bool
    rounds: int
    after: float
    config: Config


def forgetting(result: Result, site: str, below: float) -> Forgetting:
    """Return what it takes to forget a site of a finished run.

    Args:
        result: The run.
        site: The site.
        below: What its share is to fall below in every model, in (0, 1).

    Raises:
        ConfigError: The value is none.
        RunFolderError: The site cannot be forgotten; the message says why.
    """
    if not 0 < below < 1:
        raise ConfigError([f"--below: expected a share between 0 and 1, got {below:g}"])
    game, alpha = _played(result, site)
    names = result.players
    place = names.index(site)
    stay = [i for i in range(len(names)) if i != place]
    players = [names[i] for i in stay]
    left = _shares_of(result, game, alpha, place)
    bounded = left is None
    if left is None:
        left = np.ones(len(stay))
    among = weights.among(alpha, stay)
    try:
        rounds, after = rounds_to_forget(among, left, below)
    except EquilibriumError as error:
        first, stuck, rest = str(error).partition(" hears nobody")
        if not stuck:
            raise RunFolderError(f"{site!r} cannot be forgotten by playing on: {error}") from None
        name = players[int(first.removeprefix("player "))]
        raise RunFolderError(
            f"{site!r} cannot be forgotten by playing on: {name!r} hears nobody{rest}; give it "
            "weights of others, or own data, in a new run"
        ) from None
    config = _config(result, game, site, players, among, rounds)
    return Forgetting(site, players, left.tolist(), bounded, rounds, after, config)


def _played(result: Result, site: str) -> tuple[SampleExchange, sp.csr_matrix]:
    """Return the rules and the weights of a run that can go on without a site.

    Raises:
        RunFolderError: It cannot.
    """
    names = result.players
    if site not in names:
        known = nearest(site, names)
        raise RunFolderError(
            f"{result.folder} has no player {site!r}; known, nearest first: {known}"
        )
    if len(names) == 1:
        raise RunFolderError(f"{site!r} is the only player; without it nobody is left to play on")
    if len(names) > MOST_IN_M:
        raise RunFolderError(f"shares are followed for up to {MOST_IN_M} players, not {len(names)}")
    if result.record.status != "finished":
        raise RunFolderError(
            f"{result.folder} is {result.record.status}: 'coplay resume {result.folder}' first"
        )
    game = result.game(result.main.name)
    alpha = result.record.games[result.main.name].weights
    if not isinstance(game, SampleExchange) or alpha is None:
        raise RunFolderError(
            f"what is left of a site's data is followed through rounds of sample_exchange, and not "
            f"of {result.main.name!r}"
        )
    gone = [name for row in result.main.rows for name in row.lost]
    if gone:
        raise RunFolderError(
            f"{some(map(quoted, gone))} had been lost; play a run without it first"
        )
    only = _only_with(result, site)
    if only:
        raise RunFolderError(
            f"{site!r} cannot be forgotten by playing on: only its data have "
            f"{some(map(quoted, only))}, so that nothing can take the place of what the others "
            "know of it; leave it out of the variables and begin a new run without the site"
        )
    return game, alpha.scipy()


def _only_with(result: Result, site: str) -> list[str]:
    """Return the variables that others learn and only a site observes."""
    data = result.record.data
    config = result.config
    observed: dict[str, set[str]] = {}
    for name in result.players:
        lacks = data.unobserved.get(name, config.players[name].unobserved)
        observed[name] = set(data.learned[name]) - set(lacks)
    others = [name for name in result.players if name != site]
    learned = set().union(*(data.learned[name] for name in others))
    elsewhere = set().union(*(observed[name] for name in others))
    return [name for name in data.learned[site] if name in (observed[site] & learned) - elsewhere]


def _shares_of(
    result: Result, game: SampleExchange, alpha: sp.csr_matrix, place: int
) -> np.ndarray | None:
    """Return a site's share in the models of the others; None where only 1 is a bound of it."""
    if game.originals or result.record.started_from is not None or result.main.rows == []:
        return None
    if any(row.late or row.left for row in result.main.rows):
        return None
    shares = shares_played(game, alpha, result.main.rows[-1].round)
    column: np.ndarray = without_site(shares, place)[:, -1]
    return column


def _config(
    result: Result,
    game: SampleExchange,
    site: str,
    players: Sequence[str],
    among: sp.csr_matrix,
    rounds: int,
) -> Config:
    """Return the config of the rounds that forget."""
    values: dict[str, Any] = result.config.to_dict()
    sections: Mapping[str, Any] = values["players"]
    section = game.model_copy(
        update={
            "alpha": tuple(map(tuple, weights.dense(among).tolist())),
            "rounds": 1 + rounds,  # after one in which everybody learns alone and draws
            "own_rounds": 1,
            "warmup_rounds": 0,
            "fresh_every_rounds": 1,
            "originals": False,
            "until_steady": False,
            "minutes": None,
        }
    ).model_dump(mode="json", exclude_none=True)
    values["game"] = {"name": "sample_exchange", **section}
    values["players"] = {name: sections[name] for name in players}
    values["compare"] = []
    values["name"] = f"{result.record.name}-without-{site}"
    values["title"] = f"{result.record.title}, without {site}"
    pool = result.config.pool_players
    if pool:
        dealt = result.config.data.among or pool
        values["data"] = {**values["data"], "among": list(dealt)}
    if not any(name in pool for name in players):
        values.pop("data", None)
    return Config.from_dict(values, result.trust or result.config.imported)
