"""A run as TensorBoard events: scores and learning numbers over rounds, and pictures of samples.

It writes through the package ``tensorboard``, which is an extra and is imported when it is used.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coplay.core.errors import CoplayError, RunFolderError
from coplay.core.inside import refuse_links, write_output
from coplay.core.space import Space
from coplay.core.text import visible
from coplay.report import figures
from coplay.run.play import Play
from coplay.run.result import Result
from coplay.run.round_record import RoundRecord


def write_events(result: Result, folder: str | Path) -> Path:
    """Write a run's events, one folder per game.

    Scalars are ``score/QUANTITY/PLAYER``, ``learning/NUMBER/PLAYER``, ``seconds/KIND`` and
    ``round/NUMBER`` (bytes exchanged, swaps, averages), images ``samples/VARIABLE/PLAYER``, all by
    round; a seat, such as a server, counts as a player. Times of events are seconds booked by the
    run, so that TensorBoard's relative time is that of the run.

    Args:
        result: The run, finished or not.
        folder: Where to; ``tensorboard --logdir FOLDER`` shows it.

    Returns:
        The folder.

    Raises:
        CoplayError: The package ``tensorboard`` is not installed.
        RunFolderError: The folder holds events of this run's games already, or links, through which
            something outside would be written.
        OutputError: The folder cannot be written.

    Example:
        ``write_events(Result.load("runs/digits"), "events/digits")``
    """
    package = _TensorBoard.load()
    folder = Path(folder)
    refuse_links(folder, list(result.plays))
    for game in result.plays:
        if any((folder / game).glob("events.out.tfevents.*")):
            raise RunFolderError(
                f"{folder / game} holds events already, and TensorBoard would show both; "
                "remove it or name another folder"
            )
    config = result.folder / "config.toml"
    began = config.stat().st_mtime if config.exists() else 0.0
    for game, play in result.plays.items():
        package.write(play, result.record.data.space, folder / game, began)
    return folder


@dataclass(frozen=True)
class _TensorBoard:
    """The modules of ``tensorboard`` that write events.

    Args:
        writers: Has the writer of records, which a file of events consists of.
        events: Has the message of an event.
        summaries: Has the messages of an event's content.
    """

    writers: Any
    events: Any
    summaries: Any

    @classmethod
    def load(cls) -> _TensorBoard:
        """Import the modules."""
        try:
            return cls(
                importlib.import_module("tensorboard.summary.writer.record_writer"),
                importlib.import_module("tensorboard.compat.proto.event_pb2"),
                importlib.import_module("tensorboard.compat.proto.summary_pb2"),
            )
        except ImportError as error:
            need = f"TensorBoard events need the package tensorboard ({error})"
            raise CoplayError(f"{need}; pip install 'coplay[tensorboard]'") from error

    def write(self, play: Play, space: Space, folder: Path, began: float) -> None:
        """Write the events of one game; the run began at ``began``, in seconds since 1970.

        They are put together in memory, so that the file is whole or is not there.
        """
        file = io.BytesIO()
        writer = self.writers.RecordWriter(file)
        first = self.events.Event(wall_time=began, file_version="brain.Event:2")
        writer.write(first.SerializeToString())
        spent = 0.0
        for row in play.rows:
            spent += sum(row.seconds.values())
            values = [*self._numbers(row), *self._pictures(play, space, row.round)]
            summary = self.summaries.Summary(value=values)
            event = self.events.Event(wall_time=began + spent, step=row.round, summary=summary)
            writer.write(event.SerializeToString())
        place = folder / f"events.out.tfevents.{int(began):010d}.coplay"
        remedy = "give permission, make room or name another folder"
        write_output(place, file.getvalue(), remedy)

    def _numbers(self, row: RoundRecord) -> Iterator[Any]:
        for tag, value in _scalars(row):
            yield self.summaries.Summary.Value(tag=visible(tag, lines=False), simple_value=value)

    def _pictures(self, play: Play, space: Space, round: int) -> Iterator[Any]:
        """What each player showed after a round."""
        for player, values in play.samples(round).items():
            for name, images in values.items():
                if name in space and space[name].is_image and len(images):
                    picture = self._picture(figures.image_grid(images))
                    tag = visible(f"samples/{name}/{player}", lines=False)
                    yield self.summaries.Summary.Value(tag=tag, image=picture)

    def _picture(self, png: bytes) -> Any:
        """A picture as TensorBoard holds it; width and height stand in the PNG's header."""
        return self.summaries.Summary.Image(
            width=int.from_bytes(png[16:20], "big"),
            height=int.from_bytes(png[20:24], "big"),
            colorspace=3,
            encoded_image_string=png,
        )


def _scalars(row: RoundRecord) -> Iterator[tuple[str, float]]:
    """Tags and values of a round; NaN and infinities stay, since TensorBoard marks them."""
    for player, measured in (row.measured or {}).items():
        for quantity, value in measured.items():
            if value.is_scalar:
                assert not isinstance(value.value, list)
                yield f"score/{quantity}/{player}", float(value.value)
    for player, numbers in row.players.items():
        for name, number in numbers.items():
            yield f"learning/{name}/{player}", float(number)
    for name, number in row.own.items():
        if isinstance(number, int | float) and not isinstance(number, bool):
            yield f"round/{name}", float(number)
    if row.bytes is not None:
        yield "round/bytes", float(row.bytes)
    for kind, seconds in row.seconds.items():
        yield f"seconds/{kind}", float(seconds)
