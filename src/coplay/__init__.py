"""Generative models that learn together from data that cannot be pooled.

The arrow, and the order of the folders:

    config → federation → game → engine → player (data + model) → metrics → result → report

Names are loaded when they are first used, so that importing coplay costs no more than what is used
of it.

Example:
    >>> import coplay, torch
    >>> coplay.influence_matrix(torch.tensor([[0.3, 0.7], [0.7, 0.3]]))
    tensor([[0.5882, 0.4118],
            [0.4118, 0.5882]], dtype=torch.float64)
"""

from __future__ import annotations

import importlib

# typing is not imported here: with python -m, a typing.py of the current folder would come first
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from coplay.core.components import find, names
    from coplay.core.errors import CoplayError
    from coplay.core.message import Message, PlayerLost, Request
    from coplay.core.space import Samples, Space, Variable, pick
    from coplay.core.streams import stream
    from coplay.data.partitions.base import Partition
    from coplay.data.sources.base import Dataset, Source
    from coplay.engines.base import Engine
    from coplay.games.base import Game, Row, State
    from coplay.metrics.base import Metric, Stat, Value
    from coplay.models.base import LocalModel, Mixture, Portion
    from coplay.models.state import flat_state, load_flat_state
    from coplay.player import Player
    from coplay.run.config import Config
    from coplay.run.federation import Federation
    from coplay.run.playing import play
    from coplay.run.result import Result
    from coplay.run.sampling import load_player
    from coplay.theory.equilibrium import (
        equilibrium_moments,
        influence_matrix,
        nash_gap,
        rounds_needed,
        solve_sparse,
        spectral_radius,
    )

_HOME = {
    "Config": "run.config",
    "CoplayError": "core.errors",
    "Dataset": "data.sources.base",
    "Engine": "engines.base",
    "Federation": "run.federation",
    "Game": "games.base",
    "LocalModel": "models.base",
    "Message": "core.message",
    "Metric": "metrics.base",
    "Mixture": "models.base",
    "Partition": "data.partitions.base",
    "Player": "player",
    "PlayerLost": "core.message",
    "Portion": "models.base",
    "Request": "core.message",
    "Result": "run.result",
    "Row": "games.base",
    "Samples": "core.space",
    "Source": "data.sources.base",
    "Space": "core.space",
    "Stat": "metrics.base",
    "State": "games.base",
    "Value": "metrics.base",
    "Variable": "core.space",
    "equilibrium_moments": "theory.equilibrium",
    "find": "core.components",
    "flat_state": "models.state",
    "influence_matrix": "theory.equilibrium",
    "load_flat_state": "models.state",
    "load_player": "run.sampling",
    "names": "core.components",
    "nash_gap": "theory.equilibrium",
    "pick": "core.space",
    "play": "run.playing",
    "rounds_needed": "theory.equilibrium",
    "solve_sparse": "theory.equilibrium",
    "spectral_radius": "theory.equilibrium",
    "stream": "core.streams",
}
"""The module that each public name lives in."""

__all__ = [
    "Config",
    "CoplayError",
    "Dataset",
    "Engine",
    "Federation",
    "Game",
    "LocalModel",
    "Message",
    "Metric",
    "Mixture",
    "Partition",
    "Player",
    "PlayerLost",
    "Portion",
    "Request",
    "Result",
    "Row",
    "Samples",
    "Source",
    "Space",
    "Stat",
    "State",
    "Value",
    "Variable",
    "equilibrium_moments",
    "find",
    "flat_state",
    "influence_matrix",
    "load_flat_state",
    "load_player",
    "names",
    "nash_gap",
    "pick",
    "play",
    "rounds_needed",
    "solve_sparse",
    "spectral_radius",
    "stream",
]
__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(
            f"module 'coplay' has no attribute {name!r}; public names: {', '.join(__all__)}"
        )
    value = getattr(importlib.import_module(f"coplay.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
