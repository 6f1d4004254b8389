"""A new model of the kind that a player of a run has, before it has learned anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coplay.core.components import nearest
from coplay.core.errors import ModelError, RunFolderError
from coplay.models.base import LocalModel
from coplay.nets import devices
from coplay.run.foreign import code_of, refuse

if TYPE_CHECKING:
    from coplay.run.result import Result


def new_model(result: Result, player: str | None) -> LocalModel:
    """Return a new model of the kind that a player has.

    It is on the CPU if its device is not available on this machine.

    Args:
        result: The run.
        player: The player's name; None for the model of the games' own seats.

    Raises:
        TrustError: The model takes code from outside coplay, and the run is not trusted.
        RunFolderError: There is no such player.
    """
    if player in result.seats:
        player = None
    if player is not None and player not in result.config.players:
        known = nearest(player, result.parties)
        fault = f"{result.folder} has no player {player!r}"
        raise RunFolderError(f"{fault}; known, nearest first: {known}")
    model = result.config.player_model(player) if player else result.config.model.fresh()
    code = code_of(model)
    if code and not result.trust:
        refuse(f"has a model of {player or 'a seat'} that runs code", code, str(result.folder))
    return on_available_device(model)


def on_available_device(model: LocalModel) -> LocalModel:
    """Return the model, moved to the CPU if its device is not available on this machine.

    Example:
        >>> from coplay.models.acgan import Acgan
        >>> on_available_device(Acgan(device="elsewhere")).device
        'cpu'
    """
    if "device" in type(model).model_fields:
        try:
            devices.resolve(model.device)  # type: ignore[attr-defined]
        except ModelError:
            return model.model_copy(update={"device": "cpu"}).fresh()
    return model
