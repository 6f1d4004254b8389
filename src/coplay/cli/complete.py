"""``coplay complete``: fill the missing cells of a table by the model of a player."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from coplay.cli.code import add_trust, code_from, trusted_folders
from coplay.cli.folders import path_given
from coplay.cli.terminal import remark, say

_READING = ("separator", "decimal", "thousands", "encoding", "missing_marks")
"""Options that say how a table is written, called as the settings of its source are."""


def add_complete(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "complete", help="fill the missing cells of a table by the model of a player"
    )
    parser.add_argument("run", type=Path)
    parser.add_argument(
        "table", type=Path, help="a .csv, .tsv, .parquet, .feather or .arrow with missing cells"
    )
    parser.add_argument("--player", required=True)
    parser.add_argument("--game", help="by default the run's main game")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=path_given, required=True, help="the filled table")
    parser.add_argument("--separator", help="between cells; by default as in the player's data")
    parser.add_argument("--decimal", help="before the fraction of a number; the same")
    parser.add_argument("--thousands", help="between thousands; the same")
    parser.add_argument("--encoding", help="of the characters; the same")
    parser.add_argument(
        "--missing-marks",
        nargs="+",
        metavar="MARK",
        help="cells that stand for a missing value, beside empty ones; the same",
    )
    add_trust(parser)
    parser.set_defaults(command=_complete)


def _complete(given: argparse.Namespace) -> None:
    from coplay.run.complete_file import complete_file

    named = {name: getattr(given, name) for name in _READING}
    settings = {name: value for name, value in named.items() if value is not None}
    with code_from(*trusted_folders(given)):
        lines = complete_file(
            given.run,
            given.player,
            given.table,
            given.out,
            game=given.game,
            seed=given.seed,
            trust=given.trust,
            settings=settings,
        )
    for line in lines:
        remark(line)
    say(given.out)
