"""Draw samples of a finished run's player into a file."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from coplay.core.errors import CoplayError
from coplay.core.space import Samples, Space, tensors
from coplay.run.sampling import load_player


def sample_file(run: Path, player: str, game: str | None, n: int, seed: int, out: Path) -> Samples:
    """Draw samples of a player and write them.

    Args:
        run: The run's folder.
        player: The player's name, or that of a seat such as a server.
        game: Name of the game; None for the main one.
        n: Number of samples, at least 1.
        seed: Seed of the draw.
        out: The file: ``.npz``, one array per variable, with the names of its classes in
            ``NAME.names``; ``.csv``, a row per sample, classes by name; ``.png``, a grid of images.

    Returns:
        The samples that were written, n of them.

    Raises:
        RunFolderError: See :func:`load_player`.
        CoplayError: n is not positive, or the file's ending is unknown.
    """
    if n < 1:
        raise CoplayError(f"-n {n}: expected at least 1 sample")
    if out.suffix not in (".npz", ".csv", ".png"):
        raise CoplayError(f"--out {out}: expected a name that ends in .npz, .csv or .png")
    loaded = load_player(run, player, game)
    samples = loaded.draw(n, 0, f"file {seed}")
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".npz":
        arrays = {name: tensor.numpy() for name, tensor in tensors(samples).items()}
        for name in tensors(samples):
            names = loaded.space[name].names
            if names is not None:
                arrays[f"{name}.names"] = np.array(names)
        np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
    elif out.suffix == ".csv":
        out.write_text(as_csv(samples, loaded.space), encoding="utf-8")
    else:
        from coplay.report.figures import image_grid

        images = [name for name in tensors(samples) if loaded.space[name].is_image]
        if not images:
            instead = "write an .npz or a .csv instead"
            raise CoplayError(f"--out {out}: the samples hold no images; {instead}")
        out.write_bytes(image_grid(samples[images[0]]))
    return samples


def as_csv(samples: Samples, space: Space | None = None) -> str:
    """Write samples as lines of CSV: a number per column, named by its place in a variable.

    Args:
        samples: The samples.
        space: Their space, for the names of classes; None writes the numbers.

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
            header.append(".".join([name, *map(str, place)]))
        values = tensor.reshape(len(tensor), -1).numpy().T
        names = space[name].names if space is not None else None
        if names is not None:
            values = np.array(names)[values]
        columns += list(values)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(zip(*columns, strict=True))
    return file.getvalue()
