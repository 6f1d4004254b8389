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
from coplay.core import storage  # noqa: E402
from coplay.core.memory import keep_freed_memory  # noqa: E402
from coplay.core.space import pick  # noqa: E402
from coplay.core.streams import stream  # noqa: E402
from coplay.data.sources.base import LABEL, Dataset  # noqa: E402
from coplay.metrics.features import DomainClassifier  # noqa: E402
from coplay.metrics.fid import Moments, frechet_distance  # noqa: E402
from coplay.player import Player  # noqa: E402
from coplay.report.figures import image_grid  # noqa: E402
from coplay.run.config import Config  # noqa: E402
from coplay.run.result import Result  # noqa: E402

RUNS = Path("runs") / "polymnist_variables"
KEPT = HERE / "results" / "runs"
PICTURES, SHAPES = "pictures", "shapes"
REPLAY = {f"players.{SHAPES}.model": {"name": "replay:Replay"}}
UNMATCHED: dict[str, Any] = {
    f"players.{PICTURES}.model.uniform": [],
    f"players.{PICTURES}.model.matched": {},
}
EARLIER = UNMATCHED | {
    f"players.{PICTURES}.model.sweeps": 3,
    f"players.{PICTURES}.model.learning_rate": 0.001,
}
STARTS = {
    f"players.{PICTURES}.model.starts": {
        "segmentation": ["class"],
        "image": ["style", "segmentation"],
    }
}
SEEDS, TESTED, JUDGED, BOOTSTRAP = (1, 2, 3), 2000, 5000, 2000
ARMS: dict[str, dict[str, Any]] = {
    "plain": {  # the classifier alone, from real (class, image)
        "game": {"name": "isolated", "rounds": 20, "local_steps": 200},
        f"players.{PICTURES}.variables": ["class", "image"],
        f"players.{PICTURES}.unobserved": [],
        f"players.{PICTURES}.model.given": {"class": ["image"], "image": ["class"]},
        **REPLAY,  # nobody hears it, so it need not learn
        **UNMATCHED,
    },
    "synthetic": {},
    "real": REPLAY,
    "joint": {  # drawing by 100 sweeps for the other in every round would take an hour
        "game.alpha": [[0.5, 0.5], [0.5, 0.5]],
        f"players.{PICTURES}.model.sample_sweeps": 10,
        **STARTS,
    },
    "synthetic_starts": STARTS,
    "synthetic_unmatched": EARLIER,  # nothing compares segmentations, the style is drawn, at half the rate
    "real_unmatched": REPLAY | EARLIER,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", required=True, help="four IDX files")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument(
        "--collect", action="store_true", help="play nothing, collect what is finished"
    )
    given = parser.parse_args()
    keep_freed_memory()
    if not given.collect:
        for seed in given.seeds:
            for arm in given.arms:
                play(arm, seed, str(Path(given.folder).resolve()))
    collect()


def play(arm: str, seed: int, folder: str) -> None:
    """Play one run to its end and keep its figures."""
    values = {
        "data.source.folder": folder,
        "seed": seed,
        "engine": {"name": "local", "threads": 1},
        **ARMS[arm],
    }
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
        "versions": dict(result.record.versions),
        "data": {key: getattr(result.record.data, key) for key in ("name", "sizes", "test")},
        "tested": len(test),
        "wrong": (~right).nonzero()[:, 0].tolist(),
        "accuracy": right.double().mean().item(),
        "accuracy_by_style": [
            right[test["style"] == s].double().mean().item() for s in range(styles)
        ],
        "seconds_playing": sweep.seconds_playing(result.main.rows),
    }
    if "segmentation" not in player.variables:
        return found
    guess = player.model.complete(seen, stream(1, "segment"))["segmentation"].bool()  # type: ignore[attr-defined]
    truth = test["segmentation"].bool()
    overlap = (guess & truth).flatten(1).sum(1) / (guess | truth).flatten(1).sum(1).clamp_min(1)
    show(data, player, KEPT.parent / "pictures" / f"{result.folder.name}.png")
    return found | {"iou": overlap.double().mean().item(), "shapes": judged(result, data)}


def judged(result: Result, data: Dataset) -> dict[str, float]:
    """How good the pairs are that the other player draws, by a classifier of real segmentations."""
    space = data.space.only(["segmentation"])
    judge, path = DomainClassifier(space, data.classes, 1), RUNS / "judge.safetensors"
    if path.exists():
        judge.load_state_dict(storage.load_tensors(path))
    else:
        judge.fit(
            space.restrict(data.train),
            data.train[LABEL],
            space.restrict(data.test),
            data.test[LABEL],
        )
        storage.save_tensors(path, judge.state_dict())
    drawn, real = (
        load_player(result.folder, SHAPES).draw(JUDGED, 0, "figures"),
        judge.features(space.restrict(data.test)),
    )
    segmentations = space.restrict(drawn)
    return {
        "fid": frechet_distance(Moments.of(real), Moments.of(judge.features(segmentations))),
        "right": (judge.probabilities(segmentations).argmax(1) == drawn[LABEL])
        .double()
        .mean()
        .item(),
    }


