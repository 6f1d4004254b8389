"""Everything a run left on disk.

RUN/config.toml                 the whole config, defaults included
RUN/run.json                    status, config, versions, data summary, notes
RUN/classifier.safetensors      the domain classifier that measured
RUN/real.safetensors            some real test samples, to look at beside generated ones
RUN/GAME/rows.jsonl             one record per round: numbers, measurements, seconds
RUN/GAME/samples/*.safetensors  samples shown, per measured round
RUN/GAME/models/*.safetensors   what the players learned
RUN/GAME/checkpoint.json        the checkpoint that counts, in RUN/GAME/checkpoints; traffic per purpose and link
RUN/GAME/errors.txt             tracebacks of players that failed; they may show private values
RUN/summary.json, report.html, figures/*.png
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import Tensor

from coplay.core import storage
from coplay.core.components import name_of
from coplay.core.errors import ConfigError, ModelError, RunFolderError
from coplay.core.space import Samples, tensors
from coplay.games.base import Game
from coplay.models.base import LocalModel
from coplay.models.estimator import Estimator
from coplay.nets import devices
from coplay.run.config import Config, differences
from coplay.run.record import space_from_json as space_from_json
from coplay.run.record import space_to_json as space_to_json

_VERSIONED = ("coplay", "torch", "tensordict", "numpy", "scipy", "scikit-learn", "torchmetrics")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a result."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in _VERSIONED:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


@dataclass(frozen=True)
class Play:
    """What one game of a run left: the main game, or one carried along.

    Args:
        name: The game's name.
        folder: Where it lies.
    """

    name: str
    folder: Path

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """One record per finished round, oldest first."""
        path = self.folder / "rows.jsonl"
        if not path.exists():
            return []
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]  # a killed run may leave half a line

    @cached_property
    def measurements(self) -> dict[int, dict[str, dict[str, dict[str, Any]]]]:
        """By round, player and quantity, the value with its unit and counts."""
        return {row["round"]: row["measured"] for row in self.rows if "measured" in row}

    @property
    def last(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The last measurement: by player and quantity; empty if nothing was measured."""
        return self.measurements[max(self.measurements)] if self.measurements else {}

    @cached_property
    def traffic(self) -> list[dict[str, Any]]:
        """Payload per purpose and link, up to the last checkpoint."""
        record = storage.last_checkpoint(self.folder)
        return list(record["traffic"]) if record else []

    @property
    def bookkeeping_seconds(self) -> float:
        """Time spent on rows and checkpoints since the start or the last resume; 0 before the end."""
        path = self.folder / "seconds.json"
        return float(storage.read_json(path)["bookkeeping"]) if path.exists() else 0.0

    def samples(self, round: int) -> dict[str, dict[str, Tensor]]:
        """The samples shown after a measured round: by player and variable."""
        path = self.folder / "samples" / f"round-{round:06d}.safetensors"
        return dict(sorted(storage.unnest(storage.load_tensors(path)).items())) if path.exists() else {}


