"""``coplay demo``: a first run on data that come with scikit-learn, for a fresh installation."""

from __future__ import annotations

import argparse
from importlib import resources
from pathlib import Path
from typing import Any

from coplay.cli.ending import finish, keep_memory, say_what_is_kept
from coplay.cli.folders import path_given
from coplay.cli.terminal import say


def add_demo(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "demo", help="play a first game between four sites with 8×8 digits, in about a minute"
    )
    parser.add_argument("--out", type=path_given, help="folder of the run; by default runs/demo")
    parser.set_defaults(command=_demo)


def _demo(given: argparse.Namespace) -> None:
    from coplay.cli.folders import free_folder
    from coplay.cli.progress import ProgressReport
    from coplay.run.config import Config
    from coplay.run.federation import Federation

    text = resources.files("coplay.cli").joinpath("demo.toml").read_text(encoding="utf-8")
    config = Config.from_toml(text, ["name=demo"], "the demo's config")
    keep_memory(config)
    folder = given.out or free_folder(Path("runs") / "demo")
    say("the demo's config is that of configs/digits.toml; its settings are in the run's folder")
    try:
        with ProgressReport() as report:
            result = Federation(config).run(folder, report)
    except BaseException as error:
        say_what_is_kept(folder, error)
        raise
    finish(result)
