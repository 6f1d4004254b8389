"""``coplay site join``: a site takes part in a federation between organisations."""

from __future__ import annotations

import argparse
import datetime as dt
from typing import Any

from coplay.cli.code import code_from
from coplay.cli.folders import path_given
from coplay.cli.terminal import remark, say


def add_site_join(commands: Any) -> None:
    """Add the command."""
    join = commands.add_parser(
        "join", help="take part in a federation between organisations, until Ctrl-C"
    )
    join.add_argument("site", type=path_given, help="a site file with [connection]")
    join.set_defaults(command=_join)


def _join(given: argparse.Namespace) -> None:
    from coplay.cli.site import check_site
    from coplay.deploy.site_node import membership, stay

    member = membership(given.site, dt.datetime.now(dt.UTC))
    with code_from(given.site.parent):
        check_site(given.site, member.agreed, looks=False)
    say(f"{member.name} calls {member.host}:{member.port}, and keeps its own in {member.home}")
    stay(member, remark)
