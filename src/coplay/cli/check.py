"""``coplay check``: all that can be said of a federation before anything trains."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from coplay.cli.code import add_trust, are_trusted, code_from
from coplay.cli.options import add_settings
from coplay.cli.terminal import say


def add_check(commands: Any) -> None:
    """Add the command."""
    check = commands.add_parser(
        "check", help="say what a federation or config is, and all its faults; nothing is trained"
    )
    add_settings(check)
    what = "import classes outside coplay that the config names, and try each on made-up samples"
    add_trust(check, "config", what)
    check.set_defaults(command=_check)


def _check(given: argparse.Namespace) -> None:
    from coplay.cli.site_option import config_with_sites
    from coplay.run.checking import lines_of
    from coplay.run.plan_lines import planned
    from coplay.run.preparing import prepare

    trusted = are_trusted(given)
    with contextlib.ExitStack() as code:
        if trusted:
            code.enter_context(code_from(given.config.parent, *given.code))
        config = config_with_sites(given.config, given.set, given.site, trust=trusted)
        if trusted:
            code.enter_context(code_from(*config.site_folders))
        prepared = prepare(config)
        for line in [*lines_of(config, prepared), *planned(config, prepared)]:
            say(line)
    say("no fault was met")
