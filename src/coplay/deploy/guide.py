"""Who runs which command, for the folder of a coordinator and for what its sites get."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from coplay.deploy.units import unit_name
from coplay.run.deployment import DeploySection

_COORDINATOR = """\
# {name}: the coordinator's folder

Sites: {sites}. They reach the coordinator at {address}, port {port}.
`docs/deployment.md` of coplay says more, and what is protected and what is not.

| by whom | command | when |
|---|---|---|
| coordinator | `coplay deploy keys {federation}` | once; `--renew` before the certificate ends |
| coordinator | copy `ca.crt` from its keys into `for-sites/`, and hand that out | once |
| each site | `coplay deploy keys --site NAME`, and send `NAME.pub` to the coordinator | once |
| coordinator | put `NAME.pub` into `{keys}/sites/`, compare digests by telephone | once |
| each site | `coplay site join site.toml` | stays in the federation until Ctrl-C |
| coordinator | `coplay serve {federation} --out {run}` | plays, and ends with the report |

If `coplay serve` was stopped, the same command with `--resume` goes on.

`proxy/nginx.conf` is what `coplay serve` starts nginx with. Where the proxy is a service of its
own, start it as `systemd/{proxy_unit}` does, and give `--no-proxy` to `coplay serve`.

`systemd/` has units that start both again after a crash or a reboot:

```sh
sudo cp {units}/*.service /etc/systemd/system/
sudo systemctl daemon-reload
sudo systemctl enable --now {proxy_unit} {serve_unit}
journalctl -u {serve_unit} -f
```

Open {port} in the firewall, and nothing else: whoever reaches port {link_port} can submit code that
runs at every site. It is on this machine's loopback, so everybody with a login here can.
"""

_SITE = """\
# {name}: for its sites

Nothing in this folder is secret. `federation.toml` is what all agreed on: read it. `app/` is what
the coordinator may start at your site, and nothing else. `ca.crt` (if it is not here, ask for it)
is how your site knows the coordinator.

1. Install coplay with Flower: `pip install 'coplay[flower]' -c constraints-flower.txt`.
2. `coplay site init federation.toml --data TABLE --name NAME --out site.toml`, with NAME one of
   {sites}. The table stays where it is.
3. Add to `site.toml`:

```toml
[connection]
federation = "federation.toml"
authority = "ca.crt"
key = "NAME.key"
app = "app"
home = "private"
```

4. `coplay deploy keys --site NAME`, send `NAME.pub` to the coordinator, and read its digest out on
   the telephone. `NAME.key` never leaves the site.
5. `coplay site preview site.toml --federation federation.toml` shows what would leave.
6. `coplay site join site.toml` stays in the federation until Ctrl-C. It opens no port to the
   outside: it calls {address}, port {port}, which the firewall has to let out.

`systemd/` has a unit for each site that does this after a reboot; set its user and its paths first.
Your page and your record lie in `private/`.
"""


def coordinator_guide(name: str, section: DeploySection, sites: Sequence[str], folder: Path) -> str:
    """Return the README of a coordinator's folder."""
    return _COORDINATOR.format(
        name=name,
        sites=", ".join(sites),
        address=section.address,
        port=section.port,
        link_port=section.link_port,
        federation=shlex.quote(str(folder / "federation.toml")),
        keys=section.keys_folder(folder),
        run=shlex.quote(str(folder / "run")),
        units=shlex.quote(str(folder / "systemd")),
        proxy_unit=unit_name(name, "proxy"),
        serve_unit=unit_name(name, "serve"),
    )


def site_guide(name: str, section: DeploySection, sites: Sequence[str]) -> str:
    """Return the README of what every site gets."""
    return _SITE.format(
        name=name, sites=", ".join(sites), address=section.address, port=section.port
    )
