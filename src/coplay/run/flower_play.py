"""The coordinator's app: it plays a federation over Flower's grid."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from coplay.core import storage
from coplay.core.errors import CoplayError, MessageError
from coplay.core.text import visible
from coplay.engines.flower_carrier import Fault, Parcel
from coplay.engines.flower_link import Link, connect, disconnect
from coplay.run.checkpoint import run_id
from coplay.run.config import Config
from coplay.run.elsewhere import agreed_digest
from coplay.run.federation import Federation
from coplay.run.flower_apps import of_records, to_records
from coplay.run.flower_config import SEEN, config_of, nodes_of
from coplay.run.record import RUN

if TYPE_CHECKING:
    from flwr.app import Context, Message
    from flwr.serverapp import Grid

_OUT_OF_REACH = (3, 4, 5, 8)
"""Flower's codes for a message, a reply, a node or a process that is not there."""


class GridCarrier:
    """Moves parcels by a Grid of Flower.

    Args:
        grid: The grid.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid

    def nodes(self) -> Sequence[int]:
        """Return the nodes that are there now."""
        return [int(node) for node in self.grid.get_node_ids()]

    def push(self, parcels: Sequence[Parcel], ttl: float) -> Sequence[str | Fault]:
        """Send parcels."""
        from flwr.app import Message

        messages = []
        for parcel in parcels:
            records = to_records(parcel.values, parcel.body)
            messages.append(Message(records, parcel.node, "query", ttl=ttl))
        ids = list(self.grid.push_messages(messages))
        sent: list[str | Fault] = []
        for place in range(len(parcels)):
            id = ids[place] if place < len(ids) else None
            sent.append(id if id else Fault("Flower did not take the message", is_away=True))
        return sent

    def pull(self, ids: Sequence[str]) -> Mapping[str, Parcel | Fault]:
        """Return the answers that are there."""
        got: dict[str, Parcel | Fault] = {}
        for reply in self.grid.pull_messages(ids):
            got[reply.metadata.reply_to_message_id] = _of_reply(reply)
        return got


def _of_reply(reply: Message) -> Parcel | Fault:
    if reply.has_error():
        code = reply.error.code
        return Fault(f"Flower says {code}: {reply.error.reason}", code in _OUT_OF_REACH)
    node = int(reply.metadata.src_node_id)
    try:
        values, body = of_records(reply.content, f"the answer of node {node}")
    except MessageError as error:
        return Fault(f"bad reply: {error}")
    return Parcel(node, values, body)


def play(grid: Grid, context: Context) -> None:
    """Play the federation that the run's settings name, to its end."""
    settings = context.run_config
    failure = str(settings.get("failure", ""))
    try:
        _play(grid, settings)
    except BaseException as error:
        # Flower keeps what an app says to itself, and only says that it failed
        if failure:
            text = visible("".join(traceback.format_exception(error)))
            if isinstance(error, CoplayError):
                text = visible(str(error))
            storage.write_atomically(Path(failure), f"{text}\n".encode(), private=True)
        raise


def _play(grid: Grid, settings: Mapping[str, object]) -> None:
    out = Path(str(settings["out"]))
    agreed = Config.from_file(str(settings["federation"]))
    config = config_of(agreed)

    def note(sites: Mapping[str, Mapping[str, object]]) -> None:
        if (out / RUN).exists():  # before, the folder is not this run's
            storage.write_json(out / SEEN, sites)

    link = Link(
        GridCarrier(grid),
        agreed_digest(agreed),
        run_id({"agreed": agreed_digest(agreed)}),
        nodes_of(str(settings.get("nodes", ""))),
        note,
    )
    connect(link)
    try:
        if settings.get("resume"):
            Federation.resume(out)
        else:
            Federation(config).run(out)
    finally:
        disconnect()
