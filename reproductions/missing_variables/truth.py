"""The distributions that are known, and what sites see of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

NAMES = ("x", "y", "z", "w")
CENTRE = np.array([1.0, -2.0, 0.5, 3.0])
WIDTH = np.array([1.0, 2.0, 0.5, 3.0])
CORRELATION = np.array(
    [[1.0, 0.6, 0.2, 0.3], [0.6, 1.0, 0.8, -0.2], [0.2, 0.8, 1.0, -0.1], [0.3, -0.2, -0.1, 1.0]]
)
"""Of x with z 0.2: anything from 0 to 0.96 fits what sites see, and 0.48 if y explains it all."""

SEES: Mapping[str, Sequence[str]] = {"a": ("x", "y"), "b": ("y", "z"), "c": ("x", "y", "w")}
"""The columns of each site of the Gaussian."""

LEVELS = {"a": 2, "b": 3, "c": 2, "d": 3}
JOINT = np.random.default_rng(7).dirichlet(np.full(36, 0.7)).reshape(*LEVELS.values())
"""The joint of four categories: nothing is independent of anything."""

MISSING = 0.3  # of the cells
SITES = ("north", "south", "east")


def gaussian(folder: Path, seed: int, rows: int) -> dict[str, np.ndarray]:
    """Write the table of each site; return all its rows, also the columns that it does not see."""
    generator = np.random.default_rng(seed)
    covariance = CORRELATION * np.outer(WIDTH, WIDTH)
    drawn = {}
    for site, columns in SEES.items():
        drawn[site] = generator.multivariate_normal(CENTRE, covariance, rows)
        places = [NAMES.index(name) for name in columns]
        head = ",".join(columns)
        file = folder / f"{site}.csv"
        np.savetxt(file, drawn[site][:, places], "%.6f", ",", header=head, comments="")
    return drawn


def joint(folder: Path, seed: int, rows: int) -> np.ndarray:
    """Write the table of each site, cells missing at random; return the complete rows of all."""
    generator = np.random.default_rng(seed)
    complete = []
    for site in SITES:
        cells = generator.choice(JOINT.size, rows, p=JOINT.ravel())
        values = np.stack(np.unravel_index(cells, JOINT.shape), 1)
        missing = generator.random(values.shape) < MISSING
        lines = [",".join(LEVELS)]
        for row, lacking in zip(values.tolist(), missing.tolist(), strict=True):
            texts = []
            for name, value, is_missing in zip(LEVELS, row, lacking, strict=True):
                texts.append("" if is_missing else f"{name}{value}")
            lines.append(",".join(texts))
        (folder / f"{site}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        complete.append(values[~missing.any(1)])
    return np.concatenate(complete)


def variables(case: str) -> dict[str, Any]:
    """Return the agreed variables of a case as a config has them."""
    if case == "gaussian":
        return {name: {"kind": "real"} for name in NAMES}
    agreed = {}
    for name, count in LEVELS.items():
        levels = [f"{name}{level}" for level in range(count)]
        agreed[name] = {"kind": "categorical", "categories": levels, "optional": True}
    return agreed


def lacking(case: str) -> dict[str, list[str]]:
    """Return the variables that each site has no column of."""
    if case == "joint":
        return {site: [] for site in SITES}
    lacks = {}
    for site, columns in SEES.items():
        lacks[site] = [name for name in NAMES if name not in columns]
    return lacks


def determined() -> list[tuple[str, ...]]:
    """Return the variables whose mean, and the pairs whose covariance, some site sees."""
    pairs = []
    for pair in combinations(NAMES, 2):
        if any(set(pair) <= set(columns) for columns in SEES.values()):
            pairs.append(pair)
    return [*[(name,) for name in NAMES], *[(name, name) for name in NAMES], *pairs]


def open_pairs() -> list[tuple[str, str]]:
    """Return the pairs that no site sees."""
    known = determined()
    return [pair for pair in combinations(NAMES, 2) if pair not in known]


def moment(rows: np.ndarray, of: Sequence[str]) -> float:
    """Return a mean, a variance or a covariance less the true one, in true deviations.

    Args:
        rows: Values of all variables, shape (n, 4).
        of: One variable for its mean, two for their covariance, twice the same for a variance.
    """
    places = [NAMES.index(name) for name in of]
    standard = (rows - CENTRE) / WIDTH
    if len(of) == 1:
        return float(standard[:, places[0]].mean())
    centred = standard - standard.mean(0)
    product = centred[:, places[0]] * centred[:, places[1]]
    return float(product.mean() - CORRELATION[places[0], places[1]])


def variation(rows: np.ndarray) -> float:
    """Return the total variation between the frequencies of rows, (n, 4), and the joint."""
    cells = np.ravel_multi_index(tuple(rows.T), JOINT.shape)
    shares = np.bincount(cells, minlength=JOINT.size) / len(rows)
    return float(np.abs(shares - JOINT.ravel()).sum() / 2)
