"""Time of one learning step of the convolutional models: default allocator and unfused Adam against what coplay runs with.

python benchmarks/step_time.py          # worker processes that alternate; writes benchmarks/results/step_time.json

The allocator's setting is the process's and cannot be taken back, so every variant has a process of its own, and only one of
them computes at a time.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from itertools import product

import common

STEPS, TURNS = 5, 6
VARIANTS = {
    "default": {"kept": False, "fused": False},
    "fused Adam": {"kept": False, "fused": True},
    "freed memory kept": {"kept": True, "fused": False},
    "both (coplay's command line)": {"kept": True, "fused": True},
    "both, channels last": {"kept": True, "fused": True, "layout": "channels_last"},
    "both, bfloat16": {"kept": True, "fused": True, "precision": "bfloat16"},
}
MODELS = {"conv_hvae": {}, "joint_classifier": {}}

WORKER = """
import sys, time, torch
from coplay import Space, Variable, find
from coplay.memory import keep_freed_memory
from coplay.models.base import Mixture, Part
from coplay.streams import stream
kept, name, settings = eval(sys.argv[1])
torch.set_num_threads(1)
if kept:
    keep_freed_memory()
space = Space({"image": Variable(kind="real", shape=(28, 28), low=0, high=1),
               "class": Variable(kind="categorical", classes=10)})
images = torch.rand(1000, 28, 28, generator=stream(1))
mixture = Mixture((Part("own", space.samples(**{"image": images, "class": torch.arange(1000) % 10}), 1.0),))
model = find("model", name)(batch=100, **settings)
model.setup(space, 1)
model.learn(mixture, 2, stream(2))
for line in sys.stdin:
    begin = time.perf_counter()
    model.learn(mixture, int(line), stream(3))
    print((time.perf_counter() - begin) / int(line), flush=True)
"""


def main() -> None:
    rows = {}
    for label, settings in MODELS.items():
        workers = {}
        for variant, v in VARIANTS.items():
            told = repr((v["kept"], label.partition(",")[0], settings | {k: x for k, x in v.items() if k != "kept"}))
            workers[variant] = subprocess.Popen(
                [sys.executable, "-c", WORKER, told], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        seconds: dict[str, list[float]] = {variant: [] for variant in workers}
        for turn, (variant, worker) in product(range(TURNS), workers.items()):
            worker.stdin.write(f"{STEPS}\n")
            worker.stdin.flush()
            value = float(worker.stdout.readline())
            if turn:  # the first warms up
                seconds[variant].append(value)
        for worker in workers.values():
            worker.stdin.close()
            worker.wait()
        rows[label] = {
            variant: {
                "median_seconds": statistics.median(values),
                "ratio": statistics.median(v / d for v, d in zip(values, seconds["default"], strict=True)),
                "seconds": values,
            }
            for variant, values in seconds.items()
        }
        for variant, row in rows[label].items():
            print(f"{label:24} {variant:30} {1000 * row['median_seconds']:7.1f} ms  {row['ratio']:5.2f} x", flush=True)
    common.save("step_time", {"batch": 100, "image": "28×28", "turns": TURNS - 1, "models": rows})


if __name__ == "__main__":
    main()
