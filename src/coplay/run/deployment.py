"""Sections for parties in organisations of their own: where they meet, and with which keys."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from coplay.core.components import Section
from coplay.data.sources.base import path_from

_HOST = re.compile(r"(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?)+")


def host_of(text: str) -> str:
    """Return a host name or an address, if it is one and nothing else.

    It becomes part of a proxy's configuration and of command lines.

    Raises:
        ValueError: It is something else.
    """
    try:
        ipaddress.ip_address(text)
    except ValueError:
        if not _HOST.fullmatch(text) or text.endswith("."):
            raise ValueError(
                "expected a host name such as 'coplay.example.org', or an address such as "
                f"'10.0.0.5', without a port and without https://, got {text!r}"
            ) from None
    return text


Host = Annotated[str, AfterValidator(host_of)]
Port = Annotated[int, Field(ge=1, le=65535)]


class DeploySection(Section):
    """Where the sites of a federation reach its coordinator.

    Args:
        address: Host name or address of the coordinator's proxy, as the sites reach it. Its
            certificate has to be for this name.
        port: Port of the proxy.
        listen: Address that the proxy listens on; by default this machine's loopback, which
            nobody else reaches.
        link_port: Port of Flower's SuperLink, on the coordinator's loopback, where the proxy is
            the only one that reaches it from outside.
        keys: Folder with the authority's and the server's certificate, the server's key and the
            public keys of the sites; ``coplay deploy keys`` makes it.

    Example:
        >>> DeploySection(address="coplay.example.org", listen="0.0.0.0").port
        9443
    """

    address: Host = "127.0.0.1"
    port: Port = 9443
    listen: Host = "127.0.0.1"
    link_port: Port = 18000
    keys: str = "keys"

    def keys_folder(self, home: Path) -> Path:
        """Return where the keys are, a relative path taken from the federation's folder.

        It stays relative in the config, which is the same at all parties.
        """
        return Path(path_from(home, self.keys))


class ConnectionSection(Section):
    """How a site reaches the coordinator of its federation.

    Args:
        federation: The site's own copy of what was agreed, ``federation.toml``.
        address: Host name or address of the coordinator's proxy; without one, what the federation
            says in ``[deploy]``.
        port: Port of the proxy; without one, what the federation says.
        authority: Certificate of the federation's authority, ``ca.crt``.
        key: The site's private key, which never leaves it.
        app: Folder of the Flower app, as ``coplay deploy init`` wrote it. What the coordinator
            sends to be run at the site has to be this app to the last byte.
        node_port: Port on the site's loopback by which Flower's own processes talk to each other;
            without one, a free one.
        home: Folder for the site's state and its record, for its owner only.

    Example:
        >>> ConnectionSection(federation="federation.toml").key
        'site.key'
    """

    federation: str = "federation.toml"
    address: Host | None = None
    port: Port | None = None
    authority: str = "ca.crt"
    key: str = "site.key"
    app: str = "app"
    node_port: Port | None = None
    home: str = "private"

    def at(self, home: Path) -> ConnectionSection:
        """Return the section with relative paths taken from a folder."""
        paths = ("federation", "authority", "key", "app", "home")
        changed = {name: path_from(home, getattr(self, name)) for name in paths}
        return self.model_copy(update=changed)
