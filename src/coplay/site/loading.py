"""Loading the rows of one site, in the agreed variables, with what is wrong named by its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from coplay.core.errors import CoplayError, DataError
from coplay.core.space import Samples, Space, pick, tensors
from coplay.data.sources.base import Dataset
from coplay.data.sources.table import Table
from coplay.site.agreed_rows import AgreedRows
from coplay.site.agreement import Agreement, DataOfSite
from coplay.site.canaries import canaries_of
from coplay.site.columns import columns_of, left_out, present_in
from coplay.site.holdings import Holdings
from coplay.site.splitting import Split, split_of


def load_site(
    data: DataOfSite,
    agreement: Agreement,
    name: str,
    home: Path | None = None,
    given: Dataset | None = None,
    canaries: float = 0.0,
) -> Holdings:
    """Load the rows of a site as the agreed variables, and hold some of them out.

    Args:
        data: Where they are, and which column is which variable.
        agreement: The agreed variables.
        name: The site's name, for errors.
        home: The folder from which relative paths are taken; None for that of the process.
        given: The rows themselves, in the place of those of ``data.source``.
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
    split = split_of(len(samples), data.held_out, units, tests, site)
    notes.append(str(split))
    thrown, out = None, None
    if canaries:
        thrown = canaries_of(split.train, units, canaries, site, None)
        split = replace(split, train=thrown.train)
        out = pick(samples, thrown.left_out)
        notes.append(str(thrown))
    del parts, read
    held = _holdings(space, samples, split, units, notes)
    if thrown is not None:
        out_units = _numbered(units, thrown.left_out)
        held = replace(held, left_out=out, left_units=out_units, by_coin=thrown.by_coin)
    return replace(held, is_random=tests is None)


def _holdings(
    space: Space, samples: Samples, split: Split, units: np.ndarray | None, notes: list[str]
) -> Holdings:
    """Put the rows where they belong; what units are called is left behind."""
    places = (split.train, split.scored, split.chosen_on)
    train, scored, chosen_on = (Samples({}, batch_size=[len(rows)]) for rows in places)
    whole = tensors(samples)
    for name in list(whole):
        del samples[name]  # of a large table, all rows do not fit twice
        values = whole.pop(name)
        for part, rows in zip((train, scored, chosen_on), places, strict=True):
            part[name] = values.index_select(0, rows)
    return Holdings(
        space,
        train,
        scored,
        chosen_on,
        _numbered(units, split.train),
        tuple(notes),
        _numbered(units, split.chosen_on),
        _numbered(units, split.scored),
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
