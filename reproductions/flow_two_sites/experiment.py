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

from ..experiment import HERE, ConfigExperiment, Figures, Runs, Settings, Summary, of_run
from ..spreads import other_share, seconds_playing, spread
from .tables import TABLES, draw_curves, headline

CLASSES = {"low": range(5), "high": range(5, 10)}
MODELS: Mapping[str, Settings] = {
    "flow": {"name": "rectified_flow"},
    "flow, straight steps": {"name": "rectified_flow", "solver": "euler"},
    "conv_hvae": {"name": "conv_hvae", "draw": "mean"},
}
STEPS = {"flow": 200, "flow, straight steps": 200, "conv_hvae": 300}
"""Steps a round, with which a player of each family takes about as long (``benchmarks``)."""

VARIABLES = {"images": ["image"], "images and classes": ["image", "class"]}
METHODS: Mapping[str, Mapping[str, Any]] = {
    "play": {},
    "direct": {"name": "direct_exchange"},
    "by source": {"name": "sourced_exchange", "own_rounds": 1},
    "ensemble": {"name": "ensemble"},
    "pooled": {"name": "pooled", "once": True},
}
WEIGHTS = (0.1, 0.3)
"""Own weights; the first has no name in an arm's."""

ROUNDS = {0.1: 16, 0.3: 8}
"""Rounds by own weight: at 0.3 half of them say which game is ahead."""

SHARED = {"samples_per_round": 2000, "own_rounds": 4}
"""Settings of all games in which samples travel."""


def _arms() -> dict[str, Settings]:
    """Return all arms: ``FAMILY/METHOD, WHAT``, and ``…, own weight 0.3``."""
    arms: dict[str, Settings] = {}
    for family, model in MODELS.items():
        for what, variables in VARIABLES.items():
            for method in METHODS:
                for own_weight in WEIGHTS:
                    if method == "pooled" and own_weight != WEIGHTS[0]:
                        continue  # one model of all data knows no weights
                    name = f"{family}/{method}, {what}"
                    if own_weight != WEIGHTS[0]:
                        name += f", own weight {own_weight}"
                    arms[name] = {
                        "model": model,
                        "data.variables": variables,
                        "game": _game(METHODS[method], STEPS[family], own_weight),
                    }
    return arms


def _game(game: Mapping[str, Any], steps: int, own_weight: float) -> Settings:
    rounds = {"rounds": ROUNDS[own_weight], "local_steps": steps}
    if game.get("name") == "pooled":
        return {**rounds, **game}
    shared = {"own_weight": own_weight, **SHARED}
    return {"name": "sample_exchange", **rounds, **shared, **game}


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
            **of_run(result),
            "classifier_accuracy": result.record.classifier.accuracy,
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