@dataclass(frozen=True)
class Result:
    """A run on disk, finished or not.

    Args:
        folder: The run's folder.

    Example:
        ``Result.load("runs/digits").plays["sample_exchange"].last["north"]["fid"]["value"]``
    """

    folder: Path

    @classmethod
    def load(cls, folder: str | Path) -> Result:
        """Open a run.

        Raises:
            RunFolderError: There is no run.
        """
        folder = Path(folder)
        if not (folder / "run.json").exists():
            there = "has no run.json" if folder.exists() else "does not exist"
            raise RunFolderError(f"{folder} is no run of coplay: it {there}; 'coplay run CONFIG' makes one")
        return cls(folder)

    @cached_property
    def record(self) -> dict[str, Any]:
        """Contents of ``run.json``."""
        return dict(storage.read_json(self.folder / "run.json"))

    @cached_property
    def config(self) -> Config:
        """The config the run was started with."""
        return Config.from_dict(self.record["config"])

    def check_config(self) -> None:
        """Refuse a config file that was changed after the start.

        Raises:
            RunFolderError: It shows each difference.
        """
        if not (self.folder / "config.toml").exists():
            return  # killed before it was written; run.json has it
        now = Config.from_file(self.folder / "config.toml").to_dict()
        changed = list(differences(self.config.to_dict(), now))
        if changed:
            lines = "\n".join(f"  - {line}" for line in changed)
            raise RunFolderError(
                f"{self.folder / 'config.toml'} was changed since the run began:\n{lines}\n"
                "a run goes on only as it began: undo the change, or start a new run with 'coplay run'"
            )

    @cached_property
    def plays(self) -> dict[str, Play]:
        """The games of the run by name, the main one first."""
        return {name: Play(name, self.folder / name) for name in self.record["games"]}

    @property
    def main(self) -> Play:
        """The main game."""
        return next(iter(self.plays.values()))

    def section(self, play: str) -> dict[str, Any]:
        """A game's section of the config as recorded; what one carried along leaves unsaid is the main game's."""
        main = dict(self.record["config"]["game"])
        if play == self.main.name:
            return main
        found: dict[str, Any] = {key: main[key] for key in ("rounds", "local_steps", "on_lost") if key in main}
        for entry in self.record["config"].get("compare", ()):
            section = {"name": entry} if isinstance(entry, str) else entry
            if section["name"].rpartition(":")[2] == play:
                found |= section
        return found

    def game(self, play: str) -> Game:
        """The rules of a game of the run.

        Raises:
            ConfigError: The config is an old one that is no longer valid.
        """
        games = {name_of("game", g).rpartition(":")[2]: g for g in (self.config.game, *self.config.carried)}
        if play not in games:
            raise ConfigError([f"{self.folder} has a game {play!r} that its config does not name"])
        return games[play]

    def model(self, player: str | None = None) -> LocalModel:
        """A new model as a player has it, or as the games' own seats do; on the CPU if its device is not on this machine."""
        return on_available_device(self.config.player_model(player) if player else self.config.model.fresh())

    @property
    def players(self) -> list[str]:
        """Names of the players, in order, as recorded: they can be read when the settings of components have changed since."""
        given, counts = self.record["config"]["players"], self.record["data"]["counts"]
        return list(given) if isinstance(given, dict) else list(counts) or self.config.player_names

    @cached_property
    def seats(self) -> list[str]:
        """Names of those who take part without being players, such as a server."""
        found: dict[str, None] = {}
        for name, play in self.plays.items():
            try:
                found |= dict.fromkeys(self.game(name).seats)
            except ConfigError:  # an old run tells by its rows
                told = (who for row in play.rows for who in (*row.get("measured", {}), *row.get("players", {})))
                found |= {who: None for who in told if who not in self.players}
        return list(found)

    @cached_property
    def measured(self) -> dict[str, list[str]]:
        """By game, whose samples it is to measure: its players', or its seats'."""
        return {name: self._measured(name) for name in self.plays}

    def _measured(self, play: str) -> list[str]:
        try:
            game = self.game(play)
        except ConfigError:
            told = dict.fromkeys(name for found in self.plays[play].measurements.values() for name in found)
            return list(told) if told and set(told).isdisjoint(self.players) else self.players
        return list(game.sampled_from(game.state_class(tuple(game.players_of(self.players)))))

    def real_samples(self) -> dict[str, Tensor]:
        """Some real test samples by variable; empty if the run has none."""
        path = self.folder / "real.safetensors"
        return storage.load_tensors(path) if path.exists() else {}

    def model_name(self, player: str) -> str:
        """What a config calls the player's model."""
        model = self.config.player_model(player)
        return model.estimator.rpartition(":")[2] if isinstance(model, Estimator) else name_of("model", model)

    def predicted(self, play: str) -> dict[str, list[float]]:
        """Class shares that the last measurement was compared with, or that theory predicts; empty without theory."""
        told = [row["predicted"] for row in self.plays[play].rows if "predicted" in row]
        return dict(told[-1] if told else self.record["games"][play].get("predicted", {}))

    def summary(self) -> dict[str, Any]:
        """The last measurement of every game, with what was predicted."""
        return {
            "status": self.record["status"],
            "seed": self.config.seed,
            "classifier": self.record.get("classifier"),
            "games": {
                name: {"rounds": len(play.rows), "measured": play.last, "predicted": self.predicted(name)}
                for name, play in self.plays.items()
            },
        }


def by_player(samples: Mapping[str, Samples]) -> dict[str, Tensor]:
    """Flatten sample sets by player to named tensors, for a file."""
    return storage.nest({player: tensors(s) for player, s in samples.items()})


def on_available_device(model: LocalModel) -> LocalModel:
    """Return the model, moved to the CPU if its device is not available on this machine.

    Example:
        >>> from coplay.models.acgan import Acgan
        >>> on_available_device(Acgan(device="elsewhere")).device
        'cpu'
    """
    if "device" in type(model).model_fields:
        try:
            devices.resolve(model.device)  # type: ignore[attr-defined]
        except ModelError:
            return model.model_copy(update={"device": "cpu"}).fresh()
    return model
