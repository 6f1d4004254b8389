"""Draw samples of a finished run's player into a file."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from coplay.core.errors import CoplayError
from coplay.core.space import Samples, tensors
from coplay.run.sampling import load_player


def sample_file(run: Path, player: str, game: str | None, n: int, seed: int, out: Path) -> Samples:
    """Draw n samples and write them: ``.npz``, one array per variable; ``.csv``, a row per sample; ``.png``, a grid of images.

    Raises:
        RunFolderError: See :func:`load_player`.
        CoplayError: n is not positive, or the file's ending is unknown.
    """
    if n < 1:
        raise CoplayError(f"-n {n}: expected at least 1 sample")
    if out.suffix not in (".npz", ".csv", ".png"):
        raise CoplayError(f"--out {out}: expected a name that ends in .npz, .csv or .png")
    found = load_player(run, player, game)
    samples = found.draw(n, 0, f"file {seed}")
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".npz":
        np.savez_compressed(out, **{name: tensor.numpy() for name, tensor in tensors(samples).items()})  # type: ignore[arg-type]
    elif out.suffix == ".csv":
        out.write_text(as_csv(samples), encoding="utf-8")
    else:
        from coplay.report.figures import image_grid

        image = next((name for name in tensors(samples) if found.space[name].is_image), None)
        if image is None:
            raise CoplayError(f"--out {out}: the samples hold no images; write an .npz or a .csv instead")
        out.write_bytes(image_grid(samples[image]))
    return samples


def as_csv(samples: Samples) -> str:
    """Samples as lines of CSV: a number per column, those of a larger variable named by their place in it.

    Example:
        >>> import torch
        >>> print(as_csv(Samples({"age": torch.tensor([31.5]), "bits": torch.tensor([[[0, 1]]])}, batch_size=[1])), end="")
        age,bits.0.0,bits.0.1
        31.5,0,1
    """
    header, columns = [], []
    for name, tensor in tensors(samples).items():
        values = tensor.reshape(len(tensor), -1).numpy()
        header += [".".join([name, *map(str, place)]) for place in np.ndindex(tuple(tensor.shape[1:]))]
        columns += list(values.T)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(zip(*columns, strict=True))
    return file.getvalue()
