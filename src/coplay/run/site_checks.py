"""What sites with files of their own are refused for, before any of their rows is read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from coplay.core.components import name_of
from coplay.core.errors import ConfigError, ModelError
from coplay.core.inside import file_name
from coplay.core.space import Space
from coplay.run.config import Config
from coplay.run.foreign import code_of
from coplay.run.private_site import FOLDER, Privacy
from coplay.run.schema import VariableSection
from coplay.site.budget import FILE as BUDGET
from coplay.site.private_steps import unfit

_BY_LEARNING = ("sample_exchange", "isolated")
"""The games in which nothing but a player's model uses its rows."""


def check_private_sites(config: Config) -> None:
    """Refuse promises that could not be kept, of all sites at once.

    Raises:
        ConfigError: With all faults.
    """
    faults = []
    for name, file in config.site_files.items():
        if file.privacy is None:
            faults += _dropped(config, name)
            continue
        learns = file.learns
        if learns is None and "data" in config.model_fields_set:
            learns = config.data.variables
        learned = [v for v in config.variables if learns is None or v in learns]
        learned = [v for v in learned if v not in file.data.lacks]
        try:
            check_private(name, file.privacy, config.variables, learned, file.data.unit)
        except ConfigError as error:
            faults += error.problems
        if file.privacy.stand_in is None:
            faults += _learning_faults(config, name)
        faults += _foreign_games(config, name)
    if faults:
        raise ConfigError(faults)


def _dropped(config: Config, name: str) -> list[str]:
    """Refuse to break a promise that a site made in this federation before, if it made one."""
    site = config.players[name].site
    assert site is not None, "it has a file"
    own = Path(FOLDER) / file_name(config.name) / file_name(name)
    ledger = Path(site).expanduser().resolve().parent / own / BUDGET
    if not ledger.exists():
        return []
    return [
        f"players.{name}.site: it has no [privacy], but by {ledger} a promise was made in this "
        "federation, and whatever is computed from the rows without one breaks it; put [privacy] "
        f"back, or, if the promise is to end, move {ledger} away"
    ]


def _foreign_games(config: Config, name: str) -> list[str]:
    """Refuse games of others, whose code would run beside the rows of a site with a promise."""
    faults = []
    for game in (config.game, *config.carried):
        code = code_of(game)
        if code:
            faults.append(
                f"players.{name}.site: [privacy]: the game {', '.join(code)} is code from outside "
                "coplay, which would run beside the rows and could send them; expected a game of "
                "coplay's own"
            )
    return faults


def _learning_faults(config: Config, name: str) -> list[str]:
    """Say why a site cannot learn by DP-SGD in what is played."""
    place = f"players.{name}.site: [privacy]"
    faults = []
    unfitting = unfit(config.player_model(name))
    if unfitting:
        faults.append(f"{place}: {unfitting}")
    for game in (config.game, *config.carried):
        kind = name_of("game", game)
        if kind not in _BY_LEARNING or getattr(game, "originals", None):
            faults.append(
                f"{place}: in {kind} players use their rows in other ways than by learning, which "
                f"no budget pays for; a model that learns by DP-SGD plays {', '.join(_BY_LEARNING)}"
                " without originals, and a stand_in plays everything"
            )
    return faults


def check_private(
    name: str,
    settings: Privacy,
    variables: Mapping[str, VariableSection],
    learned: Sequence[str],
    unit: str | None,
) -> None:
    """Refuse what would let a promise be broken, before any row is read.

    Args:
        name: The site.
        settings: Its ``[privacy]``.
        variables: The agreed ones, as the federation's file has them.
        learned: Those that the site has and learns.
        unit: The column of its units, if it names one.

    Raises:
        ConfigError: With all faults.
    """
    place = f"players.{name}.site: [privacy]"
    faults = []
    if not variables:
        faults.append(
            "the federation agrees on no variables, so ranges and categories would be read off the "
            "rows, which nothing pays for; write them down in its [variables]"
        )
    each = [_fault(v, variables[v]) for v in learned if v in variables]
    faults += [text for text in each if text]
    if unit is not None and settings.rows_per_unit is None:
        faults.append(
            f"a unit ({unit!r}) has any number of rows, and the noise has to cover all of them; "
            "expected rows_per_unit, the most rows of one unit that are learned from"
        )
    if unit is None and settings.rows_per_unit is not None:
        faults.append("rows_per_unit belongs to a site whose [data] names a unit")
    stand_in = settings.stand_in
    if stand_in is not None:
        for key, own, most in (
            ("epsilon", stand_in.epsilon, settings.most),
            ("delta", stand_in.delta, settings.at_delta),
        ):
            if own > most:
                faults.append(f"the stand-in's {key} = {own:g} is more than {key} = {most:g}")
    if not faults and stand_in is not None:
        space = Space({v: variables[v].variable for v in learned})
        try:
            stand_in.check(space)
        except ModelError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError([f"{place}: {fault}" for fault in faults])


def _fault(name: str, section: VariableSection) -> str:
    """Say why a variable's values are not known without the rows; empty if they are."""
    if section.from_data:
        return (
            f"the range or the categories of '{name}' were read off somebody's data (from_data), "
            "and may reveal a row; agree on them without looking, and drop from_data"
        )
    if section.kind == "count":
        return (
            f"'{name}' is a count, which has no highest value; write '{name} = {{ kind = \"real\", "
            "low = 0, high = 50 }' with a highest value of your own into [variables] of the "
            "federation's file, chosen without looking at the rows (draws are then no whole "
            'numbers); or, of few values, name each: kind = "categorical", categories = '
            '["0", "1", "2"]'
        )
    low, high = section.variable.range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        return (
            f"'{name}' ({section.variable}) has no range; agree on low and high in the "
            "federation's [variables], without looking at the rows"
        )
    return ""


def refuse_code(config: Config) -> None:
    """Refuse a federation that names code which a site with a file of its own would run.

    Raises:
        ConfigError: There is such code.
    """
    without_model = [name for name, file in config.site_files.items() if file.model is None]
    code = code_of(config.model)
    if without_model and code:
        listed = ", ".join(map(repr, without_model))
        raise ConfigError(
            [
                f"model: {', '.join(code)} is code from outside coplay, and {listed} would run it; "
                "a federation may name none for its sites: name it in the site's own file"
            ]
        )
