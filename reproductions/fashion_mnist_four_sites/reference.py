"""How soon does this setting reach what the paper's reaches in an hour? Both at once, one process and one thread each.

python reproductions/fashion_mnist_four_sites/reference.py --folder FOLDER --minutes 60

FOLDER holds Fashion-MNIST's four IDX files. Ten images a class and site; minutes are those of play, without measuring. Runs lie
in runs/fashion_mnist_four_sites/reference/; two that were cut off are resumed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import run as four_sites  # noqa: E402
import sweep  # noqa: E402

from coplay.core.errors import RunFolderError  # noqa: E402
from coplay.core.memory import keep_freed_memory  # noqa: E402
from coplay.run.config import Config  # noqa: E402
from coplay.run.result import Result  # noqa: E402

RUNS = Path("runs") / "fashion_mnist_four_sites" / "reference"
CONFIGS = {
    "paper": HERE.parents[1] / "configs" / "reference" / "fashion_four_sites.toml",
    "coplay": HERE / "four_sites.toml",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", required=True, help="four IDX files")
    parser.add_argument("--minutes", type=float, default=60, help="of the paper's setting")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    given.folder = str(Path(given.folder).resolve())
    context = multiprocessing.get_context("spawn")
    settings = {
        name: context.Process(target=play, args=(name, given.folder, given.seed))
        for name in CONFIGS
    }
    for process in settings.values():
        process.start()
    while settings["paper"].is_alive() and seconds("paper", given.seed) < 60 * given.minutes:
        time.sleep(10)
    settings["paper"].terminate()  # what it measured is on disk
    for process in settings.values():
        process.join()
    curves = {name: curve(name, given.seed) for name in CONFIGS}
    best = max(curves["paper"], key=lambda point: point["accuracy"])
    reached = next(
        (point for point in curves["coplay"] if point["accuracy"] >= best["accuracy"]), None
    )
    sweep.save(
        HERE / "results" / "reference.json",
        f"python reproductions/fashion_mnist_four_sites/reference.py --folder FOLDER --minutes {given.minutes:g}",
        {
            "seed": given.seed,
            "images_per_class": 10,
            "accuracy": "mean of four players on the 10,000 test images",
            "paper_best": best,
            "coplay_reaches_it": reached,
            "curves": curves,
        },
    )


def play(name: str, folder: str, seed: int) -> None:
    """Play or resume one setting until it ends or is stopped."""
    keep_freed_memory()
    values = {"data.source.folder": folder, "seed": seed, "engine": {"name": "local", "threads": 1}}
    values |= {f"players.{player}.model.device": "cpu" for player in four_sites.PLAYERS}
    sweep.played(place(name, seed), Config.from_file(CONFIGS[name], sweep.settings(values)))


def place(name: str, seed: int) -> Path:
    """Folder of one setting's run."""
    return RUNS / f"{name}-{seed}"


def seconds(name: str, seed: int) -> float:
    """Of play, by what a setting has on disk; 0 while it has only just begun."""
    try:
        return sweep.seconds_playing(Result.load(place(name, seed)).main.rows)
    except RunFolderError:
        return 0.0


def curve(name: str, seed: int) -> list[dict[str, Any]]:
    """Mean accuracy of the four players over steps and seconds."""
    try:
        points = four_sites.measured(Result.load(place(name, seed)))
    except RunFolderError:
        points = []
    if not points:
        raise SystemExit(
            f"{place(name, seed)}: expected a measured round, there is none; what stopped it is told above"
        )
    return [{**point, "accuracy": statistics.fmean(point["accuracy"].values())} for point in points]


if __name__ == "__main__":
    main()
