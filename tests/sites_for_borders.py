"""Two small sites with files of their own, in a simulation or each in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

FEDERATION = """
title = "Two wards"
name = "wards"
seed = 3
compare = []
[variables.age]
kind = "real"
low = 0
high = 120
[variables.dose]
kind = "real"
low = 0
high = 1
[variables.outcome]
kind = "categorical"
categories = ["ill", "well"]
[players.north]
site = "north.toml"
[players.south]
site = "south.toml"
[model]
name = "gaussian_copula"
[game]
name = "sample_exchange"
rounds = {rounds}
own_rounds = 1
own_weight = 0.5
samples_per_round = 60
on_lost = "{on_lost}"
[measure]
metrics = []
samples = 100
every_rounds = 1
[checkpoint]
every_rounds = {checkpoint}
"""

SITE = """
federation = "wards"
name = "{name}"
[data.source]
name = "table"
file = "{name}.csv"
"""


def wards(folder, rounds=3, checkpoint=1, on_lost="stop", more=None, n=80):
    """Write a federation of two wards with their tables, and return the federation's file.

    Args:
        folder: Where to; it is made.
        rounds: Rounds of the game.
        checkpoint: Rounds from one checkpoint to the next.
        on_lost: What the game does without a player.
        more: What is added to the file of a site, by name.
        n: Rows of each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = FEDERATION.format(rounds=rounds, checkpoint=checkpoint, on_lost=on_lost)
    (folder / "federation.toml").write_text(text)
    for place, name in enumerate(("north", "south")):
        rng = np.random.default_rng(place)
        age = rng.normal(50 + 10 * place, 10, n).clip(1, 99)
        dose = (age / 120 + rng.normal(0, 0.1, n)).clip(0, 1)
        outcome = np.where(dose + rng.normal(0, 0.1, n) > 0.5, "ill", "well")
        rows = zip(age.tolist(), dose.tolist(), outcome.tolist(), strict=True)
        lines = [f"{a!r},{d!r},{o}" for a, d, o in rows]
        (folder / f"{name}.csv").write_text("\n".join(["age,dose,outcome", *lines]) + "\n")
        (folder / f"{name}.toml").write_text(SITE.format(name=name) + (more or {}).get(name, ""))
    return folder / "federation.toml"


def record(run, name, game="sample_exchange"):
    """Return the file of what left a site."""
    return Path(run) / "sites" / name / game / "egress.jsonl"


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]
