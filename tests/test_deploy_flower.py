"""A real SuperLink behind a real proxy on loopback: who gets in, and what is refused."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import re
import shutil
import ssl
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from coplay.core.errors import EngineError
from coplay.deploy import keys
from coplay.deploy.agreed import agreed_text
from coplay.deploy.folder import founded
from coplay.deploy.node import REFUSED, digest_of_app
from coplay.deploy.processes import flower_env, flower_program, free_port, start, together
from coplay.deploy.proxy import CALLS, ProxyPlace, proxy_text
from coplay.deploy.reaching import why_not_reached
from coplay.deploy.rehearsal import found_site, with_ports
from coplay.deploy.site_node import Membership, membership, why_ended
from coplay.deploy.superlink import SuperLink
from coplay.run.config import Config

pytest.importorskip("flwr", reason="Flower is not installed here: make test-flower")

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
]

ROOT = Path(__file__).parents[1]
NOW = dt.datetime.now(dt.UTC)

FOREIGN_PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "foreign"
version = "1.0.0"
dependencies = []
[tool.flwr.app]
publisher = "stranger"
[tool.flwr.app.components]
serverapp = "foreign.app:server"
clientapp = "foreign.app:client"
[tool.flwr.app.config]
"""

FOREIGN_APP = """
from pathlib import Path
from flwr.app import Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

server = ServerApp()
client = ClientApp()

@client.query()
def query(message, context):
    Path({mark!r}, context.node_config["site"].replace("/", "_")).write_text("was here")
    return Message(RecordDict(), reply_to=message)

@server.main()
def main(grid, context):
    nodes = list(grid.get_node_ids())
    messages = [Message(RecordDict(), node, "query", ttl=40.0) for node in nodes]
    grid.send_and_receive(messages, timeout=40.0)
"""


@dataclass
class Place:
    """A SuperLink with a proxy, and two sites with keys, of which north is registered."""

    home: Path
    link: SuperLink
    port: int
    north: Membership
    south: Membership
    children: list

    @property
    def keys(self):
        return self.home / "keys"

    def as_seen_from(self, port, folder):
        """The Control API as somebody sees it who has the authority's certificate."""
        seen = replace(self.link, port=port, home=folder / "flower")
        flower_env(seen.home)
        seen.write_connection()
        return seen


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    out = tmp_path_factory.mktemp("flower")
    federation = out / "hospitals.toml"
    federation.write_text(with_ports(ROOT / "configs" / "hospitals" / "federation.toml"))
    home = out / "coordinator"
    founded(federation, home).write()
    config = Config.from_toml(agreed_text(federation))
    keys.write_coordinator_keys(home / "keys", "hospitals", ["127.0.0.1"], NOW)
    members = {}
    for name in ("north", "south"):
        site = ROOT / "configs" / "hospitals" / f"{name}.toml"
        found_site(name, site, out / name, home)
        keys.write_site_keys(name, out / name)
        shutil.copy(out / name / f"{name}.pub", home / "keys" / keys.SITES)
        members[name] = membership(out / name / "site.toml", NOW)
    link = SuperLink(config.deploy.link_port, home / "keys", home / "flower")
    with together() as children:
        children.append(link.start())
        command = [NGINX, "-e", "stderr", "-c", str(home / "proxy" / "nginx.conf")]
        children.append(start("proxy", command, {}, home / "proxy.log"))
        link.register("north")
        yield Place(home, link, config.deploy.port, **members, children=children)


