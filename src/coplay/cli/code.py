"""Where the command line looks for classes of the user's, and for whose sake."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from coplay.core.errors import ConfigError


@contextlib.contextmanager
def code_from(*folders: Path) -> Iterator[None]:
    """Let classes of the user's be imported from some folders too, after all other places."""
    before = list(sys.path)
    for folder in folders:
        sys.path.append(str(folder.resolve()))
    try:
        yield
    finally:
        sys.path[:] = before


def add_trust(
    parser: argparse.ArgumentParser,
    whose: str = "run",
    what: str = "import classes outside coplay that the run names, and read files that it names",
) -> None:
    """Add the options that allow code of a run, or of a config.

    Args:
        parser: The command.
        whose: What the code belongs to, for the help.
        what: What ``--trust`` allows, for the help.
    """
    parser.add_argument("--trust", action="store_true", help=what)
    parser.add_argument(
        "--code",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help=f"with --trust: a folder with such classes, beside the {whose}'s own",
    )


def trusted_folders(given: argparse.Namespace) -> list[Path]:
    """Return the folders that a run's classes may come from; none without ``--trust``.

    They are the ones that are named, the run's own, that of the config's file if the run began on
    this machine, and those of site files.

    Raises:
        ConfigError: A folder is given without trust.
    """
    from coplay.run.origin import home_of
    from coplay.run.result import Result

    if are_trusted(given):
        config = Result.load(given.run).config
        home = home_of(given.run, config)
        return [*given.code, given.run, *([home] if home else []), *config.site_folders]
    return []


def are_trusted(given: argparse.Namespace) -> bool:
    """Whether classes outside coplay may be imported.

    Raises:
        ConfigError: A folder is given without trust.
    """
    if given.code and not given.trust:
        raise ConfigError(["--code: goes with --trust, which allows importing from there"])
    return bool(given.trust)


def resume_command(folder: Path) -> str:
    """Return the command that goes on with a run."""
    from coplay.run.foreign import code_in
    from coplay.run.origin import home_of
    from coplay.run.result import Result

    command = f"coplay resume {shlex.quote(str(folder))}"
    config = Result.load(folder).config
    if code_in(config):
        command += " --trust"
        if home_of(folder, config) is None:
            command += " --code FOLDER"
    return command
