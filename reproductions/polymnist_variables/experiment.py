"""Does a player that classifies images gain from synthetic segmentations that it never had?

Experiment IV-C of arXiv:2511.01740.

python -m reproductions polymnist_variables --folder FOLDER                      # every arm
python -m reproductions polymnist_variables --folder FOLDER --arms plain synthetic --seeds 1

FOLDER holds four IDX files of MNIST.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from coplay import load_player
from coplay.core import storage
from coplay.core.space import pick
from coplay.core.streams import stream
from coplay.data.sources.base import LABEL, Dataset
from coplay.metrics.features import DomainClassifier
from coplay.metrics.fid import Moments, frechet_distance
from coplay.player import Player
from coplay.report.figures import image_grid
from coplay.run.result import Result

from ..experiment import HERE, ConfigExperiment, Figures, Runs, Settings, Summary
from ..spreads import seconds_playing
from .gains import summarise
from .tables import TABLES, draw_styles, headline

PICTURES = "pictures"
SHAPES = "shapes"
TESTED = 2000  # test images
DRAWN = 5000  # pairs of the other player that are scored
REPLAY: Settings = {
    f"players.{SHAPES}.model": {"name": "reproductions.polymnist_variables.replay:Replay"}
}
UNMATCHED: Settings = {
    f"players.{PICTURES}.model.uniform": [],
    f"players.{PICTURES}.model.matched": {},
}
# Nothing compares segmentations, the style is drawn, at half the rate.
EARLIER: Settings = {
    **UNMATCHED,
    f"players.{PICTURES}.model.sweeps": 3,
    f"players.{PICTURES}.model.learning_rate": 0.001,
}
STARTS: Settings = {
    f"players.{PICTURES}.model.starts": {
        "segmentation": ["class"],
        "image": ["style", "segmentation"],
    }
}
ARMS: Mapping[str, Settings] = {
    # The classifier alone, from real (class, image). It asks the other player for nothing, which
    # need not learn then.
    "plain": {
        "game": {"name": "isolated", "rounds": 20, "local_steps": 200},
        f"players.{PICTURES}.variables": ["class", "image"],
        f"players.{PICTURES}.unobserved": [],
        f"players.{PICTURES}.model.given": {"class": ["image"], "image": ["class"]},
        **REPLAY,
        **UNMATCHED,
    },
    "synthetic": {},
    "real": REPLAY,
    # Drawing by 100 sweeps for the other in every round would take an hour.
    "joint": {
        "game.alpha": [[0.5, 0.5], [0.5, 0.5]],
        f"players.{PICTURES}.model.sample_sweeps": 10,
        **STARTS,
    },
    "synthetic_starts": STARTS,
    "synthetic_unmatched": EARLIER,
    "real_unmatched": {**REPLAY, **EARLIER},
}
SHOWN = ("synthetic-1", "synthetic_starts-1")


class PolymnistVariables(ConfigExperiment):
    """Players with different variables."""

    def figures(self, result: Result) -> Figures:
        """Return accuracy from the image alone, and how well segmentations are inferred.

        Both are of the player with pictures. What it draws is written beside the run.
        """
        data = result.config.data.source.load()
        player = load_player(result.folder, PICTURES, trust=True)
        test = pick(data.test, slice(TESTED))
        images = player.variables.only(["image"]).restrict(test)
        model: Any = player.model  # it also classifies and completes
        is_right = model.classify(images).argmax(1) == test[LABEL]
        by_style = []
        for style in range(data.space["style"].classes or 0):
            by_style.append(is_right[test["style"] == style].double().mean().item())
        record = result.record.data
        figures = {
            "seed": result.config.seed,
            "versions": dict(result.record.versions),
            "data": {"name": record.name, "sizes": record.sizes, "test": record.test},
            "tested": len(test),
            "wrong": (~is_right).nonzero()[:, 0].tolist(),
            "accuracy": is_right.double().mean().item(),
            "accuracy_by_style": by_style,
            "seconds_playing": seconds_playing(result.main.rows),
        }
        if "segmentation" not in player.variables:
            return figures
        guess = model.complete(images, stream(1, "segment"))["segmentation"].bool()
        truth = test["segmentation"].bool()
        common = (guess & truth).flatten(1).sum(1)
        either = (guess | truth).flatten(1).sum(1)
        overlap = common / either.clamp_min(1)
        write_pictures(data, player, result.folder / "pictures.png")
        iou = overlap.double().mean().item()
        return {**figures, "iou": iou, "shapes": self._scores_of_shapes(result, data)}

    def _scores_of_shapes(self, result: Result, data: Dataset) -> dict[str, float]:
        """Return scores of the other player's pairs, by a classifier of real segmentations."""
        space = data.space.only(["segmentation"])
        classifier = DomainClassifier(space, data.classes, 1)
        path = self.runs / "judge.safetensors"
        test = space.restrict(data.test)
        if path.exists():
            classifier.load_state_dict(storage.load_tensors(path))
        else:
            train = space.restrict(data.train)
            classifier.fit(train, data.train[LABEL], test, data.test[LABEL])
            storage.save_tensors(path, classifier.state_dict())
        drawn = load_player(result.folder, SHAPES, trust=True).draw(DRAWN, 0, "figures")
        real = Moments.of(classifier.features(test))
        segmentations = space.restrict(drawn)
        fid = frechet_distance(real, Moments.of(classifier.features(segmentations)))
        is_right = classifier.probabilities(segmentations).argmax(1) == drawn[LABEL]
        return {"fid": fid, "right": is_right.double().mean().item()}

    def collect(self, runs: Runs) -> Summary:
        """Return means over seeds, gains, and the part that synthetic pairs bring."""
        return summarise({arm: runs[arm] for arm in ARMS if arm in runs})


def write_pictures(data: Dataset, player: Player, path: Path) -> None:
    """Write pictures for every class (columns) in every style (two rows each: a square)."""
    classes = data.space[LABEL].classes or 0
    styles = data.space["style"].classes or 0
    values: dict[str, Any] = {
        "style": torch.arange(styles).repeat_interleave(2 * classes),
        LABEL: torch.arange(classes).repeat(2 * styles),
    }
    given = player.variables.samples(**values)
    model: Any = player.model
    drawn = model.complete(given, stream(1, "pictures"))
    path.write_bytes(image_grid(drawn["image"]))


EXPERIMENT = PolymnistVariables(
    name="polymnist_variables",
    config=HERE / "polymnist_variables" / "variables.toml",
    common={"engine": {"name": "local", "threads": 1}},
    arms=ARMS,
    data={"*": "four IDX files of MNIST"},
    pictures={f"{place}.png": f"{place}/pictures.png" for place in SHOWN},
    tables=TABLES,
    headline=headline,
    charts={"accuracy.png": draw_styles},
)
