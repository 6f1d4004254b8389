"""Four unequal sites with few images each: does playing help their classifiers, as experiment IV-B of arXiv:2511.01740 says?

python reproductions/fashion_mnist_four_sites/run.py --folder FOLDER                    # 10 to 500 images a class, 3 seeds
python reproductions/fashion_mnist_four_sites/run.py --folder FOLDER --methods symmetric cooperative --images 10
python reproductions/fashion_mnist_four_sites/run.py --folder FOLDER --collect         # plays nothing, writes what is finished

FOLDER holds Fashion-MNIST's four IDX files. Runs lie in runs/fashion_mnist_four_sites/; one that was cut off is resumed. What
a finished run gave is kept in results/runs/, and such a run is not played again.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import figures as drawing  # noqa: E402
import sweep  # noqa: E402

from coplay.core.memory import keep_freed_memory  # noqa: E402
from coplay.run.config import Config  # noqa: E402
from coplay.run.result import Result  # noqa: E402

RUNS = Path("runs") / "fashion_mnist_four_sites"
KEPT = HERE / "results" / "runs"
PLAYERS = ("tiny", "small", "middle", "large")
SEEDS, IMAGES, ALL = (1, 2, 3), (10, 50, 100, 500), 1500  # 4 · 1,500 is every image of a class
ALONE, NO_LESSONS = {"name": "isolated", "rounds": 30, "local_steps": 100}, {"generated": 0.0}
RESIDUALS = {"residuals": True}
METHODS: dict[
    str, tuple[dict[str, Any], dict[str, Any]]
] = {  # game, and settings of every player's model
    "discriminative": (ALONE, NO_LESSONS),
    "distillation": (ALONE | {"name": "distillation", "own_rounds": 15}, NO_LESSONS),
    "symmetric": (ALONE, {}),
    "cooperative": ({}, {}),
    "symmetric with residuals": (ALONE, RESIDUALS),
    "cooperative with residuals": ({}, RESIDUALS),
    "optimal": (ALONE | {"name": "pooled"}, {}),
}
COOPERATIVE = ("cooperative", "cooperative with residuals")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", required=True, help="four IDX files")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--images", nargs="+", type=int, default=IMAGES, help="per class and site")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument(
        "--collect", action="store_true", help="play nothing, collect what is finished"
    )
    given = parser.parse_args()
    keep_freed_memory()
    if not given.collect:
        for seed in given.seeds:
            for method in given.methods:
                for images in [ALL] if method == "optimal" else given.images:
                    play(method, images, seed, str(Path(given.folder).resolve()))
    collect()


def config(method: str, images: int, seed: int, folder: str) -> Config:
    """The config of one run."""
    game, model = METHODS[method]
    counts = {"name": "by_count", "counts": dict.fromkeys(PLAYERS, images)}
    values = {
        "data.source.folder": folder,
        "data.partition": counts,
        "engine": {"name": "local", "threads": 1},
        "seed": seed,
    }
    if game:
        values["game"] = game
    values |= {
        f"players.{name}.model.{key}": value for name in PLAYERS for key, value in model.items()
    }
    return Config.from_file(HERE / "four_sites.toml", sweep.settings(values))


def play(method: str, images: int, seed: int, folder: str) -> None:
    """Play one run to its end and keep its figures."""
    name = f"{method}-{images}-{seed}".replace(" ", "_")
    sweep.once(
        KEPT / f"{name}.json",
        RUNS / name,
        config(method, images, seed, folder),
        RUNS / f"classifier-{seed}.safetensors",
        figures,
    )


def figures(result: Result) -> dict[str, Any]:
    """Every player's accuracy on the 10,000 test images, at the end and over steps and seconds of play."""
    curve = measured(result)
    return {
        "seed": result.config.seed,
        "versions": dict(result.record.versions),
        "accuracy": curve[-1]["accuracy"],
        "seconds_playing": sweep.seconds_playing(result.main.rows),
        "bytes": sum(row.bytes for row in result.main.rows),
        "curve": curve,
    }


def measured(result: Result) -> list[dict[str, Any]]:
    """Every player's accuracy over steps and seconds of play, of a run that need not be finished."""
    curve, seconds = [], 0.0
    for row in result.main.rows:
        seconds += sweep.seconds_playing([row])
        if row.measured is not None:
            accuracy = {name: row.measured[name]["class_accuracy"].value for name in PLAYERS}
            curve.append(
                {
                    "steps": row.round * result.config.game.local_steps,
                    "seconds": seconds,
                    "accuracy": accuracy,
                }
            )
    return curve


