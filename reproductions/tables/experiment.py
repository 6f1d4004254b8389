"""What do sites with tables gain by playing: shape, pairs, and of what use drawn rows are?

Four public tables, dealt out to sites that lack columns, rows or levels. Every run goes a user's
way: CSV files, ``coplay init``, a config, a run, a report.

python -m reproductions tables --folder FOLDER                       # everything
python -m reproductions tables --folder FOLDER --arms "heart disease/autoregressive"

FOLDER holds heart_disease.csv, lung_cancer.csv and adult_control.csv.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from coplay import Config, Federation
from coplay.cli.progress import ProgressReport
from coplay.core.components import find
from coplay.core.space import Samples, Space
from coplay.core.streams import stream
from coplay.models.base import LocalModel, Mixture, Portion
from coplay.report.page import write
from coplay.run.drawing import loaded
from coplay.run.founding import from_tables
from coplay.run.result import Result
from coplay.run.schema import agreed_space
from coplay.run.versions import versions

from ..experiment import Cell, Experiment, Figures, Runs, Settings, Summary, as_overrides
from ..spreads import paired, seconds_of_run, spread
from .cases import CASES, Case, Grid
from .scoring import SCORES, rows_of, scores_of
from .tables import TABLES

MODELS: Mapping[str, Settings] = {
    "autoregressive": {"name": "autoregressive", "validation": 0.1},
    "conditionals": {"name": "conditionals", "hidden": 32},
}
MISSING = ("NA", "?")
ROUNDS = 10
GAME: Settings = {
    "name": "sample_exchange",
    "rounds": ROUNDS,
    "own_rounds": 4,
    "own_weight": 0.3,
    "samples_per_round": 2000,
}
DRAWN = 2000


def _arms() -> dict[str, Settings]:
    arms: dict[str, Settings] = {}
    for case in CASES:
        for model, settings in MODELS.items():
            arms[f"{case}/{model}"] = {"case": case, "model": settings}
    return arms


class Tables(Experiment):
    """Sites with tables: play, direct play, alone, and one model of all rows."""

    def measure(self, cells: Sequence[Cell], play: bool) -> Iterator[tuple[Cell, Figures]]:
        """Play what is not played, and score what every model draws."""
        for cell in cells:
            folder = self.runs / cell.place
            if play and not (folder / "done").exists():
                shutil.rmtree(folder, ignore_errors=True)
                print(f"playing {folder}")
                _play(self._case(cell), cell, self.arms[cell.arm]["model"], folder)
                (folder / "done").touch()
            if (folder / "done").exists():
                yield cell, _figures(self._case(cell), cell, self.arms[cell.arm]["model"], folder)

    def _case(self, cell: Cell) -> Case:
        return CASES[self.arms[cell.arm]["case"]]

    def settings(self, cell: Cell) -> Settings | None:
        """Return what decides a run's figures."""
        case = self._case(cell)
        model = self.arms[cell.arm]["model"]
        return {"game": GAME, "model": model, "steps": case.steps, "drawn": DRAWN}

    def collect(self, runs: Runs) -> Summary:
        """Return means over seeds, and paired differences to sites on their own."""
        return {"cells": {arm: _cell(by_seed) for arm, by_seed in runs.items()}}


def _play(case: Case, cell: Cell, model: Settings, folder: Path) -> None:
    """Go a user's way from CSV files to the report."""
    folder.mkdir(parents=True)
    sites, test = case.dealt(Path(cell.folder), cell.seed)
    test.write(folder / "test.csv")
    files = [grid.write(folder / f"{site}.csv") for site, grid in sites.items()]
    home = folder / "federation"
    start = time.perf_counter()
    from_tables(files, home, case.target, None, MISSING).write()
    settings = {
        "seed": cell.seed,
        "model": model,
        "game": {**GAME, "local_steps": case.steps},
        "compare": ["direct_exchange", "isolated"],
        "measure.every_rounds": ROUNDS,
        "engine": {"name": "local", "threads": 1},
    }
    config = Config.from_file(home / "federation.toml", as_overrides(settings))
    result = Federation(config).run(folder / "run", ProgressReport())
    write(result)
    seconds = time.perf_counter() - start
    (folder / "seconds").write_text(f"{seconds}")


