"""The variables of data as a federation agrees on them: those of sites, and those of a pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from coplay.core.errors import ConfigError, CoplayError, DataError
from coplay.core.space import Space
from coplay.data.sources.base import Dataset
from coplay.run.config import Config
from coplay.run.site_file import SiteData
from coplay.site.conforming import conformed


def check_all_have_data(config: Config) -> None:
    """Refuse players without data, where the config names none for them.

    Raises:
        ConfigError: There are some.
    """
    if "data" in config.model_fields_set or not config.pool_players:
        return
    if not config.variables and len(config.pool_players) == len(config.players):
        return  # a config that says nothing of data plays with the source that it has by default
    listed = ", ".join(map(repr, config.pool_players))
    raise ConfigError(
        [
            f"players: no data for {listed}; give each a [players.NAME.data] or a site file (site "
            "= PATH, or --site NAME=PATH), or give [data] a source, some of which is dealt to "
            "players without data of their own"
        ]
    )


def spaces_of(
    parts: Mapping[str, SiteData], pool: Dataset | None, given: Mapping[str, Dataset]
) -> dict[str, Space]:
    """Return the variables of each site, as its data have them, by the names of the agreement."""
    spaces = {}
    faults = []
    for name, data in parts.items():
        try:
            read = given[name] if name in given else data.source.load()
        except CoplayError as error:
            faults.append(f"site '{name}': {error}")
            continue
        variable_of = {column: variable for variable, column in data.columns.items()}
        variables = {}
        for column in read.space:
            variable = variable_of.get(column, column)
            taken = variable != column or column not in data.columns
            if column != data.unit and variable not in data.lacks and taken:
                variables[variable] = read.space[column]
        spaces[name] = Space(variables)
    if faults:
        raise DataError("\n".join(faults))
    if pool is not None:
        spaces["data.source"] = pool.space
    return spaces


def pool_as_agreed(agreed: Space, pool: Dataset) -> Dataset:
    """Return a pool with the agreed variables among its own, for players of one federation.

    Raises:
        DataError: Its values are not what was agreed.
    """
    splits = {"training": pool.train.clone(), "test": pool.test.clone()}
    variables = {}
    faults = []
    for name in pool.space:
        if name not in agreed:
            variables[name] = pool.space[name]
            continue
        variables[name] = agreed[name]
        for split, samples in splits.items():
            try:
                result = conformed(agreed[name], pool.space[name], samples[name])
            except DataError as error:
                faults.append(f"variable {name!r}: {error}")
                break
            if result.wrong.any():
                row = int(result.wrong.nonzero()[0])
                faults.append(f"{split} row {row} (from 0), '{name}': {result.fault(row)}")
            samples[name] = result.values
    if faults:
        raise DataError(f"data.source: {pool.name}: {'; '.join(faults)}")
    return replace(pool, space=Space(variables), train=splits["training"], test=splits["test"])