def collect() -> None:
    """Mean over players and seeds, and paired differences to the other methods, for every number of images."""
    runs: dict[str, dict[int, dict[int, dict[str, Any]]]] = {}
    for name, by_seed in sweep.kept_by_seed(KEPT).items():
        method, images = name.rsplit("-", 1)
        runs.setdefault(method.replace("_", " "), {})[int(images)] = by_seed
    if not runs:
        return
    sizes = sorted(
        {images for method, found in runs.items() if method != "optimal" for images in found}
    )
    table = {
        images: {
            method: cell(found[images])
            for method, found in runs.items()
            if method != "optimal" and images in found
        }
        for images in sizes
    }
    differences = {
        images: {
            f"{one} - {other}": difference(runs[one][images], runs[other][images])
            for one in COOPERATIVE
            for other in table[images]
            if one in table[images]
            and other not in (one, COOPERATIVE[1])
            and set(runs[one][images]) & set(runs[other][images])
        }
        for images in sizes
    }
    optimal = {"optimal": cell(runs["optimal"][ALL])} if "optimal" in runs else {}
    sweep.save(
        HERE / "results" / "four_sites.json",
        "python reproductions/fashion_mnist_four_sites/run.py --folder FOLDER",
        {
            "data": "Fashion-MNIST: so many of 60,000 images per class and site, disjoint; accuracy on its 10,000 test images",
            "images_per_class": table,
            "paired_differences": differences,
            **optimal,
        },
    )
    methods = [method for method in METHODS if any(method in cells for cells in table.values())]

    def panel(title: str, of: Callable[[dict[str, Any]], dict[str, Any]]) -> drawing.Panel:
        curves = {
            m: [(images, of(table[images][m])) for images in sizes if m in table[images]]
            for m in methods
        }
        heights = {name: of(found)["mean"] for name, found in optimal.items()}
        return drawing.Panel(
            title, "images per class and site", "test accuracy", curves, heights, log=True
        )

    ends = [
        panel(name, lambda found, name=name: found["by_player"][name])
        for name in (PLAYERS[0], PLAYERS[-1])
    ]
    drawing.draw(
        HERE / "results" / "accuracy.png",
        [panel("mean of four", lambda found: found["accuracy"]), *ends],
    )


def cell(by_seed: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """One method at one number of images."""
    means = [statistics.fmean(run["accuracy"].values()) for run in by_seed.values()]
    return {
        "seeds": list(by_seed),
        "accuracy": sweep.spread(means),
        "by_player": {
            name: sweep.spread([run["accuracy"][name] for run in by_seed.values()])
            for name in PLAYERS
        },
        "seconds_playing": sweep.spread([run["seconds_playing"] for run in by_seed.values()]),
    }


def difference(one: dict[int, dict[str, Any]], other: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Differences of accuracies seed by seed (the same images, the same start), at equal steps and at equal seconds."""
    seeds = sorted(set(one) & set(other))
    ends = [(one[seed]["accuracy"], other[seed]["accuracy"]) for seed in seeds]
    timed = [at_equal_seconds(one[seed]["curve"], other[seed]["curve"]) for seed in seeds]
    return {"seeds": seeds, **paired(ends), "at_equal_seconds": paired(timed)}


def at_equal_seconds(
    one: list[dict[str, Any]], other: list[dict[str, Any]]
) -> tuple[dict[str, float], dict[str, float]]:
    """Both as last measured when the sooner of the two ended."""
    end = min(one[-1]["seconds"], other[-1]["seconds"])
    first, second = (
        [p for p in curve if p["seconds"] <= end] or curve[:1] for curve in (one, other)
    )
    return first[-1]["accuracy"], second[-1]["accuracy"]


def paired(pairs: list[tuple[dict[str, float], dict[str, float]]]) -> dict[str, Any]:
    """Mean difference with its standard error, and by player."""
    by_player = {name: [one[name] - other[name] for one, other in pairs] for name in PLAYERS}
    means = [statistics.fmean(values) for values in zip(*by_player.values(), strict=True)]
    error = statistics.stdev(means) / math.sqrt(len(means)) if len(means) > 1 else math.nan
    return {
        "mean": statistics.fmean(means),
        "standard_error": None if math.isnan(error) else error,
        "by_player": {name: statistics.fmean(values) for name, values in by_player.items()},
    }


if __name__ == "__main__":
    main()
