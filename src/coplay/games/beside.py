"""What a player has beside its model: a second instance of it, and samples of others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor

from coplay.core.nesting import nest, unnest
from coplay.core.space import Samples, Space, tensors
from coplay.core.streams import derive
from coplay.core.surroundings import own_settings
from coplay.games.first_hand_expected import Turn
from coplay.models.base import OWN, LocalModel
from coplay.models.mixing import by_pattern, known_of
from coplay.models.trial_checks import checked_state
from coplay.player import Player
from coplay.theory.by_variable import layers


@dataclass
class Beside:
    """Lies in ``player.pending``, and its tensors in ``player.kept``, so that they are saved.

    Args:
        samples: The last samples of others, by their origin.
        model: The second instance; None where there is none yet.
        more: Further tensors of the game, by name.
        kept: What of this was last put into ``player.kept``.
        space: On what the player's model was set up anew for the game; None where it was not.
    """

    samples: dict[str, Samples] = field(default_factory=dict)
    model: LocalModel | None = None
    more: dict[str, Tensor] = field(default_factory=dict)
    kept: Mapping[str, Tensor] | None = None
    space: Space | None = None

    @classmethod
    def of(cls, player: Player) -> Beside:
        """Return what a player has; after a checkpoint was loaded, what lay in that."""
        pending = player.pending
        if isinstance(pending, cls) and pending.kept is player.kept:
            return pending
        beside = cls(kept=player.kept)
        if isinstance(pending, cls):
            beside.space = pending.space
        for name, values in unnest(player.kept).items():
            if name == OWN:
                beside.model = second_model(player, values)
            elif name == _MORE:
                beside.more = values
            else:
                count = len(next(iter(values.values())))
                beside.samples[name] = Samples(values, batch_size=[count])
        player.pending = beside
        return beside

    def receive(self, player: Player, received: Mapping[str, Samples]) -> None:
        """Take samples of others in the place of older ones of the same origin."""
        for origin, samples in received.items():
            # copies: what came may be part of a larger set, or another player's as well
            self.samples[origin] = known_of(samples, player.space, player.variables).clone()

    def keep(self, player: Player) -> None:
        """Put everything where the player's checkpoint finds it."""
        state: dict[str, Mapping[str, Tensor]] = {}
        if self.model is not None:
            state[OWN] = checked_state(self.model.state_dict(), had_some=False)
        if self.more:
            state[_MORE] = self.more
        for origin, samples in self.samples.items():
            state[origin] = tensors(samples)
        player.kept = nest(state)
        self.kept = player.kept


_MORE = "of the game"  # no player has a name with a space


def second_model(player: Player, state: Mapping[str, Tensor]) -> LocalModel:
    """Return another instance of a player's model, with a state of its own."""
    model = player.model.fresh()
    with own_settings():
        model.setup(player.variables, derive(player.seed, "setup", player.name))
    # copies: a model may keep what it is given, and two would change the same memory
    model.load_state_dict({name: tensor.detach().clone() for name, tensor in state.items()})
    return model


@contextmanager
def standing_in(player: Player, model: LocalModel) -> Iterator[None]:
    """Let a player learn and draw by another model that knows its own data alone."""
    before = player.model
    learned_variables = player.learned_variables
    player.model = model
    player.lesson = "learn own data"
    player.learned_variables = set()
    try:
        yield
    finally:
        player.model = before
        player.lesson = "learn"
        player.learned_variables = learned_variables


def learn_mixture(
    player: Player, turn: Turn, samples: Mapping[str, Samples], steps: int, round: int
) -> dict[str, float]:
    """Let a player learn from its row of M; what has not come yet is left out.

    Where masses differ between variables, a source is split into portions of fewer and fewer
    variables (:func:`coplay.theory.by_variable.layers`); a model that needs every variable learns
    by the mean mass.
    """
    mix = turn.mix
    received = {name: samples[name] for name in mix.others if name in samples}
    if not mix.variables:
        weights = {name: mass[0] for name, mass in mix.masses.items()}
        return player.learn(received, weights, steps, round)
    if not player.learns_incomplete:
        weights = {name: sum(mass) / len(mass) for name, mass in mix.masses.items()}
        return player.learn(received, weights, steps, round)
    parts: dict[str, Samples] = {}
    weights = {}
    for source, masses in mix.masses.items():
        own = source == OWN
        if not own and source not in received:
            continue
        whole = player.private_data if own else received[source]
        by_name = dict(zip(mix.variables, masses, strict=True))
        present = {name: mass for name, mass in by_name.items() if name in whole.keys()}
        for names, mass in layers(present):
            missing = [name for name in present if name not in names]
            part = whole.exclude(*missing)
            by_rows = by_pattern(player.own_space, part) if own else {OWN: part}
            count = sum(map(len, by_rows.values()))
            for pattern, rows in by_rows.items():
                title = f"{source}, {len(names)} variables, {pattern}"
                parts[title] = rows
                weights[title] = mass * len(rows) / count
    return player.learn(parts, weights, steps, round)
