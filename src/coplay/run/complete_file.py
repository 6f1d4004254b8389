"""A table file of which missing cells are filled; all else stays as it was, to the character."""

from __future__ import annotations

import codecs
import gzip
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from coplay.core.errors import CoplayError, DataError
from coplay.core.inside import write_output
from coplay.data.sources.table import Table
from coplay.data.tables.arrow_files import PACKED, as_bytes, is_stream, whole, with_cells
from coplay.data.tables.encodings import encoding_of, read_bytes
from coplay.data.tables.filling import filled
from coplay.data.tables.formats import ending
from coplay.data.tables.grid import Grid
from coplay.data.tables.reading import Rows, read_table
from coplay.run.completing import Filling, fill
from coplay.run.drawing import aliases_of, own_data_of
from coplay.run.fields import problems_of
from coplay.run.result import Result
from coplay.run.sampling import load_player

_ENDINGS = (".csv", ".tsv", *PACKED)


def complete_file(
    run: Path,
    player: str,
    table: Path,
    out: Path,
    *,
    game: str | None = None,
    seed: int = 0,
    trust: bool = False,
    settings: dict[str, Any] | None = None,
) -> list[str]:
    """Fill the missing cells of a table; all other cells stay as they are.

    A file of lines stays the same to the character, and one of Parquet or Arrow keeps its types.

    Args:
        run: The run's folder.
        player: The player's name.
        table: The file.
        out: The file that is written; another one, with the same ending.
        game: Name of the game; None for the main one.
        seed: Seed of the draw.
        trust: Whether a class outside coplay may be imported for the model.
        settings: Settings of the source ``table`` that differ from those of the player's data.

    Returns:
        What was filled and what was not, a sentence a line.

    Raises:
        RunFolderError: See :func:`load_player`.
        ModelError: The model does not complete.
        DataError: The table cannot be read, or cells are not what was agreed.
        OutputError: The file cannot be written; nothing is left of it.
        CoplayError: The name of a file is not one of these.
    """
    _check_names(table, out)
    loaded = load_player(run, player, game, trust)
    result = Result.load(run, trust)
    source = _source(result, player, table, settings or {})
    grid = _grid(table, source)
    reading, of_marks = source.reading_of(Rows([grid], len(grid)), grid.names)
    filling = fill(loaded, grid, reading, aliases_of(result, loaded), seed)
    lines = [*grid.notes, *of_marks, *filling.lines()]
    if ending(table) in PACKED:
        new, count = with_cells(whole(table), filling.new, table)
        _check_count(count, filling, table)
        _write(out, as_bytes(new, ending(out), is_stream(table)))
        return lines
    content = read_bytes(table)
    codec, _, _ = encoding_of(table, source.encoding)
    separator = source.separator or grid.unusual.get("separator", ",")
    quote = grid.unusual.get("quote", '"') if source.quote is None else source.quote
    text, count = filled(content.decode(codec), separator, quote, filling.new)
    _check_count(count, filling, table)
    _write(out, _encoded(text, codec, content, out))
    return lines


def _check_count(count: int, filling: Filling, table: Path) -> None:
    """Refuse a table of which some cells were not met again."""
    if count != sum(map(len, filling.new.values())):
        raise DataError(f"{table}: its rows were not met again where they were read")


def _write(out: Path, content: bytes) -> None:
    write_output(out, content, "give permission, make room or name another file with --out")


def _grid(table: Path, source: Table) -> Grid:
    """Read a table; an error names the options of this command beside the settings of a source."""
    try:
        grid = read_table(table, source.form)
        Rows([grid], len(grid)).check()
        return grid
    except DataError as error:
        options = "--separator, --decimal, --thousands and --encoding set how the table is read"
        raise DataError(f"{error}\n{options}") from error


def _check_names(table: Path, out: Path) -> None:
    """Refuse what is no table of lines or of columns with types, and to overwrite it."""
    faults = []
    if ending(table) not in _ENDINGS:
        listed = f"{', '.join(_ENDINGS[:-1])} or {_ENDINGS[-1]}"
        faults.append(f"{table}: expected a name that ends in {listed}")
    elif not table.is_file():
        faults.append(f"{table} does not exist (looked for from {Path.cwd()})")
    elif ending(out) != ending(table):
        faults.append(f"--out {out}: expected a name that ends in {ending(table)}, as {table} does")
    if table.resolve() == out.resolve():
        faults.append(f"--out {out}: it is the table itself, which stays; name another file")
    if faults:
        raise CoplayError("\n".join(faults))


def _source(result: Result, player: str, table: Path, settings: dict[str, Any]) -> Table:
    """Return how the table is written: as the player's own data, but for what was set."""
    own = own_data_of(result, player)
    source = result.config.data.source if own is None else own.source
    values: dict[str, Any] = {}
    if isinstance(source, Table):
        names = ("separator", "decimal", "thousands", "encoding", "quote", "missing_marks", "dates")
        for name in names:
            values[name] = getattr(source, name)
    try:
        return Table(file=str(table), **{**values, **settings})
    except ValidationError as error:
        faults = [f"--{fault.replace('_', '-', 1)}" for fault in problems_of(error)]
        raise CoplayError("\n".join(faults)) from error


def _encoded(text: str, codec: str, before: bytes, out: Path) -> bytes:
    """Return a text as the bytes of the file were, with its mark at the beginning if it had one."""
    is_utf_8 = codecs.lookup(codec).name in ("utf-8", "utf-8-sig")
    try:
        content = text.encode("utf-8" if is_utf_8 else codec)
    except UnicodeEncodeError as error:
        character = text[error.start : error.end]
        raise DataError(
            f"--out {out}: {character!r} of a level cannot be written in {codec}; save the table "
            "as UTF-8 first"
        ) from error
    if is_utf_8 and before.startswith(codecs.BOM_UTF8) and not text.startswith("\ufeff"):
        content = codecs.BOM_UTF8 + content
    return gzip.compress(content, mtime=0) if out.name.lower().endswith(".gz") else content
