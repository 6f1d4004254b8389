"""Time of one learning step of convolutional players.

python benchmarks/step_time.py          # writes benchmarks/results/step_time.json

The default allocator and unfused Adam are compared with coplay's own settings. The allocator's
setting is the process's and cannot be undone, so every variant has a process of its own, and only
one of them computes at a time.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from itertools import product

import common

STEPS = 5
TURNS = 6
VARIANTS = {
    "default": {"keep_memory": False, "fused": False},
    "fused Adam": {"keep_memory": False, "fused": True},
    "freed memory kept": {"keep_memory": True, "fused": False},
    "both (coplay's command line)": {"keep_memory": True, "fused": True},
    "both, channels last": {"keep_memory": True, "fused": True, "layout": "channels_last"},
    "both, bfloat16": {"keep_memory": True, "fused": True, "precision": "bfloat16"},
}
# The four players of the authors' Fashion-MNIST experiment (arXiv:2511.01740, IV-B), by latents and
# channels.
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
keep_memory, name, players = eval(sys.argv[1])
torch.set_num_threads(2)
if keep_memory:
    keep_freed_memory()
space = Space({"image": Variable(kind="real", shape=(28, 28), low=0, high=1),
               "class": Variable(kind="categorical", classes=10)})
images = torch.rand(1000, 28, 28, generator=stream(1))
samples = space.samples(**{"image": images, "class": torch.arange(1000) % 10})
mixture = Mixture((Portion(OWN, samples, 1.0),))
models = [find("model", name)(**settings) for settings in players]
for seed, model in enumerate(models):
    model.setup(space, seed)
    model.learn(mixture, 2, stream(2))
for line in sys.stdin:
    steps = int(line)
    begin = time.perf_counter()
    for _ in range(steps):
        for model in models:
            model.learn(mixture, 1, stream(3))
    print((time.perf_counter() - begin) / steps, flush=True)
"""


def main() -> None:
    rows = {}
    for label, (name, batch, players) in PLAYERS.items():
        workers = {}
        for variant, settings in VARIANTS.items():
            if "precision" in settings and len(players) > 1:
                continue  # where the processor has no bfloat16 that would take an hour
            varied = {"batch": batch} | settings
            keep_memory = varied.pop("keep_memory")
            argument = repr((keep_memory, name, [player | varied for player in players]))
            workers[variant] = subprocess.Popen(
                [sys.executable, "-c", WORKER, argument],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        seconds: dict[str, list[float]] = {variant: [] for variant in workers}
        for turn, (variant, worker) in product(range(TURNS), workers.items()):
            steps = STEPS if len(players) == 1 else 1
            worker.stdin.write(f"{steps}\n")
            worker.stdin.flush()
            value = float(worker.stdout.readline())
            if turn:  # the first warms up
                seconds[variant].append(value)
        for worker in workers.values():
            worker.stdin.close()
            worker.wait()
        rows[label] = {}
        for variant, values in seconds.items():
            pairs = zip(values, seconds["default"], strict=True)
            median = statistics.median(values)
            ratio = statistics.median(value / default for value, default in pairs)
            rows[label][variant] = {"median_seconds": median, "ratio": ratio, "seconds": values}
            text = f"{1000 * median:7.1f} ms  {ratio:5.2f} x"
            print(f"{label:42} {variant:30} {text}", flush=True)
    common.save("step_time", {"image": "28×28", "turns": TURNS - 1, "models": rows})


if __name__ == "__main__":
    main()
