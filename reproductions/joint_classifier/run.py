"""Does a joint model of image and class classify as well as its classifier trained alone, and are its images acceptable?

python reproductions/joint_classifier/run.py --data mnist-10k=FOLDER --data fashion-mnist=FOLDER   # IDX folders

Both learn from batches drawn alike, for the same steps at the same rates; the joint model has ten minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import sweep  # noqa: E402

from coplay.core.streams import stream  # noqa: E402
from coplay.data.sources.base import LABEL, Dataset  # noqa: E402
from coplay.data.sources.idx import Idx  # noqa: E402
from coplay.models.base import OWN, Mixture, Portion  # noqa: E402
from coplay.models.joint_classifier import JointClassifier  # noqa: E402
from coplay.report.figures import image_grid  # noqa: E402

STEPS, TURNS = 2400, 8
SEEDS = (1, 2, 3)


class ClassifierAlone(JointClassifier):
    """The same network p(c|x) and nothing else."""

    def sides(self) -> Mapping[str, list[nn.Parameter]]:
        """The classifier's."""
        return {"classifier": list(self._net.classifier.parameters())}

    def losses(self, mixture: Mixture, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
        """Cross entropy on the batch."""
        yield "classifier", self._wrong(*self._tensors(mixture.batch(self.batch, generator)))


def train(model: JointClassifier, data: Dataset, seed: int, steps: int) -> tuple[float, float]:
    """Accuracy on the test split and seconds."""
    torch.set_num_threads(1)
    model.setup(data.space, seed)
    mixture, began = Mixture((Portion(OWN, data.train, 1.0),)), time.perf_counter()
    for turn in range(TURNS):
        model.learn(mixture, steps // TURNS, stream(seed, "learn", turn))
        left = (time.perf_counter() - began) / (turn + 1) * (TURNS - turn - 1)
        print(
            f"  {type(model).__name__}, seed {seed}: {turn + 1} of {TURNS}, about {left:.0f} s left",
            flush=True,
        )
    seconds = time.perf_counter() - began
    return (model.classify(data.test).argmax(1) == data.test[LABEL]).double().mean().item(), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", action="append", required=True, metavar="NAME=FOLDER")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"a multiple of {TURNS}")
    given = parser.parse_args()
    if given.steps < TURNS or given.steps % TURNS:
        parser.error(f"--steps: expected a multiple of {TURNS}, got {given.steps}")
    found = {}
    for item in given.data:
        name, _, folder = item.partition("=")
        grey = "fashion" in name
        data = Idx(folder=folder, grey=grey).load()
        settings = {
            "hold_steps": given.steps // 2,
            "decay_steps": given.steps // 2,
            "draw": "mean" if grey else "sample",
        }
        cells = []
        for seed in SEEDS:
            joint = JointClassifier(**settings)
            accuracy, seconds = train(joint, data, seed, given.steps)
            alone, _ = train(ClassifierAlone(**settings), data, seed, given.steps)
            cells.append({"seed": seed, "joint": accuracy, "alone": alone, "seconds": seconds})
            print(
                f"{name}, seed {seed}: joint {accuracy:.4f}, alone {alone:.4f}, {seconds:.0f} s",
                flush=True,
            )
            if seed == SEEDS[0]:
                shown = joint.sample_given(torch.arange(10).repeat(10), 100, stream(seed, "shown"))[
                    "image"
                ]
                (HERE / "results").mkdir(exist_ok=True)
                (HERE / "results" / f"{name}.png").write_bytes(image_grid(shown))
        found[name] = {
            "train": len(data.train),
            "test": len(data.test),
            "steps": given.steps,
            "joint": sweep.spread([c["joint"] for c in cells]),
            "alone": sweep.spread([c["alone"] for c in cells]),
            "points_lost": sweep.spread([100 * (c["alone"] - c["joint"]) for c in cells]),
            "seconds": sweep.spread([c["seconds"] for c in cells]),
        }
    command = "python reproductions/joint_classifier/run.py --data mnist-10k=FOLDER --data fashion-mnist=FOLDER"
    sweep.save(
        HERE / "results" / "joint_classifier.json", command, {"seeds": list(SEEDS), "data": found}
    )


if __name__ == "__main__":
    main()
