"""Many players: seconds and memory of preparation and of a round, over the number of links.

python benchmarks/load.py                 # half an hour; writes benchmarks/results/load.json
python benchmarks/load.py --quick         # small cases, two minutes, nothing written
python benchmarks/load.py complete 1000   # one case, nothing written

Every player holds ten rows of eight bits and has an exponential family, and about two samples
travel on each link, so that what is measured is coplay's own work. A round is one in which
everybody learns, draws and is saved: models, samples in flight and traffic. Each case has a process
of its own, and only one runs at a time.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common
import numpy as np

from coplay import Config, Federation

ROUNDS = 5
MEASURED = (2, 3, 4)
"""Rounds in which everybody both learns from others and draws for them."""

ROWS = 10
BITS = 8
CLASSES = 10
OWN_WEIGHT = 0.3
SAMPLES_A_LINK = 2
NEIGHBOURS = 10
CASES = {
    "complete": (100, 200, 400, 800, 1000),
    "ring": (500, 1000, 2000, 5000),
    "random_regular": (200, 500, 1000, 2000, 5000),
    "originals": (10, 20, 40),
}
"""Players by topology; with originals everybody hears everybody and learns a classifier too."""

QUICK = {
    "complete": (50, 100, 200),
    "ring": (500, 1000, 2000),
    "random_regular": (100, 200, 400),
}
BARS = {"complete 1000": 5.0, "ring 5000": 10.0}
"""Seconds of preparation."""

MOST_BYTES = 10**9
MOST_EXPONENT = 1.1


def config_of(kind: str, players: int, folder: Path) -> Config:
    """Return the config of a case; its data are written to the folder."""
    generator = np.random.default_rng(1)
    table = folder / "table.npz"
    columns = {}
    for split, count in (("train", players * ROWS), ("test", 100)):
        columns[f"{split}/bits"] = generator.integers(0, 2, (count, BITS)) == 1
        columns[f"{split}/class"] = generator.integers(0, CLASSES, count)
    np.savez(table, **columns)
    game: dict[str, Any] = {"name": "sample_exchange", "rounds": ROUNDS, "own_weight": OWN_WEIGHT}
    degree = {"ring": 2, "random_regular": NEIGHBOURS}.get(kind, players - 1)
    game["samples_per_round"] = math.ceil(SAMPLES_A_LINK * degree / (1 - OWN_WEIGHT))
    if kind == "originals":
        game["originals"] = True
    else:
        game["topology"] = kind
    if kind == "random_regular":
        game["neighbours"] = NEIGHBOURS
    return Config.from_dict(
        {
            "players": players,
            "data": {"source": {"name": "npz", "file": str(table)}},
            "model": "exponential_family",
            "game": game,
            "measure": {"metrics": [], "samples": 100, "every_rounds": ROUNDS},
            "checkpoint": {"every_rounds": 1},
        }
    )


def measure(kind: str, players: int) -> dict[str, Any]:
    """Prepare and play one case in this process."""
    began: list[tuple[float, float]] = []

    def progress(name: str, done: int, of: int) -> None:
        if name == "sample_exchange":
            began.append((time.perf_counter(), time.process_time()))

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        common.peak_bytes()
        start = time.perf_counter()
        federation = Federation(config_of(kind, players, folder))
        prepared = federation.prepare(folder / "unused")
        preparation = time.perf_counter() - start
        preparation_peak = common.peak_bytes()
        del prepared
        play = federation.run(folder / "run", progress).main
        links = sum(link.heading == "exchange" for link in play.traffic)
    wall = [began[r][0] - began[r - 1][0] for r in MEASURED]
    processor = [began[r][1] - began[r - 1][1] for r in MEASURED]
    return {
        "players": players,
        "links": links,
        "preparation_seconds": preparation,
        "preparation_peak_bytes": preparation_peak,
        "round_seconds": statistics.median(wall),
        "rounds_seconds": wall,
        "round_processor_seconds": statistics.median(processor),
        "play_peak_bytes": common.peak_bytes(),
    }


def in_own_process(kind: str, players: int) -> dict[str, Any]:
    command = [sys.executable, __file__, kind, str(players)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    case: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return case


def exponent(cases: list[dict[str, Any]]) -> float:
    """Fit the power of the number of links by which a round's processor seconds grow."""
    links = [math.log(case["links"]) for case in cases]
    seconds = [math.log(case["round_processor_seconds"]) for case in cases]
    return statistics.linear_regression(links, seconds).slope


def show(kind: str, case: dict[str, Any]) -> None:
    each = 1e6 * case["round_processor_seconds"] / case["links"]
    print(
        f"{kind:14} {case['players']:5} players {case['links']:8} links: preparation "
        f"{case['preparation_seconds']:.1f} s, {case['preparation_peak_bytes'] / 1e6:.0f} MB; "
        f"round {case['round_seconds']:.2f} s, {each:.0f} µs a link; "
        f"peak {case['play_peak_bytes'] / 1e6:.0f} MB",
        flush=True,
    )


def main() -> None:
    quick = sys.argv[1:] == ["--quick"]
    results: dict[str, list[dict[str, Any]]] = {}
    for kind, sizes in (QUICK if quick else CASES).items():
        results[kind] = []
        for players in sizes:
            results[kind].append(in_own_process(kind, players))
            show(kind, results[kind][-1])
    exponents = {kind: exponent(cases) for kind, cases in results.items()}
    for kind, power in exponents.items():
        bar = f" (bar: {MOST_EXPONENT})" if kind != "originals" else ""
        print(f"a round of {kind} grows as links^{power:.2f}{bar}")
    if quick:
        return
    for kind, cases in results.items():
        for case in cases:
            bar = BARS.get(f"{kind} {case['players']}")
            if bar is not None:
                print(
                    f"{kind}, {case['players']} players: preparation "
                    f"{case['preparation_seconds']:.2f} s (bar: {bar:g}), "
                    f"{case['preparation_peak_bytes'] / MOST_BYTES:.2f} GB (bar: 1)"
                )
    common.save("load", {"rounds": len(MEASURED), "cases": results, "exponents": exponents})


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
    else:
        main()
