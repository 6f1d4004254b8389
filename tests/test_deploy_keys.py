"""Keys and certificates: what is made, who takes it, and what is said of those that do not fit."""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
import socket
import ssl
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from coplay.cli.main import main
from coplay.core.errors import ConfigError
from coplay.deploy import key_checks, keys
from coplay.deploy.proxy import ProxyPlace, proxy_text
from coplay.deploy.reaching import why_not_reached
from coplay.run.deployment import DeploySection

pytest.importorskip("cryptography", reason="comes with Flower, which is not installed here")

HOSPITALS = Path(__file__).parents[1] / "configs" / "hospitals"
NOW = dt.datetime.now(dt.UTC)
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")


def made(folder, hosts=("127.0.0.1", "coplay.example"), sites=("north", "south"), now=NOW):
    """Make the keys of a coordinator and its sites."""
    keys.write_coordinator_keys(folder, "hospitals", list(hosts), now)
    for name in sites:
        keys.write_site_keys(name, folder / "at" / name)
        shutil.copy(folder / "at" / name / f"{name}.pub", folder / keys.SITES)
    return folder


@contextlib.contextmanager
def listening(folder, speaks_tls=True):
    """A server on loopback that shows a certificate, or answers in plain text; gives its port."""
    plain = socket.create_server(("127.0.0.1", 0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / keys.SERVER, folder / keys.SERVER_KEY)

    def answer():
        with contextlib.suppress(OSError):
            while True:
                one, _ = plain.accept()
                with contextlib.suppress(OSError), one:
                    if speaks_tls:
                        context.wrap_socket(one, server_side=True).close()
                    else:
                        one.recv(100)
                        one.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield plain.getsockname()[1]
    finally:
        plain.close()


def test_a_site_takes_the_coordinators_certificate_and_no_other(tmp_path):
    made(tmp_path / "a")
    made(tmp_path / "b")
    with listening(tmp_path / "a") as port:
        assert why_not_reached("127.0.0.1", port, tmp_path / "a" / "ca.crt") == ""
        assert why_not_reached("localhost", port, tmp_path / "a" / "ca.crt") == ""
        why = why_not_reached("127.0.0.1", port, tmp_path / "b" / "ca.crt")
        assert f"{tmp_path / 'b' / 'ca.crt'} has not signed" in why


def test_an_expired_certificate_is_refused_with_what_to_do(tmp_path):
    made(tmp_path, now=NOW - dt.timedelta(days=keys.SERVER_DAYS, hours=1))
    with listening(tmp_path) as port:
        why = why_not_reached("127.0.0.1", port, tmp_path / "ca.crt")
    assert "has expired" in why
    assert "--renew" in why


def test_a_certificate_of_tomorrow_is_a_matter_of_clocks(tmp_path):
    made(tmp_path, now=NOW + dt.timedelta(days=1))
    with listening(tmp_path) as port:
        assert "clocks" in why_not_reached("127.0.0.1", port, tmp_path / "ca.crt")


def test_another_host_name_is_refused(tmp_path):
    made(tmp_path)
    server = keys.new_server(
        keys.Pair((tmp_path / "ca.key").read_bytes(), (tmp_path / "ca.crt").read_bytes()),
        ["coplay.example"],
        NOW,
    )
    with listening(tmp_path) as port:
        why = why_not_reached("127.0.0.2", port, tmp_path / "ca.crt")
    # nobody listens at 127.0.0.2; the name is what the certificate has to be for
    assert "is not running" in why
    assert b"BEGIN CERTIFICATE" in server.public
    faults = key_checks.coordinator_faults(tmp_path, "other.example", ["north"], NOW)
    assert len(faults) == 1
    assert "is for coplay.example, localhost, 127.0.0.1" in faults[0]
    assert "sites reach the coordinator as other.example ([deploy] address)" in faults[0]


def test_plain_http_and_nobody_are_said_in_plain_words(tmp_path):
    made(tmp_path)
    with listening(tmp_path, speaks_tls=False) as port:
        why = why_not_reached("127.0.0.1", port, tmp_path / "ca.crt")
    assert "answers, but not by TLS" in why
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert "is not running" in why_not_reached("127.0.0.1", port, tmp_path / "ca.crt")
    assert "nobody knows the name" in why_not_reached("no.invalid", 1, tmp_path / "ca.crt")


def test_private_halves_are_for_their_owner_and_nothing_is_overwritten(tmp_path):
    made(tmp_path)
    private = [tmp_path / "ca.key", tmp_path / "server.key", tmp_path / "at/north/north.key"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in private] == [0o600] * 3
    before = [path.read_bytes() for path in private]
    with pytest.raises(ConfigError) as caught:
        keys.write_coordinator_keys(tmp_path, "hospitals", ["127.0.0.1"], NOW)
    assert caught.value.problems[0].startswith(f"{tmp_path / 'server.pem'} exists already")
    assert len(caught.value.problems) == 2
    with pytest.raises(ConfigError, match=r"north\.key exists already"):
        keys.write_site_keys("north", tmp_path / "at/north")
    assert [path.read_bytes() for path in private] == before


def test_half_an_authority_is_no_authority(tmp_path):
    made(tmp_path)
    for name in ("server.pem", "server.key", "ca.key"):
        (tmp_path / name).unlink()
    with pytest.raises(ConfigError, match=r"ca\.crt is there and .*ca\.key is not"):
        keys.write_coordinator_keys(tmp_path, "hospitals", ["127.0.0.1"], NOW)


def test_renewing_keeps_the_authority_and_the_old_certificate(tmp_path):
    made(tmp_path, now=NOW - dt.timedelta(days=keys.SERVER_DAYS, hours=1))
    authority, old = (tmp_path / "ca.crt").read_bytes(), (tmp_path / "server.pem").read_bytes()
    assert len(key_checks.coordinator_faults(tmp_path, "127.0.0.1", ["north"], NOW)) == 1
    written = keys.renew_server(tmp_path, ["127.0.0.1"], NOW)
    assert (tmp_path / "ca.crt").read_bytes() == authority
    kept = [path for path in tmp_path.glob("server.until-*.pem")]
    assert [path.read_bytes() for path in kept] == [old]
    assert kept[0].name in written.lines[1]
    assert key_checks.coordinator_faults(tmp_path, "127.0.0.1", ["north"], NOW) == []
    with listening(tmp_path) as port:
        assert why_not_reached("127.0.0.1", port, tmp_path / "ca.crt") == ""


def test_a_certificate_that_ends_soon_is_mentioned(tmp_path):
    made(tmp_path)
    assert key_checks.ends_soon(tmp_path / "server.pem", NOW) == ""
    later = NOW + dt.timedelta(days=keys.SERVER_DAYS - 29)
    assert "is valid until" in key_checks.ends_soon(tmp_path / "server.pem", later)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_a_sites_keys_are_what_openssh_takes(tmp_path):
    keys.write_site_keys("north", tmp_path)
    public = (tmp_path / "north.pub").read_text()
    ask = ["ssh-keygen", "-y", "-f", tmp_path / "north.key"]
    derived = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    assert derived.split()[:2] == public.split()[:2]
    ask = ["ssh-keygen", "-lf", tmp_path / "north.pub"]
    shown = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["384", keys.fingerprint(tmp_path / "north.pub"), "north", "(ECDSA)"]


def test_every_missing_or_wrong_key_is_named_at_once(tmp_path):
    made(tmp_path, sites=("north", "south", "east", "west"))
    sites = tmp_path / keys.SITES
    shutil.copy(sites / "north.pub", sites / "south.pub")
    shutil.copy(tmp_path / "at/east/east.key", sites / "east.pub")
    (sites / "west.pub").write_text("ssh-rsa AAAA west\n")
    (tmp_path / "server.key").chmod(0o644)
    names = ["north", "south", "east", "west", "far"]
    faults = key_checks.coordinator_faults(tmp_path, "coplay.example", names, NOW)
    expected = [
        "server.key can be read by others (mode 644): chmod 600",
        "south.pub is also the key of north",
        "east.pub is a private key, which should never have left east",
        "west.pub is no public key",
        "far.pub is not there: far makes its keys by 'coplay deploy keys --site far'",
    ]
    assert len(faults) == len(expected)
    for fault, words in zip(faults, expected, strict=True):
        assert words in fault


def test_a_certificate_of_another_authority_or_key_is_noticed(tmp_path):
    made(tmp_path / "a")
    made(tmp_path / "b")
    shutil.copy(tmp_path / "b" / "server.pem", tmp_path / "a" / "server.pem")
    faults = key_checks.coordinator_faults(tmp_path / "a", "127.0.0.1", ["north"], NOW)
    assert len(faults) == 2
    assert "is not signed by" in faults[0]
    assert "is not the key of" in faults[1]


def test_a_sites_key_that_is_none_is_refused(tmp_path):
    assert "is not there" in key_checks.site_key_faults(tmp_path / "north.key")[0]
    keys.write_site_keys("north", tmp_path)
    assert key_checks.site_key_faults(tmp_path / "north.key") == []
    assert "is no private key" in key_checks.site_key_faults(tmp_path / "north.pub")[0]
    (tmp_path / "north.key").chmod(0o640)
    assert "mode 640" in key_checks.site_key_faults(tmp_path / "north.key")[0]


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_nginx_takes_the_configuration_and_would_notice_a_slip(tmp_path):
    made(tmp_path / "with space")
    place = ProxyPlace(tmp_path / "proxy place", tmp_path / "with space")
    place.folder.mkdir()
    text = proxy_text("hospitals", DeploySection(listen="127.0.0.1"), place)
    for content, passes in ((text, True), (text.replace("proxy_ssl_verify", "proxy_sl"), False)):
        place.file.write_text(content)
        command = [NGINX, "-e", "stderr", "-t", "-c", str(Path(place.file))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == passes, done.stderr


def test_serve_names_all_that_is_missing_at_once(tmp_path, capsys):
    for file in HOSPITALS.iterdir():
        shutil.copy(file, tmp_path)
    assert main(["serve", str(tmp_path / "federation.toml")]) == 2
    text = capsys.readouterr().err
    for name in ("north", "south", "east"):
        assert f"players.{name}.site: a path of one party in the file of all" in text
        assert f"keys/sites/{name}.pub is not there: {name} makes its keys by" in text
    assert "app/pyproject.toml is not there; 'coplay deploy init" in text
    assert "server.key is not there; 'coplay deploy keys FEDERATION' makes it" in text
    assert "11 problems" in text


def test_commands_of_a_coordinator_lead_from_init_to_what_is_missing(tmp_path, capsys):
    home = tmp_path / "coordinator"
    federation = str(home / "federation.toml")
    assert main(["deploy", "init", str(HOSPITALS / "federation.toml"), "--out", str(home)]) == 0
    assert main(["deploy", "keys", federation, "--host", "coplay.example"]) == 0
    text = capsys.readouterr().out
    assert "the coordinator's certificate is for 127.0.0.1, coplay.example, until" in text
    for name in ("north", "south"):
        assert main(["deploy", "keys", "--site", name, "--out", str(tmp_path / name)]) == 0
        shutil.copy(tmp_path / name / f"{name}.pub", home / "keys" / "sites")
    assert keys.fingerprint(tmp_path / "south" / "south.pub") in capsys.readouterr().out
    path = home / "federation.toml"
    path.write_text(path.read_text().replace("port = 9443", "port = 9444"))
    assert main(["serve", federation]) == 2
    text = capsys.readouterr().err
    assert "2 problems" in text
    assert "nginx.conf has no line 'listen 127.0.0.1:9444 ssl;', which [deploy] port" in text
    assert "keys/sites/east.pub is not there: east makes its keys by" in text


def test_join_names_all_that_is_missing_at_once(tmp_path, capsys):
    text = (HOSPITALS / "north.toml").read_text()
    text = text.replace('name = "north"', 'name = "nroth"', 1)
    path = tmp_path / "site.toml"
    path.write_text(f'{text}\n[connection]\nfederation = "agreed.toml"\n')
    shutil.copy(HOSPITALS / "federation.toml", tmp_path / "agreed.toml")
    assert main(["site", "join", str(path)]) == 2
    text = capsys.readouterr().err
    assert f"{tmp_path}/ca.crt is not there; ask the coordinator for it" in text
    assert f"{tmp_path}/site.key is not there; 'coplay deploy keys --site NAME' makes one" in text
    assert "has no site 'nroth'; known, nearest first: north" in text
    assert f"{tmp_path}/app is no app of Flower" in text
