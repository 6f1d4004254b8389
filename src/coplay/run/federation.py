"""A config brought to life; reads from top to bottom like the arrow.

config → data → players → game on an engine → measurements → result
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coplay.core import storage
from coplay.core.components import name_of, nearest
from coplay.core.errors import CheckpointError, DataError, RunFolderError
from coplay.core.space import Samples, Space, pick, tensors
from coplay.core.streams import derive, stream
from coplay.data.sources.base import LABEL, Dataset
from coplay.games.base import Game
from coplay.metrics.base import Reference
from coplay.metrics.features import DomainClassifier
from coplay.player import Player
from coplay.run.config import Config
from coplay.run.match import Match, Report
from coplay.run.result import Result, space_to_json, versions


@dataclass(frozen=True)
class Sites:
    """Who holds what, in a simulation.

    Args:
        spaces: The variables that each player learns.
        data: Private samples by player.
        train: The training split, with all variables.
        dealt: Positions in it of all samples dealt out, player after player.
        shares: Class shares by player, each of shape (C,); None without classes.
        counts: Number of samples per class, by player.
        notes: What a reader of the report should know.
    """

    spaces: dict[str, Space]
    data: dict[str, Samples]
    train: Samples
    dealt: Tensor
    shares: Tensor | None
    counts: dict[str, list[int]]
    notes: tuple[str, ...]

    @property
    def shares_by_player(self) -> dict[str, Tensor]:
        """Class shares by name; empty without classes."""
        return {} if self.shares is None else dict(zip(self.data, self.shares, strict=True))


CLASSIFIER = "classifier.safetensors"
"""File of a run's domain classifier."""

_INCOMPLETE = (
    "exponential_family, joint_classifier, conditionals"  # for errors: models that learn from incomplete samples
)

_REAL_SHOWN = 300  # real test samples that a run keeps for its pictures

# What a run that was killed before it was one may leave.
_UNBORN = {"lock", "run.json.partial"}


