"""What an experiment is: arms and seeds, what is kept of a run, and what is made of it.

Each folder beside this file holds one experiment: ``experiment.py`` with ``EXPERIMENT``, its
configs, and in ``results`` one JSON with the figures of all its runs.
"""

from __future__ import annotations

import ast
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any

from coplay.cli.progress import ProgressReport
from coplay.comparison.sweep import Sweep
from coplay.report.page import write
from coplay.run.config import Config
from coplay.run.result import Result

HERE = Path(__file__).parent

Settings = Mapping[str, Any]
"""Values of a config by dotted key, such as ``{"game.own_weight": 0.1}``."""

Figures = Mapping[str, Any]
"""What is kept of one run, as plain JSON."""

Runs = Mapping[str, Mapping[int, Figures]]
"""Figures of finished runs by arm and seed."""

Summary = Mapping[str, Any]
"""What is made of all runs, as plain JSON: means over seeds, differences between arms."""


@dataclass(frozen=True)
class Cell:
    """One run of an experiment.

    Args:
        arm: Its arm.
        seed: Its seed.
        folder: Where the data lie; empty for an experiment that brings its own.
        changes: Further settings from the command line, ``key=value`` each.

    Example:
        >>> Cell("iid/md_gan, k = 1", 2).place
        'iid-md_gan_k1-2'
    """

    arm: str
    seed: int
    folder: str = ""
    changes: Sequence[str] = ()

    @property
    def place(self) -> str:
        """Name of the run's folder."""
        return f"{file_name(self.arm)}-{self.seed}"


def of_run(result: Result) -> dict[str, Any]:
    """Return what is kept of any run: its seed, versions, and the samples that were measured."""
    return {
        "seed": result.config.seed,
        "versions": dict(result.record.versions),
        "samples": result.config.measure.samples,
    }


def file_name(arm: str) -> str:
    """Return the name of an arm as part of a file's name.

    Example:
        >>> file_name("images and latents/0.1")
        'images_and_latents-0.1'
    """
    words = arm.replace(",", "").replace(" = ", "").replace("/", "-")
    return words.replace(" ", "_")


def matches(arm: str, pattern: str) -> bool:
    """Whether a pattern means an arm: its whole name, its group, or wildcards.

    Example:
        >>> matches("iid/md_gan", "iid"), matches("iid/md_gan", "*/md_gan"), matches("iid/x", "i")
        (True, True, False)
    """
    return fnmatchcase(arm, pattern) or arm.partition("/")[0] == pattern


@dataclass(frozen=True, kw_only=True)
class Experiment(ABC):
    """An experiment: which runs there are, and what is made of their figures.

    Args:
        name: Name of its folder.
        arms: What is compared, by name, each with its settings. ``GROUP/NAME`` belongs to a group.
        seeds: Seeds that are played unless others are given.
        usual: Patterns of the arms that are played unless others are given.
        one_seed: Patterns of the arms of which only the first of several seeds is played.
        data: What ``--folder`` has to hold, by pattern of arms; the first that matches counts.
            Empty where no folder is needed.
        pictures: Files in ``results`` that a page shows, each with the file in ``runs`` that it
            is copied from when that run is kept.
        tables: The tables of the page of results by name, each made from the summary.
        headline: Makes three cells of the page's first table: what was played, the published
            claim, what was measured. None for an experiment that is not in it.
        charts: The charts that the page shows, by file in ``results``, each drawn from the
            summary.
    """

    name: str
    arms: Mapping[str, Settings]
    seeds: Sequence[int] = (1, 2, 3)
    usual: Sequence[str] = ("*",)
    one_seed: Sequence[str] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, Callable[[Summary], str]] = field(default_factory=dict)
    headline: Callable[[Summary], tuple[str, str, str]] | None = None
    charts: Mapping[str, Callable[[Path, Summary], None]] = field(default_factory=dict)

    @property
    def here(self) -> Path:
        """Folder of the experiment."""
        return HERE / self.name

    @property
    def results(self) -> Path:
        """The file of all its figures."""
        return self.here / "results" / f"{self.name}.json"

    @property
    def runs(self) -> Path:
        """Folder of its runs, below the working directory; they are not part of the repository."""
        return Path("runs") / self.name

    @property
    def command(self) -> str:
        """The command that makes its results."""
        folder = " --folder FOLDER" if self.data else ""
        return f"python -m reproductions {self.name}{folder}"

    @abstractmethod
    def measure(self, cells: Sequence[Cell], play: bool) -> Iterator[tuple[Cell, Figures]]:
        """Yield the figures of cells whose runs are finished.

        Args:
            cells: Runs of which nothing is kept yet.
            play: Whether to play first what is not finished. A run that was cut off is resumed.
        """

    @abstractmethod
    def collect(self, runs: Runs) -> Summary:
        """Return the summary of all kept runs, in the order of their files' names."""

    def settings(self, cell: Cell) -> Settings | None:
        """What decides the figures of a run, as it is kept with them; None if nothing is."""
        return None


