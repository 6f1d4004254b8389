"""Four unequal sites with few images each: does playing help their classifiers?

Experiment IV-B of arXiv:2511.01740.

python -m reproductions fashion_mnist_four_sites --folder FOLDER       # 10 to 500 images a class
python -m reproductions fashion_mnist_four_sites --folder FOLDER --arms symmetric/10 cooperative/10

FOLDER holds Fashion-MNIST's four IDX files.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from coplay.run.result import Result

from ..experiment import HERE, ConfigExperiment, Figures, Runs, Settings, Summary
from ..spreads import seconds_playing, spread
from .tables import COMPARED, METHODS, OPTIMAL, PLAYERS, TABLES, draw_accuracy, headline

IMAGES = (10, 50, 100, 500)  # of every class, at every site
ALL = 1500  # 4 · 1,500 is every image of a class
ALONE = {"name": "isolated", "rounds": 30, "local_steps": 100}
DIRECT = {
    "name": "direct_exchange",
    "own_weight": 0.25,
    "samples_per_round": 3200,
    "rounds": 30,
    "own_rounds": 15,
    "local_steps": 100,
}
"""The weights and steps of *cooperative*; half of the later steps go to the model of own data."""

NOT_GENERATED = {"generated": 0.0}
RESIDUALS = {"residuals": True}
GAMES: Mapping[str, Settings] = {
    "discriminative": ALONE,
    "distillation": {**ALONE, "name": "distillation", "own_rounds": 15},
    "symmetric": ALONE,
    "cooperative": {},
    "symmetric with residuals": ALONE,
    "cooperative with residuals": {},
    "direct": DIRECT,
    "symmetric with flows": ALONE,
    "cooperative with flows": {},
    "direct with flows": DIRECT,
    "optimal": {**ALONE, "name": "pooled"},
}
MODELS: Mapping[str, Settings] = {
    "discriminative": NOT_GENERATED,
    "distillation": NOT_GENERATED,
    "symmetric with residuals": RESIDUALS,
    "cooperative with residuals": RESIDUALS,
}
FLOWS = {"tiny": 12, "small": 16, "middle": 24, "large": 32}
"""Channels of each player's rectified flow, as the hierarchical VAEs grow."""

Accuracies = Mapping[str, float]
"""Accuracy by player, from 0 to 1."""

Pair = tuple[Accuracies, Accuracies]
"""Accuracies of two methods with the same seed."""


def _settings(method: str, images: int) -> Settings:
    """Settings of a method with so many images per class and site."""
    counts = {"name": "by_count", "counts": dict.fromkeys(PLAYERS, images)}
    values: dict[str, Any] = {"data.partition": counts}
    if GAMES[method]:
        values["game"] = GAMES[method]
    for player, channels in FLOWS.items():
        if method.endswith("with flows"):
            flow = {"name": "rectified_flow", "channels": channels, "batch": 32}
            if images == IMAGES[0]:
                flow["solver"] = "euler"  # steps were straight when this was played
            values[f"players.{player}.model"] = flow
        for key, value in MODELS.get(method, {}).items():
            values[f"players.{player}.model.{key}"] = value
    return values


def _arms() -> dict[str, Settings]:
    """Every method with every number of images, by ``METHOD/IMAGES``."""
    arms = {}
    for method in METHODS:
        for images in IMAGES:
            arms[f"{method}/{images}"] = _settings(method, images)
    arms[f"{OPTIMAL}/{ALL}"] = _settings(OPTIMAL, ALL)
    return arms


class FashionFourSites(ConfigExperiment):
    """Four unequal sites of Fashion-MNIST, by method and number of images."""

    def figures(self, result: Result) -> Figures:
        """Return every player's accuracy on the 10,000 test images, at the end and on the way."""
        curve = accuracy_curve(result)
        return {
            "seed": result.config.seed,
            "versions": dict(result.record.versions),
            "accuracy": curve[-1]["accuracy"],
            "seconds_playing": seconds_playing(result.main.rows),
            "bytes": sum(row.bytes for row in result.main.rows),
            "curve": curve,
        }

    def collect(self, runs: Runs) -> Summary:
        """Return means over seeds, and paired differences, for every number of images."""
        by_images: dict[int, dict[str, Mapping[int, Figures]]] = {}
        for arm, by_seed in runs.items():
            method, _, images = arm.partition("/")
            by_images.setdefault(int(images), {})[method] = by_seed
        optimal = by_images.pop(ALL, {})
        table: dict[str, dict[str, Any]] = {}
        differences: dict[str, dict[str, Any]] = {}
        for count, methods in sorted(by_images.items()):
            table[str(count)] = {method: _cell(runs) for method, runs in methods.items()}
            differences[str(count)] = _differences(methods)
        return {
            "data": "Fashion-MNIST: so many of 60,000 images per class and site, disjoint; "
            "accuracy on its 10,000 test images",
            "images_per_class": table,
            "paired_differences": differences,
            **{method: _cell(by_seed) for method, by_seed in optimal.items()},
        }


