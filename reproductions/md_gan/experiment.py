"""MD-GAN beside FL-GAN, pooled and isolated GANs: the comparison of arXiv:1811.03850.

python -m reproductions md_gan --folder FOLDER                       # iid, two_classes, crashes
python -m reproductions md_gan --folder FOLDER --arms iid/md_gan iid/pooled --seeds 1
python -m reproductions md_gan --folder FOLDER --arms paper_length
python -m reproductions md_gan --folder MNIST --arms mnist_10k mnist_10k_shift cnn_10k

FOLDER holds Fashion-MNIST's four IDX files; for groups whose name has 10k, played by themselves,
MNIST's. The paper's pairs multiply noise by a vector of the class; in groups that are called shift,
and in cnn_10k, another vector is added to it, without which classes take long to hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from coplay.core import storage
from coplay.core.nesting import unnest
from coplay.core.space import Space
from coplay.core.streams import stream
from coplay.metrics.base import LABEL, Observed, Reference
from coplay.metrics.train_on_synthetic import TrainOnSynthetic
from coplay.models.acgan import Acgan
from coplay.run.result import Result
from coplay.run.round_record import RoundRecord

from ..experiment import HERE, Cell, ConfigExperiment, Figures, Runs, Settings, Summary
from ..spreads import spread
from .tables import TABLES, headline

QUANTITIES = ("fid", "domain_score", "mode_cover")
ACCURACY = "trained_on_synthetic_accuracy"
SAMPLES = {"fid": 2000, ACCURACY: 60000}
FASHION = "Fashion-MNIST: 60,000 images dealt out, 10,000 test images to measure against"
MNIST = "mnist-10k: 8,000 images dealt out, 2,000 test images to measure against"

# Every class is at two workers, and every worker has two classes.
TWO_CLASSES = {f"player{i}": [i, (i + 1) % 10] for i in range(10)}
TWO_CLASSES_EACH = {"data.partition": {"name": "by_class", "classes": TWO_CLASSES}}
SHORT = {"game.rounds": 30, "game.local_steps": 100, "measure.every_rounds": 10}
SHORTER = {"game.rounds": 10, "game.local_steps": 100, "measure.every_rounds": 5}
FL_GAN = {"game.name": "fl_gan"}
POOLED = {"players": 1, "game.name": "isolated"}
ISOLATED = {"game.name": "isolated", "game.once": True}
SHIFT = {"model.class_input": "shift"}
LONG_CNN = {
    "model.network": "cnn",
    **SHIFT,
    "game.rounds": 100,
    "game.local_steps": 100,
    "measure.every_rounds": 10,
}
NO_SWAP = {"game.swap_every_epochs": 0}
ONE_BATCH = {"game.batches": 1}
GROUPS: Mapping[str, Mapping[str, Settings]] = {
    "iid": {
        "md_gan": {},
        "pooled": POOLED,
        "fl_gan": FL_GAN,
        "md_gan, k = 1": ONE_BATCH,
        "md_gan, no swap": NO_SWAP,
        "md_gan, k = 1, no swap": {**ONE_BATCH, **NO_SWAP},
        "isolated": ISOLATED,
    },
    "two_classes": {
        "md_gan": TWO_CLASSES_EACH,
        "fl_gan": {**TWO_CLASSES_EACH, **FL_GAN},
        "md_gan, no swap": {**TWO_CLASSES_EACH, **NO_SWAP},
        "md_gan, swap every 0.1 epochs": {**TWO_CLASSES_EACH, "game.swap_every_epochs": 0.1},
        "isolated": {**TWO_CLASSES_EACH, **ISOLATED},
    },
    "crashes": {
        "md_gan, one leaves every I/10": {"game.leave_evenly": True, "measure.every_rounds": 3}
    },
    "paper_length": {"md_gan": {"game.rounds": 100, "measure.every_rounds": 10}},
    "batch_100": {
        "md_gan": {"model.batch": 100, **SHORT},
        "fl_gan": {"model.batch": 100, **FL_GAN, **SHORT},
        "pooled": {"model.batch": 100, **POOLED, **SHORT},
    },
    "workers": {f"md_gan, N = {n}": {"players": n, **SHORT} for n in (1, 25, 50)},
    "mnist_10k": {
        "md_gan": SHORT,
        "fl_gan": {**FL_GAN, **SHORT},
        "pooled": {**POOLED, **SHORT},
    },
    "mnist_10k_shift": {
        "md_gan": {**SHIFT, **SHORT},
        "fl_gan": {**SHIFT, **FL_GAN, **SHORT},
        "pooled": {**SHIFT, **POOLED, **SHORT},
    },
    "cnn_10k": {
        "md_gan": LONG_CNN,
        "fl_gan": {**FL_GAN, **LONG_CNN},
        "pooled": {**POOLED, **LONG_CNN},
        "isolated": {**ISOLATED, **LONG_CNN},
    },
    "cnn": {
        "md_gan": {"model.network": "cnn", **SHORTER},
        "fl_gan": {"model.network": "cnn", **FL_GAN, **SHORTER},
        "pooled": {"model.network": "cnn", **POOLED, **SHORTER},
    },
}


OF_MNIST = tuple(group for group in GROUPS if "10k" in group)


def _arms() -> dict[str, Settings]:
    """All methods of all groups, by ``GROUP/METHOD``."""
    arms = {}
    for group, methods in GROUPS.items():
        for method, settings in methods.items():
            arms[f"{group}/{method}"] = settings
    return arms


class MdGan(ConfigExperiment):
    """MD-GAN and its baselines."""

    def measure(self, cells: Sequence[Cell], play: bool) -> Iterator[tuple[Cell, Figures]]:
        """Play and measure with one thread, since sums of floats depend on their number."""
        torch.set_num_threads(1)
        yield from super().measure(cells, play)

    def figures(self, result: Result) -> Figures:
        """Return scores of the running mean, and of a classifier trained on what is generated."""
        assert result.record.classifier is not None
        rows = result.main.rows
        last = next(iter(result.main.last.values()))
        curves = {f"{q}_by_iteration": _curve(result, q) for q in QUANTITIES}
        seconds = 0.0
        lost: dict[str, str] = {}
        for row in rows:
            seconds += sum(row.seconds[part] for part in ("learning", "sampling", "exchange"))
            lost |= {player: loss.reason for player, loss in row.lost.items()}
        return {
            "seed": result.config.seed,
            "iterations": len(rows) * result.config.game.local_steps,
            "threads": result.config.engine.threads,  # type: ignore[attr-defined]
            "versions": dict(result.record.versions),
            "classifier": asdict(result.record.classifier),
            ACCURACY: accuracy(result, of_last=True),
            f"{ACCURACY}_of_running_mean": accuracy(result, of_last=False),
            **{quantity: last[quantity].value for quantity in QUANTITIES},
            **curves,
            "bytes": sum(row.bytes for row in rows),
            "flops_by_player": _flops(rows),
            "seconds_playing": seconds,
            "lost": lost,
        }

    def collect(self, runs: Runs) -> Summary:
        """Return means over seeds by group and method."""
        summary = {}
        for group, methods in GROUPS.items():
            measured = {}
            for method in methods:
                by_seed = runs.get(f"{group}/{method}")
                if by_seed:
                    measured[method] = _summary_of_method(list(by_seed.values()))
                    print(_line(group, method, measured[method]))
            if measured:
                summary[group] = {
                    "command": f"{self.command} --arms {group}",
                    "data": MNIST if group in OF_MNIST else FASHION,
                    "samples": SAMPLES,
                    "methods": measured,
                }
        return summary


def _summary_of_method(each: Sequence[Figures]) -> dict[str, Any]:
    """Return means over seeds, and what is alike in all of them from the first."""
    averaged = (ACCURACY, f"{ACCURACY}_of_running_mean", *QUANTITIES, "seconds_playing")
    curves = tuple(f"{quantity}_by_iteration" for quantity in QUANTITIES)
    alike = ("bytes", "flops_by_player", "lost")
    return {
        "seeds": [run["seed"] for run in each],
        "iterations": each[0]["iterations"],
        **{quantity: spread([run[quantity] for run in each]) for quantity in averaged},
        **{curve: [run[curve] for run in each] for curve in curves},
        **{quantity: each[0][quantity] for quantity in alike},
    }


def _line(group: str, method: str, measured: Mapping[str, Any]) -> str:
    means = f"accuracy {measured[ACCURACY]['mean']:.3f} FID {measured['fid']['mean']:.1f}"
    return f"{group:12} {method:32} {means}  (seeds {measured['seeds']})"


def accuracy(result: Result, of_last: bool) -> float:
    """Return the accuracy, from 0 to 1, of a classifier that learned from generated images only.

    It is the fixed recipe of :class:`TrainOnSynthetic`, on all real test images.

    Args:
        result: A finished run.
        of_last: Whether images are drawn from the generator's last parameters, as in the paper,
            instead of their running mean.
    """
    config = result.config
    data = config.data.source.load()
    classifier = result.classifier()
    assert classifier is not None
    images = data.space.only(data.inputs).restrict(data.test)
    reference = Reference(images, classifier, data.test[LABEL])
    model = generator(result, data.space, of_last)
    metric = TrainOnSynthetic()
    drawn = model.sample(metric.samples, stream(config.seed, "train on synthetic"))
    values = metric.observe(Observed(drawn, reference)).result()
    return float(values[ACCURACY].value)  # type: ignore[arg-type]


def generator(result: Result, space: Space, of_last: bool) -> Acgan:
    """Return the generator that a run ended with.

    Args:
        result: A finished run.
        space: The variables it draws.
        of_last: Whether to draw from its last parameters instead of their running mean.
    """
    models = result.main.folder / "models"
    path = models / "server.safetensors"
    if not path.exists():
        # Without a server the first player's is measured.
        path = min(models.glob("*"))
    state = unnest(storage.load_tensors(path))["model"]
    model = result.config.model.fresh()
    assert isinstance(model, Acgan)
    if of_last:
        model = model.model_copy(update={"average": 0.0}).fresh()
        state = {key: value for key, value in state.items() if not key.startswith("mean/")}
    model.setup(space, 0)
    model.load_state_dict(state)
    return model


def _curve(result: Result, quantity: str) -> dict[int, Any]:
    """A quantity over generator updates."""
    steps = result.config.game.local_steps
    curve: dict[int, Any] = {}
    for round_, measured in result.main.measurements.items():
        # Before FL-GAN first averages there is nobody to measure.
        if measured:
            curve[round_ * steps] = next(iter(measured.values()))[quantity].value
    return curve


def _flops(rows: Sequence[RoundRecord]) -> dict[str, float]:
    """Floating-point operations of a run by player."""
    total: dict[str, float] = {}
    for row in rows:
        for player, numbers in row.players.items():
            total[player] = total.get(player, 0.0) + numbers.get("flops", 0.0)
    return total


EXPERIMENT = MdGan(
    name="md_gan",
    config=HERE / "md_gan" / "fashion_mnist.toml",
    common={"engine": {"name": "local", "threads": 1}, "model.device": "cpu"},
    arms=_arms(),
    usual=("iid", "two_classes", "crashes"),
    one_seed=("crashes", "paper_length", "batch_100", "workers", "mnist_10k", "cnn"),
    data={
        **dict.fromkeys(OF_MNIST, "four IDX files of MNIST"),
        "*": "four IDX files of Fashion-MNIST",
    },
    tables=TABLES,
    headline=headline,
)
