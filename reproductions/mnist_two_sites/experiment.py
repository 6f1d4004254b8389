"""Two sites with disjoint digits: how near to all digits does each come, by its own weight?

Experiment IV-A of arXiv:2511.01740.

python -m reproductions mnist_two_sites --folder FOLDER             # every own weight and form
python -m reproductions mnist_two_sites --folder FOLDER --arms '*/0.1' pooled --seeds 1

FOLDER holds four IDX files of MNIST.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from coplay import load_player
from coplay.cli.sample_file import sample_file
from coplay.core.space import pick
from coplay.metrics.base import LABEL
from coplay.metrics.fid import Moments, frechet_distance
from coplay.run.result import Result

from ..experiment import HERE, ConfigExperiment, Figures, Runs, Settings, Summary
from ..spreads import other_share, seconds_playing, spread
from .tables import DIGITS, FORMS, TABLES, draw_fid, headline

SAMPLES = 5000
SHARES = ("class_shares", "class_shares_raw")
CLASSES = {"low": range(5), "high": range(5, 10)}
LATENTS = {"model.send_latents": True}
ORIGINALS = {"game.originals": True, "game.own_rounds": 8, "game.warmup_rounds": 4}
# What travels and how it is learned from. With own weight 1 nothing travels, in either form.
OWN_WEIGHTS: Mapping[str, Sequence[float]] = {
    "images": (0.1, 0.3, 0.5, 0.7, 1.0),
    "images and latents": (0.1, 0.3, 0.5, 0.7),
    "images with originals": (0.1,),
    "images and latents with originals": (0.1, 0.3),
}
SETTINGS: Mapping[str, Settings] = {
    "images": {},
    "images and latents": LATENTS,
    "images with originals": ORIGINALS,
    "images and latents with originals": {**LATENTS, **ORIGINALS},
}
SHOWN = {
    "images": "images-0.1-1",
    "images_and_latents": "images_and_latents-0.1-1",
    "with_originals": "images_and_latents_with_originals-0.1-1",
    "pooled": "pooled-1",
}


def _arms() -> dict[str, Settings]:
    """The pooled model, then every form with its own weights, by ``FORM/OWN_WEIGHT``."""
    arms: dict[str, Settings] = {
        "pooled": {"game": {"name": "pooled", "rounds": 40, "local_steps": 100}}
    }
    for form in FORMS:
        for own in OWN_WEIGHTS[form]:
            arms[f"{form}/{own:g}"] = {"game.own_weight": own, **SETTINGS[form]}
    return arms


class MnistTwoSites(ConfigExperiment):
    """Two sites, disjoint MNIST digits, by what travels and own weight."""

    def figures(self, result: Result) -> Figures:
        """Return Fréchet distances to test digits by player, and shares; draw samples.

        Distances are to all, own and other test digits. The floor of a distance is that of as
        many real training digits of the same classes.
        """
        assert result.record.classifier is not None
        data = result.config.data.source.load()
        space = data.space.only(data.inputs)
        classifier = result.classifier()
        assert classifier is not None
        test = classifier.features(space.restrict(data.test))
        train = classifier.features(space.restrict(pick(data.train, slice(SAMPLES))))
        test_labels = data.test[LABEL][: len(test)]
        train_labels = data.train[LABEL][: len(train)]
        players = {}
        for name, own_classes in CLASSES.items():
            drawn = load_player(result.folder, name).draw(SAMPLES, 0, "figures")
            generated = Moments.of(classifier.features(space.restrict(drawn)))
            test_rows = _rows(test_labels, own_classes)
            train_rows = _rows(train_labels, own_classes)
            distances = {}
            floors = {}
            for digits in DIGITS:
                real = Moments.of(test[test_rows[digits]])
                distances[f"fid_{digits}"] = frechet_distance(real, generated)
                floor = Moments.of(train[train_rows[digits]])
                floors[f"floor_{digits}"] = frechet_distance(real, floor)
            measured = result.main.last[name]
            shares = {key: other_share(measured, key, own_classes) for key in SHARES}
            players[name] = {
                **distances,
                **floors,
                **shares,
                "real_digits": {digits: int(test_rows[digits].sum()) for digits in DIGITS},
            }
            sample_file(result.folder, name, None, 100, 0, result.folder / f"{name}.png")
        record = result.record.data
        return {
            "seed": result.config.seed,
            "versions": dict(result.record.versions),
            "classifier": asdict(result.record.classifier),
            "data": {"name": record.name, "train": record.train, "test": record.test},
            "seconds_playing": seconds_playing(result.main.rows),
            "bytes": sum(row.bytes for row in result.main.rows),
            "players": players,
        }

    def collect(self, runs: Runs) -> Summary:
        """Return means over seeds, and over both players, which are each other's mirror."""
        cells = {}
        for arm, by_seed in runs.items():
            cells[arm] = _summary_of_arm(arm, by_seed)
        first = next(iter(next(iter(runs.values())).values()))
        return {"data": first["data"], "samples": SAMPLES, "cells": cells}


def _rows(labels: Tensor, own_classes: range) -> dict[str, Tensor]:
    """Which of n labels are of all, own and other digits, n booleans each."""
    own = (labels >= own_classes.start) & (labels < own_classes.stop)
    return {"all": own | ~own, "own": own, "other": ~own}


def _summary_of_arm(arm: str, by_seed: Mapping[int, Figures]) -> dict[str, Any]:
    """Return means over the seeds of an arm."""
    form, _, own = arm.partition("/")
    each = list(by_seed.values())
    distances = [f"{kind}_{digits}" for kind in ("fid", "floor") for digits in DIGITS]
    by_player: dict[str, dict[str, Any]] = {}
    for quantity in (*distances, *SHARES):
        by_player[quantity] = {}
        for player in CLASSES:
            values = [run["players"][player][quantity] for run in each]
            by_player[quantity][player] = spread(values)
    weight = {}
    if own:
        weight = {"own_weight": float(own), "predicted": (1 - float(own)) / (2 - float(own))}
    return {
        "form": form,
        **weight,
        "seeds": list(by_seed),
        "seconds_playing": spread([run["seconds_playing"] for run in each]),
        "classifier_accuracy": spread([run["classifier"]["accuracy"] for run in each]),
        "real_digits": {player: each[0]["players"][player]["real_digits"] for player in CLASSES},
        **by_player,
        "over_players": {key: over_players(by_player[key], not own) for key in distances},
    }


def over_players(values: Mapping[str, Mapping[str, Any]], are_alike: bool) -> dict[str, Any]:
    """Return the mean of both players, seed by seed.

    Args:
        values: By player, a spread over seeds.
        are_alike: Whether both learned from the same data, pooled; then the better one counts.
    """
    pairs = zip(*(values[player]["values"] for player in CLASSES), strict=True)
    if are_alike:
        return spread([min(pair) for pair in pairs])
    return spread([sum(pair) / 2 for pair in pairs])


EXPERIMENT = MnistTwoSites(
    name="mnist_two_sites",
    config=HERE / "mnist_two_sites" / "two_sites.toml",
    common={"engine": {"name": "local", "threads": 1}},
    arms=_arms(),
    data={"*": "four IDX files of MNIST"},
    pictures={f"{name}.png": f"{place}/low.png" for name, place in SHOWN.items()},
    tables=TABLES,
    headline=headline,
    charts={"fid.png": draw_fid},
)
