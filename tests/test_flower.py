"""A federation between organisations, over a carrier without Flower: the local engine's bits.

The same over real nodes is in test_flower_nodes.py.
"""

import hashlib
import json
import os
import pickle
import signal
import tomllib
from dataclasses import replace

import pytest

from coplay import Federation, Result
from coplay.cli.main import main
from coplay.core.codec import request_to_bytes
from coplay.core.errors import ConfigError, EngineError
from coplay.core.message import COORDINATOR, Message
from coplay.core.requests import Evaluate, Finish, Save
from coplay.engines.flower import Flower
from coplay.engines.flower_carrier import Fault
from coplay.engines.flower_codec import Envelope
from coplay.games.sample_exchange import Turn
from coplay.run.config import Config
from coplay.run.flower_site import FlowerSite
from coplay.site.egress import Record

from . import private_sites
from .flower_loop import Loop, deployed, deployed_images, laid_out, linked, played, site_at

EXCHANGE = {"name": "sample_exchange", "rounds": 2, "own_rounds": 1, "local_steps": 3}
SHORT = {
    "game": EXCHANGE,
    "compare": [],
    "measure": {"samples": 100, "every_rounds": 2, "preset": "none"},
    "checkpoint": {"every_rounds": 1},
}


class Stop(KeyboardInterrupt):
    """A coordinator that is ended."""


def locally(federation, places, out):
    """Play the same federation with the local engine, from the sites' own files."""
    values = tomllib.loads(federation.read_text())
    values["players"] = {name: {"site": str(places[name] / "site.toml")} for name in places}
    return Federation(Config.from_dict(values)).run(out)


def rows_of(folder, game):
    lines = (folder / game / "rows.jsonl").read_text().splitlines()
    rows = []
    for line in lines:
        row = json.loads(line)
        rows.append({key: row[key] for key in row if key not in ("seconds", "seal")})
    return rows


def model_of(home, name, game):
    path = home / "sites" / name / game / "models" / f"{name}.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def record_of(home, name, game="sample_exchange"):
    return Record.read(home / "private" / "sites" / name / game / "egress.jsonl")


def same_as_local(folder, changes, games):
    federation, places = deployed(folder, changes)
    result = played(Loop(places), federation, folder / "run")
    assert result.record.status == "finished"
    locally(federation, places, folder / "local")
    for game in games:
        assert rows_of(folder / "run", game) == rows_of(folder / "local", game)
        for name, home in places.items():
            here = model_of(home / "private", name, game)
            assert here == model_of(folder / "local", name, game)
            assert record_of(home, name, game).fault == ""


def test_two_games_have_the_local_engines_bits(tmp_path):
    changes = {**SHORT, "compare": ["isolated"]}
    same_as_local(tmp_path, changes, ["sample_exchange", "isolated"])
    assert main(["report", str(tmp_path / "run")]) == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert all(name in page for name in ("north", "south", "east"))


@pytest.mark.slow
@pytest.mark.parametrize("game", ["fl_gan", "distillation", "ensemble", "sourced_exchange"])
def test_games_of_images_have_the_local_engines_bits(game, tmp_path):
    gan = {"name": "acgan", "latent": 4, "batch": 10}
    models = {
        "fl_gan": gan,
        "ensemble": gan,
        "sourced_exchange": gan,
        "distillation": {"name": "joint_classifier", "batch": 16, "channels": 4, "hidden": 16},
    }
    section = {"name": game, "rounds": 2, "local_steps": 3}
    if game == "fl_gan":
        section["average_every_epochs"] = 0.02
    changes = {**SHORT, "game": section}
    federation, places = deployed_images(tmp_path, {**changes, "model": models[game]})
    played(Loop(places), federation, tmp_path / "run")
    locally(federation, places, tmp_path / "local")
    assert rows_of(tmp_path / "run", game) == rows_of(tmp_path / "local", game)
    for name, home in places.items():
        here = model_of(home / "private", name, game)
        assert here == model_of(tmp_path / "local", name, game)


@pytest.mark.slow
def test_direct_exchange_has_the_local_engines_bits(tmp_path):
    changes = {**SHORT, "game": {"name": "direct_exchange", "rounds": 2, "local_steps": 3}}
    same_as_local(tmp_path, changes, ["direct_exchange"])


@pytest.mark.slow
def test_the_hospitals_as_they_are_have_the_local_engines_bits(tmp_path):
    same_as_local(tmp_path, {}, ["sample_exchange", "isolated"])


