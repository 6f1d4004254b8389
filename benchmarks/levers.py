"""The effect on samples of settings for small budgets: each on and off, everything else alike.

python benchmarks/levers.py              # 3 seeds; writes benchmarks/results/levers.json
python benchmarks/levers.py originals    # only levers with that word; the others' figures stay
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import common
import torch

from coplay import Config, Federation, find, load_player
from coplay.core.space import pick
from coplay.core.streams import stream
from coplay.data.sources.base import LABEL
from coplay.metrics.base import Observed, Reference
from coplay.metrics.features import DomainClassifier
from coplay.models.base import OWN, Mixture, Portion
from coplay.models.likelihood import log_prob

SEEDS = (1, 2, 3)
ALONE = {"players": {"alone": {}}, "game": {"name": "isolated", "rounds": 10, "local_steps": 200}}
DISJOINT = {
    "partition": {"name": "by_class", "classes": {"low": [0, 1, 2, 3, 4], "high": [5, 6, 7, 8, 9]}}
}


@cache
def reference() -> Reference:
    """Train the one classifier that measures all runs."""
    data = find("source", "digits")().load()
    space = data.space.only(["image"])
    classifier = DomainClassifier(space, data.classes, seed=1)
    train = space.restrict(data.train)
    test = space.restrict(data.test)
    classifier.fit(train, data.train[LABEL], test, data.test[LABEL])
    return Reference(test, classifier, data.test[LABEL])


def played(seed: int, model: Mapping[str, Any], **sections: Any) -> dict[str, float]:
    """Play a run and return its last scores, as means over players."""
    measure = {"metrics": [], "every_rounds": 1000, "samples": 100}
    config = Config.from_dict(
        {"seed": seed, "model": model, "measure": measure, **(sections or ALONE)}
    )
    values: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        result = Federation(config).run(Path(folder) / "run")
        predicted = result.predicted(result.main.name)
        for name in config.player_names:
            samples = load_player(result.folder, name).draw(5000, 0, "benchmark")
            observed = Observed(samples, reference(), torch.tensor(predicted[name]))
            for metric in ("class_shares", "domain_score", "fid"):
                for key, value in find("metric", metric)().observe(observed).result().items():
                    values.setdefault(key, []).append(value.value)
    return {
        key: statistics.fmean(values[key])
        for key in ("fid", "domain_score", "distance_to_prediction")
    }


def averaging(seed: int, on: bool) -> dict[str, float]:
    return played(seed, {"name": "symmetric_hvae", "average": 0.999 if on else 0.0})


def schedule(seed: int, on: bool) -> dict[str, float]:
    # without the running mean, which hides what the falling rate does
    return played(
        seed,
        {
            "name": "symmetric_hvae",
            "average": 0.0,
            "hold_steps": 1000,
            "decay_steps": 1000 if on else 0,
        },
    )


def warm_up(seed: int, on: bool) -> dict[str, float]:
    game = {
        "name": "sample_exchange",
        "own_weight": 0.2,
        "rounds": 40,
        "local_steps": 50,
        "samples_per_round": 5000,
    }
    game |= {"own_rounds": 10, "warmup_rounds": 10} if on else {}
    model = {"name": "symmetric_hvae", "hold_steps": 1000, "decay_steps": 1000}
    return played(seed, model, players={"low": {}, "high": {}}, data=DISJOINT, game=game)


def originals(seed: int, on: bool) -> dict[str, float]:
    game = {
        "name": "sample_exchange",
        "own_weight": 0.1,
        "rounds": 40,
        "local_steps": 50,
        "samples_per_round": 5000,
    }
    game |= {"own_rounds": 10, "warmup_rounds": 10, "originals": on}
    model = {"name": "symmetric_hvae", "hold_steps": 1000, "decay_steps": 1000}
    return played(seed, model, players={"low": {}, "high": {}}, data=DISJOINT, game=game)


def early_stopping(seed: int, on: bool) -> dict[str, float]:
    """Learn from 100 digits; return log p of test digits under the final sampling parameters."""
    data = find("source", "digits")().load()
    space = data.space.only(["image"])
    order = torch.randperm(len(data.train), generator=stream(seed, "few"))
    few = space.restrict(pick(data.train, order[:100]))
    model = find("model", "symmetric_hvae")(validation=0.2 if on else 0.0, patience=5)
    model.setup(space, seed)
    for turn in range(40):
        model.learn(Mixture((Portion(OWN, few, 1.0),)), 50, stream(seed, "learn", turn))
    estimate = log_prob(model, space.restrict(data.test), 50, stream(seed, "draws"))
    assert estimate is not None
    return {"test_log_p": estimate.mean[0]}


def bfloat16(seed: int, on: bool) -> dict[str, float]:
    model = {
        "name": "conv_hvae",
        "latents": [8, 16],
        "learning_rate": 4e-3,
        "hold_steps": 150,
        "decay_steps": 150,
    }
    model["precision"] = "bfloat16" if on else "float32"
    return played(
        seed,
        model,
        players={"alone": {}},
        game={"name": "isolated", "rounds": 5, "local_steps": 60},
    )


LEVERS: dict[str, Callable[[int, bool], dict[str, float]]] = {
    "running mean of parameters (average)": averaging,
    "falling learning rate (decay_steps)": schedule,
    "own data first, others admitted gradually (own_rounds, warmup_rounds)": warm_up,
    "own data in the place of their copies (originals), own weight 0.1": originals,
    "early stopping (validation), 100 digits": early_stopping,
    "bfloat16 (precision)": bfloat16,
}


def spread(cells: list[dict[str, float]], key: str) -> dict[str, Any]:
    values = [cell[key] for cell in cells]
    return {"mean": statistics.fmean(values), "std": statistics.stdev(values), "values": values}


def main() -> None:
    earlier = common.ROOT / "benchmarks" / "results" / "levers.json"
    rows: dict[str, Any] = {}
    if sys.argv[1:]:
        rows = json.loads(earlier.read_text())["levers"]
    for name, lever in LEVERS.items():
        if not all(word in name for word in sys.argv[1:]):
            continue
        off = [lever(seed, False) for seed in SEEDS]
        on = [lever(seed, True) for seed in SEEDS]
        rows[name] = {key: {"off": spread(off, key), "on": spread(on, key)} for key in on[0]}
        for key, row in rows[name].items():
            texts = []
            for state, numbers in row.items():
                texts.append(f"{state} {numbers['mean']:.3f} ± {numbers['std']:.3f}")
            print(f"{name}: {key}: {', '.join(texts)}", flush=True)
    data = "8×8 digits of scikit-learn, 497 test samples"
    common.save(
        "levers",
        {
            "seeds": list(SEEDS),
            "data": data,
            "samples": 5000,
            "levers": {name: rows[name] for name in LEVERS if name in rows},
        },
    )


if __name__ == "__main__":
    main()
