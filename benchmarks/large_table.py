"""Memory and time of a large CSV: ``coplay init`` and ``coplay run`` with few steps.

python benchmarks/large_table.py --rows 10500000      # 2 GB; writes results/large_table.json

The table has numbers, categories, dates and missing cells. The same two commands play a table of a
few rows, and the difference of both peaks is what the rows take. Each command runs in a process of
its own on one thread.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common
import numpy as np

ROWS_AT_ONCE = 100_000
FEW_ROWS = 2_000
COLUMNS = (
    "record,age,weight,height,pressure,pulse,glucose,score,visits,sex,ward,town,smokes,"
    "admitted,remark_code,outcome"
)
FAST = ("game.rounds=2", "game.own_rounds=1", "game.local_steps=5", "measure.samples=200")


def write_table(path: Path, rows: int, seed: int = 0) -> None:
    """Write a table of patients."""
    rng = np.random.default_rng(seed)
    with path.open("w", encoding="utf-8") as file:
        file.write(COLUMNS + "\n")
        for first in range(0, rows, ROWS_AT_ONCE):
            count = min(ROWS_AT_ONCE, rows - first)
            file.write("\n".join(map(",".join, zip(*_columns(rng, first, count), strict=True))))
            file.write("\n")


def _columns(rng: np.random.Generator, first: int, n: int) -> list[list[str]]:
    """Return the cells of some rows, column after column."""
    age = rng.integers(0, 100, n)
    days = rng.integers(10_000, 20_000, n).astype("datetime64[D]")
    columns = [
        [f"rec-{first + i:012d}-{code:08x}" for i, code in enumerate(rng.integers(0, 2**31, n))]
    ]
    columns.append([str(x) for x in age.tolist()])
    for mean, spread, digits in ((70, 15, 6), (170, 9, 5), (120, 20, 7), (75, 12, 6)):
        columns.append(_numbers(rng.normal(mean, spread, n), digits, rng, 0.05))
    for scale in (5.0, 0.5):
        columns.append(_numbers(rng.lognormal(0, scale / 5, n), 10, rng, 0.02))
    columns.append([str(x) for x in rng.poisson(40, n).tolist()])
    columns.append(_chosen(rng, ("female", "male"), n))
    columns.append(_chosen(rng, tuple(f"ward {i} of the main house" for i in range(12)), n))
    columns.append(_chosen(rng, ("Ulm", "Bonn", "Jena", "Kiel", "Freiburg im Breisgau", ""), n))
    columns.append(_chosen(rng, ("no", "yes", "NA"), n))
    columns.append([str(day) for day in days])
    columns.append(_chosen(rng, tuple(f"code-{i:03d}" for i in range(80)), n))
    columns.append([("well", "ill")[x] for x in (rng.random(n) < age / 120).astype(int)])
    return columns


def _numbers(
    values: np.ndarray, digits: int, rng: np.random.Generator, lacking: float
) -> list[str]:
    """Write numbers, some of which are missing."""
    texts = [f"{x:.{digits}f}" for x in values.tolist()]
    for place in np.flatnonzero(rng.random(len(values)) < lacking).tolist():
        texts[place] = ""
    return texts


def _chosen(rng: np.random.Generator, texts: tuple[str, ...], n: int) -> list[str]:
    return [texts[place] for place in rng.integers(0, len(texts), n).tolist()]


def command(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run one command of coplay; return its seconds, its peak, and what it said of its pace."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    began = time.perf_counter()
    with (folder / "said.txt").open("w+", encoding="utf-8") as said:
        child = subprocess.Popen(
            [sys.executable, "-m", "coplay.cli.main", *arguments],
            cwd=folder,
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
            text=True,
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    if child.returncode:
        raise SystemExit(f"coplay {shlex.join(arguments)} failed:\n{text[-3000:]}")
    return {
        "seconds": time.perf_counter() - began,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * 1024,
        "pace": [line for line in text.splitlines() if " left" in line and "%" in line][:200],
    }


def play(rows: int, folder: Path) -> dict[str, Any]:
    """Found a federation of a table with so many rows and a small one, and play it."""
    folder.mkdir()
    write_table(folder / "large.csv", rows)
    write_table(folder / "small.csv", FEW_ROWS, seed=1)
    size = (folder / "large.csv").stat().st_size
    options = [part for setting in FAST for part in ("--set", setting)]
    init = command(folder, "init", "--from", "large.csv", "small.csv", "--out", "federation")
    run = command(folder, "run", "federation/federation.toml", *options, "--out", "run")
    (folder / "large.csv").unlink()
    figures = {"rows": rows, "bytes": size, "init": init, "run": run}
    for name in ("init", "run"):
        each = figures[name]
        print(
            f"{rows:>10,} rows, {size / 1e9:.2f} GB, coplay {name:4}: {each['seconds']:6.0f} s "
            f"({each['processor_seconds']:.0f} s of a core), peak {each['peak_bytes'] / 1e9:.2f} GB"
        )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_500_000)
    parser.add_argument("--folder", type=Path, help="where the table lies while it is needed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        baseline = play(FEW_ROWS, Path(name) / "baseline")
        large = play(given.rows, Path(name) / "large")
    above = {}
    for step in ("init", "run"):
        above[step] = large[step]["peak_bytes"] - baseline[step]["peak_bytes"]
        print(f"coplay {step}: {above[step] / 1e9:.2f} GB above the same with {FEW_ROWS:,} rows")
    common.save("large_table", {"baseline": baseline, "large": large, "bytes_above": above})


if __name__ == "__main__":
    main()
