"""Does play carry what others know around a ring, and what do relayed samples of own models bring?

Six sites with one or two of the 8×8 digits each; a site hears from its two neighbours alone. All
games have the same steps, data, seeds and classifier.

python -m reproductions ring
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from coplay.core.components import name_of
from coplay.games.topologies import even_weights
from coplay.run.result import Result
from coplay.theory.equilibrium import influence_matrix

from ..experiment import HERE, ConfigExperiment, Figures, Runs, Summary, of_run
from ..markdown import difference, listing, table
from ..spreads import paired, seconds_playing, spread

CLASSES: Mapping[str, Sequence[int]] = {
    "a": (0, 1),
    "b": (2, 3),
    "c": (4, 5),
    "d": (6, 7),
    "e": (8,),
    "f": (9,),
}
"""The digits of each site, in the order of the ring."""

OWN_WEIGHT = 0.1
FORMS = {
    "sample_exchange": "play",
    "direct_exchange": "direct play, relayed",
    "ensemble": "ensemble, relayed",
    "isolated": "isolated",
    "pooled": "pooled",
}
"""What the games are called in the table, in its order."""

QUANTITIES = ("fid", "near", "far", "seconds", "megabytes")


def _at(site: str, steps: int) -> list[int]:
    """Return the digits of the site some steps on around the ring."""
    sites = list(CLASSES)
    return list(CLASSES[sites[(sites.index(site) + steps) % len(sites)]])


def near_digits(site: str) -> list[int]:
    """Return the digits that both neighbours hold.

    Example:
        >>> near_digits("a")
        [2, 3, 9]
    """
    return _at(site, 1) + _at(site, -1)


def far_digits(site: str) -> list[int]:
    """Return the digits that neither a site nor a neighbour holds.

    Example:
        >>> far_digits("a")
        [8, 4, 5, 6, 7]
    """
    return _at(site, -2) + _at(site, 2) + _at(site, 3)


def predicted_shares() -> dict[str, float]:
    """Return what theory predicts for every site: shares of near and of far digits (A3)."""
    alpha = even_weights("ring", len(CLASSES), 2, 0, OWN_WEIGHT)
    row = influence_matrix(torch.as_tensor(alpha.toarray()))[0].tolist()
    return {"near": row[1] + row[-1], "far": sum(row[2:-1])}


def games_table(summary: Summary) -> str:
    """Fréchet distances and shares by game, with paired differences from play."""
    columns = ["game", "FID, mean of six sites", "share of neighbours' digits"]
    columns += ["share of digits further away", "seconds a player", "MB in all", "against play"]
    rows = []
    for cell in summary["cells"]:
        row = [FORMS[cell["form"]], _plus_minus(cell["fid"], 1)]
        row += [_plus_minus(cell["near"], 3), _plus_minus(cell["far"], 3)]
        row += [f"{cell['seconds']['mean']:.0f}", f"{cell['megabytes']['mean']:.0f}"]
        row += [difference(cell["against_play"])]
        rows.append(row)
    predicted = summary["predicted"]
    return (
        f"{table(columns, rows)}\n\nOwn weight {OWN_WEIGHT:g}, {summary['samples']:,} samples a "
        f"player, seeds {listing(summary['seeds'])}; standard deviations over seeds, differences "
        "seed by seed with their standard errors. Theory predicts shares of "
        f"{predicted['near']:.3f} and {predicted['far']:.3f}. `{EXPERIMENT.command}`."
    )


def _plus_minus(values: Mapping[str, Any], digits: int) -> str:
    return f"{values['mean']:.{digits}f} ± {values['std']:.{digits}f}"


class Ring(ConfigExperiment):
    """Play in a ring, against relayed direct play and a relayed ensemble."""

    def figures(self, result: Result) -> Figures:
        """Return each game's distances, shares, seconds and bytes, as means over the sites."""
        games = {}
        for name, play in result.plays.items():
            distances = []
            near = []
            far = []
            for site in CLASSES:
                measured = play.last[site]
                shares = measured["class_shares"].value
                assert isinstance(shares, list)
                distances.append(measured["fid"].value)
                near.append(sum(shares[c] for c in near_digits(site)))
                far.append(sum(shares[c] for c in far_digits(site)))
            games[name_of("game", result.game(name))] = {
                "fid": statistics.fmean(distances),
                "near": statistics.fmean(near),
                "far": statistics.fmean(far),
                "seconds": seconds_playing(play.rows) / len(CLASSES),
                "megabytes": sum(row.bytes for row in play.rows) / 1e6,
            }
        return {**of_run(result), "games": games}

    def collect(self, runs: Runs) -> Summary:
        """Return a cell for each game, over all seeds."""
        by_seed = runs[ARM]
        seeds = sorted(by_seed)
        cells = []
        for form in FORMS:
            games = [by_seed[seed]["games"][form] for seed in seeds]
            cell: dict[str, Any] = {"form": form, "against_play": None}
            for quantity in QUANTITIES:
                cell[quantity] = spread([game[quantity] for game in games])
            if form != "sample_exchange":
                play = [by_seed[seed]["games"]["sample_exchange"]["fid"] for seed in seeds]
                cell["against_play"] = paired(cell["fid"]["values"], play)
            cells.append(cell)
        samples = by_seed[seeds[0]]["samples"]
        predicted = predicted_shares()
        return {"seeds": seeds, "samples": samples, "predicted": predicted, "cells": cells}


ARM = "own weight 0.1"

EXPERIMENT = Ring(
    name="ring",
    config=HERE / "ring" / "six_sites.toml",
    arms={ARM: {"game.own_weight": OWN_WEIGHT}},
    seeds=(4, 5, 6),
    tables={"ring": games_table},
)
