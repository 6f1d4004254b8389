"""The command line: one parser for all commands; those with a file of their own come from there.

Whatever the user can be at fault for ends in one message and exit code 2; nothing that was learned
is lost.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from coplay.cli.audit import add_audit
from coplay.cli.check import add_check
from coplay.cli.cite import add_cite
from coplay.cli.code import add_trust, code_from, trusted_folders
from coplay.cli.complete import add_complete
from coplay.cli.demo import add_demo
from coplay.cli.deploy import add_deploy
from coplay.cli.design import add_design
from coplay.cli.egress import add_egress
from coplay.cli.ending import finish, keep_memory, say_what_is_kept
from coplay.cli.folders import path_given
from coplay.cli.forget import add_forget
from coplay.cli.init import add_init
from coplay.cli.listing import add_list
from coplay.cli.options import add_given, add_settings
from coplay.cli.plan import add_plan
from coplay.cli.release import add_release
from coplay.cli.serve import add_serve
from coplay.cli.site import add_site
from coplay.cli.terminal import remark, say
from coplay.cli.version import ShowVersion
from coplay.core.errors import ConfigError, CoplayError, RunFolderError
from coplay.core.text import visible


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Without the program's name; the process's own by default.

    Returns:
        0, or 2 after an error that the user can mend, or 130 after Ctrl-C, 143 after SIGTERM.
    """
    given = parser().parse_args(arguments)
    before = signal.signal(signal.SIGTERM, _terminated)
    formatted = warnings.formatwarning
    warnings.formatwarning = _one_line
    try:
        given.command(given)
    except CoplayError as error:
        remark(f"coplay: {error}")
        return 2
    except _Terminated:
        remark("coplay: terminated")
        return 143
    except KeyboardInterrupt:
        remark("coplay: interrupted")
        return 130
    except BrokenPipeError:  # the reader of our output has had enough
        sys.stderr.close()
        return 0
    except OSError as error:  # a place that the system does not let us use
        remark(f"coplay: cannot use {error.filename or 'a file'}: {error.strerror or error}")
        return 2
    finally:
        signal.signal(signal.SIGTERM, before)
        warnings.formatwarning = formatted
    return 0


def _one_line(message: Warning | str, *_: object, **__: object) -> str:
    """Write a warning for those who did not write the line of Python that it is about."""
    return visible(f"warning: {message}") + "\n"


class _Parser(argparse.ArgumentParser):
    """Shows what it does not understand, which may be the name of a file from anybody."""

    def error(self, message: str) -> NoReturn:
        super().error(visible(message))


def parser() -> argparse.ArgumentParser:
    """Return the command line with all its commands."""
    parser = _Parser(
        prog="coplay",
        description="Generative models that learn together from data that cannot be pooled.",
    )
    parser.add_argument(
        "--version",
        action=ShowVersion,
        help="print the version, and which library multiplies matrices on this machine",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_demo(commands)
    add_init(commands)
    add_check(commands)
    add_plan(commands)
    add_design(commands)
    _add_playing(commands)
    add_forget(commands)
    add_audit(commands)
    add_site(commands)
    add_deploy(commands)
    add_serve(commands)
    add_egress(commands)
    _add_compare(commands)
    _add_reading(commands)
    add_list(commands)
    add_cite(commands)
    return parser


def _add_playing(commands: Any) -> None:
    """Add the commands that play: run and resume."""
    run = commands.add_parser("run", help="play what a config says, measure, report")
    add_settings(run)
    run.add_argument(
        "--out",
        type=path_given,
        help="folder of the run; by default runs/NAME, or runs/NAME-2 and so on",
    )
    run.add_argument(
        "--start-from",
        type=path_given,
        metavar="RUN",
        help="begin with the models of another run, such as after its data changed",
    )
    run.set_defaults(command=_run)

    resume = commands.add_parser("resume", help="go on with a run that was stopped or killed")
    resume.add_argument("run", type=Path)
    add_trust(resume)
    resume.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change what cannot change results: --set checkpoint.every_rounds=5, or of the engine "
        "ray --set engine.start_seconds=600",
    )
    resume.add_argument(
        "--previous",
        action="store_true",
        help="go on from the checkpoint before the last one, if that is damaged",
    )
    resume.set_defaults(command=_resume)


def _add_compare(commands: Any) -> None:
    """Add the command that sets runs side by side."""
    compare = commands.add_parser(
        "compare",
        help="runs side by side, or a config over settings and seeds",
    )
    compare.add_argument(
        "what",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="run folders, or one TOML file",
    )
    compare.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="KEY=V1,V2",
        help="values to play the config with; may be repeated",
    )
    compare.add_argument(
        "--seeds",
        default="",
        metavar="1,2,3",
        help="seeds to play the config with",
    )
    compare.add_argument(
        "--games",
        metavar="G1,G2",
        help="games to carry along: isolated,pooled; with the settings of the TOML file for them",
    )
    compare.add_argument("--by-player", action="store_true", help="scores of every player too")
    compare.add_argument(
        "--out",
        type=path_given,
        help="folder of the comparison; by default comparisons/NAME",
    )
    compare.set_defaults(command=_compare)


