"""A site in a federation: its SuperNode, started again whenever it ends, until it is stopped."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from coplay.core import storage
from coplay.core.errors import ConfigError, CoplayError
from coplay.core.inside import file_name
from coplay.deploy import key_checks
from coplay.deploy.agreed import faults_of
from coplay.deploy.node import REFUSED, digest_of_app
from coplay.deploy.own_process import OwnProcess, own_process
from coplay.deploy.processes import Child, flower_env, flower_program, free_port, start_again
from coplay.deploy.proxy import written
from coplay.deploy.reaching import why_not_reached
from coplay.run.config import Config
from coplay.run.deployment import ConnectionSection, DeploySection
from coplay.run.joining import site_named
from coplay.run.site_file import SiteFile

AGAIN_SECONDS = 15.0
"""Between two starts of a SuperNode. One that was killed is refused for about 50 s."""

LOOK_SECONDS = 1.0
"""How often it is looked whether something has changed."""

REACH_SECONDS = 20.0
"""How often a site that has joined looks whether the coordinator is still there."""

REST_SECONDS = 10.0
"""How long a site's files have to be at rest before its page is written again."""

_SECTION = """
[connection]
federation = "federation.toml"
authority = "ca.crt"
key = "{name}.key"
app = "app"
home = "private\""""


@dataclass(frozen=True)
class Membership:
    """A site with everything that it takes to join.

    Args:
        name: The site.
        file: Its file, in full.
        connection: How it reaches the coordinator, with full paths.
        host: Host name or address of the coordinator's proxy.
        port: Its port.
        app: Digest of the app that it runs.
    """

    name: str
    file: Path
    connection: ConnectionSection
    host: str
    port: int
    app: str

    @property
    def home(self) -> Path:
        """The site's private folder."""
        return Path(self.connection.home)

    @property
    def agreed(self) -> Path:
        """The site's copy of what was agreed."""
        return Path(self.connection.federation)

    def start(self, options: Sequence[str] = (), process: str = "") -> Child:
        """Start the SuperNode.

        Args:
            options: Further ones of ``flower-supernode``.
            process: Socket of the site's own process; empty if it has none.
        """
        flower_program("flower-supernode")
        config = {
            "site": str(self.file),
            "federation": self.connection.federation,
            "home": str(self.home),
            "process": process,
        }
        port = self.connection.node_port or free_port()
        command = [
            *(sys.executable, "-m", "coplay.deploy.node", self.app),
            *("--superlink", f"{written(self.host)}:{self.port}"),
            *("--root-certificates", self.connection.authority),
            *("--auth-supernode-private-key", self.connection.key),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--node-config", " ".join(f'{key}="{value}"' for key, value in config.items())),
            *options,
        ]
        log = self.home / "supernode.log"
        return start_again("Flower's SuperNode", command, flower_env(self.home / "flower"), log)


def membership(path: Path, now: dt.datetime) -> Membership:
    """Read a site's file and check all that can be checked before anybody is called.

    Args:
        path: The site's file.
        now: The time.

    Raises:
        ConfigError: With all faults.
    """
    file = SiteFile.from_file(path)
    if file.connection is None:
        section = _SECTION.format(name=file.name)
        raise ConfigError(
            [f"{path} does not say how the site reaches its coordinator; add to it:\n{section}"]
        )
    connection = file.connection
    faults = key_checks.authority_faults(Path(connection.authority), now)
    faults += key_checks.site_key_faults(Path(connection.key))
    deploy = DeploySection()
    try:
        config = Config.from_file(connection.federation, trust=False)
        deploy = config.deploy or deploy
        faults += _misfits(file, path, config)
    except ConfigError as error:
        faults += error.problems
    app = ""
    try:
        app = digest_of_app(Path(connection.app))
    except CoplayError as error:
        faults.append(str(error))
    faults += [
        f'{value}: a path with " or a line end cannot be given to Flower; move it'
        for value in (str(path.resolve()), connection.federation, connection.home)
        if '"' in value or not value.isprintable()
    ]
    if faults:
        raise ConfigError(faults)
    host, port = connection.address or deploy.address, connection.port or deploy.port
    return Membership(file.name, path.resolve(), connection, host, port, app)


