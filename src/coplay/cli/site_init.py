"""``coplay site init``: the file of a site that joins a federation."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coplay.cli.folders import path_given
from coplay.cli.terminal import say
from coplay.core.errors import ConfigError, CoplayError

if TYPE_CHECKING:
    from coplay.core.telling import Telling


def add_site_init(commands: Any) -> None:
    """Add the command."""
    init = commands.add_parser("init", help="write the file of a site that joins a federation")
    init.add_argument("federation", type=path_given, help="the federation's file")
    init.add_argument("--data", type=path_given, metavar="TABLE", help="the site's table")
    init.add_argument("--name", help="the site's name; by default that of the table")
    init.add_argument("--unit", help="the column that names what a row belongs to, as a patient")
    init.add_argument(
        "--tell",
        nargs="+",
        metavar="NUMBER",
        help="numbers computed from its rows that leave it, such as utility; all, or none",
    )
    init.add_argument(
        "--count", choices=("exact", "tens", "no"), help="how it tells its number of rows"
    )
    add_missing_marks(init)
    init.add_argument(
        "--outside",
        choices=("refuse", "clip", "drop"),
        default="refuse",
        help="what becomes of values outside the agreed ranges; by default they are refused",
    )
    init.add_argument(
        "--hold", action="store_true", help="keep messages back until 'coplay site approve'"
    )
    init.add_argument("--out", type=path_given, help="by default NAME/site.toml")
    init.set_defaults(command=_init)


def add_missing_marks(parser: argparse.ArgumentParser) -> None:
    """Add the option that names what stands for a missing value."""
    parser.add_argument(
        "--missing-marks",
        nargs="+",
        default=[],
        metavar="MARK",
        help="cells that stand for a missing value, such as -9, beside NA, ? and the like",
    )


def _init(given: argparse.Namespace) -> None:
    from coplay.cli.site import check_site
    from coplay.run.joining import joined

    _ask(given)
    founding = joined(
        given.federation,
        given.data,
        given.out,
        given.name,
        given.unit,
        _telling(given),
        given.missing_marks,
        given.hold,
        given.outside,
    )
    founding.write()
    for line in founding.lines:
        say(line)
    (path,) = founding.files
    say(f"written: {path}")
    try:
        check_site(path, given.federation, looks=False)
    except CoplayError as error:
        raise ConfigError(
            [f"{path} is written, and is to be mended before its site can play: {error}"]
        ) from None
    both = f"{shlex.quote(str(path))} --federation {shlex.quote(str(given.federation))}"
    say(f"next: coplay site preview {both}")


def _telling(given: argparse.Namespace) -> Telling:
    """Return what the site tells: nothing that it was not asked to."""
    from coplay.core.telling import Telling

    numbers = [] if given.tell is None or given.tell == ["none"] else given.tell
    return Telling(count=given.count or "no", numbers=tuple(numbers))


def _ask(given: argparse.Namespace) -> None:
    """Ask on the terminal for what was not said, if there is somebody to answer.

    Raises:
        ConfigError: There is nobody, and no table was named.
    """
    if given.data is not None:
        return
    if not sys.stdin.isatty():
        raise ConfigError(["site init: expected --data with the site's table"])
    try:
        _ask_on_terminal(given)
    except EOFError:  # Ctrl-D
        raise ConfigError(["site init: no answer; nothing was written"]) from None


def _ask_on_terminal(given: argparse.Namespace) -> None:
    from coplay.core.measures import MEASURES

    text = input("The site's table: ").strip()
    if not text:
        raise ConfigError(["site init: no table was named"])
    given.data = Path(text).expanduser()
    given.name = given.name or input("The site's name (empty for that of the table): ").strip()
    if given.unit is None:
        asked = "Column that names patients or the like (empty to guess): "
        given.unit = input(asked).strip() or None
    if given.tell is None:
        say(f"Numbers that may leave, computed from its rows: {', '.join(MEASURES)}")
        given.tell = input("Which of them leave (names, all, or empty for none): ").split()
    if given.count is None:
        answer = input("Its number of rows: exact, tens or no (empty for no): ").strip() or "no"
        if answer not in ("exact", "tens", "no"):
            raise ConfigError([f"site init: expected exact, tens or no, got {answer!r}"])
        given.count = answer
