"""What makes the classes of an ACGAN hold: single settings of the CNN pair, over updates.

One GAN learns all of MNIST-10k with batches of ten, as in the pooled runs beside MD-GAN. After 500,
1,000 and 2,000 updates 2,000 images are drawn: how often the classifier of real images finds the
class that was asked for, the Fréchet distance and, at the end, what a classifier learns from drawn
images alone.

    python benchmarks/acgan_classes.py --mnist FOLDER
    python benchmarks/acgan_classes.py --mnist FOLDER --variants "shift" --seeds 1 2 3

Results are added to ``benchmarks/results/acgan_classes.json`` cell by cell; what is there is not
measured again. Settings that are named here and not of ``acgan`` are tried here alone.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from common import ROOT, save
from images import DRAWN, Task, task_of
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from coplay.core.memory import keep_freed_memory
from coplay.core.space import LABEL, Samples
from coplay.core.streams import isolated_seed, stream
from coplay.metrics.base import Observed, measured
from coplay.metrics.fid import Fid
from coplay.metrics.train_on_synthetic import TrainOnSynthetic
from coplay.models.acgan import Acgan
from coplay.models.base import OWN, Mixture, Portion
from coplay.nets.gan_losses import GanLosses

UPDATES = (500, 1000, 2000)
FILE = ROOT / "benchmarks" / "results" / "acgan_classes.json"


@dataclass(frozen=True)
class OtherLosses(GanLosses):
    """Losses with weights of their parts, and with labels that are sometimes wrong.

    Args:
        fake_classes: Weight of the discriminator's class term on generated images.
        wanted_class: Weight of the generator's class term.
        wrong: Share of the labels real and generated that are exchanged.
    """

    fake_classes: float = 1.0
    wanted_class: float = 1.0
    wrong: float = 0.0

    def discriminator(
        self, logits: Tensor, real_classes: Tensor | None, fake_classes: Tensor | None
    ) -> Tensor:
        """Mean loss over two batches of equal size, real ones first."""
        assert real_classes is not None
        assert fake_classes is not None
        half = logits.shape[-2] // 2
        sign = torch.ones(2 * half)
        sign[:half] = -1
        sign = torch.where(torch.rand(2 * half) < self.wrong, -sign, sign)
        weight = torch.ones(2 * half)
        weight[half:] = self.fake_classes
        term = self._wrong_class(logits, torch.cat([real_classes, fake_classes], -1))
        adversarial = F.softplus(sign * logits[..., 0])
        return 2 * (adversarial + weight * term).mean(-1)

    def generator(self, logits: Tensor, classes: Tensor | None) -> Tensor:
        """The generator's loss per sample."""
        adversarial = F.softplus(-logits[..., 0])
        return adversarial + self.wanted_class * self._wrong_class(logits, classes)


class OtherAcgan(Acgan):
    """An ACGAN with other losses or networks than the library's.

    Args:
        fake_classes, wanted_class, wrong: As of :class:`OtherLosses`.
        initial: Standard deviation of all initial weights but the classes'; 0 leaves torch's own.
        spectral: Whether the discriminator's layers have spectral norm 1.
        slower: Factor of the discriminator's learning rate.
    """

    fake_classes: float = 1.0
    wanted_class: float = 1.0
    wrong: float = 0.0
    initial: float = 0.0
    spectral: bool = False
    slower: float = 1.0

    @property
    def losses(self) -> OtherLosses:
        """The losses of both sides."""
        own = {name: getattr(self, name) for name in ("fake_classes", "wanted_class", "wrong")}
        return OtherLosses(saturating=False, class_term=True, **own)

    def prepare(self, seed: int) -> None:
        """Change the networks before anything is learned."""
        discriminator = self.half("discriminator")
        with isolated_seed(seed):
            for layer in (*self.half("generator").modules(), *discriminator.modules()):
                self._change(layer)
        if self.spectral:
            for layer in list(discriminator.modules()):
                if isinstance(layer, nn.Linear | nn.Conv2d):
                    spectral_norm(layer)
        group = self.optimiser("discriminator").param_groups[0]
        group["params"] = list(discriminator.parameters())
        group["lr"] *= self.slower
        self.take(self.export(["generator"]), "itself")  # the running mean begins there, too

    def _change(self, layer: nn.Module) -> None:
        if not self.initial or isinstance(layer, nn.Embedding):
            return
        if isinstance(getattr(layer, "weight", None), Tensor):
            nn.init.normal_(layer.weight, 0.0, self.initial)
        if isinstance(getattr(layer, "bias", None), Tensor):
            nn.init.zeros_(layer.bias)


