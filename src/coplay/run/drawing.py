"""Models of a finished run with what they learned, and their samples in the form of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from coplay.core.errors import CoplayError, ModelError, RunFolderError
from coplay.core.space import LABEL, tensors
from coplay.data.given_form import as_given
from coplay.data.sources.memory import Memory
from coplay.models.base import LocalModel
from coplay.player import Player
from coplay.run.given import MOST_DRAWS, Asked
from coplay.run.given_draws import draw_given
from coplay.run.rules_of import check_kept
from coplay.run.sampling import load_player
from coplay.run.site_file import SiteData, SiteFile

if TYPE_CHECKING:
    from coplay.run.result import Result

_SEVERAL = ("generator", "discriminator")


def loaded(result: Result, player: str, game: str | None, trust: bool) -> Player:
    """Return a player with what it learned, ready to draw.

    Raises:
        RunFolderError: There is no such player, game or model, or the model is at a site of
            another party.
    """
    game = game or result.main.name
    lies_elsewhere = player in result.players and player not in result.config.players
    if lies_elsewhere:
        raise RunFolderError(
            f"the model of {player!r} is at the site {player!r}, and this folder has none of it; "
            f"ask that site: 'coplay sample RUN --player {player}' there"
        )
    return load_player(result.folder, player, game, trust or result.trust)


def network(model: LocalModel, player: str) -> nn.Module:
    """Return the one torch module of a model.

    Raises:
        ModelError: It has none, or more than one.

    Example:
        >>> from coplay.models.exponential_family import ExponentialFamily
        >>> network(ExponentialFamily(), "north")
        Traceback (most recent call last):
        coplay.core.errors.ModelError: player 'north': ExponentialFamily has no network of torch
    """
    values = getattr(model, "__pydantic_private__", None) or {}
    modules = [value for value in values.values() if isinstance(value, nn.Module)]
    if len(modules) == 1:
        return modules[0]
    half = getattr(model, "half", None)
    if half is not None and getattr(model, "generates", False):
        generator: nn.Module = half("generator")
        return generator
    fault = "has no network of torch" if not modules else "has several networks of torch"
    raise ModelError(f"player {player!r}: {model.title} {fault}")


def asked_of(result: Result, player: Player) -> Asked:
    """Return for whom conditions are, with the names that they may use.

    Args:
        result: The run.
        player: It was loaded from the run.
    """
    drawn = [name for name in player.variables if name not in player.unlearned]
    learned = result.record.data.learned
    holders: dict[str, list[str]] = {}
    for other, names in learned.items():
        for name in names:
            if name not in player.variables:
                holders.setdefault(name, []).append(other)
    return Asked(
        player.name,
        player.variables.only(drawn),
        player.unlearned,
        holders,
        aliases_of(result, player),
    )


def own_data_of(result: Result, player: str) -> SiteData | None:
    """Return where a player's own data are, also from its site file if that is here.

    Args:
        result: The run.
        player: The player's name.

    Returns:
        None for a player that was dealt its rows, for a seat, and where the file is elsewhere.
    """
    section = result.config.players.get(player)
    if section is None or section.site is None:
        return None if section is None else section.data
    path = Path(section.site)
    return SiteFile.from_file(path, trust=False).data if path.is_file() else None


def aliases_of(result: Result, player: Player) -> dict[str, str]:
    """Return variables by another name: that of the column that a player has for them.

    Args:
        result: The run.
        player: It was loaded from the run.
    """
    own = own_data_of(result, player.name)
    source = result.config.data.source if own is None else own.source
    columns = {} if own is None else {column: name for name, column in own.columns.items()}
    label = getattr(source, "label_column", None)
    if label:
        columns.setdefault(label, LABEL)
    aliases = {}
    for column, name in columns.items():
        if column not in player.variables and name in player.variables:
            aliases[column] = name
    return aliases


def sample(
    result: Result,
    player: str,
    n: int,
    seed: int,
    game: str | None,
    trust: bool,
    given: Mapping[str, Any] | Sequence[str] = (),
    most: int = MOST_DRAWS,
) -> Any:
    """Return samples of a player in the form in which its data were given."""
    for name, count in (("n", n), ("most", most)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            what = "sample" if name == "n" else "draw"
            raise CoplayError(f"{name}: expected at least 1 {what}, got {count!r}")
    drawer = loaded(result, player, game, trust)
    if given:
        conditions = asked_of(result, drawer).conditions(given)
        samples, record = draw_given(drawer, conditions, n, seed, most)
        result.draws.append(record)
    else:
        samples = drawer.draw(n, 0, f"file {seed}")
    check_kept(drawer)
    space = drawer.variables.only([name for name in drawer.variables if name in tensors(samples)])
    section = result.config.players.get(player)
    source = None
    if section is not None and section.data is not None:
        source = section.data.source
    if not isinstance(source, Memory):
        source = Memory(form="arrays")
    return as_given(samples, space, source)
