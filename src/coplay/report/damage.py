"""Files of a run that are not what was written and that the rest of a report does without."""

from __future__ import annotations

import json
from collections.abc import Iterator

from coplay.core import remedies, storage
from coplay.core.errors import CheckpointError
from coplay.core.text import json_text
from coplay.report.parts import PageSection
from coplay.run.checkpoint import Checkpoint
from coplay.run.play import Play
from coplay.run.result import Result


def section(result: Result) -> PageSection | None:
    """Name every damaged file: summary, classifier, times, models; None where all are intact."""
    faults = [*_of_summary(result), *_of_classifier(result)]
    for play in result.plays.values():
        faults += [*_of_times(play), *_of_models(play)]
    if not faults:
        return None
    text = "These files are not what the run wrote. The rest of this page does without them."
    return PageSection("damage", "Damaged files", [text], points=faults, data={"files": faults})


def _of_summary(result: Result) -> Iterator[str]:
    path = result.folder / "summary.json"
    if result.record.status != "finished":
        return
    remedy = "the rows of the games have the same: remove it"
    try:
        written = storage.read_json(path, remedy)
        expected = json.loads(json_text(json.dumps(result.summary(), ensure_ascii=False)))
        # as texts, since NaN is not equal to itself
        if json.dumps(written, sort_keys=True) != json.dumps(expected, sort_keys=True):
            raise storage.damaged(path, "it says something else than the rows", remedy)
    except CheckpointError as error:
        yield str(error)


def _of_classifier(result: Result) -> Iterator[str]:
    try:
        _ = result.classifier()
    except CheckpointError as error:
        yield str(error)


def _of_times(play: Play) -> Iterator[str]:
    try:
        _ = play.bookkeeping_seconds
    except (CheckpointError, KeyError, TypeError, ValueError) as error:
        yield str(error)


def _of_models(play: Play) -> Iterator[str]:
    last = Checkpoint.last(play.folder)
    if last is None:
        return
    run = play.folder.parent
    remedy = remedies.play_again(run) if last.finished else remedies.use_previous(run)
    for name, digest in last.models.items():
        try:
            storage.read_bytes(last.player_file(play.folder, name), digest, remedy)
        except CheckpointError as error:
            yield str(error)
