"""What Fed-TGAN or FedTabDiff of FENRIS draws after learning at sites; for its own environment.

    python benchmarks/peers/fenris_sites.py JOB

JOB is a folder that ``benchmarks/table_peers.py`` wrote. FENRIS's command cuts one file into sites
and sets rows aside by itself, so its synthesizer and its coordinator are driven here in the order
of its pipeline, in one process, with the rows that the sites have: what they compute is the same,
and nothing is sent. Rows with missing cells are left out, as FENRIS does.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import pandas as pd
import torch
from fenris.app import factory
from fenris.config.config import SeedConfig
from fenris.core.algorithm import (
    Coordinator,
    GlobalInitContext,
    SampleContext,
    Synthesizer,
    TrainContext,
)
from fenris.core.data.schemas import ColumnSchema, TableSchema, infer_schema
from fenris.core.payload import Payload

DEFAULT_ROUNDS = 3


class Federation:
    """A synthesizer, its coordinator and the rows of the sites.

    Args:
        job: What is to be done.
        sites: Rows of each site, without missing cells.
    """

    def __init__(self, job: dict[str, Any], sites: list[pd.DataFrame]) -> None:
        self.sites = sites
        self.together = pd.concat(sites, ignore_index=True)
        self.name: str = job["settings"]["coordinator"]
        self.schema = _schema(job["kinds"], self.together)
        if job["settings"].get("own schema"):
            self.schema = infer_schema(self.together)
        self.seed = SeedConfig.from_master(job["seed"])
        self.synthesizer: Synthesizer = factory.create_synthesizer(
            job["settings"]["synthesizer"], {}
        )
        self.coordinator: Coordinator = factory.create_coordinator(self.name, {})
        context = GlobalInitContext(self.name, self.seed.init, self.schema)
        first = self.synthesizer.global_init(self.together.copy(), context)
        self.artifacts = first.synthesizer
        if first.coordinator is not None:
            self.coordinator.attach_global_init_artifacts(first.coordinator)
        self.storage = [Payload() for _ in sites]

    def play(self, seed: int) -> None:
        """Play one round."""
        steps = self.coordinator.train(range(len(self.sites)))
        requests = next(steps)
        while True:
            replies = [(site, self._reply(site, request, seed)) for site, request in requests]
            try:
                requests = steps.send(replies)
            except StopIteration:
                return

    def _reply(self, site: int, request: Payload, seed: int) -> Payload:
        context = TrainContext(self.name, seed, self.schema, self.artifacts, self.storage[site])
        # it changes the frame that it is given
        return self.synthesizer.train(request, self.sites[site].copy(), context)

    def draw(self, n: int) -> pd.DataFrame:
        """Draw rows from the global model."""
        context = SampleContext(self.name, self.seed.sampling, self.schema, self.artifacts, None, n)
        return self.synthesizer.sample(self.coordinator.publish_train_artifacts(), context)


def _schema(kinds: dict[str, str], rows: pd.DataFrame) -> TableSchema:
    columns = []
    for name, kind in kinds.items():
        if kind == "category":
            fenris_kind = "binary" if rows[name].nunique() <= 2 else "categorical"
        else:
            fenris_kind = "continuous"
        columns.append(ColumnSchema(name, fenris_kind))
    return TableSchema(columns=tuple(columns))


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    job = json.loads((folder / "job.json").read_text())
    texts = {name: str for name, kind in job["kinds"].items() if kind == "category"}
    sites = []
    for file in job["sites"]:
        rows = pd.read_csv(folder / file, dtype=texts, na_values=job["missing"])
        sites.append(rows.dropna().reset_index(drop=True))
    rounds = job["settings"].get("rounds", DEFAULT_ROUNDS)
    start = time.process_time()
    federation = Federation(job, sites)
    fresh = job["settings"].get("fresh", False)
    for number in range(rounds):
        seed = federation.seed.training
        # FENRIS draws the same noise, rows and times in every round
        federation.play(seed + 1000 * number if fresh else seed)
    learning = time.process_time() - start
    start = time.process_time()
    drawn = federation.draw(job["rows"])
    drawing = time.process_time() - start
    drawn.to_csv(folder / "drawn.csv", index=False)
    packages = ("fenris", "flwr", "torch", "numpy", "pandas", "scikit-learn")
    about = {
        "seconds_learning": learning,
        "seconds_drawing": drawing,
        "learned": {"rounds": rounds, "complete rows": len(federation.together)},
        "versions": {"python": sys.version.split()[0]} | {each: version(each) for each in packages},
    }
    print(json.dumps(about))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
