"""What a run's record says of its data: all of a pool, and of others what they tell."""

from __future__ import annotations

from collections.abc import Mapping

from coplay.core.facts import Facts
from coplay.core.space import LABEL, Space
from coplay.core.variable import Variable
from coplay.data.sources.base import Dataset
from coplay.run.own_data import OwnData
from coplay.run.record import DataRecord
from coplay.run.sites import Sites

OWN = "data of their own"
"""What data are called that lie with the players."""


def data_record(
    data: Dataset | None,
    sites: Sites | None,
    own: Mapping[str, OwnData],
    facts: Mapping[str, Facts],
) -> DataRecord:
    """Return what the record says of the data.

    Args:
        data: The pool; None where there is none.
        sites: Who holds what of it.
        own: The players with data of their own.
        facts: What all players say of themselves.
    """
    notes: list[str] = []
    variables: dict[str, Variable] = {}
    if data is not None:
        notes += data.notes
        variables |= {name: data.space[name] for name in data.space}
    for each in facts.values():
        for name in each.variables:
            variables.setdefault(name, each.variables[name])
    for name, site in own.items():
        # what a site file is read to hold is told at the site only
        if site.held is not None and not site.has_site_file:
            notes += [f"{name}: {note}" for note in site.held.notes]
    notes += [each.promise_words for each in facts.values() if each.promise]
    sizes = {name: each.count for name, each in facts.items() if each.count is not None}
    counts = dict(sites.counts) if sites is not None and not own else _counts(own)
    return DataRecord(
        name=OWN if data is None else data.name,
        train=None if data is None else len(data.train),
        test=None if data is None else len(data.test),
        space=Space(variables),
        learned={name: tuple(each.variables) for name, each in facts.items()},
        sizes=sizes,
        counts=counts if len(counts) == len(facts) else {},
        notes=tuple(notes),
        unobserved={name: tuple(each.unobserved) for name, each in facts.items() if own},
    )


def _counts(own: Mapping[str, OwnData]) -> dict[str, list[int]]:
    """Return the rows of each class, of players that a config names with their data."""
    counts = {}
    for name, site in own.items():
        held = site.held
        if held is None or site.has_site_file or LABEL not in held.train.keys():
            continue
        classes = held.space[LABEL].classes or 0
        labels = held.train[LABEL]
        counts[name] = [int((labels == number).sum()) for number in range(classes)]
    return counts
