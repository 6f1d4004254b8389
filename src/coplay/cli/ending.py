"""What commands that play do at the end, and where a run ends early."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from coplay.cli.code import resume_command
from coplay.cli.terminal import remark, say
from coplay.core.errors import (
    CheckpointError,
    ConfigError,
    CoplayError,
    DataError,
    RunFolderError,
    TrustError,
    WriteError,
)

if TYPE_CHECKING:
    from coplay.run.config import Config
    from coplay.run.result import Result


def keep_memory(config: Config) -> None:
    """Keep freed memory, if the engine asks for it; it is process-wide, hence set here only."""
    if getattr(config.engine, "keep_memory", False):
        from coplay.core.memory import keep_freed_memory

        keep_freed_memory()


def say_what_is_kept(folder: Path, error: BaseException) -> None:
    """After a failure or an interrupt, say what is kept and how to go on; write what there is."""
    from coplay.report.page import write
    from coplay.run.result import Result

    before_play = ConfigError | DataError | RunFolderError | CheckpointError | TrustError
    untouched = isinstance(error, before_play)
    if untouched and not isinstance(error, WriteError):
        return
    if not (folder / "run.json").exists():
        return
    result = Result.load(folder)
    kept = []
    for name, play in result.plays.items():
        if play.counted_rounds:
            kept.append(f"{name} up to round {play.counted_rounds}")
    what = ", ".join(kept) or "no checkpoint yet"
    how = "goes on once the cause is mended"
    if isinstance(error, KeyboardInterrupt):
        how = "goes on from there"
    remark(f"kept in {folder}: {what}; '{resume_command(folder)}' {how}")
    if kept:
        with contextlib.suppress(CoplayError):
            remark(f"report so far: {write(result)}")


def finish(result: Result) -> None:
    """Write the page of a run that ended, and print its table."""
    from coplay.cli.tables import print_run
    from coplay.report.page import write
    from coplay.report.site_page import write_pages

    try:
        page = write(result)
        of_sites = write_pages(result)
    finally:
        print_run(result)
    say(f"report: {page}")
    if of_sites:
        more = f" and {len(of_sites) - 1} more" if len(of_sites) > 1 else ""
        say(f"pages of sites, for their owners only: {of_sites[0]}{more}")
