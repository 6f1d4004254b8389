"""What Flower loads: the coordinator's app and the sites', and bytes in Flower's records.

Only these lines know Flower. An envelope becomes one record of plain values, and the bytes inside
become one array, which Flower cuts into pieces and pickles nothing of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coplay.core import storage
from coplay.core.errors import MessageError
from coplay.engines.flower_carrier import Fault, Parcel
from coplay.engines.flower_link import Link, connect, disconnect
from coplay.run.checkpoint import run_id
from coplay.run.config import Config
from coplay.run.elsewhere import agreed_digest
from coplay.run.federation import Federation
from coplay.run.flower_config import SEEN, config_of, nodes_of
from coplay.run.flower_site import site_of
from coplay.run.record import RUN

if TYPE_CHECKING:
    from flwr.app import Context, Message, RecordDict
    from flwr.serverapp import Grid

_ENVELOPE = "envelope"
_BODY = "body"
_BYTES = "bytes"
_KIND = "coplay"
_OUT_OF_REACH = (3, 4, 5, 8)
"""Flower's codes for a message, a reply, a node or a process that is not there."""


def to_records(values: Mapping[str, Any], body: bytes) -> RecordDict:
    """Return an envelope and bytes as Flower's records."""
    from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

    array = Array(dtype="uint8", shape=(len(body),), stype=_KIND, data=body)
    records = RecordDict()
    records[_ENVELOPE] = ConfigRecord(dict(values))
    records[_BODY] = ArrayRecord({_BYTES: array})
    return records


def of_records(records: RecordDict, origin: str) -> tuple[dict[str, object], bytes]:
    """Return what :func:`to_records` packed, or anything else.

    Raises:
        MessageError: It is something else.
    """
    config, arrays = records.config_records, records.array_records
    if set(records) != {_ENVELOPE, _BODY} or set(config) != {_ENVELOPE} or set(arrays) != {_BODY}:
        raise MessageError(f"{origin}: expected the records {_ENVELOPE} and {_BODY}")
    body = arrays[_BODY]
    if set(body) != {_BYTES}:
        raise MessageError(f"{origin}: expected one array of bytes")
    array = body[_BYTES]
    shape = (len(array.data),)
    if array.dtype != "uint8" or array.stype != _KIND or tuple(array.shape) != shape:
        raise MessageError(f"{origin}: expected one array of bytes")
    return dict(config[_ENVELOPE]), bytes(array.data)


def answer(message: Message, context: Context) -> Message:
    """Answer one message at a site."""
    from flwr.app import Message

    site = site_of(context.node_config)
    try:
        values, body = of_records(message.content, "a message")
    except MessageError:
        values, body = {}, b""
    envelope, content = site.answer(values, body)
    return Message(to_records(envelope.plain(), content), reply_to=message)


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


def __getattr__(name: str) -> Any:
    """Make the apps when they are asked for, since Flower is an extra."""
    if name not in ("server", "client"):
        raise AttributeError(f"module {__name__} has no attribute {name!r}")
    # called, not written above the functions, since an untyped decorator would hide their types
    if name == "server":
        from flwr.serverapp import ServerApp

        app = ServerApp()
        app.main()(play)
    else:
        from flwr.clientapp import ClientApp

        app = ClientApp()
        app.query()(answer)
    globals()[name] = app
    return app
