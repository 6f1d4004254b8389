"""``coplay init``: a federation and its site files, from tables or from what sites propose."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from coplay.cli.folders import path_given
from coplay.cli.site_init import add_missing_marks
from coplay.cli.terminal import say
from coplay.core.errors import ConfigError


def add_init(commands: Any) -> None:
    """Add the command."""
    init = commands.add_parser(
        "init", help="write a federation and its site files, from tables or from proposals"
    )
    init.add_argument(
        "--from",
        dest="files",
        nargs="+",
        type=path_given,
        default=[],
        metavar="TABLE",
        help="one table per site: CSV, TSV, JSON lines or Parquet",
    )
    init.add_argument(
        "--proposals",
        nargs="+",
        type=path_given,
        default=[],
        metavar="PROPOSAL",
        help="what 'coplay site propose' wrote at each site, where nobody may see all tables",
    )
    init.add_argument("--out", type=path_given, help="folder to write to; by default federation")
    init.add_argument(
        "--target", help="the variable to be predicted, to see of what use samples are"
    )
    init.add_argument("--unit", help="the column that names what a row belongs to, as a patient")
    add_missing_marks(init)
    init.set_defaults(command=_init)


def _init(given: argparse.Namespace) -> None:
    from coplay.run.founding import Founding, from_proposals, from_tables

    if bool(given.files) == bool(given.proposals):
        _ask(given)
    out = given.out or Path("federation")
    if given.files:
        founding: Founding = from_tables(
            given.files, out, given.target, given.unit, given.missing_marks
        )
    else:
        founding = from_proposals(given.proposals, out, given.target)
    founding.write()
    for line in founding.lines:
        say(line)
    say(f"written: {', '.join(str(path) for path in founding.files)}")
    federation = shlex.quote(str(out / "federation.toml"))
    if given.files:
        say(f"next: coplay check {federation}, then coplay run {federation}")
    else:
        say(
            f"next: look it over and give {federation} to all sites; each types "
            f"coplay site init {federation} --data TABLE --name NAME"
        )


def _ask(given: argparse.Namespace) -> None:
    """Ask for the tables on the terminal, if there is somebody to answer.

    Raises:
        ConfigError: There is nobody, or both were given.
    """
    if given.files:
        raise ConfigError(["init: give either --from TABLE … or --proposals PROPOSAL …, not both"])
    if not sys.stdin.isatty():
        raise ConfigError(
            [
                "init: expected --from with one table per site, such as --from a.csv b.csv, or "
                "--proposals with what 'coplay site propose' wrote at each site"
            ]
        )
    try:
        _ask_on_terminal(given)
    except EOFError:  # Ctrl-D
        raise ConfigError(["init: no answer; nothing was written"]) from None


def _ask_on_terminal(given: argparse.Namespace) -> None:
    text = input("One table per site (paths, with spaces between them): ")
    try:
        answer = shlex.split(text)
    except ValueError as error:
        raise ConfigError([f"init: {text!r} are no paths: {error}"]) from None
    if not answer:
        raise ConfigError(["init: no table was named"])
    given.files = [Path(text).expanduser() for text in answer]
    given.target = (
        given.target or input("Variable to be predicted (empty to guess): ").strip() or None
    )
    given.unit = (
        given.unit
        or input("Column that names patients or the like (empty to guess): ").strip()
        or None
    )
