"""What 'coplay deploy' writes, what it refuses, and what the tools that read it say of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from coplay import Config, Federation
from coplay.cli.main import main
from coplay.core.errors import ConfigError
from coplay.deploy.agreed import agreed_text, faults_of
from coplay.deploy.app_folder import app_texts
from coplay.deploy.folder import founded
from coplay.deploy.proxy import CALLS, ProxyPlace, proxy_text
from coplay.deploy.units import Program, proxy_unit, serve_unit, site_unit
from coplay.report.page_at_site import write_page_at
from coplay.report.site_page import write_pages
from coplay.run.deployment import DeploySection
from coplay.run.joining import with_one_site
from coplay.run.site_file import SiteFile

ROOT = Path(__file__).parents[1]
HOSPITALS = ROOT / "configs" / "hospitals" / "federation.toml"
ANALYZE = shutil.which("systemd-analyze")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("deploy") / "coordinator"
    founded(HOSPITALS, out).write()
    return out


def errors(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err


def test_the_agreed_file_has_no_path_and_keeps_its_comments(folder):
    text = (folder / "federation.toml").read_text()
    assert "# What the hospitals agreed on. No range was read off anybody's data." in text
    values = tomllib.loads(text)
    before = tomllib.loads(HOSPITALS.read_text())
    assert values.pop("deploy") == DeploySection().model_dump()
    assert values.pop("players") == {"north": {}, "south": {}, "east": {}}
    before.pop("players")
    assert values == before
    assert "north.toml" not in text
    assert (folder / "for-sites" / "federation.toml").read_text() == text


@pytest.mark.parametrize(
    "players",
    [
        'players = { north = { site = "north.toml" }, south = { site = "south.toml" } }',
        '[players]\nnorth = { site = "a [b].toml" }\nsouth.site = "south.toml"',
        "[players.north]\nsite = '''\nnorth.toml'''\n[players.south]\nsite = \"s\" # mine",
        '[ players . north ]\nsite = "n"\n[players."south"]\n  "site" = "s"',
    ],
)
def test_the_paths_of_sites_are_taken_out_however_they_are_written(players, tmp_path):
    path = tmp_path / "wards.toml"
    variables = '[variables.age]\nkind = "real"\n'
    first, rest = (players, variables) if players.startswith("players") else ("", variables)
    path.write_text(f"{first}\n{rest}{'' if first else players}\n")
    values = tomllib.loads(agreed_text(path))
    assert values["players"] == {"north": {}, "south": {}}
    assert values["name"] == "wards", "a copy of another name is the same federation"


def test_what_cannot_be_deployed_is_said_at_once(tmp_path, capsys):
    path = tmp_path / "federation.toml"
    path.write_text(
        'compare = ["pooled"]\n[players.north.data.source]\nname = "table"\nfile = "n.csv"\n'
        '[players.south]\n[game]\nname = "md_gan"\n[model]\nname = "acgan"\n'
    )
    text = errors(capsys, "deploy", "init", path, "--out", tmp_path / "out")
    assert "4 problems" in text
    assert "[variables]: expected the agreed variables" in text
    assert "players.north.data: where the data of north are is its own affair" in text
    assert "md_gan sends a message per iteration" in text
    assert "each takes about 5 s" in text
    assert "pooled needs all rows in one place" in text
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_taken_is_left_alone(folder, capsys):
    before = (folder / "README.md").read_text()
    text = errors(capsys, "deploy", "init", HOSPITALS, "--out", folder)
    assert f"{folder} exists already; name another folder with --out" in text
    assert (folder / "README.md").read_text() == before


def test_init_says_that_nobody_else_reaches_a_loopback(tmp_path, capsys):
    assert main(["deploy", "init", str(HOSPITALS), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "hospitals: 3 sites (north, south, east), reached at 127.0.0.1:9443" in text
    assert "the proxy listens on this machine's loopback only" in text
    assert f"next: coplay deploy keys {tmp_path / 'out' / 'federation.toml'}" in text


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('address = "https://a.example"', "deploy.address: expected a host name such as"),
        ('address = "a.example:9443"', "without a port and without https://"),
        ('listen = "0.0.0.0; include /etc/passwd"', "deploy.listen: expected a host name"),
        ("port = 0", "deploy.port: input should be greater than or equal to 1, got 0"),
        ("port = 65536", "deploy.port: input should be less than or equal to 65535"),
        ('port = "https"', "deploy.port: input should be a valid integer"),
        ("prot = 9443", "deploy.prot: unknown key; known, nearest first: port"),
    ],
)
def test_a_wrong_section_is_named_with_what_was_expected(line, fault):
    with pytest.raises(ConfigError) as caught:
        Config.from_toml(f"[deploy]\n{line}\n")
    assert fault in str(caught.value)


@pytest.mark.parametrize("host", ["a.example.org", "localhost", "10.0.0.5", "::1", "a-b.c"])
def test_names_and_addresses_are_hosts(host):
    assert DeploySection(address=host).address == host


def test_where_the_keys_are_is_the_same_text_at_all_parties(tmp_path):
    text = agreed_text(HOSPITALS)
    configs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "federation.toml").write_text(text)
        configs.append(Config.from_file(tmp_path / name / "federation.toml"))
    assert configs[0].to_dict() == configs[1].to_dict()


def test_a_sites_paths_are_taken_from_its_own_folder(tmp_path):
    path = tmp_path / "site.toml"
    path.write_text(
        'federation = "hospitals"\nname = "north"\n[data.source]\nname = "table"\n'
        'file = "n.csv"\n[connection]\nkey = "/etc/north.key"\naddress = "c.example"\n'
    )
    connection = SiteFile.from_file(path).connection
    assert connection.key == "/etc/north.key"
    assert connection.authority == str(tmp_path / "ca.crt")
    assert connection.home == str(tmp_path / "private")


def test_the_app_holds_no_code_of_its_own_and_has_all_keys_of_a_run():
    texts = app_texts("Three.Hospitals")
    project = tomllib.loads(texts[Path("pyproject.toml")])
    assert project["project"]["name"] == "coplay-three-hospitals"
    assert project["tool"]["flwr"]["app"]["config"] == {
        "federation": "",
        "out": "",
        "resume": "",
        "nodes": "",
        "failure": "",
    }
    for side in ("server", "client"):
        lines = [line for line in texts[Path(f"coplay_app/{side}.py")].splitlines() if line]
        assert lines[1:] == [
            f"from coplay.run.flower_apps import {side} as app",
            '__all__ = ["app"]',
        ]
    assert app_texts("x") == app_texts("x")


def test_the_proxy_passes_named_calls_on_and_nothing_else(tmp_path):
    section = DeploySection(address="a.example", listen="::", port=443, link_port=18001)
    text = proxy_text("x", section, ProxyPlace(tmp_path / "with space", tmp_path / "keys"))
    assert "listen [::]:443 ssl;" in text
    assert "server 127.0.0.1:18001;" in text
    assert f'ssl_certificate "{tmp_path}/keys/server.pem";' in text
    assert f"^/v1/fleet/({'|'.join(CALLS)})$" in text
    assert not {"register-node", "unregister-node"} & set(CALLS)
    assert text.count("proxy_pass https:") == 1
    assert text.index("return 403") < text.index("proxy_pass https:")


@pytest.mark.parametrize("name", ['a"b', "a$b", "a;b", "a%b", "a\nb", "a{b"])
def test_paths_that_mean_something_to_nginx_or_systemd_are_refused(name, tmp_path):
    with pytest.raises(ConfigError, match="choose another folder"):
        proxy_text("x", DeploySection(), ProxyPlace(tmp_path / name, tmp_path))


def verified(folder, text, name="coplay-test.service"):
    """What systemd says of a unit."""
    path = folder / name
    path.write_text(text)
    done = subprocess.run([ANALYZE, "verify", path], capture_output=True, text=True, check=False)
    return done.stderr


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_units_and_would_notice_a_slip(tmp_path):
    program = Program((sys.executable, "-m", "coplay"), Path("/bin/true"))
    home = tmp_path / "with space"
    home.mkdir()
    serve = serve_unit("x", home, home / "run", program, "root")
    for text in (
        serve,
        proxy_unit("x", ProxyPlace(home, home), program, "root"),
        site_unit("x", "north", home / "site.toml", program, "root"),
    ):
        assert verified(tmp_path, text) == ""
    assert "Failed to parse" in verified(tmp_path, serve.replace("on-failure", "on-failures"))
    assert f'serve "{home}/federation.toml" --out "{home}/run" --resume --no-proxy' in serve


def test_what_is_killed_is_started_again_and_what_is_over_is_not():
    program = Program(("/bin/coplay",), Path("/bin/nginx"))
    serve = serve_unit("x", Path("/c"), Path("/c/run"), program, "me")
    site = site_unit("x", "north", Path("/s/site.toml"), program, "me")
    assert "Restart=on-failure\nRestartSec=15\n" in serve
    assert "Restart=always\nRestartSec=15\n" in site
    assert "StartLimitIntervalSec=0\n" in site, "systemd gives up after five starts otherwise"
    assert "ExecStart=/bin/coplay site join /s/site.toml\n" in site


def test_the_guides_name_every_site_and_no_port_too_many(folder):
    text = (folder / "README.md").read_text()
    assert "Open 9443 in the firewall, and nothing else" in text
    assert "coplay serve" in text
    site = (folder / "for-sites" / "README.md").read_text()
    assert "north, south, east" in site
    assert "18000" not in site


def test_serve_refuses_paths_of_sites_and_a_folder_that_is_none(tmp_path):
    config = Config.from_file(HOSPITALS)
    faults = faults_of(config)
    assert len(faults) == 3
    assert faults[0].startswith("players.north.site: a path of one party in the file of all")


def test_join_shows_what_to_write_where_a_site_has_no_connection(tmp_path, capsys):
    text = errors(capsys, "site", "join", HOSPITALS.parent / "north.toml")
    assert "does not say how the site reaches its coordinator; add to it:" in text
    section = tomllib.loads(text[text.index("[connection]") :])["connection"]
    assert section["key"] == "north.key"


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ([], "expected the federation's file at the coordinator, or --site NAME at a site"),
        ([HOSPITALS, "--site", "north"], "and not both"),
        (["--site", "../north"], "--site: expected the site's name as in federation.toml"),
        (["--site", "north", "--renew"], "--renew and --host are for the coordinator's"),
        ([HOSPITALS, "--out", "x"], "the folder of keys is said by [deploy] keys"),
        ([HOSPITALS, "--host", "a b"], "expected a host name such as"),
    ],
)
def test_keys_refuses_what_makes_no_sense(arguments, fault, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert fault in errors(capsys, "deploy", "keys", *arguments)
    assert not list(tmp_path.iterdir())


def test_without_flower_the_error_says_what_to_install(tmp_path, capsys):
    if shutil.which("flwr", path=str(Path(sys.executable).parent)):
        pytest.skip("Flower is installed here")
    text = errors(capsys, "deploy", "keys", "--site", "north", "--out", tmp_path)
    assert "pip install 'coplay[flower]'" in text


def test_a_site_writes_its_page_from_its_own_folder_alone(tmp_path):
    config = Config.from_file(
        HOSPITALS,
        ["game.rounds=2", "game.own_rounds=1", "game.local_steps=3", "measure.samples=100"],
    )
    result = Federation(config).run(tmp_path / "run")
    assert write_pages(result)
    before = (tmp_path / "run" / "sites" / "north" / "page.html").read_text()
    home = tmp_path / "private"
    shutil.copytree(tmp_path / "run" / "sites" / "north", home / "sites" / "north")
    (home / "sites" / "north" / "page.html").unlink()
    file = HOSPITALS.parent / "north.toml"
    page = write_page_at(home, with_one_site(config, "north", file), "north")
    assert page == home / "sites" / "north" / "page.html"
    assert page.read_text() == before.replace(str(tmp_path / "run"), str(home))
    empty = tmp_path / "empty"
    empty.mkdir()
    assert write_page_at(empty, with_one_site(config, "north", file), "north") is None