def accuracy_curve(result: Result) -> list[dict[str, Any]]:
    """Return every player's accuracy over steps and seconds of play; the run may be unfinished."""
    curve = []
    seconds = 0.0
    for row in result.main.rows:
        seconds += seconds_playing([row])
        if row.measured is not None:
            accuracies = {name: row.measured[name]["class_accuracy"].value for name in PLAYERS}
            curve.append(
                {
                    "steps": row.round * result.config.game.local_steps,
                    "seconds": seconds,
                    "accuracy": accuracies,
                }
            )
    return curve


def _cell(by_seed: Mapping[int, Figures]) -> dict[str, Any]:
    """Return one method's means at one number of images."""
    each = list(by_seed.values())
    by_player = {}
    for name in PLAYERS:
        by_player[name] = spread([run["accuracy"][name] for run in each])
    return {
        "seeds": list(by_seed),
        "accuracy": spread([statistics.fmean(run["accuracy"].values()) for run in each]),
        "by_player": by_player,
        "seconds_playing": spread([run["seconds_playing"] for run in each]),
    }


def _differences(methods: Mapping[str, Mapping[int, Figures]]) -> dict[str, Any]:
    """Return differences between the methods that are compared, where seeds are common."""
    differences = {}
    for one, others in COMPARED.items():
        for other in others:
            if set(methods.get(one, ())) & set(methods.get(other, ())):
                differences[f"{one} - {other}"] = difference(methods[one], methods[other])
    return differences


def difference(one: Mapping[int, Figures], other: Mapping[int, Figures]) -> dict[str, Any]:
    """Return differences of accuracies seed by seed, at equal steps and at equal seconds.

    Runs of a seed have the same images and begin alike.

    Args:
        one: Figures of a method by seed.
        other: Those of the method that it is compared with.
    """
    seeds = sorted(set(one) & set(other))
    at_end = [(one[seed]["accuracy"], other[seed]["accuracy"]) for seed in seeds]
    timed = [at_equal_seconds(one[seed]["curve"], other[seed]["curve"]) for seed in seeds]
    return {"seeds": seeds, **paired(at_end), "at_equal_seconds": paired(timed)}


def at_equal_seconds(one: Sequence[Figures], other: Sequence[Figures]) -> Pair:
    """Return both as last measured when the sooner of the two ended."""
    end = min(one[-1]["seconds"], other[-1]["seconds"])
    return _last_until(one, end), _last_until(other, end)


def _last_until(curve: Sequence[Figures], end: float) -> Accuracies:
    """The last accuracies of a curve until so many seconds; the first if there are none."""
    last: Accuracies = curve[0]["accuracy"]
    for point in curve:
        if point["seconds"] <= end:
            last = point["accuracy"]
    return last


def paired(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return the mean difference with its standard error, and by player."""
    by_player = {}
    for name in PLAYERS:
        by_player[name] = [one[name] - other[name] for one, other in pairs]
    means = [statistics.fmean(values) for values in zip(*by_player.values(), strict=True)]
    error = None
    if len(means) > 1:
        error = statistics.stdev(means) / math.sqrt(len(means))
    return {
        "mean": statistics.fmean(means),
        "standard_error": error,
        "by_player": {name: statistics.fmean(values) for name, values in by_player.items()},
    }


EXPERIMENT = FashionFourSites(
    name="fashion_mnist_four_sites",
    config=HERE / "fashion_mnist_four_sites" / "four_sites.toml",
    common={"engine": {"name": "local", "threads": 1}},
    arms=_arms(),
    data={"*": "four IDX files of Fashion-MNIST"},
    tables=TABLES,
    headline=headline,
    charts={"accuracy.png": draw_accuracy},
)
