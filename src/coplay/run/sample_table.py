"""Samples written as the table of the player that they come from."""

from __future__ import annotations

from pathlib import Path

from coplay.core.errors import CoplayError
from coplay.core.space import Samples, Space, tensors
from coplay.data.sources.table import Table
from coplay.data.table_form import TableForm, as_packed, as_text, form_of_table
from coplay.data.tables.arrow_files import PACKED
from coplay.run.drawing import own_data_of
from coplay.run.result import Result


def form_of_player(result: Result, player: str) -> TableForm | None:
    """Return the form of the table that a player learned from; None where it is not here."""
    section = result.config.players.get(player)
    own = own_data_of(result, player)
    if own is None and section is not None and section.site is not None:
        return None  # its site file is elsewhere
    source = result.config.data.source if own is None else own.source
    columns = {} if own is None else own.columns
    return form_of_table(source, columns) if isinstance(source, Table) else None


def as_table(samples: Samples, space: Space, out: Path, form: TableForm | None) -> bytes | None:
    """Return the content of a table.

    Args:
        samples: The samples.
        space: Their space.
        out: The file, whose ending decides.
        form: How the player's own table is written; None where nobody knows.

    Returns:
        None where it is to be written in the form that is the same for all data.

    Raises:
        CoplayError: Samples that are no table are to be Parquet or Arrow, or pyarrow is missing.
    """
    is_flat = not any(space[name].shape for name in tensors(samples))
    if out.suffix in PACKED:
        if not is_flat:
            raise CoplayError(
                f"--out {out}: the samples are no table of numbers; write an .npz instead"
            )
        return as_packed(samples, space, form or TableForm(()), out.suffix)
    if is_flat and (form is not None or out.suffix == ".tsv"):
        separator = "\t" if out.suffix == ".tsv" else None
        return as_text(samples, space, form or TableForm(()), separator)
    return None
