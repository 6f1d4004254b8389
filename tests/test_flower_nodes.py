"""A federation over real nodes of Flower on loopback. Slow; skipped where Flower is not installed.

What sites and coordinator do is tested without Flower, too, in test_flower.py.
"""

import json
import random
import time

import pytest

from coplay import Result

from .flower_loop import deployed, deployed_bits
from .flower_nodes import nodes, python
from .test_flower import SHORT, locally, model_of, record_of, rows_of

pytestmark = pytest.mark.slow

GAME = "sample_exchange"


@pytest.fixture(autouse=True)
def _flower():
    python()  # or the test is skipped


def wait_for(what, seconds=240):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)


def rounds_of(folder):
    path = folder / GAME / "rows.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def settings(federation, out, resume=""):
    return {"federation": federation, "out": out, "resume": resume, "nodes": ""}


def test_the_hospitals_over_real_nodes_have_the_local_engines_bits(tmp_path):
    federation, places = deployed(tmp_path)
    with nodes(tmp_path / "nodes", places) as flower:
        run = flower.begin(**settings(federation, tmp_path / "run"))
        assert flower.finished(run) == "finished:completed", flower.tails()
    assert Result.load(tmp_path / "run").record.status == "finished"
    locally(federation, places, tmp_path / "local")
    for game in (GAME, "isolated"):
        assert rows_of(tmp_path / "run", game) == rows_of(tmp_path / "local", game)
        for name, home in places.items():
            there = model_of(home / "private", name, game)
            assert there == model_of(tmp_path / "local", name, game)
            assert record_of(home, name, game).fault == ""
    seen = json.loads((tmp_path / "run" / "sites_seen.json").read_text())
    assert sorted(seen) == ["east", "north", "south"]
    assert not any(site["missing_since"] for site in seen.values())


def test_a_node_that_is_killed_in_a_round_is_late_and_comes_back_with_its_model(tmp_path):
    changes = {**SHORT, "game": {**SHORT["game"], "rounds": 14}}
    changes["measure"] = {"samples": 100, "every_rounds": 14, "preset": "none"}
    changes["checkpoint"] = {"every_rounds": 14}
    changes["engine"] = {"name": "flower", "deadline": 20, "patience": 240}
    federation, places = deployed(tmp_path, changes)
    out = tmp_path / "run"
    with nodes(tmp_path / "nodes", places) as flower:
        run = flower.begin(**settings(federation, out))
        wait_for(lambda: rounds_of(out) >= 2)
        flower.kill("north")
        done = rounds_of(out)
        began = time.monotonic()
        wait_for(lambda: rounds_of(out) > done)
        assert time.monotonic() - began < 60  # the others' round ends by the deadline
        turns = record_of(places["north"], "north").lines[-1].turns
        flower.start_site("north", places["north"])
        assert flower.finished(run) == "finished:completed", flower.tails()
    result = Result.load(out)
    play = result.plays[GAME]
    assert result.record.status == "finished"
    assert {loss.player for loss in play.late} == {"north"}
    assert 1 <= len(play.late) < 14 - done
    assert all(loss.reason for loss in play.late)
    assert not play.lost
    record = record_of(places["north"], "north")
    assert record.fault == ""
    # it went on from its own disk: each turn that it answered is one more
    assert record.lines[-1].turns > turns


def test_a_link_that_is_killed_is_begun_anew_and_the_run_resumes_with_the_same_bits(tmp_path):
    changes = {**SHORT, "game": {**SHORT["game"], "rounds": 5}}
    federation, places = deployed(tmp_path, changes)
    out = tmp_path / "run"
    with nodes(tmp_path / "nodes", places) as flower:
        flower.begin(**settings(federation, out))
        wait_for(lambda: rounds_of(out) >= 2)
        for name in ("link", *places):
            flower.kill(name)
    assert Result.load(out).record.status == "running"
    with nodes(tmp_path / "again", places) as flower:
        run = flower.begin(**settings(federation, out, "yes"))
        assert flower.finished(run) == "finished:completed", flower.tails()
    locally(federation, places, tmp_path / "local")
    assert rows_of(out, GAME) == rows_of(tmp_path / "local", GAME)
    for name, home in places.items():
        there = model_of(home / "private", name, GAME)
        assert there == model_of(tmp_path / "local", name, GAME)


