"""``coplay serve``: the coordinator of a federation between organisations."""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path
from typing import Any

from coplay.cli.ending import finish
from coplay.cli.folders import path_given
from coplay.cli.terminal import remark, say


def add_serve(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "serve", help="play a federation between organisations, as its coordinator"
    )
    parser.add_argument(
        "federation",
        type=path_given,
        help="federation.toml in a folder of 'coplay deploy init'",
    )
    parser.add_argument("--out", type=path_given, help="the run's folder; by default run beside it")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run of that folder; without one, begin it",
    )
    parser.add_argument(
        "--no-proxy", action="store_true", help="do not start nginx; it is a service of its own"
    )
    parser.set_defaults(command=_serve)


def _serve(given: argparse.Namespace) -> None:
    from coplay.deploy.serving import coordinator, serve
    from coplay.run.result import Result

    place = coordinator(given.federation, given.out, dt.datetime.now(dt.UTC))
    if not serve(place, given.resume, not given.no_proxy, remark):
        say(f"the run in {place.out} is over")
    finish(Result.load(Path(place.out)))
