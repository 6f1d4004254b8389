"""What Flower loads: the coordinator's app and the sites', and bytes in Flower's records.

Only this and :mod:`coplay.run.flower_play` know Flower. An envelope becomes one record of plain
values, and the bytes inside become one array, which Flower cuts into pieces and pickles nothing of.
Flower imports this anew for every message to a site, so nothing heavy is imported on top.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from coplay.core.errors import MessageError
from coplay.run.flower_process import asked

if TYPE_CHECKING:
    from flwr.app import Context, Message, RecordDict

_ENVELOPE = "envelope"
_BODY = "body"
_BYTES = "bytes"
_KIND = "coplay"


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

    settings = dict(context.node_config)
    place = str(settings.pop("process", ""))
    try:
        values, body = of_records(message.content, "a message")
    except MessageError:
        values, body = {}, b""
    answered = asked(place, settings, values, body) or _answered_here(settings, values, body)
    return Message(to_records(*answered), reply_to=message)


def _answered_here(
    settings: Mapping[str, object], values: Mapping[str, object], body: bytes
) -> tuple[dict[str, Any], bytes]:
    """Answer a message in this process, where the site has none of its own, or it failed."""
    from coplay.run.flower_site import site_of

    envelope, content = site_of(settings).answer(values, body)
    return envelope.plain(), content


def __getattr__(name: str) -> Any:
    """Make the apps when they are asked for, since Flower is an extra."""
    if name not in ("server", "client"):
        raise AttributeError(f"module {__name__} has no attribute {name!r}")
    # called, not written above the functions, since an untyped decorator would hide their types
    if name == "server":
        from flwr.serverapp import ServerApp

        from coplay.run.flower_play import play

        app = ServerApp()
        app.main()(play)
    else:
        from flwr.clientapp import ClientApp

        app = ClientApp()
        app.query()(answer)
    globals()[name] = app
    return app
