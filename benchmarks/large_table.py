"""Memory and time of a large CSV: ``coplay init`` and ``coplay run`` with few steps.

python benchmarks/large_table.py --rows 12200000      # 2 GB; writes results/large_table.json

The table has numbers, categories, dates and missing cells. The same two commands play a table of a
few rows, and the difference of both peaks is what the rows take. Each command runs in a process of
its own on one thread.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common
import numpy as np
import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import csv

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
    options = csv.WriteOptions(include_header=False, quoting_style="none")
    with path.open("wb") as file:
        file.write(f"{COLUMNS}\n".encode())
        for first in range(0, rows, ROWS_AT_ONCE):
            count = min(ROWS_AT_ONCE, rows - first)
            table = pa.table(_columns(rng, first, count), COLUMNS.split(","))
            csv.write_csv(table, file, options)


def _columns(rng: np.random.Generator, first: int, n: int) -> list[pa.Array]:
    """Return the cells of some rows, column after column."""
    age = rng.integers(0, 100, n)
    numbers = pc.utf8_lpad(pa.array(first + np.arange(n)).cast(pa.string()), 12, "0")
    codes = pc.utf8_lpad(pa.array(rng.integers(0, 2**31, n)).cast(pa.string()), 10, "0")
    columns = [pc.binary_join_element_wise("rec", numbers, codes, "-"), pa.array(age)]
    for mean, spread, digits in ((70, 15, 6), (170, 9, 5), (120, 20, 7), (75, 12, 6)):
        columns.append(_numbers(rng.normal(mean, spread, n), digits, rng, 0.05))
    for scale in (5.0, 0.5):
        columns.append(_numbers(rng.lognormal(0, scale / 5, n), 10, rng, 0.02))
    columns.append(pa.array(rng.poisson(40, n)))
    columns.append(_chosen(rng, ("female", "male"), n))
    columns.append(_chosen(rng, tuple(f"ward {i} of the main house" for i in range(12)), n))
    columns.append(_chosen(rng, ("Ulm", "Bonn", "Jena", "Kiel", "Freiburg im Breisgau", ""), n))
    columns.append(_chosen(rng, ("no", "yes", "NA"), n))
    columns.append(pa.array(rng.integers(10_000, 20_000, n).astype("datetime64[D]")))
    columns.append(_chosen(rng, tuple(f"code-{i:03d}" for i in range(80)), n))
    ill = (rng.random(n) < age / 120).astype(np.int32)
    columns.append(pa.DictionaryArray.from_arrays(ill, ["well", "ill"]).cast(pa.string()))
    return columns


def _numbers(values: np.ndarray, digits: int, rng: np.random.Generator, lacking: float) -> pa.Array:
    """Return numbers with so many decimals, some of which are missing."""
    return pa.array(values.round(digits), mask=rng.random(len(values)) < lacking)


def _chosen(rng: np.random.Generator, texts: tuple[str, ...], n: int) -> pa.Array:
    places = rng.integers(0, len(texts), n).astype(np.int32)
    return pa.DictionaryArray.from_arrays(places, list(texts)).cast(pa.string())


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
        status, usage, together = _watched(child.pid)
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    if child.returncode:
        raise SystemExit(f"coplay {shlex.join(arguments)} failed:\n{text[-3000:]}")
    return {
        "seconds": time.perf_counter() - began,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": max(together, usage.ru_maxrss * 1024),
        "largest_process_bytes": usage.ru_maxrss * 1024,
        "pace": _pace(text),
    }


def _pace(text: str) -> list[str]:
    """Return the first lines in which a command says how far it is, files by their last names."""
    lines = [line for line in text.splitlines() if " left" in line and "%" in line]
    return [re.sub(r"\S*/", "", line) for line in lines[:200]]


def _watched(pid: int) -> tuple[int, Any, int]:
    """Wait for a process; return its status, its usage, and the peak of all that it started.

    Games that are played side by side are processes of their own, which share pages: each page is
    counted once, in proportion to those who have it, and looked at twice a second.
    """
    peak = 0
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return status, usage, peak
        peak = max(peak, sum(map(_own_share, _with_children(pid))))
        time.sleep(0.5)


def _with_children(pid: int) -> list[int]:
    """Return a process and all that it started."""
    pids = [pid]
    for parent in pids:
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                pids += map(int, path.read_text().split())
            except OSError:  # it has ended
                continue
    return pids


def _own_share(pid: int) -> int:
    """Return the memory of a process, of shared pages its share."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it has ended
        return 0
    return int(text.partition("\nPss:")[2].split()[0]) * 1024


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
    parser.add_argument("--rows", type=int, default=12_200_000)
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
