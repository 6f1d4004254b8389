"""The power fails at any moment: what counts is there, and the run ends as the undisturbed one."""

import os
import random
import sys
from dataclasses import replace

import pytest

from coplay import Federation, Result
from coplay.run.checkpoint import Checkpoint
from coplay.run.rows import Rows

from .power import Disk, PowerCut

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

PIECES = 10
CUTS = 10


@pytest.fixture
def config(small_config):
    return small_config(
        game={"name": "sample_exchange", "rounds": 4, "samples_per_round": 50},
        measure={"metrics": [], "samples": 100, "shown": 4, "every_rounds": 2},
        compare=["isolated"],
        checkpoint={"every_rounds": 2},
    )


def left(run):
    """Return what a run left, without the times that it took."""
    files = {}
    for what in ("*/models/*", "*/samples/*", "*/checkpoint.json", "real.safetensors"):
        files |= {path.relative_to(run): path.read_bytes() for path in run.glob(what)}
    rows = {}
    for name, play in Result.load(run).plays.items():
        rows[name] = [replace(row, seconds={}) for row in play.rows]
    return files, rows


def test_what_is_not_synced_is_lost(tmp_path):
    """The disk of these tests does lose what a careless program does not sync."""
    root = tmp_path / "root"
    root.mkdir()
    disk = Disk(root)
    for name, synced in (("safe", True), ("lost", False)):
        with (root / name).open("w") as file:
            file.write(name)
            file.flush()
            if synced:
                disk.fsync(file.fileno())
    number = os.open(root, os.O_RDONLY)
    disk.fsync(number)
    os.close(number)
    (root / "later").write_text("later")
    disk._fill(disk._hold(root), tmp_path / "after")
    left = {path.name: path.read_text() for path in (tmp_path / "after").iterdir()}
    assert left == {"safe": "safe", "lost": ""}
    disk.close()


def cut_once(config, folder, monkeypatch, cut, chance):
    """Play a run whose disk fails at an event; return what is left of its folder."""
    (folder / "disk").mkdir(parents=True)
    disk = Disk(folder / "disk", cut, folder / "after", chance)
    with monkeypatch.context() as patch:
        disk.install(patch)
        with pytest.raises(PowerCut):
            Federation(config).run(folder / "disk" / "run")
    disk.close()
    return folder / "after" / "run"


def go_on(config, run):
    """Resume what is left of a run, or start it again where it was none yet."""
    if not (run / "run.json").exists():
        return Federation(config).run(run)
    for name in Result.load(run).plays:
        last = Checkpoint.last(run / name)
        if last is not None:
            last.check_models(run / name)
            assert len(Rows.read(run / name, last.counted, only_counted=True).records) == last.round
    return Federation.resume(run)


def count_events(config, folder, monkeypatch):
    folder.mkdir()
    disk = Disk(folder)
    with monkeypatch.context() as patch:
        disk.install(patch)
        Federation(config).run(folder / "run")
    disk.close()
    return disk.events


def test_the_power_fails_right_after_a_checkpoint(config, tmp_path, monkeypatch):
    """The quick one: the moment at which ``checkpoint.json`` has its new name."""
    expected = left(Federation(config).run(tmp_path / "undisturbed").folder)
    (tmp_path / "disk").mkdir()
    disk = Disk(tmp_path / "disk", None, tmp_path / "after")
    replaced = disk.replace

    def counting(source, target):
        if str(target).endswith("checkpoint.json"):
            disk.cut = disk.events + 2  # the sync of the name that follows
        replaced(source, target)

    with monkeypatch.context() as patch:
        disk.install(patch)
        patch.setattr("os.replace", counting)
        with pytest.raises(PowerCut):
            Federation(config).run(tmp_path / "disk" / "run")
    disk.close()
    run = tmp_path / "after" / "run"
    assert Checkpoint.last(run / "sample_exchange").round == 2
    assert left(go_on(config, run).folder) == expected


@pytest.mark.slow
@pytest.mark.parametrize("piece", range(PIECES))
def test_the_power_fails_at_any_moment(config, tmp_path, monkeypatch, piece):
    expected = left(Federation(config).run(tmp_path / "undisturbed").folder)
    events = count_events(config, tmp_path / "counted", monkeypatch)
    assert events > 100
    for number in range(CUTS):
        chance = random.Random(piece * CUTS + number)
        moment = chance.randint(1, events)
        kept = chance if number % 2 else None
        run = cut_once(config, tmp_path / str(number), monkeypatch, moment, kept)
        result = go_on(config, run)
        assert left(result.folder) == expected, f"cut at event {moment} of {events}, {number}"