SHIFT = {"class_input": "shift"}
SCALE = {"class_input": "scale"}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "as in the paper": SCALE,
    "shift": SHIFT,
    "class term on real images alone": {**SCALE, "fake_classes": 0.0},
    "shift, class term on real images alone": {**SHIFT, "fake_classes": 0.0},
    "shift, generator's class term × 0.3": {**SHIFT, "wanted_class": 0.3},
    "shift, generator's class term × 3": {**SHIFT, "wanted_class": 3.0},
    "shift, learning rate × 2.5": {**SHIFT, "learning_rate": 5e-4},
    "shift, discriminator's learning rate × 0.5": {**SHIFT, "slower": 0.5},
    "shift, initial weights N(0, 0.02²)": {**SHIFT, "initial": 0.02},
    "shift, spectral norm": {**SHIFT, "spectral": True},
    "shift, 5 % of labels wrong": {**SHIFT, "wrong": 0.05},
    "shift, no running mean": {**SHIFT, "average": 0.0},
}


@dataclass(frozen=True)
class Cell:
    """One variant from one seed, after some updates."""

    variant: str
    seed: int
    updates: int
    seconds: float = 0.0
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[object, ...]:
        """What it is one cell of."""
        return self.variant, self.seed, self.updates


def cells_of(task: Task, variant: str, seed: int, say: Callable[[Cell], None]) -> list[Cell]:
    """Let one variant learn, and measure it after each number of updates."""
    model = OtherAcgan(network="cnn", **VARIANTS[variant])
    model.setup(task.data.space, seed)
    model.prepare(seed)
    own = Mixture((Portion(OWN, task.data.train, 1.0),))
    done = 0
    seconds = 0.0
    cells = []
    torch.manual_seed(seed)
    for updates in UPDATES:
        start = time.process_time()
        model.learn(own, updates - done, stream(seed, "learn", done))
        seconds += time.process_time() - start
        done = updates
        drawn = model.sample(DRAWN, stream(seed, "draw", updates))
        values = scores(task, drawn, last=updates == UPDATES[-1])
        values["asked_class"] = share_as_asked(task, drawn)
        cells.append(Cell(variant, seed, updates, seconds, values))
        say(cells[-1])
    return cells


def scores(task: Task, drawn: Samples, last: bool) -> dict[str, float]:
    """Return the Fréchet distance and, at the end, the accuracy after training on drawn images."""
    values = {}
    for metric in (Fid(), TrainOnSynthetic()) if last else (Fid(),):
        results, reason = measured(metric, Observed(drawn, task.reference))
        assert not reason, reason
        values |= {name: result.value for name, result in results.items() if result.is_scalar}
    return values


def share_as_asked(task: Task, drawn: Samples) -> float:
    """Return the share of drawn images in which the classifier finds the class asked for."""
    likeliest = task.classifier.probabilities(drawn.select("image")).argmax(-1)
    return float((likeliest == drawn[LABEL]).double().mean())


def main() -> None:
    """Measure what is not measured yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", required=True, help="folder of four IDX files")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    arguments = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    task = task_of("MNIST-10k", str(Path(arguments.mnist).resolve()))
    for seed in arguments.seeds:
        for variant in arguments.variants:
            known = {Cell(**cell).key for cell in _kept()}
            if all((variant, seed, updates) in known for updates in UPDATES):
                continue
            cells = cells_of(task, variant, seed, lambda cell: print(cell, flush=True))
            keys = {cell.key for cell in cells}
            kept = [cell for cell in _kept() if Cell(**cell).key not in keys]
            about = {
                "command": "python benchmarks/acgan_classes.py --mnist FOLDER",
                "drawn": DRAWN,
                "learned from": len(task.data.train),
                "classifier's accuracy": task.classifier.accuracy,
            }
            save("acgan_classes", {"about": about, "cells": [*kept, *map(asdict, cells)]})


def _kept() -> list[dict[str, Any]]:
    return json.loads(FILE.read_text())["cells"] if FILE.exists() else []


if __name__ == "__main__":
    main()
