"""The coordinator: it starts Flower's SuperLink and the proxy, waits for the sites, and plays."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coplay.core import storage
from coplay.core.errors import CheckpointError, ConfigError, EngineError, RunFolderError
from coplay.deploy import key_checks, keys
from coplay.deploy.agreed import faults_of
from coplay.deploy.folder import APP, PROXY, folder_of
from coplay.deploy.processes import Child, program, start, together
from coplay.deploy.proxy import written
from coplay.deploy.superlink import SuperLink
from coplay.run.config import Config
from coplay.run.deployment import DeploySection
from coplay.run.flower_config import SEEN
from coplay.run.record import RUN, read_record

LOOK_SECONDS = 2.0
ASK_SECONDS = 10.0
"""How often Flower is asked, which takes a process each time."""

REMIND_SECONDS = 60.0


@dataclass(frozen=True)
class Coordinator:
    """A coordinator with everything that it takes to serve.

    Args:
        config: The federation.
        file: Its file, in full.
        folder: What ``coplay deploy init`` wrote.
        out: The run's folder, in full.
        notes: What is worth knowing before it begins.
    """

    config: Config
    file: Path
    folder: Path
    out: Path
    notes: tuple[str, ...]

    @property
    def section(self) -> DeploySection:
        """Where sites reach it."""
        return self.config.deploy or DeploySection()

    @property
    def keys(self) -> Path:
        """The folder of keys."""
        return self.section.keys_folder(self.folder)

    @property
    def private(self) -> Path:
        """The folder of Flower's logs and settings."""
        return self.folder / "private"


def coordinator(file: Path, out: Path | None, now: dt.datetime) -> Coordinator:
    """Read a federation and check all that can be checked before anything is started.

    Args:
        file: The federation's file, in a folder that ``coplay deploy init`` wrote.
        out: The run's folder; None for ``run`` beside the file.
        now: The time.

    Raises:
        ConfigError: With all faults.
    """
    config = Config.from_file(file, trust=False)
    faults = [f"{file}: {fault}" for fault in faults_of(config)]
    folder = file.resolve().parent
    section = config.deploy or DeploySection()
    try:
        folder = folder_of(file)
        faults += _proxy_faults(folder, section)
    except ConfigError as error:
        faults += error.problems
    place = section.keys_folder(folder)
    faults += key_checks.coordinator_faults(place, section.address, config.player_names, now)
    if faults:
        raise ConfigError(faults)
    ends = [key_checks.ends_soon(place / name, now) for name in (keys.SERVER, keys.AUTHORITY)]
    notes = tuple(note for note in ends if note)
    return Coordinator(config, file.resolve(), folder, (out or folder / "run").resolve(), notes)


def _proxy_faults(folder: Path, section: DeploySection) -> list[str]:
    """Say where the proxy's configuration is not for the ports that the federation names."""
    path = folder / PROXY / "nginx.conf"
    text = path.read_text(encoding="utf-8")
    wanted = {
        f"listen {written(section.listen)}:{section.port} ssl;": "port or listen",
        f"server 127.0.0.1:{section.link_port};": "link_port",
    }
    return [
        f"{path} has no line {line!r}, which [deploy] {key} in federation.toml asks for; change "
        "one of both, or begin with a new folder of 'coplay deploy init'"
        for line, key in wanted.items()
        if line not in text
    ]


def serve(place: Coordinator, resume: bool, with_proxy: bool, tell: Callable[[str], None]) -> bool:
    """Play a federation between organisations, to its end.

    Args:
        place: The coordinator.
        resume: Whether to go on with the run, if there is one.
        with_proxy: Whether the proxy is started here, or is a service of its own.
        tell: Called with what has changed, in words.

    Returns:
        Whether anything was played; not where the run is over already.

    Raises:
        RunFolderError: There is a run already, and it is not to go on.
        EngineError: A program is missing or does not start, or the run failed.
    """
    status = status_of(place.out)
    if status and not resume:
        raise RunFolderError(
            f"{place.out} has a run already; --resume goes on with it, --out names another folder"
        )
    if status == "finished":
        return False
    for note in place.notes:
        tell(note)
    storage.make_folder(place.private)
    place.private.chmod(0o700)
    with together() as children:
        link = SuperLink(place.section.link_port, place.keys, place.private / "flower")
        children.append(link.start())
        nodes = {name: link.register(name) for name in place.config.player_names}
        if with_proxy:
            children.append(_started_proxy(place))
        tell(f"the coordinator listens at {place.section.listen}:{place.section.port}")
        _wait_for_sites(nodes, link, children, tell)
        _play(place, link, nodes, bool(status), children, tell)
    return True


def status_of(out: Path) -> str:
    """Return the status of a run in a folder; empty if there is none."""
    if not (out / RUN).exists():
        return ""
    return read_record(out).status


