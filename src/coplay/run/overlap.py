"""Which players of a run observe which variables together, and what models made of the rest (I).

The bounds of a pair that nobody observes together are those of the record, from rows that the run
could read. Where sites keep their rows, samples take their place: those of each player's model, of
the variables that it observes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import torch
from torch import Tensor

from coplay.core.space import Samples, Space, Variable
from coplay.run.open_pairs import UNREAD, OpenPair, Rows, correlation, open_pairs, rows_of
from coplay.run.play import Play
from coplay.run.result import Result


@dataclass(frozen=True)
class Ended:
    """What the models of one game made of a pair.

    Args:
        values: The correlation, or the probability, of samples, by player.
        n: Samples of each player, by player.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    n: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Overlap:
    """Who observes what together.

    Args:
        observed: Variables that each player observes.
        variables: All variables.
        open: The pairs that nobody observes together, with bounds.
        by_samples: Whether bounds are those of models' samples.
        ended: By game, what models made of each of these, in the same order.
    """

    observed: Mapping[str, Sequence[str]]
    variables: Sequence[str]
    open: Sequence[OpenPair]
    by_samples: bool
    ended: Mapping[str, Sequence[Ended]]

    def by_some(self) -> dict[tuple[str, str], list[str]]:
        """Return the pairs that some players observe and others do not, with those that do."""
        apart = {frozenset(pair.variables) for pair in self.open}
        sets = {name: set(each) for name, each in self.observed.items()}
        pairs = {}
        for pair in combinations(self.variables, 2):
            players = [name for name, each in sets.items() if each.issuperset(pair)]
            # of very many pairs that nobody observes, a record has the first
            if frozenset(pair) not in apart and 0 < len(players) < len(sets):
                pairs[pair] = players
        return pairs


def overlap_of(result: Result) -> Overlap:
    """Return who observes what together in a run, and what its models made of the rest.

    Args:
        result: The run.

    Raises:
        ConfigError: It takes the run's config, which is that of another version.
    """
    data = result.record.data
    observed = {}
    for name, learned in data.learned.items():
        if name in data.unobserved:
            lacks = data.unobserved[name]
        else:
            lacks = result.config.players[name].unobserved
        observed[name] = [each for each in learned if each not in lacks]
    space = data.space
    by_samples = False
    pairs = list(data.open)
    if any(pair.why == UNREAD for pair in pairs):
        rows = _rows_of_samples(result.main, observed, space)
        names = [pair.variables for pair in pairs]
        if len(rows) == len(observed):
            pairs = open_pairs(names, rows, len(rows))
            by_samples = True
    ended = {}
    for game, play in result.plays.items() if pairs else ():
        drawn = _last_samples(play)
        ended[game] = [_ended(pair, drawn, space) for pair in pairs]
    return Overlap(observed, list(space), pairs, by_samples, ended)


def _last_samples(play: Play) -> dict[str, dict[str, Tensor]]:
    rounds = play.shown_rounds
    return play.samples(rounds[-1]) if rounds else {}


def _rows_of_samples(
    play: Play, observed: Mapping[str, Sequence[str]], space: Space
) -> dict[str, Rows]:
    """Return the last samples of each player, of what it observes."""
    rows = {}
    for name, values in _last_samples(play).items():
        if name in observed:
            own = {each: values[each] for each in observed[name] if each in values}
            count = len(next(iter(own.values()), ()))
            rows[name] = rows_of(Samples(own, batch_size=[count]), space.only(list(own)))
    return rows


def _ended(pair: OpenPair, drawn: Mapping[str, Mapping[str, Tensor]], space: Space) -> Ended:
    """Return what the samples of one game say of a pair; nothing where no number says it."""
    values = {}
    counts = {}
    for name, samples in drawn.items():
        if any(each not in samples or space[each].size > 1 for each in pair.variables):
            continue
        columns = [samples[each].flatten().double() for each in pair.variables]
        if pair.categories:
            hits = []
            for each, category, column in zip(
                pair.variables, pair.categories, columns, strict=True
            ):
                hits.append(column == _place(space[each], category))
            values[name] = torch.stack(hits).all(0).double().mean().item()
        elif all(_is_number(space[each]) for each in pair.variables):
            values[name] = correlation(torch.stack(columns, 1))
        counts[name] = len(columns[0])
    return Ended(values, {name: counts[name] for name in values})


def _is_number(variable: Variable) -> bool:
    return variable.kind != "categorical" or (variable.classes or 0) <= 2


def _place(variable: Variable, category: str) -> int:
    """Return the number of a category."""
    return variable.class_names.index(category) if variable.class_names else int(category)
