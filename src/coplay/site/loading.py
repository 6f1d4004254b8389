"""Loading the rows of one site, in the agreed variables, with what is wrong named by its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from coplay.core.errors import CoplayError, DataError
from coplay.core.memory import give_back
from coplay.core.space import Samples, Space, pick, tensors
from coplay.data.sources.base import Dataset
from coplay.data.sources.table import Table
from coplay.site.agreed_rows import AgreedRows
from coplay.site.agreement import Agreement, DataOfSite
from coplay.site.canaries import canaries_of
from coplay.site.columns import columns_of, left_out, present_in
from coplay.site.holdings import Holdings
from coplay.site.private_rows import unit_names
from coplay.site.splitting import Split, place_of, split_of, steady_split_of

_LARGE = 500_000
"""Rows of which what was read takes memory that is worth returning."""


def load_site(
    data: DataOfSite,
    agreement: Agreement,
    name: str,
    home: Path | None = None,
    given: Dataset | None = None,
    steady: bool = False,
    canaries: float = 0.0,
) -> Holdings:
    """Load the rows of a site as the agreed variables, and hold some of them out.

    Args:
        data: Where they are, and which column is which variable.
        agreement: The agreed variables.
        name: The site's name, for errors.
        home: The folder from which relative paths are taken; None for that of the process.
        given: The rows themselves, in the place of those of ``data.source``.
        steady: Whether a unit more or less may change no other unit's purpose.
        canaries: Share of the units to learn from for which a coin decides whether they are.

    Raises:
        DataError: A file is missing or broken, a variable has no column, a value is not one that
            was agreed, or there are too few rows. The message names site, file, column and row.

    Example:
        >>> from types import SimpleNamespace
        >>> from coplay.core.variable import Variable
        >>> from coplay.data.sources.table import Table
        >>> data = SimpleNamespace(
        ...     source=Table.tiny(), test=None, held_out=0.25, unit=None, lacks=(),
        ...     columns={"place": "town"}, outside="refuse")
        >>> place = Variable(kind="categorical", classes=3, names=("Bonn", "Kiel", "Ulm"))
        >>> agreed = Space({"dose": Variable(kind="real", low=0), "place": place})
        >>> held = load_site(data, Agreement(agreed), "north")
        >>> len(held.train), len(held.scored), len(held.chosen_on)
        (18, 3, 3)
        >>> held.train["place"].unique().tolist()  # Bonn and Ulm
        [0, 2]
    """
    site = f"site '{name}'"
    space = agreement.learned
    columns = columns_of(data, agreement, site)
    try:
        parts = _loaded(data, columns, space, home, given)
    except CoplayError as error:
        raise DataError(f"{site}: {error}") from error
    present = present_in(data, agreement, columns, parts, site)
    variables = space.only(present)
    is_own = given is None and isinstance(data.source, Table)  # rows in memory are somebody's
    read = [AgreedRows.of(part, data, columns, variables, site, is_own) for part in parts]
    notes = [note for part in parts for note in part.notes]
    notes += left_out(parts[0], columns, agreement, present, data.unit)
    notes += [note for part in read for note in part.notes]
    tests = read[0].tests
    if len(read) == 2:
        tests = np.concatenate([np.zeros(read[0].n, bool), np.ones(read[1].n, bool)])
    rows = {}
    for variable in present:
        values = [part.values[variable] for part in read]
        rows[variable] = values[0] if len(values) == 1 else torch.cat(values)
    samples = Samples(rows, batch_size=[sum(part.n for part in read)])
    del rows
    units = None
    if data.unit is not None:
        units = np.concatenate([part.units for part in read])
    if agreement.rules is not None:
        notes += [f"{each}" for each in agreement.rules.counts(samples)]
    del parts, read
    rows_read = _Rows(space, samples, units, tests, notes, site)
    holdings = _dealt(rows_read, data.held_out, steady, canaries)
    if len(holdings.train) >= _LARGE:
        give_back()
    return holdings


@dataclass(frozen=True)
class _Rows:
    """What was read at a site.

    Args:
        space: The variables that its model learns.
        samples: All rows.
        units: What each belongs to; None where each is one of its own.
        tests: Which rows are held out; None where that is drawn.
        notes: What was said of them so far; more is added.
        site: What errors call the site.
    """

    space: Space
    samples: Samples
    units: np.ndarray | None
    tests: np.ndarray | None
    notes: list[str]
    site: str


def _dealt(rows: _Rows, held_out: float, steady: bool, canaries: float) -> Holdings:
    """Hold rows out, and throw coins for canaries."""
    coins = None
    if steady:
        names = unit_names(rows.samples, rows.units)
        split = steady_split_of(names, held_out, rows.tests, rows.site)
        if canaries:
            coins = np.array([place_of(name, b"canary") for name in names])
    else:
        split = split_of(len(rows.samples), held_out, rows.units, rows.tests, rows.site)
    rows.notes.append(str(split))
    is_random = rows.tests is None
    if not canaries:
        return replace(_holdings(rows, split), is_random=is_random)
    thrown = canaries_of(split.train, rows.units, canaries, rows.site, coins)
    rows.notes.append(str(thrown))
    out = pick(rows.samples, thrown.left_out)
    return replace(
        _holdings(rows, replace(split, train=thrown.train)),
        left_out=out,
        left_units=_numbered(rows.units, thrown.left_out),
        by_coin=thrown.by_coin,
        is_random=is_random,
    )


def _holdings(rows: _Rows, split: Split) -> Holdings:
    """Put the rows where they belong; what units are called is left behind."""
    places = (split.train, split.scored, split.chosen_on)
    train, scored, chosen_on = (Samples({}, batch_size=[len(each)]) for each in places)
    whole = tensors(rows.samples)
    for name in list(whole):
        del rows.samples[name]  # of a large table, all rows do not fit twice
        values = whole.pop(name)
        for part, wanted in zip((train, scored, chosen_on), places, strict=True):
            part[name] = values.index_select(0, wanted)
    return Holdings(
        rows.space,
        train,
        scored,
        chosen_on,
        _numbered(rows.units, split.train),
        tuple(rows.notes),
        _numbered(rows.units, split.chosen_on),
        _numbered(rows.units, split.scored),
    )


def _numbered(all_units: np.ndarray | None, rows: torch.Tensor) -> torch.Tensor | None:
    """Return a number by unit for some rows; what the units are called is left behind."""
    if all_units is None:
        return None
    units = all_units[rows.numpy()]
    _, codes = np.unique(units, return_inverse=True)
    return torch.from_numpy(codes.reshape(-1))


def _loaded(
    data: DataOfSite,
    columns: Mapping[str, str],
    learned: Space,
    home: Path | None,
    given: Dataset | None,
) -> list[Dataset]:
    """Read the rows, and those of the source of test rows if there is one."""
    wanted = {column: learned[name] for name, column in columns.items() if name in learned}
    sources = [data.source] if data.test is None else [data.source, data.test]
    parts = []
    for place, source in enumerate(sources):
        if place == 0 and given is not None:
            parts.append(given)
            continue
        located = source if home is None else source.at(home)
        parts.append(located.loaded_as(wanted, data.unit))
    return parts
