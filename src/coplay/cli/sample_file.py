"""Draw samples of a finished run's player into a file."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from coplay.core.errors import CoplayError
from coplay.core.inside import write_output
from coplay.core.space import Samples, Space, tensors
from coplay.core.text import cell
from coplay.data.tables.arrow_files import PACKED
from coplay.run.drawing import asked_of
from coplay.run.given import MOST_DRAWS
from coplay.run.given_draws import DrawRecord, draw_given
from coplay.run.result import Result
from coplay.run.rules_of import check_kept
from coplay.run.sample_table import as_table, form_of_player
from coplay.run.sampling import load_player

ENDINGS = (".csv", ".tsv", *PACKED, ".npz", ".png")
"""Of the files that samples are written into."""

_TABLES = (".csv", ".tsv", *PACKED)
"""Endings of files with a row per sample."""


def sample_file(
    run: Path,
    player: str,
    game: str | None,
    n: int,
    seed: int,
    out: Path,
    trust: bool = False,
    given: Sequence[str] = (),
    most: int = MOST_DRAWS,
    tell: Callable[[str], None] = lambda line: None,
) -> DrawRecord | None:
    """Draw samples of a player and write them.

    Args:
        run: The run's folder.
        player: The player's name, or that of a seat such as a server.
        game: Name of the game; None for the main one.
        n: Number of samples, at least 1.
        seed: Seed of the draw.
        out: The file: ``.npz``, one array per variable, with the names of its classes in
            ``NAME.names``; ``.csv``, ``.tsv``, ``.parquet``, ``.feather`` or ``.arrow``, a row per
            sample in the form of the player's table if that is here; ``.png``, a grid of images.
        trust: Whether a class outside coplay may be imported for the model.
        given: Conditions that all samples fulfil, such as ``age=40..60``.
        most: Rows that are drawn for the conditions at most.
        tell: Called with a line on how the rules between columns were kept, if there are any.

    Returns:
        How samples under conditions came about; None without conditions.

    Raises:
        RunFolderError: See :func:`load_player`.
        TrustError: See :func:`load_player`.
        OutputError: The file cannot be written; nothing is left of it.
        CoplayError: n is not positive, the file's ending is unknown, conditions are wrong,
            impossible or too rare, or too few of the rows that the model draws keep the rules.
    """
    if n < 1:
        raise CoplayError(f"-n {n}: expected at least 1 sample")
    if most < 1:
        raise CoplayError(f"--most {most}: expected at least 1 draw")
    if out.suffix not in ENDINGS:
        listed = ", ".join(ENDINGS[:-1])
        raise CoplayError(f"--out {out}: expected a name that ends in {listed} or {ENDINGS[-1]}")
    loaded = load_player(run, player, game, trust)
    result = Result.load(run, trust)
    record = None
    if given:
        conditions = asked_of(result, loaded).conditions(given)
        samples, record = draw_given(loaded, conditions, n, seed, most)
    else:
        samples = loaded.draw(n, 0, f"file {seed}")
    if loaded.rules:
        check_kept(loaded)
        tell(f"rules: {loaded.kept_by_rules}")
    content = None
    if out.suffix in _TABLES:
        form = form_of_player(result, player)
        if form is not None and loaded.rules:
            form = form.in_full()  # rounded numbers would break sums
        content = as_table(samples, loaded.space, out, form)
    if content is None:
        content = _content(samples, loaded.space, out)
    write_output(out, content, "give permission, make room or name another file with --out")
    return record


def _content(samples: Samples, space: Space, out: Path) -> bytes:
    """Return what is to be written, in a form that is the same for all data."""
    if out.suffix == ".csv":
        return as_csv(samples, space).encode()
    if out.suffix == ".tsv":
        return as_csv(samples, space, "\t").encode()
    if out.suffix == ".npz":
        return _as_npz(samples, space)
    from coplay.report.figures import image_grid

    images = [name for name in tensors(samples) if space[name].is_image]
    if not images:
        instead = "write an .npz or a .csv instead"
        raise CoplayError(f"--out {out}: the samples hold no images; {instead}")
    return image_grid(samples[images[0]])


def _as_npz(samples: Samples, space: Space) -> bytes:
    """Write samples as one array per variable, with the names of its classes beside it."""
    arrays = {name: tensor.numpy() for name, tensor in tensors(samples).items()}
    for name in tensors(samples):
        names = space[name].names
        if names is not None:
            arrays.setdefault(f"{name}.names", np.array(names))
    file = io.BytesIO()
    # numpy's own function takes the arrays as arguments, and some names are its own arguments
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
    return file.getvalue()


def as_csv(samples: Samples, space: Space | None = None, separator: str = ",") -> str:
    """Write samples as lines of CSV: a number per column, named by its place in a variable.

    Args:
        samples: The samples.
        space: Their space, for the names of classes; None writes the numbers.
        separator: Between cells.

    Example:
        >>> import torch
        >>> values = {"age": torch.tensor([31.5]), "bits": torch.tensor([[[0, 1]]])}
        >>> print(as_csv(Samples(values, batch_size=[1])), end="")
        age,bits.0.0,bits.0.1
        31.5,0,1
    """
    header: list[str] = []
    columns: list[np.ndarray] = []
    for name, tensor in tensors(samples).items():
        for place in np.ndindex(tuple(tensor.shape[1:])):
            header.append(cell(".".join([name, *map(str, place)])))
        values = tensor.reshape(len(tensor), -1).numpy().T
        names = space[name].names if space is not None else None
        if names is not None:
            # names are texts of strangers, and a spreadsheet runs a cell that begins with =
            values = np.array([cell(text) for text in names])[values]
        columns += list(values)
    file = io.StringIO()
    writer = csv.writer(file, delimiter=separator, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(zip(*columns, strict=True))
    return file.getvalue()
