"""Play an experiment, or write the page of results.

python -m reproductions md_gan --folder FOLDER               # the usual arms and seeds
python -m reproductions md_gan --folder FOLDER --arms iid --seeds 1
python -m reproductions md_gan --folder FOLDER --collect     # plays nothing, collects
python -m reproductions page                                 # writes docs/results.md
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from coplay.core.errors import CoplayError

from .experiment import load, names, question
from .runner import run, select


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    given = parser().parse_args(arguments)
    if given.name == "page":
        # The page needs neither data nor runs.
        from . import page

        page.main(check=given.check)
        return
    experiment = load(given.name)
    cells = select(experiment, given.arms, given.seeds, given.folder, given.set)
    try:
        run(experiment, cells, play=not given.collect)
    except CoplayError as error:
        raise SystemExit(str(error)) from error


def parser() -> argparse.ArgumentParser:
    """Return the command line: a command for each experiment, and one for the page."""
    top = argparse.ArgumentParser(
        prog="python -m reproductions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="name", required=True, metavar="NAME")
    page = commands.add_parser("page", help="write docs/results.md from the kept results")
    page.add_argument("--check", action="store_true", help="only compare")
    for name in names():
        command = commands.add_parser(name, help=question(name))
        command.add_argument("--folder", default="", help="where the experiment's data lie")
        command.add_argument("--arms", nargs="+", help="names, groups or patterns of arms")
        command.add_argument("--seeds", nargs="+", type=int)
        command.add_argument(
            "--set",
            nargs="+",
            default=[],
            metavar="KEY=VALUE",
            help="further settings; figures were made without, and such runs are not mixed",
        )
        command.add_argument(
            "--collect", action="store_true", help="play nothing, collect what is finished"
        )
    return top


if __name__ == "__main__":
    main()
