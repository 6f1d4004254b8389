"""The rules between columns of a run: those of its config, and those of each site."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from coplay.core.errors import ConfigError, CoplayError
from coplay.core.rules import Rules
from coplay.core.space import Space
from coplay.core.variable import Variable
from coplay.engines.recipes import Recipe
from coplay.player import Player
from coplay.run.config import Config


def rules_of(config: Config, space: Space) -> Rules:
    """Return the rules of a config.

    Args:
        config: The config.
        space: All variables.

    Raises:
        ConfigError: With what is wrong with each rule.
    """
    return Rules.of(config.rules, space)


def rules_of_sites(config: Config, names: Iterable[str], space: Space) -> dict[str, Rules]:
    """Return the rules of each player with data of its own: the federation's, then its own.

    Args:
        config: The config.
        names: The players.
        space: The agreed variables.

    Raises:
        ConfigError: With what is wrong with each rule of all of them.
    """
    faults = []
    rules = {}
    try:
        shared = rules_of(config, space).rules
    except ConfigError as error:
        faults += error.problems
        shared = ()
    for name in names:
        file = config.site_files.get(name)
        own = () if file is None else file.rules
        try:
            rules[name] = Rules(space, (*shared, *Rules.of(own, space).rules))
        except ConfigError as error:
            where = config.players[name].site
            faults += [f"{where}: {problem}" for problem in error.problems]
    if faults:
        raise ConfigError(faults)
    return rules


def rules_of_all(
    config: Config, players: Sequence[Player | Recipe], spaces: Iterable[Space]
) -> None:
    """Give players that are made here, and seats, the rules that their samples keep.

    Args:
        config: The run's config.
        players: Everybody in a game; those that are made elsewhere get their rules there.
        spaces: The variables of all players.

    Raises:
        ConfigError: With what is wrong with each rule.
    """
    if not config.rules:
        return
    variables: dict[str, Variable] = {}
    for space in spaces:
        variables |= {name: space[name] for name in space}
    for player in players:
        if isinstance(player, Player):
            player.rules = rules_for(config, player.name, Space(variables), player.variables)


def rules_for(config: Config, player: str, space: Space, variables: Space) -> Rules:
    """Return the rules that the samples of a player, or of a seat, keep.

    Args:
        config: The run's config.
        player: The player, or the seat.
        space: All variables.
        variables: Those that it learns; rules of others say nothing of its samples.

    Raises:
        ConfigError: With what is wrong with each rule.
    """
    names = [player] if player in config.players else []
    of_sites = rules_of_sites(config, names, space)
    return of_sites.get(player, rules_of(config, space)).only(variables)


def check_kept(player: Player) -> None:
    """Refuse rows that break rules, since too few others could be drawn.

    Raises:
        CoplayError: Which rules are in the way.
    """
    kept = player.kept_by_rules
    if not kept.breaking:
        return
    worst = max(player.rules.counts(player.draw(200, 0, "why")), key=lambda each: each.rows)
    raise CoplayError(
        f"the model of {player.name!r} hardly draws a row that keeps the rules: {kept}. Most often "
        f"broken is {worst.rule!r}; let it learn for more rounds, or leave the rule out"
    )
