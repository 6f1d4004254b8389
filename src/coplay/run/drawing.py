"""Models of a finished run with what they learned, and their samples in the form of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from coplay.core.errors import CoplayError, ModelError, RunFolderError
from coplay.core.space import Samples, tensors
from coplay.data.given_form import as_given
from coplay.data.sources.memory import Memory
from coplay.models.base import LocalModel
from coplay.player import Player
from coplay.run.rules_of import check_kept
from coplay.run.sampling import load_player

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


def sample(result: Result, player: str, n: int, seed: int, game: str | None, trust: bool) -> Any:
    """Return samples of a player in the form in which its data were given."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise CoplayError(f"n: expected at least 1 sample, got {n!r}")
    drawer = loaded(result, player, game, trust)
    samples: Samples = drawer.draw(n, 0, f"file {seed}")
    check_kept(drawer)
    space = drawer.variables.only([name for name in drawer.variables if name in tensors(samples)])
    section = result.config.players.get(player)
    source = None
    if section is not None and section.data is not None:
        source = section.data.source
    if not isinstance(source, Memory):
        source = Memory(form="arrays")
    return as_given(samples, space, source)
