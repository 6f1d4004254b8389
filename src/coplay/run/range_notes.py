"""Says where an agreed range tells networks that travel little about the data inside it."""

from __future__ import annotations

import math

from coplay.core.scales import scale_of
from coplay.core.space import Samples, Space, Variable
from coplay.models.acgan import Acgan
from coplay.run.config import Config

_FILLED = 0.02  # of half the range: data that spread less look alike to a network


def range_notes(config: Config, space: Space, train: Samples) -> list[str]:
    """Name the variables whose range is too wide for a GAN, which is scaled by nothing else.

    The halves of a GAN travel, so its players need one scale, and the range is what they share.
    Other models are scaled by what they learn from.

    Args:
        config: What is played.
        space: All variables.
        train: The training split.
    """
    models = [config.model, *map(config.player_model, config.player_names)]
    if not any(isinstance(model, Acgan) for model in models) or not len(train):
        return []
    return [note for name in space if (note := _note(name, space[name], train))]


def _note(name: str, v: Variable, train: Samples) -> str:
    """Say that the data fill little of a variable's range; empty if they fill it."""
    if v.kind != "real" or not math.isfinite(v.high - v.low) or v.high <= v.low:
        return ""
    widths = scale_of(train[name], v).width
    if not (widths > 0).any():
        return ""
    filled = widths[widths > 0].min().item() / ((v.high - v.low) / 2)
    if filled >= _FILLED or (v.is_image and widths.max() >= _FILLED * (v.high - v.low) / 2):
        return ""
    return (
        f"'{name}' has the range [{v.low:g}, {v.high:g}], and the training data spread over "
        f"{filled:.2%} of it: a GAN is scaled by the range and will hardly see them differ. Agree "
        "on a closer range"
    )
