"""``coplay release``: samples of a player in a folder that can be handed on."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

from coplay.cli.code import add_trust, code_from, trusted_folders
from coplay.cli.folders import path_given
from coplay.cli.terminal import say

_FORMS = ("csv", "parquet", "npz")


def add_release(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "release", help="samples of a player with schema, card and digests, to hand on"
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--player", required=True)
    parser.add_argument("--out", type=path_given, required=True, help="a folder that is not there")
    parser.add_argument("--game", help="by default the run's main game")
    parser.add_argument("-n", type=int, default=1000, help="how many samples (1,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--form", choices=_FORMS, help="csv where the samples are a table, else npz"
    )
    add_trust(parser)
    parser.set_defaults(command=_release)


def _release(given: argparse.Namespace) -> None:
    with code_from(*trusted_folders(given)):
        release(
            given.run,
            given.player,
            given.out,
            given.game,
            given.n,
            given.seed,
            given.form,
            given.trust,
        )
    say(given.out)


def release(
    run: Path,
    player: str,
    out: Path,
    game: str | None = None,
    n: int = 1000,
    seed: int = 0,
    form: str | None = None,
    trust: bool = False,
) -> None:
    """Write samples of a player into a new folder, with all that must go with them.

    Where the player's site keeps a record of what leaves it, the release is written into it first.

    Args:
        run: The run's folder.
        player: The player's name, or that of a seat such as a server.
        out: The folder, which must not exist.
        game: Name of the game; None for the main one.
        n: Number of samples.
        seed: Seed of the draw.
        form: ``csv``, ``parquet`` or ``npz``; by default a table where the samples are one.
        trust: Whether a class outside coplay may be imported for the model.

    Raises:
        OutputError: The folder exists, or cannot be written; nothing is left of it.
        RunFolderError: There is no such run, game, player or model.
        EgressError: The record of what left is damaged or cannot be written.
        CoplayError: n is not positive, or the samples cannot be written in this form.
    """
    from coplay.core import storage
    from coplay.core.errors import OutputError
    from coplay.core.inside import make_folder
    from coplay.run.site_folders import FOLDER

    remedy = "name another folder with --out"
    if out.exists() or out.is_symlink():
        raise OutputError(f"--out {out} exists already; {remedy}")
    partial = out.with_name(out.name + ".partial")
    if partial.exists() or partial.is_symlink():
        raise OutputError(f"{partial} is in the way; remove it, or {remedy}")
    make_folder(partial, remedy)
    try:
        # whoever plays the run writes the records of its sites too
        with storage.locked(run) if (run / FOLDER).is_dir() else contextlib.nullcontext():
            _write(run, player, partial, out, game, n, seed, form, trust)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write(
    run: Path,
    player: str,
    partial: Path,
    out: Path,
    game: str | None,
    n: int,
    seed: int,
    form: str | None,
    trust: bool,
) -> None:
    """Write everything, note it in the record, and give the folder its name."""
    from coplay.cli.sample_file import sample_file
    from coplay.core import storage
    from coplay.core.digests import of_bytes
    from coplay.core.inside import write_output
    from coplay.run.release_card import card_of
    from coplay.run.releasing import note_release
    from coplay.run.result import Result
    from coplay.run.sampling import load_player

    loaded = load_player(run, player, game, trust)
    result = Result.load(run, trust)
    game = game or result.main.name
    if form is None:
        is_table = not any(loaded.variables[name].shape for name in loaded.variables)
        form = "csv" if is_table else "npz"
    samples = partial / f"samples.{form}"
    sample_file(run, player, game, n, seed, samples, trust, tell=say)
    card = card_of(result, loaded, game, n, seed)
    schema = {}
    for name in loaded.variables:
        schema[name] = loaded.variables[name].model_dump(mode="json", exclude_defaults=True)
    remedy = "make room or give permission"
    contents = {
        "schema.json": json.dumps(schema, indent=1, ensure_ascii=False) + "\n",
        "card.json": json.dumps(card.json(), indent=1, ensure_ascii=False) + "\n",
        "card.md": card.markdown(),
    }
    for name, text in contents.items():
        write_output(partial / name, text.encode(), remedy)
    digests = {}
    for path in sorted(partial.iterdir()):
        digests[path.name] = of_bytes(path.read_bytes())
    text = json.dumps(digests, indent=1) + "\n"
    write_output(partial / "digests.json", text.encode(), remedy)
    note_release(result, loaded, game, n, samples, out.name)
    partial.rename(out)
    storage.sync_folder(out.parent)
