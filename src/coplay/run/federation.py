"""A run from its config to its result; the file reads from top to bottom like the arrow.

config → data → players → game on an engine → measurements → result
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from coplay.core import storage
from coplay.core.components import name_of
from coplay.core.errors import CheckpointError, RunFolderError
from coplay.core.space import LABEL, pick, tensors
from coplay.data.sources.base import Dataset
from coplay.games.base import Game, State
from coplay.run.caution import classifier_warning
from coplay.run.config import Config
from coplay.run.match import Match, RunSettings
from coplay.run.measuring import Measuring, reference, unmeasured, wanting
from coplay.run.progress import Progress, silent
from coplay.run.range_notes import range_notes
from coplay.run.record import ClassifierRecord, DataRecord, GameRecord, RunRecord
from coplay.run.result import CLASSIFIER, Result, versions
from coplay.run.sites import (
    Seats,
    Sites,
    check_common_variables,
    check_data,
    check_unobserved,
    deal,
    seats_for,
)
from coplay.run.sparse_matrix import SparseMatrix

_REAL_SHOWN = 300  # real test samples that a run keeps for its pictures

_LEFT_BY_ABORTED_START = {"lock", "run.json.partial"}
"""Files left by a run that was killed before ``run.json`` existed."""


@dataclass(frozen=True)
class PreparedGame:
    """One game of a run, ready to be played.

    Args:
        name: Its name in the run.
        game: The rules.
        seats: Everybody who takes part, with models set up.
        influence: M of (A2), shape (N, N); None without theory.
    """

    name: str
    game: Game[State]
    seats: Seats
    influence: Tensor | None


@dataclass(frozen=True)
class Prepared:
    """A run that is checked and ready to begin.

    Args:
        data: The data set.
        sites: Who holds what.
        games: The main game first. Each is taken out when it is played, so that the memory of its
            models is freed.
    """

    data: Dataset
    sites: Sites
    games: list[PreparedGame]


class Federation:
    """Plays the games that a config names and leaves a run folder.

    Args:
        config: What to play.

    Example:
        >>> import tempfile
        >>> config = Config.from_dict({
        ...     "players": 2, "model": "exponential_family",
        ...     "game": {"name": "sample_exchange", "rounds": 2}, "measure": {"metrics": []}})
        >>> result = Federation(config).run(Path(tempfile.mkdtemp()) / "run")
        >>> [len(play.rows) for play in result.plays.values()]
        [2]
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    # -------------------------------------------------------------------------- the data flow

    def run(
        self,
        folder: str | Path,
        report: Progress | None = None,
        classifier: Path | None = None,
    ) -> Result:
        """Play from the start into a new folder.

        Args:
            folder: Where everything goes.
            report: A function that is called with the progress; None reports nothing.
            classifier: The domain classifier's file of a run with the same seed and source, which
                would be trained to the same bits again; None trains it.

        Raises:
            RunFolderError: The folder exists and holds something.
            CoplayError: A config, data or a model is at fault; what was learned stays on disk.
        """
        folder = Path(folder)
        if _holds_something(folder):
            raise RunFolderError(
                f"{folder} exists; expected a new or empty folder. Go on with "
                f"'coplay resume {folder}', name another with --out, or remove it"
            )
        prepared = self.prepare(folder)
        record = self._record(prepared)
        with storage.locked(folder):
            storage.write_json(folder / "run.json", record.json())  # from here on it is a run
            if classifier is not None:
                storage.write_atomically(folder / CLASSIFIER, classifier.read_bytes())
            return self._play_all(folder, prepared, record, report or silent)

    @classmethod
    def resume(cls, folder: str | Path, report: Progress | None = None) -> Result:
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
            record = RunRecord.from_json(storage.read_json(folder / "run.json"))
            return federation._play_all(
                folder, federation.prepare(folder), record, report or silent
            )

    def prepare(self, folder: Path | None = None) -> Prepared:
        """Load and deal the data and build the players of all games; nothing is written.

        A game that cannot be played says so here.

        Args:
            folder: The run's folder; None for a run that is only checked.
        """
        config = self.config
        data = config.data.source.load()
        sites = deal(config, data)
        config.game.start(config.player_names, config.seed)
        check_data(config, sites)
        check_unobserved(config, sites)
        games = []
        for game in (config.game, *config.carried):
            name = name_of("game", game).rpartition(":")[2]
            seats = seats_for(config, game, sites, folder / name if folder else None)
            game.check(seats.players)
            influence = game.predict(config.player_names, config.seed)
            games.append(PreparedGame(name, game, seats, influence))
        check_common_variables(config, sites)
        return Prepared(data, sites, games)

    def _record(self, prepared: Prepared) -> RunRecord:
        """Return the contents of ``run.json`` at the beginning."""
        data = prepared.data
        sites = prepared.sites
        return RunRecord(
            status="running",
            config=self.config.to_dict(),
            versions=versions(),
            data=DataRecord(
                name=data.name,
                train=len(data.train),
                test=len(data.test),
                space=data.space,
                learned={name: tuple(space) for name, space in sites.spaces.items()},
                sizes={name: len(samples) for name, samples in sites.data.items()},
                counts=sites.counts,
            ),
            notes=[
                *sites.notes,
                *wanting(self.config, data),
                *range_notes(self.config, data.space, data.train),
            ],
            unmeasured=unmeasured(self.config, data),
            games={game.name: self._game_record(game, sites) for game in prepared.games},
        )

    def _game_record(self, prepared: PreparedGame, sites: Sites) -> GameRecord:
        """Record what theory predicts of a game, and the sizes of its networks."""
        game = prepared.game
        names = self.config.player_names
        alpha = game.mixture_weights(game.start(names, self.config.seed))
        influence = prepared.influence
        return GameRecord(
            weights=None if alpha is None else SparseMatrix.of(alpha),
            influence=None if influence is None else SparseMatrix.if_small(influence),
            predicted=self._predicted(prepared, sites),
            network_sizes=game.network_sizes(prepared.seats.players),
        )

    def _predicted(self, prepared: PreparedGame, sites: Sites) -> dict[str, list[float]]:
        """Return the class shares by player that follow from the influence.

        They are empty without theory or classes.
        """
        if prepared.influence is None or sites.shares is None:
            return {}
        shares = (prepared.influence @ sites.shares).tolist()
        return dict(zip(self.config.player_names, shares, strict=True))

    def _play_all(
        self, folder: Path, prepared: Prepared, record: RunRecord, progress: Progress
    ) -> Result:
        storage.write_atomically(folder / "config.toml", self.config.to_toml().encode())
        record = replace(record, status="running", reason="")
        storage.write_json(folder / "run.json", record.json())
        end = replace(record, status="failed")
        try:
            data = prepared.data
            real = tensors(pick(data.test, slice(_REAL_SHOWN)))
            storage.save_tensors(folder / "real.safetensors", real)
            real_data = reference(self.config, folder, data, progress)
            if real_data:
                trained = real_data.classifier
                shares = torch.bincount(data.test[LABEL]).double() / len(data.test)
                warning = classifier_warning(trained.accuracy, trained.n_test, shares.max().item())
                classifier = ClassifierRecord(trained.accuracy, trained.n_test, warning)
                record = replace(record, classifier=classifier)
                storage.write_json(folder / "run.json", record.json())
            measuring = Measuring(self.config.measure, real_data, data.test)
            self._play_games(folder, prepared, measuring, progress)
            end = replace(record, status="finished")
        except KeyboardInterrupt:
            end = replace(record, status="stopped", reason="interrupted")
            raise
        except Exception as error:
            end = replace(record, status="failed", reason=str(error) or type(error).__name__)
            raise
        finally:
            self.config.engine.finish()
            # a full disk must not hide the error that is on its way
            with contextlib.suppress(CheckpointError):
                storage.write_json(folder / "run.json", end.json())
                storage.write_json(folder / "summary.json", Result.load(folder).summary())
        return Result.load(folder)

    def _play_games(
        self, folder: Path, prepared: Prepared, measuring: Measuring, progress: Progress
    ) -> None:
        """Play one game after the other.

        Every game is measured against the main game's prediction, which is the purpose of carrying
        other games along.
        """
        predicted = self._predicted(prepared.games[0], prepared.sites)
        config = self.config
        settings = RunSettings(config.seed, config.engine, config.checkpoint, predicted)
        while prepared.games:
            game = prepared.games.pop(0)
            home = folder / game.name
            Match(game.name, game.game, home, settings, game.seats, measuring).run(progress)


def _holds_something(folder: Path) -> bool:
    """Whether a folder, or a file of its name, holds more than an aborted start may leave."""
    if not folder.is_dir():
        return folder.exists()
    return any(file.name not in _LEFT_BY_ABORTED_START for file in folder.iterdir())
