"""Settings that a resume may change, because they cannot change results."""

from __future__ import annotations

from collections.abc import Sequence

from coplay.core.components import name_of
from coplay.core.errors import ConfigError
from coplay.engines.base import Engine
from coplay.games.base import Game
from coplay.run.config import Config
from coplay.run.differences import differences

_FREE = (
    "title",
    "checkpoint.every_rounds",
    "engine.start_seconds",
    "engine.deadline",
    "engine.patience",
    "engine.on_late",
    "engine.restart",
    "engine.keep_memory",
    "engine.address",
    "engine.gpus",
    "engine.games_at_once",
)
"""Settings that change no sum of floats and no random number, in words of the config."""

_GROUPING = ("engine.name", "engine.groups", "engine.processes")
"""Settings that decide which players are served together."""

_OF_ALL = ("name", "threads")
"""Settings that engines have in common."""


def changed(config: Config, overrides: Sequence[str]) -> Config:
    """Return a run's config with settings changed for its rest.

    Args:
        config: As it was until now.
        overrides: ``key.path=value`` each.

    Raises:
        ConfigError: One of them would change results; the message names all, and why.

    Example:
        >>> changed(Config(), ["checkpoint.every_rounds=2"]).checkpoint.every_rounds
        2
        >>> changed(Config(), ["seed=2"])
        Traceback (most recent call last):
        coplay.core.errors.ConfigError: 1 problem in the config:
          - --set seed: was 1, is 2; this would change results, ...
    """
    values = config.to_dict()
    engine = values["engine"]
    if any(text.partition("=")[0].strip() in ("engine", "engine.name") for text in overrides):
        # another engine has its own settings; what both have stays
        values["engine"] = {key: value for key, value in engine.items() if key in _OF_ALL}
    after = Config.from_values(values, overrides)
    problems = [f"--set {line}; {reason}" for line, reason in result_changes(config, after).items()]
    if problems:
        raise ConfigError(problems)
    return after


def result_changes(before: Config, after: Config) -> dict[str, str]:
    """Return the differences of two configs that change results, each with the reason.

    Example:
        >>> result_changes(Config(), Config(title="another"))
        {}
        >>> list(result_changes(Config(), Config(seed=2)))
        ['seed: was 1, is 2']
    """
    reasons = {}
    for line in differences(before.to_dict(), after.to_dict()):
        reason = _reason(line.partition(":")[0], before, after)
        if reason:
            reasons[line] = reason
    return reasons


def _reason(key: str, before: Config, after: Config) -> str:
    """Say why a setting may not be changed; empty if it may."""
    if key in _FREE:
        return ""
    if key == "engine.threads":
        return "sums of floats depend on the number of threads"
    if key in _GROUPING:
        return _grouping_fault(before, after)
    return (
        "this would change results, and a run goes on only as it began: start a new run with "
        "'coplay run'"
    )


def _grouping_fault(before: Config, after: Config) -> str:
    """Say why players may not be grouped otherwise; empty if they may."""
    for game in (before.game, *before.carried):
        count = _groups(before, game)
        if _serves_together(game) and count != _groups(after, game):
            return (
                f"in '{name_of('game', game)}' players of one process learn together, and sums of "
                f"floats depend on the groups: expected {count} groups or processes, as before"
            )
    return ""


def _serves_together(game: Game) -> bool:
    return type(game).serve_together is not Game.serve_together


def _groups(config: Config, game: Game) -> int:
    """Return the number of groups of players in a game, at most one for each."""
    engine: Engine = config.engine
    count = getattr(engine, "groups", 0) or getattr(engine, "processes", 1)
    seats = [*game.players_of(config.player_names), *game.seats]
    return min(int(count), len(seats))
