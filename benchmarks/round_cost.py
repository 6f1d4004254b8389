"""Seconds per round of the demo, and the share of each kind of time.

    python benchmarks/round_cost.py    # prints a table, writes benchmarks/results/round_cost.json

There are three runs of ``configs/digits.toml`` without the games carried along; figures are the
median over runs.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import common

from coplay import Config, Federation

RUNS = 3
PARTS = ("learning", "sampling", "exchange", "bookkeeping", "evaluation")


def main() -> None:
    config = Config.from_file(common.ROOT / "configs" / "digits.toml", ["compare=[]"])
    seconds: dict[str, list[float]] = {part: [] for part in PARTS}
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            play = Federation(config).run(Path(folder) / "run").main
            for part in PARTS:
                spent = sum(row.seconds[part] for row in play.rows)
                if part == "bookkeeping":
                    # a row has that of the round before; the total has the last round's too
                    spent = play.bookkeeping_seconds
                seconds[part].append(spent / len(play.rows))
    total = [sum(run) for run in zip(*seconds.values(), strict=True)]
    table = {}
    print(f"{'':12} {'s per round':>12} {'share':>8}")
    for part, values in seconds.items():
        share = statistics.median(v / t for v, t in zip(values, total, strict=True))
        table[part] = {
            "seconds_per_round": statistics.median(values),
            "share": share,
            "runs": values,
        }
        print(f"{part:12} {statistics.median(values):12.4f} {share:8.2%}")
    print(f"{'total':12} {statistics.median(total):12.4f}")
    overhead = table["exchange"]["share"] + table["bookkeeping"]["share"]
    print(f"exchange and bookkeeping: {overhead:.2%} of a round (bar: 10%)")
    common.save("round_cost", {"runs": RUNS, "parts": table, "exchange_and_bookkeeping": overhead})


if __name__ == "__main__":
    main()
