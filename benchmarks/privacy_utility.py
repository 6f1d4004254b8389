"""ε against utility: a classifier that learns from draws of a stand-in and predicts real rows.

Each table is one site; a quarter of its rows are held out, and ranges are round numbers that were
written down, not read off. ``inf`` is the same stand-in without noise.

    python benchmarks/privacy_utility.py --tables breast_cancer --stand-ins noisy_moments

A table of one's own: ``--csv FILE --target COLUMN --ranges JSON`` with [low, high] by column.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from coplay import Space, Variable
from coplay.core.space import Samples
from coplay.site.private_rows import PrivateRows
from coplay.site.stand_ins.base import StandIn
from coplay.site.stand_ins.dp_sgd import DpSgd
from coplay.site.stand_ins.noisy_moments import NoisyMoments

EPSILONS = (1.0, 3.0, 10.0, math.inf)
DELTA = 1e-4
_HIGHEST = (40, 50, 250, 3000, 0.2, 0.5, 0.5, 0.3, 0.4, 0.1)  # of breast cancer's ten means


def breast_cancer() -> tuple[dict[str, tuple[float, float]], np.ndarray, np.ndarray]:
    data = load_breast_cancer()
    names = [name.replace(" ", "_") for name in data.feature_names[:10]]
    ranges = {name: (0.0, high) for name, high in zip(names, _HIGHEST, strict=True)}
    return ranges, data.data[:, :10], data.target


def from_csv(
    path: Path, target: str, ranges: dict[str, tuple[float, float]]
) -> tuple[dict[str, tuple[float, float]], np.ndarray, np.ndarray]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows = [row for row in rows if all(row[name] not in ("", "?") for name in (*ranges, target))]
    classes = sorted({row[target] for row in rows})
    x = np.array([[float(row[name]) for name in ranges] for row in rows])
    return ranges, x, np.array([classes.index(row[target]) for row in rows])


def made(kind: str, epsilon: float) -> StandIn:
    finite = epsilon if math.isfinite(epsilon) else 1e3
    if kind == "noisy_moments":
        return NoisyMoments(epsilon=finite, delta=DELTA, draws=2000)
    model = {"name": "autoregressive", "bins": 10, "hidden": 64, "learning_rate": 0.005}
    learning = {"steps": 300, "rate": 0.1}
    return DpSgd(epsilon=finite, delta=DELTA, draws=2000, model=model, learning=learning)


def auc(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> float:
    if len(set(y)) < 2:
        return 0.5
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x, y)
    return float(roc_auc_score(y_test, model.predict_proba(x_test)[:, 1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="*", default=["breast_cancer"])
    parser.add_argument("--stand-ins", nargs="+", default=["noisy_moments", "dp_sgd"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--target", default="class")
    parser.add_argument("--ranges", type=json.loads)
    given = parser.parse_args()
    tables = {name: breast_cancer() for name in given.tables}
    if given.csv:
        tables[given.csv.stem] = from_csv(given.csv, given.target, given.ranges)
    for name, (ranges, x, y) in tables.items():
        variables = {k: Variable(kind="real", low=a, high=b) for k, (a, b) in ranges.items()}
        space = Space({**variables, "class": Variable(kind="categorical", classes=2)})
        for kind in given.stand_ins:
            for epsilon in EPSILONS:
                each = [_score(space, x, y, kind, epsilon, seed) for seed in range(given.seeds)]
                scores = np.array(each)
                print(
                    f"{name} {kind} epsilon {epsilon:g}: AUC {scores[:, 0].mean():.3f} ± "
                    f"{scores[:, 0].std():.3f}, of real rows {scores[:, 1].mean():.3f}",
                    flush=True,
                )


def _score(
    space: Space, x: np.ndarray, y: np.ndarray, kind: str, epsilon: float, seed: int
) -> tuple[float, float]:
    order = np.random.default_rng(seed).permutation(len(x))
    test, train = np.split(order, [len(x) // 4])
    values = {k: torch.tensor(x[train, i]).float() for i, k in enumerate(list(space)[:-1])}
    for k, column in values.items():
        values[k] = column.clamp(*space[k].range)
    samples = Samples({**values, "class": torch.tensor(y[train]).long()}, [len(train)])
    rows = PrivateRows(space, samples, torch.arange(len(train)))
    stand_in = made(kind, epsilon)
    charges = list(stand_in.charges(1, "prv"))
    if math.isinf(epsilon):
        charges = [replace(charge, noise=0.0) for charge in charges]
    drawn = stand_in.make(rows, charges).draw(2000, torch.Generator().manual_seed(seed))
    table = torch.stack([drawn[k].double() for k in list(space)[:-1]], 1).numpy()
    synthetic = auc(table, drawn["class"].numpy(), x[test], y[test])
    return synthetic, auc(x[train], y[train], x[test], y[test])


if __name__ == "__main__":
    main()