class Federation:
    """Plays the games that a config names and leaves a run folder.

    Args:
        config: What to play.

    Example:
        >>> import tempfile
        >>> config = Config.from_dict({
        ...     "players": 2, "model": "exponential_family", "game": {"name": "sample_exchange", "rounds": 2},
        ...     "measure": {"metrics": []}})
        >>> result = Federation(config).run(Path(tempfile.mkdtemp()) / "run")
        >>> [len(play.rows) for play in result.plays.values()]
        [2]
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    # ------------------------------------------------------------------------------------------ the data flow

    def run(self, folder: str | Path, report: Report | None = None, classifier: Path | None = None) -> Result:
        """Play from the start into a new folder.

        Args:
            folder: Where everything goes.
            report: Told of progress.
            classifier: The domain classifier's file of a run with the same seed and source, which would be trained to the
                same bits again; None trains it.

        Raises:
            RunFolderError: The folder exists and holds something.
            CoplayError: Anything a config, data or a model can be at fault for; what was learned stays on disk.
        """
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(path.name not in _UNBORN for path in folder.iterdir())):
            raise RunFolderError(
                f"{folder} exists; expected a new or empty folder. Go on with 'coplay resume {folder}', name another with "
                "--out, or remove it"
            )
        prepared = self.prepare()
        with storage.locked(folder):
            storage.write_json(folder / "run.json", self._record(*prepared))  # from here on it is a run
            if classifier is not None:
                storage.write_atomically(folder / CLASSIFIER, classifier.read_bytes())
            return self._play_all(folder, *prepared, report or _silent)

    @classmethod
    def resume(cls, folder: str | Path, report: Report | None = None) -> Result:
        """Go on with a run that was stopped, killed or failed, from its last checkpoints.

        Raises:
            RunFolderError: There is no run, or its config was changed.
            CheckpointError: Another process is playing it.
        """
        folder = Path(folder)
        result = Result.load(folder)
        with storage.locked(folder):
            result.check_config()
            federation = cls(result.config)
            return federation._play_all(folder, *federation.prepare(), report or _silent)

    def prepare(self) -> tuple[Dataset, Sites, dict[str, Game]]:
        """Load and deal the data and check that the games can be played on them; nothing is written."""
        data = self.config.data.source.load()
        sites = self._deal(data)
        main = name_of("game", self.config.game).rpartition(":")[2]
        games = {main: self.config.game} | {name_of("game", g).rpartition(":")[2]: g for g in self.config.carried}
        self.config.game.start(self.config.player_names, self.config.seed)
        needy = self.config.game.needs_data(self.config.player_names, self.config.seed)
        empty = [name for name in needy if not len(sites.data[name])]
        if empty:
            raise DataError(
                f"no private data for {', '.join(repr(name) for name in empty)}; the partition left this site empty. "
                "Give it samples; in sample_exchange, own weight 0 would let it learn from others only"
            )
        self._check_unobserved(sites)
        for game in games.values():  # who cannot play says so before anything is written
            game.check(self.seat(game, sites, self.given(game, sites), None))
        self._check_common_variables(sites)
        return data, sites, games

    def _check_common_variables(self, sites: Sites) -> None:
        """Whoever listens to somebody must be able to learn from that one's variables.

        Raises:
            DataError: A player's model needs variables that a player it listens to does not have.
        """
        game, names = self.config.game, self.config.player_names
        alpha = game.mixture_weights(game.start(names, self.config.seed))
        for i, listener in enumerate(names if alpha is not None else []):
            model = self.config.player_model(listener)
            for j, speaker in enumerate(names):
                own, theirs = sites.spaces[listener], sites.spaces[speaker]
                missing = [name for name in own if name not in theirs]
                if i == j or alpha is None or not alpha[i, j] or not missing:
                    continue
                if len(missing) == len(own):
                    raise DataError(f"player '{listener}' listens to '{speaker}' and has no variable in common with it")
                if not model.learns_incomplete:
                    raise DataError(
                        f"player '{listener}': {model.title} needs every variable, and '{missing[0]}' is missing in the samples "
                        f"of player '{speaker}'; choose a model that learns from incomplete samples ({_INCOMPLETE}), "
                        "or give both the same variables"
                    )

    def _deal(self, data: Dataset) -> Sites:
        names, labels = self.config.player_names, data.train[LABEL] if data.classes else None
        generator = stream(self.config.seed, "partition")
        deal = self.config.data.partition.deal(labels, len(data.train), names, generator)
        spaces = {name: self._space(name, data) for name in names}
        held = {name: self._observed(name, spaces[name], pick(data.train, deal[name])) for name in names}
        dealt = torch.cat([deal[name] for name in names])
        if labels is None:
            return Sites(spaces, held, data.train, dealt, None, {}, ())
        counts = torch.stack([torch.bincount(labels[deal[name]], minlength=data.classes) for name in names])
        notes = [
            f"{name} holds a single class ({int(row.argmax())}); allowed, but alone it can learn nothing else"
            for name, row in zip(names, counts, strict=True)
            if (row > 0).sum() == 1
        ]
        shares = counts.double() / counts.sum(1, keepdim=True).clamp_min(1)
        return Sites(
            spaces, held, data.train, dealt, shares, dict(zip(names, counts.tolist(), strict=True)), tuple(notes)
        )

    def _observed(self, player: str, space: Space, samples: Samples) -> Samples:
        """What a player has of some samples: its variables without those that its data lack."""
        return space.restrict(samples).exclude(*self.config.players[player].unobserved)

    def _check_unobserved(self, sites: Sites) -> None:
        """A variable that a player's data lack must be one of its own, and reach it from somebody who observes it.

        Raises:
            DataError: It does not, or nothing is left, or the player's model needs complete samples.
        """
        names, knows = self.config.player_names, self._reachable(sites)
        for name in names:
            own, unobserved, model = (
                sites.spaces[name],
                self.config.players[name].unobserved,
                self.config.player_model(name),
            )
            for variable in unobserved:
                place = f"players.{name}.unobserved: '{variable}'"
                if variable not in own:
                    raise DataError(f"{place} is none of its variables; these are {', '.join(own)}")
                if variable not in knows[name]:
                    raise DataError(
                        f"{place} is observed by nobody whom it listens to, directly or by way of others, so it cannot learn it; "
                        "give it to some player's data, or let it listen to one that has it"
                    )
            if unobserved and not model.learns_incomplete:
                raise DataError(
                    f"players.{name}.unobserved: {model.title} needs every variable; choose a model that learns from incomplete "
                    f"samples ({_INCOMPLETE})"
                )
            if set(unobserved) == set(own):
                raise DataError(
                    f"players.{name}.unobserved: its data lack all of its variables; leave one, or give it no data"
                )

    def _reachable(self, sites: Sites) -> dict[str, set[str]]:
        """Variables that each player observes or can hear of, from whom it listens to in the end."""
        names, game = self.config.player_names, self.config.game
        knows = {
            name: set(sites.spaces[name]) - set(self.config.players[name].unobserved)
            if len(sites.data[name])
            else set()
            for name in names
        }
        alpha = game.mixture_weights(game.start(names, self.config.seed))
        if alpha is None:  # no game in which samples travel
            observed = set().union(*knows.values())
            return {name: observed & set(sites.spaces[name]) for name in names}
        for _ in names:  # by then news has gone all the way round
            for i, listener in enumerate(names):
                for j in alpha[i].nonzero()[:, 0].tolist():
                    knows[listener] |= knows[names[j]] & set(sites.spaces[listener])
        return knows

    def _space(self, player: str, data: Dataset) -> Space:
        """The variables that a player learns: its own choice, or the config's, or all inputs."""
        wanted = self.config.players[player].variables or self.config.data.variables or tuple(data.inputs)
        unknown = [name for name in wanted if name not in data.space]
        if unknown:
            raise DataError(
                f"player '{player}': the data set {data.name} has no variable {unknown[0]!r}; "
                f"known, nearest first: {nearest(unknown[0], data.space)}"
            )
        return data.space.only(wanted)

    def prediction(self, game: Game, sites: Sites) -> dict[str, Any]:
        """The influence matrix and the class shares it predicts; empty where there is no theory."""
        names = self.config.player_names
        influence = game.predict(names, self.config.seed)
        if influence is None:
            return {}
        found: dict[str, Any] = {"influence": influence.tolist()}
        if sites.shares is not None:
            found["predicted"] = dict(zip(names, (influence @ sites.shares).tolist(), strict=True))
        return found

    def _record(self, data: Dataset, sites: Sites, games: Mapping[str, Game]) -> dict[str, Any]:
        """What ``run.json`` says from the beginning."""
        return {
            "status": "running",
            "config": self.config.to_dict(),
            "versions": versions(),
            "data": {
                "name": data.name,
                "train": len(data.train),
                "test": len(data.test),
                "space": space_to_json(data.space),
                "learned": {name: list(space) for name, space in sites.spaces.items()},
                "sizes": {name: len(samples) for name, samples in sites.data.items()},
                "counts": sites.counts,
            },
            "notes": list(sites.notes),
            "unmeasured": self._unmeasured(data),
            "games": {name: self.prediction(game, sites) for name, game in games.items()},
        }

    def _play_all(self, folder: Path, data: Dataset, sites: Sites, games: Mapping[str, Game], report: Report) -> Result:
        storage.write_atomically(folder / "config.toml", self.config.to_toml().encode())
        record = storage.read_json(folder / "run.json") | {"status": "running"}
        record.pop("reason", None)
        storage.write_json(folder / "run.json", record)
        status = {"status": "failed"}
        try:
            storage.save_tensors(folder / "real.safetensors", tensors(pick(data.test, slice(_REAL_SHOWN))))
            reference = self._reference(folder, data, report)
            if reference:
                classifier = reference.classifier
                record["classifier"] = {"accuracy": classifier.accuracy, "n_test": classifier.n_test}
                storage.write_json(folder / "run.json", record)
            for name, game in games.items():
                held = self.given(game, sites)
                # every game is measured against the main game's prediction: that is what carrying others along is for
                Match(
                    self.config,
                    name,
                    game,
                    folder / name,
                    self.seat(game, sites, held, folder / name),
                    held,
                    sites.shares_by_player,
                    self.prediction(self.config.game, sites).get("predicted", {}),
                    reference,
                    data.test,
                ).run(report)
            status = {"status": "finished"}
        except KeyboardInterrupt:
            status = {"status": "stopped", "reason": "interrupted"}
            raise
        except Exception as error:
            status["reason"] = str(error) or type(error).__name__
            raise
        finally:
            self.config.engine.finish()
            with contextlib.suppress(CheckpointError):  # a full disk must not hide the error that is on its way
                storage.write_json(folder / "run.json", record | status)
                storage.write_json(folder / "summary.json", Result.load(folder).summary())
        return Result.load(folder)

    def _unmeasured(self, data: Dataset) -> str:
        """Why nothing is scored; empty if it is."""
        if not self.config.measure.metrics:
            return "measure.metrics is empty"
        if not data.classes:
            return f"scores need classes for the domain classifier, and {data.name} has none"
        return "" if len(data.test) else f"{data.name} has no test samples"

    def _reference(self, folder: Path, data: Dataset, report: Report) -> Reference | None:
        """The domain classifier, trained once per run; None where there is nothing to train it on or to measure."""
        if self._unmeasured(data):
            return None
        space = data.space.only(data.inputs)
        classifier = DomainClassifier(space, data.classes, derive(self.config.seed, "classifier"))
        path = folder / CLASSIFIER
        if path.exists():
            classifier.load_state_dict(storage.load_tensors(path))
        else:
            classifier.fit(
                space.restrict(data.train),
                data.train[LABEL],
                space.restrict(data.test),
                data.test[LABEL],
                lambda done, of: report("domain classifier", done, of),
            )
            storage.save_tensors(path, classifier.state_dict())
        return Reference(space.restrict(data.test), classifier, data.test[LABEL])

    def _player(self, name: str, space: Space, data: Samples, home: Path | None) -> Player:
        unobserved = self.config.players[name].unobserved
        return Player(name, space, data, self.config.player_model(name), self.config.seed, home, unobserved)

    def seat(self, game: Game, sites: Sites, held: Mapping[str, Samples], home: Path | None) -> list[Player]:
        """The players of one game, each with what it was given; who has none and needs some stays out. Then its own seats."""
        needy = game.needs_data(list(held), self.config.seed)
        players = [
            self._player(name, sites.spaces[name], data, home)
            for name, data in held.items()
            if len(data) or name not in needy
        ]
        space = next(iter(sites.spaces.values()))
        return players + [
            Player(name, space, space.empty(), self.config.model.fresh(), self.config.seed, home) for name in game.seats
        ]

    def given(self, game: Game, sites: Sites) -> dict[str, Samples]:
        """What each player learns from in this game: its own data, or everybody's."""
        names = game.players_of(list(sites.spaces))
        if not game.pools_data:
            return {name: sites.data[name] for name in names}
        union = pick(sites.train, sites.dealt)
        return {name: sites.spaces[name].restrict(union) for name in names}


def _silent(what: str, done: int, of: int) -> None:
    """No progress."""
