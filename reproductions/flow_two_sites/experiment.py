"""Do players that draw sharply gain by play, and does the gain last over rounds?

Two sites hold disjoint digits of MNIST, grey and 28×28. Each player is a rectified flow, or the
convolutional hierarchical VAE of the other experiments, with as much time of a core.

python -m reproductions flow_two_sites --folder FOLDER                    # everything
python -m reproductions flow_two_sites --folder FOLDER --arms flow conv_hvae --seeds 1

FOLDER holds four IDX files of MNIST.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coplay.run.result import Result

from ..experiment import HERE, ConfigExperiment, Figures, Runs, Settings, Summary
from ..spreads import other_share, seconds_playing, spread
from .tables import TABLES, draw_curves, headline

CLASSES = {"low": range(5), "high": range(5, 10)}
# steps a round that take a player of each family about as long, see benchmarks/images.py
MODELS: Mapping[str, Settings] = {
    "flow": {"model": {"name": "rectified_flow"}, "game.local_steps": 200},
    "conv_hvae": {"model": {"name": "conv_hvae", "draw": "mean"}, "game.local_steps": 300},
}
VARIABLES: Mapping[str, Settings] = {
    "images": {"data.variables": ["image"]},
    "images and classes": {"data.variables": ["image", "class"]},
}
METHODS: Mapping[str, Settings] = {
    "play": {},
    "pooled": {"game.name": "pooled"},
}
OWN_WEIGHT = 0.1


def _arms() -> dict[str, Settings]:
    """Every family of players on images with classes and without, by ``FAMILY/METHOD, WHAT``."""
    arms: dict[str, Settings] = {}
    for family, model in MODELS.items():
        for what, variables in VARIABLES.items():
            for method, game in METHODS.items():
                steps = model["game.local_steps"]
                settings: dict[str, Any] = {**model, **variables, **game}
                if method == "pooled":
                    del settings["game.local_steps"], settings["game.name"]
                    settings["game"] = {
                        "name": "pooled",
                        "rounds": 16,
                        "local_steps": steps,
                        "once": True,
                    }
                arms[f"{family}/{method}, {what}"] = settings
    return arms


class FlowTwoSites(ConfigExperiment):
    """Two sites, disjoint MNIST digits, by family of players and by what they learn."""

    def figures(self, result: Result) -> Figures:
        """Return Fréchet distances and shares of the other's digits, round by round."""
        assert result.record.classifier is not None
        curve = []
        seconds = 0.0
        for row in result.main.rows:
            seconds += seconds_playing([row])
            if row.measured is None:
                continue
            at = {}
            for player, measured in row.measured.items():
                own_classes = CLASSES[player]
                at[player] = {
                    "fid": measured["fid"].value,
                    "other_share": other_share(measured, "class_shares", own_classes),
                }
            curve.append({"round": row.round, "seconds": seconds, "players": at})
        return {
            "seed": result.config.seed,
            "versions": dict(result.record.versions),
            "classifier_accuracy": result.record.classifier.accuracy,
            "samples": result.config.measure.samples,
            "seconds_playing": seconds,
            "bytes": sum(row.bytes for row in result.main.rows),
            "curve": curve,
        }

    def collect(self, runs: Runs) -> Summary:
        """Return means over seeds and both players, who are each other's mirror, by round."""
        cells = {arm: _summary_of_arm(by_seed) for arm, by_seed in runs.items()}
        first = next(iter(next(iter(runs.values())).values()))
        accuracy = first["classifier_accuracy"]
        return {"samples": first["samples"], "classifier_accuracy": accuracy, "cells": cells}


def _summary_of_arm(by_seed: Mapping[int, Figures]) -> dict[str, Any]:
    """Return means over the seeds of an arm, with the best round."""
    curves = [run["curve"] for run in by_seed.values()]
    rounds = []
    for points in zip(*curves, strict=True):
        distances = [_over_players(point, "fid") for point in points]
        shares = [_over_players(point, "other_share") for point in points]
        number = points[0]["round"]
        rounds.append({"round": number, "fid": spread(distances), "other_share": spread(shares)})
    best = min(rounds, key=lambda point: point["fid"]["mean"])
    return {
        "seeds": list(by_seed),
        "seconds": spread([run["seconds_playing"] for run in by_seed.values()]),
        "rounds": rounds,
        "best": best,
        "last": rounds[-1],
    }


def _over_players(point: Mapping[str, Any], quantity: str) -> float:
    values = [measured[quantity] for measured in point["players"].values()]
    return float(sum(values) / len(values))


EXPERIMENT = FlowTwoSites(
    name="flow_two_sites",
    config=HERE / "flow_two_sites" / "two_sites.toml",
    arms=_arms(),
    data={"*": "four IDX files of MNIST"},
    tables=TABLES,
    headline=headline,
    charts={"curves.png": draw_curves},
)