def test_a_coordinator_that_was_ended_goes_on_with_the_same_bits(tmp_path):
    federation, places = deployed(tmp_path, {**SHORT, "game": {**EXCHANGE, "rounds": 3}})

    class Ended(Loop):
        def push(self, parcels, ttl):
            if len(self.sent) > 16:
                raise Stop
            return super().push(parcels, ttl)

    with pytest.raises(Stop):
        played(Ended(places), federation, tmp_path / "run")
    assert Result.load(tmp_path / "run").record.status == "stopped"
    played(Loop(places), federation, tmp_path / "run", resume=True)
    locally(federation, places, tmp_path / "local")
    assert rows_of(tmp_path / "run", "sample_exchange") == rows_of(
        tmp_path / "local", "sample_exchange"
    )
    for name, home in places.items():
        there = model_of(home / "private", name, "sample_exchange")
        assert there == model_of(tmp_path / "local", name, "sample_exchange")


def test_a_site_that_is_away_misses_rounds_and_comes_back_with_its_model(tmp_path):
    changes = {**SHORT, "game": {**EXCHANGE, "rounds": 4}, "checkpoint": {"every_rounds": 4}}
    changes["engine"] = {"name": "flower", "deadline": 0.3}
    federation, places = deployed(tmp_path, changes)

    class Unsteady(Loop):
        def nodes(self):
            # north is the first node, and away while south has answered one turn or two
            turns = [each for each in self.sent if b'"turn"' in each.body and each.node == 2]
            self.away = {1} if 1 <= len(turns) < 3 else set()
            return super().nodes()

    result = played(Unsteady(places), federation, tmp_path / "run")
    play = result.plays["sample_exchange"]
    assert {(loss.player, loss.round) for loss in play.late} == {("north", 2), ("north", 3)}
    assert not play.lost
    assert "out of reach" in play.late[0].reason
    assert result.record.status == "finished"
    turns = [line.round for line in record_of(places["north"], "north").lines if line.turns]
    assert max(turns) == 4


def begun(folder, changes=SHORT):
    """Begin a game at all sites, and return the carrier, the link and the engine."""
    federation, places = deployed(folder, changes)
    loop = Loop(places)
    link = linked(loop, federation)
    link.begin(list(places))
    envelopes = {}
    for name in places:
        envelopes[name] = (link.envelope(name, "begin", "sample_exchange", plays=True), b"")
    got = link.exchange(envelopes, 30)
    assert {kind.kind for kind, _ in got.values()} == {"facts"}
    return federation, places, link


def ask_of(link, name="north"):
    return link.envelope(name, "ask", "sample_exchange")


def turn(round=1, name="north"):
    return request_to_bytes(Message(Turn(1.0, {"south": 5}), COORDINATOR, name, round))


def refusal_of(answer):
    envelope, body = answer
    assert envelope.kind == "refused"
    assert body == b""
    return envelope.reason


def test_what_is_no_message_of_this_run_is_refused_and_the_run_goes_on(tmp_path):
    _, places, link = begun(tmp_path)
    north = places["north"]
    first = ask_of(link)
    envelope, body = site_at(north).answer(first.plain(), turn(1))
    assert envelope.kind == "answer"
    assert b'"turn"' in body

    again = site_at(north).answer(first.plain(), turn(1))
    assert refusal_of(again) == "message 2 came after message 2: replayed, or out of order"

    late, sooner = ask_of(link), ask_of(link)
    assert site_at(north).answer(sooner.plain(), turn(2))[0].kind == "answer"
    assert "came after message 4" in refusal_of(site_at(north).answer(late.plain(), turn(1)))

    def refused(body=b"", **changes):
        ask = replace(ask_of(link), **changes)
        return refusal_of(site_at(north).answer(ask.plain(), body or turn(9)))

    assert "another federation" in refused(federation="0" * 64)
    assert "another sitting" in refused(sitting="0" * 32)
    assert "another sitting" in refused(run="0" * 16)
    assert "for the site 'south'" in refused(site="south")
    assert "expected one of the games" in refused(game="md_gan")
    assert "otherwise" in refused(takers=("south",))
    assert "expected a message of coplay" in refused(pickle.dumps({"rows": 1}))
    assert "expected a request" in refused(kind="answer")
    unknown = request_to_bytes(Message(Finish(), COORDINATOR, "north", 2))
    unknown = unknown.replace(b'"finish"', b'"giveit"')
    assert "which nobody knows here" in refused(unknown)
    site = site_at(north)
    site.most_bytes = 1000
    assert "of which 1,000 are accepted" in refusal_of(
        site.answer(ask_of(link).plain(), b"x" * 1001)
    )

    # a replayed round is the player's own affair, and its state is as before
    number = record_of(north, "north").head.lines
    envelope, body = site_at(north).answer(ask_of(link).plain(), turn(1))
    assert b"refused, nothing has changed" in body
    assert record_of(north, "north").head.lines == number + 1
    evaluate = request_to_bytes(Message(Evaluate(4, 2), COORDINATOR, "north", 2))
    envelope, body = site_at(north).answer(ask_of(link).plain(), evaluate)
    assert envelope.kind == "answer"
    assert b'"kind": "reply"' in body


