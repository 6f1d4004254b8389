"""Which models of a config are tried before play, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping

from coplay.core.errors import ModelError
from coplay.core.facts import Facts
from coplay.models.trial import is_tried, try_out
from coplay.run.config import Config


def try_models(config: Config, facts: Mapping[str, Facts]) -> list[str]:
    """Try every own model once for each space that it is to learn.

    Args:
        config: What is played.
        facts: What the players say of themselves.

    Returns:
        Sentences for the reader of the report, of models that took long.

    Raises:
        ModelError: Models are at fault; the error names all of them.
    """
    notes = []
    errors = []
    tried = set()
    for name in config.player_names:
        model = config.player_model(name)
        unobserved = tuple(facts[name].unobserved)
        case = (model, facts[name].variables, unobserved)
        if case in tried or not is_tried(model):
            continue
        tried.add(case)
        try:
            note = try_out(
                model,
                facts[name].variables,
                f"player '{name}'",
                unobserved,
                receives=_samples_travel(config),
            )
            notes += [note] if note else []
        except ModelError as error:
            errors.append(str(error))
    if errors:
        raise ModelError("\n".join(errors))
    return notes


def _samples_travel(config: Config) -> bool:
    """Whether a game of the run may let a model learn from another player's samples.

    Of coplay's games only those with weights do; an own game may.
    """
    names = config.player_names
    for game in (config.game, *config.carried):
        alpha = game.sparse_weights(game.start(names, config.seed))
        if alpha is None:
            if not type(game).__module__.startswith("coplay."):
                return True
            continue
        links = alpha.tocoo()
        if ((links.row != links.col) & (links.data != 0)).any():
            return True
    return False
