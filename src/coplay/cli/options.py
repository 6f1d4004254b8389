"""Options that several commands have."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the config's path and the options that change it."""
    parser.add_argument("config", type=Path, help="a TOML file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a value: --set game.rounds=10",
    )
    parser.add_argument(
        "--site",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="the site file of a player, for a simulation: --site north=a/site.toml",
    )


def add_given(parser: argparse.ArgumentParser) -> None:
    """Add the options for samples under conditions."""
    from coplay.run.given import MOST_DRAWS

    parser.add_argument(
        "--given",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="draw only samples with this value, NAME=LOW..HIGH or NAME=ONE|OTHER; may be repeated",
    )
    parser.add_argument(
        "--most",
        type=int,
        default=MOST_DRAWS,
        help=f"draw at most so many rows for the conditions ({MOST_DRAWS:,})",
    )
