"""The configuration of the proxy before Flower's SuperLink, for nginx.

Flower's SuperLink serves everything at one port: the Fleet API that sites need, and the Control and
Runtime APIs, by which anybody who reaches them can register nodes and submit code to be run. The
proxy is the only part of a coordinator that sites reach, and it passes the calls of the Fleet API
on, one by one, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from coplay.core.errors import ConfigError
from coplay.deploy import keys
from coplay.run.deployment import DeploySection

CALLS = (
    "activate-node",
    "confirm-message-received",
    "deactivate-node",
    "get-fab",
    "get-run",
    "pull-messages",
    "pull-object",
    "push-messages",
    "push-object",
    "send-node-heartbeat",
)
"""The calls of Flower's Fleet API that a site needs whose key the coordinator has registered."""

MOST_BYTES = "1g"
"""Of one request; Flower sends large arrays in parts."""

_TEXT = """\
# Written by 'coplay deploy init' for the federation {federation}. Sites reach the coordinator by
# this proxy alone, and of Flower's SuperLink they reach the calls that are named below.
# Start: nginx -e stderr -c {file}
daemon off;
worker_processes 1;
pid "{folder}/nginx.pid";
error_log stderr warn;

events {{
    worker_connections 512;
}}

http {{
    access_log off;
    server_tokens off;
    default_type text/plain;
    client_max_body_size {most};
    client_body_temp_path "{folder}/body";
    proxy_temp_path "{folder}/proxied";
    fastcgi_temp_path "{folder}/fastcgi";
    uwsgi_temp_path "{folder}/uwsgi";
    scgi_temp_path "{folder}/scgi";

    upstream superlink {{
        server 127.0.0.1:{link_port};
        keepalive 16;
    }}

    server {{
        listen {listen}:{port} ssl;
        ssl_certificate "{server}";
        ssl_certificate_key "{server_key}";
        ssl_protocols TLSv1.2 TLSv1.3;
        # a site that sends nothing for so long is cut off
        client_header_timeout 30s;
        client_body_timeout 120s;

        location / {{
            return 403 "this proxy passes Flower's Fleet API on, and nothing else\\n";
        }}

        location ~ ^/v1/fleet/({calls})$ {{
            # the path as it was sent, not as it was understood: no %2e, no //, no ?query
            if ($request_uri !~ "^/v1/fleet/[a-z-]+$") {{
                return 403;
            }}
            if ($request_method != POST) {{
                return 405;
            }}
            proxy_pass https://superlink;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host localhost;
            proxy_read_timeout 120s;
            # the SuperLink shows the same certificate, on loopback
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate "{authority}";
            proxy_ssl_name localhost;
            proxy_ssl_protocols TLSv1.2 TLSv1.3;
        }}
    }}
}}
"""


@dataclass(frozen=True)
class ProxyPlace:
    """Where a proxy's configuration lies, and where its certificates do; all are full paths."""

    folder: Path
    keys: Path

    @property
    def file(self) -> Path:
        """The configuration."""
        return self.folder / "nginx.conf"


def proxy_text(federation: str, section: DeploySection, place: ProxyPlace) -> str:
    """Return the configuration of nginx.

    Args:
        federation: Name of the federation, of letters, digits, ``_``, ``.`` and ``-``.
        section: Where sites reach it, and where the SuperLink is.
        place: Where the configuration and the certificates lie.

    Raises:
        ConfigError: A path has signs that mean something to nginx.
    """
    files = (keys.SERVER, keys.SERVER_KEY, keys.AUTHORITY)
    check_paths([place.folder, place.keys])
    server, server_key, authority = (place.keys / name for name in files)
    return _TEXT.format(
        federation=federation,
        file=place.file,
        folder=place.folder,
        most=MOST_BYTES,
        link_port=section.link_port,
        listen=written(section.listen),
        port=section.port,
        server=server,
        server_key=server_key,
        authority=authority,
        calls="|".join(CALLS),
    )


def written(host: str) -> str:
    """Return a host as it is written before a port.

    Example:
        >>> written("::1"), written("10.0.0.5")
        ('[::1]', '10.0.0.5')
    """
    return f"[{host}]" if ":" in host else host


def check_paths(paths: list[Path]) -> None:
    """Refuse paths with signs that mean something in the files of nginx or systemd.

    Raises:
        ConfigError: With all of them.
    """
    faults = []
    for path in paths:
        bad = sorted({c for c in str(path) if c in "\"'\\$%;{}" or not c.isprintable()})
        if bad:
            faults.append(
                f"{path}: {' '.join(map(repr, bad))} in a path would mean something to nginx or "
                "systemd; choose another folder"
            )
    if faults:
        raise ConfigError(faults)