def show(data: Dataset, player: Player, path: Path) -> None:
    """Pictures drawn for every class (columns) in every style (two rows each, which makes a square)."""
    classes, styles = (data.space[name].classes or 0 for name in (LABEL, "style"))
    asked = player.variables.samples(
        **{
            "style": torch.arange(styles).repeat_interleave(2 * classes),
            LABEL: torch.arange(classes).repeat(2 * styles),
        }
    )
    drawn = player.model.complete(asked, stream(1, "pictures"))  # type: ignore[attr-defined]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image_grid(drawn["image"]))


def collect() -> None:
    """Mean and spread over seeds, gains over the plain classifier, and the synthetic gain as a part of the real one."""
    kept = sweep.kept_by_seed(KEPT)
    if not kept:
        return
    runs = {arm: kept[arm] for arm in ARMS if arm in kept}
    quantities = ("accuracy", "iou", "seconds_playing")
    arms = {
        arm: {"seeds": list(by_seed)}
        | {
            q: sweep.spread([run[q] for run in by_seed.values()])
            for q in quantities
            if all(q in r for r in by_seed.values())
        }
        | {
            f"shapes_{q}": sweep.spread([run["shapes"][q] for run in by_seed.values()])
            for q in ("fid", "right")
            if all("shapes" in r for r in by_seed.values())
        }
        for arm, by_seed in runs.items()
    }
    gains = {
        f"{arm} - {base}": gain(runs[arm], runs[base])
        for arm, base in (*((arm, "plain") for arm in ARMS), ("joint", "synthetic"))
        if arm != base and arm in runs and base in runs and set(runs[arm]) & set(runs[base])
    }
    part = part_of_gain(runs) if {"plain", "synthetic", "real"} <= set(runs) else {}
    first = next(iter(next(iter(runs.values())).values()))
    sweep.save(
        HERE / "results" / "variables.json",
        "python reproductions/polymnist_variables/run.py --folder FOLDER",
        {
            "data": first["data"],
            "tested": first["tested"],
            "arms": arms,
            "gains_in_accuracy": gains,
            **part,
        },
    )
    styles = {
        arm: list(
            enumerate(
                map(
                    sweep.spread,
                    zip(*(r["accuracy_by_style"] for r in by_seed.values()), strict=True),
                )
            )
        )
        for arm, by_seed in runs.items()
        if not arm.endswith(("unmatched", "starts"))
    }
    drawing.draw(
        HERE / "results" / "accuracy.png", [drawing.Panel("", "style", "accuracy", styles)]
    )


def changes(
    one: dict[int, dict[str, Any]], other: dict[int, dict[str, Any]], seeds: list[int]
) -> torch.Tensor:
    """By seed and test image: 1 where only ``one`` is right, −1 where only ``other`` is."""
    rows = torch.zeros(len(seeds), one[seeds[0]]["tested"], dtype=torch.float64)
    for row, seed in zip(rows, seeds, strict=True):
        row[other[seed]["wrong"]] += 1
        row[one[seed]["wrong"]] -= 1
    return rows


def gain(one: dict[int, dict[str, Any]], other: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Mean difference over common seeds, with the larger of its standard errors over images and over seeds."""
    seeds = sorted(set(one) & set(other))
    rows = changes(one, other, seeds)
    errors = [rows.mean(0).std().item() / rows.shape[1] ** 0.5]
    if len(seeds) > 1:
        errors.append(rows.mean(1).std().item() / len(seeds) ** 0.5)
    return {"seeds": seeds, "mean": rows.mean().item(), "standard_error": max(errors)}


def part_of_gain(runs: dict[str, dict[int, dict[str, Any]]]) -> dict[str, Any]:
    """Gain by synthetic pairs over that by real ones, with 95 % of a bootstrap over seeds and images; empty if there is none."""
    seeds = sorted(set(runs["plain"]) & set(runs["synthetic"]) & set(runs["real"]))
    if not seeds:
        return {}
    synthetic, real = (changes(runs[arm], runs["plain"], seeds) for arm in ("synthetic", "real"))
    again, parts = stream(1, "bootstrap"), []
    for _ in range(BOOTSTRAP):
        which = torch.randint(len(seeds), (len(seeds),), generator=again)
        images = torch.randint(real.shape[1], (real.shape[1],), generator=again)
        below = real[which][:, images].mean().item()
        parts.append(
            synthetic[which][:, images].mean().item() / below if below > 0 else float("nan")
        )
    found = torch.tensor(parts)
    if real.mean() <= 0 or found.isnan().double().mean() > 0.025:
        return {}  # a share of nothing
    low, high = found.nanquantile(torch.tensor([0.025, 0.975])).tolist()
    share = (synthetic.mean() / real.mean()).item()
    return {
        "part_of_the_gain_by_real_data": {"mean": share, "interval": [low, high], "seeds": seeds}
    }


if __name__ == "__main__":
    main()
