"""Quality of drawn images over minutes of one core, for the models that draw images.

Each model learns MNIST-10k or Fashion-MNIST, 28×28 and grey, alone, with classes and without. Only
its learning counts, in seconds of processor time of one thread. After 1, 5 and 15 minutes 2,000
images are drawn and compared with the test split: the Fréchet distance on the features of a small
classifier of the real images, what a classifier learns from drawn images with their classes, and
how near drawn images lie to images that were learned from, beside how near unseen ones do.

    python benchmarks/images.py --mnist FOLDER --fashion FOLDER

Results are added to ``benchmarks/results/images.json`` cell by cell; what is there is not measured
again.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from common import ROOT, save

from coplay.core.components import find
from coplay.core.space import LABEL
from coplay.core.streams import stream
from coplay.data.sources.base import Dataset
from coplay.data.sources.idx import Idx
from coplay.metrics.base import Observed, Reference, measured
from coplay.metrics.features import DomainClassifier
from coplay.metrics.fid import Fid
from coplay.metrics.memorisation import Memorisation
from coplay.metrics.train_on_synthetic import TrainOnSynthetic
from coplay.models.base import OWN, LocalModel, Mixture, Portion

DRAWN = 2000
CHUNK = 100  # steps between two looks at the clock
FILE = ROOT / "benchmarks" / "results" / "images.json"

MODELS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "rectified flow": ("rectified_flow", {}),
    "rectified flow, straight steps": ("rectified_flow", {"solver": "euler"}),
    "rectified flow, no clusters": ("rectified_flow", {"clusters": 0}),
    "conv HVAE": ("conv_hvae", {"draw": "mean"}),
    "ACGAN": ("acgan", {"batch": 64, "class_input": "scale"}),
}


@dataclass(frozen=True)
class Cell:
    """One model on one data set from one seed, after some minutes."""

    data: str
    classes: bool
    model: str
    seed: int
    minutes: float
    seconds: float = 0.0
    steps: int = 0
    draw_ms: float = 0.0
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[object, ...]:
        """What it is one cell of."""
        return self.data, self.classes, self.model, self.seed, self.minutes


@dataclass(frozen=True)
class Task:
    """A data set, and the classifier by which images are compared."""

    name: str
    data: Dataset
    reference: Reference
    classifier: DomainClassifier


def task_of(name: str, folder: str) -> Task:
    """Load a data set of IDX files and train the classifier on its training split."""
    data = Idx(folder=folder, grey=True).load()
    inputs = data.space.only(["image"])
    classifier = DomainClassifier(inputs, data.space[LABEL].classes or 0, seed=1)
    train, test = data.train, data.test
    classifier.fit(train.select("image"), train[LABEL], test.select("image"), test[LABEL])
    rows = Reference(test.select("image"), classifier, test[LABEL], test, data.space)
    return Task(name, data, rows, classifier)


def cells_of(
    task: Task, title: str, classes: bool, seed: int, minutes: Sequence[float]
) -> list[Cell]:
    """Let one model learn, and measure it after each of some minutes."""
    name, settings = MODELS[title]
    space = task.data.space if classes else task.data.space.only(["image"])
    model: LocalModel = find("model", name)(**settings)
    model.setup(space, seed)
    own = Mixture((Portion(OWN, task.data.train.select(*space), 1.0),))
    seconds = 0.0
    steps = 0
    cells = []
    for limit in sorted(minutes):
        while seconds < 60 * limit:
            generator = stream(seed, "learn", steps)
            start = time.process_time()
            model.learn(own, CHUNK, generator)
            seconds += time.process_time() - start
            steps += CHUNK
        start = time.process_time()
        drawn = model.sample(DRAWN, stream(seed, "draw", steps))
        each = 1000 * (time.process_time() - start) / DRAWN
        values = values_of(task, drawn)
        cell = Cell(task.name, classes, title, seed, limit, seconds, steps, each, values)
        print(cell, flush=True)
        cells.append(cell)
    return cells


def values_of(task: Task, drawn: Any) -> dict[str, float]:
    """Compare drawn images with the test split."""
    observed = Observed(drawn, task.reference, held=task.data.train)
    values: dict[str, float] = {}
    metrics = [Fid(), Memorisation()]
    if LABEL in drawn.keys():
        metrics.append(TrainOnSynthetic())
    for metric in metrics:
        results, reason = measured(metric, observed)
        assert not reason, reason
        values |= {n: v.value for n, v in results.items() if v.is_scalar}
    return values


def main() -> None:
    """Measure what is not measured yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", help="folder of four IDX files")
    parser.add_argument("--fashion", help="folder of four IDX files")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--minutes", nargs="+", type=float, default=[1, 5, 15])
    parser.add_argument("--classes", nargs="+", default=["given", "not"], choices=["given", "not"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folders = {"MNIST-10k": arguments.mnist, "Fashion-MNIST": arguments.fashion}
    for name, folder in folders.items():
        task = task_of(name, str(Path(folder).resolve())) if folder else None
        if task is None:
            continue
        for seed in arguments.seeds:
            for given in arguments.classes:
                for title in arguments.models:
                    measure(task, title, given == "given", seed, arguments.minutes)


def measure(task: Task, title: str, classes: bool, seed: int, minutes: Sequence[float]) -> None:
    """Measure one model, unless it is, and add it to the results."""
    before = json.loads(FILE.read_text())["cells"] if FILE.exists() else []
    known = {Cell(**cell).key for cell in before}
    wanted = [Cell(task.name, classes, title, seed, limit) for limit in minutes]
    if all(cell.key in known for cell in wanted):
        return
    measured_now = cells_of(task, title, classes, seed, minutes)
    again = json.loads(FILE.read_text())["cells"] if FILE.exists() else []
    keys = {cell.key for cell in measured_now}
    kept = [cell for cell in again if Cell(**cell).key not in keys]
    train = len(task.data.train)
    accuracy = task.classifier.accuracy
    about = {"drawn": DRAWN, "learned from": train, "classifier's accuracy": accuracy}
    cells = [*kept, *map(asdict, measured_now)]
    save("images", {"about": about, "cells": cells})


if __name__ == "__main__":
    main()
