"""Time of one learning step of convolutional players: default allocator and unfused Adam against what coplay runs with.

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
# the four players of the authors' Fashion-MNIST experiment (arXiv:2511.01740, IV-B), by latents and channels
_FOUR = (((4, 8), 2), ((8, 16), 4), ((12, 24), 8), ((16, 32), 16))
_COMMON = {
    "convolutions": "reference",
    "prior": "independent",
    "generated": 0.5,
    "generated_after": 0,
}
_REFERENCE = [{**_COMMON, "latents": z, "channels": c, "classifier_channels": c} for z, c in _FOUR]
PLAYERS = {
    "conv_hvae": ("conv_hvae", 100, [{}]),
    "joint_classifier": ("joint_classifier", 100, [{}]),
    "reference players, batch 100": ("joint_classifier", 100, _REFERENCE),
    "reference players, 100 own + 300 received": ("joint_classifier", 400, _REFERENCE),
}

WORKER = """
import sys, time, torch
from coplay import Space, Variable, find
from coplay.core.memory import keep_freed_memory
from coplay.models.base import OWN, Mixture, Portion
from coplay.core.streams import stream
kept, name, players = eval(sys.argv[1])
torch.set_num_threads(2)
if kept:
    keep_freed_memory()
space = Space({"image": Variable(kind="real", shape=(28, 28), low=0, high=1),
               "class": Variable(kind="categorical", classes=10)})
images = torch.rand(1000, 28, 28, generator=stream(1))
mixture = Mixture((Portion(OWN, space.samples(**{"image": images, "class": torch.arange(1000) % 10}), 1.0),))
models = [find("model", name)(**settings) for settings in players]
for seed, model in enumerate(models):
    model.setup(space, seed)
    model.learn(mixture, 2, stream(2))
for line in sys.stdin:
    begin, steps = time.perf_counter(), int(line)
    for _ in range(steps):
        for model in models:
            model.learn(mixture, 1, stream(3))
    print((time.perf_counter() - begin) / steps, flush=True)
"""


def main() -> None:
    rows = {}
    for label, (name, batch, players) in PLAYERS.items():
        workers = {}
        for variant, v in VARIANTS.items():
            if "precision" in v and len(players) > 1:
                continue  # where the processor has no bfloat16 that would take an hour
            varied = {"batch": batch} | {key: value for key, value in v.items() if key != "kept"}
            told = repr((v["kept"], name, [player | varied for player in players]))
            workers[variant] = subprocess.Popen(
                [sys.executable, "-c", WORKER, told],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        seconds: dict[str, list[float]] = {variant: [] for variant in workers}
        for turn, (variant, worker) in product(range(TURNS), workers.items()):
            worker.stdin.write(f"{STEPS if len(players) == 1 else 1}\n")
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
                "ratio": statistics.median(
                    v / d for v, d in zip(values, seconds["default"], strict=True)
                ),
                "seconds": values,
            }
            for variant, values in seconds.items()
        }
        for variant, row in rows[label].items():
            print(
                f"{label:42} {variant:30} {1000 * row['median_seconds']:7.1f} ms  {row['ratio']:5.2f} x",
                flush=True,
            )
    common.save("step_time", {"image": "28×28", "turns": TURNS - 1, "models": rows})


if __name__ == "__main__":
    main()
