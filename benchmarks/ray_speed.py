"""Speed of the Ray engine against the local one, alternating; start-up; memory per process.

python benchmarks/ray_speed.py               # writes benchmarks/results/ray_speed.json
python benchmarks/ray_speed.py --quick       # two small cases, nothing written

The games are MD-GAN with the MLP pair on 28 x 28, discriminators swapping once an epoch of 1000
samples, and sample exchange between four conv_hvae players. Every variant has a coordinator of its
own and only one computes at a time. Memory is proportional (PSS): pages that processes share, such
as libraries, count in parts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import common
import torch

from coplay import Player, Space, Variable
from coplay.core.memory import keep_freed_memory
from coplay.core.streams import stream
from coplay.engines.base import Engine
from coplay.engines.local import Local
from coplay.engines.ray import Ray
from coplay.games.gan_common import SERVER
from coplay.games.md_gan import MdGan
from coplay.games.sample_exchange import SampleExchange
from coplay.models.acgan import Acgan
from coplay.models.conv_hvae import ConvHvae

TURNS = 6
SAMPLES = 1000
SPACE = Space(
    {
        "image": Variable(kind="real", shape=(28, 28), low=0, high=1),
        "class": Variable(kind="categorical", classes=10),
    }
)
BINARY = Space({"image": Variable(kind="binary", shape=(28, 28))})
VARIANTS = {  # processes, threads of each; no process is the local engine
    "local, 2 threads": (0, 2),
    "ray, 2 processes x 1 thread": (2, 1),
    "ray, 1 process x 2 threads": (1, 2),
    "ray, 4 processes x 1 thread": (4, 1),
}
BOTH = list(VARIANTS)[:2]
Case = tuple[str, int, int, int, list[str]]
"""Game, N, b, iterations a turn, variants."""
CASES: dict[str, Case] = {
    "md_gan, N = 10, b = 10": ("md_gan", 10, 10, 20, list(VARIANTS)),
    "md_gan, N = 10, b = 100": ("md_gan", 10, 100, 10, list(VARIANTS)),
    "md_gan, N = 4, b = 10": ("md_gan", 4, 10, 30, BOTH),
    "md_gan, N = 4, b = 100": ("md_gan", 4, 100, 15, BOTH),
    "four conv_hvae": ("sample_exchange", 4, 100, 1, BOTH),
}
QUICK = {
    "md_gan, N = 3, b = 10": ("md_gan", 3, 10, 3, BOTH),
    "two conv_hvae": ("sample_exchange", 2, 20, 1, BOTH),
}


def seated(game: str, n: int, b: int, engine: Engine) -> Callable[[int], None]:
    """Start players at an engine; return a function that plays so many iterations, or rounds."""
    generator = stream(1, "images")
    images = torch.rand(SAMPLES, 28, 28, generator=generator)
    classes = torch.arange(SAMPLES) % 10
    names = [f"p{i:03}" for i in range(n)]
    played: dict[str, Any] = {"round": 0}
    if game == "md_gan":
        model = Acgan(batch=b)
        data = SPACE.samples(**{"image": images, "class": classes})
        players = [Player(name, SPACE, data, model.fresh(), 1) for name in names]
        players.append(Player(SERVER, SPACE, SPACE.empty(), model.fresh(), 1))
        rules: Any = MdGan(rounds=10**6)
    else:
        data = BINARY.samples(image=(images > 0.5).byte())
        players = [Player(name, BINARY, data, ConvHvae(batch=b), 1) for name in names]
        steps = 5 if n > 2 else 1
        rules = SampleExchange(rounds=10**6, local_steps=steps, samples_per_round=SAMPLES)
    engine.start(players, rules)
    played["state"] = rules.start(names, 1)

    def iterate(count: int) -> None:
        rounds = count
        current = rules
        if game == "md_gan":  # an iteration is a step of one round
            rounds = 1
            current = rules.model_copy(update={"local_steps": count})
        for _ in range(rounds):
            played["round"] += 1
            played["state"], _ = current.play(engine, played["state"], played["round"])

    return iterate


def proportional(number: int | str) -> int:
    """Return the bytes of a process's memory, shared pages in parts."""
    lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def memory() -> dict[str, Any]:
    """Return the PSS of this process, of each player's, and of Ray's own together."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            _, _, fields = (place / "stat").read_text().rpartition(")")
            parents[int(place.name)] = int(fields.split()[1])
        except OSError:
            continue
    family: set[int] = set()
    new = {os.getpid()}
    while new:
        family |= new
        new = {number for number, parent in parents.items() if parent in new} - family
    pss: dict[str, Any] = {"coordinator": 0, "players": [], "ray": 0}
    for number in sorted(family):
        title = Path(f"/proc/{number}/cmdline").read_bytes().decode(errors="replace")
        if number == os.getpid():
            pss["coordinator"] = proportional(number)
        elif "ray::Group" in title:
            pss["players"].append(proportional(number))
        else:
            pss["ray"] += proportional(number)
    return pss


def worker(variant: str, game: str, n: int, b: int) -> None:
    """Print the seconds of starting, those of one iteration for every line, last the memory."""
    processes, threads = VARIANTS[variant]
    begin = time.perf_counter()
    keep_freed_memory()
    engine: Engine = Local(threads=threads)
    if processes:
        engine = Ray(processes=processes, threads=threads)
    torch.set_num_threads(threads)
    iterate = seated(game, n, b, engine)
    print(time.perf_counter() - begin, flush=True)
    iterate(1)
    for line in sys.stdin:
        begin = time.perf_counter()
        iterate(int(line))
        print((time.perf_counter() - begin) / int(line), flush=True)
    print(json.dumps(memory()), flush=True)
    engine.close()
    engine.finish()


def opened(variant: str, game: str, n: int, b: int) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--worker", variant, game, str(n), str(b)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def measured(case: Case, turns: int) -> dict[str, Any]:
    """Measure all variants of a case, turn by turn."""
    game, n, b, iterations, variants = case
    workers = {variant: opened(variant, game, n, b) for variant in variants}
    cases: dict[str, Any] = {}
    for variant, process in workers.items():
        assert process.stdout
        cases[variant] = {"start_seconds": float(process.stdout.readline()), "seconds": []}
    for turn, (variant, process) in product(range(turns), workers.items()):
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{iterations}\n")
        process.stdin.flush()
        value = float(process.stdout.readline())
        if turn:  # the first warms up
            cases[variant]["seconds"].append(value)
    for variant, process in workers.items():
        out, _ = process.communicate()
        cases[variant]["pss_bytes"] = json.loads(out)
    for variant in variants:
        pairs = zip(cases[variant]["seconds"], cases[variants[0]]["seconds"], strict=True)
        cases[variant] |= {
            "median_seconds": statistics.median(cases[variant]["seconds"]),
            "ratio": statistics.median(mine / local for mine, local in pairs),
        }
    return cases


def start_alone(variant: str) -> float:
    """Return the seconds until players are ready, with nothing else running."""
    process = opened(variant, "md_gan", 10, 10)
    assert process.stdout
    seconds = float(process.stdout.readline())
    process.communicate()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    cases = {}
    for label, case in (QUICK if given.quick else CASES).items():
        cases[label] = measured(case, 3 if given.quick else TURNS)
        for variant, values in cases[label].items():
            players = values["pss_bytes"]["players"]
            each = f", {statistics.mean(players) / 2**20:.0f} MiB a process" if players else ""
            text = f"{1000 * values['median_seconds']:8.1f} ms  {values['ratio']:.2f} x{each}"
            print(f"{label:24} {variant:28} {text}", flush=True)
    starts = {variant: start_alone(variant) for variant in BOTH}
    rounded = {variant: round(seconds, 1) for variant, seconds in starts.items()}
    print(f"start-up, seconds: {rounded}")
    if not given.quick:
        common.save("ray_speed", {"turns": TURNS - 1, "cases": cases, "start_seconds": starts})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        main()
