"""``coplay site``: what a site does for itself: propose, init, check, preview, approve, join."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coplay.cli.code import code_from
from coplay.cli.folders import path_given
from coplay.cli.site_init import add_missing_marks, add_site_init
from coplay.cli.site_join import add_site_join
from coplay.cli.terminal import say
from coplay.core.errors import ConfigError

if TYPE_CHECKING:
    from coplay.run.config import Config
    from coplay.run.site_file import SiteFile


def add_site(commands: Any) -> None:
    """Add the commands."""
    site = commands.add_parser("site", help="what a site does for itself")
    of_site = site.add_subparsers(title="commands", required=True, metavar="COMMAND")

    propose = of_site.add_parser(
        "propose", help="write down what a table holds, in a form that may leave the site"
    )
    propose.add_argument("table", type=path_given)
    propose.add_argument("--name", help="the site's name; by default that of the table")
    propose.add_argument("--unit", help="the column that names what a row belongs to")
    add_missing_marks(propose)
    propose.add_argument("--out", type=path_given, help="by default NAME.proposal.toml")
    propose.set_defaults(command=_propose)

    add_site_init(of_site)
    for name, command, text in (
        ("check", _check, "read a site's data as its file says, and say all faults"),
        ("preview", _preview, "show what would leave the site in the first round"),
        ("approve", _approve, "let the messages of a site with hold = true leave it"),
    ):
        parser = of_site.add_parser(name, help=text)
        parser.add_argument("site", type=path_given, help="a site file")
        parser.add_argument(
            "--federation",
            type=Path,
            required=name != "check",
            help="the federation's file",
        )
        parser.set_defaults(command=command)
    add_site_join(of_site)


def _propose(given: argparse.Namespace) -> None:
    from coplay.core import storage
    from coplay.run.founding import site_names
    from coplay.run.founding_texts import SMALL_CELL, proposal_text, single_notes
    from coplay.site.proposing import proposal

    each = proposal(given.table, SMALL_CELL, given.unit, given.missing_marks)
    name = given.name or site_names([given.table])[0]
    out = given.out or Path(f"{name}.proposal.toml")
    if out.exists():
        raise ConfigError([f"{out} exists already; name another file with --out"])
    text = proposal_text(name, each)
    storage.write_atomically(out, text.encode())
    for note in [*each.notes, *single_notes(each)]:
        say(f"stays here: {note}")
    say(text.rstrip())
    say(f"written: {out}. Look it over, for it is meant to leave the site")


def _check(given: argparse.Namespace) -> None:
    with code_from(given.site.parent):
        check_site(given.site, given.federation)


def check_site(path: Path, federation: Path | None, looks: bool = True) -> None:
    """Read a site's data as its file says, and say what catches the eye and what it tells.

    Args:
        path: The site file.
        federation: The federation's file; None to look at the data alone.
        looks: Whether it says what catches the eye.

    Raises:
        CoplayError: With what is wrong.
    """
    from coplay.run.approval import check_accepted
    from coplay.run.own_data import SiteRecipe, own_data
    from coplay.run.site_file import SiteFile
    from coplay.site.looking import looked_over
    from coplay.site.told_names import names_that_may_be_told

    file = SiteFile.from_file(path)
    if federation is None:
        read = file.data.source.load()
        for name in read.space:
            say(f"{name}: {read.space[name]}")
        notes = [*read.notes, *looked_over(file.data.source, [], file.data.unit)]
        reported = None
        say("with --federation it is checked against what was agreed")
    else:
        config = _config(federation, file, path)
        check_accepted(config)
        own = own_data(config, None, {})[file.name]
        columns = [file.data.columns.get(name, name) for name in own.agreement.learned]
        notes = looked_over(file.data.source, columns, file.data.unit) if looks else []
        for note in notes:  # they may be why the rows are not what was agreed
            say(f"look at: {note}")
        notes = list(own.load().notes)
        reported = SiteRecipe(own, config.seed, None).build().model.reports()
    for note in notes:
        say(f"note: {note}")
    tells = ", ".join(file.tell.numbers) or "nothing"
    say(f"tells of its rows: {tells}; the number of rows: {file.tell.count}")
    for line in names_that_may_be_told(reported):
        say(f"  may be told ([tell] numbers), {line}")
    say("no fault was met")


def _preview(given: argparse.Namespace) -> None:
    from coplay.run.previewing import preview
    from coplay.run.site_file import SiteFile

    with code_from(given.site.parent):
        file = SiteFile.from_file(given.site)
        for line in preview(_config(given.federation, file, given.site), file.name):
            say(line)
    if file.hold:
        both = f"{shlex.quote(str(given.site))} --federation {shlex.quote(str(given.federation))}"
        say(f"next, if all of this may leave: coplay site approve {both}")


def _approve(given: argparse.Namespace) -> None:
    from coplay.run.approval import approve
    from coplay.run.own_data import own_data
    from coplay.run.site_file import SiteFile

    with code_from(given.site.parent):
        file = SiteFile.from_file(given.site)
        config = _config(given.federation, file, given.site)
        held = own_data(config, None, {})[file.name].load()
    say(f"approved: {approve(given.site, file, config, held)}")
    say("a change of the site file, of the table or of what the federation asks is approved anew")
    if not file.hold:
        say("this site's file has no hold = true, so nothing waited for it")


def _config(path: Path, file: SiteFile, site: Path) -> Config:
    """Return the federation with this one site's file.

    Raises:
        ConfigError: The federation has no such site.
    """
    from coplay.run.config import Config
    from coplay.run.foreign import code_in
    from coplay.run.joining import site_named, with_one_site

    config = Config.from_file(path, trust=False)
    if not code_in(config):  # what is imported is then what the site's own file names
        config = Config.from_file(path)
    return with_one_site(config, site_named(config, path, file.name), site)
