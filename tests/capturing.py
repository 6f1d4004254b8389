"""An engine in one process that writes every message of every player to disk, as bytes."""

from __future__ import annotations

from pathlib import Path

from coplay.core.codec import reply_from_bytes, reply_to_bytes, request_from_bytes, request_to_bytes
from coplay.core.message import Message
from coplay.engines.local import Local
from coplay.player import REQUESTS


class Capturing(Local):
    """Plays as the engine ``local`` and keeps what was said.

    Args:
        folder: Where messages are written to.
    """

    folder: str = ""

    def deliver(self, messages, purpose):
        """Let players answer, and write down what they were asked and what they answered."""
        replies = super().deliver(messages, purpose)
        for ask, reply in zip(messages, replies, strict=True):
            place = Path(self.folder) / ask.receiver
            place.mkdir(parents=True, exist_ok=True)
            number = len(list(place.glob("*.reply")))
            (place / f"{number:05d}.request").write_bytes(request_to_bytes(ask))
            (place / f"{number:05d}.reply").write_bytes(reply_to_bytes(reply))
        return replies


def captured(folder, player, game):
    """Return the messages that left a player, in order, from the bytes on disk."""
    replies = []
    for path in sorted((folder / player).glob("*.reply")):
        data = path.with_suffix(".request").read_bytes()
        ask = request_from_bytes(data, (*REQUESTS, *game.requests), "a request")
        replies.append(reply_from_bytes(path.read_bytes(), ask))
    return replies


def samples_in(replies):
    """Return all sample sets of some messages."""
    sets = []
    for reply in replies:
        if isinstance(reply, Message):
            sets += reply.samples().values()
    return sets
