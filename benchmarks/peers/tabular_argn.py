"""What TabularARGN draws after it has learned a table; for the python of its own environment.

    python benchmarks/peers/tabular_argn.py JOB

JOB is a folder that ``benchmarks/table_peers.py`` wrote. The drawn rows go to ``JOB/drawn.csv``;
the last line that is printed says, as JSON, what it took.
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
os.environ["HF_HUB_OFFLINE"] = "1"

import pandas as pd
import torch
from mostlyai.engine import TabularARGN

ENCODINGS = {"category": "TABULAR_CATEGORICAL", "number": "TABULAR_NUMERIC_AUTO"}


def learned(workspace: Path) -> dict[str, Any]:
    """Return how long it learned, and which of its epochs it took."""
    progress = pd.read_csv(next(workspace.rglob("progress-messages.csv")))
    taken = progress[progress["is_checkpoint"] == 1]
    return {
        "epochs": float(progress["epoch"].iloc[-1]),
        "steps": int(progress["steps"].iloc[-1]),
        "epoch taken": float(taken["epoch"].iloc[-1]),
    }


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    job = json.loads((folder / "job.json").read_text())
    kinds: dict[str, str] = job["kinds"]
    texts = {name: str for name, kind in kinds.items() if kind == "category"}
    rows = pd.read_csv(folder / job["train"], dtype=texts)
    start = time.process_time()
    model = TabularARGN(
        tgt_encoding_types={name: ENCODINGS[kind] for name, kind in kinds.items()},
        workspace_dir=folder / "workspace",
        random_state=job["seed"],
        **job["settings"],
    )
    model.fit(rows)
    learning = time.process_time() - start
    start = time.process_time()
    # columns that a site lacks are drawn in every row, as ours are
    imputation = {"columns": job["gaps"]} if job["gaps"] else None
    drawn = model.sample(n_samples=job["rows"], imputation=imputation)
    drawing = time.process_time() - start
    drawn.to_csv(folder / "drawn.csv", index=False)
    packages = ("mostlyai-engine", "torch", "numpy", "pandas")
    about = {
        "seconds_learning": learning,
        "seconds_drawing": drawing,
        "learned": learned(folder / "workspace"),
        "versions": {"python": sys.version.split()[0]} | {each: version(each) for each in packages},
    }
    print(json.dumps(about))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
