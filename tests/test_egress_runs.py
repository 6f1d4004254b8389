"""Runs of sites with files of their own: all that leaves is on their disk before, or it stays."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from coplay import Config, Federation
from coplay.cli.main import main
from coplay.core.message import COORDINATOR, Message, PlayerLost
from coplay.engines.base import answer
from coplay.games.sample_exchange_expected import Turn
from coplay.run.known_heads import read_heads
from coplay.run.own_data import SiteRecipe, own_data
from coplay.run.private_site import PrivateSite
from coplay.site.egress import Record

from .private_sites import MOMENTS, federation
from .sites_for_borders import lines_of, record, wards


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of two sites; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("finished")
    config = Config.from_file(wards(folder / "wards"))
    Federation(config).run(folder / "run")
    return folder / "run"


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def output(capsys, *arguments, code=0):
    assert main([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_all_that_the_coordinator_counted_is_in_the_record(finished):
    """Its ledger counts bytes and samples by link by itself; the records have the same."""
    traffic = json.loads((finished / "sample_exchange" / "checkpoint.json").read_text())["traffic"]
    counted = {}
    for link in traffic:
        key = (link["sender"], link["receiver"])
        bytes_before, samples_before = counted.get(key, (0, 0))
        counted[key] = (bytes_before + link["bytes"], samples_before + link["samples"])
    recorded = {}
    for name in ("north", "south"):
        for line in lines_of(record(finished, name)):
            for part in line["parts"]:
                key = (name, part["to"])
                bytes_before, samples_before = recorded.get(key, (0, 0))
                count = samples_before + part["count"]
                recorded[key] = (bytes_before + part["bytes"], count)
    # what was drawn in the last round is sent and not taken any more, so it is nobody's traffic
    assert counted[("north", "coordinator")] == recorded[("north", "coordinator")]
    assert counted[("south", "coordinator")] == recorded[("south", "coordinator")]
    assert recorded[("north", "south")] >= counted[("north", "south")] > (0, 0)
    assert recorded[("south", "north")] >= counted[("south", "north")] > (0, 0)


def test_a_record_has_every_message_with_its_kinds_of_numbers(finished):
    lines = lines_of(record(finished, "north"))
    asked = [(line["round"], line["request"]) for line in lines]
    assert asked == [
        (0, "describe"),
        *((r, a) for r in (1, 2, 3) for a in ("turn", "evaluate", "save")),
        (3, "judge"),
        (3, "finish"),
    ]
    assert [line["turns"] for line in lines] == [0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]
    assert {line["epsilon"] for line in lines} == {None}
    turn = lines[1]
    assert turn["numbers"]["flops" if "flops" in turn["numbers"] else "seconds_learning"] == (
        "public"
    )
    (part,) = turn["parts"]
    assert (part["to"], part["count"], part["kind"]) == ("south", 30, "of the model")
    assert sorted(part["variables"]) == ["age", "dose", "outcome"]
    for line in lines:
        assert len(line["sha256"]) == 64


def test_what_a_site_tells_of_its_rows_is_marked_as_such(tmp_path):
    more = {"north": '[tell]\ncount = "exact"\nnumbers = ["all"]\n'}
    path = wards(tmp_path / "wards", rounds=1, more=more)
    text = path.read_text().replace("metrics = []", 'metrics = ["fidelity"]')
    path.write_text(text)
    Federation(Config.from_file(path)).run(tmp_path / "run")
    north = lines_of(record(tmp_path / "run", "north"))
    assert north[0]["numbers"] == {"count": "of the rows"}
    (measured,) = [line for line in north if line["request"] == "measure"]
    assert measured["numbers"]["column_fidelity"] == "of held-out rows"
    for line in lines_of(record(tmp_path / "run", "south")):
        assert set(line["numbers"].values()) <= {"public"}, "it tells nothing"


def test_a_run_from_one_pool_has_no_record(tmp_path):
    config = Config.from_dict(
        {
            "game": {"name": "sample_exchange", "rounds": 1, "samples_per_round": 20},
            "model": {"name": "sklearn.neighbors:KernelDensity"},
            "measure": {"metrics": [], "samples": 100},
            "compare": [],
        }
    )
    Federation(config).run(tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").rglob("*")}
    assert not names & {"egress.jsonl", "ingress.jsonl", "heads.json"}


def test_verify_says_that_a_chain_is_whole_and_what_its_end_is(finished, capsys):
    printed = output(capsys, "egress", "verify", finished)
    head = Record.read(record(finished, "north")).head
    assert (
        f"north, sample_exchange: the chain of 12 lines is whole; its end is 12:{head.digest}; "
        in (printed)
    )
    assert printed.count("the coordinator knows line 12, and it is in it") == 2
    # a site alone has no coordinator, and can compare with what somebody else has
    alone = output(capsys, "egress", "verify", finished / "sites" / "north" / "sample_exchange")
    assert "12 lines is whole" in alone
    site = finished / "sites" / "north"
    assert "is whole" in output(capsys, "egress", "verify", site, "--end", f"12:{head.digest}")
    wrong = output(capsys, "egress", "verify", site, "--end", f"12:{'0' * 64}", code=2)
    assert "line 12 is another than the one that is known elsewhere" in wrong
    wrong = output(capsys, "egress", "verify", site, "--end", "nonsense", code=2)
    assert "expected a number of lines from 1" in wrong


def test_verify_names_the_damaged_line_and_the_site(run, capsys):
    path = record(run, "south")
    lines = path.read_text().splitlines(keepends=True)
    lines[4] = lines[4].replace('"round": 2', '"round": 1')
    path.write_text("".join(lines))
    printed = output(capsys, "egress", "verify", run, code=2)
    assert f"{path}: line 5: its digest is not that of its content: it was changed" in printed
    assert "the 4 lines before it are whole" in printed
    assert "is whole" in output(capsys, "egress", "verify", run, "--player", "north")


def test_verify_notices_that_the_end_is_missing_or_the_whole_file(run, capsys):
    path = record(run, "south")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-2]))
    printed = output(capsys, "egress", "verify", run, code=2)
    assert "its end is missing: line 12 is known elsewhere, and it has 10 lines" in printed
    path.unlink()
    printed = output(capsys, "egress", "verify", run, code=2)
    assert "line 12 is known elsewhere, and it has 0 lines" in printed


@pytest.mark.parametrize("what", ["nowhere", "empty"])
def test_a_folder_without_records_is_refused(tmp_path, capsys, what):
    (tmp_path / "empty").mkdir()
    printed = output(capsys, "egress", "show", tmp_path / what, code=2)
    assert ("does not exist" if what == "nowhere" else "has no record of what left") in printed


def test_show_and_the_page_say_what_left(finished, capsys):
    printed = output(capsys, "egress", "show", finished, "--player", "north")
    assert "north, sample_exchange: 12 messages left" in printed
    assert "to south: 60 samples in 2 messages" in printed
    assert "promise: none promised" in printed
    assert "south, sample_exchange" not in printed
    page = output(capsys, "egress", "show", finished / "sites" / "south", "--page")
    assert "# What left south" in page
    assert "north was sent 60 samples" in page
    assert "No number that was computed from real rows left." in page
    assert "None promised" in page
    printed = output(capsys, "egress", "show", finished, "--player", "west", code=2)
    assert "no record of 'west'; there is one of north, south" in printed


# ------------------------------------------------------------------------- kills, and full disks


def coplay(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "coplay", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_kill_at_any_moment_leaves_a_valid_record_and_a_run_that_goes_on(tmp_path, seed, capsys):
    """What was played again after the kill is recorded again, and nothing is taken out."""
    path = wards(tmp_path / "wards", rounds=60, checkpoint=7)
    out = tmp_path / "run"
    moments = random.Random(seed)
    before = []
    process = coplay("run", path, "--out", out)
    for _ in range(2):
        file = record(out, "north")
        wanted = len(before) + moments.randrange(5, 25)
        deadline = time.monotonic() + 200
        while not (file.exists() and file.read_bytes().count(b"\n") >= wanted):
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()
            time.sleep(moments.random() / 50)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        left = Record.read(file)
        assert left.fault == ""
        assert [line.digest for line in left.lines[: len(before)]] == before
        before = [line.digest for line in left.lines]
        heads = json.loads((out / "sample_exchange" / "heads.json").read_text())["heads"]
        assert heads["north"][0] <= len(left.lines), "the coordinator knows no more than is there"
        process = coplay("resume", out)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    after = Record.read(file)
    assert [line.digest for line in after.lines[: len(before)]] == before
    turns = [line.round for line in after.lines if line.request == "turn"]
    assert set(turns) == set(range(1, 61))
    assert len(turns) > 60 or turns == list(range(1, 61))
    assert main(["egress", "verify", str(out)]) == 0
    capsys.readouterr()


def stopped(tmp_path, rounds=4, at=3):
    """Return a run of sites that stopped with a checkpoint of a round before the last."""
    path = wards(tmp_path / "wards", rounds=rounds)
    config = Config.from_file(path)

    class Stop(Exception):
        pass

    def progress(game, round, rounds):
        if round == at:
            raise Stop

    with pytest.raises(Stop):
        Federation(config).run(tmp_path / "run", progress)
    return tmp_path / "run"


def test_a_record_that_is_rolled_back_is_refused_when_the_run_goes_on(tmp_path, capsys):
    run = stopped(tmp_path)
    path = record(run, "north")
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-3]))
    printed = output(capsys, "resume", run, code=2)
    known = json.loads((run / "sample_exchange" / "heads.json").read_text())["heads"]["north"][0]
    assert f"and line {known} is known here: it was rolled back, or begun anew" in printed
    # begun anew is refused as well
    path.unlink()
    assert "it was rolled back, or begun anew" in output(capsys, "resume", run, code=2)
    # the true one goes on
    path.write_bytes(whole)
    output(capsys, "resume", run)
    assert main(["egress", "verify", str(run)]) == 0


def test_a_damaged_record_stops_its_site_before_anything_leaves(tmp_path, capsys):
    run = stopped(tmp_path)
    path = record(run, "north")
    damaged = path.read_text().replace('"round": 2', '"round": 1')
    path.write_text(damaged)
    printed = output(capsys, "resume", run, code=2)
    assert "north" in printed
    words = (path.parent / "errors.txt").read_text()
    assert "is damaged at line" in words
    assert "nothing leaves the site until the file is restored" in words
    assert path.read_text() == damaged


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB in memory."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], capture_output=True
    )
    if made.returncode:
        pytest.skip("no right to mount")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_nothing_leaves_a_site_whose_disk_is_full(small_disk):
    """The answer is ready and is not given; the loss has no word of it, and the record is whole."""
    config = Config.from_file(wards(small_disk.parent / "wards", rounds=60))
    own = own_data(config, None, {})["north"]
    home = small_disk / "north"
    player = SiteRecipe(own, config.seed, home).build()
    ask = Message(Turn(1.0, {"south": 30}), COORDINATOR, "north", 1)
    filler = small_disk / "filler"
    with filler.open("wb") as file, contextlib.suppress(OSError):
        while True:
            os.write(file.fileno(), b"x" * 4096)
    with (home / "egress.jsonl").open("ab") as file:  # and the rest of its last block
        before = file.tell()
    page = os.sysconf("SC_PAGE_SIZE")
    assert before < page
    lost = None
    lines = Record.read(home / "egress.jsonl").lines
    for round in range(1, 40):
        answer_of_round = answer(config.game, player, replace(ask, round=round))
        if isinstance(answer_of_round, PlayerLost):
            lost = answer_of_round
            break
        lines = Record.read(home / "egress.jsonl").lines
        assert answer_of_round.head == lines[-1].head
    assert lost is not None, "the disk was never full"
    assert "cannot be written, so nothing leaves: No space left on device" in lost.reason
    assert str(small_disk) not in lost.reason
    assert lost.head is None
    kept = Record.read(home / "egress.jsonl")
    assert (kept.fault, kept.lines) == ("", lines)
    filler.unlink()
    again = answer(config.game, player, replace(ask, round=lost.round + 1))
    assert again.head.lines == len(lines) + 1, "and it goes on once there is room"


# ------------------------------------------------------------------------- budgets, and processes


def test_a_site_with_a_stand_in_has_one_epsilon_in_every_line(tmp_path, capsys):
    """The budget itself says what was spent; all that leaves follows from the stand-in."""
    privacy = {"stand_in": MOMENTS}
    config = federation(tmp_path, privacy, compare=[])
    Federation(config).run(tmp_path / "run")
    lines = lines_of(record(tmp_path / "run", "north"))
    budget = PrivateSite.of(config.site_files["north"].privacy, config.name, "north").budget
    assert {line["epsilon"] for line in lines} == {budget.spent().epsilon}
    assert budget.spent().epsilon == pytest.approx(1)
    kinds = {kind for line in lines for kind in line["numbers"].values()}
    kinds |= {part["kind"] for line in lines for part in line["parts"]}
    assert kinds <= {"public", "post-processing"}
    assert "post-processing" in kinds
    assert {line["epsilon"] for line in lines_of(record(tmp_path / "run", "south"))} == {None}
    page = output(capsys, "egress", "show", tmp_path / "run", "--player", "north", "--page")
    assert f"ε = {budget.spent().epsilon:.4g} of the site's budget was spent" in page


def without_times(lines):
    """Lines without what differs from one play of the same run to the next."""
    bare = []
    for line in lines:
        for name in ("at", "before", "digest", "sha256", "bytes"):  # seconds are in the bytes
            del line[name]
        bare.append(line)
    return bare


@pytest.mark.slow
def test_sites_in_processes_of_their_own_write_the_same_record(tmp_path):
    """Ray's processes keep the records themselves, and the coordinator knows their ends."""
    pytest.importorskip("ray")
    path = wards(tmp_path / "wards")
    Federation(Config.from_file(path)).run(tmp_path / "here")
    values = Config.from_file(path).to_dict() | {"engine": {"name": "ray", "processes": 2}}
    Federation(Config.from_dict(values)).run(tmp_path / "there")
    for name in ("north", "south"):
        here = without_times(lines_of(record(tmp_path / "here", name)))
        there = without_times(lines_of(record(tmp_path / "there", name)))
        assert here == there
    assert main(["egress", "verify", str(tmp_path / "there")]) == 0
    assert read_heads(tmp_path / "there" / "sample_exchange").keys() == {"north", "south"}
