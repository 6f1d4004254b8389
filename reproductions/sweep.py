"""Run a config over settings and seeds, once each, and collect what was measured into one JSON.

Runs lie in ``runs/`` beside the working directory; a run that is finished is read, one that was cut off is resumed.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from coplay.cli.progress import ProgressReport
from coplay.core import storage
from coplay.report.page import write
from coplay.run.config import Config
from coplay.run.federation import Federation
from coplay.run.record import RoundRecord
from coplay.run.result import CLASSIFIER, Result, versions


def run(config: Path, overrides: Mapping[str, Any]) -> Result:
    """The run of one config with some values changed."""
    wanted = Config.from_file(config, settings(overrides))
    label = "-".join(
        f"{key.rpartition('.')[2]}{value}"
        for key, value in overrides.items()
        if key.rpartition(".")[2] != "folder"
    )
    folder = Path("runs") / f"{wanted.name}-{label}"
    return played(folder, wanted)


def played(folder: Path, wanted: Config, classifier: Path | None = None) -> Result:
    """The finished run of a folder: read, resumed if it was cut off, or played."""
    begun = (folder / "run.json").exists()
    if begun:
        result = Result.load(folder)
        if result.config != wanted:
            raise SystemExit(f"{folder} was run with another config; remove it or rename it")
        if result.record.status == "finished":
            return result
    began = time.time()
    print(folder, flush=True)
    with ProgressReport() as report:
        if begun:
            result = Federation.resume(folder, report)
        else:
            result = Federation(wanted).run(
                folder, report, classifier if classifier and classifier.exists() else None
            )
    (folder / "seconds.txt").write_text(f"{time.time() - began:.1f}")
    return result


def settings(values: Mapping[str, Any]) -> list[str]:
    """Values of any form as what ``--set`` takes."""
    return [f"{key}={_toml(value)}" for key, value in values.items()]


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(v)}" for key, v in value.items()) + "}"
    return json.dumps(value)


def once(
    kept: Path,
    folder: Path,
    wanted: Config,
    classifier: Path | None,
    figures: Callable[[Result], Mapping[str, Any]],
) -> None:
    """Play a run to its end, keep its figures and write its page, unless they are kept already; one cut off is resumed.

    Args:
        kept: JSON of the figures.
        folder: Of the run.
        wanted: What it plays.
        classifier: File of the domain classifier that runs of one seed and source share; None where there is none.
        figures: What is kept of a finished run.
    """
    config = _same_everywhere(wanted)
    if kept.exists():
        if storage.read_json(kept).get("config", config) != config:
            raise SystemExit(f"{kept} is of another config; remove it, or play that config again")
        return
    result = played(folder, wanted, classifier)
    if classifier:
        storage.write_atomically(classifier, (folder / CLASSIFIER).read_bytes())
    storage.write_json(kept, {**figures(result), "config": config})
    write(result)


def _same_everywhere(wanted: Config) -> dict[str, Any]:
    """What decides a run's figures: its config without the place where its data lie."""
    values = json.loads(json.dumps(wanted.to_dict()))
    values["data"]["source"].pop("folder", None)
    return values


def kept_by_seed(folder: Path) -> dict[str, dict[int, dict[str, Any]]]:
    """Kept figures by the name of what was played, and by seed; files are called NAME-SEED.json."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.json")):
        name, seed = path.stem.rsplit("-", 1)
        found.setdefault(name, {})[int(seed)] = storage.read_json(path)
    return {name: dict(sorted(by_seed.items())) for name, by_seed in found.items()}


def seconds_playing(rows: Sequence[RoundRecord]) -> float:
    """What these rounds took, without measuring; of players in several processes their sum."""
    return sum(sum(row.seconds.values()) - row.seconds["evaluation"] for row in rows)


def seconds(result: Result) -> float:
    """Wall seconds of a run, without what an earlier, interrupted attempt took."""
    path = result.folder / "seconds.txt"
    return float(path.read_text()) if path.exists() else float("nan")


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation and the single values."""
    return {
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else 0.0,
        "values": list(values),
    }


def save(path: Path, command: str, results: Mapping[str, Any]) -> None:
    """Write results with the command that makes them and what they were made with."""
    machine = {"cores": os.cpu_count(), "system": platform.platform(terse=True)}
    content = {"command": command, "versions": versions(), "machine": machine, **results}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(path)