def _add_reading(commands: Any) -> None:
    """Add the commands that read a run: show, report and sample."""
    show = commands.add_parser("show", help="print a run's table")
    show.add_argument("run", type=Path)
    show.set_defaults(command=_show)

    report = commands.add_parser("report", help="write a run's page again")
    report.add_argument("run", type=Path)
    report.add_argument(
        "--tensorboard",
        type=path_given,
        metavar="FOLDER",
        help="write TensorBoard events instead",
    )
    report.set_defaults(command=_report)

    sample = commands.add_parser("sample", help="draw from the model of a player, or of a server")
    sample.add_argument("run", type=Path)
    sample.add_argument("--player", required=True)
    sample.add_argument("--game", help="by default the run's main game")
    sample.add_argument("-n", type=int, default=100, help="how many samples (100)")
    sample.add_argument("--seed", type=int, default=0)
    sample.add_argument(
        "--out",
        type=path_given,
        required=True,
        help="a file .csv, .tsv, .parquet, .feather, .arrow or .npz, or .png for images",
    )
    add_given(sample)
    add_trust(sample)
    sample.set_defaults(command=_sample)
    add_complete(commands)
    add_release(commands)


def _run(given: argparse.Namespace) -> None:
    from coplay.cli.folders import free_folder
    from coplay.cli.progress import ProgressReport
    from coplay.cli.site_option import config_with_sites
    from coplay.core.inside import file_name
    from coplay.run.federation import Federation

    # a model may lie beside the config, or beside the site file that names it
    with contextlib.ExitStack() as code:
        code.enter_context(code_from(given.config.parent))
        config = config_with_sites(given.config, given.set, given.site)
        code.enter_context(code_from(*config.site_folders))
        keep_memory(config)
        folder = given.out or free_folder(Path("runs") / file_name(config.name))
        try:
            with ProgressReport() as report:
                result = Federation(config).run(folder, report, start_from=given.start_from)
        except BaseException as error:
            say_what_is_kept(folder, error)
            raise
    finish(result)


def _resume(given: argparse.Namespace) -> None:
    from coplay.cli.progress import ProgressReport
    from coplay.run.federation import Federation
    from coplay.run.result import Result

    with code_from(*trusted_folders(given)):
        keep_memory(Result.load(given.run).config)
        try:
            with ProgressReport() as report:
                result = Federation.resume(
                    given.run, report, given.set, given.previous, trust=given.trust
                )
        except BaseException as error:
            say_what_is_kept(given.run, error)
            raise
    finish(result)


def _show(given: argparse.Namespace) -> None:
    from coplay.cli.tables import print_run
    from coplay.run.result import Result

    print_run(Result.load(given.run))


def _report(given: argparse.Namespace) -> None:
    from coplay.run.result import Result

    result = Result.load(given.run)
    if given.tensorboard is not None:
        from coplay.report.tensorboard import write_events

        say(write_events(result, given.tensorboard))
    else:
        from coplay.report.page import write
        from coplay.report.site_page import write_pages

        say(write(result))
        write_pages(result)


def _compare(given: argparse.Namespace) -> None:
    from coplay.cli.folders import comparison_folder
    from coplay.cli.tables import print_comparison
    from coplay.comparison.arms import Comparison
    from coplay.comparison.page import write

    unfinished: list[str] = []
    if any(path.suffix == ".toml" for path in given.what):
        folders, given.out, unfinished = _sweep(given)
    elif given.vary or given.seeds or given.games is not None:
        alone = "run folders are compared as they are"
        raise ConfigError([f"--vary, --seeds and --games go with a TOML file; {alone}"])
    else:
        folders = given.what
    comparison = Comparison.load(folders)
    records = [run.record for run in comparison.runs.values()]
    names = {record.name for record in records}
    titles = {record.title for record in records}
    name = names.pop() if len(names) == 1 else "runs"
    title = titles.pop() if len(titles) == 1 else "Runs side by side"
    out = given.out or comparison_folder(name, comparison)
    page = write(comparison, out, title, by_player=given.by_player)
    print_comparison(comparison, given.by_player)
    say(f"comparison: {page}")
    if unfinished:
        names_left = ", ".join(unfinished)
        raise RunFolderError(f"not finished: {names_left}; the same command goes on with them")


def _sweep(given: argparse.Namespace) -> tuple[list[Path], Path, list[str]]:
    """Play what a config and ``--vary`` ask for.

    Returns:
        Folders of the runs, folder of the comparison, and names of the runs that did not finish.
    """
    from coplay.cli.progress import ProgressReport
    from coplay.comparison.sweep import Sweep
    from coplay.core.inside import file_name

    if len(given.what) > 1:
        one = "one TOML file over --vary and --seeds"
        raise ConfigError([f"compare {one}, or any number of run folders, not both"])
    path = given.what[0]
    with code_from(path.parent):  # a model may lie beside the config
        sweep = Sweep.of(path, given.vary, given.seeds, given.games)
        first = next(iter(sweep.configs.values()))
        out: Path = given.out or Path("comparisons") / file_name(first.name)
        try:
            results = sweep.play(out, ProgressReport, remark)
        except KeyboardInterrupt:
            remark(f"what was played is kept in {out}; the same command goes on from there")
            raise
    folders = [result.folder for result in results]
    finished = {run.folder.name for run in results if run.record.status == "finished"}
    return folders, out, [name for name in sweep.configs if name not in finished]


def _sample(given: argparse.Namespace) -> None:
    from coplay.cli.sample_file import sample_file

    with code_from(*trusted_folders(given)):
        record = sample_file(
            given.run,
            given.player,
            given.game,
            given.n,
            given.seed,
            given.out,
            trust=given.trust,
            given=given.given,
            most=given.most,
            tell=say,
        )
    for line in record.lines() if record is not None else ():
        remark(line)
    say(given.out)


class _Terminated(KeyboardInterrupt):
    """SIGTERM ends a run as Ctrl-C does: its status is written and it can be resumed."""


def _terminated(signal_number: int, frame: object) -> NoReturn:
    raise _Terminated


if __name__ == "__main__":
    sys.exit(main())
