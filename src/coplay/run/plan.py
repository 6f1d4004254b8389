"""What theory says of a game before it is played, as data: see :mod:`coplay.run.planning`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coplay.run.open_pairs import OpenPair
from coplay.run.privacy_cost import PrivacyCost


@dataclass(frozen=True)
class PlayerPlan:
    """What theory says of one player; None where it takes a dense matrix that is not made.

    Args:
        name: The player.
        own_weight: α_ii.
        hears: From how many others it receives samples.
        heard_by: How many others receive samples of it.
        keeps: Share of its own data in its model at the equilibrium, M_ii.
        contribution: Mean share of its data in all models, a mean over a column of M.
        echo: Factor by which a bias of this model alone grows, (I − W)⁻¹_ii.
        echo_of_all: Factor by which a bias that all models have grows in this one.
        band: Half of the width in which 95 % of its shares of a class lie by chance, the largest
            over the classes; where shares are not known, that of a share of one half at all others,
            which is the largest possible.
        noise_once: Standard deviation in this model if all data carry noise of 1, drawn once.
        noise_anew: The same at rest, if the noise is drawn anew in every round.
    """

    name: str
    own_weight: float
    hears: int
    heard_by: int
    echo_of_all: float
    keeps: float | None = None
    contribution: float | None = None
    echo: float | None = None
    band: float | None = None
    noise_once: float | None = None
    noise_anew: float | None = None


@dataclass(frozen=True)
class VariablePlan:
    """Whose data variables are learned from, where not all players have all variables.

    Args:
        variables: Variables that the same players learn and the same ones observe.
        players: The players that learn them.
        observed_by: Those of them whose data have them.
        influence: M of these variables (A2) among the players that learn them, row by row: what
            the distribution of each of the variables alone is mixed of.
    """

    variables: Sequence[str]
    players: Sequence[str]
    observed_by: Sequence[str]
    influence: Sequence[Sequence[float]]


@dataclass(frozen=True)
class Traffic:
    """What travels in a round in which fresh samples are drawn, in bytes without framing.

    Args:
        largest_link: Over the link that carries most.
        all_links: Over all.
    """

    largest_link: float
    all_links: float


@dataclass(frozen=True)
class LeftOut:
    """What was not computed.

    Args:
        reason: What, and why.
        do: What to do to get it.
    """

    reason: str
    do: str


@dataclass(frozen=True)
class Plan:
    """What theory says of a game before it is played.

    Args:
        title: The config's.
        rounds: Rounds that the game plays, at most.
        before: Rounds of these that are alone or of a warm-up.
        rounds_needed: Rounds after which no share is further than 1 % from the equilibrium; None
            where own weights are so small that it takes more than a hundred thousand.
        exact: Whether that is the smallest such number by ‖Wᵗ‖_∞, not a bound of it.
        samples: n, samples a round.
        shares_known: Whether the band is that of the players' own shares.
        originals: Whether own data take the place of copies, which breaks the echo of one model.
        players: The players; the first only where there are many.
        count: How many players there are.
        unheard: Players whose samples nobody receives.
        traffic: What travels; None where the variables are not known.
        apart: Pairs of variables that no player observes together.
        open: What rows that are here leave open of these pairs, in the same order; empty where no
            rows are here.
        privacy: What privacy costs, by ε; empty where not all numbers of rows are known.
        left_out: What was not computed.
        influence: M (A2), row by row; None for many players.
        by_variable: M of every kind of variable, where not all players have all variables.
    """

    title: str
    rounds: int
    before: int
    rounds_needed: int | None
    exact: bool
    samples: int
    shares_known: bool
    originals: bool
    players: Sequence[PlayerPlan]
    count: int
    unheard: Sequence[str]
    traffic: Traffic | None
    apart: Sequence[tuple[str, str]]
    open: Sequence[OpenPair]
    privacy: Sequence[PrivacyCost]
    left_out: Sequence[LeftOut]
    influence: Sequence[Sequence[float]] | None
    by_variable: Sequence[VariablePlan]
