"""``coplay cite``: BibTeX of the methods that a config or a run uses."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from coplay.cli.terminal import remark, say


def add_cite(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("cite", help="BibTeX of the methods a config or run uses")
    parser.add_argument("what", type=Path, help="a TOML file or a run")
    parser.set_defaults(command=_cite)


def _cite(given: argparse.Namespace) -> None:
    from coplay.cli.citations import cite
    from coplay.run.config import Config
    from coplay.run.foreign import code_in
    from coplay.run.result import Result

    if given.what.is_dir():
        config = Result.load(given.what).config
    else:
        config = Config.from_file(given.what, trust=False)
    say(cite(config))
    for code in code_in(config):
        remark(f"not cited, since it is code from outside coplay: {code}")
