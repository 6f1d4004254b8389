"""How soon does our setting of four sites reach what the paper's reaches in an hour?

Both are played at once, in one process and one thread each, with ten images a class and site;
seconds are those of play, without measuring. Two runs that were cut off are resumed.

python -m reproductions fashion_mnist_reference --folder FOLDER

FOLDER holds Fashion-MNIST's four IDX files.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from coplay.cli.progress import ProgressReport
from coplay.comparison.sweep import Sweep
from coplay.core.errors import RunFolderError
from coplay.core.memory import keep_freed_memory
from coplay.run.config import Config
from coplay.run.result import Result
from coplay.run.versions import versions

from ..experiment import HERE, Cell, Experiment, Figures, Runs, Summary, as_overrides
from ..fashion_mnist_four_sites.experiment import accuracy_curve
from ..fashion_mnist_four_sites.tables import PLAYERS
from ..spreads import seconds_playing

CONFIGS = {
    "paper": HERE.parent / "configs" / "reference" / "fashion_four_sites.toml",
    "coplay": HERE / "fashion_mnist_four_sites" / "four_sites.toml",
}
ARM = "60 minutes"
MINUTES = 60  # of the paper's setting


def reference_text(summary: Summary) -> str:
    """How far the paper's setting came, and when ours was there."""
    best = summary["paper_best"]
    reached = summary["coplay_reaches_it"]
    last = summary["curves"]["paper"][-1]
    soon = f"after {reached['seconds'] / 60:.1f} minutes" if reached else "never"
    return (
        f"In {last['seconds'] / 60:.0f} minutes of one core ({last['steps']:,} steps) it is at "
        f"best at {best['accuracy']:.3f}, mean of four players on the test images, after "
        f"{best['seconds'] / 60:.1f} minutes. Ours is there {soon} of another core, and ends at "
        f"{summary['curves']['coplay'][-1]['accuracy']:.3f}. Seed {summary['seed']}. "
        f"`{EXPERIMENT.command}`."
    )


class FashionReference(Experiment):
    """The paper's setting of four sites beside ours."""

    def measure(self, cells: Sequence[Cell], play: bool) -> Iterator[tuple[Cell, Figures]]:
        """Play both settings at once; the paper's is stopped after its minutes."""
        if not play:
            return
        for cell in cells:
            _play_both(cell, self.runs)
            curves = {name: curve(self.runs / f"{name}-{cell.seed}") for name in CONFIGS}
            yield cell, {"seed": cell.seed, "versions": versions(), "curves": curves}

    def collect(self, runs: Runs) -> Summary:
        """Return both curves of the first seed, and where ours reaches the best of the paper's."""
        figures = next(iter(runs[ARM].values()))
        curves = figures["curves"]
        best = max(curves["paper"], key=lambda point: float(point["accuracy"]))
        reached = None
        for point in curves["coplay"]:
            if point["accuracy"] >= best["accuracy"]:
                reached = point
                break
        return {
            "seed": figures["seed"],
            "images_per_class": 10,
            "accuracy": "mean of four players on the 10,000 test images",
            "paper_best": best,
            "coplay_reaches_it": reached,
            "curves": curves,
        }


def _play_both(cell: Cell, runs: Path) -> None:
    """Play both settings, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    processes = {}
    for name in CONFIGS:
        processes[name] = context.Process(target=play_one, args=(name, cell, runs))
        processes[name].start()
    paper = processes["paper"]
    while paper.is_alive() and seconds(runs / f"paper-{cell.seed}") < 60 * MINUTES:
        time.sleep(10)
    paper.terminate()  # what it measured is on disk
    for process in processes.values():
        process.join()


def play_one(name: str, cell: Cell, runs: Path) -> None:
    """Play or resume one setting until it ends or is stopped."""
    keep_freed_memory()
    values: dict[str, Any] = {
        "data.source.folder": cell.folder,
        "seed": cell.seed,
        "engine": {"name": "local", "threads": 1},
    }
    values |= {f"players.{player}.model.device": "cpu" for player in PLAYERS}
    config = Config.from_file(CONFIGS[name], as_overrides(values))
    Sweep({f"{name}-{cell.seed}": config}).play(runs, ProgressReport)


def seconds(folder: Path) -> float:
    """Return the seconds of play that a run has on disk; 0 while it has only just begun."""
    try:
        return seconds_playing(Result.load(folder).main.rows)
    except RunFolderError:
        return 0.0


def curve(folder: Path) -> list[dict[str, Any]]:
    """Return the mean accuracy of the four players over steps and seconds.

    Raises:
        SystemExit: No round was measured.
    """
    try:
        points = accuracy_curve(Result.load(folder))
    except RunFolderError:
        points = []
    if not points:
        raise SystemExit(
            f"{folder}: expected a measured round, there is none; what stopped it is printed above"
        )
    for point in points:
        point["accuracy"] = statistics.fmean(point["accuracy"].values())
    return points


EXPERIMENT = FashionReference(
    name="fashion_mnist_reference",
    arms={ARM: {}},
    seeds=(1,),
    data={"*": "four IDX files of Fashion-MNIST"},
    tables={"fashion_reference": reference_text},
)
