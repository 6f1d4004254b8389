"""``coplay egress``: what left a site, and whether the record of it is whole."""

from __future__ import annotations

import argparse
from typing import Any

from coplay.cli.folders import path_given
from coplay.cli.terminal import say

_SHOWN = 20


def add_egress(commands: Any) -> None:
    """Add the commands."""
    egress = commands.add_parser("egress", help="what left a site, and whether its record is whole")
    of_egress = egress.add_subparsers(title="commands", required=True, metavar="COMMAND")
    show = of_egress.add_parser("show", help="say what left, to whom, and under which promise")
    verify = of_egress.add_parser("verify", help="say whether the record is whole, or where not")
    for parser in (show, verify):
        parser.add_argument("folder", type=path_given, help="the folder of a run or of a site")
        parser.add_argument("--player", help="one site, if not all")
    how = show.add_mutually_exclusive_group()
    how.add_argument("--all", action="store_true", help="every line, not only the last ones")
    how.add_argument("--page", action="store_true", help="the page for the data officer")
    show.set_defaults(command=_show)
    verify.add_argument(
        "--end",
        metavar="LINES:DIGEST",
        help="an end of the record that somebody else has, as verify prints it; of one site and "
        "game",
    )
    verify.set_defaults(command=_verify)


def _show(given: argparse.Namespace) -> None:
    from coplay.report.egress_words import line_text, page, summary
    from coplay.run.egress_records import records_in

    records = records_in(given.folder, given.player)
    if given.page:
        for site in dict.fromkeys(record.player for record in records):
            say(page(site, [record for record in records if record.player == site]).rstrip())
        return
    for record in records:
        for text in summary(record):
            say(text)
        shown = record.lines if given.all else record.lines[-_SHOWN:]
        left_out = len(record.lines) - len(shown)
        if left_out:
            say(f"  the last {_SHOWN} lines; --all shows {left_out:,} more")
        for line in shown:
            say(line_text(line))
        fault = record.fault()
        if fault:
            say(f"warning: {fault}")


def _verify(given: argparse.Namespace) -> None:
    from coplay.core.errors import EgressError
    from coplay.run.egress_records import head_from, records_in

    records = records_in(given.folder, given.player)
    end = None if given.end is None else head_from(given.end)
    if end is not None and len(records) > 1:
        listed = "; ".join(record.title for record in records)
        raise EgressError(
            f"--end {given.end}: expected the record of one site and game, got {listed}; name the "
            "folder of the site in the game"
        )
    faults = []
    for record in records:
        fault = record.fault(end)
        if fault:
            faults.append(fault)
        else:
            say(record.verdict)
    if faults:
        raise EgressError("\n".join(faults))
