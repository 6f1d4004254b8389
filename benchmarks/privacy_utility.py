"""ε against utility: what draws of a site's private stand-in are good for.

One site has all rows but a quarter, which is held out for testing; each row is a unit of its own.
Of tables, a linear model that learned from 2,000 draws predicts the held-out rows (TSTR: accuracy,
and area under the ROC curve). Of 8×8 digits, 1,300 draws are compared with the test images (Fréchet
distance on features of a classifier of the real ones, and the accuracy of what learns from draws).
``inf`` is the same stand-in with its clipping and without noise, and ``real`` the rows themselves.

    python benchmarks/privacy_utility.py --folder FOLDER

FOLDER holds adult_control.csv. Of the four tables of ``reproductions/tables``, Adult is the second:
heart disease and lung cancer have 303 and 228 rows, fewer than the few hundred that noise of ε = 1
hides. Six of Adult's columns are left out: the weight of a row in the census, the country of 42
levels and the level of education, which its years say; and both capital columns and the race,
where almost all rows are alike, so that a bounded range has no room for the rest.

Ranges are round numbers that were written down, not read off. Noise comes from the operating
system, so figures differ a little from one time to the next. Results are added to
``benchmarks/results/privacy_utility.json`` cell by cell; what is there is not measured again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import torch
from common import ROOT, save
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(ROOT))

from reproductions.tables.cases import CASES, Grid

from coplay import Space, Variable
from coplay.core.space import LABEL, Samples, pick
from coplay.data.sources.digits import Digits
from coplay.metrics.base import Observed, Reference, measured
from coplay.metrics.features import DomainClassifier
from coplay.metrics.fid import Fid
from coplay.metrics.train_on_synthetic import TrainOnSynthetic
from coplay.site.private_rows import PrivateRows
from coplay.site.stand_ins.base import StandIn
from coplay.site.stand_ins.dp_sgd import DpSgd
from coplay.site.stand_ins.noisy_moments import NoisyMoments

FILE = ROOT / "benchmarks" / "results" / "privacy_utility.json"
EPSILONS = ("1", "3", "10", "inf")
DELTA = 1e-5
DRAWN = 2000
DIGITS = "8×8 digits"
REAL = "real rows"

RANGES: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "breast cancer": {
        "mean radius": (5, 30),
        "mean texture": (5, 40),
        "mean smoothness": (0.05, 0.2),
        "mean concavity": (0, 0.5),
        "mean symmetry": (0.1, 0.4),
        "mean fractal dimension": (0.04, 0.1),
    },
    "adult": {"age": (17, 90), "education_num": (1, 16), "hr_per_week": (1, 99)},
}
"""Ranges of numbers, as a federation agrees on them before anybody looks at rows."""

LEVELS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "breast cancer": {"diagnosis": ("benign", "malignant")},
    "adult": {
        "marital": (
            "Divorced",
            "Married-AF-spouse",
            "Married-civ-spouse",
            "Married-spouse-absent",
            "Never-married",
            "Separated",
            "Widowed",
        ),
        "relationship": (
            "Husband",
            "Not-in-family",
            "Other-relative",
            "Own-child",
            "Unmarried",
            "Wife",
        ),
        "sex": ("Female", "Male"),
        "income": ("<=50K", ">50K"),
    },
}
"""Categories, of which the last column is the one to be predicted."""

TABLE_STEPS = {"breast cancer": {"steps": 300, "rate": 0.1}, "adult": {"steps": 400, "rate": 0.02}}
"""How long networks learn from tables: about 40 and 150 rows a step."""


@dataclass(frozen=True)
class Cell:
    """One stand-in of one data set at one ε from one seed."""

    data: str
    stand_in: str
    epsilon: str
    seed: int
    rows: int = 0
    seconds: float = 0.0
    notes: Sequence[str] = ()
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[object, ...]:
        """What it is one cell of."""
        return self.data, self.stand_in, self.epsilon, self.seed


@dataclass(frozen=True)
class Task:
    """Rows to learn from and rows to test on.

    Args:
        space: The agreed variables; the class of a table is called ``class``.
        train: Rows of the site.
        test: Rows that nothing learns from.
    """

    space: Space
    train: Samples
    test: Samples


def table_task(data: str, folder: Path, seed: int) -> Task:
    """Read a table, and hold a quarter of it out."""
    grid = Grid.read(folder / "adult_control.csv") if data == "adult" else CASES[data].table(folder)
    *inputs, target = LEVELS[data]
    variables = {}
    values = {}
    for name, (low, high) in RANGES[data].items():
        variables[name] = Variable(kind="real", low=low, high=high)
        column = [float(text) for text in _column(grid, name)]
        values[name] = torch.tensor(column).clamp(low, high)
    for name in (*inputs, target):
        levels = LEVELS[data][name]
        key = LABEL if name == target else name
        variables[key] = Variable(kind="categorical", classes=len(levels))
        values[key] = torch.tensor([levels.index(text) for text in _column(grid, name)])
    space = Space(variables)
    rows = space.samples(**values)
    order = np.random.default_rng(seed).permutation(len(rows))
    test, train = (torch.from_numpy(part) for part in np.split(order, [len(rows) // 4]))
    return Task(space, pick(rows, train), pick(rows, test))


def _column(grid: Grid, name: str) -> list[str]:
    place = grid.header.index(name)
    return [row[place] for row in grid.rows]


@cache
def digits() -> tuple[Task, Reference]:
    """Load the digits, and train the classifier by which images are compared."""
    data = Digits(grey=True).load()
    classifier = DomainClassifier(data.space.only(["image"]), 10, seed=1)
    train, test = data.train, data.test
    classifier.fit(train.select("image"), train[LABEL], test.select("image"), test[LABEL])
    reference = Reference(test.select("image"), classifier, test[LABEL], test, data.space)
    return Task(data.space, train, test), reference


def stand_in_of(kind: str, data: str, epsilon: float) -> StandIn:
    """Return a stand-in; the noise of one without any is left out later."""
    common = {"epsilon": epsilon if math.isfinite(epsilon) else 10.0, "delta": DELTA}
    if kind == "noisy_moments":
        return NoisyMoments(**common)
    if data == DIGITS:
        model = {"name": "rectified_flow", "channels": 8}
        learning = {"steps": 400, "rate": 0.05, "clip": 0.5, "histogram": 0.0}
    else:
        model = {"name": "autoregressive", "bins": 10, "hidden": 64, "learning_rate": 0.005}
        learning = TABLE_STEPS[data]
    return DpSgd(**common, model=model, learning=learning)


def drawn_of(task: Task, cell: Cell, count: int) -> tuple[Samples, Sequence[str]]:
    """Make a stand-in and draw from it."""
    epsilon = float(cell.epsilon)
    stand_in = stand_in_of(cell.stand_in, cell.data, epsilon)
    charges = list(stand_in.charges(1, "prv"))
    if math.isinf(epsilon):
        charges = [replace(charge, noise=0.0) for charge in charges]
    rows = PrivateRows(task.space, task.train, torch.arange(len(task.train)))
    made = stand_in.make(rows, charges)
    return made.draw(count, torch.Generator().manual_seed(cell.seed)), made.notes


def on_table(task: Task, drawn: Samples) -> dict[str, float]:
    """Train on draws and test on rows."""
    known = drawn[LABEL].numpy()
    real = task.test[LABEL].numpy()
    commonest = float(np.bincount(real).max() / len(real))
    if len(set(known.tolist())) < 2:
        return {"accuracy": float((real == known[0]).mean()), "auc": 0.5, "commonest": commonest}
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(_inputs(task.space, drawn), known)
    x = _inputs(task.space, task.test)
    chances = model.predict_proba(x)[:, 1]
    accuracy = float(model.score(x, real))
    return {
        "accuracy": accuracy,
        "auc": float(roc_auc_score(real, chances)),
        "commonest": commonest,
    }


def _inputs(space: Space, rows: Samples) -> np.ndarray:
    """Return numbers, and categories as 0 and 1, shape (n, inputs)."""
    columns = []
    for name in space:
        values = rows[name]
        if name == LABEL:
            continue
        if space[name].classes:
            columns.append(torch.nn.functional.one_hot(values.long(), space[name].classes))
        else:
            columns.append(values[:, None])
    return torch.cat([column.double() for column in columns], 1).numpy()


def on_digits(reference: Reference, drawn: Samples) -> dict[str, float]:
    """Compare images with the test split."""
    values: dict[str, float] = {}
    for metric in (Fid(), TrainOnSynthetic()):
        results, reason = measured(metric, Observed(drawn, reference))
        if not reason:
            values |= {name: v.value for name, v in results.items() if v.is_scalar}
    return values


def measured_cell(cell: Cell, folder: Path) -> Cell:
    """Measure one cell; seconds are processor time."""
    start = time.process_time()
    if cell.data == DIGITS:
        task, reference = digits()
        count = len(task.train)
    else:
        task = table_task(cell.data, folder, cell.seed)
        count = DRAWN
    notes: Sequence[str] = ()
    drawn = task.train
    if cell.stand_in != REAL:
        drawn, notes = drawn_of(task, cell, count)
    values = on_digits(reference, drawn) if cell.data == DIGITS else on_table(task, drawn)
    seconds = time.process_time() - start
    return replace(cell, rows=len(task.train), seconds=seconds, notes=notes, values=values)


def wanted(data: Sequence[str], seeds: Sequence[int]) -> Iterator[Cell]:
    """List the cells, seed by seed, so that a run that stops early has all of the first one."""
    for seed in seeds:
        for name in data:
            if name != DIGITS or seed == seeds[0]:
                yield Cell(name, REAL, "inf", seed)
            for kind in ("noisy_moments", "dp_sgd"):
                for epsilon in EPSILONS:
                    yield Cell(name, kind, epsilon, seed)


def cells() -> list[Cell]:
    """Return what is measured."""
    if not FILE.exists():
        return []
    return [Cell(**cell) for cell in json.loads(FILE.read_text())["cells"]]


def main() -> None:
    """Measure what is not measured yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="folder of adult_control.csv")
    parser.add_argument("--data", nargs="+", default=["breast cancer", "adult", DIGITS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--stand-ins", nargs="+", default=[REAL, "noisy_moments", "dp_sgd"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    for cell in wanted(given.data, given.seeds):
        known = {each.key for each in cells()}
        if cell.key in known or cell.stand_in not in given.stand_ins:
            continue
        done = measured_cell(cell, given.folder)
        print(done, flush=True)
        about = {"delta": DELTA, "drawn": DRAWN}
        save("privacy_utility", {"about": about, "cells": [*map(asdict, cells()), asdict(done)]})


if __name__ == "__main__":
    main()
