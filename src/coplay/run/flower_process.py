"""A site's own process: it has imported everything, and a fork of it answers each message.

Flower begins a new Python for every message, and importing torch in it takes seconds of a core. So
that short Python only carries the message to this process, over a socket that nobody but the same
user can open. A fork reads the site's files and keeps its state as a new process would: nothing
that one message left in memory meets the next.

Run as ``python -m coplay.run.flower_process SOCKET``. Before it serves, this module imports the
standard library alone.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import socketserver
import struct
import sys
from collections.abc import Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import Any

_LENGTHS = struct.Struct(">QQ")


def asked(
    place: str, settings: Mapping[str, object], values: Mapping[str, object], body: bytes
) -> tuple[dict[str, Any], bytes] | None:
    """Let a site's own process answer a message.

    Args:
        place: The process's socket; empty where there is none.
        settings: The node's, with absolute paths ``federation``, ``site`` and ``home``.
        values: What should be an envelope, as plain values.
        body: What should be the bytes inside.

    Returns:
        The answer's envelope as plain values, and its bytes. None if there is no such process, or
        it ended over the message, or the values are none that an envelope has.
    """
    try:
        head = json.dumps([dict(settings), dict(values)]).encode()
    except (TypeError, ValueError):
        return None
    try:
        with socket.socket(socket.AF_UNIX) as line, line.makefile("rwb") as stream:
            line.connect(place)
            _write(stream, head, body)
            head, body = _read(stream)
    except (AttributeError, OSError, EOFError):  # AttributeError: no such sockets on this system
        return None
    return json.loads(head), body


def _write(stream: BufferedIOBase, head: bytes, body: bytes) -> None:
    for part in (_LENGTHS.pack(len(head), len(body)), head, body):
        if part:  # whoever has all of it may be gone before nothing is written
            stream.write(part)
    stream.flush()


def _read(stream: BufferedIOBase) -> tuple[bytes, bytes]:
    """Return both parts of a message.

    Raises:
        EOFError: It ends too early.
    """
    lengths = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    return _exactly(stream, lengths[0]), _exactly(stream, lengths[1])


def _exactly(stream: BufferedIOBase, size: int) -> bytes:
    part = stream.read(size)
    if len(part) < size:
        raise EOFError(f"expected {size} bytes, got {len(part)}")
    return part


class _Handler(socketserver.StreamRequestHandler):
    """Answers one message, in a fork."""

    def handle(self) -> None:
        from coplay.run.flower_site import site_of

        head, body = _read(self.rfile)
        settings, values = json.loads(head)
        envelope, content = site_of(settings).answer(values, body)
        _write(self.wfile, json.dumps(envelope.plain()).encode(), content)


def serve(place: Path) -> None:
    """Answer messages until this process is asked to end.

    Args:
        place: Where the socket is made, in a folder that is its owner's alone. What lies there is
            replaced.
    """
    import coplay.run.flower_site  # noqa: F401  imported once, for all forks

    class Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
        """Answers each message in a fork."""

    with contextlib.suppress(FileNotFoundError):
        place.unlink()
    os.umask(0o077)
    with Server(str(place), _Handler) as server:
        gc.freeze()  # forks share these pages; a collection would copy them
        server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        serve(Path(sys.argv[1]))
