"""MD-GAN beside FL-GAN, pooled and isolated: the second paper's comparison on Fashion-MNIST (papers: arXiv:1811.03850).

python reproductions/md_gan/run.py --folder FOLDER                       # every method and seed; writes results/*.json
python reproductions/md_gan/run.py --folder FOLDER --methods md_gan pooled --seeds 1
python reproductions/md_gan/run.py --folder FOLDER --sets paper_length --device auto    # on a GPU, if there is one
python reproductions/md_gan/run.py --folder FOLDER --collect             # plays nothing, writes what is finished

Runs lie in runs/md_gan/; one that was cut off is resumed. What a finished run gave is kept in results/runs/, and such a run is
not played again. FOLDER holds Fashion-MNIST's four IDX files; for the set mnist_10k, played by itself, MNIST's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import sweep  # noqa: E402

from coplay.core import storage  # noqa: E402
from coplay.core.memory import keep_freed_memory  # noqa: E402
from coplay.core.space import Space  # noqa: E402
from coplay.core.streams import stream  # noqa: E402
from coplay.metrics.base import LABEL, Observed, Reference  # noqa: E402
from coplay.metrics.train_on_synthetic import TrainOnSynthetic  # noqa: E402
from coplay.models.acgan import Acgan  # noqa: E402
from coplay.run.config import Config  # noqa: E402
from coplay.run.record import RoundRecord  # noqa: E402
from coplay.run.result import Result  # noqa: E402

RUNS = Path("runs") / "md_gan"
KEPT = HERE / "results" / "runs"
SEEDS = (1, 2, 3)
QUANTITIES = ("fid", "domain_score", "mode_cover")
TWO_CLASSES = {
    f"player{i}": [i, (i + 1) % 10] for i in range(10)
}  # every class at two workers, every worker two classes
SHORT = {"game.rounds": 30, "game.local_steps": 100, "measure.every_rounds": 10}
SHORTER = {"game.rounds": 10, "game.local_steps": 100, "measure.every_rounds": 5}
SETS: dict[str, dict[str, dict[str, Any]]] = {
    "iid": {
        "md_gan": {},
        "pooled": {"players": 1, "game.name": "isolated"},
        "fl_gan": {"game.name": "fl_gan"},
        "md_gan, k = 1": {"game.batches": 1},
        "md_gan, no swap": {"game.swap_every_epochs": 0},
        "md_gan, k = 1, no swap": {"game.batches": 1, "game.swap_every_epochs": 0},
        "isolated": {"game.name": "isolated", "game.once": True},
    },
    "two_classes": {
        name: {"data.partition": {"name": "by_class", "classes": TWO_CLASSES}, **settings}
        for name, settings in {
            "md_gan": {},
            "fl_gan": {"game.name": "fl_gan"},
            "md_gan, no swap": {"game.swap_every_epochs": 0},
            "md_gan, swap every 0.1 epochs": {"game.swap_every_epochs": 0.1},
            "isolated": {"game.name": "isolated", "game.once": True},
        }.items()
    },
    "crashes": {
        "md_gan, one leaves every I/10": {"game.leave_evenly": True, "measure.every_rounds": 3}
    },
    "paper_length": {"md_gan": {"game.rounds": 100, "measure.every_rounds": 10}},
    "batch_100": {
        "md_gan": {"model.batch": 100, **SHORT},
        "fl_gan": {"model.batch": 100, "game.name": "fl_gan", **SHORT},
        "pooled": {"model.batch": 100, "players": 1, "game.name": "isolated", **SHORT},
    },
    "workers": {f"md_gan, N = {n}": {"players": n, **SHORT} for n in (1, 25, 50)},
    "mnist_10k": {
        "md_gan": SHORT,
        "fl_gan": {"game.name": "fl_gan", **SHORT},
        "pooled": {"players": 1, "game.name": "isolated", **SHORT},
    },
    "cnn": {
        "md_gan": {"model.network": "cnn", **SHORTER},
        "fl_gan": {"model.network": "cnn", "game.name": "fl_gan", **SHORTER},
        "pooled": {"model.network": "cnn", "players": 1, "game.name": "isolated", **SHORTER},
    },
}
ONE_SEED = {"crashes", "paper_length", "batch_100", "workers", "mnist_10k", "cnn"}
FASHION = "Fashion-MNIST: 60,000 images dealt out, 10,000 test images to measure against"
DATA = {"mnist_10k": "mnist-10k: 8,000 images dealt out, 2,000 test images to measure against"}
"""Of sets that are played on other data than Fashion-MNIST; ``--folder`` is then theirs."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", required=True, help="four IDX files")
    parser.add_argument(
        "--sets", nargs="+", choices=SETS, default=["iid", "two_classes", "crashes"]
    )
    parser.add_argument("--methods", nargs="+", help="only these methods of a set")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--threads", type=int, default=1, help="of torch; figures were made with 1")
    parser.add_argument(
        "--device", default="cpu", help="where networks compute; figures were made with cpu"
    )
    parser.add_argument(
        "--collect", action="store_true", help="play nothing, collect what is finished"
    )
    given = parser.parse_args()
    keep_freed_memory()
    folder = str(Path(given.folder).resolve())
    for name in given.sets:
        seeds = given.seeds[:1] if name in ONE_SEED else given.seeds
        methods = {m: s for m, s in SETS[name].items() if not given.methods or m in given.methods}
        if not given.collect:
            for seed in seeds:
                for method, settings in methods.items():
                    play(
                        name,
                        method,
                        {"model.device": given.device, **settings},
                        seed,
                        folder,
                        given.threads,
                    )
        collect(name)