def _misfits(file: SiteFile, path: Path, config: Config) -> list[str]:
    """Say where a site's file and what was agreed do not fit."""
    faults = faults_of(config)
    if file.federation != config.name:
        faults.append(
            f"{path} belongs to the federation {file.federation!r}, and what was agreed is that of "
            f"{config.name!r}"
        )
    try:
        site_named(config, Path(path), file.name)
    except ConfigError as error:
        faults += error.problems
    return faults


def stay(member: Membership, tell: Callable[[str], None], write_page: Callable[[], object]) -> None:
    """Keep a site in its federation until this is interrupted.

    Args:
        member: The site.
        tell: Called with what has changed, in words.
        write_page: Called when there is something new to show, and at the end.
    """
    storage.make_folder(member.home)
    member.home.chmod(0o700)
    speaker = Speaker(tell)
    page = Page(member.home / "sites" / file_name(member.name), write_page)
    with own_process(member.home) as process:
        while True:
            _wait_for_coordinator(member, speaker)
            process.look()
            child = member.start(process=str(process.place))
            try:
                _watch(member, child, process, speaker, page)
            finally:
                child.stop()
                page.look(0.0)
            speaker.say(f"{why_ended(member, child)}; it is started again in {AGAIN_SECONDS:.0f} s")
            time.sleep(AGAIN_SECONDS)


class Speaker:
    """Says something once, and again when something else was said between."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._last = ""

    def say(self, text: str) -> None:
        """Say it, unless it was the last that was said."""
        if text != self._last:
            self._last = text
            self._tell(f"{time.strftime('%H:%M:%S')} {text}")


def _wait_for_coordinator(member: Membership, speaker: Speaker) -> None:
    while why := why_not_reached(member.host, member.port, Path(member.connection.authority)):
        speaker.say(f"{member.name} waits for the coordinator: {why}")
        time.sleep(5 * LOOK_SECONDS)


class Page:
    """Writes a site's page when what it measured itself has changed, and not while it changes.

    Args:
        folder: The site's files of the run.
        write: Writes the page.
    """

    def __init__(self, folder: Path, write: Callable[[], object]) -> None:
        self._folder = folder
        self._write = write
        self._shown = self._newest()

    def look(self, rest: float = REST_SECONDS) -> None:
        """Write the page if something new has been at rest for some seconds."""
        newest = self._newest()
        if newest > self._shown and time.time() - newest >= rest:
            self._shown = newest
            self._write()

    def _newest(self) -> float:
        newest = 0.0
        for pattern in ("*/site/*.jsonl", "verdict.json"):
            for path in self._folder.glob(pattern):
                with contextlib.suppress(OSError):
                    newest = max(newest, path.stat().st_mtime)
        return newest


def _watch(
    member: Membership, child: Child, process: OwnProcess, speaker: Speaker, page: Page
) -> None:
    """Say what a SuperNode does, until it ends."""
    joined = refused = away = False
    looked = time.monotonic()
    while child.is_running:
        text = child.log.read_text(encoding="utf-8", errors="replace")
        if not joined and "SuperNode ID" in text:
            joined = True
            speaker.say(
                f"{member.name} has joined at {member.host}:{member.port}, and waits for what the "
                "coordinator asks; Ctrl-C leaves"
            )
        if not refused and REFUSED in text:
            refused = True
            speaker.say(
                f"{member.name} refused to run an app that is not the one in "
                f"{member.connection.app}; ask the coordinator which app this is"
            )
        page.look()
        process.look()
        if time.monotonic() - looked > REACH_SECONDS:
            looked = time.monotonic()
            why = why_not_reached(member.host, member.port, Path(member.connection.authority))
            if why:
                speaker.say(f"{member.name} waits for the coordinator: {why}")
            elif away:
                speaker.say(f"{member.name} reaches the coordinator again")
            away = bool(why)
        time.sleep(LOOK_SECONDS)


def why_ended(member: Membership, child: Child) -> str:
    """Say in plain words why a SuperNode ended."""
    text = child.log.read_text(encoding="utf-8", errors="replace")
    if "Failed to activate SuperNode" in text:
        return (
            f"the coordinator does not take the key of {member.name} ({member.connection.key}): it "
            "has not registered it, or still holds an earlier session of this site for alive, "
            "which ends within a minute"
        )
    if "SuperNode ID" in text:
        return f"the connection of {member.name} has ended"
    return f"Flower's SuperNode ended; {child.log} ends with:\n{child.last_lines()}"
