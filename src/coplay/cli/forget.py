"""``coplay forget``: play on without a site until its certified share is below a value."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coplay.cli.code import add_trust, code_from, trusted_folders
from coplay.cli.ending import finish
from coplay.cli.folders import path_given
from coplay.cli.terminal import say
from coplay.core.errors import CoplayError

if TYPE_CHECKING:
    from coplay.run.forgetting import Forgetting
    from coplay.run.remains import Remains
    from coplay.run.result import Result

_LISTED = 12


def add_forget(commands: Any) -> None:
    """Add the command."""
    forget = commands.add_parser(
        "forget", help="play on without a site until its certified share is below a value"
    )
    forget.add_argument("run", type=Path, help="the folder of a finished run")
    forget.add_argument("site", help="the player that leaves")
    forget.add_argument(
        "--below",
        type=float,
        default=0.001,
        metavar="SHARE",
        help="what its share is to fall below in every model (0.001)",
    )
    forget.add_argument(
        "--out", type=path_given, help="folder of the new run; by default RUN-without-SITE"
    )
    add_trust(forget)
    forget.set_defaults(command=_forget)


def _forget(given: argparse.Namespace) -> None:
    from coplay.cli.folders import free_folder
    from coplay.cli.progress import ProgressReport
    from coplay.core import storage
    from coplay.core.inside import file_name
    from coplay.run.federation import Federation
    from coplay.run.forgetting import forgetting
    from coplay.run.result import Result

    with code_from(*trusted_folders(given)):
        result = Result.load(given.run, given.trust)
        plan = forgetting(result, given.site, given.below)
        for line in _before(plan, given.below):
            say(line)
        if not plan.rounds:
            say("nothing is to be played")
            return
        named = given.run.with_name(f"{given.run.name}-without-{file_name(given.site)}")
        folder = given.out or free_folder(named)
        with ProgressReport() as report:
            after = Federation(plan.config).run(folder, report, start_from=given.run)
        finish(after)
        measured = _measured(result, after, plan)
    record = {
        "site": plan.site,
        "below": given.below,
        "rounds": plan.rounds,
        "certified_before": dict(zip(plan.players, plan.before, strict=True)),
        "certified_after": plan.after,
        "measured": measured if isinstance(measured, str) else vars(measured),
    }
    text = json.dumps(record, ensure_ascii=False, indent=1) + "\n"
    storage.write_atomically(folder / "forgotten.json", text.encode())
    for line in _after(plan, measured, given.run):
        say(line)


def _before(plan: Forgetting, below: float) -> list[str]:
    """Say what is certified now, and what it takes."""
    most = max(plan.before)
    how = "the bound that holds for every run" if plan.bounded else "by the weights of its rounds"
    return [
        f"{plan.site}: at most {most:.2%} of a model is made of its data ({how})",
        f"rounds without it until that is below {below:g}: {plan.rounds}, after one in which "
        f"everybody learns alone; it is {plan.after:.2g} then",
    ]


def _measured(result: Result, after: Result, plan: Forgetting) -> Remains | str:
    """Measure what is left, where the rows of all sites can be read."""
    from coplay.run.preparing import prepare
    from coplay.run.remains import remains

    try:
        prepared = prepare(result.config)
        rows = {} if prepared.sites is None else dict(prepared.sites.data)
        promised = [name for name, own in prepared.own.items() if own.privacy is not None]
        if promised:
            return f"{', '.join(promised)} made a promise of privacy, and nothing pays for it here"
        for name, own in prepared.own.items():
            if own.held is not None:
                rows[name] = own.held.train
        missing = [name for name in result.players if name not in rows]
        if missing:
            return f"the rows of {', '.join(missing)} are not here"
        others = {name: rows[name] for name in plan.players}
        space = prepared.facts[plan.site].variables
        seed = result.config.seed
        return remains(
            result.folder, after.folder, rows[plan.site], others, space, seed, result.trust
        )
    except CoplayError as error:
        return f"rows or models could not be read: {error}"


def _after(plan: Forgetting, measured: Remains | str, run: Path) -> list[str]:
    """Say what is certified, what is not, and what was measured."""
    lines = [
        f"certified: at most {plan.after:.2g} of any model is made of {plan.site}'s data, if "
        "models are fitted anew to every round's mixture, as exponential families are",
        "not certified: a network learns on from what it was, so it may remember more; a network "
        "that is trained anew on the samples of these rounds would not",
    ]
    if isinstance(measured, str):
        lines.append(f"not measured: {measured}")
    else:
        for name in list(plan.players)[:_LISTED]:
            lines.append(
                f"measured: {measured.after[name]:.1%} ± {measured.half[name]:.1%} of {name}'s "
                f"samples look like {plan.site}'s rows, {measured.before[name]:.1%} before"
            )
        lines.append(
            f"  by a classifier that is right on {measured.accuracy:.1%} of held-out rows; what "
            f"others' data have in common with {plan.site}'s counts as {plan.site}'s as well"
        )
    lines.append(f"{run} still has models that learned from {plan.site}: delete it")
    return lines
