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