@dataclass(frozen=True, kw_only=True)
class ConfigExperiment(Experiment):
    """An experiment whose runs are those of a config, with the settings of an arm.

    Args:
        config: The base config.
        common: Settings of all arms.
    """

    config: Path
    common: Settings = field(default_factory=dict)

    @abstractmethod
    def figures(self, result: Result) -> Figures:
        """Return what is kept of a finished run."""

    def config_of(self, cell: Cell) -> Config:
        """Return the config of one run."""
        values = {**self.common, **self.arms[cell.arm], "seed": cell.seed}
        if self.data:
            values["data.source.folder"] = cell.folder
        return Config.from_file(self.config, [*as_overrides(values), *cell.changes])

    def measure(self, cells: Sequence[Cell], play: bool) -> Iterator[tuple[Cell, Figures]]:
        """Play the runs of a config as a sweep, then take their figures."""
        configs = {cell.place: self.config_of(cell) for cell in cells}
        if play:
            Sweep(configs).play(self.runs, ProgressReport)
        for cell in cells:
            folder = self.runs / cell.place
            if not (folder / "run.json").exists():
                continue
            result = Result.load(folder)
            if result.record.status != "finished":
                continue
            if result.config != configs[cell.place]:
                raise SystemExit(f"{folder} was run with another config; remove it or rename it")
            config = same_everywhere(result.config)
            yield cell, {**self.figures(result), "config": config}
            write(result)

    def settings(self, cell: Cell) -> Settings | None:
        """Return the config of a run, which is kept with its figures."""
        return same_everywhere(self.config_of(cell))


def same_everywhere(config: Config) -> dict[str, Any]:
    """Return what decides a run's figures: its config without the place where its data lie."""
    values: dict[str, Any] = json.loads(json.dumps(config.to_dict()))
    values["data"]["source"].pop("folder", None)
    return values


def as_overrides(values: Settings) -> list[str]:
    """Return values of any form as what ``--set`` takes.

    Example:
        >>> as_overrides({"seed": 1, "game": {"name": "pooled", "rounds": 2}})
        ['seed=1', 'game={name = "pooled", rounds = 2}']
    """
    return [f"{key}={_toml(value)}" for key, value in values.items()]


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = [f"{key} = {_toml(inner)}" for key, inner in value.items()]
        return "{" + ", ".join(pairs) + "}"
    return json.dumps(value)


def names() -> list[str]:
    """Return the names of all experiments."""
    return sorted(path.parent.name for path in HERE.glob("*/experiment.py"))


def question(name: str) -> str:
    """Return what an experiment asks, the first line of its module, without importing it.

    Example:
        >>> question("conv_two_sites")
        "Do two convolutional VAEs on disjoint digits generate the other's as often as theory says?"
    """
    text = (HERE / name / "experiment.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]


def load(name: str) -> Experiment:
    """Return an experiment by name."""
    experiment: Experiment = import_module(f"{__package__}.{name}.experiment").EXPERIMENT
    return experiment