def test_what_is_no_move_is_answered_again_with_the_same_bytes_if_it_got_lost(tmp_path):
    _, places, link = begun(tmp_path)
    north = places["north"]
    site_at(north).answer(ask_of(link).plain(), turn(1))
    ask = ask_of(link)
    save = request_to_bytes(Message(Save("mark"), COORDINATOR, "north", 1))
    envelope, body = site_at(north).answer(ask.plain(), save)
    lines = record_of(north, "north").head.lines
    assert site_at(north).answer(ask.plain(), save) == (envelope, body)
    assert record_of(north, "north").head.lines == lines
    other = request_to_bytes(Message(Save("other"), COORDINATOR, "north", 1))
    assert "replayed" in refusal_of(site_at(north).answer(ask.plain(), other))


def test_a_beginning_whose_answer_got_lost_is_answered_again_until_something_was_asked(tmp_path):
    federation, places = deployed(tmp_path, SHORT)
    link = linked(Loop(places), federation)
    link.begin(list(places))
    begin = link.envelope("north", "begin", "sample_exchange", plays=True)
    north = places["north"]
    first = site_at(north).answer(begin.plain(), b"")
    assert first[0].kind == "facts"
    assert site_at(north).answer(begin.plain(), b"") == first
    other = replace(begin, game="isolated").plain()
    assert "came after" in refusal_of(site_at(north).answer(other, b""))
    assert site_at(north).answer(ask_of(link).plain(), turn(1))[0].kind == "answer"
    assert "came after" in refusal_of(site_at(north).answer(begin.plain(), b""))


class Dying(Loop):
    """A carrier whose first node dies with its answer to the first beginning, and comes back."""

    lost = 0

    def pull(self, ids):
        got = {}
        for id in ids:
            parcel = self.answers.pop(id, None)
            if parcel is not None and parcel.values["kind"] == "facts" and not self.lost:
                self.lost += 1
                got[id] = Fault("the node is gone", is_away=True)
            elif parcel is not None:
                got[id] = parcel
        return got


def test_a_node_that_dies_with_its_answer_to_a_beginning_ends_no_run(tmp_path):
    federation, places = deployed(tmp_path, SHORT)
    carrier = Dying(places)
    result = played(carrier, federation, tmp_path / "run")
    assert carrier.lost == 1
    assert result.record.status == "finished"
    assert not result.plays["sample_exchange"].lost
    locally(federation, places, tmp_path / "local")
    game = "sample_exchange"
    assert rows_of(tmp_path / "run", game) == rows_of(tmp_path / "local", game)


def test_every_refusal_is_in_the_record_of_what_left(tmp_path):
    _, places, _ = begun(tmp_path)
    reason = refusal_of(site_at(places["north"]).answer({"kind": "ask"}, b""))
    assert "federation is missing" in reason
    line = record_of(places["north"], "north").lines[-1]
    assert reason.startswith(line.text[:100])
    assert line.request == "refused"


def test_a_beginning_of_an_earlier_sitting_or_another_run_is_refused(tmp_path):
    _, places, link = begun(tmp_path)
    wanted = Envelope("begin", link.federation, "north", link.run, link.sitting, 1)
    wanted = replace(wanted, game="sample_exchange", plays=True, opened=link.opened)
    other = replace(wanted, sitting="0" * 32)
    assert "earlier sitting" in refusal_of(site_at(places["north"]).answer(other.plain(), b""))
    stranger = replace(wanted, run="0" * 16, opened=link.opened + 1)
    assert "another run" in refusal_of(site_at(places["north"]).answer(stranger.plain(), b""))