def _started_proxy(place: Coordinator) -> Child:
    """Start nginx and see that it stays."""
    remedy = "apt install nginx-light, or give --no-proxy where the proxy runs elsewhere"
    file = place.folder / PROXY / "nginx.conf"
    command = [program("nginx", remedy), "-e", "stderr", "-c", str(file)]
    env = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    child = start("the proxy", command, env, place.private / "proxy.log")
    time.sleep(1.0)
    if not child.is_running:
        raise EngineError(f"the proxy did not start; {child.log} ends with:\n{child.last_lines()}")
    return child


def _wait_for_sites(
    nodes: Mapping[str, int],
    link: SuperLink,
    children: list[Child],
    tell: Callable[[str], None],
) -> None:
    """Wait until every site has joined."""
    spoken, when = "", 0.0
    while True:
        _all_running(children)
        status = link.status_of_nodes()
        missing = [name for name, node in nodes.items() if status.get(node) != "online"]
        if not missing:
            tell(f"all {len(nodes)} sites are there: {', '.join(nodes)}")
            return
        there = [name for name in nodes if name not in missing] or ["nobody"]
        text = f"waiting for {', '.join(missing)}; {', '.join(there)} has joined"
        if text != spoken or time.monotonic() - when > REMIND_SECONDS:
            spoken, when = text, time.monotonic()
            tell(text)
        time.sleep(LOOK_SECONDS)


def _play(
    place: Coordinator,
    link: SuperLink,
    nodes: Mapping[str, int],
    goes_on: bool,
    children: list[Child],
    tell: Callable[[str], None],
) -> None:
    """Begin the run and say how it goes until it is over."""
    file = place.private / "nodes.json"
    storage.write_atomically(file, (json.dumps(nodes, indent=1) + "\n").encode(), private=True)
    failure = place.private / "failure.txt"
    failure.unlink(missing_ok=True)
    config = {
        "federation": str(place.file),
        "out": str(place.out),
        "resume": "yes" if goes_on else "",
        "nodes": str(file),
        "failure": str(failure),
    }
    run = link.begin(place.folder / APP, config)
    tell(f"the run goes on in {place.out}" if goes_on else f"the run has begun in {place.out}")
    news = News(place.out, place.config, tell)
    try:
        status = _followed(link, run, children, news)
    except BaseException:
        # Flower's processes end anyway; told first, its app has time to write where it is
        with contextlib.suppress(EngineError):
            link.end(run)
        raise
    ended = status_of(place.out)
    if ended != "finished":
        why = _why_ended(failure, children[0])
        again = f"coplay serve {place.file} --out {place.out} --resume"
        raise EngineError(f"{why}\nThe run ended as {ended or status} and can go on: {again}")


def _why_ended(failure: Path, superlink: Child) -> str:
    """Return what the coordinator's app said when it failed; else what Flower said last."""
    if failure.exists():
        return failure.read_text(encoding="utf-8").rstrip()
    return f"{superlink.log} ends with:\n{superlink.last_lines(20)}"


def _followed(link: SuperLink, run: int, children: list[Child], news: News) -> str:
    """Follow a run until Flower says that it is over, and return what it says."""
    asked = time.monotonic()
    while True:
        _all_running(children)
        news.tell_all()
        if time.monotonic() - asked > ASK_SECONDS or status_of(news.out) == "finished":
            status = link.status_of_run(run)
            asked = time.monotonic()
            if status.startswith("finished"):
                news.tell_all()
                return status
        time.sleep(LOOK_SECONDS)


def _all_running(children: list[Child]) -> None:
    """Raise an error if something that was started has ended.

    Raises:
        EngineError: It has.
    """
    for child in children:
        if not child.is_running:
            raise EngineError(
                f"{child.name} ended unexpectedly; {child.log} ends with:\n{child.last_lines()}"
            )


class News:
    """What is new in a run's folder: rounds that are over, sites that are missing or back.

    Args:
        out: The run's folder.
        config: The federation.
        tell: Called with each, in words.
    """

    def __init__(self, out: Path, config: Config, tell: Callable[[str], None]) -> None:
        self.out = out
        self._rounds = config.game.rounds
        self._tell = tell
        self._done: dict[str, int] = {}
        self._missing: dict[str, str] = {}

    def tell_all(self) -> None:
        """Say what is new."""
        for path in sorted(self.out.glob("*/rows.jsonl")):
            with contextlib.suppress(OSError):
                done = path.read_bytes().count(b"\n")
                if done != self._done.get(path.parent.name):
                    self._done[path.parent.name] = done
                    self._tell(f"{path.parent.name}: {done} of {self._rounds} rounds")
        for name, seen_site in self._sites().items():
            reason = str(seen_site.get("reason") or "") if seen_site.get("missing_since") else ""
            before = self._missing.get(name)
            self._missing[name] = reason
            if reason and reason != before:
                self._tell(f"{name} is missing since {seen_site['missing_since']}: {reason}")
            elif before and not reason:
                self._tell(f"{name} is back")

    def _sites(self) -> dict[str, dict[str, Any]]:
        with contextlib.suppress(CheckpointError, OSError):
            values = storage.read_json(self.out / SEEN)
            if isinstance(values, dict):
                return values
        return {}
