"""``coplay check``: all that can be said of a federation before anything trains."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

from coplay.cli.code import code_from
from coplay.cli.options import add_settings
from coplay.cli.terminal import say
from coplay.core.errors import ConfigError


def add_check(commands: Any) -> None:
    """Add the command."""
    check = commands.add_parser(
        "check", help="say what a federation or config is, and all its faults; nothing is trained"
    )
    add_settings(check)
    check.add_argument(
        "--trust",
        action="store_true",
        help="import classes outside coplay that the config names, and try each on made-up samples",
    )
    check.add_argument(
        "--code",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="with --trust: a folder with such classes, beside the config's own",
    )
    check.set_defaults(command=_check)


def _check(given: argparse.Namespace) -> None:
    from coplay.cli.site_option import config_with_sites
    from coplay.run.checking import lines_of
    from coplay.run.plan_lines import planned
    from coplay.run.preparing import prepare

    if given.code and not given.trust:
        raise ConfigError(["--code: goes with --trust, which allows to import from there"])
    folders = [given.config.parent, *given.code] if given.trust else []
    with contextlib.ExitStack() as code:
        code.enter_context(code_from(*folders))
        config = config_with_sites(given.config, given.set, given.site, trust=given.trust)
        code.enter_context(code_from(*(config.site_folders if given.trust else [])))
        prepared = prepare(config)
        for line in [*lines_of(config, prepared), *planned(config, prepared)]:
            say(line)
    say("no fault was met")