@pytest.mark.parametrize("seed", range(12))
def test_a_kill_at_random_leaves_a_valid_result(seed, tmp_path):
    rng = random.Random(seed)
    party = ("link", "north", "south", "east")[seed % 4]
    changes = {**SHORT, "game": {**SHORT["game"], "rounds": 6}}
    changes["engine"] = {"name": "flower", "deadline": 90, "patience": 300}
    federation, places = deployed(tmp_path, changes)
    out = tmp_path / "run"
    with nodes(tmp_path / "nodes", places) as flower:
        run = flower.begin(**settings(federation, out))
        wait_for(lambda: rounds_of(out) >= 1)
        time.sleep(rng.uniform(0, 30))
        if party == "link":
            for name in ("link", *places):
                flower.kill(name)
        else:
            flower.kill(party)
            time.sleep(rng.uniform(0, 60))
            flower.start_site(party, places[party])
            assert flower.finished(run, 1200) == "finished:completed", flower.tails()
    if party == "link" and Result.load(out).record.status != "finished":
        with nodes(tmp_path / "again", places) as flower:
            run = flower.begin(**settings(federation, out, "yes"))
            assert flower.finished(run, 1200) == "finished:completed", flower.tails()
    result = Result.load(out)
    play = result.plays[GAME]
    assert result.record.status == "finished"
    assert [row.round for row in play.rows] == [1, 2, 3, 4, 5, 6]
    assert {loss.player for loss in play.late} <= {party}
    assert not play.lost
    for name, home in places.items():
        assert record_of(home, name).fault == ""


def test_the_contract_of_engines_holds_over_real_nodes(tmp_path):
    federation, places = deployed_bits(tmp_path)
    out = tmp_path / "results.json"
    with nodes(tmp_path / "nodes", places, module="tests.flower_contract") as flower:
        run = flower.begin(**settings(federation, out))
        assert flower.finished(run, 1500) == "finished:completed", flower.tails()
    results = json.loads(out.read_text())
    assert len(results) >= 4
    assert set(results.values()) == {"passed"}


def test_a_hundred_changed_messages_through_real_nodes(tmp_path):
    federation, places = deployed(tmp_path, SHORT)
    with nodes(tmp_path / "nodes", places, module="tests.flower_mutant") as flower:
        run = flower.begin(**settings(federation, tmp_path / "said.json"))
        assert flower.finished(run, 1500) == "finished:completed", flower.tails()
    results = json.loads((tmp_path / "said.json").read_text())
    assert results["before"] == results["after"] == "answer"
    assert len(results["reasons"]) == 100
    assert all(len(reason) > 10 for reason in results["reasons"])
    assert record_of(places["north"], "north").fault == ""


def test_a_node_that_is_no_site_of_the_federation_is_named(tmp_path):
    changes = {**SHORT, "engine": {"name": "flower", "patience": 40}}
    federation, places = deployed(tmp_path, changes)
    text = (places["east"] / "federation.toml").read_text()
    (places["east"] / "federation.toml").write_text(text.replace("seed = 1", "seed = 2"))
    with nodes(tmp_path / "nodes", places) as flower:
        failure = tmp_path / "failure.txt"
        run = flower.begin(**settings(federation, tmp_path / "run"), failure=failure)
        assert flower.finished(run) == "finished:failed"
    assert not (tmp_path / "run" / "run.json").exists()
    assert "another federation" in failure.read_text()
    assert "not joined: east" in failure.read_text()
    assert failure.stat().st_mode & 0o077 == 0
