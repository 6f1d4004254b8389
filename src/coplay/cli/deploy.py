"""``coplay deploy``: what a federation between organisations takes: init, keys, rehearse."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coplay.cli.folders import path_given
from coplay.cli.terminal import say
from coplay.core.errors import ConfigError

if TYPE_CHECKING:
    from coplay.deploy.keys import Written


def add_deploy(commands: Any) -> None:
    """Add the commands."""
    deploy = commands.add_parser(
        "deploy", help="what a federation between organisations takes: folder, keys, a rehearsal"
    )
    of_deploy = deploy.add_subparsers(title="commands", required=True, metavar="COMMAND")

    init = of_deploy.add_parser(
        "init", help="write the coordinator's folder, and what its sites get"
    )
    init.add_argument("federation", type=path_given, help="the federation's file")
    init.add_argument("--out", type=path_given, required=True, help="a folder that is not there")
    init.set_defaults(command=_init)

    made = of_deploy.add_parser(
        "keys", help="make certificates at the coordinator, or the keys of a site at the site"
    )
    made.add_argument(
        "federation", type=path_given, nargs="?", help="at the coordinator: the federation's file"
    )
    made.add_argument("--site", metavar="NAME", help="at a site: the site's name")
    made.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME",
        help="another name or address by which sites reach the coordinator; may be repeated",
    )
    made.add_argument(
        "--renew", action="store_true", help="make the coordinator's next certificate"
    )
    made.add_argument("--out", type=path_given, help="with --site: the folder; by default this one")
    made.set_defaults(command=_keys)

    rehearse = of_deploy.add_parser(
        "rehearse", help="play all parties on this machine, by the commands that they would type"
    )
    rehearse.add_argument("federation", type=path_given, help="a federation that names site files")
    rehearse.add_argument(
        "--out", type=path_given, help="by default rehearsals/NAME, or NAME-2 and so on"
    )
    rehearse.set_defaults(command=_rehearse)


def _init(given: argparse.Namespace) -> None:
    from coplay.deploy.folder import founded

    folder = founded(given.federation, given.out)
    folder.write()
    for line in folder.lines:
        say(line)


def _keys(given: argparse.Namespace) -> None:
    if (given.federation is None) == (given.site is None):
        raise ConfigError(
            [
                "deploy keys: expected the federation's file at the coordinator, or --site NAME "
                "at a site, and not both"
            ]
        )
    written = _keys_of_site(given) if given.site is not None else _keys_of_coordinator(given)
    for path in written.files:
        say(f"written: {path}")
    for line in written.lines:
        say(line)


def _keys_of_site(given: argparse.Namespace) -> Written:
    from coplay.core.inside import file_name
    from coplay.deploy.keys import write_site_keys

    if given.renew or given.host:
        raise ConfigError(["deploy keys: --renew and --host are for the coordinator's certificate"])
    if file_name(given.site) != given.site:
        raise ConfigError(
            [f"--site: expected the site's name as in federation.toml, got {given.site!r}"]
        )
    return write_site_keys(given.site, given.out or Path())


def _keys_of_coordinator(given: argparse.Namespace) -> Written:
    from coplay.deploy.keys import renew_server, write_coordinator_keys
    from coplay.run.config import Config
    from coplay.run.deployment import DeploySection

    if given.out is not None:
        raise ConfigError(
            ["deploy keys: the folder of keys is said by [deploy] keys, not by --out"]
        )
    config = Config.from_file(given.federation, trust=False)
    section = config.deploy or DeploySection()
    hosts = list(dict.fromkeys([section.address, *_hosts(given.host)]))
    folder = section.keys_folder(given.federation.resolve().parent)
    now = dt.datetime.now(dt.UTC)
    if given.renew:
        return renew_server(folder, hosts, now)
    return write_coordinator_keys(folder, config.name, hosts, now)


def _hosts(texts: Sequence[str]) -> list[str]:
    """Return further host names.

    Raises:
        ConfigError: With all that are none.
    """
    from coplay.run.deployment import host_of

    faults = []
    for text in texts:
        try:
            host_of(text)
        except ValueError as error:
            faults.append(f"--host: {error}")
    if faults:
        raise ConfigError(faults)
    return list(texts)


def _rehearse(given: argparse.Namespace) -> None:
    from coplay.cli.folders import free_folder
    from coplay.core.inside import file_name
    from coplay.deploy.rehearsal import rehearse
    from coplay.run.config import Config

    config = Config.from_file(given.federation)
    out = given.out or free_folder(Path("rehearsals") / file_name(config.name))
    for line in rehearse(config, given.federation, out, _say_now):
        say(line)


def _say_now(text: str) -> None:
    """Say something while the command goes on, also where its output is a file."""
    say(text)
    sys.stdout.flush()
