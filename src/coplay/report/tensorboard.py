"""A run as TensorBoard events: scores and learning numbers over rounds, and pictures of samples.

It writes through the package ``tensorboard``, which is an extra and is imported when it is used.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coplay.core.errors import CoplayError, RunFolderError
from coplay.report import figures
from coplay.run.result import Play, Result, space_from_json


def write_events(result: Result, folder: str | Path) -> Path:
    """Write a run's events, one folder per game.

    Scalars are ``score/QUANTITY/PLAYER``, ``learning/NUMBER/PLAYER``, ``seconds/KIND`` and ``round/NUMBER`` (bytes exchanged,
    swaps, averages), images ``samples/VARIABLE/PLAYER``, all by round; a seat, such as a server, counts as a player. Times of
    events are seconds booked by the run, so that TensorBoard's relative time is that of the run.

    Args:
        result: The run, finished or not.
        folder: Where to; ``tensorboard --logdir FOLDER`` shows it.

    Returns:
        The folder.

    Raises:
        CoplayError: The package ``tensorboard`` is not installed.
        RunFolderError: The folder holds events of this run's games already, or cannot be written.

    Example:
        ``write_events(Result.load("runs/digits"), "events/digits")``
    """
    try:
        writers: Any = importlib.import_module("tensorboard.summary.writer.event_file_writer")
        events: Any = importlib.import_module("tensorboard.compat.proto.event_pb2")
        summaries: Any = importlib.import_module("tensorboard.compat.proto.summary_pb2")
    except ImportError as error:
        raise CoplayError(
            f"TensorBoard events need the package tensorboard ({error}); pip install 'coplay[tensorboard]'"
        ) from error
    folder = Path(folder)
    for game in result.plays:
        if any((folder / game).glob("events.out.tfevents.*")):
            raise RunFolderError(
                f"{folder / game} holds events already, and TensorBoard would show both; remove it or name another folder"
            )
    began = (result.folder / "config.toml").stat().st_mtime if (result.folder / "config.toml").exists() else 0.0
    for game, play in result.plays.items():
        try:
            writer = writers.EventFileWriter(str(folder / game))
        except OSError as error:
            raise RunFolderError(f"cannot write {folder / game}: {error.strerror or error}") from error
        spent = 0.0
        for row in play.rows:
            spent += sum(row.get("seconds", {}).values())
            values = [summaries.Summary.Value(tag=tag, simple_value=value) for tag, value in _scalars(row)]
            values += [
                summaries.Summary.Value(
                    tag=tag,
                    image=summaries.Summary.Image(
                        height=size[1], width=size[0], colorspace=3, encoded_image_string=png
                    ),
                )
                for tag, png, size in _images(result, play, row["round"])
            ]
            summary = summaries.Summary(value=values)
            writer.add_event(events.Event(wall_time=began + spent, step=row["round"], summary=summary))
        writer.close()
    return folder


def _scalars(row: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Tags and values of a round; what is no finite number stays as it is, since TensorBoard marks it."""
    for player, measured in row.get("measured", {}).items():
        for quantity, found in measured.items():
            if not isinstance(found["value"], list):
                yield f"score/{quantity}/{player}", _float(found["value"])
    for player, numbers in row.get("players", {}).items():
        for name, value in numbers.items():
            yield f"learning/{name}/{player}", _float(value)
    for name, value in row.items():
        if name != "round" and isinstance(value, int | float) and not isinstance(value, bool):
            yield f"round/{name}", float(value)
    for kind, seconds in row.get("seconds", {}).items():
        yield f"seconds/{kind}", float(seconds)


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _images(result: Result, play: Play, round: int) -> Iterator[tuple[str, bytes, tuple[int, int]]]:
    """Tag, PNG and (width, height) of what every player showed after a round."""
    space = space_from_json(result.record["data"]["space"])
    for player, values in play.samples(round).items():
        for name, images in values.items():
            if name in space and space[name].is_image and len(images):
                png = figures.image_grid(images)
                size = int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
                yield f"samples/{name}/{player}", png, size
