"""The file of a site that joins a federation, from its table and what was agreed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coplay.core.components import nearest
from coplay.core.errors import ConfigError
from coplay.core.telling import Telling
from coplay.data.words import counted, quoted, some
from coplay.run.config import Config
from coplay.run.founding import Founding, site_names
from coplay.run.founding_notes import plainly
from coplay.run.founding_texts import SMALL_CELL, Outside, SiteDraft, site_text
from coplay.run.sections import PlayerSection
from coplay.site.proposing import Proposal, proposal


def federation_of(path: Path) -> Config:
    """Read a federation that sites can join.

    Raises:
        ConfigError: It cannot be read, or agrees on no variables.
    """
    config = Config.from_file(path, trust=False)
    if not config.variables:
        raise ConfigError(
            [
                f"{path} has no [variables], so there is nothing that a site could fit; 'coplay "
                "init --proposals' writes a federation that has them"
            ]
        )
    return config


def site_named(config: Config, path: Path, name: str) -> str:
    """Return the name of a site of a federation.

    Raises:
        ConfigError: It has no such site.
    """
    if name not in config.players:
        known = nearest(name, config.players)
        raise ConfigError([f"{path} has no site {name!r}; known, nearest first: {known}"])
    return name


def with_one_site(config: Config, name: str, site: Path) -> Config:
    """Return a federation with the file of one site; those of others are theirs, and elsewhere."""
    others = {each: PlayerSection() for each in config.players}
    return config.model_copy(update={"players": others}).with_sites({name: site})


def joined(
    federation: Path,
    table: Path,
    out: Path | None,
    name: str | None = None,
    unit: str | None = None,
    tell: Telling | None = None,
    missing_marks: Sequence[str] = (),
    hold: bool = False,
    outside: Outside = "refuse",
) -> Founding:
    """Draft the file of a site that joins a federation.

    Args:
        federation: The federation's file.
        table: The site's table.
        out: Where the file is to lie; None for ``NAME/site.toml``.
        name: The site; None for the one that is called like the table.
        unit: The column that names what a row belongs to; None to guess it.
        tell: What the site tells of its rows; None for nothing.
        missing_marks: Cells that stand for a missing value, beside the usual ones.
        hold: Whether its messages wait for an approval.
        outside: What becomes of values outside the agreed ranges.

    Raises:
        ConfigError: The federation has no such site, or the table none of its variables.
        DataError: The table cannot be read.
    """
    config = federation_of(federation)
    name = site_named(config, federation, name or site_names([table])[0])
    path = out or Path(name) / "site.toml"
    read = proposal(table, SMALL_CELL, unit, missing_marks)
    columns, notes = _columns(list(config.variables), read)
    if not columns:
        raise ConfigError(
            [
                f"{table} has none of the agreed variables: {some(map(quoted, config.variables))}; "
                f"its columns: {some(map(quoted, read.columns))}"
            ]
        )
    needed = [c for v, c in columns.items() if not config.variables[v].optional]
    lacks = [v for v in config.variables if v not in columns]
    dropped = read.incomplete_in(needed)
    draft = SiteDraft(
        config.name,
        name,
        read,
        lacks,
        {v: column for v, column in columns.items() if v != column},
        dropped,
        read.incomplete_in(columns.values()) - dropped,
        Telling() if tell is None else tell,
        hold,
        outside,
    )
    lines = [f"{name}: {counted(read.rows, 'row')} of {table}"]
    lines += [note for note in read.notes if not _is_of_agreed(note, list(columns.values()))]
    for column, one in read.single.items():
        if column not in columns.values():
            lines.append(f"left out: {one.reason}")
    lines += [*notes, *draft.lines]
    if draft.tell.numbers:
        lines.append(f"{name} tells: {', '.join(draft.tell.numbers)}")
    else:
        lines.append(f"{name} tells no number computed from its rows; --tell names some")
    return Founding({path: site_text(draft, path)}, lines)


def _is_of_agreed(note: str, columns: Sequence[str]) -> bool:
    """Whether a note says of an agreed column that it is left out, which the agreement decides."""
    return any(note.startswith(f"left out: column {quoted(column)} ") for column in columns)


def _columns(variables: Sequence[str], read: Proposal) -> tuple[dict[str, str], list[str]]:
    """Return the column of each variable that the table has, and what is said of the others."""
    columns = {v: v for v in variables if v in read.columns and v not in read.empty}
    free = [c for c in read.columns if c not in (*columns, *read.empty, read.unit)]
    notes = []
    for variable in variables:
        if variable in columns or variable == read.unit:
            continue
        alike = [column for column in free if plainly(column) == plainly(variable)]
        if len(alike) == 1:
            columns[variable] = alike[0]
            free.remove(alike[0])
            notes.append(f"column {quoted(alike[0])} is taken for {quoted(variable)}, by its name")
    lacks = [variable for variable in variables if variable not in columns]
    if lacks:
        notes.append(f"it lacks {some(map(quoted, lacks), 12)}")
    if lacks and free:
        notes.append(
            f"columns that are no agreed variable: {some(map(quoted, free), 12)}; if one is what "
            f"it seems to lack, write {quoted(lacks[0])} = {quoted(free[0])} or the like under "
            "[data.columns] of its site file, and take the variable out of lacks"
        )
    return {v: columns[v] for v in variables if v in columns}, notes
