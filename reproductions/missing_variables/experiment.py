"""Do sites that lack columns, or cells, end with what their tables together determine?

A Gaussian of four columns of which each site sees some, and a joint of four categories with cells
missing at random. Both are known, so that models are compared with the truth.

python -m reproductions missing_variables                                    # everything
python -m reproductions missing_variables --arms gaussian/exponential_family --seeds 1 2 3

It needs no data.
"""

from __future__ import annotations

import math
import shutil
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from coplay import Config, Federation
from coplay.cli.progress import ProgressReport
from coplay.run.drawing import loaded
from coplay.run.result import Result
from coplay.run.versions import versions

from ..experiment import Cell, Experiment, Figures, Runs, Settings, Summary
from ..spreads import seconds_of_run
from . import truth
from .tables import TABLES

NETWORK: Settings = {"name": "autoregressive"}
GAME: Settings = {
    "name": "sample_exchange",
    "rounds": 8,
    "own_rounds": 2,
    "own_weight": 0.4,
    "samples_per_round": 8000,
}
JOINT: Settings = {**GAME, "samples_per_round": 30_000}
"""With 8,000 samples of 36 cells chance alone is 0.027 of total variation."""

ROWS = {"gaussian": 2000, "joint": 5000}
DRAWN = 50_000


def _arm(case: str, model: Settings, steps: int, game: Settings = GAME) -> Settings:
    return {"case": case, "model": model, "steps": steps, "game": game}


class MissingVariables(Experiment):
    """Sites that lack columns or cells, against the truth."""

    def measure(self, cells: Sequence[Cell], play: bool) -> Iterator[tuple[Cell, Figures]]:
        """Play what is not played, and compare what every model draws with the truth."""
        for cell in cells:
            folder = self.runs / cell.place
            if not play and not (folder / "run").exists():
                continue
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            print(f"playing {folder}")
            yield cell, {**_figures(self.arms[cell.arm], cell, folder), "config": self._of(cell)}

    def _of(self, cell: Cell) -> Settings:
        arm = self.arms[cell.arm]
        return {**arm, "rows": ROWS[arm["case"]], "drawn": DRAWN}

    def settings(self, cell: Cell) -> Settings | None:
        """Return what decides a run's figures."""
        return self._of(cell)

    def collect(self, runs: Runs) -> Summary:
        """Return errors over seeds, and for the Gaussian whether they are chance."""
        gaussian = {}
        joint = {}
        for arm, by_seed in runs.items():
            if arm.startswith("gaussian"):
                gaussian[arm] = _of_gaussian(list(by_seed.values()))
            else:
                joint[arm] = _of_joint(list(by_seed.values()))
        return {"gaussian": gaussian, "joint": joint}


def _figures(arm: Settings, cell: Cell, folder: Path) -> Figures:
    """Play one run, and return the errors of every player's model in every game."""
    case = arm["case"]
    own: dict[str, Any] = {}
    if case == "gaussian":
        drawn = truth.gaussian(folder, cell.seed, ROWS[case])
        own["rows themselves"] = _errors_of_rows(drawn)
    else:
        own["complete rows"] = truth.variation(truth.joint(folder, cell.seed, ROWS[case]))
    result = Federation(_config(arm, cell, folder)).run(folder / "run", ProgressReport())
    games: dict[str, dict[str, Any]] = {}
    for game in result.plays:
        games[game] = {}
        for name in result.players:
            rows = _drawn(result, name, game)
            if case == "gaussian":
                of = [*truth.determined(), *truth.open_pairs()]
                games[game][name] = {",".join(each): truth.moment(rows, each) for each in of}
            else:
                games[game][name] = truth.variation(rows)
    bounds = {}
    for pair in result.record.data.open:
        bounds[" ".join(sorted(pair.variables, key=truth.NAMES.index))] = [pair.low, pair.high]
    return {
        "seed": cell.seed,
        "versions": versions(),
        "seconds": seconds_of_run(result),
        **own,
        "open": bounds,
        "games": games,
    }


