"""Does a joint model of image and class classify as well as its classifier trained alone?

Both learn from batches drawn alike, for the same steps at the same rates; the joint model has ten
minutes on 2 cores. The data sets are played one by one, each with its folder of IDX files:

python -m reproductions joint_classifier --folder MNIST --arms mnist-10k
python -m reproductions joint_classifier --folder FASHION --arms fashion-mnist
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from coplay.core.streams import stream
from coplay.data.sources.base import LABEL, Dataset
from coplay.data.sources.idx import Idx
from coplay.models.base import OWN, Mixture, Portion
from coplay.models.joint_classifier import JointClassifier
from coplay.report.figures import image_grid
from coplay.run.versions import versions

from ..experiment import Cell, Experiment, Figures, Runs, Settings, Summary
from ..markdown import format_spread, listing, table
from ..spreads import spread

STEPS = 2400
TURNS = 8  # after each of them the time left is printed
SHOWN = 10  # images of every class in a picture
ARMS: Mapping[str, Settings] = {
    "mnist-10k": {"grey": False, "draw": "sample"},
    "fashion-mnist": {"grey": True, "draw": "mean"},
}


class ClassifierAlone(JointClassifier):
    """The same network p(c|x) and nothing else."""

    def sides(self) -> Mapping[str, list[nn.Parameter]]:
        """Return the parameters of the classifier."""
        return {"classifier": list(self._net.classifier.parameters())}

    def losses(self, mixture: Mixture, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
        """Yield the cross entropy on a batch."""
        yield "classifier", self._wrong(*self._tensors(mixture.batch(self.batch, generator)))


def accuracies_table(summary: Summary) -> str:
    """Test accuracy of the joint model and of the classifier alone, by data set."""
    rows = []
    for name, data in summary["data"].items():
        accuracies = []
        for which in ("joint", "alone"):
            mean = 100 * data[which]["mean"]
            deviation = 100 * data[which]["std"]
            accuracies.append(f"{mean:.2f} ± {deviation:.2f} %")
        sizes = f"{name} ({data['train']:,} / {data['test']:,})"
        lost = format_spread(data["points_lost"], 2)
        rows.append([sizes, *accuracies, lost, f"{data['seconds']['mean']:.0f}"])
    columns = ["data", "test accuracy, joint", "classifier alone", "points lost", "seconds, joint"]
    first = next(iter(summary["data"].values()))
    commands = " and ".join(f"`{EXPERIMENT.command} --arms {name}`" for name in summary["data"])
    return (
        f"{table(columns, rows)}\n\n{first['steps']:,} steps, seeds {listing(summary['seeds'])}; "
        f"mean ± standard deviation. {commands}."
    )


class JointAndAlone(Experiment):
    """A joint model of image and class, beside its classifier trained alone."""

    def measure(self, cells: Sequence[Cell], play: bool) -> Iterator[tuple[Cell, Figures]]:
        """Train both models for every cell; what was cut off begins anew."""
        if not play:
            return
        for cell in cells:
            yield cell, self._play(cell)

    def _play(self, cell: Cell) -> Figures:
        """Train both models, draw pictures with the joint one."""
        arm = self.arms[cell.arm]
        data = Idx(folder=cell.folder, grey=arm["grey"]).load()
        settings = {
            "hold_steps": STEPS // 2,
            "decay_steps": STEPS // 2,
            "draw": arm["draw"],
        }
        joint = JointClassifier(**settings)
        accuracy, seconds = train(joint, data, cell.seed)
        alone, _ = train(ClassifierAlone(**settings), data, cell.seed)
        classes = torch.arange(10).repeat(SHOWN)
        drawn = joint.sample_given(classes, len(classes), stream(cell.seed, "shown"))
        picture = self.runs / cell.place / "drawn.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(image_grid(drawn["image"]))
        return {
            "seed": cell.seed,
            "versions": versions(),
            "train": len(data.train),
            "test": len(data.test),
            "steps": STEPS,
            "joint": accuracy,
            "alone": alone,
            "seconds": seconds,
        }

    def collect(self, runs: Runs) -> Summary:
        """Return accuracies and points lost, by data set."""
        data = {}
        for arm in self.arms:
            if arm in runs:
                data[arm] = _summary_of_data(list(runs[arm].values()))
        seeds = sorted({seed for by_seed in runs.values() for seed in by_seed})
        return {"seeds": seeds, "data": data}


def _summary_of_data(each: Sequence[Figures]) -> dict[str, Any]:
    """Return means over seeds on one data set."""
    lost = [100 * (run["alone"] - run["joint"]) for run in each]
    return {
        "train": each[0]["train"],
        "test": each[0]["test"],
        "steps": each[0]["steps"],
        "joint": spread([run["joint"] for run in each]),
        "alone": spread([run["alone"] for run in each]),
        "points_lost": spread(lost),
        "seconds": spread([run["seconds"] for run in each]),
    }


def train(model: JointClassifier, data: Dataset, seed: int) -> tuple[float, float]:
    """Train a model and return its accuracy on the test split, and seconds."""
    torch.set_num_threads(1)
    model.setup(data.space, seed)
    mixture = Mixture((Portion(OWN, data.train, 1.0),))
    began = time.perf_counter()
    for turn in range(TURNS):
        model.learn(mixture, STEPS // TURNS, stream(seed, "learn", turn))
        left = (time.perf_counter() - began) / (turn + 1) * (TURNS - turn - 1)
        which = f"{type(model).__name__}, seed {seed}"
        print(f"  {which}: {turn + 1} of {TURNS}, about {left:.0f} s left", flush=True)
    seconds = time.perf_counter() - began
    is_right = model.classify(data.test).argmax(1) == data.test[LABEL]
    return is_right.double().mean().item(), seconds


EXPERIMENT = JointAndAlone(
    name="joint_classifier",
    arms=ARMS,
    data={
        "mnist-10k": "four IDX files of MNIST",
        "fashion-mnist": "four IDX files of Fashion-MNIST",
    },
    pictures={f"{arm}.png": f"{arm}-1/drawn.png" for arm in ARMS},
    tables={"joint_classifier": accuracies_table},
)
