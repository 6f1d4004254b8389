"""What a resume checks before it plays, and how it goes back by a checkpoint."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from coplay.core import checkpoints, remedies, storage
from coplay.core.errors import CheckpointError, CoplayError, RunFolderError
from coplay.core.facts import Facts
from coplay.engines.recipes import Recipe
from coplay.player import Player
from coplay.run.checkpoint import Checkpoint, run_id
from coplay.run.data_digest import DataDigest
from coplay.run.interruption import Interruption
from coplay.run.record import RunRecord, read_record
from coplay.run.result import CLASSIFIER, REAL, Result
from coplay.run.rows import FILE, Rows


def check_finished(result: Result) -> None:
    """Compare all that a finished run left with what is on record.

    Raises:
        CheckpointError: A file is missing or damaged.
    """
    for play in result.plays.values():
        last = _last_of_finished(play.folder)
        last.check_run(play.folder, run_id(result.record.config))
        last.check_models(play.folder)
        Rows.read(play.folder, last.counted).check_shown()
    result.real_samples()
    result.classifier()


def _last_of_finished(home: Path) -> Checkpoint:
    last = Checkpoint.last(home)
    path = home / checkpoints.LAST
    remedy = remedies.play_again(home.parent)
    if last is None:
        raise CheckpointError(f"{path} was deleted; {remedy}")
    if not last.finished:
        raise storage.damaged(path, "it does not say that the game is finished", remedy)
    return last


def interrupted(record: RunRecord, folder: Path, previous: bool) -> RunRecord:
    """Return the record of an unfinished run that is to go on: how it ended, and where it goes on.

    Args:
        record: The run's record.
        folder: Its folder.
        previous: Whether to make the checkpoint before the last one count first.

    Raises:
        CheckpointError: A checkpoint is damaged, or the last one was deleted.
        RunFolderError: There is no checkpoint to go back to.
    """
    if previous:
        step_back(record, folder)
    check_begun(record, folder)
    rounds = {}
    for game in record.games:
        last = Checkpoint.last(folder / game)
        rounds[game] = 0 if last is None else last.round
    latest = Interruption(record.status, record.reason, rounds, previous)
    return replace(record, interruptions=(*record.interruptions, latest))


def check_begun(record: RunRecord, folder: Path) -> None:
    """Refuse a run whose last checkpoint was deleted, which would begin anew without a word.

    Raises:
        CheckpointError: There is only the checkpoint before.
    """
    for name in record.games:
        home = folder / name
        if (home / checkpoints.PREVIOUS).exists() and not (home / checkpoints.LAST).exists():
            raise CheckpointError(
                f"{home / checkpoints.LAST} was deleted; restore it from a copy, or "
                f"'coplay resume {folder} --previous' goes on from the checkpoint before"
            )


def step_back(record: RunRecord, folder: Path) -> None:
    """Make the checkpoint before the last one count, in the game that is being played.

    Raises:
        CheckpointError: It is damaged.
        RunFolderError: There is none.
    """
    homes = [folder / name for name in record.games]
    begun = [home for home in homes if (home / checkpoints.PREVIOUS).exists()]
    if not begun:
        raise RunFolderError(
            f"{folder} has no checkpoint before the last one: the last two of a game are kept "
            "until it is finished. Resume without --previous, or play the run again: "
            f"'coplay run {folder / 'config.toml'} --out NEW'"
        )
    for home in begun:
        before = Checkpoint.previous(home)
        assert before is not None, "its file is there"
        before.check_run(home, run_id(record.config))
        before.check_models(home)
        before.in_flight(home)
        Rows.read(home, before.counted, only_counted=True).check_shown()
        storage.write_sealed(home / checkpoints.LAST, before.json())
        (home / checkpoints.PREVIOUS).unlink()


def changed_data(
    folder: Path,
    run: str,
    now: DataDigest,
    players: Mapping[str, Sequence[Player | Recipe]],
    facts: Mapping[str, Facts],
) -> Sequence[str]:
    """Return whose data are no longer those that a run began with.

    Args:
        folder: The run's folder.
        run: What tells the run from others.
        now: Digests of the data now.
        players: The players by game.
        facts: What the players say of themselves; those with data of their own look at them
            themselves.

    Raises:
        CheckpointError: Digests are missing or damaged, or a file is another run's or player's.
    """
    changed: dict[str, None] = {}
    for game, seats in players.items():
        last = Checkpoint.last(folder / game)
        if last is None or last.finished:
            continue
        living = [player for player in seats if player.name in last.models]
        last.check_run(folder / game, run)
        last.check_notes(folder / game, [player.name for player in living])
        for player in living:
            if not isinstance(player, Player):
                continue
            if player.checkpoint(last.round).note()["data"] != player.data_digest:
                changed[f"the data of player '{player.name}'"] = None
    for name, each in facts.items():
        if each.rows_since == "changed":
            changed[f"the data of player '{name}'"] = None
    splits = DataDigest.read(folder).changed(now)
    splits = [split for split in splits if split not in changed]
    if changed:  # which says more than the training split
        splits = [split for split in splits if split != "the training split"]
    return [*changed, *splits]


def has_checkpoint(record: RunRecord, folder: Path) -> bool:
    """Whether any game of a run has come to a checkpoint."""
    return any((folder / name / checkpoints.LAST).exists() for name in record.games)


def refuse_changed_data(folder: Path, changed: Sequence[str]) -> RunFolderError:
    """Return the error for a run whose data changed after its first checkpoint."""
    return RunFolderError(
        f"{', '.join(changed)} changed since {folder} began; a run goes on only with the data that "
        "it began with, or its models would mix both. Restore the data, or go on deliberately with "
        f"the new ones, in a new run: 'coplay run {folder / 'config.toml'} --start-from {folder} "
        "--out NEW'"
    )


def forget(record: RunRecord, folder: Path) -> None:
    """Delete what a run without a checkpoint left, so that it begins anew."""
    for name in record.games:
        (folder / name / FILE).unlink(missing_ok=True)
        for part in ("samples", "checkpoints"):
            shutil.rmtree(folder / name / part, ignore_errors=True)
    for file in (CLASSIFIER, REAL):
        (folder / file).unlink(missing_ok=True)


def refuse_of_finished(folder: Path, overrides: Sequence[str], previous: bool) -> None:
    """Refuse to change anything of a finished run.

    Raises:
        RunFolderError: Something was to be changed.
    """
    if overrides or previous:
        option = "--set" if overrides else "--previous"
        raise RunFolderError(
            f"{folder} is finished, so {option} has nothing to change; start a new run with "
            "'coplay run'"
        )


def has_all_checkpoints(record: RunRecord, folder: Path) -> bool:
    """Whether every game of a run has come to a checkpoint."""
    return all((folder / name / checkpoints.LAST).exists() for name in record.games)


def with_classifier(
    record: RunRecord, folder: Path, classifier: Path, now: DataDigest
) -> RunRecord:
    """Take over the classifier of another run, if it was trained on the same data."""
    other = classifier.parent
    # whatever is wrong with the other run, the classifier can be trained here
    with contextlib.suppress(CoplayError, OSError):
        digest = read_record(other).files.get(CLASSIFIER)
        if digest is not None and DataDigest.read(other) == now:
            content = storage.read_bytes(classifier, digest)
            storage.write_atomically(folder / CLASSIFIER, content)
            return replace(record, files={**record.files, CLASSIFIER: digest})
    return record
