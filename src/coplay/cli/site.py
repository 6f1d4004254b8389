"""``coplay site``: what a site does for itself: propose, check, preview, approve."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coplay.cli.code import code_from
from coplay.cli.folders import path_given
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
    propose.add_argument("--out", type=path_given, help="by default NAME.proposal.toml")
    propose.set_defaults(command=_propose)

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


def _propose(given: argparse.Namespace) -> None:
    from coplay.core import storage
    from coplay.run.founding import site_names
    from coplay.run.founding_texts import SMALL_CELL, proposal_text
    from coplay.site.proposing import proposal

    each = proposal(given.table, SMALL_CELL, given.unit)
    name = given.name or site_names([given.table])[0]
    out = given.out or Path(f"{name}.proposal.toml")
    if out.exists():
        raise ConfigError([f"{out} exists already; name another file with --out"])
    text = proposal_text(name, each)
    storage.write_atomically(out, text.encode())
    for note in each.notes:
        say(f"stays here: {note}")
    say(text.rstrip())
    say(f"written: {out}. Look it over, for it is meant to leave the site")


def _check(given: argparse.Namespace) -> None:
    from coplay.run.approval import check_accepted
    from coplay.run.own_data import own_data
    from coplay.run.site_file import SiteFile

    with code_from(given.site.parent):
        file = SiteFile.from_file(given.site)
        if given.federation is None:
            read = file.data.source.load()
            for name in read.space:
                say(f"{name}: {read.space[name]}")
            for note in read.notes:
                say(f"note: {note}")
            say("with --federation it is checked against what was agreed")
        else:
            config = _config(given.federation, file, given.site)
            check_accepted(config)
            held = own_data(config, None, {})[file.name].load()
            for note in held.notes:
                say(f"note: {note}")
    tells = ", ".join(file.tell.numbers) or "nothing"
    say(f"tells of its rows: {tells}; the number of rows: {file.tell.count}")
    say("no fault was met")


def _preview(given: argparse.Namespace) -> None:
    from coplay.run.previewing import preview
    from coplay.run.site_file import SiteFile

    with code_from(given.site.parent):
        file = SiteFile.from_file(given.site)
        for line in preview(_config(given.federation, file, given.site), file.name):
            say(line)


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
    from coplay.core.components import nearest
    from coplay.run.config import Config
    from coplay.run.sections import PlayerSection

    config = Config.from_file(path, trust=False)
    if file.name not in config.players:
        known = nearest(file.name, config.players)
        raise ConfigError([f"{path} has no site {file.name!r}; known, nearest first: {known}"])
    # the files of other sites are theirs, and lie elsewhere
    others = {name: PlayerSection() for name in config.players}
    return config.model_copy(update={"players": others}).with_sites({file.name: site})
