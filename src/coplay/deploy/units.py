"""Units of systemd, so that a crash or a reboot ends nobody's part in a federation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from coplay.deploy.proxy import ProxyPlace, check_paths

AGAIN_SECONDS = 15
"""Between two starts. A SuperNode that was killed is refused for about 50 s, until Flower's
SuperLink holds its old session for over, and its process ends each time."""

_UNIT = """\
# Written by 'coplay deploy init'. {where}
[Unit]
Description={description}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
{person}WorkingDirectory={folder}
ExecStart={command}
Restart={restart}
RestartSec={again}
KillSignal=SIGINT
KillMode=mixed
TimeoutStopSec=60
UMask=0077
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=full
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Program:
    """How coplay and nginx are called where the units are used, beginning with full paths."""

    coplay: tuple[str, ...]
    nginx: Path


def serve_unit(name: str, folder: Path, run: Path, program: Program, user: str) -> str:
    """Return the unit of the coordinator: SuperLink and run, which goes on after a reboot.

    Args:
        name: The federation.
        folder: Its folder at the coordinator.
        run: The run's folder.
        program: How coplay is called.
        user: Whose processes they are.
    """
    check_paths([folder, run, *map(Path, program.coplay)])
    command = _line(
        *program.coplay, "serve", folder / "federation.toml", "--out", run, "--resume", "--no-proxy"
    )
    return _UNIT.format(
        where=f"Copy it to /etc/systemd/system/{unit_name(name, 'serve')}.",
        description=f"coplay coordinator of {name}",
        person=f"User={user}\n",
        folder=folder,
        command=command,
        # a run that is over ends with 0, and is not to be started again
        restart="on-failure",
        again=AGAIN_SECONDS,
    )


def proxy_unit(name: str, place: ProxyPlace, program: Program, user: str) -> str:
    """Return the unit of the coordinator's proxy."""
    check_paths([place.folder, program.nginx])
    return _UNIT.format(
        where=f"Copy it to /etc/systemd/system/{unit_name(name, 'proxy')}.",
        description=f"coplay proxy of {name}",
        person=f"User={user}\n",
        folder=place.folder,
        command=_line(program.nginx, "-e", "stderr", "-c", place.file),
        restart="always",
        again=AGAIN_SECONDS,
    )


def site_unit(name: str, site: str, file: Path, program: Program, user: str) -> str:
    """Return the unit of a site.

    Args:
        name: The federation.
        site: The site.
        file: Its file, ``site.toml``, at the site.
        program: How coplay is called at the site.
        user: Whose processes they are; this user can read the site's rows.
    """
    check_paths([file, *map(Path, program.coplay)])
    return _UNIT.format(
        where="Set User and the paths to those of the site, and copy it to "
        f"/etc/systemd/system/{unit_name(name, f'site-{site}')}.",
        description=f"coplay site {site} of {name}",
        person=f"User={user}\n",
        folder=file.parent,
        command=_line(*program.coplay, "site", "join", file),
        restart="always",
        again=AGAIN_SECONDS,
    )


def unit_name(name: str, part: str) -> str:
    """Return the name of a unit's file."""
    return f"coplay-{name}-{part}.service"


def _line(*words: object) -> str:
    """Return a command as systemd reads it; paths were checked for signs that mean something."""
    return " ".join(f'"{word}"' if " " in str(word) else str(word) for word in words)