def config(settings: dict[str, Any], seed: int, folder: str, threads: int) -> Config:
    """The config of one run."""
    values = {
        "data.source.folder": folder,
        "engine": {"name": "local", "threads": threads},
        **settings,
        "seed": seed,
    }
    return Config.from_file(HERE / "fashion_mnist.toml", sweep.settings(values))


def place(name: str, method: str, seed: int) -> Path:
    """Folder of one run."""
    words = method.replace(",", "").replace(" = ", "").replace("/", "-").replace(" ", "_")
    return RUNS / f"{name}-{words}-{seed}"


def play(
    name: str, method: str, settings: dict[str, Any], seed: int, folder: str, threads: int
) -> None:
    """Play one run to its end, train a classifier on what it generates, keep the figures."""
    here, wanted = place(name, method, seed), config(settings, seed, folder, threads)
    sweep.once(
        KEPT / f"{here.name}.json",
        here,
        wanted,
        RUNS / f"classifier-{f'{name}-' if name in DATA else ''}{seed}.safetensors",
        lambda result: figures(result, accuracies(here, wanted), threads),
    )


def figures(result: Result, accuracy: dict[str, float], threads: int) -> dict[str, Any]:
    """What one run gave."""
    rows, last = result.main.rows, next(iter(result.main.last.values()))
    return {
        "seed": result.config.seed,
        "iterations": len(rows) * result.config.game.local_steps,
        "threads": threads,
        "versions": dict(result.record.versions),
        "classifier": asdict(result.record.classifier),
        "trained_on_synthetic_accuracy": accuracy["last"],
        "trained_on_synthetic_accuracy_of_running_mean": accuracy["mean"],
        **{q: last[q].value for q in QUANTITIES},
        **{f"{q}_by_iteration": _curve(result, q) for q in QUANTITIES},
        "bytes": sum(row.bytes for row in rows),
        "flops_by_player": _flops(rows),
        "seconds_playing": sum(
            row.seconds[k] for row in rows for k in ("learning", "sampling", "exchange")
        ),
        "lost": {k: v.reason for row in rows for k, v in row.lost.items()},
    }


def accuracies(here: Path, wanted: Config) -> dict[str, float]:
    """Accuracy on real test images of the fixed classifier recipe, trained on 60,000 images with their classes.

    Of the generator's last parameters, as in the paper, and of their running mean.
    """
    data = wanted.data.source.load()
    classifier = Result.load(here).classifier()
    assert classifier is not None
    reference = Reference(
        data.space.only(data.inputs).restrict(data.test), classifier, data.test[LABEL]
    )
    found = {}
    for which in ("last", "mean"):
        model = generator(here, wanted, data.space, last=which == "last")
        metric = TrainOnSynthetic()
        drawn = model.sample(metric.samples, stream(wanted.seed, "train on synthetic"))
        stat = metric.observe(Observed(drawn, reference))
        found[which] = float(stat.result()["trained_on_synthetic_accuracy"].value)  # type: ignore[arg-type]
    return found


def generator(here: Path, wanted: Config, space: Space, last: bool) -> Acgan:
    """The generator that a run ended with."""
    models = Result.load(here).main.folder / "models"
    who = (
        "server"
        if (models / "server.safetensors").exists()
        else next(iter(sorted(models.glob("*")))).stem
    )
    state = storage.unnest(storage.load_tensors(models / f"{who}.safetensors"))["model"]
    model = wanted.model.fresh()
    assert isinstance(model, Acgan)
    if last:
        model = model.model_copy(update={"average": 0.0}).fresh()
    model.setup(space, 0)
    model.load_state_dict({k: v for k, v in state.items() if not (last and k.startswith("mean/"))})
    return model


def collect(name: str) -> None:
    """Write what is finished of one set."""
    found: dict[str, Any] = {}
    for method in SETS[name]:
        paths = [KEPT / f"{place(name, method, seed).name}.json" for seed in SEEDS]
        runs = [storage.read_json(path) for path in paths if path.exists()]
        if not runs:
            continue
        spreads = (
            "trained_on_synthetic_accuracy",
            "trained_on_synthetic_accuracy_of_running_mean",
            *QUANTITIES,
        )
        found[method] = {
            "seeds": [run["seed"] for run in runs],
            "iterations": runs[0]["iterations"],
            **{q: sweep.spread([run[q] for run in runs]) for q in (*spreads, "seconds_playing")},
            **{f"{q}_by_iteration": [run[f"{q}_by_iteration"] for run in runs] for q in QUANTITIES},
            **{q: runs[0][q] for q in ("bytes", "flops_by_player", "lost")},
        }
        print(
            f"{name:12} {method:32} accuracy {found[method]['trained_on_synthetic_accuracy']['mean']:.3f} "
            f"FID {found[method]['fid']['mean']:.1f}  (seeds {found[method]['seeds']})"
        )
    if found:
        sweep.save(
            HERE / "results" / f"{name}.json",
            f"python reproductions/md_gan/run.py --folder FOLDER --sets {name}",
            {
                "data": DATA.get(name, FASHION),
                "samples": {"fid": 2000, "trained_on_synthetic_accuracy": 60000},
                "methods": found,
            },
        )


def _curve(result: Result, quantity: str) -> dict[int, float]:
    steps = result.config.game.local_steps
    found = result.main.measurements.items()
    # before FL-GAN first averages there is nobody to measure
    return {r * steps: next(iter(m.values()))[quantity].value for r, m in found if m}


def _flops(rows: Sequence[RoundRecord]) -> dict[str, float]:
    total: dict[str, float] = {}
    for row in rows:
        for player, numbers in row.players.items():
            total[player] = total.get(player, 0.0) + numbers.get("flops", 0.0)
    return total


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
