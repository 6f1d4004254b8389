"""What theory says of a game before anything trains, and what to do with it.

Whether the equilibrium exists, how many rounds it takes, how far chance alone moves shares (B), how
a fault comes back (E), what noise becomes (V), whose data reach whom, what travels, and what nobody
observes together (I). ``docs/theory.md`` has the equations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from coplay.core.components import name_of
from coplay.core.errors import ConfigError, EquilibriumError
from coplay.core.facts import Facts
from coplay.data.words import quoted, some
from coplay.games.base import MOST_IN_M
from coplay.games.sample_exchange import SampleExchange
from coplay.run.checking import sample_bytes
from coplay.run.config import Config
from coplay.run.open_pairs import open_here
from coplay.run.plan import LeftOut, Plan, PlayerPlan, Traffic, VariablePlan
from coplay.run.preparing import Prepared
from coplay.run.privacy_cost import PrivacyCost, privacy_costs
from coplay.theory import bands, echo, noise
from coplay.theory.equilibrium import influence_matrix
from coplay.theory.weights import dense, of_variable

MOST_PREPARED = MOST_IN_M
"""Most players whose data are read for a plan."""

ERROR = 0.01
"""Deviation of a share from the equilibrium that a plan counts rounds to."""


def plan_of(
    config: Config, prepared: Prepared | None = None, only: Sequence[str] = (), fault: str = ""
) -> Plan:
    """Return what theory says of a config's game.

    Args:
        config: The config; no data are read.
        prepared: The same with data read; without it, what follows from data is left out.
        only: Players of a game of many of whom all is to be computed, row by row.
        fault: Why no data could be read; empty where none were to be.

    Raises:
        ConfigError: The game has no weights, or they have no unique equilibrium; or a name of
            ``only`` is none of the players'.
    """
    game = config.game
    names = config.player_names
    unknown = [name for name in only if name not in config.players]
    if unknown:
        raise ConfigError([f"--player {unknown[0]}: no player is called so"])
    if not isinstance(game, SampleExchange):
        raise ConfigError(
            [
                "game: a plan is of rounds of sample_exchange, and not of those of "
                f"{name_of('game', game)!r}; expected sample_exchange"
            ]
        )
    alpha = game.sparse_weights(game.start(names, config.seed))
    facts = None if prepared is None else prepared.facts
    shares = None if prepared is None else _shares(prepared, names)
    left_out = []
    influence = None
    by_variable: list[VariablePlan] = []
    if facts is None:
        left_out.append(_unread(fault))
    if len(names) <= MOST_IN_M:
        influence = influence_matrix(dense(alpha))
        players = _of_few(names, alpha, influence, shares, game.samples_per_round)
        by_variable = [] if facts is None else _by_variable(alpha, facts, names)
    else:
        players = _of_many(names, alpha, only, game.samples_per_round)
        reason = (
            "whose data end up where, contributions, noise and bands take a dense matrix of "
            f"{len(names):,}² numbers, which is made for up to {MOST_IN_M} players"
        )
        left_out.append(LeftOut(reason, "--player NAME gives the echo and the band of one"))
    costs: Sequence[PrivacyCost] = []
    if facts is not None and len(names) <= MOST_IN_M:
        counts = [facts[name].count for name in names]
        costs = privacy_costs(dense(alpha), counts, game.rounds)
        if not costs:
            untold = [name for name, count in zip(names, counts, strict=True) if not count]
            left_out.append(_uncounted(untold))
    pairs = [] if prepared is None else open_here(prepared)
    needed, exact = _rounds(alpha)
    columns = cast(Any, alpha).tocsc()
    listeners = np.diff(_without_own(columns).indptr)
    return Plan(
        title=config.title,
        rounds=game.rounds,
        before=game.own_rounds + game.warmup_rounds,
        rounds_needed=None if needed is None else needed * game.fresh_every_rounds,
        exact=exact,
        samples=game.samples_per_round,
        shares_known=shares is not None and len(names) <= MOST_IN_M,
        originals=game.originals,
        players=players,
        count=len(names),
        unheard=[names[j] for j in np.flatnonzero(listeners == 0).tolist()],
        traffic=None if facts is None else _traffic(alpha, game.samples_per_round, facts, names),
        apart=[pair.variables for pair in pairs],
        open=pairs,
        privacy=costs,
        left_out=left_out,
        influence=None if influence is None else influence.tolist(),
        by_variable=by_variable,
    )


def _unread(fault: str) -> LeftOut:
    """Say that no data were read, and why."""
    reason = (
        "no data were read, so bytes, class shares, the error of privacy and variables are not "
        "in this plan"
    )
    if fault:
        return LeftOut(f"{reason}: {fault}", "mend that, and 'coplay check' will meet no fault")
    return LeftOut(reason, f"plan without --no-data, with up to {MOST_PREPARED} players")


def _uncounted(untold: Sequence[str]) -> LeftOut:
    """Say why the error of privacy is not in a plan."""
    reason = f"the error that privacy costs: {some(map(quoted, untold), 6)} tell no number of rows"
    return LeftOut(reason, 'let these tell it: count = "tens" under [tell] of the site file')


def _shares(prepared: Prepared, names: Sequence[str]) -> Tensor | None:
    """Return the class shares of all players' data, shape (N, C); None where some are not known."""
    known = prepared.games[0].seats.shares
    each = [known[name] for name in names if name in known]
    if len(each) < len(names) or len({len(one) for one in each}) != 1 or not len(each[0]):
        return None
    shares = torch.stack(each).double()
    return shares if shares.isfinite().all() else None


