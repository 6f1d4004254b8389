"""A run from its config to its result; the file reads from top to bottom like the arrow.

config → data → players → game on an engine → measurements → result
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from coplay.core import storage
from coplay.core.components import name_of
from coplay.core.errors import CheckpointError, RunFolderError
from coplay.core.space import pick, tensors
from coplay.data.sources.base import Dataset
from coplay.games.base import Game, State
from coplay.metrics.base import Reference
from coplay.player import Player
from coplay.run import data_digest, resume_settings
from coplay.run.checkpoint import run_id
from coplay.run.config import Config, differences
from coplay.run.data_digest import DataDigest
from coplay.run.match import Match, RunSettings
from coplay.run.measuring import Measuring, reference, unmeasured
from coplay.run.progress import Progress, silent
from coplay.run.record import ClassifierRecord, DataRecord, GameRecord, RunRecord
from coplay.run.result import CLASSIFIER, REAL, RUN, Result, versions
from coplay.run.resuming import (
    changed_data,
    check_begun,
    check_finished,
    forget,
    has_all_checkpoints,
    has_checkpoint,
    refuse_changed_data,
    refuse_of_finished,
    step_back,
    with_classifier,
)
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
from coplay.run.start_from import Beginning

_REAL_SHOWN = 300  # real test samples that a run keeps for its pictures

_LEFT_BY_ABORTED_START = {"lock", "run.json.partial", data_digest.FOLDER}
"""What is left by a run that was killed before ``run.json`` existed."""


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

    @property
    def players(self) -> dict[str, Sequence[Player]]:
        """Everybody who takes part, by game."""
        return {game.name: game.seats.players for game in self.games}


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
        start_from: str | Path | None = None,
    ) -> Result:
        """Play from the start into a new folder.

        The folder is claimed before anything else, so of several starts exactly one plays in it.

        Args:
            folder: Where everything goes.
            report: A function that is called with the progress; None reports nothing.
            classifier: The domain classifier's file of a run with the same seed and source, which
                would be trained to the same bits again; None trains it, and so do other data.
            start_from: The folder of a run with whose last models the players begin; None for a
                start from nothing.

        Raises:
            RunFolderError: The folder exists and holds something.
            CheckpointError: Somebody else plays in the folder, or it cannot be written to.
            CoplayError: A config, data or a model is at fault; what was learned stays on disk.
        """
        folder = Path(folder)
        if not (folder / "lock").exists():  # what is no run's folder is not touched
            _check_free(folder)
        with storage.locked(folder):
            _check_free(folder)
            prepared = self.prepare(folder)
            record = self._record(prepared)
            now = DataDigest.of(prepared.data)
            if start_from is not None:
                beginning = Beginning.of(Path(start_from), list(record.games))
                beginning.check(record.data, prepared.players)
                record = replace(record, started_from=beginning.origin(self.config, now))
            now.write(folder)
            storage.write_sealed(folder / RUN, record.json())  # from here on it is a run
            if classifier is not None:
                record = with_classifier(record, folder, classifier, now)
            return self._play_all(folder, prepared, record, report or silent)

    @classmethod
    def resume(
        cls,
        folder: str | Path,
        report: Progress | None = None,
        overrides: Sequence[str] = (),
        previous: bool = False,
    ) -> Result:
        """Go on with a run that was stopped, killed or failed, from its last checkpoints.

        A finished run is checked and left as it is.

        Args:
            folder: The run's folder.
            report: A function that is called with the progress; None reports nothing.
            overrides: Settings that change from here on, ``key.path=value`` each; only such as
                cannot change results.
            previous: Whether to go on from the checkpoint before the last one.

        Raises:
            RunFolderError: There is no run, or its config or its data were changed.
            ConfigError: A setting may not be changed.
            CheckpointError: Another process is playing it, or a file is missing or damaged.
        """
        folder = Path(folder)
        result = Result.load(folder)
        with storage.locked(folder):
            result = Result.load(folder)
            result.check_config()
            record = result.record
            if record.status == "finished":
                refuse_of_finished(folder, overrides, previous)
                check_finished(result)
                return result
            if previous:
                step_back(record, folder)
            check_begun(record, folder)
            federation = cls(resume_settings.changed(result.config, overrides))
            prepared = federation.prepare(folder)
            record = federation._went_on(folder, prepared, record)
            return federation._play_all(folder, prepared, record, report or silent)

    def _went_on(self, folder: Path, prepared: Prepared, record: RunRecord) -> RunRecord:
        """Return the record of a run that goes on.

        Where the data changed before the first checkpoint, it begins anew with those of now.

        Raises:
            RunFolderError: The data changed after it.
        """
        now = DataDigest.of(prepared.data)
        changed = changed_data(folder, run_id(record.config), now, prepared.players)
        new_settings = list(differences(record.config, self.config.to_dict()))
        notes = [*record.notes, *(f"resumed with another {line}" for line in new_settings)]
        record = replace(record, config=self.config.to_dict(), notes=notes, data_digest="same")
        if not changed:
            return record
        if has_checkpoint(record, folder) or record.started_from is not None:
            raise refuse_changed_data(folder, changed)
        forget(record, folder)
        now.write(folder)
        note = f"{', '.join(changed)} changed before the first checkpoint, so the run began anew"
        new = self._record(prepared)
        return replace(new, notes=[*new.notes, note], data_digest="changed")

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
            notes=sites.notes,
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
        storage.write_sealed(folder / RUN, record.json())
        end = replace(record, status="failed")
        try:
            data = prepared.data
            record = self._begin_with(folder, prepared, record)
            real = tensors(pick(data.test, slice(_REAL_SHOWN)))
            digest = storage.save_tensors(folder / REAL, real)
            record = replace(record, files={**record.files, REAL: digest})
            storage.write_sealed(folder / RUN, record.json())
            real_data, record = self._reference(folder, data, record, progress)
            end = replace(record, status="failed")
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
                storage.write_sealed(folder / RUN, end.json())
                storage.write_json(folder / "summary.json", Result.load(folder).summary())
        return Result.load(folder)

    def _begin_with(self, folder: Path, prepared: Prepared, record: RunRecord) -> RunRecord:
        """Put the models of another run into a run that is to begin with them."""
        origin = record.started_from
        if origin is not None and not has_all_checkpoints(record, folder):
            beginning = Beginning.of(Path(origin.folder), list(record.games))
            beginning.check_same(origin)
            beginning.put_into(folder, self.config, prepared.players)
        return record

    def _reference(
        self, folder: Path, data: Dataset, record: RunRecord, progress: Progress
    ) -> tuple[Reference | None, RunRecord]:
        """Return what samples are measured against, and the record with its classifier."""
        trained = reference(self.config, folder, data, progress, record.files.get(CLASSIFIER))
        if trained is None:
            return None, record
        real_data, digest = trained
        classifier = ClassifierRecord(real_data.classifier.accuracy, real_data.classifier.n_test)
        files = {**record.files, CLASSIFIER: digest}
        record = replace(record, classifier=classifier, files=files)
        storage.write_sealed(folder / RUN, record.json())
        return real_data, record

    def _play_games(
        self, folder: Path, prepared: Prepared, measuring: Measuring, progress: Progress
    ) -> None:
        """Play one game after the other.

        Every game is measured against the main game's prediction, which is the purpose of carrying
        other games along.
        """
        predicted = self._predicted(prepared.games[0], prepared.sites)
        config = self.config
        run = run_id(config.to_dict())
        settings = RunSettings(config.seed, config.engine, config.checkpoint, predicted, run)
        while prepared.games:
            game = prepared.games.pop(0)
            home = folder / game.name
            Match(game.name, game.game, home, settings, game.seats, measuring).run(progress)


def _check_free(folder: Path) -> None:
    """Refuse a folder that holds something.

    Raises:
        RunFolderError: It does.
    """
    if _holds_something(folder):
        raise RunFolderError(
            f"{folder} exists; expected a new or empty folder. Go on with "
            f"'coplay resume {folder}', name another with --out, or remove it"
        )


def _holds_something(folder: Path) -> bool:
    """Whether a folder, or a file of its name, holds more than an aborted start may leave."""
    if not folder.is_dir():
        return folder.exists()
    left = _LEFT_BY_ABORTED_START
    if any(file.name not in left for file in folder.iterdir()):
        return True
    private = folder / data_digest.FOLDER
    return private.exists() and any(file.stem != "data" for file in private.glob("*.json"))
