"""``coplay audit``: attack the rows of players with samples of their models."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coplay.cli.code import add_trust, code_from, trusted_folders
from coplay.cli.terminal import remark, say
from coplay.core.errors import CoplayError, RunFolderError

if TYPE_CHECKING:
    from coplay.run.auditing import PlayerAudit


def add_audit(commands: Any) -> None:
    """Add the command."""
    audit = commands.add_parser(
        "audit", help="attack rows of a finished run with samples, against rows that were held out"
    )
    audit.add_argument(
        "run", type=Path, help="the folder of a finished run, or a site's part of it"
    )
    audit.add_argument(
        "--player",
        action="append",
        default=[],
        metavar="NAME",
        help="whose rows; by default those of all players whose rows are here; may be repeated",
    )
    audit.add_argument("--game", help="by default the run's main game")
    audit.add_argument(
        "-n",
        type=int,
        metavar="SAMPLES",
        help="how many samples are drawn (5 for each row learned from, and at least 4,000)",
    )
    add_trust(audit)
    audit.set_defaults(command=_audit)


def _audit(given: argparse.Namespace) -> None:
    from coplay.report.audit_tables import meanings
    from coplay.report.site_page import write_pages
    from coplay.run.auditing import SMOKE_ALARM, audit_player, write_audit
    from coplay.run.result import Result

    if given.n is not None and given.n < 10:
        raise RunFolderError(f"-n: expected at least 10 samples, got {given.n}")
    with code_from(*trusted_folders(given)):
        result = Result.load(given.run, given.trust)
        reports = []
        for name in given.player or result.players:
            try:
                made = audit_player(result, name, given.game, given.n)
            except CoplayError as error:
                if given.player or len(result.players) == 1:
                    raise
                remark(f"{name} is not audited: {error}")
                continue
            path = write_audit(result, made)
            _print(made)
            say(f"written to {path}, for its owner alone")
            say("")
            reports.append(made.report)
        if not reports:
            raise RunFolderError(f"nobody in {given.run} could be audited; the reasons are above")
        for sentence in [*meanings(reports), f"{SMOKE_ALARM}."]:
            say(sentence)
        write_pages(result)


def _print(made: PlayerAudit) -> None:
    """Print the table of an audit, and what its numbers can and cannot show."""
    import rich.table

    from coplay.cli.tables import plain, terminal
    from coplay.report.audit_tables import audit_table

    console = terminal()
    whose = "its model" if made.samples_of == made.player else f"the model of {made.samples_of}"
    say(f"{made.player}, {made.game}: {made.report.samples:,} samples of {whose}")
    table = audit_table(made.report)
    if table.rows:
        shown = rich.table.Table()
        for place, title in enumerate(table.header):
            is_text = place in (0, 1, len(table.header) - 1)
            shown.add_column(plain(title), justify="left" if is_text else "right", overflow="fold")
        for row in table.rows:
            shown.add_row(*(plain(cell) for cell in row))
        console.print(shown)
    for reason in made.report.reasons:
        console.print(plain(f"not tried: {reason}"))