def _by_variable(
    alpha: sp.csr_matrix, facts: Mapping[str, Facts], names: Sequence[str]
) -> list[VariablePlan]:
    """Return M of every kind of variable; empty where all players have the same."""
    kinds: dict[tuple[tuple[bool, ...], tuple[bool, ...]], list[str]] = {}
    for variable in dict.fromkeys(each for name in names for each in facts[name].variables):
        learns = tuple(variable in facts[name].variables for name in names)
        lacks = [variable in facts[name].unobserved for name in names]
        observes = tuple(one and not other for one, other in zip(learns, lacks, strict=True))
        kinds.setdefault((learns, observes), []).append(variable)
    if len(kinds) == 1:
        return []
    plans = []
    for (learns, observes), variables in kinds.items():
        weights, places = of_variable(alpha, np.array(learns), np.array(observes))
        players = [names[place] for place in places.tolist()]
        plans.append(
            VariablePlan(
                variables,
                players,
                [name for name, has in zip(names, observes, strict=True) if has],
                influence_matrix(dense(weights)).tolist(),
            )
        )
    return plans


def _of_few(
    names: Sequence[str],
    alpha: sp.csr_matrix,
    influence: Tensor,
    shares: Tensor | None,
    samples: int,
) -> list[PlayerPlan]:
    """Return all of every player."""
    weights = dense(alpha)
    n = len(names)
    echoes = echo.echo(weights)
    ones = torch.ones(n, dtype=torch.float64)
    once = noise.noise_once(weights, ones)
    anew = noise.noise_anew(weights, ones)
    widths = _band(weights, shares, samples)
    hears, heard_by = _degrees(alpha)
    plans = []
    for i, name in enumerate(names):
        plan = PlayerPlan(
            name=name,
            own_weight=weights[i, i].item(),
            hears=hears[i],
            heard_by=heard_by[i],
            echo_of_all=echoes.all[i].item(),
            keeps=influence[i, i].item(),
            contribution=influence[:, i].mean().item(),
            echo=echoes.own[i].item(),
            band=widths[i].item(),
            noise_once=once[i].item(),
            noise_anew=anew[i].item(),
        )
        plans.append(plan)
    return plans


def _band(weights: Tensor, shares: Tensor | None, samples: int) -> Tensor:
    """Return the largest half width over the classes, shape (N,), at most 1.

    Where own weights are tiny, (B) takes no notice of shares that cannot leave 0 to 1.
    """
    known = torch.full((len(weights), 1), 0.5, dtype=torch.float64) if shares is None else shares
    widths = bands.NORMAL * bands.share_deviations(weights, known, samples).amax(1)
    return widths.clamp(max=1.0)


def _of_many(
    names: Sequence[str], alpha: sp.csr_matrix, only: Sequence[str], samples: int
) -> list[PlayerPlan]:
    """Return of the first players, and of those that were asked for, what the edges give."""
    try:
        of_all = echo.echo_of_all(alpha)
    except EquilibriumError as error:
        raise ConfigError([f"game: {error}"]) from None
    hears, heard_by = _degrees(alpha)
    own = alpha.diagonal()
    # the one with the largest echo decides whether the weights are good enough
    chosen = list(dict.fromkeys([names[int(of_all.argmax())], *only]))
    place = {name: i for i, name in enumerate(names)}
    half = np.full((len(names), 1), 0.5)
    plans = []
    for name in chosen:
        i = place[name]
        own_echo = width = None
        if name in only:
            own_echo = float(echo.echo_of_one(alpha, i)[i])
            width = _band_of_one(alpha, i, half, samples)
        plan = PlayerPlan(
            name=name,
            own_weight=float(own[i]),
            hears=hears[i],
            heard_by=heard_by[i],
            echo_of_all=float(of_all[i]),
            keeps=None if own_echo is None else own_echo * float(own[i]),
            echo=own_echo,
            band=width,
        )
        plans.append(plan)
    return plans


def _band_of_one(
    alpha: sp.csr_matrix, player: int, shares: np.ndarray, samples: int
) -> float | None:
    """Return one player's half width; None where the weights forget too slowly."""
    try:
        deviation = float(bands.deviations_of(alpha, player, shares, samples)[0])
    except EquilibriumError:
        return None
    return min(bands.NORMAL * deviation, 1.0)


def _rounds(alpha: sp.csr_matrix) -> tuple[int | None, bool]:
    try:
        return echo.rounds_within(alpha, ERROR)
    except EquilibriumError:
        return None, False


def _degrees(alpha: sp.csr_matrix) -> tuple[list[int], list[int]]:
    """Return from how many others each player receives, and how many receive from it."""
    foreign = _without_own(alpha)
    hears = np.diff(foreign.indptr).tolist()
    heard_by = np.bincount(foreign.indices, minlength=alpha.shape[0]).tolist()
    return hears, heard_by


def _without_own(alpha: sp.csr_matrix) -> sp.csr_matrix:
    """Return the weights of the others alone, without stored zeros."""
    foreign = cast(Any, alpha).copy()
    foreign.setdiag(0)
    foreign.eliminate_zeros()
    return cast(sp.csr_matrix, foreign)


def _traffic(
    alpha: sp.csr_matrix, samples: int, facts: Mapping[str, Facts], names: Sequence[str]
) -> Traffic:
    """Return what samples cost on the links, each sender's by its own variables."""
    sizes = np.array([sample_bytes(facts[name].space) for name in names], dtype=np.float64)
    foreign = _without_own(alpha)
    each = samples * foreign.data * sizes[foreign.indices]
    return Traffic(float(each.max(initial=0.0)), float(each.sum()))
