"""Whether the keys and certificates of a party are there, fit together, and are still valid."""

from __future__ import annotations

import datetime as dt
import ipaddress
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coplay.deploy import keys

SOON = dt.timedelta(days=30)
"""How long before its end a certificate is said to end."""


def coordinator_faults(
    folder: Path, host: str, sites: Sequence[str], now: dt.datetime
) -> list[str]:
    """Say what the coordinator lacks.

    Args:
        folder: The folder of keys.
        host: The name by which sites reach it.
        sites: The sites that play.
        now: The time.

    Returns:
        One line for each fault, with what to do.
    """
    keys.import_cryptography()
    needed = (keys.AUTHORITY, keys.SERVER, keys.SERVER_KEY)
    missing = [name for name in needed if not (folder / name).exists()]
    faults = [
        f"{folder / name} is not there; 'coplay deploy keys FEDERATION' makes it"
        for name in missing
    ]
    if keys.SERVER_KEY not in missing:
        faults += _open_to_others(folder / keys.SERVER_KEY)
    if keys.AUTHORITY not in missing:
        faults += authority_faults(folder / keys.AUTHORITY, now)
    if keys.SERVER not in missing and keys.AUTHORITY not in missing:
        faults += _server_faults(folder, host, now)
    return [*faults, *_site_key_faults(folder / keys.SITES, sites)]


def ends_soon(path: Path, now: dt.datetime) -> str:
    """Say that a certificate ends soon; empty if it does not."""
    end = keys.until(path)
    if end - now > SOON:
        return ""
    return f"{path} is valid until {end:%Y-%m-%d %H:%M} UTC only"


def authority_faults(path: Path, now: dt.datetime) -> list[str]:
    """Say what is wrong with an authority's certificate, at the coordinator or at a site."""
    certificate, faults = _read_certificate(path)
    return faults or _validity_faults(
        path, certificate, now, "a new authority is needed, and its ca.crt at every site"
    )


def site_key_faults(path: Path) -> list[str]:
    """Say what is wrong with a site's private key."""
    keys.import_cryptography()
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    make = "'coplay deploy keys --site NAME' makes one"
    if not path.exists():
        return [f"{path} is not there; {make}"]
    try:
        key = load_ssh_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, OSError) as error:
        return [f"{path} is no private key of a site ({error}); {make}"]
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return [f"{path}: expected a key on an elliptic curve, got {type(key).__name__}; {make}"]
    return _open_to_others(path)


def _server_faults(folder: Path, host: str, now: dt.datetime) -> list[str]:
    """Say what is wrong with the coordinator's certificate."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = folder / keys.SERVER
    certificate, faults = _read_certificate(path)
    authority, other = _read_certificate(folder / keys.AUTHORITY)
    if faults or other:
        return faults
    faults = _validity_faults(
        path, certificate, now, "'coplay deploy keys FEDERATION --renew' makes the next one"
    )
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        faults.append(
            f"{path} is not signed by {folder / keys.AUTHORITY}; 'coplay deploy keys FEDERATION "
            "--renew' makes one that is"
        )
    if host not in _hosts_of(certificate):
        faults.append(
            f"{path} is for {', '.join(_hosts_of(certificate))}, and sites reach the coordinator "
            f"as {host} ([deploy] address); 'coplay deploy keys FEDERATION --renew' makes one for "
            "it"
        )
    key_path = folder / keys.SERVER_KEY
    if key_path.exists():
        try:
            key = load_pem_private_key(key_path.read_bytes(), None)
        except (ValueError, TypeError) as error:
            return [*faults, f"{key_path} is no private key: {error}"]
        if key.public_key() != certificate.public_key():
            faults.append(f"{key_path} is not the key of {path}; put the right one beside it")
    return faults


def _site_key_faults(folder: Path, sites: Sequence[str]) -> list[str]:
    """Say which sites have no public key, or one that is none, or that of another site."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    faults = []
    owner: dict[bytes, str] = {}
    for name in sites:
        path = folder / f"{name}.pub"
        if not path.exists():
            faults.append(
                f"{path} is not there: {name} makes its keys by 'coplay deploy keys --site {name}' "
                "and sends the public one"
            )
            continue
        content = path.read_bytes()
        if b"PRIVATE" in content:
            faults.append(
                f"{path} is a private key, which should never have left {name}: delete it, and "
                f"have {name} make new keys and send {name}.pub"
            )
            continue
        try:
            key = load_ssh_public_key(content)
        except (ValueError, TypeError) as error:
            faults.append(f"{path} is no public key ({error}); have {name} send it again")
            continue
        if not isinstance(key, ec.EllipticCurvePublicKey):
            faults.append(f"{path}: expected a key on an elliptic curve; have {name} make new keys")
            continue
        body = content.split()[1]
        if body in owner:
            faults.append(f"{path} is also the key of {owner[body]}; every site has its own")
        owner.setdefault(body, name)
    return faults


def _open_to_others(path: Path) -> list[str]:
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & 0o077:
        return []
    return [f"{path} can be read by others (mode {mode:o}): chmod 600 {path}"]


def _read_certificate(path: Path) -> tuple[Any, list[str]]:
    """Return a certificate, or what is wrong with its file."""
    keys.import_cryptography()
    from cryptography import x509

    if not path.exists():
        return None, [f"{path} is not there; ask the coordinator for it"]
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()), []
    except (ValueError, OSError) as error:
        return None, [f"{path} is no certificate ({error}); get it again"]


def _validity_faults(path: Path, certificate: Any, now: dt.datetime, remedy: str) -> list[str]:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        return [f"{path} expired on {end:%Y-%m-%d %H:%M} UTC; {remedy}"]
    if now < start:
        return [
            f"{path} is valid from {start:%Y-%m-%d %H:%M} UTC on, and it is {now:%Y-%m-%d %H:%M} "
            "here; look at this machine's clock"
        ]
    return []


def _hosts_of(certificate: Any) -> list[str]:
    from cryptography import x509

    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    hosts = names.get_values_for_type(x509.DNSName)
    addresses = names.get_values_for_type(x509.IPAddress)
    return [*hosts, *(str(ipaddress.ip_address(address)) for address in addresses)]
