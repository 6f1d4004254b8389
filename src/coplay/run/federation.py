"""A run from its config to its result; the file reads from top to bottom like the arrow.

config → data → players → game on an engine → measurements → result
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from coplay.core import storage
from coplay.core.errors import (
    CheckpointError,
    CoplayError,
    DataError,
    ModelError,
    RunFolderError,
    SpaceError,
)
from coplay.core.inside import refuse_links
from coplay.core.processor import matrix_products
from coplay.core.space import LABEL, Samples, pick, tensors
from coplay.data.sources.base import Dataset
from coplay.metrics.base import Reference
from coplay.run import data_digest, resume_settings
from coplay.run.approval import check_held, check_read_rows
from coplay.run.caution import classifier_warning
from coplay.run.checkpoint import run_id
from coplay.run.config import Config
from coplay.run.data_digest import DataDigest
from coplay.run.differences import differences
from coplay.run.given_rows import check_given, reread
from coplay.run.judging import Judging
from coplay.run.match import Match, RunSettings
from coplay.run.measuring import Measuring, reference
from coplay.run.origin import SEAL, refuse_untrusted, seal
from coplay.run.preparing import Prepared, PreparedGame, first_record, game_names, prepare
from coplay.run.progress import Progress
from coplay.run.record import RUN, ClassifierRecord, RunRecord
from coplay.run.result import CLASSIFIER, REAL, Result
from coplay.run.resuming import (
    changed_data,
    check_finished,
    forget,
    has_all_checkpoints,
    has_checkpoint,
    interrupted,
    refuse_changed_data,
    refuse_of_finished,
    with_classifier,
)
from coplay.run.side_by_side import games_at_once, play_side_by_side
from coplay.run.site_folders import Earlier
from coplay.run.start_from import Beginning
from coplay.run.turns import playing_alone
from coplay.run.versions import MATRIX_PRODUCTS

_REAL_SHOWN = 300  # real test samples that a run keeps for its pictures

_LEFT_BY_ABORTED_START = {
    "lock",
    "run.json.partial",
    SEAL,
    f"{SEAL}.partial",
    data_digest.FOLDER,
}
"""What is left by a run that was killed before ``run.json`` existed."""


class Federation:
    """Plays the games that a config names and leaves a run folder.

    Args:
        config: What to play.
        given: Data that are in memory, by the player that holds them.

    Example:
        >>> from coplay.core.temporary import temporary_folder
        >>> config = Config.from_dict({
        ...     "players": 2, "model": "exponential_family",
        ...     "game": {"name": "sample_exchange", "rounds": 2}, "measure": {"metrics": []}})
        >>> result = Federation(config).run(temporary_folder("example") / "run")
        >>> [len(play.rows) for play in result.plays.values()]
        [2]
    """

    def __init__(self, config: Config, given: Mapping[str, Dataset] | None = None) -> None:
        self.config = config
        self.given = given or {}
        check_given(config, self.given)

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

        Threads of one process that play wait for one another: torch's number of threads and global
        generator are common to all, and each would change the other's numbers. So a ``report`` must
        not wait for a run in another thread; it may play one itself. Processes play side by side.

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
        refuse_links(folder)
        with storage.locked(folder), playing_alone(self.config.engine, report) as progress:
            _check_free(folder)
            beginning = None
            begins_with = None
            if start_from is not None:
                beginning = Beginning.of(Path(start_from), game_names(self.config))
                begins_with = self._earlier(beginning.folder, beginning.rounds)
            prepared = self.prepare(folder, begins_with)
            record = first_record(self.config, prepared)
            now = DataDigest.of(prepared.data, prepared.own)
            if beginning is not None:
                beginning.check(record.data, prepared.games)
                origin = beginning.origin(self.config, now, prepared.facts)
                record = replace(record, started_from=origin)
            now.write(folder)
            seal(folder, self.config)
            storage.write_sealed(folder / RUN, record.json())  # from here on it is a run
            if classifier is not None:
                record = with_classifier(record, folder, classifier, now)
            return self._play_all(folder, prepared, record, progress)

    @classmethod
    def resume(
        cls,
        folder: str | Path,
        report: Progress | None = None,
        overrides: Sequence[str] = (),
        previous: bool = False,
        trust: bool = False,
        given: Mapping[str, Any] | None = None,
    ) -> Result:
        """Go on with a run that was stopped, killed or failed, from its last checkpoints.

        A finished run is checked and left as it is.

        Args:
            folder: The run's folder.
            report: As in :meth:`run`.
            overrides: Settings that change from here on, ``key.path=value`` each; only such as
                cannot change results.
            previous: Whether to go on from the checkpoint before the last one.
            trust: Whether classes outside coplay that the run names are imported, and files that
                it names are read though it did not begin here.
            given: Data that are in memory, by the player that holds them: what
                :func:`coplay.play` takes.

        Raises:
            TrustError: It names such classes or files, and ``trust`` is not given.
            RunFolderError: There is no run, its config or its data were changed, or the folder
                holds links.
            ConfigError: A setting may not be changed.
            CheckpointError: Another process is playing it, or a file is missing or damaged.
        """
        folder = Path(folder)
        result = Result.load(folder, trust)
        refuse_untrusted(result)
        refuse_links(folder)
        with storage.locked(folder):
            result = Result.load(folder, trust)
            result.check_config()
            check_given(result.config, given or {})
            record = _noting_processor(result.record)
            if record.status == "finished":
                refuse_of_finished(folder, overrides, previous)
                check_finished(result)
                return result
            record = interrupted(record, folder, previous)
            federation = cls(resume_settings.changed(result.config, overrides))
            federation.given = reread(federation.config, given)
            with playing_alone(federation.config.engine, report) as progress:
                origin = record.started_from
                begins_with = None
                if origin is not None:
                    begins_with = federation._earlier(Path(origin.folder), origin.rounds)
                prepared = federation.prepare(folder, begins_with)
                record = federation._went_on(folder, prepared, record)
                return federation._play_all(folder, prepared, record, progress)

    def _went_on(self, folder: Path, prepared: Prepared, record: RunRecord) -> RunRecord:
        """Return the record of a run that goes on.

        Where the data changed before the first checkpoint, it begins anew with those of now.

        Raises:
            RunFolderError: The data changed after it.
        """
        now = DataDigest.of(prepared.data, prepared.own)
        changed = changed_data(folder, run_id(record.config), now, prepared.players, prepared.facts)
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
        new = first_record(self.config, prepared)
        new = replace(new, interruptions=record.interruptions)
        return replace(new, notes=[*new.notes, note], data_digest="changed")

    def _earlier(self, folder: Path, rounds: Mapping[str, int]) -> Earlier:
        return Earlier(folder, rounds, run_id(self.config.to_dict()))

    def prepare(self, folder: Path | None = None, begins_with: Earlier | None = None) -> Prepared:
        """Load and deal the data and build the players of all games; nothing is written.

        Args:
            folder: The run's folder; None for a run that is only checked.
            begins_with: The run with whose models the players begin; None for new ones.

        Raises:
            CoplayError: The config, the data or a model is at fault, or a site holds its messages
                back.
        """
        if folder is None:  # nothing is played
            return prepare(self.config, None, self.given, begins_with)
        check_held(self.config)
        prepared = prepare(self.config, folder, self.given, begins_with)
        check_read_rows(prepared.own)
        return prepared

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
            real_data = None
            real = Samples({}, batch_size=[0])
            judged_by = prepared.judged_by
            if data is not None:
                shown = tensors(pick(data.test, slice(_REAL_SHOWN)))
                digest = storage.save_tensors(folder / REAL, shown)
                record = replace(record, files={**record.files, REAL: digest})
                storage.write_sealed(folder / RUN, record.json())
            if judged_by is not None:
                real = judged_by.test
                real_data, record = self._reference(folder, prepared, record, progress)
                end = replace(record, status="failed")
            measuring = Measuring(
                self.config.measure, real_data, real, prepared.metrics, prepared.at_players
            )
            self._play_games(folder, prepared, measuring, progress)
            end = replace(record, status="finished")
        except KeyboardInterrupt:
            end = replace(record, status="stopped", reason="interrupted")
            raise
        except Exception as error:
            end = replace(record, status="failed", reason=_reason(error, prepared))
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
        self, folder: Path, prepared: Prepared, record: RunRecord, progress: Progress
    ) -> tuple[Reference | None, RunRecord]:
        """Return what samples are measured against, and the record with its classifier."""
        data = prepared.judged_by
        assert data is not None
        before = record.files.get(CLASSIFIER)
        trained = reference(prepared.metrics, self.config.seed, folder, data, progress, before)
        if trained is None:
            return None, record
        real_data, digest = trained
        judge = real_data.judge
        if judge is None:
            return real_data, record
        shares = torch.bincount(data.test[LABEL]).double() / len(data.test)
        warning = classifier_warning(judge.accuracy, judge.n_test, shares.max().item())
        classifier = ClassifierRecord(judge.accuracy, judge.n_test, warning)
        files = {**record.files, CLASSIFIER: digest}
        record = replace(record, classifier=classifier, files=files)
        storage.write_sealed(folder / RUN, record.json())
        return real_data, record

    def _play_games(
        self, folder: Path, prepared: Prepared, measuring: Measuring, progress: Progress
    ) -> None:
        """Play one game after the other, or some at the same time, which changes no bit.

        Every game is measured against the main game's prediction, which is the purpose of carrying
        other games along.
        """
        predicted = prepared.games[0].predicted
        config = self.config
        run = run_id(config.to_dict())
        names = [game.name for game in prepared.games]
        judging = Judging(names, config.measure.target, config.measure.samples)
        settings = RunSettings(
            config.seed, config.engine, config.checkpoint, predicted, run, judging
        )

        def play(game: PreparedGame, report: Progress) -> None:
            home = folder / game.name
            Match(game.name, game.game, home, settings, game.seats, measuring).run(report)

        at_once = games_at_once(config.engine, len(prepared.games))
        if at_once > 1:
            play_side_by_side(prepared.games, play, at_once, progress)
        while prepared.games:
            play(prepared.games.pop(0), progress)


def _reason(error: Exception, prepared: Prepared) -> str:
    """Return what the record says of an error: it is for everybody, and quotes no private value."""
    kind = type(error).__name__
    if not isinstance(error, CoplayError):
        return kind
    if prepared.own and isinstance(error, DataError | ModelError | SpaceError):
        return f"{kind}, whose text may quote rows and is not on record"
    return str(error) or kind


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


def _noting_processor(record: RunRecord) -> RunRecord:
    """Return the record with a note if matrices are multiplied otherwise than at the start."""
    before = record.versions.get(MATRIX_PRODUCTS)
    now = matrix_products()
    note = (
        f"resumed where matrix products are those of {now}; it began with {before}, and the last "
        "digits of what networks learn depend on it"
    )
    if before in (None, now) or note in record.notes:
        return record
    return replace(record, notes=(*record.notes, note))


def _holds_something(folder: Path) -> bool:
    """Whether a folder, or a file of its name, holds more than an aborted start may leave."""
    if not folder.is_dir():
        return folder.exists()
    left = _LEFT_BY_ABORTED_START
    if any(file.name not in left for file in folder.iterdir()):
        return True
    private = folder / data_digest.FOLDER
    return private.exists() and any(file.stem != "data" for file in private.glob("*.json"))