def _figures(case: Case, cell: Cell, model: Settings, folder: Path) -> Figures:
    result = Result.load(folder / "run")
    space = agreed_space(result.config.variables)
    test = rows_of(folder / "test.csv", space, MISSING)
    games: dict[str, dict[str, Any]] = {}
    for game in result.plays:
        games[game] = {}
        for name in result.players:
            player = loaded(result, name, game, trust=False)
            drawn = player.variables.restrict(player.draw(DRAWN, 0, "score"))
            games[game][name] = scores_of(drawn, test, space, case.target)
    parts = {name: rows_of(folder / f"{name}.csv", space, MISSING) for name in result.players}
    drawn = pooled(parts, model, space, cell.seed, ROUNDS * case.steps)
    games["pooled"] = {"all": scores_of(drawn, test, space, case.target)}
    games["real rows"] = {
        "all": scores_of(_all_rows(case, cell, folder, space), test, space, case.target)
    }
    return {
        "seed": cell.seed,
        "versions": versions(),
        "rows": {name: len(rows) for name, rows in parts.items()},
        "rows_of_test": len(test),
        "seconds_from_table_to_report": float((folder / "seconds").read_text()),
        "seconds_playing": seconds_of_run(result),
        "games": games,
        "config": {"game": GAME, "model": model, "steps": case.steps, "drawn": DRAWN},
    }


def pooled(
    parts: Mapping[str, Samples], settings: Settings, space: Space, seed: int, steps: int
) -> Samples:
    """Return draws of one model that learned all sites' rows, as they are."""
    values = dict(settings)
    model: LocalModel = find("model", values.pop("name"))(**values)
    model.setup(space, seed)
    total = sum(len(rows) for rows in parts.values())
    portions = [Portion(name, rows, len(rows) / total) for name, rows in parts.items()]
    for round in range(ROUNDS):
        model.learn(Mixture(tuple(portions)), steps // ROUNDS, stream(seed, "learn", round))
    return model.sample(DRAWN, stream(seed, "score"))


def _all_rows(case: Case, cell: Cell, folder: Path, space: Space) -> Samples:
    """Return the real rows of all sites, with the columns that their files lack."""
    tested = set(map(tuple, case.dealt(Path(cell.folder), cell.seed)[1].rows))
    whole = case.table(Path(cell.folder))
    rows = [row for row in whole.rows if tuple(row) not in tested]
    return rows_of(Grid(whole.header, rows).write(folder / "all.csv"), space, MISSING)


def _cell(by_seed: Mapping[int, Figures]) -> dict[str, Any]:
    """Return one arm's means over seeds."""
    seeds = list(by_seed)
    games = next(iter(by_seed.values()))["games"]
    means = {}
    against = {}
    for game in games:
        each = {score: [_mean(by_seed[seed], game, score) for seed in seeds] for score in SCORES}
        means[game] = {score: spread(values) for score, values in each.items()}
        alone = [_mean(by_seed[seed], "isolated", "utility") for seed in seeds]
        against[game] = paired(each["utility"], alone)
    return {
        "seeds": seeds,
        "games": means,
        "utility_against_isolated": against,
        "seconds": spread([run["seconds_from_table_to_report"] for run in by_seed.values()]),
    }


def _mean(run: Figures, game: str, score: str) -> float:
    """Return a score's mean over the sites that have it."""
    return statistics.fmean(each[score] for each in run["games"][game].values() if score in each)


EXPERIMENT = Tables(
    name="tables",
    arms=_arms(),
    seeds=(1, 2, 3, 4, 5),
    data={"*": "heart_disease.csv, lung_cancer.csv and adult_control.csv"},
    tables=TABLES,
)
