"""Cut scikit-learn's breast cancer table into the files of three hospitals with other columns.

    python configs/hospitals/make.py

The table has 569 tumours with 30 measurements each, and whether the tumour was malignant. Each
hospital gets other patients, and what its own instruments measure; some patients come twice.

Reference: Breast Cancer Wisconsin (Diagnostic) (W. Wolberg, O. Mangasarian, N. Street, W. Street,
1993), UCI Machine Learning Repository.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

HERE = Path(__file__).parent

SHARED = ("mean radius", "mean texture", "mean smoothness")
OWN = {
    "north": ("mean concavity", "mean symmetry"),
    "south": ("mean fractal dimension", "mean concavity"),
    "east": ("mean fractal dimension", "mean symmetry"),
}
"""What each hospital measures beside what all do: any two columns are seen together somewhere."""

NAME_IN_EAST = {"mean radius": "radius", "mean texture": "texture", "diagnosis": "befund"}
"""East calls some columns otherwise; its site file says which is which."""


def main(folder: Path = HERE) -> None:
    """Write north.csv, south.csv and east.csv."""
    table = load_breast_cancer()
    names = [str(name) for name in table.feature_names]
    words = [str(word) for word in table.target_names]  # malignant, benign
    order = np.random.default_rng(0).permutation(len(table.data))
    for part, (hospital, own) in zip(np.array_split(order, 3), OWN.items(), strict=True):
        columns = [*SHARED, *own]
        header = ["patient", *columns, "diagnosis"]
        if hospital == "east":
            header = [NAME_IN_EAST.get(name, name) for name in header]
        with (folder / f"{hospital}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            for place, row in enumerate(part):
                values = [f"{table.data[row, names.index(name)]:g}" for name in columns]
                # every tenth patient has two tumours in the file
                patient = place - 1 if place % 10 == 9 else place
                diagnosis = words[table.target[row]]
                writer.writerow([f"{hospital[0]}{patient:03}", *values, diagnosis])


if __name__ == "__main__":
    main()
