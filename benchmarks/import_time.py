"""Time of ``import coplay`` and of everything public in it, against ``import torch, tensordict``.

python benchmarks/import_time.py      # writes benchmarks/results/import_time.json

Each statement is run in fresh processes, which alternate.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import common

RUNS = 15
STATEMENTS = {
    "torch, tensordict": "import torch, tensordict",
    "coplay": "import coplay",
    "coplay, every public name": (
        "import coplay; [getattr(coplay, name) for name in coplay.__all__]"
    ),
}


def main() -> None:
    seconds: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for run in range(RUNS + 1):
        for name, statement in STATEMENTS.items():
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            if run:  # the first warms the disk
                seconds[name].append(time.perf_counter() - begin)
    base = seconds["torch, tensordict"]
    rows = {}
    for name, values in seconds.items():
        ratio = statistics.median(v / b for v, b in zip(values, base, strict=True))
        rows[name] = {
            "median_seconds": statistics.median(values),
            "ratio": ratio,
            "seconds": values,
        }
        print(f"{name:28} {statistics.median(values):6.2f} s  {ratio:5.2f} x")
    common.save("import_time", {"runs": RUNS, "statements": rows})


if __name__ == "__main__":
    main()
