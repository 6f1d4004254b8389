"""Certificates of a federation's authority and of its coordinator, and the keys of its sites.

``cryptography``, which Flower brings, is imported where a key is made or read.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coplay.core import storage
from coplay.core.errors import ConfigError, EngineError

AUTHORITY = "ca.crt"
AUTHORITY_KEY = "ca.key"
SERVER = "server.pem"
SERVER_KEY = "server.key"
SITES = "sites"
"""Folder of the sites' public keys, ``NAME.pub``."""

LOOPBACK = ("localhost", "127.0.0.1")
"""Names by which the coordinator's own processes reach each other."""

AUTHORITY_DAYS = 3650
SERVER_DAYS = 397


@dataclass(frozen=True)
class Pair:
    """A private key and what may be handed out: a certificate or a public key, both as PEM."""

    key: bytes
    public: bytes


def import_cryptography() -> Any:
    """Return the package, if it is installed.

    Raises:
        EngineError: It is not.
    """
    try:
        import cryptography.x509
    except ImportError as error:
        raise EngineError(
            "keys and certificates need the package cryptography, which Flower brings and which "
            "is not installed: pip install 'coplay[flower]'"
        ) from error
    return cryptography


def new_authority(federation: str, start: dt.datetime, days: int = AUTHORITY_DAYS) -> Pair:
    """Make the authority that signs the coordinator's certificate.

    Args:
        federation: Name of the federation.
        start: From when on it is valid.
        days: For how many days.
    """
    import_cryptography()
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP384R1())
    name = _name(f"coplay {federation} authority")
    usage = _key_usage(key_cert_sign=True, crl_sign=True)
    builder = (
        _builder(name, name, key.public_key(), start, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _signed(builder, key, key)


def new_server(
    authority: Pair, hosts: Iterable[str], start: dt.datetime, days: int = SERVER_DAYS
) -> Pair:
    """Make the coordinator's certificate.

    Args:
        authority: Who signs it.
        hosts: Host names and addresses by which it is reached; its own loopback is one always.
        start: From when on it is valid.
        days: For how many days.
    """
    import_cryptography()
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = ec.generate_private_key(ec.SECP384R1())
    signer = x509.load_pem_x509_certificate(authority.public)
    signing_key = load_pem_private_key(authority.key, None)
    names = [_general_name(host) for host in dict.fromkeys([*hosts, *LOOPBACK])]
    of_authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = (
        _builder(_name("coplay coordinator"), signer.subject, key.public_key(), start, days)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(of_authority, critical=False)
    )
    return _signed(builder, key, signing_key)


def new_site_keys(name: str) -> Pair:
    """Make the keys by which a site shows that it is this site: EC P-384, in OpenSSH's format."""
    import_cryptography()
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
    return Pair(private, public + f" {name}\n".encode())


@dataclass(frozen=True)
class Written:
    """What was written, and what is to become of it."""

    files: list[Path]
    lines: list[str]


def write_coordinator_keys(
    folder: Path, federation: str, hosts: Sequence[str], now: dt.datetime
) -> Written:
    """Make the authority, unless there is one, and the coordinator's certificate.

    Args:
        folder: Where they are written; nothing in it is overwritten.
        federation: Name of the federation.
        hosts: Names by which sites reach the coordinator.
        now: The time.

    Raises:
        ConfigError: The coordinator has a certificate already, or one half of the authority is
            missing.
    """
    key, certificate = folder / AUTHORITY_KEY, folder / AUTHORITY
    _refuse_present([folder / SERVER, folder / SERVER_KEY])
    if key.exists() != certificate.exists():
        there, missing = (key, certificate) if key.exists() else (certificate, key)
        raise ConfigError(
            [
                f"{there} is there and {missing} is not; an authority is both. Put the other half "
                "back, or move this one away to begin with a new authority, whose ca.crt every "
                "site then needs"
            ]
        )
    start = now - dt.timedelta(hours=1)  # clocks of others may be behind ours
    files = []
    if key.exists():
        authority = Pair(key.read_bytes(), certificate.read_bytes())
    else:
        authority = new_authority(federation, start)
        files += _write_pair(authority, key, certificate)
    server = new_server(authority, hosts, start)
    files += _write_pair(server, folder / SERVER_KEY, folder / SERVER)
    make_sites_folder(folder)
    return Written(files, _lines_of_coordinator(folder, hosts, now))


def renew_server(folder: Path, hosts: Sequence[str], now: dt.datetime) -> Written:
    """Make a new certificate of the coordinator, by the same authority; the old one is kept.

    Raises:
        ConfigError: There is no authority, or nothing to renew.
    """
    paths = (AUTHORITY_KEY, AUTHORITY, SERVER, SERVER_KEY)
    missing = [str(folder / name) for name in paths if not (folder / name).exists()]
    if missing:
        raise ConfigError([f"--renew needs {', '.join(missing)}, which is not there"])
    old = until(folder / SERVER)
    kept = [folder / f"server.until-{old:%Y-%m-%d}-{now:%Y%m%dT%H%M%S}{end}" for end in _ENDS]
    _refuse_present(kept)
    authority = Pair((folder / AUTHORITY_KEY).read_bytes(), (folder / AUTHORITY).read_bytes())
    server = new_server(authority, hosts, now - dt.timedelta(hours=1))
    for name, path in zip((SERVER, SERVER_KEY), kept, strict=True):
        (folder / name).rename(path)
    files = _write_pair(server, folder / SERVER_KEY, folder / SERVER)
    lines = [
        f"the coordinator's certificate is valid until {until(folder / SERVER):%Y-%m-%d}",
        f"the old one, valid until {old:%Y-%m-%d}, is kept as {kept[0].name}",
        "sites need nothing new, since the authority is the same; start 'coplay serve' and the "
        "proxy again",
    ]
    return Written(files, lines)


_ENDS = (".pem", ".key")


def write_site_keys(name: str, folder: Path) -> Written:
    """Make a site's keys, at the site.

    Args:
        name: The site.
        folder: Where they are written; nothing in it is overwritten.

    Raises:
        ConfigError: There are keys already.
    """
    key, public = folder / f"{name}.key", folder / f"{name}.pub"
    _refuse_present([key, public])
    files = _write_pair(new_site_keys(name), key, public)
    lines = [
        f"{key} stays here, for its owner only; whoever has it can answer as {name}",
        f"hand {public} to the coordinator, who puts it into sites/ in its folder of keys: by a "
        "way on which nobody can exchange it, or read its digest out on the telephone:",
        f"  {fingerprint(public)}",
    ]
    return Written(files, lines)


def make_sites_folder(folder: Path) -> None:
    """Make the folder that the sites' public keys are put into."""
    storage.make_folder(folder / SITES)


def fingerprint(path: Path) -> str:
    """Return a public key's digest, as ``ssh-keygen -lf`` shows it."""
    import base64
    import hashlib

    body = base64.b64decode(path.read_text(encoding="utf-8").split()[1])
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def until(path: Path) -> dt.datetime:
    """Return until when a certificate is valid."""
    import_cryptography()
    from cryptography import x509

    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc


def _lines_of_coordinator(folder: Path, hosts: Sequence[str], now: dt.datetime) -> list[str]:
    return [
        f"the coordinator's certificate is for {', '.join(hosts)}, until "
        f"{until(folder / SERVER):%Y-%m-%d}; --renew makes the next one",
        f"hand {folder / AUTHORITY} to every site: it is public, and must not be exchanged on "
        "its way",
        f"{folder / SERVER_KEY} stays at the coordinator, and {folder / AUTHORITY_KEY} is best "
        "kept offline: whoever has it can pose as the coordinator. It is needed to renew only",
        "each site makes its own keys: coplay deploy keys --site NAME; put the NAME.pub that it "
        f"sends into {folder / SITES}",
    ]


def _write_pair(pair: Pair, key: Path, public: Path) -> list[Path]:
    """Write a pair, the private half first and for its owner only."""
    storage.write_atomically(key, pair.key, private=True)
    storage.write_atomically(public, pair.public)
    return [key, public]


def _refuse_present(paths: Sequence[Path]) -> None:
    """Refuse to overwrite.

    Raises:
        ConfigError: With all that are there.
    """
    present = [path for path in paths if path.exists()]
    if present:
        raise ConfigError(
            f"{path} exists already, and keys are never overwritten; move it away first, or name "
            "another folder"
            for path in present
        )


def _name(text: str) -> Any:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _general_name(host: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(**wanted: bool) -> Any:
    from cryptography import x509

    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: wanted.get(name, False) for name in names})


def _builder(subject: Any, issuer: Any, public_key: Any, start: dt.datetime, days: int) -> Any:
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=days))
    )


def _signed(builder: Any, key: Any, signing_key: Any) -> Pair:
    """Return a certificate with its private key."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives import serialization as form

    certificate = builder.sign(signing_key, hashes.SHA384())
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return Pair(private, certificate.public_bytes(form.Encoding.PEM))
