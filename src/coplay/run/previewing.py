"""What would leave a site in the first round, for the person who lets it leave."""

from __future__ import annotations

from coplay.core.facts import Facts
from coplay.core.message import COORDINATOR, Message
from coplay.core.requests import Measure
from coplay.core.space import Samples, Space
from coplay.data.words import counted, some
from coplay.engines.base import answer
from coplay.models.base import OWN
from coplay.player import Player
from coplay.run.config import Config
from coplay.run.measuring_at_players import of_players, settings_for_players
from coplay.run.own_data import OwnData, SiteRecipe, own_data
from coplay.run.presets import chosen_metrics

_SHOWN = 5


def preview(config: Config, name: str) -> list[str]:
    """Learn for one round on the site's own rows, and show what it would send.

    Args:
        config: The federation, with this site's file.
        name: The site.
    """
    own = own_data(config, None, {})[name]
    own.load()
    lines = _of_promise(own)
    player = SiteRecipe(own, config.seed, None).build()
    lines += ["before the first round, its facts:", *_of_facts(player.facts())]
    player.learn({}, {OWN: 1.0}, config.game.local_steps, 1)
    samples = player.draw(_SHOWN, 1, "preview")
    count = getattr(config.game, "samples_per_round", 0)
    lines.append(
        f"in the first rounds, samples of its model (up to {count:,} a round); "
        f"the first {_SHOWN} after {config.game.local_steps} steps:"
    )
    lines += _of_samples(player.space, samples)
    lines += _of_numbers(config, player)
    lines.append("nothing has left, and nothing was written")
    return lines


def _of_promise(own: OwnData) -> list[str]:
    """Say what the samples below are where the site makes a promise of privacy."""
    privacy = own.privacy
    if privacy is None:
        return []
    if privacy.settings.stand_in is None:
        return [
            "the site's model learns by DP-SGD, and each step spends from its budget; to spend "
            "nothing, none is taken here: all samples below come of placeholders, evenly drawn "
            "from the agreed ranges, and say nothing of what will leave"
        ]
    if privacy.has_stand_in:
        return ["in the place of its rows stand draws of the stand-in that was made and paid for"]
    return [
        "its stand-in is made, and paid for, before the first round, and not here: all samples "
        "below come of placeholders, evenly drawn from the agreed ranges, and say nothing of what "
        "will leave"
    ]


def _of_facts(facts: Facts) -> list[str]:
    lines = []
    for name in facts.variables:
        lines.append(f"  learns {name}: {facts.variables[name]}")
    for key, value in facts.plain().items():
        if value in ("", [], None) or key.startswith("learned"):
            continue
        text = some(value, 12) if isinstance(value, list) else str(value)
        lines.append(f"  {key}: {text}")
    return lines


def _of_samples(space: Space, samples: Samples) -> list[str]:
    lines = []
    for i in range(len(samples)):
        cells = []
        for name in samples.keys():
            variable = space[str(name)]
            value = samples[str(name)][i]
            text = f"{variable}" if variable.shape else f"{value.item():g}"
            if variable.class_names and not variable.shape:
                text = variable.class_names[int(value)]
            cells.append(f"{name}={text}")
        lines.append(f"  {', '.join(cells)}")
    return lines


def _of_numbers(config: Config, player: Player) -> list[str]:
    """Say which numbers would leave where samples are measured."""
    metrics = chosen_metrics(config.measure, player.variables, has_classes=False)
    target = config.measure.target or ""
    known = target if target in player.variables else ""
    settings = settings_for_players(metrics)
    request = Measure(200, tuple(of_players(metrics)), known, settings=settings)
    reply = answer(config.game, player, Message(request, COORDINATOR, player.name, 1))
    numbers = reply.numbers if isinstance(reply, Message) else {}
    if not numbers:
        return ["where samples are measured, no number leaves; all stay on the site's own page"]
    lines = [f"where samples are measured, {counted(len(numbers), 'number')}:"]
    return [*lines, *(f"  {name}: {value:.4g}" for name, value in numbers.items())]
