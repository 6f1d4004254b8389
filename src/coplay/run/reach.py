"""Whether players can learn their variables: from their own data, or from those they listen to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse as sp

from coplay.core.errors import DataError
from coplay.core.facts import Facts, schema_digest
from coplay.core.space import Space
from coplay.core.variable import Variable
from coplay.data.words import quoted, some
from coplay.models.mixing import INCOMPLETE, required
from coplay.run.config import Config


def check_same_variables(facts: Mapping[str, Facts], agreed: Space | None = None) -> None:
    """Refuse players that take one name for different variables, or something else as agreed.

    Args:
        facts: What the players say of themselves.
        agreed: The variables that the coordinator takes as agreed; None where there are none.

    Raises:
        DataError: There are some; the message names each variable and what it is at whom.
    """
    first: dict[str, tuple[str, Variable]] = {}
    if agreed is not None:
        known = required(agreed)
        first = {name: ("the coordinator", known[name]) for name in known}
    faults = []
    for player, each in facts.items():
        own = each.variables
        of_player = []
        for name in own:
            if agreed is not None and each.schema and name not in agreed:
                of_player.append(f"'{name}' is learned at '{player}', and was not agreed on")
                continue
            where, variable = first.setdefault(name, (f"'{player}'", own[name]))
            if variable != own[name]:
                of_player.append(
                    f"'{name}' is {_described(own[name])} at '{player}' and "
                    f"{_described(variable)} at {where}"
                )
        is_other = agreed is not None and each.schema not in ("", schema_digest(agreed))
        if is_other and not of_player:
            # a player tells what it learns; of the other agreed variables it tells a digest
            of_player.append(
                f"what '{player}' learns is as agreed, but its [variables] are others than the "
                "coordinator's: in those that it does not learn, in their order, or in which may "
                "be missing in some rows"
            )
        faults += of_player
    if faults:
        raise DataError(
            f"players agreed on different variables: {'; '.join(faults)}. Give all the same "
            "[variables]"
        )


def _described(variable: Variable) -> str:
    """Write a variable with its range and the names of its categories."""
    if variable.kind == "categorical":
        return f"{variable} ({some(map(quoted, variable.class_names), 12)})"
    return str(variable)


def check_agreed(agreed: Space, facts: Mapping[str, Facts]) -> None:
    """Refuse agreed variables that nobody has.

    Raises:
        DataError: There are some; the message names all.
    """
    observed = set()
    for each in facts.values():
        if each.count != 0:
            observed |= set(each.variables) - set(each.unobserved)
    missing = [name for name in agreed if name not in observed]
    if missing:
        verb = "was" if len(missing) == 1 else "were"
        few = _with_few_rows(missing, facts)
        if few:
            raise DataError(
                f"{', '.join(map(repr, missing))} {verb} agreed, and {', '.join(map(repr, few))} "
                "said that they have 0 rows to learn from, which is what fewer than 6 are where "
                'counts are rounded to tens: give them more rows, or write count = "exact" under '
                "[tell] of the site files"
            )
        raise DataError(
            f"{', '.join(map(repr, missing))} {verb} agreed, and nobody has data of it: expected "
            f"some of {', '.join(facts)} to have it. Leave it out of [variables], or name its "
            "column in the data of a site"
        )


def _with_few_rows(variables: Sequence[str], facts: Mapping[str, Facts]) -> list[str]:
    """Return those who have one of the variables and seem to have no rows."""
    few = []
    for name, each in facts.items():
        observed = set(each.variables) - set(each.unobserved)
        if each.count == 0 and each.measures and observed & set(variables):
            few.append(name)
    return few


def check_common_variables(config: Config, facts: Mapping[str, Facts]) -> None:
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
        kind = (tuple(facts[name].variables), facts[name].learns_incomplete)
        kind_of.append(kinds.setdefault(kind, len(kinds)))
    links = alpha.tocoo()
    foreign = (links.row != links.col) & (links.data != 0)
    listeners = links.row[foreign]
    speakers = links.col[foreign]
    each = np.array(kind_of)
    pairs = each[listeners] * len(kinds) + each[speakers]
    _, first = np.unique(pairs, return_index=True)
    for place in np.sort(first).tolist():
        _check_pair(facts[names[listeners[place]]], facts[names[speakers[place]]])


def _check_pair(listener: Facts, speaker: Facts) -> None:
    own = listener.variables
    missing = [name for name in own if name not in speaker.variables]
    if not missing:
        return
    if len(missing) == len(own):
        raise DataError(
            f"player '{listener.name}' listens to '{speaker.name}' and has no variable in common "
            "with it"
        )
    if not listener.learns_incomplete:
        raise DataError(
            f"player '{listener.name}': {listener.model} needs every variable, and '{missing[0]}' "
            f"is missing in the samples of player '{speaker.name}'; choose a model that learns "
            f"from incomplete samples ({INCOMPLETE}), or give both the same variables"
        )


def check_unobserved(config: Config, facts: Mapping[str, Facts]) -> None:
    """Refuse a player that has no way to learn a variable that its data lack.

    The variable must be one of its own, and reach it from a player that observes it.

    Raises:
        DataError: It does not, or nothing is left, or the player's model needs complete samples.
    """
    reachable = _reachable(config, facts)
    for name in config.player_names:
        unobserved = facts[name].unobserved
        own = facts[name].variables
        lacking = "unobserved"
        if name not in config.pool_players:
            lacking = "lacks"
        for variable in unobserved:
            place = f"players.{name}.{lacking}: '{variable}'"
            if variable not in own:
                raise DataError(f"{place} is none of its variables; these are {', '.join(own)}")
            if variable not in reachable[name]:
                raise DataError(
                    f"{place} is observed by nobody whom it listens to, directly or by way of "
                    "others, so it cannot learn it; give it to some player's data, or let it "
                    "listen to one that has it"
                )
        if unobserved and not facts[name].learns_incomplete:
            raise DataError(
                f"players.{name}.{lacking}: {facts[name].model} needs every variable; choose a "
                f"model that learns from incomplete samples ({INCOMPLETE})"
            )
        if set(unobserved) == set(own):
            raise DataError(
                f"players.{name}.{lacking}: its data lack all of its variables; "
                "leave one, or give it no data"
            )


def _reachable(config: Config, facts: Mapping[str, Facts]) -> dict[str, set[str]]:
    """Return the variables that each player observes or receives, directly or through others."""
    names = config.player_names
    knows: dict[str, set[str]] = {}
    for name in names:
        knows[name] = set()
        if facts[name].count != 0:
            knows[name] = set(facts[name].variables) - set(facts[name].unobserved)
    alpha = config.game.sparse_weights(config.game.start(names, config.seed))
    if alpha is None:  # no game in which samples travel
        observed = set().union(*knows.values())
        return {name: observed & set(facts[name].variables) for name in names}
    # variables that the same players learn and the same ones observe go the same ways
    alike: dict[tuple[bytes, bytes], list[str]] = {}
    own = [set(facts[name].variables) for name in names]
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
