"""A site's SuperNode, which runs the app that the site has and no other.

Flower runs at every node whatever app the coordinator's SuperLink sends; its own check of
signatures needs more than its open edition. So an app is compared, to the last byte, with the one
that the site has: what is not the same is refused before anything of it is unpacked.

Run as ``python -m coplay.deploy.node DIGEST`` and then the arguments of ``flower-supernode``.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from coplay.core.errors import EngineError

REFUSED = "coplay: refused an app that is not this site's"
"""How the line begins that says so in the log."""

ASK_SECONDS = 1.0
"""Between two questions of a node for messages."""

_GET_FAB = 4
"""Which of the calls that a connection gives fetches an app, in the version that is pinned."""


def digest_of_app(folder: Path) -> str:
    """Return the digest of an app as Flower packs it.

    Args:
        folder: The app's folder.

    Raises:
        EngineError: Flower is not installed, or this is no app.
    """
    try:
        from flwr.cli.build import build_fab_from_disk
    except ImportError as error:
        raise EngineError(
            "Flower is not installed: pip install 'coplay[flower]' -c constraints-flower.txt"
        ) from error
    try:
        return hashlib.sha256(build_fab_from_disk(folder)).hexdigest()
    except Exception as error:
        raise EngineError(f"{folder} is no app of Flower: {error}") from error


def checked(get_app: Callable[..., Any], digest: str, refusal: type[Exception]) -> Any:
    """Return a call that fetches an app and gives it on only if it is the one that is expected.

    Args:
        get_app: Fetches an app, whose ``content`` are bytes.
        digest: SHA-256 of the one that may run.
        refusal: What Flower raises where a message is to be left alone.
    """

    def get(*arguments: Any) -> Any:
        app = get_app(*arguments)
        other = hashlib.sha256(app.content).hexdigest()
        if other != digest:
            print(f"{REFUSED}: {other}, expected {digest}", file=sys.stderr, flush=True)
            raise refusal
        return app

    return get


class Clock:
    """Time as Flower's node sees it, which asks for messages every second instead of every three.

    A round costs a few messages, so these seconds are most of what Flower adds to it.
    """

    def sleep(self, seconds: float) -> None:
        """Wait, but not for longer than the node may between two questions."""
        time.sleep(min(seconds, ASK_SECONDS))

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def main() -> None:
    """Start the SuperNode."""
    digest = sys.argv.pop(1)
    from flwr.supercore.run import RunNotRunningException
    from flwr.supernode import start_client_internal as flower
    from flwr.supernode.cli.flower_supernode import flower_supernode

    connect = flower._init_connection

    @contextlib.contextmanager
    def connect_checked(*arguments: Any, **named: Any) -> Iterator[Any]:
        with connect(*arguments, **named) as calls:
            calls = list(calls)
            calls[_GET_FAB] = checked(calls[_GET_FAB], digest, RunNotRunningException)
            yield tuple(calls)

    flower._init_connection = connect_checked
    flower.time = Clock()
    sys.argv[0] = "flower-supernode"
    flower_supernode()


if __name__ == "__main__":
    main()
