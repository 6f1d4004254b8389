"""Does a player that classifies images gain from synthetic segmentations that it never had? (Experiment IV-C, arXiv:2511.01740).

python reproductions/polymnist_variables/run.py --folder FOLDER                      # every arm, 3 seeds; resumable
python reproductions/polymnist_variables/run.py --folder FOLDER --arms plain synthetic --seeds 1
python reproductions/polymnist_variables/run.py --folder FOLDER --collect            # plays nothing, writes what is finished

FOLDER holds four IDX files of MNIST. Runs lie in runs/polymnist_variables/; one that was cut off is resumed. What a finished run
gave is kept in results/runs/, and such a run is not played again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import figures as drawing  # noqa: E402
import sweep  # noqa: E402

from coplay import load_player  # noqa: E402
from coplay.config import Config  # noqa: E402
from coplay.data.sources.base import LABEL, Dataset  # noqa: E402
from coplay.memory import keep_freed_memory  # noqa: E402
from coplay.player import Player  # noqa: E402
from coplay.report.figures import image_grid  # noqa: E402
from coplay.result import Result  # noqa: E402
from coplay.space import pick  # noqa: E402
from coplay.streams import stream  # noqa: E402

RUNS = Path("runs") / "polymnist_variables"
KEPT = HERE / "results" / "runs"
SEEDS, PICTURES, TESTED = (1, 2, 3), "pictures", 2000
ARMS: dict[str, dict[str, Any]] = {
    "plain": {  # the classifier alone, from real (class, image)
        "game": {"name": "isolated", "rounds": 20, "local_steps": 200},
        f"players.{PICTURES}": {
            "variables": ["class", "image"],
            "unobserved": [],
            "model": {
                "name": "joint_classifier", "generated": 0.0, "classifier_channels": 8, "hidden": 128, "batch": 32,
                "latents": [4, 4], "channels": 1, "learning_rate": 0.001, "hold_steps": 2000, "decay_steps": 2000,
            },
        },
    },
    "alone": {  # the joint model without segmentations
        "game": {"name": "isolated", "rounds": 20, "local_steps": 200},
        f"players.{PICTURES}.variables": ["class", "style", "image"],
        f"players.{PICTURES}.unobserved": [],
        f"players.{PICTURES}.model.given": {},
    },
    "synthetic": {},
    "real": {"players.shapes.model": {"name": "replay:Replay"}},
    "joint": {"game.alpha": [[0.5, 0.5], [0.5, 0.5]]},
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", required=True, help="four IDX files")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--collect", action="store_true", help="play nothing, collect what is finished")
    given = parser.parse_args()
    keep_freed_memory()
    if not given.collect:
        for seed in given.seeds:
            for arm in given.arms:
                play(arm, seed, str(Path(given.folder).resolve()))
    collect()


def play(arm: str, seed: int, folder: str) -> None:
    """Play one run to its end and keep its figures."""
    values = {"data.source.folder": folder, "seed": seed, "engine": {"name": "local", "threads": 1}, **ARMS[arm]}
    wanted = Config.from_file(HERE / "variables.toml", sweep.settings(values))
    name = f"{arm}-{seed}"
    sweep.once(KEPT / f"{name}.json", RUNS / name, wanted, None, figures)


def figures(result: Result) -> dict[str, Any]:
    """Accuracy from the image alone, by style, and how well segmentations are told, of the player with pictures."""
    data, player = result.config.data.source.load(), load_player(result.folder, PICTURES)
    test = pick(data.test, slice(TESTED))
    seen = player.variables.only(["image"]).restrict(test)
    right = player.model.classify(seen).argmax(1) == test[LABEL]  # type: ignore[attr-defined]
    styles = data.space["style"].classes or 0
    found = {
        "seed": result.config.seed,
        "versions": result.record["versions"],
        "data": {key: result.record["data"][key] for key in ("name", "sizes", "test")},
        "tested": len(test),
        "wrong": (~right).nonzero()[:, 0].tolist(),
        "accuracy": right.double().mean().item(),
        "accuracy_by_style": [right[test["style"] == s].double().mean().item() for s in range(styles)],
        "seconds_playing": sweep.seconds_playing(result.main.rows),
    }
    if "segmentation" not in player.variables:
        return found
    guess = player.model.complete(seen, stream(1, "segment"))["segmentation"].bool()  # type: ignore[attr-defined]
    truth = test["segmentation"].bool()
    overlap = (guess & truth).flatten(1).sum(1) / (guess | truth).flatten(1).sum(1).clamp_min(1)
    show(data, player, KEPT.parent / "pictures" / f"{result.folder.name}.png")
    return found | {"iou": overlap.double().mean().item()}


def show(data: Dataset, player: Player, path: Path) -> None:
    """Pictures drawn for every class (columns) in every style (rows)."""
    classes, styles = (data.space[name].classes or 0 for name in (LABEL, "style"))
    asked = player.variables.samples(
        **{"style": torch.arange(styles).repeat_interleave(classes), LABEL: torch.arange(classes).repeat(styles)}
    )
    drawn = player.model.complete(asked, stream(1, "pictures"))  # type: ignore[attr-defined]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image_grid(drawn["image"]))


def collect() -> None:
    """Mean and spread over seeds, gains over the plain classifier, and the synthetic gain as a part of the real one."""
    runs = sweep.kept_by_seed(KEPT)
    if not runs:
        return
    quantities = ("accuracy", "iou", "seconds_playing")
    arms = {
        arm: {"seeds": list(by_seed)}
        | {
            q: sweep.spread([run[q] for run in by_seed.values()])
            for q in quantities
            if all(q in r for r in by_seed.values())
        }
        for arm, by_seed in runs.items()
    }
    gains = {
        f"{arm} - {base}": gain(runs[arm], runs[base])
        for arm, base in (
            ("synthetic", "alone"),
            ("real", "alone"),
            ("joint", "alone"),
            ("synthetic", "plain"),
            ("real", "plain"),
        )
        if arm in runs and base in runs and set(runs[arm]) & set(runs[base])
    }
    part, (synthetic, real) = {}, (gains.get(f"{arm} - alone") for arm in ("synthetic", "real"))
    if synthetic and real and synthetic["seeds"] == real["seeds"] and real["mean"] > 2 * real["standard_error"]:
        part = {"part_of_the_gain_by_real_data": synthetic["mean"] / real["mean"]}
    first = next(iter(next(iter(runs.values())).values()))
    sweep.save(
        HERE / "results" / "variables.json",
        "python reproductions/polymnist_variables/run.py --folder FOLDER",
        {"data": first["data"], "tested": first["tested"], "arms": arms, "gains_in_accuracy": gains, **part},
    )
    styles = {
        arm: list(enumerate(map(sweep.spread, zip(*(r["accuracy_by_style"] for r in by_seed.values()), strict=True))))
        for arm, by_seed in runs.items()
    }
    drawing.draw(HERE / "results" / "accuracy.png", [drawing.Panel("", "style", "accuracy", styles)])


def gain(one: dict[int, dict[str, Any]], other: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Mean difference over common seeds, with the larger of its standard errors over images and over seeds."""
    seeds = sorted(set(one) & set(other))
    n = one[seeds[0]]["tested"]
    rows = torch.zeros(len(seeds), n, dtype=torch.float64)
    for row, seed in zip(rows, seeds, strict=True):
        row[other[seed]["wrong"]] += 1
        row[one[seed]["wrong"]] -= 1
    errors = [rows.mean(0).std().item() / n**0.5]
    if len(seeds) > 1:
        errors.append(rows.mean(1).std().item() / len(seeds) ** 0.5)
    return {"seeds": seeds, "mean": rows.mean().item(), "standard_error": max(errors)}


if __name__ == "__main__":
    main()