def until(condition, seconds=90.0):
    """Whether something comes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.5)
    return False


def log_of(child):
    return child.log.read_text(errors="replace")


def status(place, port, method, path):
    """The status of a request by TLS, with the path as it is written."""
    context = ssl.create_default_context(cafile=str(place.keys / "ca.crt"))
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=20)
    with contextlib.closing(connection):
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", "127.0.0.1")
        connection.putheader("Content-Length", "0")
        connection.endheaders()
        return connection.getresponse().status


def test_the_proxys_calls_are_those_that_flower_has_for_registered_nodes():
    from flwr.supernode import fleet_http_client

    text = Path(fleet_http_client.__file__).read_text()
    calls = set(re.findall(r"/v1/fleet/([a-z-]+)", text))
    assert calls - set(CALLS) == {"register-node", "unregister-node"}
    assert set(CALLS) <= calls


CONTROL = ["list-runs", "start-run", "register-node", "list-nodes", "stop-run"]
TRICKS = [
    *(f"/v1/control/{name}" for name in CONTROL),
    "/v1/runtime/acquire-task",
    "/v1/fleet/register-node",
    "/v1/fleet/../control/list-runs",
    "/v1/fleet/%2e%2e/control/list-runs",
    "/v1/fleet/pull-messages/../../control/list-runs",
    "//v1/control/list-runs",
    "/v1/fleet//pull-messages",
    "/v1/fleet/%70ull-messages",
    "/v1/fleet/pull-messages?x=1",
    "/openapi.json",
    "/docs",
    "/",
]


def test_through_the_proxy_only_calls_of_the_fleet_are_reached(place):
    assert {path: status(place, place.port, "POST", path) for path in TRICKS} == dict.fromkeys(
        TRICKS, 403
    )
    # what is passed on is answered by the SuperLink, to whom an empty message is none
    assert status(place, place.port, "POST", "/v1/fleet/pull-messages") == 415
    assert status(place, place.port, "GET", "/v1/fleet/pull-messages") == 405
    # and without the proxy those that the SuperLink knows are reached by anybody
    for name in CONTROL:
        assert status(place, place.link.port, "POST", f"/v1/control/{name}") == 415


def test_a_site_cannot_list_or_submit_by_the_proxy_and_could_without_it(place, tmp_path):
    by_proxy = place.as_seen_from(place.port, tmp_path / "a")
    with pytest.raises(EngineError, match=r"403|proxy|Forbidden"):
        by_proxy.status_of_nodes()
    with pytest.raises(EngineError, match=r"403|proxy|Forbidden"):
        by_proxy.begin(place.home / "app", {})
    # the same person with the same certificate at the SuperLink's own port: this is why it has to
    # stay on the coordinator's loopback
    direct = place.as_seen_from(place.link.port, tmp_path / "b")
    assert len(direct.status_of_nodes()) >= 1


def test_an_unregistered_key_is_refused_in_plain_words(place):
    child = place.south.start()
    place.children.append(child)
    assert until(lambda: not child.is_running)
    assert child.code != 0
    assert "the coordinator does not take the key of south" in why_ended(place.south, child)


def test_plain_http_is_refused(place, tmp_path):
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=20)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/fleet/pull-messages")
        answer = connection.getresponse()
        assert answer.status == 400
        assert b"plain HTTP request was sent to HTTPS port" in answer.read()
    command = [
        *(flower_program("flower-supernode"), "--insecure", "--superlink"),
        *(f"127.0.0.1:{place.port}", "--max-retries", "0", "--port", str(free_port())),
    ]
    child = start("plain", command, flower_env(tmp_path / "flower"), tmp_path / "log")
    place.children.append(child)
    assert until(lambda: not child.is_running)
    assert child.code != 0
    assert "SuperNode ID" not in log_of(child)


def test_an_expired_certificate_is_refused_by_the_site(place, tmp_path):
    authority = keys.Pair(
        (place.keys / "ca.key").read_bytes(), (place.keys / "ca.crt").read_bytes()
    )
    old = keys.new_server(authority, ["127.0.0.1"], NOW - dt.timedelta(days=10), days=9)
    (tmp_path / keys.SERVER).write_bytes(old.public)
    (tmp_path / keys.SERVER_KEY).write_bytes(old.key)
    (tmp_path / keys.AUTHORITY).write_bytes(authority.public)
    config = Config.from_file(place.home / "federation.toml")
    section = config.deploy.model_copy(update={"port": free_port()})
    file = ProxyPlace(tmp_path / "proxy", tmp_path).file
    file.parent.mkdir()
    file.write_text(proxy_text("hospitals", section, ProxyPlace(file.parent, tmp_path)))
    command = [NGINX, "-e", "stderr", "-c", str(file)]
    place.children.append(start("old", command, {}, tmp_path / "log"))

    def why():
        return why_not_reached("127.0.0.1", section.port, place.keys / "ca.crt")

    assert until(lambda: "expired" in why(), 10), why()
    member = replace(place.north, port=section.port)
    child = member.start(["--max-retries", "0"])
    place.children.append(child)
    assert until(lambda: not child.is_running)
    assert "SuperNode ID" not in log_of(child)
    assert "expired" in log_of(child)


def test_a_site_runs_its_own_app_only_and_flower_alone_would_run_any(place, tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    app = tmp_path / "app"
    (app / "foreign").mkdir(parents=True)
    (app / "pyproject.toml").write_text(FOREIGN_PROJECT)
    (app / "foreign" / "__init__.py").write_text("")
    (app / "foreign" / "app.py").write_text(FOREIGN_APP.format(mark=str(marks)))
    place.link.register("south")
    north = place.north.start()
    bare = [
        *(flower_program("flower-supernode"), "--superlink", f"127.0.0.1:{place.port}"),
        *("--root-certificates", place.south.connection.authority),
        *("--auth-supernode-private-key", place.south.connection.key),
        *("--port", str(free_port()), "--node-config", 'site="south"'),
    ]
    south = start("bare", bare, flower_env(tmp_path / "flower"), tmp_path / "log")
    place.children += [north, south]
    assert until(lambda: "SuperNode ID" in log_of(north) and "SuperNode ID" in log_of(south))
    place.link.begin(app, {})
    assert until(lambda: REFUSED in log_of(north))
    assert until(lambda: list(marks.iterdir()) != [])
    assert [path.name for path in marks.iterdir()] == ["south"]
    assert north.is_running, "a refusal ends nothing"


def test_the_same_folder_gives_the_same_app_and_a_changed_byte_another(place, tmp_path):
    copy = tmp_path / "app"
    shutil.copytree(place.home / "app", copy)
    assert digest_of_app(copy) == digest_of_app(place.home / "app") == place.north.app
    path = copy / "coplay_app" / "client.py"
    path.write_text(path.read_text() + "\n")
    assert digest_of_app(copy) != place.north.app