def _config(arm: Settings, cell: Cell, folder: Path) -> Config:
    case = arm["case"]
    players = {}
    for site, lacks in truth.lacking(case).items():
        source = {"name": "table", "file": str((folder / f"{site}.csv").resolve())}
        players[site] = {"data": {"source": source, "test": source, "lacks": lacks}}
    game = {**arm["game"], "local_steps": arm["steps"]}
    return Config.from_dict(
        {
            "seed": cell.seed,
            "variables": truth.variables(case),
            "players": players,
            "model": arm["model"],
            "game": game,
            "measure": {"every_rounds": GAME["rounds"], "metrics": []},
            "engine": {"name": "local", "threads": 1},
        }
    )


def _drawn(result: Result, name: str, game: str) -> np.ndarray:
    """Return draws of one player's model, shape (n, 4)."""
    drawn = loaded(result, name, game, trust=False).draw(DRAWN, 0, "score")
    columns = truth.NAMES if "x" in result.record.data.space else truth.LEVELS
    return np.stack([drawn[column].numpy().reshape(-1) for column in columns], 1)


def _errors_of_rows(drawn: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the errors of what rows alone say, of all sites that see what is asked."""
    errors = {}
    for of in truth.determined():
        having = [rows for site, rows in drawn.items() if set(of) <= set(truth.SEES[site])]
        errors[",".join(of)] = truth.moment(np.concatenate(having), of)
    return errors


def _of_gaussian(runs: Sequence[Figures]) -> dict[str, Any]:
    """Return for each game the errors of what is determined, and whether they are chance."""
    games = {}
    names = [",".join(of) for of in truth.determined()]
    rows = [run["rows themselves"][name] for run in runs for name in names]
    for game in runs[0]["games"]:
        errors = {}
        for player in runs[0]["games"][game]:
            for name in names:
                errors[player, name] = [run["games"][game][player][name] for run in runs]
        games[game] = {
            **_chance(list(errors.values())),
            "root_mean_square": _root_mean_square([e for each in errors.values() for e in each]),
            "of_rows": _root_mean_square(rows),
            "open": _open_of(runs, game),
        }
    return {"seeds": [run["seed"] for run in runs], "games": games, "bounds": runs[0]["open"]}


def _open_of(runs: Sequence[Figures], game: str) -> dict[str, float]:
    """Return the mean correlation of each open pair that models end with."""
    means = {}
    for one, other in truth.open_pairs():
        true = truth.CORRELATION[truth.NAMES.index(one), truth.NAMES.index(other)]
        errors = [e[f"{one},{other}"] for run in runs for e in run["games"][game].values()]
        means[f"{one} {other}"] = statistics.fmean(errors) + float(true)
    return means


def _chance(errors: Sequence[Sequence[float]]) -> dict[str, float]:
    """Return the largest mean error, and the largest in its standard errors, with its limit.

    The limit is what the largest of so many stays below in 95 of 100 experiments without a bias.
    """
    count = len(errors[0])
    means = [statistics.fmean(each) for each in errors]
    largest = max(map(abs, means))
    if count < 2:
        return {"largest_mean": largest}
    deviations = [statistics.stdev(each) / math.sqrt(count) for each in errors]
    ratios = [abs(mean) / error for mean, error in zip(means, deviations, strict=True)]
    limit = float(student.ppf(1 - 0.025 / len(errors), count - 1))
    return {
        "largest_mean": largest,
        "standard_error": max(deviations),
        "largest_ratio": max(ratios),
        "limit": limit,
    }


def _root_mean_square(values: Sequence[float]) -> float:
    return math.sqrt(statistics.fmean(value**2 for value in values))


def _of_joint(runs: Sequence[Figures]) -> dict[str, Any]:
    """Return the total variation of every game, its mean and its largest over players and seeds."""
    games = {}
    for game in runs[0]["games"]:
        each = [value for run in runs for value in run["games"][game].values()]
        games[game] = {"mean": statistics.fmean(each), "largest": max(each)}
    rows = [run["complete rows"] for run in runs]
    return {
        "seeds": [run["seed"] for run in runs],
        "games": games,
        "complete_rows": statistics.fmean(rows),
    }


EXPERIMENT = MissingVariables(
    name="missing_variables",
    arms={
        "gaussian/exponential_family": _arm("gaussian", {"name": "exponential_family"}, 1),
        "gaussian/gaussian_copula": _arm("gaussian", {"name": "gaussian_copula"}, 1),
        "joint/autoregressive": _arm("joint", NETWORK, 300, JOINT),
    },
    tables=TABLES,
)
