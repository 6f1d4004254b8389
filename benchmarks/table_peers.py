"""Models of tables of other libraries beside ours: how well drawn rows stand for unseen ones.

    python benchmarks/table_peers.py --folder FOLDER --argn PYTHON --fenris PYTHON

FOLDER holds heart_disease.csv, lung_cancer.csv and adult_control.csv. Each peer has an environment
of its own, outside of this one, and PYTHON is its interpreter:

    python3.11 -m venv argn && argn/bin/pip install mostlyai-engine==2.7.3
    python3.12 -m venv fenris && fenris/bin/pip install fenris==0.1.0

Beside a torch for CPUs alone, PyPI's torchvision, which mostlyai-engine brings, fails to import
("operator torchvision::nms does not exist"); it is not needed: argn/bin/pip uninstall torchvision.

The tables, the rows of the sites and the rows for testing are those of ``reproductions/tables``,
but every site has all columns, except where the table says "with gaps". A peer that learns at one
place gets the rows of all sites together; one that learns at sites gets theirs. All get the same
schema, one thread, and draw as many rows, which are scored alike. Seconds are of processor time.

Results are added to ``benchmarks/results/table_peers.json`` cell by cell; what is there is not
measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import torch
from common import ROOT, save

sys.path.insert(0, str(ROOT))

from reproductions.tables.cases import CASES, Case, Grid
from reproductions.tables.experiment import DRAWN, MISSING, MODELS, ROUNDS, pooled
from reproductions.tables.scoring import rows_of, scores_of

from coplay import Config
from coplay.core.space import Samples, Space
from coplay.run.founding import from_tables
from coplay.run.schema import agreed_space
from coplay.run.versions import versions

FILE = ROOT / "benchmarks" / "results" / "table_peers.json"
OURS = "autoregressive"
GAPS = ", with gaps"


@dataclass(frozen=True)
class Peer:
    """A model of another library.

    Args:
        environment: The argument that names its interpreter.
        worker: The script that runs it, in ``benchmarks/peers``.
        settings: What differs from its default settings.
        takes_gaps: Whether rows may lack cells.
    """

    environment: str
    worker: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    takes_gaps: bool = True


def _of_fenris(synthesizer: str, coordinator: str, rounds: int, fresh: bool = False) -> Peer:
    """Return a model of FENRIS, which leaves out rows with missing cells."""
    settings = {"synthesizer": synthesizer, "coordinator": coordinator, "rounds": rounds}
    return Peer("fenris", "fenris_sites.py", {**settings, "fresh": fresh}, takes_gaps=False)


PEERS: Mapping[str, Peer] = {
    "TabularARGN": Peer("argn", "tabular_argn.py"),
    "TabularARGN, values not protected": Peer(
        "argn", "tabular_argn.py", {"value_protection": False}
    ),
    "Fed-TGAN, 3 rounds": _of_fenris("fed_tgan", "fed_tgan", 3),
    "Fed-TGAN, 100 rounds": _of_fenris("fed_tgan", "fed_tgan", 100),
    "Fed-TGAN, 100 rounds, seeds anew": _of_fenris("fed_tgan", "fed_tgan", 100, fresh=True),
    "FedTabDiff, 3 rounds": _of_fenris("fedtabdiff", "fedavg", 3),
    "FedTabDiff, 500 rounds": _of_fenris("fedtabdiff", "fedavg", 500),
    "FedTabDiff, 500 rounds, seeds anew": _of_fenris("fedtabdiff", "fedavg", 500, fresh=True),
    "FedTabDiff, 500 rounds, seeds anew, own schema": Peer(
        "fenris",
        "fenris_sites.py",
        {
            "synthesizer": "fedtabdiff",
            "coordinator": "fedavg",
            "rounds": 500,
            "fresh": True,
            "own schema": True,
        },
        takes_gaps=False,
    ),
}
"""FENRIS plays 3 rounds by default; what it was taken from played hundreds."""


@dataclass(frozen=True)
class Cell:
    """One model on one table from one seed."""

    case: str
    model: str
    seed: int
    rows: int = 0
    seconds_learning: float = 0.0
    seconds_drawing: float = 0.0
    drawn: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    learned: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[object, ...]:
        """What it is one cell of."""
        return self.case, self.model, self.seed


@dataclass(frozen=True)
class Task:
    """A table with its sites, from one seed.

    Args:
        case: The table.
        title: What it is called here.
        folder: Where its files lie.
        seed: Decided which rows lie where.
        space: The schema of all sites.
        lacks: Columns that are missing from each site's file; its keys are the sites.
        test: Rows that no site has.
    """

    case: Case
    title: str
    folder: Path
    seed: int
    space: Space
    lacks: Mapping[str, Sequence[str]]
    test: Samples


def task_of(title: str, tables: Path, seed: int, folder: Path) -> Task:
    """Write the files of a table, those of its sites and of all rows."""
    case = CASES[title.removesuffix(GAPS)]
    complete = replace(case, lacks={site: [] for site in case.lacks})
    sites, test = complete.dealt(tables, seed)
    together = [row for site in sites.values() for row in site.rows]
    # of halves of all rows, so that no site's lack of levels shapes the schema
    halves = [Grid(test.header, together[start::2]) for start in (0, 1)]
    files = [grid.write(folder / f"half_{i}.csv") for i, grid in enumerate(halves)]
    from_tables(files, folder / "schema", case.target, None, MISSING).write()
    space = agreed_space(Config.from_file(folder / "schema" / "federation.toml").variables)
    lacks = case.lacks if title.endswith(GAPS) else complete.lacks
    everything = []
    for name, whole in sites.items():
        whole.without(lacks[name]).write(folder / f"{name}.csv")
        is_empty = [column in lacks[name] for column in whole.header]
        for row in whole.rows:
            pairs = zip(row, is_empty, strict=True)
            everything.append(["" if empty or cell in MISSING else cell for cell, empty in pairs])
    Grid(test.header, everything).write(folder / "all.csv")
    rows = rows_of(test.write(folder / "test.csv"), space, MISSING)
    return Task(case, title, folder, seed, space, lacks, rows)


def ours(task: Task) -> Cell:
    """Let our model learn the rows of all sites."""
    parts = {name: rows_of(task.folder / f"{name}.csv", task.space, MISSING) for name in task.lacks}
    steps = ROUNDS * task.case.steps
    start = time.process_time()
    drawn = pooled(parts, MODELS[OURS], task.space, task.seed, steps)
    seconds = time.process_time() - start
    rows = sum(len(part) for part in parts.values())
    return Cell(
        task.title,
        OURS,
        task.seed,
        rows,
        seconds_learning=seconds,
        drawn=len(drawn),
        settings=MODELS[OURS],
        learned={"steps": steps},
        versions=versions(),
        values=scores_of(drawn, task.test, task.space, task.case.target),
    )


def of_peer(task: Task, title: str, python: str) -> Cell:
    """Let a peer learn in its own environment, and score what it draws."""
    peer = PEERS[title]
    kinds = {name: "number" for name in task.space}
    for name in task.space:
        if task.space[name].kind in ("categorical", "binary"):
            kinds[name] = "category"
    job = {
        "train": "all.csv",
        "sites": [f"{name}.csv" for name in task.lacks],
        "kinds": kinds,
        "rows": DRAWN,
        "seed": task.seed,
        "settings": peer.settings,
        "missing": MISSING,
        "gaps": sorted(set(chain(*task.lacks.values()))),
    }
    (task.folder / "job.json").write_text(json.dumps(job))
    worker = ROOT / "benchmarks" / "peers" / peer.worker
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [python, str(worker), str(task.folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{title} failed:\n{done.stderr[-3000:]}")
    about = json.loads(done.stdout.splitlines()[-1])
    drawn = rows_of(task.folder / "drawn.csv", task.space, MISSING)
    return Cell(
        task.title,
        title,
        task.seed,
        len(Grid.read(task.folder / "all.csv").rows),
        drawn=len(drawn),
        settings=peer.settings,
        values=scores_of(drawn, task.test, task.space, task.case.target),
        **about,
    )


def real_rows(task: Task) -> Cell:
    """Score the rows of all sites themselves."""
    rows = rows_of(task.folder / "all.csv", task.space, MISSING)
    values = scores_of(rows, task.test, task.space, task.case.target)
    return Cell(task.title, "the real rows themselves", task.seed, len(rows), values=values)


def kept() -> list[Cell]:
    """Return the cells that are measured."""
    return [Cell(**cell) for cell in json.loads(FILE.read_text())["cells"]] if FILE.exists() else []


def keep(cell: Cell) -> None:
    """Add a cell to the results."""
    print(cell, flush=True)
    cells = [*(other for other in kept() if other.key != cell.key), cell]
    save("table_peers", {"drawn": DRAWN, "cells": [asdict(each) for each in cells]})


def measure(
    title: str, tables: Path, seed: int, pythons: Mapping[str, str | None], peers: Sequence[str]
) -> None:
    """Measure what is not measured yet of one table and seed."""
    known = {cell.key for cell in kept()}
    with tempfile.TemporaryDirectory() as place:
        task = task_of(title, tables, seed, Path(place))
        if (title, OURS, seed) not in known:
            keep(real_rows(task))
            keep(ours(task))
        for name in peers:
            peer = PEERS[name]
            python = pythons[peer.environment]
            takes = peer.takes_gaps or not title.endswith(GAPS)
            if python and takes and (title, name, seed) not in known:
                keep(of_peer(task, name, python))


def main() -> None:
    """Measure what is not measured yet."""
    titles = [*CASES]
    titles += [f"{name}{GAPS}" for name, case in CASES.items() if any(case.lacks.values())]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--argn", help="interpreter that has mostlyai-engine")
    parser.add_argument("--fenris", help="interpreter that has fenris")
    parser.add_argument("--cases", nargs="+", default=titles, choices=titles)
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pythons = {"argn": arguments.argn, "fenris": arguments.fenris}
    for title in arguments.cases:
        for seed in arguments.seeds:
            measure(title, arguments.folder, seed, pythons, arguments.peers)


if __name__ == "__main__":
    main()
