"""Learning on a GPU against the CPU: the time of a step, and how far the results differ.

python benchmarks/device.py                  # on this machine's accelerator
python benchmarks/device.py --device cpu     # a trial of this file, nothing written

It writes benchmarks/results/device.json. Both devices take turns in one process. A step of MD-GAN
is a global iteration of ten workers, with messages, checks and ledger.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import common
import torch
from torch import Tensor

from coplay import Player, Space, Variable, find
from coplay.core.errors import ModelError
from coplay.core.memory import keep_freed_memory
from coplay.core.streams import stream
from coplay.engines.local import Local
from coplay.games.md_gan import MdGan
from coplay.models.base import OWN, LocalModel, Mixture, Portion
from coplay.nets import devices

TURNS = 6
STEPS = 5
THREADS = 2
WORKERS = 10
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "conv_hvae, batch 100": ("conv_hvae", {"batch": 100}),
    "joint_classifier, batch 100": ("joint_classifier", {"batch": 100}),
    "joint_classifier, the paper's convolutions, batch 400": (
        "joint_classifier",
        {
            "batch": 400,
            "convolutions": "reference",
            "channels": 16,
            "classifier_channels": 16,
        },
    ),
    "conditionals, batch 32": ("conditionals", {"batch": 32, "sweeps": 3, "sample_sweeps": 4}),
}
GANS = {
    f"md_gan, {network}, b = {b}": (network, b)
    for network, b in (("mlp", 10), ("mlp", 100), ("cnn", 10))
}
SPACE = Space(
    {
        "image": Variable(kind="real", shape=(28, 28), low=0, high=1),
        "class": Variable(kind="categorical", classes=10),
    }
)
State = Mapping[str, Tensor]
Case = tuple[Callable[[int], None], Callable[[], State]]
"""A function that takes so many steps, and one that returns the model's state."""


def images() -> Any:
    x = torch.rand(1000, 28, 28, generator=stream(1, "images"))
    return SPACE.samples(**{"image": x, "class": torch.arange(1000) % 10})


def alone(name: str, settings: Mapping[str, Any], device: str) -> Case:
    model: LocalModel = find("model", name)(**settings, device=device)
    model.setup(SPACE, 1)
    mixture = Mixture((Portion(OWN, images(), 1.0),))
    generator = stream(1, "steps")

    def step(count: int) -> None:
        model.learn(mixture, count, generator)

    return step, model.state_dict


def gan(network: str, b: int, device: str) -> Case:
    model = find("model", "acgan")(network=network, batch=b, device=device)
    players = [Player(f"p{i}", SPACE, images(), model.fresh(), 1) for i in range(WORKERS)]
    players.append(Player("server", SPACE, SPACE.empty(), model.fresh(), 1))
    engine = Local(threads=THREADS)
    game = MdGan(local_steps=1, rounds=10**6, swap_every_epochs=0)
    engine.start(players, game)
    played: dict[str, Any] = {"round": 0, "state": game.start([p.name for p in players[:-1]], 1)}

    def step(count: int) -> None:
        for _ in range(count):
            played["round"] += 1
            played["state"], _ = game.play(engine, played["state"], played["round"])

    return step, players[-1].model.state_dict


def compared(make: Callable[[str], Case], device: str) -> dict[str, Any]:
    cases = {"cpu": make("cpu"), "device": make(device)}
    for step, _ in cases.values():
        step(STEPS)
    on_cpu, on_device = (learned() for _, learned in cases.values())
    differences = []
    for key, values in on_cpu.items():
        if values.numel():
            differences.append((values.double() - on_device[key].double()).abs().max().item())
    seconds: dict[str, list[float]] = {where: [] for where in cases}
    for turn, (where, (step, learned)) in product(range(TURNS), cases.items()):
        begin = time.perf_counter()
        step(STEPS)
        learned()  # waits for a device that computes on its own
        if turn:  # the first warms up
            seconds[where].append((time.perf_counter() - begin) / STEPS)
    ratios = [there / here for here, there in zip(seconds["cpu"], seconds["device"], strict=True)]
    return {
        f"largest_difference_after_{STEPS}_steps": max(differences),
        "ratio": statistics.median(ratios),
        **{f"{where}_seconds": statistics.median(values) for where, values in seconds.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    try:
        device = str(devices.resolve(given.device))
    except ModelError as error:
        sys.exit(str(error))
    if given.device == "auto" and device == "cpu":
        sys.exit("this machine has no accelerator that torch finds; nothing to measure")
    keep_freed_memory()
    torch.set_num_threads(THREADS)
    rows = {}
    makers = {label: lambda where, c=case: alone(*c, where) for label, case in MODELS.items()}
    makers |= {label: lambda where, c=case: gan(*c, where) for label, case in GANS.items()}
    for label, make in makers.items():
        row = compared(make, device)
        rows[label] = row
        on_device = f"{1000 * row['device_seconds']:8.1f} ms"
        on_cpu = f"{1000 * row['cpu_seconds']:8.1f} ms on the CPU"
        difference = row[f"largest_difference_after_{STEPS}_steps"]
        print(
            f"{label:55} {on_device} against {on_cpu}, "
            f"{row['ratio']:.2f} x; apart by {difference:.1e}",
            flush=True,
        )
    if device != "cpu":
        common.save(
            "device", {"device": device, "cpu_threads": THREADS, "turns": TURNS - 1, "cases": rows}
        )


if __name__ == "__main__":
    main()
