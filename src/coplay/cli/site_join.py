"""``coplay site join``: a site takes part in a federation between organisations."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
from typing import Any

from coplay.cli.code import code_from
from coplay.cli.folders import path_given
from coplay.cli.terminal import remark, say
from coplay.core.errors import CoplayError


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
    from coplay.report.page_at_site import write_page_at
    from coplay.run.config import Config
    from coplay.run.joining import with_one_site

    member = membership(given.site, dt.datetime.now(dt.UTC))
    with code_from(given.site.parent):
        check_site(given.site, member.agreed, looks=False)
    say(f"{member.name} calls {member.host}:{member.port}, and keeps its own in {member.home}")

    def write_page() -> None:
        config = Config.from_file(member.agreed, trust=False)
        with contextlib.suppress(CoplayError):  # of files that are being written
            config = with_one_site(config, member.name, member.file)
            page = write_page_at(member.home, config, member.name)
            if page is not None:
                remark(f"page of {member.name}, for its owner only: {page}")

    stay(member, remark, write_page)
