"""Two sites with disjoint digits: how near to all digits does each come, by its own weight? (Experiment IV-A, arXiv:2511.01740).

python reproductions/mnist_two_sites/run.py --folder FOLDER                    # every own weight, both forms, 3 seeds; resumable
python reproductions/mnist_two_sites/run.py --folder FOLDER --own 0.1 0.3 --seeds 1
python reproductions/mnist_two_sites/run.py --folder FOLDER --collect          # plays nothing, writes what is finished

FOLDER holds four IDX files of MNIST. Runs lie in runs/mnist_two_sites/; one that was cut off is resumed. What a finished run gave
is kept in results/runs/, and such a run is not played again.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import figures as drawing  # noqa: E402
import sweep  # noqa: E402

from coplay import load_player  # noqa: E402
from coplay.cli.sample_file import sample_file  # noqa: E402
from coplay.core.memory import keep_freed_memory  # noqa: E402
from coplay.core.space import pick  # noqa: E402
from coplay.metrics.base import LABEL  # noqa: E402
from coplay.metrics.fid import Moments, frechet_distance  # noqa: E402
from coplay.run.config import Config  # noqa: E402
from coplay.run.result import Result  # noqa: E402

RUNS = Path("runs") / "mnist_two_sites"
KEPT = HERE / "results" / "runs"
SEEDS, OWN, SAMPLES = (1, 2, 3), (0.1, 0.3, 0.5, 0.7, 1.0), 5000
CLASSES = {"low": range(5), "high": range(5, 10)}
LATENTS = {"model.send_latents": True}
ORIGINALS = {"game.originals": True, "game.own_rounds": 8, "game.warmup_rounds": 4}
FORMS: dict[
    str, tuple[dict[str, Any], tuple[float, ...]]
] = {  # what travels and how it is heard; own weights
    "images": ({}, OWN),
    "images and latents": (LATENTS, OWN[:-1]),  # with 1 nothing travels
    "images with originals": (ORIGINALS, OWN[:1]),
    "images and latents with originals": (LATENTS | ORIGINALS, OWN[:2]),
}
DIGITS = ("all", "own", "other")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", required=True, help="four IDX files")
    parser.add_argument("--own", nargs="+", type=float, default=OWN, help="own weights")
    parser.add_argument(
        "--forms", nargs="+", choices=FORMS, default=list(FORMS), help="what travels"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument(
        "--collect", action="store_true", help="play nothing, collect what is finished"
    )
    given = parser.parse_args()
    keep_freed_memory()
    if not given.collect:
        folder = str(Path(given.folder).resolve())
        for seed in given.seeds:
            play(
                "pooled",
                {"game": {"name": "pooled", "rounds": 40, "local_steps": 100}},
                seed,
                folder,
            )
            for form in given.forms:
                settings, weights = FORMS[form]
                for own in given.own:
                    if own in weights:
                        play(f"{form}-{own:g}", {"game.own_weight": own, **settings}, seed, folder)
    collect()


def play(name: str, changes: dict[str, Any], seed: int, folder: str) -> None:
    """Play one run to its end and keep its figures."""
    values = {
        "data.source.folder": folder,
        "seed": seed,
        "engine": {"name": "local", "threads": 1},
        **changes,
    }
    wanted = Config.from_file(HERE / "two_sites.toml", sweep.settings(values))
    name = f"{name}-{seed}".replace(" ", "_")
    sweep.once(
        KEPT / f"{name}.json", RUNS / name, wanted, RUNS / f"classifier-{seed}.safetensors", figures
    )


def figures(result: Result) -> dict[str, Any]:
    """By player: Fréchet distance to all, own and other test digits, and the share of the other site's digits.

    The floor of a distance is that of as many real training digits of the same classes.
    """
    data = result.config.data.source.load()
    space = data.space.only(data.inputs)
    classifier = result.classifier()
    assert classifier is not None
    real, seen = (
        classifier.features(space.restrict(part))
        for part in (data.test, pick(data.train, slice(SAMPLES)))
    )
    players = {}
    for name, held in CLASSES.items():
        drawn = load_player(result.folder, name).draw(SAMPLES, 0, "figures")
        generated, last = (
            Moments.of(classifier.features(space.restrict(drawn))),
            result.main.last[name],
        )
        rows, trained = (
            _which(labels[LABEL][: len(f)], held)
            for labels, f in ((data.test, real), (data.train, seen))
        )
        players[name] = {
            **{f"fid_{d}": frechet_distance(Moments.of(real[rows[d]]), generated) for d in DIGITS},
            **{
                f"floor_{d}": frechet_distance(
                    Moments.of(real[rows[d]]), Moments.of(seen[trained[d]])
                )
                for d in DIGITS
            },
            **{
                key: sum(share for c, share in enumerate(last[key].value) if c not in held)
                for key in ("class_shares", "class_shares_raw")
            },
            "real_digits": {d: int(rows[d].sum()) for d in DIGITS},
        }
        sample_file(
            result.folder,
            name,
            None,
            100,
            0,
            KEPT.parent / "pictures" / f"{result.folder.name}-{name}.png",
        )
    return {
        "seed": result.config.seed,
        "versions": dict(result.record.versions),
        "classifier": asdict(result.record.classifier),
        "data": {key: getattr(result.record.data, key) for key in ("name", "train", "test")},
        "seconds_playing": sweep.seconds_playing(result.main.rows),
        "bytes": sum(row.bytes for row in result.main.rows),
        "players": players,
    }


def _which(labels: Tensor, held: range) -> dict[str, Tensor]:
    """Rows of all, own and other digits."""
    own = (labels >= held.start) & (labels < held.stop)
    return {"all": own | ~own, "own": own, "other": ~own}


def collect() -> None:
    """Mean and spread over seeds, and over both players, which are each other's mirror."""
    runs = sweep.kept_by_seed(KEPT)
    cells = {}
    for name, by_seed in runs.items():
        form, _, own = name.partition("-")
        measured = {
            key: {
                p: sweep.spread([run["players"][p][key] for run in by_seed.values()])
                for p in CLASSES
            }
            for key in (
                *(f"{kind}_{d}" for kind in ("fid", "floor") for d in DIGITS),
                "class_shares",
                "class_shares_raw",
            )
        }
        cells[name] = {
            "form": form.replace("_", " "),
            **(
                {"own_weight": float(own), "predicted": (1 - float(own)) / (2 - float(own))}
                if own
                else {}
            ),
            "seeds": list(by_seed),
            "seconds_playing": sweep.spread([run["seconds_playing"] for run in by_seed.values()]),
            "classifier_accuracy": sweep.spread(
                [run["classifier"]["accuracy"] for run in by_seed.values()]
            ),
            "real_digits": {
                p: next(iter(by_seed.values()))["players"][p]["real_digits"] for p in CLASSES
            },
            **measured,
            "over_players": {
                key: over_players(values, alike=not own)
                for key, values in measured.items()
                if not key.startswith("class")
            },
        }
    if not cells:
        return
    sweep.save(
        HERE / "results" / "two_sites.json",
        "python reproductions/mnist_two_sites/run.py --folder FOLDER",
        {
            "data": next(iter(next(iter(runs.values())).values()))["data"],
            "samples": SAMPLES,
            "cells": cells,
        },
    )
    alone = (
        [(1.0, cells["images-1"])] if "images-1" in cells else []
    )  # nothing travels, in either form
    panels = []
    for form in FORMS:
        heard = [
            (cell["own_weight"], cell)
            for cell in cells.values()
            if cell["form"] == form and "own_weight" in cell
        ]
        points = sorted({own: cell for own, cell in [*heard, *alone]}.items())
        curves = {
            f"to {d} digits": [(own, cell["over_players"][f"fid_{d}"]) for own, cell in points]
            for d in DIGITS
        }
        levels = (
            {"pooled, to all": cells["pooled"]["over_players"]["fid_all"]["mean"]}
            if "pooled" in cells
            else {}
        )
        if len(heard) > 1:
            panels.append(drawing.Panel(form, "own weight α", "FID", curves, levels))
    if panels:
        drawing.draw(HERE / "results" / "fid.png", panels)


def over_players(values: dict[str, dict[str, Any]], alike: bool) -> dict[str, Any]:
    """Seed by seed, the mean of both players; of two that learned from the same data, pooled, the better."""
    pairs = list(zip(*(values[name]["values"] for name in CLASSES), strict=True))
    return sweep.spread([min(pair) if alike else sum(pair) / 2 for pair in pairs])


if __name__ == "__main__":
    main()