def test_md_gan_is_refused_before_anything_starts(tmp_path):
    changes = {"game": {"name": "md_gan", "rounds": 2}, "model": {"name": "acgan"}, "compare": []}
    federation, places = deployed(tmp_path, changes)
    loop = Loop(places)
    with pytest.raises(ConfigError, match="takes about 5 s"):
        played(loop, federation, tmp_path / "run")
    assert loop.sent == []
    assert not (tmp_path / "run").exists()


def test_without_a_coordinators_app_the_engine_says_how_it_is_begun(tmp_path):
    federation, _ = deployed(tmp_path, SHORT)
    config = Config.from_dict(
        {**tomllib.loads(federation.read_text()), "engine": {"name": "flower"}}
    )
    with pytest.raises(EngineError, match="coplay serve FEDERATION"):
        Federation(config).run(tmp_path / "run")
    assert Flower.tiny().deadline == 60


def test_an_answer_of_another_node_or_site_is_no_answer(tmp_path):
    _, _, link = begun(tmp_path)
    loop = link.carrier

    class Swapped:
        nodes = loop.nodes
        pull = loop.pull

        def push(self, parcels, ttl):
            return loop.push([replace(each, node=2) for each in parcels], ttl)

    link.carrier = Swapped()
    got = link.exchange({"north": (ask_of(link), turn(1))}, 5)
    assert isinstance(got["north"], Fault)
    assert "it came from node 2" in got["north"].reason


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_a_site_that_is_killed_while_it_writes_what_left_loses_and_hides_nothing(
    moment, tmp_path, monkeypatch
):
    _, places, link = begun(tmp_path)
    north = places["north"]
    before = record_of(north, "north").head.lines
    ask = ask_of(link)
    child = os.fork()
    if not child:
        kill_at_sync(moment)
        site_at(north).answer(ask.plain(), turn(1))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    record = record_of(north, "north")
    assert record.fault == ""
    # the same message again: whether it was answered or not, every answer is in the record
    envelope, _ = site_at(north).answer(ask.plain(), turn(1))
    record = record_of(north, "north")
    assert record.fault == ""
    assert record.head.lines > before
    if envelope.kind == "refused":  # its state was kept, and the answer written down before
        assert "replayed" in envelope.reason
        assert record.lines[-2].round == 1
    else:
        assert record.lines[-1].round == 1


def kill_at_sync(moment):
    """End this process at the n-th write that is made safe."""
    real = os.fsync
    left = [moment]

    def sync(file):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        real(file)

    os.fsync = sync


class Failing(FlowerSite):
    """A site that fails over a row."""

    def _begun(self, ask):
        raise KeyError("row 17")


@pytest.mark.parametrize("promises", [True, False])
def test_where_a_promise_was_made_not_even_the_kind_of_an_error_leaves(promises, tmp_path):
    private_sites.federation(tmp_path, {"stand_in": private_sites.MOMENTS})
    values = {
        "name": "wards",
        "variables": private_sites.VARIABLES,
        "players": {"north": {}, "south": {}},
        "model": {"name": "exponential_family"},
        "game": EXCHANGE,
    }
    federation, _ = laid_out(tmp_path / "agreed", values)
    name = "north" if promises else "south"
    site = Failing(federation, tmp_path / name / "site.toml", tmp_path / name / "private")
    link = linked(Loop({}), federation)
    link.begin([name])
    begin = link.envelope(name, "begin", "sample_exchange", plays=True)
    refused, body = site.answer(begin.plain(), b"")
    assert (refused.kind, body) == ("refused", b"")
    assert ("KeyError" in refused.reason) is not promises
    assert "17" not in refused.reason
    errors = (tmp_path / name / "private" / "sites" / name / "errors.txt").read_text()
    assert "row 17" in errors


def test_a_site_whose_own_file_is_broken_says_so_and_not_where_it_lies(tmp_path, capsys):
    federation, places = deployed(tmp_path, SHORT)
    (places["north"] / "site.toml").write_text("nonsense = 1\n")
    link = linked(Loop(places), federation)
    link.begin(["north"])
    begin = link.envelope("north", "begin", "sample_exchange", plays=True)
    refused, body = site_at(places["north"]).answer(begin.plain(), b"")
    assert (refused.kind, body) == ("refused", b"")
    assert "cannot be read" in refused.reason
    assert str(tmp_path) not in refused.reason
    assert "nonsense" in capsys.readouterr().err
