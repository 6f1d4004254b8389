"""``coplay plan``: what theory says of a config before anything trains, and what to do with it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from coplay.cli.options import add_settings
from coplay.cli.terminal import say
from coplay.core.errors import CoplayError


def add_plan(commands: Any) -> None:
    """Add the command."""
    plan = commands.add_parser(
        "plan", help="say what theory says of a config before anything trains, and what to do"
    )
    add_settings(plan)
    plan.add_argument("--json", action="store_true", help="print all numbers as JSON")
    plan.add_argument(
        "--no-data",
        action="store_true",
        help="do not read any data: what follows from the weights alone",
    )
    plan.add_argument(
        "--player",
        action="append",
        default=[],
        metavar="NAME",
        help="where there are too many players for all numbers: those of this one; may be repeated",
    )
    plan.set_defaults(command=_plan)


def _plan(given: argparse.Namespace) -> None:
    from coplay.cli.site_option import config_with_sites
    from coplay.run.plan_lines import lines_of_plan, plan_json
    from coplay.run.planning import MOST_PREPARED, plan_of
    from coplay.run.preparing import prepare

    config = config_with_sites(given.config, given.set, given.site, trust=False)
    prepared = None
    fault = ""
    if not given.no_data and len(config.players) <= MOST_PREPARED:
        try:
            prepared = prepare(config)
        except CoplayError as error:  # what follows from the weights alone can still be said
            fault = " ".join(str(error).split())
    plan = plan_of(config, prepared, given.player, fault)
    if given.json:
        say(json.dumps(plan_json(plan), ensure_ascii=False, indent=1))
        return
    say(f"{plan.title}: {plan.count:,} players, {plan.samples:,} samples a round")
    for line in lines_of_plan(plan):
        say(line)
